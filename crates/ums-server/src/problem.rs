//! What is wrong with a request, or with us, as RFC 9457 problems: one table of codes.
//!
//! Codes are never reused. Each has a page, `docs/errors/<code>.md`, which the service shows at
//! `/docs/errors/<code>`; that path is the problem's `type`.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::Serialize;
use ums_core::InvalidRequest;
use ums_core::request::FieldFault;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $status:ident $title:literal,)+) => {
        /// A stable code of a fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)+
        }

        impl ErrorCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as callers see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What it means, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            pub(crate) const fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors/", $code, ".md"))),+
                }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    MalformedJson = "UMS1001" BAD_REQUEST "The body is not valid JSON",
    /// Fields are missing, of the wrong type or out of range.
    InvalidFields = "UMS1002" UNPROCESSABLE_ENTITY "The request has invalid fields",
    /// The body is of another media type.
    UnsupportedMediaType = "UMS1003" UNSUPPORTED_MEDIA_TYPE "The body must be application/json",
    /// The body is too large.
    BodyTooLarge = "UMS1004" PAYLOAD_TOO_LARGE "The body is too large",
    /// The body did not come in time.
    BodyTooSlow = "UMS1005" REQUEST_TIMEOUT "The body did not arrive in time",
    /// The body broke off, or is not framed as it says.
    BodyBroken = "UMS1006" BAD_REQUEST "The body could not be read",
    /// A query parameter is wrong.
    InvalidQuery = "UMS1007" BAD_REQUEST "The query has invalid parameters",
    /// A header is wrong.
    InvalidHeader = "UMS1008" BAD_REQUEST "A header is invalid",
    /// The length of the request can be read in two ways.
    AmbiguousLength = "UMS1009" BAD_REQUEST "The length of the request is ambiguous",
    /// The idempotency key belongs to another request.
    KeyConflict = "UMS1010" UNPROCESSABLE_ENTITY "The idempotency key was used for another request",
    /// No such path.
    NoSuchPath = "UMS1011" NOT_FOUND "There is nothing at this path",
    /// No such message.
    NoSuchMessage = "UMS1012" NOT_FOUND "There is no such message",
    /// The path has other methods.
    MethodNotAllowed = "UMS1013" METHOD_NOT_ALLOWED "The method is not allowed here",
    /// A message of a batch is wrong.
    InvalidBatch = "UMS1014" BAD_REQUEST "The batch cannot be accepted as it is",
    /// The first request with this idempotency key is not stored yet.
    KeyInHand = "UMS1015" CONFLICT "A request with this idempotency key is being accepted",
    /// The message does not stand so that this can be done to it.
    NotPossible = "UMS1016" CONFLICT "This cannot be done to the message as it stands",
    /// No such webhook endpoint.
    NoSuchEndpoint = "UMS1017" NOT_FOUND "There is no such webhook endpoint",
    /// As many webhook endpoints as there may be.
    TooManyEndpoints = "UMS1018" CONFLICT "There are as many webhook endpoints as there may be",
    /// No chain has that provider account.
    NoSuchProvider = "UMS1019" NOT_FOUND "No chain has that provider",
    /// The key is missing or wrong.
    Unauthorized = "UMS2001" UNAUTHORIZED "An API key is needed",
    /// Without a key, the service answers only under a loopback name.
    ForeignHost = "UMS2002" FORBIDDEN "The host name is not allowed",
    /// A provider's report is not taken; why is not told.
    HookRefused = "UMS2003" FORBIDDEN "The report was not taken",
    /// No provider of the channel is configured.
    NoProvider = "UMS3001" SERVICE_UNAVAILABLE "No provider of this channel is configured",
    /// Webhooks need a key of the service that is not set.
    WebhooksOff = "UMS3002" SERVICE_UNAVAILABLE "Webhooks cannot be signed or posted here",
    /// Something broke on our side.
    Internal = "UMS5001" INTERNAL_SERVER_ERROR "Something went wrong on our side",
    /// Too much is going on.
    Busy = "UMS5002" SERVICE_UNAVAILABLE "Too much is going on",
    /// The service is shutting down.
    Closing = "UMS5003" SERVICE_UNAVAILABLE "The service is shutting down",
    /// The store cannot be used now.
    StoreUnavailable = "UMS5004" SERVICE_UNAVAILABLE "The store is not available",
    /// Nobody knows whether the message was accepted.
    AcceptUnknown = "UMS5005" SERVICE_UNAVAILABLE "It is not known whether the message was accepted",
    /// As many messages wait as may.
    BacklogFull = "UMS5006" SERVICE_UNAVAILABLE "Too many messages wait to be sent",
    /// A trouble of the service itself lasts.
    NotReady = "UMS5007" SERVICE_UNAVAILABLE "The service has a trouble of its own",
}

