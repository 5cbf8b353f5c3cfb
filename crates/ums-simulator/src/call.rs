//! A request that was read to its end.

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, header};

use crate::form::Form;

/// Longest body of a request that is read: 45 MB.
const MAX_BODY: usize = 45_000_000;

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path below the provider's base URL, beginning with a slash.
    pub(crate) path: String,
    pub(crate) query: Form,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum Unread {
    TooLarge,
    PeerLeft,
}

impl Call {
    pub(crate) async fn read(request: Request<Incoming>, path: String) -> Result<Self, Unread> {
        let (head, body) = request.into_parts();
        let collected = Limited::new(body, MAX_BODY).collect().await;
        let body = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(fault) if fault.is::<LengthLimitError>() => return Err(Unread::TooLarge),
            Err(_) => return Err(Unread::PeerLeft),
        };
        Ok(Self {
            method: head.method,
            path,
            query: Form::parse(head.uri.query().unwrap_or_default().as_bytes()),
            headers: head.headers,
            body,
        })
    }

    /// Returns a header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header(header::AUTHORIZATION.as_str())
    }

    /// Returns the parts of the path between the slashes.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }

    /// Tells whether the body claims to be of this media type.
    pub(crate) fn is_of_type(&self, media_type: &str) -> bool {
        self.header(header::CONTENT_TYPE.as_str())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case(media_type))
    }
}
