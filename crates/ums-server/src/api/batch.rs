//! `POST /v1/batches`: many messages, accepted as one; they are sent by the queue.

use std::str::FromStr as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use ums_core::request::FieldFault;
use ums_core::{Channel, IdempotencyKey, MessageId, Parsed, Region, Status, Timestamp};
use ums_delivery::{Accepted, Submission};

use crate::api::{App, accept, json, send};
use crate::body::{self, Bounds};
use crate::json as strict;
use crate::problem::{ErrorCode, Problem};
use crate::shape::shown;

/// Part of the fingerprint: the same key for another call is another request.
const ROUTE: &str = "POST /v1/batches";
/// The one field of the body.
const MESSAGES: &str = "messages";
/// Most faults that are listed.
const MAX_FAULTS: usize = 50;

/// What was accepted, in the order of the request.
#[derive(Serialize)]
struct Answer {
    data: Vec<Item>,
}

/// One accepted message.
#[derive(Serialize)]
struct Item {
    message_id: MessageId,
    recipient_id: String,
    channel: Channel,
    status: Status,
}

/// `POST /v1/batches`.
pub(super) async fn accept_batch(State(app): State<Arc<App>>, request: Request) -> Response {
    accept_all(&app, request).await.unwrap_or_else(Problem::into_response)
}

async fn accept_all(app: &Arc<App>, request: Request) -> Result<Response, Problem> {
    let key = match accept::read_headers(request.headers()) {
        Ok(key) => key,
        Err(problem) => {
            body::discard(request).await;
            return Err(problem);
        }
    };
    let bounds = Bounds::new(app.limits.batch_body_bytes, &app.limits);
    let whole = body::read(request, bounds, app.messaging.memory()).await?;
    let (region, most) = (app.default_region, app.limits.batch_messages);
    // The share of memory is given back when all is stored: the messages take about as much as the body did.
    let (batch, whole) = accept::read_aside(whole.bytes.len(), move || (parse(&whole.bytes, region, most), whole)).await?;
    let batch = batch?;
    let in_hand = key.as_deref().map(|key| app.keys_in_hand.take(key)).transpose()?;
    let now = app.clock.now();
    let keys = match &key {
        None => Vec::new(),
        Some(key) => app
            .fingerprints
            .keys(key, ROUTE, &batch, now)
            .map_err(|_| Problem::new(ErrorCode::Internal, "the request could not be fingerprinted"))?,
    };
    let told: Vec<_> = batch.iter().map(|parsed| Told::of(parsed, now)).collect();
    let messaging = app.messaging.clone();
    let submissions = submissions(batch, keys);
    let accepted = accept::accepted(app, in_hand, async move {
        let accepted = messaging.submit_all(submissions).await;
        drop(whole);
        accepted
    })
    .await
    .map_err(of_batch)?;
    Ok(answer(app, &accepted, told).await)
}

fn submissions(batch: Vec<Parsed>, keys: Vec<IdempotencyKey>) -> Vec<Submission> {
    let keys = keys.into_iter().map(Some).chain(std::iter::repeat(None));
    let submission = |(parsed, idempotency)| Submission {
        tenant: App::tenant(),
        parsed,
        idempotency,
    };
    batch.into_iter().zip(keys).map(submission).collect()
}

/// What is known of a message of the batch once it is stored.
struct Told {
    recipient_id: String,
    channel: Channel,
    status: Status,
}

impl Told {
    fn of(parsed: &Parsed, now: Timestamp) -> Self {
        let first = parsed.content.recipients().into_iter().next();
        let waits = parsed.handling.send_at.is_some_and(|send_at| send_at > now);
        Self {
            recipient_id: first.map(|(_, address)| address).unwrap_or_default(),
            channel: parsed.content.channel(),
            status: if waits { Status::Scheduled } else { Status::Queued },
        }
    }
}

/// The engine's fault of a message is the batch's.
fn of_batch(problem: Problem) -> Problem {
    problem.with_code(ErrorCode::InvalidFields, ErrorCode::InvalidBatch)
}

async fn answer(app: &App, accepted: &[Accepted], told: Vec<Told>) -> Response {
    let is_replayed = accepted.iter().any(|accepted| accepted.replayed);
    let mut data = Vec::with_capacity(told.len());
    for (accepted, told) in accepted.iter().zip(told) {
        data.push(Item {
            message_id: accepted.message_id,
            recipient_id: told.recipient_id,
            channel: told.channel,
            status: told.status,
        });
    }
    if is_replayed {
        // Meanwhile they may have been sent. What cannot be read now was accepted all the same.
        drop(app.in_time(refresh(app, &mut data)).await);
    }
    let mut response = json(StatusCode::ACCEPTED, &Answer { data });
    if is_replayed {
        response
            .headers_mut()
            .insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    }
    response
}

/// Reads where the messages stand.
async fn refresh(app: &App, items: &mut [Item]) {
    for item in items {
        match app.messaging.message(&App::tenant(), item.message_id).await {
            Ok(Some(record)) => item.status = record.status,
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// Reads the messages of a batch; every fault is told with the place of its message.
pub(crate) fn parse(bytes: &[u8], region: Option<Region>, most: usize) -> Result<Vec<Parsed>, Problem> {
    let (mut batch, mut faults) = (Vec::new(), Vec::new());
    let items = strict::items(bytes, MESSAGES, most, |index, item| {
        if faults.len() >= MAX_FAULTS {
            return;
        }
        match message(item, region) {
            // After the first fault nothing is accepted, so that nothing need be kept.
            Ok(parsed) if faults.is_empty() => batch.push(parsed),
            Ok(_) => {}
            Err(problem) => faults.extend(problem.into_faults().into_iter().map(|fault| placed(index, fault))),
        }
    })?;
    faults.truncate(MAX_FAULTS);
    let fault = |field: &str, reason: String| FieldFault {
        field: field.to_owned(),
        reason,
    };
    faults.extend(
        items
            .others
            .iter()
            .map(|name| fault(shown(name), "is not a field of this request".to_owned())),
    );
    if !items.is_there {
        faults.push(fault(MESSAGES, "must be there, an array of messages".to_owned()));
    } else if items.count == 0 || items.count > most {
        faults.push(fault(MESSAGES, format!("must be 1 to {most} messages, not {}", items.count)));
    }
    if faults.is_empty() {
        Ok(batch)
    } else {
        Err(Problem::faults(ErrorCode::InvalidBatch, faults))
    }
}

fn placed(index: usize, fault: FieldFault) -> FieldFault {
    let field = if fault.field.is_empty() {
        format!("{MESSAGES}[{index}]")
    } else {
        format!("{MESSAGES}[{index}].{}", fault.field)
    };
    FieldFault { field, ..fault }
}

fn message(item: Value, region: Option<Region>) -> Result<Parsed, Problem> {
    let Value::Object(mut object) = item else {
        return Err(Problem::fault(ErrorCode::InvalidBatch, "", "must be an object"));
    };
    let word = object.remove("channel");
    let channel = word.as_ref().and_then(Value::as_str).and_then(|word| Channel::from_str(word).ok());
    let Some(channel) = channel else {
        let reason = format!("must be one of {}", Channel::WORDS.join(", "));
        return Err(Problem::fault(ErrorCode::InvalidBatch, "channel", &reason));
    };
    send::message(object, channel, region)
}