impl ErrorCode {
    /// When the same request may work.
    const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Busy | Self::KeyInHand => Some(Duration::from_secs(1)),
            Self::BacklogFull => Some(Duration::from_secs(30)),
            Self::Closing | Self::NotReady | Self::StoreUnavailable | Self::AcceptUnknown => Some(Duration::from_secs(5)),
            Self::MalformedJson
            | Self::InvalidFields
            | Self::UnsupportedMediaType
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::BodyBroken
            | Self::InvalidQuery
            | Self::InvalidHeader
            | Self::AmbiguousLength
            | Self::KeyConflict
            | Self::NoSuchPath
            | Self::NoSuchMessage
            | Self::MethodNotAllowed
            | Self::InvalidBatch
            | Self::NotPossible
            | Self::NoSuchEndpoint
            | Self::TooManyEndpoints
            | Self::NoSuchProvider
            | Self::Unauthorized
            | Self::ForeignHost
            | Self::HookRefused
            | Self::NoProvider
            | Self::WebhooksOff
            | Self::Internal => None,
        }
    }

    /// Whether what follows on the connection cannot be trusted to be a request. A refused report may have been any of these, and its answer
    /// is to be the same for all.
    const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::BodyTooLarge | Self::BodyTooSlow | Self::BodyBroken | Self::AmbiguousLength | Self::HookRefused
        )
    }
}

/// A fault as it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    code: ErrorCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldFault>,
}

impl Problem {
    /// A fault with words for this case, which never hold a value of the request.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// Faults of fields, query parameters or headers, by name.
    pub(crate) fn faults(code: ErrorCode, errors: Vec<FieldFault>) -> Self {
        let detail = match errors.as_slice() {
            [] => String::new(),
            [one] => format!("{} {}", one.field, one.reason),
            [first, rest @ ..] => format!("{} {} (and {} more)", first.field, first.reason, rest.len()),
        };
        Self {
            code,
            detail: detail.into(),
            errors,
        }
    }

    /// One fault of a field, query parameter or header.
    pub(crate) fn fault(code: ErrorCode, field: impl Into<String>, reason: &str) -> Self {
        Self::faults(
            code,
            vec![FieldFault {
                field: field.into(),
                reason: reason.to_owned(),
            }],
        )
    }

    /// The same with another code, where it has the first of the two.
    pub(crate) fn with_code(mut self, from: ErrorCode, to: ErrorCode) -> Self {
        if self.code == from {
            self.code = to;
        }
        self
    }

    /// Its faults; one without a field where it has none.
    pub(crate) fn into_faults(self) -> Vec<FieldFault> {
        if self.errors.is_empty() {
            return vec![FieldFault {
                field: String::new(),
                reason: self.detail.into_owned(),
            }];
        }
        self.errors
    }

    /// The code.
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    /// The faults.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn errors(&self) -> &[FieldFault] {
        &self.errors
    }
}

impl From<InvalidRequest> for Problem {
    fn from(invalid: InvalidRequest) -> Self {
        Self::faults(ErrorCode::InvalidFields, invalid.faults)
    }
}

/// The JSON of a problem.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[FieldFault]>::is_empty")]
    errors: &'a [FieldFault],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: format!("/docs/errors/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (self.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.code.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        if self.code.ends_connection() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.code == ErrorCode::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}
