//! `/v1/webhooks`: URLs of the user's application that are told what became of messages, and how the telling went.
//!
//! A signing secret is in the answer that makes it (creation, rotation), and where it is asked for with `secrets=true`; never in a list.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::header::{self, HeaderValue};
use hyper::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ums_core::{
    Endpoint, EndpointId, MessageId, Notice, NoticeFilter, NoticeId, NoticeKind, NoticeState, Secret, StoreError, TenantId, Timestamp,
};
use ums_delivery::{EndpointChange, EndpointError, EndpointSecrets, Messaging};

use crate::api::acts::read;
use crate::api::{App, json, store_problem};
use crate::problem::{ErrorCode, Problem};
use crate::{body, query, shape};

/// How many deliveries a page holds unless the caller says otherwise.
const USUAL_LIMIT: usize = 50;
/// Most deliveries of a page.
const MAX_LIMIT: usize = 200;
/// Longest URL, in bytes.
const MAX_URL_BYTES: usize = 2_000;
/// Longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 500;
/// How long the secret before signs beside a new one, unless the caller says otherwise.
const USUAL_OVERLAP: Duration = Duration::from_hours(24);
/// The longest that it may.
const MAX_OVERLAP: Duration = Duration::from_hours(30 * 24);

/// An endpoint as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// Where notices are posted.
    pub url: String,
    /// What it is for, in the user's words.
    pub description: String,
    /// What it is told about; empty for everything.
    pub events: Vec<NoticeKind>,
    /// Whether it is posted to.
    pub enabled: bool,
    /// Since when it is not.
    pub disabled_at: Option<Timestamp>,
    /// Why it is not.
    pub disabled_reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when every post to it has failed.
    pub failing_since: Option<Timestamp>,
    /// When it last took a notice.
    pub last_success_at: Option<Timestamp>,
    /// How the last post that failed did.
    pub last_error: Option<String>,
    /// Its signing secrets that are good now, newest first; only where they are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
}

impl From<&Endpoint> for WebhookEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let disabled = endpoint.disabled.as_ref();
        Self {
            id: endpoint.id,
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            events: endpoint.kinds.clone(),
            enabled: disabled.is_none(),
            disabled_at: disabled.map(|disabled| disabled.at),
            disabled_reason: disabled.map(|disabled| disabled.reason.clone()),
            created_at: endpoint.created_at,
            failing_since: endpoint.failing_since,
            last_success_at: endpoint.last_success_at,
            last_error: endpoint.last_error.clone(),
            secrets: None,
        }
    }
}

impl From<&EndpointSecrets> for WebhookEndpoint {
    fn from(with_secrets: &EndpointSecrets) -> Self {
        let secrets = with_secrets.secrets.iter().map(Secret::expose).map(str::to_owned);
        Self {
            secrets: Some(secrets.collect()),
            ..Self::from(&with_secrets.endpoint)
        }
    }
}

/// The endpoints, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpoints {
    /// The endpoints.
    pub data: Vec<WebhookEndpoint>,
}

/// One notice to one endpoint as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    /// Its id, which is in the header `webhook-id`.
    pub id: NoticeId,
    /// Who is told.
    pub endpoint_id: EndpointId,
    /// What it is about.
    pub r#type: NoticeKind,
    /// Which message.
    pub message_id: Option<MessageId>,
    /// When it happened.
    pub at: Timestamp,
    /// Where it stands.
    pub state: NoticeState,
    /// How often it was posted.
    pub tries: u32,
    /// When it is posted next; null when it is not.
    pub next_try_at: Option<Timestamp>,
    /// How the last post ended: a status or a word.
    pub last_result: Option<String>,
    /// What is posted.
    pub payload: Value,
}

impl From<&Notice> for WebhookDelivery {
    fn from(notice: &Notice) -> Self {
        Self {
            id: notice.id,
            endpoint_id: notice.endpoint,
            r#type: notice.kind,
            message_id: notice.message_id,
            at: notice.at,
            state: notice.state,
            tries: notice.tries,
            next_try_at: (notice.state == NoticeState::Pending).then_some(notice.due_at),
            last_result: notice.last_result.clone(),
            payload: serde_json::from_str(&notice.body).unwrap_or_default(),
        }
    }
}

