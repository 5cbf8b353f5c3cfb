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
use ums_core::TroubleKind;

use crate::api::{App, json};
use crate::problem::{ErrorCode, Problem};

/// How long the answer of the store is good for: probes are open to all and must not keep it busy.
const READINESS_GOOD_FOR: Duration = Duration::from_secs(1);
/// How long the store may take.
const READINESS_TIME: Duration = Duration::from_secs(2);

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
    if app.readiness.check(&app).await {
        let troubles = app.messaging.troubles().all();
        let kinds: Vec<_> = troubles.iter().map(|trouble| trouble.kind).collect();
        json(StatusCode::OK, &value!({"status": "ready", "troubles": kinds}))
    } else {
        let short = app
            .messaging
            .troubles()
            .all()
            .into_iter()
            .find(|trouble| matches!(trouble.kind, TroubleKind::Descriptors | TroubleKind::Memory));
        let detail = short.map_or_else(|| "the store does not take writes".to_owned(), |trouble| trouble.reason);
        Problem::new(ErrorCode::StoreUnavailable, detail).into_response()
    }
}

/// Whether the store took writes when it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    async fn check(&self, app: &App) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, is_ready)) = *last
            && at.elapsed() < READINESS_GOOD_FOR
        {
            return is_ready;
        }
        let is_ready = match tokio::time::timeout(READINESS_TIME, app.messaging.check()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                app.messaging.note_shortage(&error);
                tracing::warn!(%error, "the store does not take writes");
                false
            }
            Err(_) => {
                tracing::warn!("the store does not answer");
                false
            }
        };
        *last = Some((Instant::now(), is_ready));
        is_ready
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
