//! The endpoints of the user's applications, as their owners manage them; `outbox/posting.rs` posts notices to them, `outbox/signing.rs`
//! signs.

mod posting;
mod signing;

use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    Disabled, Endpoint, EndpointId, EndpointUpdate, Notice, NoticeFilter, NoticeKind, NoticeState, Secret, SecretGeneration, StoreError,
    TenantId, Timestamp, WebhookPost,
};

use self::posting::NO_KEY;
pub(crate) use self::posting::{Postbox, run};
use crate::notices::Notices;

/// Most secrets of an endpoint; the oldest go first.
const MAX_SECRETS: usize = 8;
/// Most notices that one transaction makes pending again.
const REPLAY: usize = 1_000;

/// Settings of an endpoint that a caller changes; none leaves a setting as it is.
#[derive(Clone, Default)]
pub struct EndpointChange {
    /// The URL that notices are posted to.
    pub url: Option<String>,
    /// A description, for people.
    pub description: Option<String>,
    /// The kinds of notices; empty for all kinds.
    pub kinds: Option<Vec<NoticeKind>>,
    /// Whether notices are posted to the endpoint.
    pub enabled: Option<bool>,
}

impl std::fmt::Debug for EndpointChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EndpointChange({:?} {:?})", self.kinds, self.enabled)
    }
}

