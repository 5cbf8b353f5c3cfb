//! Amazon SES, v2 API, as the caller sees it.
//!
//! `POST /v2/email/outbound-emails` (Simple and Raw), `GET /v2/email/account`,
//! `POST /v2/email/identities`, `GET /v2/email/identities/{identity}`. JSON both ways.
//! Every sender is verified. Limits and codes: SES v2 service model of November 2026 and
//! the SES developer guide. Templates are not played: none exist here.

mod content;
mod request;

use hyper::Method;
use serde_json::json;

use crate::aws::{self, SignatureFault};
use crate::call::Call;
use crate::reply::{Answer, Refusal, Reply};
use crate::world::World;
use crate::{Mode, Provider};

/// Recipients that the simulated account may write to in 24 hours.
const DAILY_QUOTA: u64 = 50_000;

/// Tells whether the call sends a message.
pub(crate) fn is_send(call: &Call) -> bool {
    call.path.trim_end_matches('/') == "/v2/email/outbound-emails"
}

/// Answers a call as SES would.
pub(crate) fn answer(world: &World, call: &Call) -> Answer {
    let mut answer = Answer::of(route(world, call));
    answer.reply = answer.reply.header("x-amzn-requestid", &world.ids.uuid());
    answer
}

/// Words a refusal as SES would.
pub(crate) fn refuse(world: &World, refusal: Refusal<'_>) -> Reply {
    let reply = match refusal {
        Refusal::Status(status) => error(status, code_for(status), "The request failed."),
        Refusal::Throttled => error(429, "TooManyRequestsException", "Too many requests."),
        Refusal::Unauthorized => error(
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        Refusal::Suspended => error(400, "AccountSuspendedException", "Sending is suspended for this account."),
        Refusal::Quota => error(400, "ThrottlingException", "Daily message quota exceeded"),
        Refusal::Recipient(_) => bad_request("Illegal address"),
        Refusal::TooLarge => error(413, "RequestEntityTooLargeException", "The request is too large."),
    };
    reply.header("x-amzn-requestid", &world.ids.uuid())
}

fn code_for(status: u16) -> &'static str {
    match status {
        401 => "NotAuthorized",
        403 => "AccessDeniedException",
        404 => "NotFoundException",
        408 => "RequestTimeoutException",
        413 => "RequestEntityTooLargeException",
        429 => "TooManyRequestsException",
        503 => "ServiceUnavailable",
        400..=499 => "BadRequestException",
        _ => "InternalFailure",
    }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"message": message})).header("x-amzn-errortype", code)
}

fn bad_request(message: &str) -> Reply {
    error(400, "BadRequestException", message)
}

fn route(world: &World, call: &Call) -> Result<Answer, Reply> {
    check_signature(call)?;
    let segments = call.segments();
    match (&call.method, segments.as_slice()) {
        (&Method::POST, ["v2", "email", "outbound-emails"]) => send(world, call),
        (&Method::GET, ["v2", "email", "account"]) => Ok(account(world).into()),
        (&Method::POST, ["v2", "email", "identities"]) => create_identity(call),
        (&Method::GET, ["v2", "email", "identities", name]) => Ok(identity(name).into()),
        (_, ["v2", "email", ..]) => Err(error(404, "NotFoundException", "The simulator does not play this operation.")),
        _ => Err(error(404, "UnknownOperationException", "Unknown operation.")),
    }
}

fn check_signature(call: &Call) -> Result<(), Reply> {
    aws::check_signature(call, "ses").map_err(|fault| match fault {
        SignatureFault::Missing => error(403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        SignatureFault::Incomplete(text) => error(403, "IncompleteSignatureException", text),
        SignatureFault::OtherService => error(
            403,
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'ses'. ",
        ),
    })
}

fn send(world: &World, call: &Call) -> Result<Answer, Reply> {
    let id = world.ids.ses();
    let draft = request::read(call, id.clone())?;
    Ok(Answer {
        reply: Reply::json(200, &json!({"MessageId": id})),
        accepted: vec![draft],
    })
}

fn account(world: &World) -> Reply {
    let is_suspended = world.faults.has(Provider::Ses, Mode::Suspended);
    let is_used_up = world.faults.has(Provider::Ses, Mode::Quota);
    let sent = world.counters(Provider::Ses).read().accepted;
    let sent = if is_used_up { DAILY_QUOTA } else { sent.min(DAILY_QUOTA - 1) };
    let standing = if is_suspended { "SHUTDOWN" } else { "HEALTHY" };
    Reply::json(
        200,
        &json!({
            "DedicatedIpAutoWarmupEnabled": false,
            "EnforcementStatus": standing,
            "ProductionAccessEnabled": true,
            "SendQuota": {
                "Max24HourSend": DAILY_QUOTA,
                "MaxSendRate": 14.0,
                "SentLast24Hours": sent,
            },
            "SendingEnabled": !is_suspended,
            "SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
        }),
    )
}

fn create_identity(call: &Call) -> Result<Answer, Reply> {
    let body: serde_json::Value =
        serde_json::from_slice(&call.body).map_err(|_| error(400, "SerializationException", "Not a JSON document."))?;
    let name = body.get("EmailIdentity").and_then(|name| name.as_str());
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| bad_request("EmailIdentity must not be empty."))?;
    Ok(Reply::json(
        200,
        &json!({
            "IdentityType": identity_type(name),
            "VerifiedForSendingStatus": true,
            "DkimAttributes": {"SigningEnabled": false, "Status": "NOT_STARTED"},
        }),
    )
    .into())
}

fn identity(name: &str) -> Reply {
    // The path holds the address escaped; only its kind matters here.
    let is_address = name.contains('@') || name.to_ascii_lowercase().contains("%40");
    let kind = identity_type(if is_address { "@" } else { "" });
    Reply::json(
        200,
        &json!({
            "IdentityType": kind,
            "FeedbackForwardingStatus": true,
            "VerificationStatus": "SUCCESS",
            "VerifiedForSendingStatus": true,
            "DkimAttributes": {"SigningEnabled": true, "Status": "SUCCESS"},
        }),
    )
}

fn identity_type(name: &str) -> &'static str {
    if name.contains('@') { "EMAIL_ADDRESS" } else { "DOMAIN" }
}
