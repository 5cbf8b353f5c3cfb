//! From a request to its answer: whose it is, which fault hits it, what it gets.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response};

use crate::call::{Call, Unread};
use crate::fault_board::Strike;
use crate::feedback::{Report, logs};
use crate::link::Link;
use crate::panel::Panel;
use crate::reply::{Answer, Dropped, Payload, Refusal, Reply};
use crate::world::World;
use crate::{Fault, Mode, Provider, control, sendgrid, ses, sns, twilio};

/// The mark on every answer, so that nobody takes it for a real provider's.
const MARK: &str = "x-ums-simulator";

/// Through which port a connection came.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// A provider's own port.
    Own(Provider),
    /// The common port: the control, and the providers below their paths.
    Front(Arc<Panel>),
}

/// Answers one request.
pub(crate) async fn answer(world: &Arc<World>, door: &Door, link: &Link, request: Request<Incoming>) -> Result<Response<Payload>, Dropped> {
    let path = request.uri().path();
    let outcome = match door {
        Door::Own(provider) => {
            let (provider, path) = (*provider, path.to_owned());
            serve(world, link, provider, request, path).await
        }
        Door::Front(panel) => match below_prefix(path) {
            Some((provider, path)) => serve(world, link, provider, request, path).await,
            None => control::answer(panel, request).await,
        },
    };
    outcome.map(|mut response| {
        response.headers_mut().insert(MARK, HeaderValue::from_static("1"));
        response
    })
}

/// Splits `/ses/v2/…` into the provider and the path below its base URL.
fn below_prefix(path: &str) -> Option<(Provider, String)> {
    let rest = path.strip_prefix('/')?;
    let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
    let provider: Provider = name.parse().ok()?;
    (provider != Provider::Smtp).then(|| (provider, format!("/{below}")))
}

async fn serve(
    world: &Arc<World>,
    link: &Link,
    provider: Provider,
    request: Request<Incoming>,
    path: String,
) -> Result<Response<Payload>, Dropped> {
    let counters = world.counters(provider);
    let _in_flight = counters.request();
    let mut is_spared = link.take_spared();
    if !is_spared && falls_before_reading(world, provider) {
        if let Some(strike) = world.faults.strike(provider, true) {
            // What it was is not known: it is not read.
            world.struck(provider, strike.fault.mode, true);
            return end_at_once(&strike.fault, link);
        }
        is_spared = true;
    }
    let call = match Call::read(request, path).await {
        Ok(call) => call,
        Err(Unread::TooLarge) => {
            return Ok(refuse(world, provider, Refusal::TooLarge).whole());
        }
        Err(Unread::PeerLeft) => return Err(Dropped),
    };
    if provider == Provider::Sns && logs::is_for(&call) {
        // Another service of Amazon's: SNS's faults are not its own.
        return Ok(logs::answer(&world.feedback.logs, &world.ids, &call).whole());
    }
    let is_send = is_send(provider, &call);
    counters.sent(is_send);
    let mut strike = None;
    if !is_spared {
        strike = world.faults.strike(provider, is_send);
    }
    if let Some(hit) = &mut strike {
        world.struck(provider, hit.fault.mode, is_send);
        if let Some(reply) = turned_away(world, provider, &hit.fault) {
            return Ok(reply.whole());
        }
        if hit.fault.mode == Mode::Hang {
            hit.healed().await;
            strike = None;
        }
    }
    let (answer, urgent) = take(world, provider, &call, strike.as_ref());
    if !urgent.is_empty() {
        // A task of its own: the reports go out even if the caller leaves.
        let posts = world.tasks.spawn(Arc::clone(&world.feedback).post_now(urgent, world.stop.clone()));
        if let Err(fault) = posts.await {
            tracing::warn!(%fault, "feedback before the reply failed");
        }
    }
    deliver(answer, strike, link).await
}

/// Tells messages from questions about the account.
fn is_send(provider: Provider, call: &Call) -> bool {
    call.method == Method::POST
        && match provider {
            Provider::Ses => ses::is_send(call),
            Provider::Sns => sns::is_send(call),
            Provider::SendGrid => sendgrid::is_send(call),
            Provider::Twilio => twilio::is_send(call),
            Provider::Smtp => false,
        }
}

/// Tells whether the fault in force strikes before a request is read.
fn falls_before_reading(world: &World, provider: Provider) -> bool {
    world.faults.has(provider, Mode::ResetBefore) || world.faults.has(provider, Mode::Refuse)
}

