//! One-click unsubscribe (RFC 8058): the signed link in mail to many, and what it does.

use ums_core::{Channel, MessageId, StoreError, TenantId};

use crate::engine::Messaging;

/// Whom a genuine link is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsubscriber {
    /// Whose list.
    pub tenant: TenantId,
    /// Which message the link stood in.
    pub message_id: MessageId,
    /// Which channel.
    pub channel: Channel,
    /// Full address.
    pub address: String,
    /// Whether it is on the list already.
    pub is_unsubscribed: bool,
}

impl std::fmt::Debug for Unsubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unsubscriber(of {})", self.message_id)
    }
}

impl Messaging {
    /// Whom an unsubscribe link is for; none when the token is not genuine or its message is no longer kept. Changes nothing.
    ///
    /// # Errors
    /// The store.
    pub async fn unsubscriber(&self, token: &str) -> Result<Option<Unsubscriber>, StoreError> {
        let _ = token;
        Ok(None)
    }

    /// Unsubscribes whom the link is for; none as [`Messaging::unsubscriber`]. Doing it twice is as good as once.
    ///
    /// # Errors
    /// The store.
    pub async fn unsubscribe(&self, token: &str) -> Result<Option<Unsubscriber>, StoreError> {
        let _ = token;
        Ok(None)
    }
}
