//! `POST /v1/messages/{id}/cancel`, `/resend`, `/mark` and `POST /v1/messages/replay`: what callers and operators do to
//! messages that nobody works on.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ums_core::request::FieldFault;
use ums_core::{MessageFilter, MessageId, MessageRecord, Status, StoreError, Timestamp};
use ums_delivery::{ActError, Mark, ReplayRequest, ReplaySlice};

use crate::api::messages::{missing, read_id, recipient};
use crate::api::{App, accept, json, store_problem};
use crate::body;
use crate::problem::{ErrorCode, Problem};
use crate::{json as strict, shape};

/// How many messages a slice of a replay looks at unless the caller says otherwise.
const USUAL_LIMIT: usize = 50;
/// Most messages of a slice.
const MAX_LIMIT: usize = 500;

/// `POST /v1/messages/{id}/cancel`.
pub(super) async fn cancel(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>, request: Request) -> Response {
    body::discard(request).await;
    let messaging = app.messaging.clone();
    let act = |id| async move { messaging.cancel(&App::tenant(), id).await };
    done(&app, id.ok(), act).await
}

/// `POST /v1/messages/{id}/resend`.
pub(super) async fn resend(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>, request: Request) -> Response {
    body::discard(request).await;
    let messaging = app.messaging.clone();
    let act = |id| async move { messaging.resend(&App::tenant(), id).await };
    done(&app, id.ok(), act).await
}

/// `POST /v1/messages/{id}/mark`.
pub(super) async fn mark(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let mark = match read(&app, request, shape::MARK, app.limits.body_bytes)
        .await
        .and_then(|object| mark_of(&object))
    {
        Ok(mark) => mark,
        Err(problem) => return problem.into_response(),
    };
    let messaging = app.messaging.clone();
    let act = |id| async move { messaging.mark(&App::tenant(), id, mark).await };
    done(&app, id.ok(), act).await
}

/// `POST /v1/messages/replay`.
pub(super) async fn replay(State(app): State<Arc<App>>, request: Request) -> Response {
    let region = app.default_region;
    let wanted = read(&app, request, shape::REPLAY, app.limits.body_bytes)
        .await
        .and_then(|object| replay_of(&object, |to| recipient(to, region)));
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(problem) => return problem.into_response(),
    };
    let messaging = app.messaging.clone();
    let slice = in_a_task(&app, async move { messaging.replay(&App::tenant(), &wanted).await }).await;
    match slice {
        Ok(slice) => json(StatusCode::OK, &Replayed::from(slice)),
        Err(problem) => problem.into_response(),
    }
}

/// What one slice of a replay did, or would do, as callers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Messages that were looked at.
    pub examined: u64,
    /// Messages that are sent again.
    pub replayed: u64,
    /// Left out: their time ran out.
    pub expired: u64,
    /// Left out: the recipient is not to be contacted.
    pub suppressed: u64,
    /// Left out: the same was sent to the same recipient later, or stands in this replay already.
    pub duplicates: u64,
    /// Left out: their body is no longer kept.
    pub without_body: u64,
    /// Estimated cost with six decimals, of those whose price is known.
    pub cost: String,
    /// Currency of the cost.
    pub currency: String,
    /// Messages that are sent again and whose price is not known.
    pub without_price: u64,
    /// When the newest message of this slice was accepted.
    pub reached: Option<Timestamp>,
    /// Where the next slice begins; null at the end.
    pub next_cursor: Option<MessageId>,
}

impl From<ReplaySlice> for Replayed {
    fn from(slice: ReplaySlice) -> Self {
        Self {
            examined: slice.examined,
            replayed: slice.replayed,
            expired: slice.expired,
            suppressed: slice.suppressed,
            duplicates: slice.duplicates,
            without_body: slice.without_body,
            cost: ums_core::format_micros(slice.cost_micros),
            currency: "USD".to_owned(),
            without_price: slice.without_price,
            reached: slice.reached,
            next_cursor: slice.next_cursor,
        }
    }
}

/// Does something to one message and answers with where it stands then.
async fn done<F>(app: &App, id: Option<Path<String>>, act: impl FnOnce(MessageId) -> F) -> Response
where
    F: Future<Output = Result<MessageRecord, ActError>> + Send + 'static,
{
    let id = match read_id(id) {
        Ok(id) => id,
        Err(problem) => return problem.into_response(),
    };
    match in_a_task(app, act(id)).await {
        Ok(record) => json(StatusCode::OK, &record.result()),
        Err(problem) => problem.into_response(),
    }
}