/// Ends the connection, with a reset if that is the fault.
fn end_at_once(fault: &Fault, link: &Link) -> Result<Response<Payload>, Dropped> {
    if fault.mode == Mode::ResetBefore {
        link.reset();
    }
    Err(Dropped)
}

/// Answers for the faults that turn a request away whatever it says.
fn turned_away(world: &World, provider: Provider, fault: &Fault) -> Option<Reply> {
    let refusal = match fault.mode {
        Mode::Error => Refusal::Status(fault.status),
        Mode::Throttle => Refusal::Throttled,
        Mode::Unauthorized => Refusal::Unauthorized,
        Mode::Suspended => Refusal::Suspended,
        Mode::Quota => Refusal::Quota,
        Mode::Refuse
        | Mode::Hang
        | Mode::ResetBefore
        | Mode::Reject
        | Mode::Defer
        | Mode::TooMany
        | Mode::Slow
        | Mode::HangAfter
        | Mode::ResetAfter
        | Mode::Garbage
        | Mode::Truncate
        | Mode::Empty
        | Mode::Huge
        | Mode::AcceptThenError
        | Mode::Bounce
        | Mode::NeverDeliver
        | Mode::Unsubscribed => return None,
    };
    let reply = refuse(world, provider, refusal);
    Some(match fault.retry_after {
        Some(seconds) => reply.header("retry-after", &seconds.to_string()),
        None => reply,
    })
}

/// Lets the provider answer, and records what it accepts; returns what is to be reported first.
fn take(world: &World, provider: Provider, call: &Call, strike: Option<&Strike>) -> (Answer, Vec<Report>) {
    let mut answer = match provider {
        Provider::Ses => ses::answer(world, call),
        Provider::Sns => sns::answer(world, call),
        Provider::SendGrid => sendgrid::answer(world, call),
        Provider::Twilio => twilio::answer(world, call),
        // It has no base URL: `below_prefix` and the ports keep HTTP from it.
        Provider::Smtp => Answer::from(Reply::new(404)),
    };
    let mode = strike.map(|strike| strike.fault.mode);
    if mode == Some(Mode::Reject)
        && let Some(draft) = answer.accepted.first()
    {
        let recipient = draft.message.to.first().map_or("", String::as_str);
        return (refuse(world, provider, Refusal::Recipient(recipient)).into(), Vec::new());
    }
    for draft in &mut answer.accepted {
        draft.message.fault = mode;
        draft.message.path.clone_from(&call.path);
    }
    let urgent = world.record(provider, std::mem::take(&mut answer.accepted));
    if mode == Some(Mode::AcceptThenError) && answer.reply.is_success() {
        return (refuse(world, provider, Refusal::Status(500)).into(), urgent);
    }
    (answer, urgent)
}

/// Sends the answer, or what the fault leaves of it.
async fn deliver(answer: Answer, strike: Option<Strike>, link: &Link) -> Result<Response<Payload>, Dropped> {
    let reply = answer.reply;
    let Some(mut strike) = strike else {
        return Ok(reply.whole());
    };
    if !reply.is_success() {
        return Ok(reply.whole());
    }
    match strike.fault.mode {
        Mode::Slow => {
            tokio::time::sleep(std::time::Duration::from_millis(strike.fault.delay_ms)).await;
            Ok(reply.whole())
        }
        Mode::HangAfter => {
            strike.healed().await;
            Ok(reply.whole())
        }
        Mode::ResetAfter => {
            link.reset();
            Err(Dropped)
        }
        Mode::Garbage => Ok(reply.garbage()),
        Mode::Truncate => Ok(reply.truncated()),
        Mode::Empty => Ok(reply.empty()),
        Mode::Huge => Ok(reply.huge()),
        Mode::Error
        | Mode::Refuse
        | Mode::Hang
        | Mode::ResetBefore
        | Mode::Throttle
        | Mode::Unauthorized
        | Mode::Suspended
        | Mode::Quota
        | Mode::Reject
        | Mode::Defer
        | Mode::TooMany
        | Mode::AcceptThenError
        | Mode::Bounce
        | Mode::NeverDeliver
        | Mode::Unsubscribed => Ok(reply.whole()),
    }
}

fn refuse(world: &World, provider: Provider, refusal: Refusal<'_>) -> Reply {
    match provider {
        Provider::Ses => ses::refuse(world, refusal),
        Provider::Sns => sns::refuse(world, refusal),
        Provider::SendGrid => sendgrid::refuse(refusal),
        Provider::Twilio => twilio::refuse(refusal),
        Provider::Smtp => Reply::new(404),
    }
}
