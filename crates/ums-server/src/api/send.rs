//! `POST /v1/emails`, `POST /v1/sms`: accepts a message and waits for its outcome.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use ums_core::{Channel, MessageId, Parsed, RecipientKind, RecipientResult, Region, SendEmail, SendResult, SendSms, Status, StoreError};
use ums_delivery::{Share, Submission, Ticket};

use crate::api::{App, accept, json};
use crate::body::{self, Bounds, WholeBody};
use crate::prefer::Preference;
use crate::problem::{ErrorCode, Problem};
use crate::{json as strict, shape};

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
    let key = match accept::read_headers(request.headers()) {
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
    let whole = body::read(request, Bounds::new(most, &app.limits), app.messaging.memory()).await?;
    let (parsed, memory) = parse(whole, route.channel, app.default_region).await?;
    let in_hand = key.as_deref().map(|key| app.keys_in_hand.take(key)).transpose()?;
    let fingerprinted = key
        .map(|key| app.fingerprints.key(key, route.name, &parsed, app.clock.now()))
        .transpose();
    let idempotency = fingerprinted.map_err(|_| Problem::new(ErrorCode::Internal, "the request could not be fingerprinted"))?;
    let so_far = SoFar::of(&parsed);
    let submission = Submission {
        tenant: App::tenant(),
        parsed,
        idempotency,
    };
    let messaging = app.messaging.clone();
    let ticket = accept::accepted(&app, in_hand, async move { messaging.submit_with(submission, memory).await }).await?;
    answer(&app, ticket, preference, so_far).await
}

/// Reads a body at the edge: after this nobody looks at the caller's JSON again.
async fn parse(whole: WholeBody, channel: Channel, region: Option<Region>) -> Result<(Parsed, Share), Problem> {
    let WholeBody { bytes, memory } = whole;
    let length = bytes.len();
    let read = move || {
        let object = strict::object(&bytes)?;
        drop(bytes);
        Ok((message(object, channel, region)?, memory))
    };
    accept::read_aside(length, read).await?
}

/// Reads one message of its channel.
pub(crate) fn message(mut object: Map<String, Value>, channel: Channel, region: Option<Region>) -> Result<Parsed, Problem> {
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
}

async fn answer(app: &App, ticket: Ticket, preference: Preference, so_far: SoFar) -> Result<Response, Problem> {
    let (message_id, is_replayed) = (ticket.message_id(), ticket.was_replayed());
    let wait = preference.wait(app.limits.send_wait, app.limits.send_wait_max);
    let known = async {
        tokio::select! {
            waited = ticket.result(wait) => waited.map(Some),
            () = app.wait_no_longer() => {
                let record = app.messaging.message(&App::tenant(), message_id).await;
                record.map(|record| record.map(|record| record.result()))
            }
        }
    };
    let known = tokio::time::timeout(wait.saturating_add(app.limits.store_time), known).await;
    // It was accepted, whatever the store says now: a fault here would have it sent twice. But what is gone can promise nothing.
    let result = match known {
        Ok(Err(StoreError::Gone(_))) => return Err(accept::taken_away()),
        Ok(Ok(Some(result))) => result,
        Ok(Ok(None) | Err(_)) | Err(_) => so_far.result(message_id),
    };
    let is_async = preference.respond_async && preference.wait_seconds.is_none();
    let status = if has_outcome(&result) && !is_async {
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
    Ok(response)
}

/// Whether the caller learns more than that the message was accepted: each recipient has an outcome, or is held. While a
/// process works on the message, recipients may get theirs any moment, whatever the message's word.
const fn has_outcome(result: &SendResult) -> bool {
    if result.under_way {
        return false;
    }
    match result.status {
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
            open_recipients: u32::try_from(recipients.len()).unwrap_or(u32::MAX),
            recipients,
            metadata: self.metadata,
            attempts: Vec::new(),
            under_way: true,
        }
    }
}