/// In a task of its own: a client that goes away leaves nothing half done.
async fn in_a_task<T: Send + 'static>(app: &App, act: impl Future<Output = Result<T, ActError>> + Send + 'static) -> Result<T, Problem> {
    match app.in_time(tokio::spawn(act)).await? {
        Ok(done) => done.map_err(|error| act_problem(&error)),
        Err(_) => Err(Problem::new(
            ErrorCode::Internal,
            "it broke off within the service; look at the message before you repeat it",
        )),
    }
}

fn act_problem(error: &ActError) -> Problem {
    match error {
        ActError::NotFound | ActError::Store(StoreError::NotFound) => missing(),
        ActError::NotPossible { .. } => Problem::new(ErrorCode::NotPossible, error.to_string()),
        ActError::Store(StoreError::Fenced | StoreError::IllegalMove { .. }) => Problem::new(
            ErrorCode::NotPossible,
            "the message changed at the same moment; look where it stands now, then decide again",
        ),
        ActError::Store(error) => store_problem(error),
    }
}

/// Reads a body of fields, of at most so many bytes.
pub(super) async fn read(app: &App, request: Request, fields: shape::Fields, most: usize) -> Result<Map<String, Value>, Problem> {
    if let Err(problem) = accept::read_headers(request.headers()) {
        body::discard(request).await;
        return Err(problem);
    }
    let whole = body::read(request, body::Bounds::new(most, &app.limits), app.messaging.memory()).await?;
    let mut object = strict::object(&whole.bytes)?;
    shape::check(&mut object, fields)?;
    Ok(object)
}

fn mark_of(object: &Map<String, Value>) -> Result<Mark, Problem> {
    match object.get("as").and_then(Value::as_str) {
        Some("sent") => Ok(Mark::Sent),
        Some("delivered") => Ok(Mark::Delivered),
        Some("failed") => Ok(Mark::Failed),
        Some(_) | None => Err(Problem::fault(ErrorCode::InvalidFields, "as", "must be there")),
    }
}

/// Reads a replay; types and words were checked already.
fn replay_of(object: &Map<String, Value>, recipient: impl FnOnce(&str) -> Result<String, String>) -> Result<ReplayRequest, Problem> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, reason: &str| {
        faults.push(FieldFault {
            field: field.to_owned(),
            reason: reason.to_owned(),
        });
    };
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let (since, until) = (
        text("since").and_then(Timestamp::parse_rfc3339),
        text("until").and_then(Timestamp::parse_rfc3339),
    );
    for (name, time) in [("since", since), ("until", until)] {
        if time.is_none() {
            fault(name, "must be there: when the outage began and when it ended");
        }
    }
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        fault("until", "must be later than since");
    }
    let to = text("to")
        .map(recipient)
        .transpose()
        .map_err(|reason| fault("to", &reason))
        .ok()
        .flatten();
    let cursor = text("cursor").map(str::parse).transpose();
    if cursor.is_err() {
        fault("cursor", "must be the next_cursor of the slice before");
    }
    let limit = object.get("limit").and_then(Value::as_u64).map(usize::try_from);
    let limit = limit
        .map_or(Some(USUAL_LIMIT), Result::ok)
        .filter(|limit| (1..=MAX_LIMIT).contains(limit));
    if limit.is_none() {
        fault("limit", &format!("must be 1 to {MAX_LIMIT}"));
    }
    let (Some(limit), true) = (limit, faults.is_empty()) else {
        return Err(Problem::faults(ErrorCode::InvalidFields, faults));
    };
    Ok(ReplayRequest {
        filter: MessageFilter {
            to,
            status: Some(Status::Failed),
            channel: text("channel").and_then(|word| word.parse().ok()),
            provider: text("provider").and_then(|word| word.parse().ok()),
            purpose: text("purpose").and_then(|word| word.parse().ok()),
            since,
            until,
        },
        cursor: cursor.ok().flatten(),
        limit,
        dry_run: object.get("dry_run").and_then(Value::as_bool).unwrap_or_default(),
    })
}
