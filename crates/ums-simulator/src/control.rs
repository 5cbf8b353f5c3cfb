//! The control API below `/_sim`, on the common port.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::Serialize;
use serde_json::json;

use crate::call::{Call, Unread};
use crate::feedback::later::Told;
use crate::feedback::{CERTIFICATE, CERTIFICATE_URL, TOPIC_ARN, dsn};
use crate::panel::Panel;
use crate::recorder::{Entry, Filter};
use crate::reply::{Dropped, MessageList, Payload, Reply};
use crate::{Error, Fault, FeedbackSettings, FeedbackStats, Mode, Provider, Stats};

/// What a request to the root is told.
const GREETING: &str = "This is the UMS simulator. Base URLs: /ses /sns /sendgrid /twilio. \
     Control: /_sim/messages /_sim/bounces /_sim/faults /_sim/feedback /_sim/keys /_sim/stats /_sim/{provider}/fault\n";

/// Answers what belongs to no provider.
pub(crate) async fn answer(panel: &Arc<Panel>, request: Request<Incoming>) -> Result<Response<Payload>, Dropped> {
    let path = request.uri().path().to_owned();
    if !panel.asked.is_by_a_name_of_ours(request.headers()) {
        let text = "Host names another machine: ask by localhost, by an address of this machine, or by a name given with --listen";
        return Ok(problem(403, text).whole());
    }
    let call = match Call::read(request, path).await {
        Ok(call) => call,
        Err(Unread::TooLarge) => return Ok(problem(413, "too long").whole()),
        Err(Unread::PeerLeft) => return Err(Dropped),
    };
    let segments = call.segments();
    let method = call.method.as_str();
    let reply = match (method, segments.as_slice()) {
        ("GET" | "HEAD", []) => Reply::new(200).body("text/plain", GREETING),
        ("GET", ["_sim", "messages"]) => {
            return Ok(match filter(&call) {
                Ok(filter) => MessageList::reply(panel.world.recorder.list(&filter)),
                Err(reply) => reply.whole(),
            });
        }
        ("DELETE", ["_sim", "messages"]) => Reply::json(200, &json!({"cleared": panel.world.recorder.clear()})),
        ("GET", ["_sim", "bounces"]) => match filter(&call) {
            Ok(filter) => bounces(panel, &filter),
            Err(reply) => reply,
        },
        ("POST", ["_sim", "messages", seq, "events"]) => tell(panel, &call, seq),
        (_, ["_sim", "feedback"]) => feedback(panel, &call),
        ("GET", ["_sim", "keys"]) => keys(panel),
        ("GET", ["_sim", "faults"]) => faults(panel),
        ("GET", ["_sim", "stats"]) => stats(panel),
        (_, ["_sim", provider, "fault"]) => fault(panel, &call, provider).await,
        (_, ["_sim", "messages" | "bounces" | "keys" | "faults" | "stats"]) => problem(405, "method not allowed"),
        _ => problem(404, "nothing here"),
    };
    Ok(reply.whole())
}

fn problem(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({"error": text}))
}

fn filter(call: &Call) -> Result<Filter, Reply> {
    let number = |name: &str| match call.query.filled(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| problem(400, &format!("`{name}` must be a number"))),
    };
    let provider = match call.query.filled("provider") {
        None => None,
        Some(name) => Some(name.parse().map_err(|_| unknown_provider())?),
    };
    let limit = number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Filter {
        provider,
        recipient: call.query.filled("to").map(recipient),
        after: number("after")?,
        limit,
    })
}

/// Takes a number whose plus was written as such: a query turns it into a space.
fn recipient(text: &str) -> String {
    match text.strip_prefix(' ') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => format!("+{digits}"),
        Some(_) | None => text.to_owned(),
    }
}

fn unknown_provider() -> Reply {
    problem(404, "no such provider; possible: ses, sns, sendgrid, twilio, smtp")
}

fn faults(panel: &Panel) -> Reply {
    let faults: BTreeMap<_, _> = Provider::ALL
        .into_iter()
        .map(|provider| (provider.name(), panel.world.faults.get(provider)))
        .collect();
    Reply::json(200, &json!({"faults": faults}))
}

#[derive(Serialize)]
struct AllStats {
    providers: BTreeMap<&'static str, Stats>,
    messages: usize,
    dropped: u64,
    feedback: FeedbackStats,
}

fn stats(panel: &Panel) -> Reply {
    let world = &panel.world;
    let (messages, dropped) = world.recorder.counts();
    let providers = Provider::ALL
        .into_iter()
        .map(|provider| (provider.name(), world.counters(provider).read()))
        .collect();
    Reply::json(
        200,
        &AllStats {
            providers,
            messages,
            dropped,
            feedback: world.feedback.stats(),
        },
    )
}