/// A page of deliveries, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDeliveries {
    /// The deliveries.
    pub data: Vec<WebhookDelivery>,
    /// Give it to the next call to go on; null at the end.
    pub next_cursor: Option<NoticeId>,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhooksReplayed {
    /// How many notices are posted again.
    pub replayed: u64,
}

type Id = Result<Path<String>, PathRejection>;

/// `GET /v1/webhooks`.
pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    match app.in_time(app.messaging.endpoints(&App::tenant())).await {
        Err(problem) => problem.into_response(),
        Ok(Err(error)) => store_problem(&error).into_response(),
        Ok(Ok(endpoints)) => {
            let data = endpoints.iter().map(WebhookEndpoint::from).collect();
            json(StatusCode::OK, &WebhookEndpoints { data })
        }
    }
}

/// `POST /v1/webhooks`.
pub(super) async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    let object = read(&app, request, shape::NEW_ENDPOINT, app.limits.body_bytes).await;
    let change = match object.and_then(|object| change_of(&object, true)) {
        Ok(change) => change,
        Err(problem) => return problem.into_response(),
    };
    let made = in_a_task(
        &app,
        |messaging, tenant| async move { messaging.create_endpoint(&tenant, change).await },
    );
    match made.await {
        Ok(made) => {
            let location = HeaderValue::from_str(&format!("/v1/webhooks/{}", made.endpoint.id));
            let mut response = json(StatusCode::CREATED, &WebhookEndpoint::from(&made));
            response
                .headers_mut()
                .extend(location.ok().map(|location| (header::LOCATION, location)));
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// `GET /v1/webhooks/{id}`.
pub(super) async fn one(State(app): State<Arc<App>>, id: Id, uri: Uri) -> Response {
    let mut with_secrets = false;
    let wanted = query::read(&uri, |name, value| match name {
        "secrets" => query::truth(value).map(|truth| with_secrets = truth),
        _ => Err(query::UNKNOWN.to_owned()),
    });
    let id = match wanted.and_then(|()| read_id(id)) {
        Ok(id) => id,
        Err(problem) => return problem.into_response(),
    };
    let found = in_a_task(&app, move |messaging, tenant| async move { messaging.endpoint(&tenant, id).await });
    shown(found.await.map(|found| {
        if with_secrets {
            WebhookEndpoint::from(&found)
        } else {
            WebhookEndpoint::from(&found.endpoint)
        }
    }))
}

/// `PATCH /v1/webhooks/{id}`.
pub(super) async fn change(State(app): State<Arc<App>>, id: Id, request: Request) -> Response {
    let object = read(&app, request, shape::ENDPOINT, app.limits.body_bytes).await;
    let asked = object
        .and_then(|object| change_of(&object, false))
        .and_then(|change| read_id(id).map(|id| (id, change)));
    let (id, change) = match asked {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let changed = in_a_task(&app, move |messaging, tenant| async move {
        messaging.change_endpoint(&tenant, id, change).await
    });
    shown(changed.await.map(|endpoint| WebhookEndpoint::from(&endpoint)))
}

/// `DELETE /v1/webhooks/{id}`.
pub(super) async fn forget(State(app): State<Arc<App>>, id: Id, request: Request) -> Response {
    body::discard(request).await;
    let id = match read_id(id) {
        Ok(id) => id,
        Err(problem) => return problem.into_response(),
    };
    let forgotten = in_a_task(&app, move |messaging, tenant| async move {
        messaging.forget_endpoint(&tenant, id).await
    });
    match forgotten.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// `POST /v1/webhooks/{id}/rotate`.
pub(super) async fn rotate(State(app): State<Arc<App>>, id: Id, request: Request) -> Response {
    let asked = read_or_nothing(&app, request, shape::ROTATE)
        .await
        .and_then(|object| overlap_of(&object))
        .and_then(|overlap| read_id(id).map(|id| (id, overlap)));
    let (id, overlap) = match asked {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let rotated = in_a_task(&app, move |messaging, tenant| async move {
        messaging.rotate_endpoint(&tenant, id, overlap).await
    });
    shown(rotated.await.map(|rotated| WebhookEndpoint::from(&rotated)))
}

/// `POST /v1/webhooks/{id}/test`.
pub(super) async fn test(State(app): State<Arc<App>>, id: Id, request: Request) -> Response {
    body::discard(request).await;
    let id = match read_id(id) {
        Ok(id) => id,
        Err(problem) => return problem.into_response(),
    };
    // The application is waited for, not the store: its time is bounded where it is called.
    let messaging = app.messaging.clone();
    let posted = tokio::spawn(async move { messaging.test_endpoint(&App::tenant(), id).await });
    let notice = match posted.await {
        Ok(notice) => notice.map_err(endpoint_problem),
        Err(_) => Err(broke_off()),
    };
    match notice {
        Ok(notice) => json(StatusCode::OK, &WebhookDelivery::from(&notice)),
        Err(problem) => problem.into_response(),
    }
}

/// `GET /v1/webhooks/deliveries`.
pub(super) async fn deliveries(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let (mut filter, mut cursor, mut limit) = (NoticeFilter::default(), None, USUAL_LIMIT);
    let read = query::read(&uri, |name, value| {
        match name {
            "endpoint_id" => filter.endpoint = Some(id_of(value, "must be the id of an endpoint")?),
            "state" => filter.state = Some(query::word(value)?),
            "message_id" => filter.message_id = Some(id_of(value, "must be the id of a message")?),
            "since" => filter.since = Some(query::time(value)?),
            "until" => filter.until = Some(query::time(value)?),
            "cursor" => cursor = Some(id_of(value, "must be the next_cursor of an earlier page")?),
            "limit" => limit = query::limit(value, MAX_LIMIT)?,
            _ => return Err(query::UNKNOWN.to_owned()),
        }
        Ok(())
    });
    if let Err(problem) = read {
        return problem.into_response();
    }
    let tenant = App::tenant();
    match app.in_time(app.messaging.notices(&tenant, &filter, cursor, limit)).await {
        Err(problem) => problem.into_response(),
        Ok(Err(error)) => store_problem(&error).into_response(),
        Ok(Ok(page)) => {
            let deliveries = WebhookDeliveries {
                data: page.notices.iter().map(WebhookDelivery::from).collect(),
                next_cursor: page.next_cursor,
            };
            json(StatusCode::OK, &deliveries)
        }
    }
}

/// `POST /v1/webhooks/replay`.
pub(super) async fn replay(State(app): State<Arc<App>>, request: Request) -> Response {
    let object = read_or_nothing(&app, request, shape::REPLAY_NOTICES).await;
    let filter = match object.and_then(|object| filter_of(&object)) {
        Ok(filter) => filter,
        Err(problem) => return problem.into_response(),
    };
    let replayed = in_a_task(&app, move |messaging, tenant| async move {
        Ok(messaging.replay_notices(&tenant, &filter).await?)
    });
    match replayed.await {
        Ok(replayed) => json(StatusCode::OK, &WebhooksReplayed { replayed }),
        Err(problem) => problem.into_response(),
    }
}

fn shown(endpoint: Result<WebhookEndpoint, Problem>) -> Response {
    match endpoint {
        Ok(endpoint) => json(StatusCode::OK, &endpoint),
        Err(problem) => problem.into_response(),
    }
}

/// In a task of its own: a client that goes away leaves nothing half done.
async fn in_a_task<T, F>(app: &App, work: impl FnOnce(Messaging, TenantId) -> F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, EndpointError>> + Send + 'static,
{
    match app.in_time(tokio::spawn(work(app.messaging.clone(), App::tenant()))).await? {
        Ok(done) => done.map_err(endpoint_problem),
        Err(_) => Err(broke_off()),
    }
}

fn broke_off() -> Problem {
    Problem::new(
        ErrorCode::Internal,
        "it broke off within the service; look at the endpoint before you repeat it",
    )
}

fn endpoint_problem(error: EndpointError) -> Problem {
    match error {
        EndpointError::NotFound | EndpointError::Store(StoreError::NotFound) => missing(),
        EndpointError::BadUrl(reason) => Problem::fault(ErrorCode::InvalidFields, "url", &reason),
        EndpointError::NoKey | EndpointError::KeyGone | EndpointError::Off => Problem::new(ErrorCode::WebhooksOff, error.to_string()),
        EndpointError::TooMany(_) => Problem::new(ErrorCode::TooManyEndpoints, error.to_string()),
        EndpointError::Store(error) => store_problem(&error),
    }
}

fn missing() -> Problem {
    Problem::new(ErrorCode::NoSuchEndpoint, "no webhook endpoint of yours has this id")
}

/// The id in a path; what is none belongs to no endpoint.
fn read_id(id: Id) -> Result<EndpointId, Problem> {
    id.ok().and_then(|Path(id)| EndpointId::from_str(&id).ok()).ok_or_else(missing)
}

fn id_of<T: FromStr>(value: &str, reason: &str) -> Result<T, String> {
    value.parse().map_err(|_| reason.to_owned())
}

/// Reads fields that may all be absent: an empty body is as good as `{}`.
async fn read_or_nothing(app: &App, request: Request, fields: shape::Fields) -> Result<Map<String, Value>, Problem> {
    if hyper::body::Body::is_end_stream(request.body()) {
        return Ok(Map::new());
    }
    read(app, request, fields, app.limits.body_bytes).await
}

/// Reads what is set of an endpoint; types and words were checked already. What a URL may be is for the engine to say.
fn change_of(object: &Map<String, Value>, is_new: bool) -> Result<EndpointChange, Problem> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let fault = |field: &str, reason: &str| Err(Problem::fault(ErrorCode::InvalidFields, field, reason));
    let (url, description) = (text("url"), text("description"));
    if is_new && url.is_none() {
        return fault("url", "must be there");
    }
    if url.as_ref().is_some_and(|url| url.len() > MAX_URL_BYTES) {
        return fault("url", &format!("must be at most {MAX_URL_BYTES} bytes"));
    }
    let is_fine = |text: &String| text.len() <= MAX_DESCRIPTION_BYTES && !text.chars().any(char::is_control);
    if !description.as_ref().is_none_or(is_fine) {
        return fault(
            "description",
            &format!("must be at most {MAX_DESCRIPTION_BYTES} bytes without line breaks or control characters"),
        );
    }
    let kinds = object.get("events").and_then(Value::as_array).map(|words| {
        let kinds = words.iter().filter_map(|word| word.as_str()?.parse().ok());
        kinds.collect::<std::collections::BTreeSet<NoticeKind>>().into_iter().collect()
    });
    Ok(EndpointChange {
        url,
        description,
        kinds,
        enabled: object.get("enabled").and_then(Value::as_bool),
    })
}

fn overlap_of(object: &Map<String, Value>) -> Result<Duration, Problem> {
    let overlap = object.get("overlap_seconds").and_then(Value::as_u64).map(Duration::from_secs);
    let overlap = overlap.unwrap_or(USUAL_OVERLAP);
    if overlap > MAX_OVERLAP {
        let reason = format!("must be at most {}", MAX_OVERLAP.as_secs());
        return Err(Problem::fault(ErrorCode::InvalidFields, "overlap_seconds", &reason));
    }
    Ok(overlap)
}

/// Reads which notices are posted again: without a state those that were given up.
fn filter_of(object: &Map<String, Value>) -> Result<NoticeFilter, Problem> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let fault = |field: &str, reason: &str| Problem::fault(ErrorCode::InvalidFields, field, reason);
    let endpoint = text("endpoint_id").map(str::parse).transpose();
    let message_id = text("message_id").map(str::parse).transpose();
    let time = |name: &str| text(name).and_then(Timestamp::parse_rfc3339);
    let (since, until) = (time("since"), time("until"));
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err(fault("until", "must be later than since"));
    }
    Ok(NoticeFilter {
        endpoint: endpoint.map_err(|_| fault("endpoint_id", "must be the id of an endpoint"))?,
        state: Some(text("state").and_then(|word| word.parse().ok()).unwrap_or(NoticeState::Failed)),
        message_id: message_id.map_err(|_| fault("message_id", "must be the id of a message"))?,
        since,
        until,
    })
}
