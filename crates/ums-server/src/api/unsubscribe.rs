//! `GET /unsubscribe/{token}` and `POST /unsubscribe/{token}`: the link in mail to many (RFC 8058).
//!
//! GET shows a page with buttons and changes nothing: scanners of mail follow every link. POST unsubscribes from all mail to many, whatever
//! its body says: the button's, or that of a mail program which posts `List-Unsubscribe=One-Click` itself (RFC 8058 §3.2). Two more buttons
//! post with `choice` in the query: `list` leaves the message's mailing list alone, `undo` takes it back. The signed token is all the right
//! that it takes.
//!
//! Whoever unsubscribes still gets receipts and codes, and the page says so.
//!
//! **Invariant:** the page shows a masked address only, and a token that is not genuine has one answer, whatever is wrong with it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{StatusCode, Uri};
use ums_core::{EmailAddress, StoreError};
use ums_delivery::{Left, StillBarred, TakenBack, Unsubscriber, Wish};

use crate::api::App;
use crate::body;
use crate::docs::escape;
use crate::problem::Problem;

/// The queries of the page's own buttons.
const LIST: &str = "choice=list";
const UNDO: &str = "choice=undo";
const STYLE: &str = include_str!("unsubscribe.css");
/// As on every page, but for the form, which posts to the page's own address.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `GET /unsubscribe/{token}`.
pub(super) async fn ask(State(app): State<Arc<App>>, token: Result<Path<String>, PathRejection>) -> Response {
    let token = token.map(|Path(token)| token).unwrap_or_default();
    answer(app.in_time(app.messaging.unsubscriber(&token)).await)
}

/// `POST /unsubscribe/{token}`.
pub(super) async fn act(State(app): State<Arc<App>>, token: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let wish = wish(request.uri());
    body::discard(request).await;
    let token = token.map(|Path(token)| token).unwrap_or_default();
    // In a task of its own: a mail program that hangs up leaves nothing half done.
    let messaging = app.messaging.clone();
    let unsubscribing = tokio::spawn(async move { messaging.unsubscribe(&token, wish).await });
    let broke_off = |_| Err(StoreError::Unavailable("it broke off".into()));
    let done = app.in_time(async { unsubscribing.await.unwrap_or_else(broke_off) }).await;
    answer(done)
}

/// What a POST asks for. A query that is not one of the page's own is the one click of a mail program.
fn wish(uri: &Uri) -> Wish {
    match uri.query() {
        Some(LIST) => Wish::LeaveTheList,
        Some(UNDO) => Wish::ComeBack,
        _ => Wish::LeaveEverything,
    }
}

/// `GET /unsubscribe/style.css`.
pub(super) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, STYLE).into_response()
}

fn answer(found: Result<Result<Option<Unsubscriber>, StoreError>, Problem>) -> Response {
    match found {
        Ok(Ok(Some(unsubscriber))) => {
            let shown = match unsubscriber.taken_back {
                Some(taken_back) => back(&unsubscriber, taken_back),
                None => standing(&unsubscriber),
            };
            page(StatusCode::OK, &shown)
        }
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

const CLOSE: &str = "<p class=note>If you do not want to unsubscribe, just close this page.</p>";

const LATER: &str = "<h1>Please try again in a moment</h1>\
    <p>Your wish could not be kept just now. Nothing was changed.</p>";

/// What is not stopped.
const STILL: &str = "<p class=note>Receipts, codes and other messages that you ask for still come.</p>";

/// The page for an address as it stands: the question, or what it is unsubscribed from.
fn standing(unsubscriber: &Unsubscriber) -> String {
    let address = escape(&masked(&unsubscriber.address));
    let list = unsubscriber.list.as_ref().map(|list| escape(list.as_str()));
    let everything = "<form method=post><button type=submit>Unsubscribe from all newsletters and offers</button></form>";
    let undo = format!("<form method=post action=\"?{UNDO}\"><button type=submit class=second>Take it back</button></form>");
    match (unsubscriber.left, list) {
        (Left::Nothing, None) => format!(
            "<h1>Unsubscribe?</h1><p>No more newsletters and offers will be sent to <strong>{address}</strong>.</p>\
             <form method=post><button type=submit>Unsubscribe</button></form>{STILL}{CLOSE}"
        ),
        (Left::Nothing, Some(list)) => format!(
            "<h1>Unsubscribe?</h1><p>No more newsletters and offers will be sent to <strong>{address}</strong>.</p>{everything}\
             <form method=post action=\"?{LIST}\"><button type=submit class=second>Only from {list}</button></form>{STILL}{CLOSE}"
        ),
        (Left::TheList, list) => format!(
            "<h1>You are unsubscribed</h1><p role=status>No more mail of <strong>{}</strong> will be sent to <strong>{address}</strong>. \
             Other newsletters and offers still come.</p>{everything}{undo}{STILL}",
            list.unwrap_or_default()
        ),
        (Left::Everything, _) => format!(
            "<h1>You are unsubscribed</h1>\
             <p role=status>No more newsletters and offers will be sent to <strong>{address}</strong>.</p>{STILL}{undo}"
        ),
    }
}

/// Whom to ask where the page cannot help.
const ASK: &str = "<p class=note>If you want it to come again, please answer the message with this link and ask its sender.</p>";

/// The page after a wish to take an unsubscribe back. What bars the address for another reason is nothing that the link may lift.
fn back(unsubscriber: &Unsubscriber, taken_back: TakenBack) -> String {
    let address = escape(&masked(&unsubscriber.address));
    let unsubscribe = "<form method=post><button type=submit>Unsubscribe</button></form>";
    let done = if taken_back.any {
        "Your unsubscribe is taken back"
    } else {
        "There was nothing to take back"
    };
    match taken_back.still_barred {
        StillBarred::EveryMessage => format!(
            "<h1>Mail still does not come</h1><p role=status>{done}, but mail to <strong>{address}</strong> is stopped for another reason, \
             which this page cannot change.</p>{ASK}"
        ),
        StillBarred::OtherLists => format!(
            "<h1>{done}</h1><p role=status>Mail of other lists that you left still does not come to <strong>{address}</strong>. \
             Other newsletters and offers may be sent.</p>{ASK}{unsubscribe}"
        ),
        StillBarred::Nothing if taken_back.any => format!(
            "<h1>You are subscribed again</h1>\
             <p role=status>Newsletters and offers may be sent to <strong>{address}</strong> again.</p>{unsubscribe}"
        ),
        StillBarred::Nothing => {
            format!("<h1>{done}</h1><p role=status>Newsletters and offers may be sent to <strong>{address}</strong>.</p>{unsubscribe}")
        }
    }
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