/// The reports that mail servers would have sent back.
fn bounces(panel: &Panel, filter: &Filter) -> Reply {
    let entries = panel.world.recorder.list(filter);
    let report = |entry: &Arc<Entry>| {
        let envelope = entry.envelope();
        if envelope.provider != Provider::Smtp || envelope.fault != Some(Mode::Bounce) {
            return None;
        }
        let dsn = dsn(&entry.expand())?;
        Some(json!({"seq": envelope.seq, "message_id": envelope.id, "dsn": dsn}))
    };
    let all: Vec<_> = entries.iter().filter_map(report).collect();
    Reply::json(200, &json!({"bounces": all}))
}

/// Has a provider report what follows later of a message.
fn tell(panel: &Panel, call: &Call, seq: &str) -> Reply {
    let told: Told = match serde_json::from_slice(&call.body) {
        Ok(told) => told,
        Err(fault) => return problem(400, &format!("not an event: {fault}")),
    };
    let Some(before) = seq.parse::<u64>().ok().and_then(|seq| seq.checked_sub(1)) else {
        return problem(404, "no such message");
    };
    let filter = Filter {
        after: Some(before),
        limit: Some(1),
        ..Filter::default()
    };
    let found = panel.world.recorder.list(&filter);
    let Some(entry) = found.first().filter(|entry| entry.envelope().seq == before + 1) else {
        return problem(404, "no such message");
    };
    if !panel.world.feedback.tell(entry.draft(), &told) {
        let text = "nothing is reported: feedback goes nowhere, the recipient is another, or the provider has no such event";
        return problem(400, text);
    }
    Reply::json(202, &json!({"event": "reported"}))
}

/// What a receiver must know to check the signatures.
fn keys(panel: &Panel) -> Reply {
    Reply::json(
        200,
        &json!({
            "topic_arn": TOPIC_ARN,
            "certificate_url": CERTIFICATE_URL,
            "certificate_pem": CERTIFICATE,
            "sendgrid_public_key": panel.world.feedback.keys.sendgrid_public_key(),
        }),
    )
}

/// Shows or changes the feedback. `to` stays when it is not named, anything else goes back to its default. Over
/// the wire it can be sent to this machine only.
fn feedback(panel: &Panel, call: &Call) -> Reply {
    let feedback = &panel.world.feedback;
    match call.method.as_str() {
        "GET" => {}
        "PUT" | "POST" => {
            let mut settings = match serde_json::from_slice::<serde_json::Value>(&call.body) {
                Ok(settings) if settings.is_object() => settings,
                Ok(_) | Err(_) => return problem(400, "not settings of feedback"),
            };
            let names_place = settings.get("to").is_some();
            if !names_place {
                settings["to"] = json!(feedback.settings().to);
            }
            let settings: FeedbackSettings = match serde_json::from_value(settings) {
                Ok(settings) => settings,
                Err(fault) => return problem(400, &format!("not settings of feedback: {fault}")),
            };
            if names_place && !settings.is_local() {
                return problem(400, "`to` must be a loopback address here; start with --feedback-to for any other");
            }
            if let Err(error) = feedback.set(settings) {
                return problem(400, &error.to_string());
            }
        }
        _ => return problem(405, "method not allowed"),
    }
    Reply::json(
        200,
        &json!({"feedback": feedback.settings(), "stats": feedback.stats(), "logs_waiting": feedback.logs.waiting()}),
    )
}

async fn fault(panel: &Arc<Panel>, call: &Call, provider: &str) -> Reply {
    let Ok(provider) = provider.parse::<Provider>() else {
        return unknown_provider();
    };
    let outcome = match call.method.as_str() {
        "GET" => Ok(()),
        "DELETE" => panel.heal(provider).await,
        "PUT" | "POST" => match serde_json::from_slice::<Fault>(&call.body) {
            Ok(fault) => panel.set_fault(provider, fault).await,
            Err(fault) => return problem(400, &format!("not a fault: {fault}")),
        },
        _ => return problem(405, "method not allowed"),
    };
    match outcome {
        Ok(()) => {
            let fault = panel.world.faults.get(provider);
            Reply::json(200, &json!({"provider": provider, "fault": fault}))
        }
        Err(error @ (Error::Impossible { .. } | Error::Setting(_))) => problem(400, &error.to_string()),
        Err(error @ (Error::Bind { .. } | Error::Journal { .. } | Error::Keys | Error::Stopped)) => problem(503, &error.to_string()),
    }
}
