//! `POST /v1/providers/{provider}/disable`, `/enable`, `/probe`: what operators do to a provider account, for all processes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ums_core::{AccountId, FailureClass, ProviderKind, SwitchedOff, Timestamp};
use ums_delivery::{SwitchError, SwitchOff, Tried};

use crate::api::acts::read;
use crate::api::{App, json, store_problem};
use crate::body;
use crate::problem::{ErrorCode, Problem};
use crate::shape;

/// Who a caller is that does not say: the key has one owner.
const BY_API: &str = "api";
/// Longest time for which a provider may be disabled by its length, in seconds: 10 years.
const MAX_SECONDS: u64 = 315_360_000;

type Word = Result<Path<String>, PathRejection>;

/// A provider account and its switch, after an operator turned it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSwitched {
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: String,
    /// Why, by whom, since and until when it is out of service; null when it serves.
    pub disabled: Option<SwitchedOff>,
    /// Whether the call changed that.
    pub changed: bool,
}

/// What a provider said to an operator's question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderTried {
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: String,
    /// `healthy`, `no_answer`, `failed` or `busy`.
    pub answer: String,
    /// What follows, in words for people.
    pub detail: String,
    /// Class of the failure, if it said no.
    pub class: Option<FailureClass>,
    /// The provider's code, if it said no.
    pub code: Option<String>,
}

impl ProviderTried {
    /// The answer as callers see it.
    pub fn of(provider: ProviderKind, account: &AccountId, tried: &Tried, off: Option<&SwitchedOff>) -> Self {
        let (answer, said, follows) = match tried {
            Tried::Healthy => ("healthy", "it answers and takes the login", "the next message goes to it"),
            Tried::NoAnswer => (
                "no_answer",
                "it cannot be asked, or its answer says nothing",
                "the next message tries it",
            ),
            Tried::Failed(failure) => ("failed", &*failure.to_string(), ""),
            Tried::Busy => (
                "busy",
                "another question or message tries it at this moment",
                "ask again in a second",
            ),
        };
        let follows = off.map_or(follows.to_owned(), |off| out_of_service(provider, account, off));
        let detail = if follows.is_empty() {
            said.to_owned()
        } else {
            format!("{said}; {follows}")
        };
        let failure = match tried {
            Tried::Failed(failure) => Some(failure),
            Tried::Healthy | Tried::NoAnswer | Tried::Busy => None,
        };
        Self {
            provider,
            account: account.as_str().to_owned(),
            answer: answer.to_owned(),
            detail,
            class: failure.map(|failure| failure.class),
            code: failure.map(|failure| failure.code.clone()),
        }
    }
}

/// What follows of any answer while an operator has the provider out of service.
fn out_of_service(provider: ProviderKind, account: &AccountId, off: &SwitchedOff) -> String {
    let until = off.until.map_or("it is enabled".to_owned(), |until| until.to_string());
    let account = if *account == AccountId::default() {
        String::new()
    } else {
        format!(" --account {}", account.as_str())
    };
    format!("no message goes to it: it is out of service until {until} (`ums providers enable {provider}{account}` brings it back)")
}

