//! Twilio, 2010-04-01 API, as the caller sees it.
//!
//! Below `/2010-04-01/Accounts/{sid}`: `POST Messages.json` (201), `GET Messages.json`
//! (in pages, by `To`, `From` and `DateSent`),
//! `GET Messages/{sid}.json`, `GET Balance.json`, and `GET /…/{sid}.json` for the account.
//! Forms in, JSON out, HTTP Basic. Errors are `{code, message, more_info, status}`.
//! Codes: Twilio's error dictionary of February 2025. The numbers of its test credentials
//! (`+15005550001` and so on) fail here as they do there.

mod list;
mod message;
mod request;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde_json::json;

use crate::call::Call;
use crate::recorder::Token;
use crate::reply::{Answer, Refusal, Reply};
use crate::world::World;
use crate::{Mode, Provider, clock};

const VERSION: &str = "2010-04-01";

/// Tells whether the call sends a message.
pub(crate) fn is_send(call: &Call) -> bool {
    call.path.ends_with("/Messages.json")
}

/// Answers a call as Twilio would.
pub(crate) fn answer(world: &World, call: &Call) -> Answer {
    Answer::of(route(world, call))
}

/// Words a refusal as Twilio would.
pub(crate) fn refuse(refusal: Refusal<'_>) -> Reply {
    match refusal {
        Refusal::Status(status) => error(status, code_for(status), "The request failed"),
        Refusal::Throttled => error(429, 20429, "Too Many Requests"),
        Refusal::Unauthorized => unauthorized(),
        Refusal::Suspended => error(403, 20005, "Account is not active"),
        Refusal::Quota => error(429, 63038, "Account exceeded the daily messages limit"),
        Refusal::Recipient(number) => invalid_to(number),
        Refusal::TooLarge => error(413, 20001, "Request entity too large"),
    }
}

fn code_for(status: u16) -> u32 {
    match status {
        401 | 403 => 20003,
        404 => 20404,
        422 => 20422,
        429 => 20429,
        503 => 20503,
        504 => 20504,
        400..=499 => 20001,
        _ => 20500,
    }
}

fn error(status: u16, code: u32, message: &str) -> Reply {
    Reply::json(
        status,
        &json!({
            "code": code,
            "message": message,
            "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
            "status": status,
        }),
    )
}

fn unauthorized() -> Reply {
    error(401, 20003, "Authenticate").header("www-authenticate", "Basic realm=\"Twilio API\"")
}

fn invalid_to(number: &str) -> Reply {
    let text = format!("The 'To' number {number} is not a valid phone number.");
    error(400, 21211, &text)
}

fn not_found(call: &Call) -> Reply {
    let text = format!("The requested resource {} was not found", call.path);
    error(404, 20404, &text)
}

fn route(world: &World, call: &Call) -> Result<Answer, Reply> {
    let user = user(call).ok_or_else(unauthorized)?;
    let segments = call.segments();
    let [VERSION, "Accounts", rest @ ..] = segments.as_slice() else {
        return Err(not_found(call));
    };
    let account = rest.first().copied().unwrap_or_default();
    let account = account.strip_suffix(".json").unwrap_or(account);
    if !is_sid(account, "AC") {
        return Err(not_found(call));
    }
    if is_sid(&user, "AC") && user != account {
        return Err(unauthorized());
    }
    match (&call.method, rest) {
        (&Method::GET, [_]) => Ok(self::account(world, account).into()),
        (&Method::GET, [_, "Balance.json"]) => Ok(balance(account).into()),
        (&Method::POST, [_, "Messages.json"]) => send(world, call, account),
        (&Method::GET, [_, "Messages.json"]) => Ok(list::list(world, call, account)?.into()),
        (&Method::GET, [_, "Messages", sid]) => fetch(world, call, account, sid),
        (_, [_] | [_, "Balance.json" | "Messages.json"] | [_, "Messages", _]) => Err(error(405, 20004, "Method not allowed")),
        _ => Err(not_found(call)),
    }
}

/// Takes the user's name from the credentials; any secret passes.
fn user(call: &Call) -> Option<String> {
    let (user, secret) = credentials(call)?;
    let is_known = is_sid(&user, "AC") || is_sid(&user, "SK");
    (is_known && !secret.is_empty()).then_some(user)
}

fn credentials(call: &Call) -> Option<(String, String)> {
    let (scheme, encoded) = call.authorization()?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, secret) = decoded.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), secret.to_owned()))
}

/// Tells whether this is a sid of that kind. Letters beyond `f` pass too: examples
/// are full of `ACxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`.
fn is_sid(text: &str, kind: &str) -> bool {
    text.strip_prefix(kind)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn send(world: &World, call: &Call, account: &str) -> Result<Answer, Reply> {
    let mut draft = request::read(call, account, format!("SM{}", world.ids.hex32()))?;
    draft.token = credentials(call).map(|(_, secret)| Token::new(secret));
    Ok(Answer {
        reply: Reply::json(201, &message::created(&draft.message)),
        accepted: vec![draft],
    })
}

fn fetch(world: &World, call: &Call, account: &str, sid: &str) -> Result<Answer, Reply> {
    let sid = sid.strip_suffix(".json").unwrap_or(sid);
    let found = world.recorder.find(Provider::Twilio, sid);
    let found = found.filter(|entry| message::is_of(entry.envelope(), account));
    let entry = found.ok_or_else(|| not_found(call))?;
    Ok(Reply::json(200, &message::present(entry.envelope())).into())
}

fn account(world: &World, account: &str) -> Reply {
    let is_suspended = world.faults.has(Provider::Twilio, Mode::Suspended);
    let now = message::rfc2822(clock::now());
    Reply::json(
        200,
        &json!({
            "auth_token": "0".repeat(32),
            "date_created": now,
            "date_updated": now,
            "friendly_name": "Simulated account",
            "owner_account_sid": account,
            "sid": account,
            "status": if is_suspended { "suspended" } else { "active" },
            "subresource_uris": {
                "messages": format!("/{VERSION}/Accounts/{account}/Messages.json"),
            },
            "type": "Full",
            "uri": format!("/{VERSION}/Accounts/{account}.json"),
        }),
    )
}

fn balance(account: &str) -> Reply {
    Reply::json(200, &json!({"account_sid": account, "balance": "100.00", "currency": "USD"}))
}
