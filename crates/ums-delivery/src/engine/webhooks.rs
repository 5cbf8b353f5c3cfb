//! The endpoints of the user's applications, and their notices.

use std::time::Duration;

use ums_core::{Endpoint, EndpointId, Notice, NoticeFilter, NoticeId, NoticePage, StoreError, TenantId};

use super::Messaging;
use crate::outbox::{EndpointChange, EndpointError, EndpointSecrets};

impl Messaging {
    /// Creates an endpoint; the answer holds its secret.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was stored then.
    pub async fn create_endpoint(&self, tenant: &TenantId, change: EndpointChange) -> Result<EndpointSecrets, EndpointError> {
        self.engine.outbox.create(tenant, change).await
    }

    /// The endpoints of a tenant, oldest first. The last error of an endpoint says whether its secret cannot be derived.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        self.engine.outbox.all(tenant).await
    }

    /// One endpoint with its secrets. Without secrets, when they are derived from a key that is no longer configured; the last error says
    /// this then.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<EndpointSecrets, EndpointError> {
        self.engine.outbox.one(tenant, id).await
    }

    /// Changes an endpoint; a field of the change that is none stays as it is.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was changed then.
    pub async fn change_endpoint(&self, tenant: &TenantId, id: EndpointId, change: EndpointChange) -> Result<Endpoint, EndpointError> {
        self.engine.outbox.change(tenant, id, change).await
    }

    /// Gives an endpoint a new secret. The earlier secrets sign, too, for `overlap`, so that the application can change over.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn rotate_endpoint(&self, tenant: &TenantId, id: EndpointId, overlap: Duration) -> Result<EndpointSecrets, EndpointError> {
        self.engine.outbox.rotate(tenant, id, overlap).await
    }

    /// Deletes an endpoint with all its notices.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<(), EndpointError> {
        self.engine.outbox.forget(tenant, id).await
    }

    /// Posts a `test.ping` to an endpoint at once, also to a disabled one, signed like every notice. Returns the outcome. The notice is
    /// posted once, and not stored.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was posted then.
    pub async fn test_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Notice, EndpointError> {
        self.engine.outbox.test(tenant, id).await
    }

    /// Notices, newest first.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn notices(
        &self,
        tenant: &TenantId,
        filter: &NoticeFilter,
        cursor: Option<NoticeId>,
        limit: usize,
    ) -> Result<NoticePage, StoreError> {
        self.engine.desk.ports.store.notices(tenant, filter, cursor, limit).await
    }

    /// Has notices posted again that were given up, or that the filter names by their state. Returns how many.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn replay_notices(&self, tenant: &TenantId, filter: &NoticeFilter) -> Result<u64, StoreError> {
        self.engine.outbox.replay(tenant, filter).await
    }
}
