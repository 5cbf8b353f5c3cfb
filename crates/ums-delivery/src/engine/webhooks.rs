//! The endpoints of users' applications, and what they are told.

use std::time::Duration;

use ums_core::{Endpoint, EndpointId, Notice, NoticeFilter, NoticeId, NoticePage, StoreError, TenantId};

use super::Messaging;
use crate::outbox::{EndpointChange, EndpointError, EndpointSecrets};

impl Messaging {
    /// Makes an endpoint; its secret is in the answer.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was kept then.
    pub async fn create_endpoint(&self, tenant: &TenantId, change: EndpointChange) -> Result<EndpointSecrets, EndpointError> {
        self.engine.outbox.create(tenant, change).await
    }

    /// The endpoints of a tenant, oldest first. An endpoint whose secret cannot be derived says so as its last error.
    ///
    /// # Errors
    /// The store.
    pub async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        self.engine.outbox.all(tenant).await
    }

    /// One endpoint with its secrets: without any, and with that as its last error, when they are derived from a key that is no longer
    /// configured.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<EndpointSecrets, EndpointError> {
        self.engine.outbox.one(tenant, id).await
    }

    /// Changes an endpoint: what is none stays as it is.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was changed then.
    pub async fn change_endpoint(&self, tenant: &TenantId, id: EndpointId, change: EndpointChange) -> Result<Endpoint, EndpointError> {
        self.engine.outbox.change(tenant, id, change).await
    }

    /// Gives an endpoint a new secret; the secret before signs beside it for that long, so that the application can change over.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn rotate_endpoint(&self, tenant: &TenantId, id: EndpointId, overlap: Duration) -> Result<EndpointSecrets, EndpointError> {
        self.engine.outbox.rotate(tenant, id, overlap).await
    }

    /// Forgets an endpoint with all notices to it.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<(), EndpointError> {
        self.engine.outbox.forget(tenant, id).await
    }

    /// Posts a `test.ping` to an endpoint at once, signed as every notice, and says how it ended. An endpoint that is disabled is posted to as well.
    /// It is posted once, and not kept.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was posted then.
    pub async fn test_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Notice, EndpointError> {
        self.engine.outbox.test(tenant, id).await
    }

    /// Notices, newest first.
    ///
    /// # Errors
    /// The store.
    pub async fn notices(
        &self,
        tenant: &TenantId,
        filter: &NoticeFilter,
        cursor: Option<NoticeId>,
        limit: usize,
    ) -> Result<NoticePage, StoreError> {
        self.engine.desk.ports.store.notices(tenant, filter, cursor, limit).await
    }

    /// Has notices that were given up (or, if the filter says so, delivered) posted again; says how many.
    ///
    /// # Errors
    /// The store.
    pub async fn replay_notices(&self, tenant: &TenantId, filter: &NoticeFilter) -> Result<u64, StoreError> {
        self.engine.outbox.replay(tenant, filter).await
    }
}
