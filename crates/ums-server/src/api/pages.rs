//! `/`, `/docs`, `/docs/errors`, `/openapi.json`: what people read.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::header::{self, HeaderValue};

use crate::api::App;
use crate::docs;
use crate::problem::{ErrorCode, Problem};

fn page(content_type: &'static str, body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, body).into_response()
}

fn html(body: &Bytes) -> Response {
    page("text/html; charset=utf-8", body.clone())
}

/// `GET /`.
pub(super) async fn landing(State(app): State<Arc<App>>) -> Response {
    html(&app.docs.landing)
}

/// `GET /docs`.
pub(super) async fn docs(State(app): State<Arc<App>>) -> Response {
    html(&app.docs.reference)
}

/// `GET /docs/errors`.
pub(super) async fn errors(State(app): State<Arc<App>>) -> Response {
    html(&app.docs.errors)
}

/// `GET /docs/errors/{code}`.
pub(super) async fn error(State(app): State<Arc<App>>, code: Result<Path<String>, PathRejection>) -> Response {
    let code = code.map(|Path(code)| code).unwrap_or_default();
    match ErrorCode::ALL
        .iter()
        .zip(&app.docs.error_pages)
        .find(|(known, _)| known.as_str().eq_ignore_ascii_case(&code))
    {
        Some((_, body)) => html(body),
        None => Problem::new(ErrorCode::NoSuchPath, "see /docs/errors for the codes that there are").into_response(),
    }
}

/// `GET /docs/style.css`.
pub(super) async fn style() -> Response {
    page("text/css; charset=utf-8", Bytes::from_static(docs::STYLE.as_bytes()))
}

/// `GET /openapi.json`.
pub(super) async fn openapi(State(app): State<Arc<App>>) -> Response {
    page("application/json", app.docs.openapi.clone())
}
