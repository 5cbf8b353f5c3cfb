//! `POST /v1/emails`, `POST /v1/sms`: accepts a message and waits for its outcome.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use ums_core::{Channel, MessageId, Parsed, RecipientKind, RecipientResult, Region, SendEmail, SendResult, SendSms, Status, StoreError};
use ums_delivery::{Submission, SubmitError, Ticket};

use crate::api::{App, json};
use crate::body::{self, WholeBody};
use crate::idempotency;
use crate::prefer::Preference;
use crate::problem::{ErrorCode, Problem};
use crate::{json as strict, shape};

/// Bodies above this are read on a thread of their own, so that other requests go on.
const LARGE_BYTES: usize = 128 * 1_024;

/// One of the two calls.
#[derive(Clone, Copy, Debug)]
struct Route {
    channel: Channel,
    /// Part of the fingerprint: the same key for another call is another request.
    name: &'static str,
}

/// `POST /v1/emails`.
pub(super) async fn email(State(app): State<Arc<App>>, request: Request) -> Response {
    let route = Route {
        channel: Channel::Email,
        name: "POST /v1/emails",
    };
    send(app, route, request).await.unwrap_or_else(Problem::into_response)
}

/// `POST /v1/sms`.
pub(super) async fn sms(State(app): State<Arc<App>>, request: Request) -> Response {
    let route = Route {
        channel: Channel::Sms,
        name: "POST /v1/sms",
    };
    send(app, route, request).await.unwrap_or_else(Problem::into_response)
}

async fn send(app: Arc<App>, route: Route, request: Request) -> Result<Response, Problem> {
    let key = match read_headers(request.headers()) {
        Ok(key) => key,
        Err(problem) => {
            body::discard(request).await;
            return Err(problem);
        }
    };
    let preference = Preference::of(request.headers());
    let most = match route.channel {
        Channel::Email => app.limits.email_body_bytes,
        Channel::Sms => app.limits.body_bytes,
    };
    let whole = body::read(request, most, app.limits.body_time, &app.body_memory).await?;
    let parsed = parse(whole, route.channel, app.default_region).await?;
    let fingerprinted = key
        .map(|key| app.fingerprints.key(key, route.name, &parsed, app.clock.now()))
        .transpose();
    let idempotency = fingerprinted.map_err(|_| Problem::new(ErrorCode::Internal, "the request could not be fingerprinted"))?;
    let so_far = SoFar::of(&parsed);
    let ticket = submit(
        &app,
        Submission {
            tenant: App::tenant(),
            parsed,
            idempotency,
        },
    )
    .await?;
    Ok(answer(&app, ticket, preference, so_far).await)
}

fn read_headers(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let is_json = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let mut parts = text.split(';').map(str::trim);
        let is_json = parts
            .next()
            .is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json"));
        let is_utf8 = |parameter: &str| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            Some(_) | None => true,
        };
        is_json && parts.all(is_utf8)
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            ErrorCode::UnsupportedMediaType,
            "send the body without Content-Encoding",
        ));
    }
    if headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        return idempotency::key_of(headers);
    }
    Err(Problem::new(
        ErrorCode::UnsupportedMediaType,
        "send the header Content-Type: application/json, in UTF-8",
    ))
}

/// Reads a body at the edge: after this nobody looks at the caller's JSON again.
async fn parse(whole: WholeBody, channel: Channel, region: Option<Region>) -> Result<Parsed, Problem> {
    let length = whole.bytes.len();
    let parse = move || -> Result<Parsed, Problem> {
        let mut object = strict::object(&whole.bytes)?;
        match channel {
            Channel::Email => {
                shape::check(&mut object, shape::EMAIL)?;
                Ok(strict::request::<SendEmail>(object)?.parse()?)
            }
            Channel::Sms => {
                shape::check(&mut object, shape::SMS)?;
                Ok(strict::request::<SendSms>(object)?.parse(region)?)
            }
        }
    };
    if length <= LARGE_BYTES {
        return parse();
    }
    tokio::task::spawn_blocking(parse)
        .await
        .unwrap_or_else(|_| Err(Problem::new(ErrorCode::Internal, "the request could not be read")))
}

/// Hands a message to the engine in a task of its own, so that a client that goes away cancels
/// nothing.
async fn submit(app: &Arc<App>, submission: Submission) -> Result<Ticket, Problem> {
    let messaging = app.messaging.clone();
    match tokio::spawn(async move { messaging.submit(submission).await }).await {
        Ok(Ok(ticket)) => Ok(ticket),
        Ok(Err(error)) => Err(submit_problem(error)),
        Err(_) => Err(Problem::new(
            ErrorCode::AcceptUnknown,
            "it broke off within the service; repeat the request with the same Idempotency-Key",
        )),
    }
}

