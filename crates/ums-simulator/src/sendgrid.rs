//! SendGrid, v3 API, as the caller sees it.
//!
//! `POST /v3/mail/send` (202, empty, `X-Message-Id`; 200 in sandbox mode, nothing kept),
//! `GET /v3/scopes`, `GET /v3/user/credits`. JSON in; errors as
//! `{"errors": [{message, field, help}]}`. Every sender is verified. Each personalization
//! is recorded as a message of its own. Limits and texts: the OpenAPI document of
//! January 2026 and the pages on errors of July 2026, by which media types with
//! parameters, empty files, and `;` or `,` in a file name are refused, too.

mod files;
mod mail;
mod request;

use hyper::Method;
use serde_json::{Value, json};

use crate::call::Call;
use crate::reply::{Answer, Refusal, Reply};
use crate::world::World;
use crate::{Mode, Provider, clock};

/// Requests a second that the rate headers speak of.
const RATE_LIMIT: u32 = 600;

/// Seconds until the rate headers say that the limit is reset.
const RATE_WINDOW: i64 = 60;

/// Messages that the simulated account may send in a month.
const CREDITS: u64 = 100_000;

/// Tells whether the call sends a message.
pub(crate) fn is_send(call: &Call) -> bool {
    call.path.trim_end_matches('/') == "/v3/mail/send"
}

/// Answers a call as SendGrid would.
pub(crate) fn answer(world: &World, call: &Call) -> Answer {
    let mut answer = Answer::of(route(world, call));
    answer.reply = with_rate(answer.reply, RATE_LIMIT - 1);
    answer
}

/// Words a refusal as SendGrid would.
pub(crate) fn refuse(refusal: Refusal<'_>) -> Reply {
    match refusal {
        Refusal::Status(413) | Refusal::TooLarge => too_large(),
        Refusal::Status(status) => with_rate(error(status, "The request failed", None), RATE_LIMIT),
        Refusal::Throttled => with_rate(error(429, "too many requests", None), 0),
        Refusal::Unauthorized => unauthorized(),
        Refusal::Suspended => error(403, "access forbidden", None),
        Refusal::Quota => error(401, "Maximum credits exceeded", None),
        Refusal::Recipient(_) => error(400, "Does not contain a valid address.", Some("personalizations.0.to.0.email")),
    }
}

fn error(status: u16, message: &str, field: Option<&str>) -> Reply {
    let help = Value::Null;
    Reply::json(status, &json!({"errors": [{"message": message, "field": field, "help": help}]}))
}

fn unauthorized() -> Reply {
    error(401, "The provided authorization grant is invalid, expired, or revoked", None)
}

/// The proxy before the API answers this one, and not in JSON.
fn too_large() -> Reply {
    Reply::new(413).body(
        "text/html",
        "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n\
         <center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n\
         </body>\r\n</html>\r\n",
    )
}

fn with_rate(reply: Reply, remaining: u32) -> Reply {
    let reset = clock::now().as_second() + RATE_WINDOW;
    reply
        .header("x-ratelimit-limit", &RATE_LIMIT.to_string())
        .header("x-ratelimit-remaining", &remaining.to_string())
        .header("x-ratelimit-reset", &reset.to_string())
}

fn route(world: &World, call: &Call) -> Result<Answer, Reply> {
    check_key(call)?;
    let segments = call.segments();
    match (&call.method, segments.as_slice()) {
        (&Method::POST, ["v3", "mail", "send"]) => send(world, call),
        (&Method::GET, ["v3", "scopes"]) => Ok(scopes().into()),
        (&Method::GET, ["v3", "user", "credits"]) => Ok(credits(world).into()),
        (_, ["v3", "mail", "send"] | ["v3", "scopes"] | ["v3", "user", "credits"]) => Err(error(405, "method not allowed", None)),
        _ => Err(error(404, "not found", None)),
    }
}

/// Any key of the form `SG.…` passes.
fn check_key(call: &Call) -> Result<(), Reply> {
    let header = call.authorization().ok_or_else(|| error(401, "authorization required", None))?;
    let key = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, key)| key.trim().strip_prefix("SG."));
    let is_key = |key: &str| {
        let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        !key.is_empty() && key.bytes().all(is_legal)
    };
    if key.is_some_and(is_key) { Ok(()) } else { Err(unauthorized()) }
}

fn send(world: &World, call: &Call) -> Result<Answer, Reply> {
    if !call.is_of_type("application/json") {
        return Err(error(415, "Content-Type should be application/json.", None));
    }
    let id = world.ids.base64();
    let mail = request::read(call, &id)?;
    if mail.is_sandboxed {
        return Ok(Reply::new(200).into());
    }
    Ok(Answer {
        reply: Reply::new(202).header("x-message-id", &id),
        accepted: mail.drafts,
    })
}

fn scopes() -> Reply {
    Reply::json(200, &json!({"scopes": ["mail.send", "mail.batch.create", "user.credits.read"]}))
}

fn credits(world: &World) -> Reply {
    let sent = world.counters(Provider::SendGrid).read().accepted;
    let is_used_up = world.faults.has(Provider::SendGrid, Mode::Quota);
    let used = if is_used_up { CREDITS } else { sent.min(CREDITS - 1) };
    let today = clock::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let (first, next) = (today.first_of_month(), today.last_of_month().tomorrow());
    Reply::json(
        200,
        &json!({
            "remain": CREDITS - used,
            "total": CREDITS,
            "overage": 0,
            "used": used,
            "last_reset": first.to_string(),
            "next_reset": next.map_or_else(|_| first.to_string(), |next| next.to_string()),
            "reset_frequency": "monthly",
        }),
    )
}