/// `POST /v1/providers/{provider}/disable`.
pub(super) async fn disable(State(app): State<Arc<App>>, word: Word, request: Request) -> Response {
    let now = app.clock.now();
    let asked = asked(&app, word, request, shape::DISABLE).await;
    let asked = asked.and_then(|(provider, object)| Ok((provider, off_of(&object, now)?, account_of(&object))));
    let (provider, off, account) = match asked {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let messaging = app.messaging.clone();
    let done = in_a_task(&app, async move {
        let off = messaging.disable_provider(provider, &account, off).await?;
        Ok(switched(provider, &account, Some(off), true))
    });
    shown(done.await)
}

/// `POST /v1/providers/{provider}/enable`.
pub(super) async fn enable(State(app): State<Arc<App>>, word: Word, request: Request) -> Response {
    let (provider, object) = match asked(&app, word, request, shape::ENABLE).await {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let (account, by, messaging) = (account_of(&object), by_of(&object), app.messaging.clone());
    let done = in_a_task(&app, async move {
        let was_off = messaging.enable_provider(provider, &account, &by).await?;
        Ok(switched(provider, &account, None, was_off))
    });
    shown(done.await)
}

/// `POST /v1/providers/{provider}/probe`.
pub(super) async fn probe(State(app): State<Arc<App>>, word: Word, request: Request) -> Response {
    let (provider, object) = match asked(&app, word, request, shape::PROBE).await {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let (account, messaging) = (account_of(&object), app.messaging.clone());
    // The provider is waited for, not the store: the adapter bounds its time.
    let asked = tokio::spawn(async move {
        let tried = messaging.probe_provider(provider, &account).await?;
        let off = messaging.switched_off(provider, &account).await?;
        Ok(ProviderTried::of(provider, &account, &tried, off.as_ref()))
    });
    shown(match asked.await {
        Ok(done) => done.map_err(|error| switch_problem(&error)),
        Err(_) => Err(broke_off()),
    })
}

/// Reads the provider of the path and the fields of the body, which may be empty.
async fn asked(app: &App, word: Word, request: Request, fields: shape::Fields) -> Result<(ProviderKind, Map<String, Value>), Problem> {
    let provider = word.ok().and_then(|Path(word)| word.parse().ok());
    let Some(provider) = provider else {
        body::discard(request).await;
        return Err(no_such_provider());
    };
    if hyper::body::Body::is_end_stream(request.body()) {
        return Ok((provider, Map::new()));
    }
    Ok((provider, read(app, request, fields, app.limits.body_bytes).await?))
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn account_of(object: &Map<String, Value>) -> AccountId {
    text(object, "account").map_or_else(AccountId::default, AccountId::new)
}

pub(super) fn by_of(object: &Map<String, Value>) -> String {
    text(object, "by").unwrap_or_else(|| BY_API.to_owned())
}

/// Reads a decision; types were checked already. What the texts may be is for the engine to say.
fn off_of(object: &Map<String, Value>, now: Timestamp) -> Result<SwitchOff, Problem> {
    let fault = |field: &str, reason: &str| Err(Problem::fault(ErrorCode::InvalidFields, field, reason));
    let Some(reason) = text(object, "reason") else {
        return fault("reason", "must be there");
    };
    let until = text(object, "until").and_then(|text| Timestamp::parse_rfc3339(&text));
    let until = match (until, object.get("for_seconds").and_then(Value::as_u64)) {
        (Some(_), Some(_)) => return fault("for_seconds", "must not stand beside until"),
        (None, Some(seconds)) if !(1..=MAX_SECONDS).contains(&seconds) => {
            return fault("for_seconds", &format!("must be 1 to {MAX_SECONDS}"));
        }
        (None, Some(seconds)) => Some(now + Duration::from_secs(seconds)),
        (until, None) => until,
    };
    Ok(SwitchOff {
        reason,
        by: by_of(object),
        until,
    })
}

fn switched(provider: ProviderKind, account: &AccountId, disabled: Option<SwitchedOff>, changed: bool) -> ProviderSwitched {
    ProviderSwitched {
        provider,
        account: account.as_str().to_owned(),
        disabled,
        changed,
    }
}

/// In a task of its own: a client that goes away leaves nothing half done.
pub(super) async fn in_a_task<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = Result<T, SwitchError>> + Send + 'static,
) -> Result<T, Problem> {
    match app.in_time(tokio::spawn(work)).await? {
        Ok(done) => done.map_err(|error| switch_problem(&error)),
        Err(_) => Err(broke_off()),
    }
}

pub(super) fn shown(done: Result<impl Serialize, Problem>) -> Response {
    match done {
        Ok(done) => json(StatusCode::OK, &done),
        Err(problem) => problem.into_response(),
    }
}

fn switch_problem(error: &SwitchError) -> Problem {
    match error {
        SwitchError::NotConfigured(_) => no_such_provider(),
        SwitchError::Invalid(field, reason) => Problem::fault(ErrorCode::InvalidFields, *field, reason),
        SwitchError::Store(error) => store_problem(error),
    }
}

fn no_such_provider() -> Problem {
    Problem::new(
        ErrorCode::NoSuchProvider,
        "GET /v1/providers/health names the providers of this service",
    )
}

fn broke_off() -> Problem {
    Problem::new(
        ErrorCode::Internal,
        "it broke off within the service; look at how things stand before you repeat it",
    )
}
