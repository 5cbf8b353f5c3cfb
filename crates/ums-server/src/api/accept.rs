//! What all calls that accept messages share: their headers, the task of their own, and what the engine's refusal means.

use axum::http::HeaderMap;
use hyper::header::{self, HeaderValue};
use ums_core::StoreError;
use ums_delivery::SubmitError;

use crate::api::App;
use crate::idempotency::{self, KeyInHand};
use crate::problem::{ErrorCode, Problem};

/// Bodies above this are read on a thread of their own, so that other requests go on.
const LARGE_BYTES: usize = 128 * 1_024;

/// Reads the headers of a request with a body, and gives its idempotency key.
pub(super) fn read_headers(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let is_json = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let mut parts = text.split(';').map(str::trim);
        let is_json = parts
            .next()
            .is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json"));
        let is_utf8 = |parameter: &str| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            Some(_) | None => true,
        };
        is_json && parts.all(is_utf8)
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            ErrorCode::UnsupportedMediaType,
            "send the body without Content-Encoding",
        ));
    }
    if headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        return idempotency::key_of(headers);
    }
    Err(Problem::new(
        ErrorCode::UnsupportedMediaType,
        "send the header Content-Type: application/json, in UTF-8",
    ))
}

/// Reads a body of that length where it does not keep other requests waiting.
pub(super) async fn read_aside<T: Send + 'static>(length: usize, read: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    if length <= LARGE_BYTES {
        return Ok(read());
    }
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| Problem::new(ErrorCode::Internal, "the request could not be read"))
}

/// Has the engine accept something in a task of its own, so that a client that goes away cancels nothing. Its key stays in
/// hand until the task has ended, however long the store takes.
pub(super) async fn accepted<T: Send + 'static>(
    app: &App,
    in_hand: Option<KeyInHand>,
    accept: impl Future<Output = Result<T, SubmitError>> + Send + 'static,
) -> Result<T, Problem> {
    let task = tokio::spawn(async move {
        let accepted = accept.await;
        drop(in_hand);
        accepted
    });
    match tokio::time::timeout(app.limits.store_time, task).await {
        Ok(Ok(Ok(accepted))) => Ok(accepted),
        Ok(Ok(Err(error))) => Err(submit_problem(error)),
        Ok(Err(_)) => Err(Problem::new(
            ErrorCode::AcceptUnknown,
            "it broke off within the service; repeat the request with the same Idempotency-Key",
        )),
        Err(_) => {
            tracing::warn!("the store takes too long to accept");
            Err(Problem::new(
                ErrorCode::AcceptUnknown,
                "the store takes too long; repeat the request with the same Idempotency-Key: it will not be sent twice",
            ))
        }
    }
}

/// The database was taken away while the message was accepted or waited for: nothing can be said of the message.
pub(super) fn taken_away() -> Problem {
    Problem::new(
        ErrorCode::AcceptUnknown,
        "the service has lost its database; when an operator has put it back, repeat the request with the same Idempotency-Key: it will not \
         be sent twice",
    )
}

fn submit_problem(error: SubmitError) -> Problem {
    match error {
        SubmitError::Invalid(invalid) => invalid.into(),
        SubmitError::NoProvider(channel) => Problem::new(
            ErrorCode::NoProvider,
            format!("no provider for {channel} is configured; /v1/providers/health names what is missing"),
        ),
        SubmitError::KeyConflict => Problem::new(
            ErrorCode::KeyConflict,
            "the key belongs to a request with another body; use a new key for a new message",
        ),
        SubmitError::Busy => Problem::new(ErrorCode::Busy, "nothing was accepted; try again in a moment"),
        SubmitError::Full => Problem::new(
            ErrorCode::BacklogFull,
            "nothing was accepted; try again when some of the messages that wait were sent",
        ),
        SubmitError::Closing => Problem::new(ErrorCode::Closing, "nothing was accepted; try again, another instance will take it"),
        SubmitError::Store(StoreError::Gone(_)) => taken_away(),
        SubmitError::Store(StoreError::CommitUnknown(error)) => {
            tracing::warn!(%error, "the outcome of an accept is unknown");
            Problem::new(
                ErrorCode::AcceptUnknown,
                "repeat the request with the same Idempotency-Key: it will not be sent twice",
            )
        }
        SubmitError::Store(error) => {
            tracing::warn!(%error, "the store did not accept a message");
            Problem::new(ErrorCode::StoreUnavailable, "nothing was accepted, nothing was sent; try again")
        }
    }
}
