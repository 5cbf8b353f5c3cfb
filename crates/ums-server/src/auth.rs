//! Who may call: whoever has the key. Without a key (development on loopback), whoever calls the
//! service by a loopback name, so that a web page cannot reach it under a name of its own.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::HeaderMap;
use hyper::header;
use hyper::http::uri::{Authority, Uri};
use ring::digest;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use ums_core::Secret;

use crate::accept_loop::Peer;
use crate::body;
use crate::door::{PeerKey, Stage};
use crate::problem::{ErrorCode, Problem};
use crate::proxies::TrustedProxies;
use crate::slowing::Refusals;

/// The key that callers must have, as a digest.
pub(crate) struct ApiKey(Option<digest::Digest>);

/// Who lets requests through.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) key: ApiKey,
    pub(crate) refusals: Refusals,
    pub(crate) proxies: TrustedProxies,
    /// Once the service is closing, no refusal is kept back.
    pub(crate) closing: CancellationToken,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

impl ApiKey {
    pub(crate) fn new(key: Option<&Secret>) -> Self {
        Self(key.map(|key| digest::digest(&digest::SHA256, key.expose().as_bytes())))
    }

    /// Checks a request; why it is refused is not told apart.
    ///
    /// Digests of both keys are compared, so that neither a common beginning nor the length shows in the time.
    fn check(&self, target: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(wanted) = &self.0 else {
            return check_host(target, headers);
        };
        let presented = digest::digest(&digest::SHA256, bearer(headers).unwrap_or_default());
        if bool::from(presented.as_ref().ct_eq(wanted.as_ref())) {
            Ok(())
        } else {
            Err(Problem::new(
                ErrorCode::Unauthorized,
                "send the header Authorization: Bearer <key> with a valid key",
            ))
        }
    }
}

/// The token of the only `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether a request is for this machine: by `Host`, and by the target if that names a host, too (RFC 9112 §3.2.2).
fn check_host(target: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts
        .next()
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<Authority>().ok());
    let is_ours = host.is_some_and(|host| is_local(&host)) && target.authority().is_none_or(is_local);
    if is_ours && hosts.next().is_none() {
        Ok(())
    } else {
        Err(Problem::new(
            ErrorCode::ForeignHost,
            "without an API key the service answers only to localhost, 127.0.0.1 and [::1]",
        ))
    }
}

fn is_local(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let is_local_name = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    is_local_name || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Lets a request through that has the key.
///
/// A refusal is kept back for a while when its peer was refused often; whoever has the key is asked nothing of that.
pub(crate) async fn require_key(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    match guard.key.check(request.uri(), request.headers()) {
        Ok(()) => {
            if let Some(peer) = peer {
                peer.connection.is_a_callers();
            }
            next.run(request).await
        }
        Err(problem) => {
            let client = peer.as_ref().map(|peer| guard.proxies.client(peer.address, request.headers()));
            body::discard(request).await;
            if let (Some(peer), Some(client)) = (peer, client) {
                let wait = tokio::time::sleep(guard.refusals.count(PeerKey::of(client)));
                let wait = guard.closing.run_until_cancelled(wait);
                peer.connection.wait(Stage::Withheld, wait).await;
            }
            problem.into_response()
        }
    }
}

/// Lets a request through that has the key, or that comes from this machine and not through a proxy.
pub(crate) async fn require_key_or_loopback(guard: State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let is_local = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| peer.address.ip().to_canonical().is_loopback());
    let is_forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| request.headers().contains_key(*name));
    let is_proxy = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| guard.proxies.holds(peer.address.ip()));
    if is_local && !is_forwarded && !is_proxy {
        return next.run(request).await;
    }
    require_key(guard, request, next).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
        entries
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    #[test]
    fn only_the_whole_key_opens() {
        let key = ApiKey::new(Some(&Secret::new("right-key")));
        let open = |entries: &[(&'static str, &str)]| key.check(&Uri::from_static("/"), &headers(entries)).is_ok();
        assert!(open(&[("authorization", "Bearer right-key")]));
        assert!(open(&[("authorization", "bearer  right-key ")]));
        for wrong in [
            "Bearer right",
            "Bearer right-key1",
            "Bearer RIGHT-KEY",
            "Basic right-key",
            "right-key",
            "Bearer",
            "Bearer ",
            "",
        ] {
            assert!(!open(&[("authorization", wrong)]), "{wrong}");
        }
        assert!(!open(&[]));
        assert!(!open(&[
            ("authorization", "Bearer right-key"),
            ("authorization", "Bearer right-key")
        ]));
    }

    #[test]
    fn without_a_key_only_loopback_names_open() {
        let key = ApiKey::new(None);
        let open = |host: &str| key.check(&Uri::from_static("/"), &headers(&[("host", host)])).is_ok();
        for host in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "ums.localhost",
            "LOCALHOST",
        ] {
            assert!(open(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1:8080",
            "127.0.0.1.evil.example",
            "user@evil.example",
        ] {
            assert!(!open(host), "{host}");
        }
        assert!(key.check(&Uri::from_static("/"), &headers(&[])).is_err());
        let target = |target: &'static str| key.check(&Uri::from_static(target), &headers(&[("host", "localhost")])).is_ok();
        assert!(target("http://localhost:8080/v1") && !target("http://evil.example/v1"));
    }
}