fn submit_problem(error: SubmitError) -> Problem {
    match error {
        SubmitError::Invalid(invalid) => invalid.into(),
        SubmitError::NoProvider(channel) => Problem::new(
            ErrorCode::NoProvider,
            format!("no provider for {channel} is configured; /v1/providers/health names what is missing"),
        ),
        SubmitError::KeyConflict => Problem::new(
            ErrorCode::KeyConflict,
            "the key belongs to a request with another body; use a new key for a new message",
        ),
        SubmitError::Busy | SubmitError::Full => Problem::new(ErrorCode::Busy, "the message was not accepted; try again in a moment"),
        SubmitError::Closing => Problem::new(
            ErrorCode::Closing,
            "the message was not accepted; try again, another instance will take it",
        ),
        SubmitError::Store(StoreError::CommitUnknown(error)) => {
            tracing::warn!(%error, "the outcome of an accept is unknown");
            Problem::new(
                ErrorCode::AcceptUnknown,
                "repeat the request with the same Idempotency-Key: it will not be sent twice",
            )
        }
        SubmitError::Store(error) => {
            tracing::warn!(%error, "the store did not accept a message");
            Problem::new(
                ErrorCode::StoreUnavailable,
                "the message was not accepted, nothing was sent; try again",
            )
        }
    }
}

async fn answer(app: &App, ticket: Ticket, preference: Preference, so_far: SoFar) -> Response {
    let (message_id, is_replayed) = (ticket.message_id(), ticket.was_replayed());
    let wait = preference.wait(app.limits.send_wait, app.limits.send_wait_max);
    let waited = tokio::select! {
        waited = ticket.result(wait) => waited.map(Some),
        () = app.wait_no_longer() => {
            let record = app.messaging.message(&App::tenant(), message_id).await;
            record.map(|record| record.map(|record| record.result()))
        }
    };
    let result = match waited {
        Ok(Some(result)) => result,
        // It was accepted, whatever the store says now: a fault here would have it sent twice.
        Ok(None) | Err(_) => so_far.result(message_id),
    };
    let is_async = preference.respond_async && preference.wait_seconds.is_none();
    let status = if has_outcome(result.status) && !is_async {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = json(status, &result);
    let headers = response.headers_mut();
    if is_replayed {
        headers.insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    }
    if let Some(applied) = preference
        .applied(app.limits.send_wait_max)
        .and_then(|text| HeaderValue::from_str(&text).ok())
    {
        headers.insert(HeaderName::from_static("preference-applied"), applied);
    }
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/messages/{message_id}")) {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// Whether the caller learns more than that the message was accepted: an outcome, or that it is held.
const fn has_outcome(status: Status) -> bool {
    match status {
        Status::Pending | Status::Scheduled | Status::Sending => false,
        Status::Queued
        | Status::Sent
        | Status::Delivered
        | Status::Bounced
        | Status::Failed
        | Status::Expired
        | Status::Cancelled
        | Status::Suppressed
        | Status::Unsubscribed
        | Status::Unknown => true,
    }
}

/// What is known of a message without the store.
struct SoFar {
    channel: Channel,
    recipients: Vec<(RecipientKind, String)>,
    metadata: ums_core::Metadata,
}

impl SoFar {
    fn of(parsed: &Parsed) -> Self {
        Self {
            channel: parsed.content.channel(),
            recipients: parsed.content.recipients(),
            metadata: parsed.metadata.clone(),
        }
    }

    fn result(self, message_id: MessageId) -> SendResult {
        let recipient = |(kind, address)| RecipientResult {
            address,
            kind,
            status: Status::Pending,
            reason: None,
        };
        let recipients: Vec<_> = self.recipients.into_iter().map(recipient).collect();
        SendResult {
            message_id,
            recipient_id: recipients.first().map(|recipient| recipient.address.clone()).unwrap_or_default(),
            status: Status::Pending,
            channel: self.channel,
            sent_at: None,
            delivered_at: None,
            error_message: Some("accepted; its state cannot be read at the moment".to_owned()),
            cost: None,
            currency: "USD".to_owned(),
            possibly_duplicate: false,
            simulated: false,
            recipients,
            metadata: self.metadata,
            attempts: Vec::new(),
        }
    }
}
