//! The suppression list, and the unsubscribe links.

use ums_core::{Channel, StoreError, Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage, TenantId};

use super::Messaging;
use crate::suppressions::{self, NewSuppression, Which};
use crate::unsubscribe::{self, Unsubscriber, Wish};

impl Messaging {
    /// Puts addresses on the list. Whether each entry is new. No attempt that begins after this returned contacts such an address.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn suppress(&self, tenant: &TenantId, entries: Vec<NewSuppression>) -> Result<Vec<bool>, StoreError> {
        suppressions::suppress(&self.engine.desk, tenant, entries).await
    }

    /// Lifts entries of an address. Returns how many entries were in force.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn unsuppress(&self, tenant: &TenantId, channel: Channel, address: &str, which: &Which) -> Result<u64, StoreError> {
        suppressions::unsuppress(&self.engine.desk, tenant, channel, address, which).await
    }

    /// Entries in the order of channel, address and reason.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn suppressions(
        &self,
        tenant: &TenantId,
        filter: &SuppressionFilter,
        cursor: Option<&SuppressionCursor>,
        limit: usize,
    ) -> Result<SuppressionPage, StoreError> {
        let desk = &self.engine.desk;
        desk.ports.store.suppressions(tenant, filter, cursor, desk.now(), limit).await
    }

    /// The entries in force for an address.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn suppressions_of(&self, tenant: &TenantId, channel: Channel, address: &str) -> Result<Vec<Suppression>, StoreError> {
        suppressions::in_force(&self.engine.desk, tenant, channel, address).await
    }

    /// The recipient of an unsubscribe link; none when the token is not genuine or its message is no longer stored. Changes nothing.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn unsubscriber(&self, token: &str) -> Result<Option<Unsubscriber>, StoreError> {
        self.engine.dispatch.links.unsubscriber(&self.engine.desk.ports, token).await
    }

    /// Does what the recipient of the link asks for; none as [`Messaging::unsubscriber`]. A second call changes nothing.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn unsubscribe(&self, token: &str, wish: Wish) -> Result<Option<Unsubscriber>, StoreError> {
        unsubscribe::fulfil(&self.engine.dispatch.links, &self.engine.desk, token, wish).await
    }
}
