//! `GET /v1/clock`, `POST /v1/clock/trust`: which time the service goes by, and an operator's word that the machine's clock is right.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use serde_json::Map;

use crate::api::acts::read;
use crate::api::providers::{by_of, in_a_task, shown};
use crate::api::{App, json};
use crate::shape;

/// `GET /v1/clock`.
pub(super) async fn show(State(app): State<Arc<App>>) -> Response {
    json(StatusCode::OK, &app.messaging.clock())
}

/// `POST /v1/clock/trust`; the body may be empty.
pub(super) async fn trust(State(app): State<Arc<App>>, request: Request) -> Response {
    let object = if hyper::body::Body::is_end_stream(request.body()) {
        Ok(Map::new())
    } else {
        read(&app, request, shape::TRUST_CLOCK, app.limits.body_bytes).await
    };
    let by = match object {
        Ok(object) => by_of(&object),
        Err(problem) => return problem.into_response(),
    };
    let messaging = app.messaging.clone();
    shown(in_a_task(&app, async move { messaging.trust_clock(&by).await }).await)
}
