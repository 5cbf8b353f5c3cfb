//! `POST /hooks/{aws,sendgrid,twilio}[/{account}]`: what providers report.
//!
//! Whoever can reach the service can post here. So nothing is believed before the provider's hook found it genuine, and every fault has the
//! same answer after the same time: nobody learns which hooks there are, or how far a forgery got.
//!
//! **Invariant:** nothing of a payload reaches a log or a metric.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use ums_core::{AccountId, HookFault, HookRequest};
use ums_delivery::MemoryBudget;

use crate::api::App;
use crate::body::{self, Bounds};
use crate::edge::caught;
use crate::hooks::{HookName, Hooks};
use crate::problem::{ErrorCode, Problem};
use crate::settings::Limits;

/// No fault is answered earlier than that after the body was read: longer than a signature takes to be checked.
const FAULT_TIME: Duration = Duration::from_millis(20);

/// For a body: providers send theirs in one piece, and who drips keeps others out.
const BODY_TIME: Duration = Duration::from_secs(5);

/// The hooks with what they may take of the service, so that a flood of forged requests leaves the rest of it alone.
#[derive(Debug)]
pub(crate) struct HookDoor {
    hooks: Hooks,
    /// Requests that are read and checked at the same time.
    places: Semaphore,
    /// Not that of messages: strangers must not take it.
    memory: MemoryBudget,
}

impl HookDoor {
    pub(crate) fn new(hooks: Hooks, limits: &Limits) -> Self {
        Self {
            hooks,
            places: Semaphore::new(limits.hook_requests),
            memory: MemoryBudget::new(limits.hook_memory_bytes),
        }
    }
}

/// Why a request was not taken: the word is for logs and counts only.
enum Untaken {
    /// The sender's fault, or nobody's that we know.
    Refused(&'static str),
    /// Ours: the provider should post again.
    Unavailable(&'static str),
}

impl From<HookFault> for Untaken {
    fn from(fault: HookFault) -> Self {
        match fault {
            HookFault::Refused(word) => Self::Refused(word),
            HookFault::Unavailable(word) => Self::Unavailable(word),
        }
    }
}

/// `POST /hooks/{hook}`.
pub(super) async fn of_provider(State(app): State<Arc<App>>, path: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let path = path.map(|Path(name)| (name, AccountId::default()));
    answer(&app, path.ok(), request).await
}

/// `POST /hooks/{hook}/{account}`.
pub(super) async fn of_account(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let path = path.map(|Path((name, account))| (name, AccountId::new(account)));
    answer(&app, path.ok(), request).await
}

async fn answer(app: &Arc<App>, path: Option<(String, AccountId)>, request: Request) -> Response {
    let (name, account) = path.unwrap_or_default();
    let name = HookName::of(&name);
    let label = name.map_or("other", HookName::as_str);
    let mut read_at = Instant::now();
    let taken = take(app, (name, account), request, &mut read_at).await;
    let word = match &taken {
        Ok(()) => "ok",
        Err(Untaken::Refused(word) | Untaken::Unavailable(word)) => *word,
    };
    app.metrics.hook_request(label, word);
    match taken {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Untaken::Refused(word)) => {
            tracing::info!(hook = label, reason = word, "a provider's report was refused");
            tokio::time::sleep_until(read_at + FAULT_TIME).await;
            Problem::new(ErrorCode::HookRefused, "it is not a report that this service takes").into_response()
        }
        Err(Untaken::Unavailable(word)) => {
            tracing::warn!(
                hook = label,
                reason = word,
                "a provider's report could not be taken; the provider should post it again"
            );
            Problem::new(ErrorCode::StoreUnavailable, "it cannot be taken at the moment; post it again").into_response()
        }
    }
}

/// Reads, checks, keeps. `read_at` is set when the body is there.
async fn take(
    app: &Arc<App>,
    (name, account): (Option<HookName>, AccountId),
    request: Request,
    read_at: &mut Instant,
) -> Result<(), Untaken> {
    let Some(hook) = name.and_then(|name| app.hooks.hooks.get(name, &account)) else {
        // Nobody's report takes a place from those that may be genuine.
        body::discard(request).await;
        *read_at = Instant::now();
        return Err(Untaken::Refused("no_such_hook"));
    };
    let path_and_query = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let headers = headers_of(request.headers());
    let bounds = Bounds {
        most_bytes: app.limits.hook_body_bytes,
        memory_time: Duration::ZERO,
        read_time: app.limits.body_time.min(BODY_TIME),
    };
    let whole = body::read(request, bounds, &app.hooks.memory).await;
    *read_at = Instant::now();
    let whole = whole.map_err(|problem| unread(&problem))?;
    // Only now: a stranger whose body drips takes no place from a genuine report.
    let Ok(_place) = app.hooks.places.try_acquire() else {
        return Err(Untaken::Unavailable("busy"));
    };
    let request = HookRequest {
        account,
        path_and_query,
        headers,
        body: whole.bytes.to_vec(),
        received_at: app.clock.now(),
    };
    let read = tokio::time::timeout(app.limits.hook_time, caught(hook.read(&request)));
    let read = read.await.map_err(|_| Untaken::Unavailable("not_checked_in_time"))?;
    // A payload that breaks the reader is refused as any other: posted again it would do so again.
    let events = read.ok_or(Untaken::Refused("panicked"))??;
    if events.is_empty() {
        return Ok(());
    }
    // In a task of its own: a provider that hangs up leaves nothing half done.
    let messaging = app.messaging.clone();
    let keeping = tokio::spawn(async move { messaging.take_feedback(events).await });
    match tokio::time::timeout(app.limits.store_time, keeping).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(error))) => {
            tracing::warn!(%error, "the store did not take a provider's report");
            Err(Untaken::Unavailable("store"))
        }
        Ok(Err(_)) => Err(Untaken::Unavailable("broke_off")),
        Err(_) => Err(Untaken::Unavailable("store_too_slow")),
    }
}

fn headers_of(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

/// Why a body was not read: only memory that is taken is ours to answer for.
fn unread(problem: &Problem) -> Untaken {
    let code = problem.code();
    if code == ErrorCode::Busy {
        Untaken::Unavailable("busy")
    } else if code == ErrorCode::BodyTooLarge {
        Untaken::Refused("too_large")
    } else if code == ErrorCode::BodyTooSlow {
        Untaken::Refused("too_slow")
    } else {
        Untaken::Refused("broken")
    }
}
