//! Endpoints of the user's application, and what they are told.

use anyhow::{Result, anyhow};
use ums_core::{EndpointId, NoticeFilter, NoticeId, TenantId};
use ums_server::{WebhookDeliveries, WebhookDelivery, WebhookEndpoint, WebhookEndpoints, WebhooksReplayed};
use unified_messaging::{EndpointChange, EndpointError, Error};

use super::Aftermath;
use crate::client::query;
use crate::exit::usage;
use crate::settings::explained;

impl Aftermath {
    /// All endpoints, oldest first.
    ///
    /// # Errors
    /// When the store or service cannot be asked.
    pub(crate) async fn endpoints(&self) -> Result<WebhookEndpoints> {
        match self {
            Self::Here(service) => {
                let endpoints = service.engine().endpoints(&TenantId::default()).await.map_err(Error::from);
                let data = endpoints.map_err(explained)?.iter().map(WebhookEndpoint::from).collect();
                Ok(WebhookEndpoints { data })
            }
            Self::Remote(client) => client.get("/v1/webhooks").await,
        }
    }

    /// One endpoint with its secrets.
    ///
    /// # Errors
    /// When there is none, or the store or service cannot be asked.
    pub(crate) async fn endpoint(&self, id: EndpointId) -> Result<WebhookEndpoint> {
        match self {
            Self::Here(service) => {
                let found = service.engine().endpoint(&TenantId::default(), id).await;
                Ok(WebhookEndpoint::from(&found.map_err(told)?))
            }
            Self::Remote(client) => client.get(&format!("/v1/webhooks/{id}?secrets=true")).await,
        }
    }

    /// Makes an endpoint; its secret is in the answer.
    ///
    /// # Errors
    /// When it cannot be made as it is.
    pub(crate) async fn create_endpoint(&self, change: EndpointChange) -> Result<WebhookEndpoint> {
        match self {
            Self::Here(service) => {
                let made = service.engine().create_endpoint(&TenantId::default(), change).await;
                Ok(WebhookEndpoint::from(&made.map_err(told)?))
            }
            Self::Remote(client) => client.post("/v1/webhooks", &body(&change)).await,
        }
    }

    /// Changes an endpoint: what is none stays as it is.
    ///
    /// # Errors
    /// As [`Aftermath::create_endpoint`].
    pub(crate) async fn change_endpoint(&self, id: EndpointId, change: EndpointChange) -> Result<WebhookEndpoint> {
        match self {
            Self::Here(service) => {
                let changed = service.engine().change_endpoint(&TenantId::default(), id, change).await;
                Ok(WebhookEndpoint::from(&changed.map_err(told)?))
            }
            Self::Remote(client) => client.patch(&format!("/v1/webhooks/{id}"), &body(&change)).await,
        }
    }

    /// Gives an endpoint a new secret; the one before signs beside it for some hours.
    ///
    /// # Errors
    /// As [`Aftermath::endpoint`].
    pub(crate) async fn rotate_endpoint(&self, id: EndpointId, overlap_hours: u32) -> Result<WebhookEndpoint> {
        match self {
            Self::Here(service) => {
                let overlap = std::time::Duration::from_hours(overlap_hours.into());
                let rotated = service.engine().rotate_endpoint(&TenantId::default(), id, overlap).await;
                Ok(WebhookEndpoint::from(&rotated.map_err(told)?))
            }
            Self::Remote(client) => {
                let body = serde_json::json!({ "overlap_seconds": u64::from(overlap_hours) * 3_600 });
                client.post(&format!("/v1/webhooks/{id}/rotate"), &body).await
            }
        }
    }

    /// Forgets an endpoint with all notices to it.
    ///
    /// # Errors
    /// As [`Aftermath::endpoint`].
    pub(crate) async fn forget_endpoint(&self, id: EndpointId) -> Result<()> {
        match self {
            Self::Here(service) => service.engine().forget_endpoint(&TenantId::default(), id).await.map_err(told),
            Self::Remote(client) => client.delete_quietly(&format!("/v1/webhooks/{id}")).await,
        }
    }

