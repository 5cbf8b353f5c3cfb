//! What happens to every request, whatever it asks: an id, a log line, counts, safe headers, and a
//! net under panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Version};
use tokio::time::Instant;
use ums_core::Random;

use crate::accept_loop::Peer;
use crate::body;
use crate::metrics::Metrics;
use crate::problem::{ErrorCode, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID_BYTES: usize = 128;
/// The route of a request that matches none.
const NO_ROUTE: &str = "unmatched";
/// The status that is logged and counted when a client went away before it was answered.
const CLIENT_CLOSED: u16 = 499;

const SAFE_HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What the edge works with.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) random: Arc<dyn Random>,
}

/// Takes a request in and its answer out.
pub(crate) async fn edge(State(Edge { metrics, random }): State<Edge>, request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers(), &*random);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let mut entry = Entry::begin(metrics, request.method(), route, request_id.clone());

    let mut response = match request.extensions().get::<Peer>() {
        Some(peer) if peer.connection.ambiguous.load(Ordering::Acquire) => {
            body::discard(request).await;
            Problem::new(
                ErrorCode::AmbiguousLength,
                "give Content-Length once, or Transfer-Encoding: chunked once, not both",
            )
            .into_response()
        }
        _ if !names_one_host(&request) => {
            body::discard(request).await;
            let detail = "give the header Host once, with a host and perhaps a port";
            Problem::new(ErrorCode::InvalidHeader, detail).into_response()
        }
        _ => run(next, request).await,
    };

    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id);
    if is_chunked {
        // The connection's framing is not followed past chunks.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in SAFE_HEADERS {
        // A page with a form says its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    entry.end(response.status().as_u16(), response.extensions().get::<ErrorCode>().copied());
    response
}

/// Whether a request says for which host it is, once and well; only HTTP/1.0 may leave it out (RFC 9112 §3.2).
///
/// An empty host would be right for a target without an authority only; a URI of HTTP has one (RFC 9110 §4.2.1).
fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    }
}

/// Whether a value is `uri-host [ ":" port ]`.
fn is_host(value: &HeaderValue) -> bool {
    let authority = value.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let rest = authority.as_str().strip_prefix(authority.host());
        !authority.host().is_empty() && rest.is_some_and(|rest| rest.is_empty() || is_port(rest))
    })
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|digits| digits.is_empty() || digits.parse::<u16>().is_ok())
}

/// Runs the rest; a panic becomes a problem, and the connection lives on.
async fn run(next: Next, request: Request) -> Response {
    caught(next.run(request)).await.unwrap_or_else(|| {
        tracing::error!("a request's handler panicked");
        Problem::new(ErrorCode::Internal, "the request could not be worked on; its id is in x-request-id").into_response()
    })
}

/// What some work gives; none when it panicked.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut running = Box::pin(work);
    let caught = std::future::poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
        Err(_) => Poll::Ready(None),
    });
    caught.await
}

/// The client's id for the request when it is one, else a new one.
fn request_id(headers: &HeaderMap, random: &dyn Random) -> HeaderValue {
    let is_id = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'='))
    };
    if let Some(id) = headers.get(REQUEST_ID).filter(is_id) {
        return id.clone();
    }
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let id = format!("{:032x}", u128::from_be_bytes(bytes));
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
}

/// A line of the access log: written when the request ends, or when its client goes away.
struct Entry {
    metrics: Arc<Metrics>,
    method: &'static str,
    route: String,
    request_id: HeaderValue,
    begun: Instant,
    is_ended: bool,
}

impl Entry {
    fn begin(metrics: Arc<Metrics>, method: &Method, route: String, request_id: HeaderValue) -> Self {
        Self {
            metrics,
            method: known(method),
            route,
            request_id,
            begun: Instant::now(),
            is_ended: false,
        }
    }

    fn end(&mut self, status: u16, code: Option<ErrorCode>) {
        self.is_ended = true;
        let time = self.begun.elapsed();
        self.metrics.http_request(&self.route, self.method, status, time);
        let duration_ms = ums_core::millis(time);
        let request_id = self.request_id.to_str().unwrap_or_default();
        let code = code.map(ErrorCode::as_str);
        tracing::info!(target: "ums_server::access", method = self.method, route = %self.route, status, duration_ms, request_id, code, "request");
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.is_ended {
            self.end(CLIENT_CLOSED, None);
        }
    }
}

/// The method as a label: clients cannot make up new ones.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.iter().find(|known| **known == method.as_str()).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt as _;
    use ums_testkit::SeededRandom;

    #[tokio::test]
    async fn a_panic_becomes_a_problem() {
        async fn broken() -> &'static str {
            panic!("as the test wants it")
        }
        let router = Router::new()
            .route("/", get(broken))
            .layer(from_fn(|request: Request, next: Next| run(next, request)));
        let response = router.oneshot(Request::new(axum::body::Body::empty())).await.unwrap();
        assert_eq!(response.status().as_u16(), 500);
        assert_eq!(response.extensions().get::<ErrorCode>(), Some(&ErrorCode::Internal));
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in ["localhost", "ums.example.com:8080", "192.0.2.1", "[2001:db8::1]:80", "a_b", "h:"] {
            assert!(is_host(&HeaderValue::from_static(good)), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a/b", "http://a", "user@a", "a:b", "a:70000", "a:1:2", "[::1", "a, b", "a?b", "a#b",
        ] {
            assert!(!is_host(&HeaderValue::from_static(bad)), "{bad}");
        }
        assert!(!is_host(&HeaderValue::from_bytes(b"\xff").unwrap()));
    }

    #[test]
    fn only_clean_request_ids_are_taken_over() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(text).unwrap());
            request_id(&headers, &SeededRandom::new(1)).to_str().unwrap().to_owned()
        };
        assert_eq!(id("0199-abc_DEF.1"), "0199-abc_DEF.1");
        for bad in ["", "canary@example.com", "+14165550123", "a b", "{canary}", &"x".repeat(129)] {
            let made = id(bad);
            assert!(
                made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{bad}: {made}"
            );
        }
    }
}
