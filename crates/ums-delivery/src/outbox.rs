//! What the user's application is told, and how it gets there: endpoints, signatures, posts that are repeated until they arrive.

mod endpoints;
mod notices;
mod posting;
mod signing;

use std::time::Duration;

use ums_core::{
    Disabled, Endpoint, EndpointId, Notice, NoticeFilter, NoticeId, NoticeKind, NoticePage, NoticeState, Secret, SecretGeneration,
    StoreError, TenantId, Timestamp, WebhookPost,
};

use self::posting::NO_KEY;
use crate::engine::Messaging;
use crate::flow::Flow;

pub(crate) use self::endpoints::Endpoints;
pub(crate) use self::notices::{notices_for, notices_of_lift, notices_of_suppression, told};
pub(crate) use self::posting::run;

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

impl Messaging {
    /// Makes an endpoint; its secret is in the answer.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was kept then.
    pub async fn create_endpoint(&self, tenant: &TenantId, change: EndpointChange) -> Result<EndpointSecrets, EndpointError> {
        let flow = &self.flow;
        let key = flow.aftermath.keys.first().ok_or(EndpointError::NoKey)?;
        let url = change.url.ok_or_else(|| EndpointError::BadUrl("a URL is needed".to_owned()))?;
        check_url(flow, &url)?;
        let most = flow.rules.webhooks.max_endpoints;
        if self.endpoints(tenant).await?.len() >= most {
            return Err(EndpointError::TooMany(most));
        }
        let now = flow.clock.now();
        let endpoint = Endpoint {
            id: EndpointId::new(&*flow.clock, &*flow.random),
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
        save(flow, &endpoint).await?;
        Ok(with_secrets(flow, endpoint))
    }

    /// The endpoints of a tenant, oldest first. One whose secret cannot be derived says so as its last error.
    ///
    /// # Errors
    /// The store.
    pub async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        let mut endpoints = self.flow.store.endpoints().await?;
        endpoints.retain(|endpoint| endpoint.tenant == *tenant);
        endpoints.sort_by_key(|endpoint| (endpoint.created_at, endpoint.id));
        let shown = endpoints.into_iter().map(|endpoint| with_secrets(&self.flow, endpoint).endpoint);
        Ok(shown.collect())
    }

    /// One endpoint with its secrets: without any, and with that as its last error, when they are derived from a key that is no longer
    /// configured.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<EndpointSecrets, EndpointError> {
        Ok(with_secrets(&self.flow, find(&self.flow, tenant, id).await?))
    }

    /// Changes an endpoint: what is none stays as it is.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was changed then.
    pub async fn change_endpoint(&self, tenant: &TenantId, id: EndpointId, change: EndpointChange) -> Result<Endpoint, EndpointError> {
        let flow = &self.flow;
        let mut endpoint = find(flow, tenant, id).await?;
        if let Some(url) = change.url {
            check_url(flow, &url)?;
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
            Some(false) if endpoint.disabled.is_none() => endpoint.disabled = Some(by_owner(flow.clock.now())),
            Some(false) | None => {}
        }
        save(flow, &endpoint).await?;
        find(flow, tenant, id).await
    }

    /// Gives an endpoint a new secret; the one before signs beside it for that long, so that the application can change over.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn rotate_endpoint(&self, tenant: &TenantId, id: EndpointId, overlap: Duration) -> Result<EndpointSecrets, EndpointError> {
        let flow = &self.flow;
        let key = flow.aftermath.keys.first().ok_or(EndpointError::NoKey)?;
        let mut endpoint = find(flow, tenant, id).await?;
        let now = flow.clock.now();
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
        save(flow, &endpoint).await?;
        Ok(with_secrets(flow, endpoint))
    }

    /// Forgets an endpoint with all notices to it.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<(), EndpointError> {
        if !self.flow.store.forget_endpoint(tenant, id).await? {
            return Err(EndpointError::NotFound);
        }
        self.flow.endpoints.changed();
        Ok(())
    }

    /// Posts a `test.ping` to an endpoint at once, signed as every notice, and says how it ended. An endpoint that is disabled is posted to as well.
    /// It is posted once, and not kept.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was posted then.
    pub async fn test_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Notice, EndpointError> {
        let flow = &self.flow;
        let endpoint = find(flow, tenant, id).await?;
        let webhooks = poster(flow)?;
        if signing::secrets(&flow.aftermath.keys, &endpoint, flow.clock.now()).is_none() {
            return Err(EndpointError::KeyGone);
        }
        let notice = notices::test_notice(flow, &endpoint);
        let posted = posting::post(flow, webhooks, &endpoint, &notice).await;
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
        let filter = NoticeFilter {
            state: filter.state.or(Some(NoticeState::Failed)),
            ..filter.clone()
        };
        let now = self.flow.clock.now();
        let mut replayed = 0;
        loop {
            let some = self.flow.store.requeue_notices(tenant, &filter, now, REPLAY).await?;
            replayed += some;
            // What is pending stays pending: once is enough.
            if some < REPLAY as u64 || filter.state == Some(NoticeState::Pending) {
                break;
            }
        }
        self.flow.endpoints.wake();
        Ok(replayed)
    }
}

fn poster(flow: &Flow) -> Result<&dyn WebhookPost, EndpointError> {
    flow.aftermath.webhooks.as_deref().ok_or(EndpointError::Off)
}

fn check_url(flow: &Flow, url: &str) -> Result<(), EndpointError> {
    poster(flow)?.check_url(url).map_err(EndpointError::BadUrl)
}

async fn find(flow: &Flow, tenant: &TenantId, id: EndpointId) -> Result<Endpoint, EndpointError> {
    let mut endpoints = flow.store.endpoints().await?.into_iter();
    let endpoint = endpoints.find(|endpoint| endpoint.tenant == *tenant && endpoint.id == id);
    endpoint.ok_or(EndpointError::NotFound)
}

/// Keeps an endpoint; this process knows of it from now on.
async fn save(flow: &Flow, endpoint: &Endpoint) -> Result<(), StoreError> {
    flow.store.save_endpoint(endpoint.clone()).await?;
    flow.endpoints.changed();
    flow.endpoints.refresh(&*flow.store).await
}

fn by_owner(at: Timestamp) -> Disabled {
    Disabled {
        at,
        reason: "switched off by its owner".to_owned(),
    }
}

fn with_secrets(flow: &Flow, mut endpoint: Endpoint) -> EndpointSecrets {
    let secrets = signing::secrets(&flow.aftermath.keys, &endpoint, flow.clock.now());
    if secrets.is_none() {
        endpoint.last_error = Some(NO_KEY.to_owned());
    }
    EndpointSecrets {
        endpoint,
        secrets: secrets.unwrap_or_default(),
    }
}