    /// Posts a test to an endpoint at once, and says how it ended.
    ///
    /// # Errors
    /// As [`Aftermath::endpoint`].
    pub(crate) async fn test_endpoint(&self, id: EndpointId) -> Result<WebhookDelivery> {
        match self {
            Self::Here(service) => {
                let posted = service.engine().test_endpoint(&TenantId::default(), id).await;
                Ok(WebhookDelivery::from(&posted.map_err(told)?))
            }
            Self::Remote(client) => client.post(&format!("/v1/webhooks/{id}/test"), &serde_json::json!({})).await,
        }
    }

    /// A page of notices, newest first.
    ///
    /// # Errors
    /// When the store or service cannot be asked.
    pub(crate) async fn deliveries(&self, filter: &NoticeFilter, cursor: Option<NoticeId>, limit: usize) -> Result<WebhookDeliveries> {
        match self {
            Self::Here(service) => {
                let page = service.engine().notices(&TenantId::default(), filter, cursor, limit).await;
                let page = page.map_err(|error| explained(Error::from(error)))?;
                Ok(WebhookDeliveries {
                    data: page.notices.iter().map(WebhookDelivery::from).collect(),
                    next_cursor: page.next_cursor,
                })
            }
            Self::Remote(client) => {
                let pairs = [
                    ("limit", Some(limit.to_string())),
                    ("endpoint_id", filter.endpoint.map(|id| id.to_string())),
                    ("state", filter.state.map(|word| word.to_string())),
                    ("message_id", filter.message_id.map(|id| id.to_string())),
                    ("since", filter.since.map(|at| at.to_string())),
                    ("until", filter.until.map(|at| at.to_string())),
                    ("cursor", cursor.map(|id| id.to_string())),
                ];
                client.get(&format!("/v1/webhooks/deliveries?{}", query(pairs))).await
            }
        }
    }

    /// Has notices posted again; says how many.
    ///
    /// # Errors
    /// When the store or service cannot be asked.
    pub(crate) async fn replay_notices(&self, filter: &NoticeFilter) -> Result<u64> {
        match self {
            Self::Here(service) => {
                let replayed = service.engine().replay_notices(&TenantId::default(), filter).await;
                replayed.map_err(|error| explained(Error::from(error)))
            }
            Self::Remote(client) => {
                let body = serde_json::json!({
                    "endpoint_id": filter.endpoint, "state": filter.state, "message_id": filter.message_id,
                    "since": filter.since, "until": filter.until,
                });
                let replayed: WebhooksReplayed = client.post("/v1/webhooks/replay", &body).await?;
                Ok(replayed.replayed)
            }
        }
    }
}

fn body(change: &EndpointChange) -> serde_json::Value {
    let mut body = serde_json::Map::new();
    let mut add = |name: &str, value: Option<serde_json::Value>| body.extend(value.map(|value| (name.to_owned(), value)));
    add("url", change.url.clone().map(Into::into));
    add("description", change.description.clone().map(Into::into));
    add(
        "events",
        change.kinds.as_ref().map(|kinds| kinds.iter().map(|kind| kind.as_str()).collect()),
    );
    add("enabled", change.enabled.map(Into::into));
    body.into()
}

fn told(error: EndpointError) -> anyhow::Error {
    match error {
        EndpointError::Store(error) => explained(Error::from(error)),
        EndpointError::NotFound => anyhow!("there is no such webhook endpoint; `ums webhooks list` shows those that there are"),
        EndpointError::BadUrl(reason) => usage(format!("the URL {reason}")),
        EndpointError::NoKey | EndpointError::KeyGone | EndpointError::TooMany(_) | EndpointError::Off => usage(error),
    }
}