/// Why an endpoint was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// There is no such endpoint.
    #[error("there is no such webhook endpoint")]
    NotFound,
    /// Notices cannot be posted to the URL; for people.
    #[error("{0}")]
    BadUrl(String),
    /// Signing needs a key of the service.
    #[error("webhooks are signed with a secret that is derived from UMS_SECRET_KEY, which is not set")]
    NoKey,
    /// The secret of the endpoint is derived from a key that is no longer configured.
    #[error("the webhook endpoint cannot be signed for: {NO_KEY}")]
    KeyGone,
    /// This process posts no notices.
    #[error("webhooks are not posted by this process")]
    Off,
    /// The tenant has as many endpoints as allowed.
    #[error("there are as many webhook endpoints as there may be: {0}")]
    TooMany(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An endpoint with its signing secrets, newest first: `whsec_…` as Standard Webhooks writes them.
#[derive(Clone, Debug)]
pub struct EndpointSecrets {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The secrets that sign now.
    pub secrets: Vec<Secret>,
}

/// Manages endpoints and their notices.
#[derive(Debug)]
pub(crate) struct Outbox {
    postbox: Arc<Postbox>,
    notices: Notices,
}

impl Outbox {
    pub(crate) fn new(postbox: Arc<Postbox>, notices: Notices) -> Self {
        Self { postbox, notices }
    }

    fn now(&self) -> Timestamp {
        self.postbox.ports.clock.now()
    }

    fn newest_key(&self) -> Result<&Secret, EndpointError> {
        self.postbox.keys.first().ok_or(EndpointError::NoKey)
    }

    pub(crate) async fn create(&self, tenant: &TenantId, change: EndpointChange) -> Result<EndpointSecrets, EndpointError> {
        let key = self.newest_key()?;
        let url = change.url.ok_or_else(|| EndpointError::BadUrl("a URL is needed".to_owned()))?;
        self.check_url(&url)?;
        let most = self.postbox.rules.max_endpoints;
        if self.all(tenant).await?.len() >= most {
            return Err(EndpointError::TooMany(most));
        }
        let now = self.now();
        let ports = &self.postbox.ports;
        let endpoint = Endpoint {
            id: EndpointId::new(&*ports.clock, &*ports.random),
            tenant: tenant.clone(),
            url,
            description: change.description.unwrap_or_default(),
            kinds: change.kinds.unwrap_or_default(),
            secrets: vec![SecretGeneration {
                number: 1,
                key: signing::fingerprint(key),
                until: None,
            }],
            created_at: now,
            disabled: change.enabled.is_some_and(|enabled| !enabled).then(|| Disabled::by_owner(now)),
            failing_since: None,
            last_success_at: None,
            last_error: None,
        };
        self.postbox.ports.store.save_endpoint(endpoint.clone()).await?;
        self.refresh().await?;
        Ok(self.with_secrets(endpoint))
    }

    pub(crate) async fn all(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        let mut endpoints = self.postbox.ports.store.endpoints().await?;
        endpoints.retain(|endpoint| endpoint.tenant == *tenant);
        endpoints.sort_by_key(|endpoint| (endpoint.created_at, endpoint.id));
        let shown = endpoints.into_iter().map(|endpoint| self.with_secrets(endpoint).endpoint);
        Ok(shown.collect())
    }

    pub(crate) async fn one(&self, tenant: &TenantId, id: EndpointId) -> Result<EndpointSecrets, EndpointError> {
        Ok(self.with_secrets(self.find(tenant, id).await?))
    }

    pub(crate) async fn change(&self, tenant: &TenantId, id: EndpointId, change: EndpointChange) -> Result<Endpoint, EndpointError> {
        if let Some(url) = &change.url {
            self.check_url(url)?;
        }
        let EndpointChange {
            url,
            description,
            kinds,
            enabled,
        } = change;
        let update = EndpointUpdate::Settings {
            url,
            description,
            kinds,
            enabled,
            at: self.now(),
        };
        self.update(tenant, id, update).await
    }

    pub(crate) async fn rotate(&self, tenant: &TenantId, id: EndpointId, overlap: Duration) -> Result<EndpointSecrets, EndpointError> {
        let key = self.newest_key()?;
        let update = EndpointUpdate::Rotate {
            key: signing::fingerprint(key),
            at: self.now(),
            overlap,
            most: MAX_SECRETS,
        };
        Ok(self.with_secrets(self.update(tenant, id, update).await?))
    }

    pub(crate) async fn forget(&self, tenant: &TenantId, id: EndpointId) -> Result<(), EndpointError> {
        if !self.postbox.ports.store.forget_endpoint(tenant, id).await? {
            return Err(EndpointError::NotFound);
        }
        self.postbox.endpoints.changed();
        Ok(())
    }

    pub(crate) async fn test(&self, tenant: &TenantId, id: EndpointId) -> Result<Notice, EndpointError> {
        let endpoint = self.find(tenant, id).await?;
        let webhooks = self.webhooks()?;
        if self.postbox.secrets(&endpoint).is_none() {
            return Err(EndpointError::KeyGone);
        }
        let notice = self.notices.of_test(&endpoint);
        let posted = posting::post(&self.postbox, webhooks, &endpoint, &notice).await;
        Ok(Notice {
            state: if posted.is_success() {
                NoticeState::Delivered
            } else {
                NoticeState::Failed
            },
            tries: 1,
            last_result: Some(posted.describe()),
            ..notice
        })
    }

    pub(crate) async fn replay(&self, tenant: &TenantId, filter: &NoticeFilter) -> Result<u64, StoreError> {
        let filter = NoticeFilter {
            state: filter.state.or(Some(NoticeState::Failed)),
            ..filter.clone()
        };
        let now = self.now();
        let mut replayed = 0;
        loop {
            let some = self.postbox.ports.store.requeue_notices(tenant, &filter, now, REPLAY).await?;
            replayed += some;
            // A pending notice stays pending, so the loop would never end.
            if some < REPLAY as u64 || filter.state == Some(NoticeState::Pending) {
                break;
            }
        }
        self.postbox.endpoints.wake();
        Ok(replayed)
    }

    fn webhooks(&self) -> Result<&dyn WebhookPost, EndpointError> {
        self.postbox.webhooks.as_deref().ok_or(EndpointError::Off)
    }

    fn check_url(&self, url: &str) -> Result<(), EndpointError> {
        self.webhooks()?.check_url(url).map_err(EndpointError::BadUrl)
    }

    async fn find(&self, tenant: &TenantId, id: EndpointId) -> Result<Endpoint, EndpointError> {
        let mut endpoints = self.postbox.ports.store.endpoints().await?.into_iter();
        let endpoint = endpoints.find(|endpoint| endpoint.tenant == *tenant && endpoint.id == id);
        endpoint.ok_or(EndpointError::NotFound)
    }

    /// Changes an endpoint in the store. Returns the endpoint as it is then.
    async fn update(&self, tenant: &TenantId, id: EndpointId, update: EndpointUpdate) -> Result<Endpoint, EndpointError> {
        let changed = self.postbox.ports.store.change_endpoint(tenant, id, update).await?;
        self.refresh().await?;
        changed.ok_or(EndpointError::NotFound)
    }

    /// Refreshes the endpoints that this process knows.
    async fn refresh(&self) -> Result<(), StoreError> {
        let (store, endpoints) = (&self.postbox.ports.store, &self.postbox.endpoints);
        endpoints.changed();
        endpoints.refresh(&**store).await
    }

    fn with_secrets(&self, mut endpoint: Endpoint) -> EndpointSecrets {
        let secrets = self.postbox.secrets(&endpoint);
        if secrets.is_none() {
            endpoint.last_error = Some(NO_KEY.to_owned());
        }
        EndpointSecrets {
            endpoint,
            secrets: secrets.unwrap_or_default(),
        }
    }
}
