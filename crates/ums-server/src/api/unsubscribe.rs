//! `GET /unsubscribe/{token}` and `POST /unsubscribe/{token}`: the link in mail to many (RFC 8058).
//!
//! GET shows a page with a button and changes nothing: scanners of mail follow every link. POST unsubscribes, whatever its body says: the
//! button's, or that of a mail program which posts `List-Unsubscribe=One-Click` itself. The signed token is all the right that it takes.
//!
//! **Invariant:** the page shows a masked address only, and a token that is not genuine has one answer, whatever is wrong with it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};
use ums_core::{EmailAddress, StoreError};
use ums_delivery::Unsubscriber;

use crate::api::App;
use crate::body;
use crate::docs::escape;
use crate::problem::Problem;

const STYLE: &str = include_str!("unsubscribe.css");
/// As on every page, but for the form, which posts to the page's own address.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `GET /unsubscribe/{token}`.
pub(super) async fn ask(State(app): State<Arc<App>>, token: Result<Path<String>, PathRejection>) -> Response {
    let token = token.map(|Path(token)| token).unwrap_or_default();
    answer(app.in_time(app.messaging.unsubscriber(&token)).await, |unsubscriber| {
        if unsubscriber.is_unsubscribed {
            done(unsubscriber)
        } else {
            question(unsubscriber)
        }
    })
}

/// `POST /unsubscribe/{token}`.
pub(super) async fn act(State(app): State<Arc<App>>, token: Result<Path<String>, PathRejection>, request: Request) -> Response {
    body::discard(request).await;
    let token = token.map(|Path(token)| token).unwrap_or_default();
    // In a task of its own: a mail program that hangs up leaves nothing half done.
    let messaging = app.messaging.clone();
    let unsubscribing = tokio::spawn(async move { messaging.unsubscribe(&token).await });
    let broke_off = |_| Err(StoreError::Unavailable("it broke off".into()));
    answer(app.in_time(async { unsubscribing.await.unwrap_or_else(broke_off) }).await, done)
}

/// `GET /unsubscribe/style.css`.
pub(super) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, STYLE).into_response()
}

fn answer(found: Result<Result<Option<Unsubscriber>, StoreError>, Problem>, show: impl FnOnce(&Unsubscriber) -> String) -> Response {
    match found {
        Ok(Ok(Some(unsubscriber))) => page(StatusCode::OK, &show(&unsubscriber)),
        Ok(Ok(None)) => page(StatusCode::NOT_FOUND, NO_LINK),
        Ok(Err(error)) => {
            tracing::warn!(%error, "an unsubscribe link could not be followed");
            page(StatusCode::SERVICE_UNAVAILABLE, LATER)
        }
        Err(_) => page(StatusCode::SERVICE_UNAVAILABLE, LATER),
    }
}

const NO_LINK: &str = "<h1>This link does not work</h1>\
    <p>It may be incomplete, or it is too old. Nothing was changed.</p>\
    <p class=note>Please open the link in the latest message again, or answer the message and ask not to get more.</p>";

const LATER: &str = "<h1>Please try again in a moment</h1>\
    <p>Your wish could not be kept just now. Nothing was changed.</p>";

fn question(unsubscriber: &Unsubscriber) -> String {
    format!(
        "<h1>Unsubscribe?</h1>\
         <p>No more messages will be sent to <strong>{}</strong>.</p>\
         <form method=post><button type=submit>Unsubscribe</button></form>\
         <p class=note>If you do not want to unsubscribe, just close this page.</p>",
        escape(&masked(&unsubscriber.address))
    )
}

fn done(unsubscriber: &Unsubscriber) -> String {
    format!(
        "<h1>You are unsubscribed</h1>\
         <p role=status>No more messages will be sent to <strong>{}</strong>.</p>\
         <p class=note>You can close this page.</p>",
        escape(&masked(&unsubscriber.address))
    )
}

/// Enough of the address for its owner to know it: the first letter and the domain.
fn masked(address: &str) -> String {
    let Ok(address) = EmailAddress::parse(address) else {
        return "your address".to_owned();
    };
    let first = address.local().chars().next().map(String::from).unwrap_or_default();
    format!("{first}•••@{}", address.domain())
}

fn page(status: StatusCode, body: &str) -> Response {
    // The style stands beside the page: the public address may have a path of its own before ours.
    let html = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <meta name=robots content=noindex><meta name=color-scheme content=\"light dark\"><title>Unsubscribe</title>\
         <link rel=stylesheet href=style.css></head><body><main>{body}</main></body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (
            HeaderName::from_static("x-robots-tag"),
            HeaderValue::from_static("noindex, nofollow"),
        ),
    ];
    (status, headers, html).into_response()
}
