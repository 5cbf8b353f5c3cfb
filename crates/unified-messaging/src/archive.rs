//! Messages that are read beside a running service: nothing is sent, taken up or made.

use std::sync::Arc;
use std::time::Duration;

use ums_config::Settings;
use ums_core::{Clock, MessageFilter, MessageId, MessagePage, MessageRecord, Store, TenantId};

use crate::{Error, builder, wire};

/// How long closing may take; there is nothing to finish.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// A store that is only read.
#[derive(Debug)]
pub struct Archive(Arc<dyn Store>);

impl Archive {
    /// Opens the store that the settings name; none if there is none yet.
    ///
    /// # Errors
    /// [`Error::Store`] when it cannot be read.
    pub async fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Option<Self>, Error> {
        if builder::is_there(&settings.store_url) {
            Ok(Some(Self(wire::store(settings, clock).await?)))
        } else {
            Ok(None)
        }
    }

    /// Everything that is known of a message.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn record(&self, id: MessageId) -> Result<Option<MessageRecord>, Error> {
        Ok(self.0.message(&TenantId::default(), id).await?)
    }

    /// Messages, newest first, at most `limit`, older than `cursor`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn messages(&self, filter: &MessageFilter, cursor: Option<MessageId>, limit: usize) -> Result<MessagePage, Error> {
        Ok(self.0.messages(&TenantId::default(), filter, cursor, limit).await?)
    }

    /// Closes it.
    pub async fn close(self) {
        self.0.close(CLOSE_TIME).await;
    }
}
