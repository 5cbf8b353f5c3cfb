//! `GET /v1/providers/health`, `/livez`, `/readyz`, `/metrics`: how the service and its providers do.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde_json::json as value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use ums_core::{StoreError, TroubleKind, with_causes};

use crate::api::{App, json};
use crate::problem::{ErrorCode, Problem};

/// How long the answer of the store is good for: probes are open to all and must not keep it busy.
const READINESS_GOOD_FOR: Duration = Duration::from_secs(1);
/// How long the store may take.
const READINESS_TIME: Duration = Duration::from_secs(2);

/// Why the store is not ready that does not answer in that time.
const SILENT: &str = "the database does not answer in 2 seconds; look at its load, its disk and the network to it";

/// `GET /v1/providers/health`.
pub(super) async fn providers(State(app): State<Arc<App>>) -> Response {
    json(StatusCode::OK, &app.messaging.health())
}

/// `GET /livez`: the process answers.
pub(super) async fn live() -> Response {
    json(StatusCode::OK, &value!({"status": "alive"}))
}

/// `GET /readyz`: messages are accepted. Troubles are named, and only one that keeps messages from being taken makes it say no: whoever
/// has nothing left for a call still stores what comes, and another process on the machine would have no more.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.closing.is_cancelled() {
        return Problem::new(ErrorCode::Closing, "no further messages should be sent here").into_response();
    }
    if let Some(trouble) = app.messaging.troubles().blocking() {
        return Problem::new(ErrorCode::NotReady, trouble.reason).into_response();
    }
    let why = app.readiness.check(&app).await;
    let troubles = app.messaging.troubles().all();
    if let Some(why) = why {
        let short = troubles
            .into_iter()
            .find(|trouble| matches!(trouble.kind, TroubleKind::Descriptors | TroubleKind::Memory));
        let detail = short.map_or_else(|| why.to_owned(), |trouble| trouble.reason);
        return Problem::new(ErrorCode::StoreUnavailable, detail).into_response();
    }
    let kinds: Vec<_> = troubles.iter().map(|trouble| trouble.kind).collect();
    json(StatusCode::OK, &value!({"status": "ready", "troubles": kinds}))
}

/// Why the store takes no writes and what to do. What the database itself said stands in the log alone, because anybody may ask a probe.
fn words_of(error: &StoreError) -> &'static str {
    if matches!(error, StoreError::Unusable(_) | StoreError::Gone(_)) {
        "the database refuses this service; its log says why and what to do"
    } else {
        "the database takes no writes: it is stopped, restarting, locked, out of reach or its disk is full; bring it back, the log of this \
         service says what it answered"
    }
}

/// Why the store took no writes when it was last asked; none if it took them.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Option<&'static str>)>>);

impl Readiness {
    async fn check(&self, app: &App) -> Option<&'static str> {
        let mut last = self.0.lock().await;
        if let Some((at, why)) = *last
            && at.elapsed() < READINESS_GOOD_FOR
        {
            return why;
        }
        let why = match tokio::time::timeout(READINESS_TIME, app.messaging.check()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                app.messaging.note_shortage(&error);
                tracing::warn!(error = with_causes(&error), "the store does not take writes");
                Some(words_of(&error))
            }
            Err(_) => {
                tracing::warn!("the store does not answer");
                Some(SILENT)
            }
        };
        *last = Some((Instant::now(), why));
        why
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    match app.metrics.text(&app.messaging.health(), app.messaging.standing()) {
        Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => Problem::new(ErrorCode::Internal, "the counts could not be written").into_response(),
    }
}
