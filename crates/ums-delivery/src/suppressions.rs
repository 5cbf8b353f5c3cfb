//! The suppression list as callers and operators work with it.

use ums_core::{
    Channel, StoreError, Suppression, SuppressionCursor, SuppressionFilter, SuppressionOrigin, SuppressionPage, SuppressionReason,
    TenantId, Timestamp,
};

use crate::engine::Messaging;

/// An entry that a caller puts on the list. The address was parsed at the edge.
#[derive(Clone)]
pub struct NewSuppression {
    /// Which channel.
    pub channel: Channel,
    /// Full address or number.
    pub address: String,
    /// Why.
    pub reason: SuppressionReason,
    /// Who says so.
    pub origin: SuppressionOrigin,
    /// For people.
    pub detail: Option<String>,
    /// Since when; now without it.
    pub since: Option<Timestamp>,
    /// Until when; for good without it.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewSuppression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewSuppression({} {})", self.channel, self.reason)
    }
}

impl Messaging {
    /// Puts addresses on the list; whether each is new on it. Nobody who is on it is contacted by an attempt that begins after this returned.
    ///
    /// # Errors
    /// The store.
    pub async fn suppress(&self, tenant: &TenantId, entries: Vec<NewSuppression>) -> Result<Vec<bool>, StoreError> {
        let _ = (tenant, entries);
        Err(StoreError::Unusable("not built".to_owned()))
    }

    /// Takes an address off the list, for one reason or for all. Says how many entries were in force.
    ///
    /// # Errors
    /// The store.
    pub async fn unsuppress(
        &self,
        tenant: &TenantId,
        channel: Channel,
        address: &str,
        reason: Option<SuppressionReason>,
    ) -> Result<u64, StoreError> {
        let _ = (tenant, channel, address, reason);
        Err(StoreError::Unusable("not built".to_owned()))
    }

    /// Entries in the order of channel, address and reason.
    ///
    /// # Errors
    /// The store.
    pub async fn suppressions(
        &self,
        tenant: &TenantId,
        filter: &SuppressionFilter,
        cursor: Option<&SuppressionCursor>,
        limit: usize,
    ) -> Result<SuppressionPage, StoreError> {
        self.flow
            .store
            .suppressions(tenant, filter, cursor, self.flow.clock.now(), limit)
            .await
    }

    /// The entries in force for an address.
    ///
    /// # Errors
    /// The store.
    pub async fn suppressions_of(&self, tenant: &TenantId, channel: Channel, address: &str) -> Result<Vec<Suppression>, StoreError> {
        let addresses = [address.to_owned()];
        self.flow.store.suppressed(tenant, channel, &addresses, self.flow.clock.now()).await
    }
}
