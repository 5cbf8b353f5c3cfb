//! The service as a program sees it.

use std::sync::Arc;
use std::time::Duration;

use ums_config::{LoadOptions, Settings};
use ums_core::{
    HealthReport, MessageFilter, MessageId, MessagePage, MessageRecord, Parsed, Region, SendEmail, SendResult, SendSms, Status, Store,
    StoreError, TenantId,
};
use ums_delivery::{Messaging, Submission};

use crate::{Builder, Error};

/// How often and how long another process's work is looked at: 30 s.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS: u32 = 600;

/// Sends e-mail and SMS through whichever provider is up.
///
/// Cheap to clone; all clones are one. It needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct UnifiedMessagingService {
    engine: Messaging,
    store: Arc<dyn Store>,
    default_region: Option<Region>,
    shutdown_time: Duration,
}

impl UnifiedMessagingService {
    pub(crate) fn new(engine: Messaging, store: Arc<dyn Store>, settings: &Settings) -> Self {
        Self {
            engine,
            store,
            default_region: settings.default_region,
            shutdown_time: settings.limits.shutdown,
        }
    }

    /// Starts a service with the settings of the environment, of `.env` in the working directory
    /// and of the file that `UMS_CONFIG` names.
    ///
    /// Messages are kept in memory unless `UMS_DATABASE_URL` names a store.
    ///
    /// # Errors
    /// [`Error::Config`] with everything that is missing or wrong, [`Error::Provider`], [`Error::Store`].
    pub async fn from_env() -> Result<Self, Error> {
        let settings = Settings::from_process(&LoadOptions::library())?;
        Self::builder().settings(settings).build().await
    }

    /// Starts a service with settings that the program gives.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Sends an e-mail, and waits until a provider took it, it failed, or it is held.
    ///
    /// The result's status tells which; a message that every provider refused is a result, not an
    /// error.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all faults of the request, [`Error::NoProvider`], [`Error::Busy`],
    /// [`Error::Closing`], [`Error::Store`]: nothing was sent.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the message may have been accepted; then it is sent all the same.
    pub async fn send_email(&self, email: SendEmail) -> Result<SendResult, Error> {
        self.send(email.parse()?).await
    }

    /// Sends a text message, and waits until a provider took it, it failed, or it is held.
    ///
    /// # Errors
    /// As [`UnifiedMessagingService::send_email`].
    ///
    /// # Cancel safety
    /// As [`UnifiedMessagingService::send_email`].
    pub async fn send_sms(&self, sms: SendSms) -> Result<SendResult, Error> {
        self.send(sms.parse(self.default_region)?).await
    }

    async fn send(&self, parsed: Parsed) -> Result<SendResult, Error> {
        if self.store.is_owner() {
            return Ok(self.engine.send(Submission::from(parsed)).await?);
        }
        let ticket = self.engine.submit(Submission::from(parsed)).await?;
        self.sent_by_another_process(ticket.message_id()).await
    }

    /// Waits until the process that sends from this store has tried the message, then gives what is
    /// known. The store has no way to call, so it is asked again and again.
    async fn sent_by_another_process(&self, id: MessageId) -> Result<SendResult, Error> {
        let mut looks = 0;
        loop {
            let record = self.store.message(&TenantId::default(), id).await?;
            let record = record.ok_or_else(|| StoreError::Corrupt {
                table: "messages",
                column: "id",
                id: id.to_string(),
            })?;
            let was_tried = !record.attempts.is_empty() || !record.skips.is_empty();
            let has_outcome = record.status.is_final() || (record.status == Status::Queued && was_tried);
            if has_outcome || looks == LOOKS {
                return Ok(record.result());
            }
            looks += 1;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How each provider does, and why; and which are left out.
    pub fn get_provider_health(&self) -> HealthReport {
        self.engine.health()
    }

    /// What became of a message; none if there is no such message.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn get_message(&self, id: MessageId) -> Result<Option<SendResult>, Error> {
        Ok(self.get_record(id).await?.map(|record| record.result()))
    }

    /// Everything that is known of a message, with the reasons why providers were passed over.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn get_record(&self, id: MessageId) -> Result<Option<MessageRecord>, Error> {
        Ok(self.store.message(&TenantId::default(), id).await?)
    }

    /// Messages, newest first, at most `limit`, older than `cursor`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list_messages(&self, filter: &MessageFilter, cursor: Option<MessageId>, limit: usize) -> Result<MessagePage, Error> {
        Ok(self.store.messages(&TenantId::default(), filter, cursor, limit).await?)
    }

    /// The engine itself, for what this façade leaves out: tenants, idempotency keys, tickets.
    pub fn engine(&self) -> &Messaging {
        &self.engine
    }

    /// Stops accepting, waits for what is being sent (at most 25 s unless configured otherwise) and
    /// closes the store.
    pub async fn shutdown(&self) {
        self.engine.shutdown(self.shutdown_time).await;
    }
}
