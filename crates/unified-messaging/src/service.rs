//! The service as a program sees it.

use std::sync::Arc;
use std::time::Duration;

use ums_config::Settings;
use ums_core::request::FieldFault;
use ums_core::{
    HealthReport, InvalidRequest, MessageFilter, MessageId, MessagePage, MessageRecord, Parsed, Region, SendEmail, SendResult, SendSms,
    Store, StoreError, TenantId,
};
use ums_delivery::{Mark, Messaging, ReplayRequest, ReplaySlice, Submission};

use crate::Error;

/// How often and how long another process's work is looked at: 30 s.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS: u32 = 600;

/// A message of a batch.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// An e-mail.
    Email(Box<SendEmail>),
    /// A text message.
    Sms(Box<SendSms>),
}

impl From<SendEmail> for Outgoing {
    fn from(email: SendEmail) -> Self {
        Self::Email(Box::new(email))
    }
}

impl From<SendSms> for Outgoing {
    fn from(sms: SendSms) -> Self {
        Self::Sms(Box::new(sms))
    }
}

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
            let has_outcome = record.has_ended() || (!record.is_under_way() && was_tried);
            if has_outcome || looks == LOOKS {
                return Ok(record.result());
            }
            looks += 1;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Accepts many messages as one: when it returns, all are stored and on their way, or none is. They are sent by the
    /// queue, codes first; [`UnifiedMessagingService::get_message`] tells what became of each. The ids come in the order of the
    /// messages.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), unified_messaging::Error> {
    /// # let simulator = ums_simulator::Simulator::start(ums_simulator::SimulatorConfig::any_ports()).await.unwrap();
    /// # let service = unified_messaging::UnifiedMessagingService::builder()
    /// #     .sendgrid("SG.key", "shop@example.com").setting("SENDGRID_API_URL", simulator.sendgrid_url()).build().await?;
    /// use unified_messaging::{Purpose, SendEmail};
    ///
    /// let customers = ["a@example.com", "b@example.com"];
    /// let news = customers.map(|to| SendEmail::new(to, "News").text("We are open again.").purpose(Purpose::Bulk));
    /// let ids = service.send_batch(news).await?;
    /// assert_eq!(ids.len(), 2);
    /// # service.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`UnifiedMessagingService::send_email`]; a fault of one message names it, as in `messages[3].to`. [`Error::Full`] when too
    /// many wait already. Nothing was accepted then.
    pub async fn send_batch<M: Into<Outgoing>>(&self, messages: impl IntoIterator<Item = M>) -> Result<Vec<MessageId>, Error> {
        let (mut batch, mut faults) = (Vec::new(), Vec::new());
        for (index, message) in messages.into_iter().enumerate() {
            let parsed = match message.into() {
                Outgoing::Email(email) => email.parse(),
                Outgoing::Sms(sms) => sms.parse(self.default_region),
            };
            match parsed {
                Ok(parsed) => batch.push(Submission::from(parsed)),
                Err(invalid) => faults.extend(invalid.faults.into_iter().map(|fault| FieldFault {
                    field: format!("messages[{index}].{}", fault.field),
                    ..fault
                })),
            }
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(InvalidRequest { faults }));
        }
        let accepted = self.engine.submit_all(batch).await?;
        Ok(accepted.into_iter().map(|accepted| accepted.message_id).collect())
    }

    /// Stops a message that is not sent yet. One that may have been accepted by a provider ends `unknown`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), unified_messaging::Error> {
    /// # let service = unified_messaging::UnifiedMessagingService::builder().sendgrid("SG.key", "shop@example.com").build().await?;
    /// use unified_messaging::{SendEmail, Status};
    ///
    /// let mut reminder = SendEmail::new("customer@example.com", "Tomorrow at nine").text("See you.");
    /// reminder.handling.send_at = unified_messaging::Timestamp::parse_rfc3339("2099-01-01T08:00:00Z");
    /// let scheduled = service.send_email(reminder).await?;
    /// assert_eq!(scheduled.status, Status::Scheduled);
    /// let cancelled = service.cancel_message(scheduled.message_id).await?;
    /// assert_eq!(cancelled.status, Status::Cancelled);
    /// # service.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`]; [`Error::NotPossible`] when it is being sent or has ended.
    pub async fn cancel_message(&self, id: MessageId) -> Result<SendResult, Error> {
        Ok(self.engine.cancel(&TenantId::default(), id).await?.result())
    }

    /// Has a message sent again that failed, expired, or may have been accepted. Whoever calls it answers for a double.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`]; [`Error::NotPossible`] when it stands otherwise or its body is no longer kept.
    pub async fn resend_message(&self, id: MessageId) -> Result<SendResult, Error> {
        Ok(self.engine.resend(&TenantId::default(), id).await?.result())
    }

    /// Says what became of a message whose outcome is unknown.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`]; [`Error::NotPossible`] when its outcome is known.
    pub async fn mark_message(&self, id: MessageId, mark: Mark) -> Result<SendResult, Error> {
        Ok(self.engine.mark(&TenantId::default(), id, mark).await?.result())
    }

    /// Sends messages again that failed in an outage: one slice, oldest first. Call it again with the slice's `next_cursor` until
    /// there is none, as fast as the providers may be used; with `dry_run` it only says what would be done.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), unified_messaging::Error> {
    /// # let service = unified_messaging::UnifiedMessagingService::builder().sendgrid("SG.key", "shop@example.com").build().await?;
    /// use unified_messaging::{MessageFilter, ReplayRequest, Timestamp};
    ///
    /// let mut request = ReplayRequest {
    ///     filter: MessageFilter { since: Timestamp::parse_rfc3339("2026-11-22T10:00:00Z"), ..MessageFilter::default() },
    ///     cursor: None,
    ///     limit: 100,
    ///     dry_run: true,
    /// };
    /// loop {
    ///     let slice = service.replay_failed(&request).await?;
    ///     println!("{} of {} would be sent again", slice.replayed, slice.examined);
    ///     request.cursor = slice.next_cursor;
    ///     if request.cursor.is_none() {
    ///         break;
    ///     }
    /// }
    /// # service.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn replay_failed(&self, request: &ReplayRequest) -> Result<ReplaySlice, Error> {
        Ok(self.engine.replay(&TenantId::default(), request).await?)
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

    pub(crate) const fn default_region(&self) -> Option<Region> {
        self.default_region
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
