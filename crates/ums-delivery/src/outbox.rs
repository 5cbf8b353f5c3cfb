//! What the user's application is told, and how it gets there: endpoints, signatures, posts that are repeated until they arrive.

mod posting;
mod signing;

use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    Disabled, Endpoint, EndpointId, Notice, NoticeFilter, NoticeKind, NoticeState, Secret, SecretGeneration, StoreError, TenantId,
    Timestamp, WebhookPost,
};

use self::posting::NO_KEY;
pub(crate) use self::posting::{Postbox, run};
use crate::notices::Notices;

/// Most secrets of an endpoint that are kept, the newest among them.
const MAX_SECRETS: usize = 8;
/// Notices that are made pending again at once.
const REPLAY: usize = 1_000;

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
    /// Its secret is derived from a key that is no longer configured.
    #[error("the webhook endpoint cannot be signed for: {NO_KEY}")]
    KeyGone,
    /// Nothing is posted by this process.
    #[error("webhooks are not posted by this process")]
    Off,
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

/// The endpoints of users' applications, as their owners work with them.
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
            disabled: change.enabled.is_some_and(|enabled| !enabled).then(|| by_owner(now)),
            failing_since: None,
            last_success_at: None,
            last_error: None,
        };
        self.save(&endpoint).await?;
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
        let mut endpoint = self.find(tenant, id).await?;
        if let Some(url) = change.url {
            self.check_url(&url)?;
            endpoint.url = url;
        }
        if let Some(description) = change.description {
            endpoint.description = description;
        }
        if let Some(kinds) = change.kinds {
            endpoint.kinds = kinds;
        }
        match change.enabled {
            Some(true) => endpoint.disabled = None,
            Some(false) if endpoint.disabled.is_none() => endpoint.disabled = Some(by_owner(self.now())),
            Some(false) | None => {}
        }
        self.save(&endpoint).await?;
        self.find(tenant, id).await
    }

    pub(crate) async fn rotate(&self, tenant: &TenantId, id: EndpointId, overlap: Duration) -> Result<EndpointSecrets, EndpointError> {
        let key = self.newest_key()?;
        let mut endpoint = self.find(tenant, id).await?;
        let now = self.now();
        // Before any is forgotten: a number is never given twice, else an old secret would sign again.
        let last = endpoint.secrets.iter().map(|generation| generation.number).max().unwrap_or(0);
        for generation in endpoint.secrets.iter_mut().filter(|generation| generation.until.is_none()) {
            generation.until = Some(now + overlap);
        }
        endpoint
            .secrets
            .retain(|generation| generation.until.is_some_and(|until| until > now));
        let newest = SecretGeneration {
            number: last + 1,
            key: signing::fingerprint(key),
            until: None,
        };
        endpoint.secrets.insert(0, newest);
        endpoint.secrets.truncate(MAX_SECRETS);
        self.save(&endpoint).await?;
        Ok(self.with_secrets(endpoint))
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
            // What is pending stays pending: once is enough.
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

    /// Keeps an endpoint; this process knows of it from now on.
    async fn save(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let (store, endpoints) = (&self.postbox.ports.store, &self.postbox.endpoints);
        store.save_endpoint(endpoint.clone()).await?;
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

fn by_owner(at: Timestamp) -> Disabled {
    Disabled {
        at,
        reason: "switched off by its owner".to_owned(),
    }
}
