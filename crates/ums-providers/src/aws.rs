//! What SES and SNS share: credentials, region, signatures (AWS Signature Version 4), clock skew.
//!
//! ```text
//! ses | sns → AwsService::call → endpoint (region) → credentials → sign → http → once more, if the
//!             answer says that our clock or the credentials are stale: such a call was surely not accepted
//! ```

mod credentials;
mod metadata_client;
mod sign;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde::Deserialize;
use tokio::time::Instant;
use ums_core::{Failure, FailureClass, Timestamp};

use self::credentials::Snapshot;
use crate::classify::row_of;
use crate::failure_table::{Row, Table};
use crate::http::{Origin, Outgoing, Reply, Transport};

pub use self::credentials::AwsCredentials;

/// Codes that any AWS service may answer with.
pub(crate) const FAILURES: Table = &[
    row("AccessDenied", FailureClass::Misconfigured, "the key may not send"),
    row("AuthorizationError", FailureClass::Misconfigured, "the key may not send"),
    row(
        "ExpiredToken",
        FailureClass::Misconfigured,
        "the credentials have expired, and fresh ones did not help",
    ),
    row("IncompleteSignature", FailureClass::Misconfigured, "the signature is not accepted"),
    row("InternalFailure", FailureClass::Unknown, "AWS failed after it had the request"),
    row("InvalidClientTokenId", FailureClass::Misconfigured, "AWS does not know the key"),
    row(
        "InvalidSignature",
        FailureClass::Misconfigured,
        "the secret is not that of the key, or the clock is wrong",
    ),
    row(
        "MissingAuthenticationToken",
        FailureClass::Misconfigured,
        "the request carries no key",
    ),
    row("NotAuthorized", FailureClass::Misconfigured, "the key may not send"),
    row(
        "OptInRequired",
        FailureClass::Misconfigured,
        "the account is not subscribed to the service",
    ),
    row("RequestExpired", FailureClass::Misconfigured, "the clock is wrong"),
    row("RequestThrottled", FailureClass::Throttled, "too many calls a second"),
    row("RequestTimeTooSkewed", FailureClass::Misconfigured, "the clock is wrong"),
    row("RequestTimeout", FailureClass::Unavailable, "AWS did not get the whole request"),
    row("ServiceUnavailable", FailureClass::Unavailable, "AWS took no request"),
    row(
        "SignatureDoesNotMatch",
        FailureClass::Misconfigured,
        "the secret is not that of the key, or the clock is wrong",
    ),
    row("SlowDown", FailureClass::Throttled, "too many calls a second"),
    row("Throttled", FailureClass::Throttled, "too many calls a second"),
    row("Throttling", FailureClass::Throttled, "too many calls a second"),
    row("TooManyRequests", FailureClass::Throttled, "too many calls a second"),
    row("UnauthorizedOperation", FailureClass::Misconfigured, "the key may not send"),
    row("UnrecognizedClient", FailureClass::Misconfigured, "AWS does not know the key"),
];

const fn row(code: &'static str, class: FailureClass, why: &'static str) -> Row {
    Row::of_code(
        code,
        class,
        why,
        "botocore 1.44.5, service models and retries/standard.py, read 2026-11-22",
    )
}

/// Codes of a key that AWS knows and that may not make the call: another call may be allowed to it.
const NOT_ALLOWED: [&str; 4] = ["AccessDenied", "AuthorizationError", "NotAuthorized", "UnauthorizedOperation"];
/// Codes that say: sign again with fresh credentials.
const EXPIRED: [&str; 2] = ["ExpiredToken", "ExpiredTokenException"];
/// Codes that may say: our clock is wrong.
const SKEWED: [&str; 4] = [
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];
/// Less than this is no reason for a refused signature, in microseconds (AWS tolerates 5 minutes).
const SKEW_THAT_MATTERS: u64 = 60_000_000;

/// Where a service is and how it is spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AwsApi {
    /// The name in signatures.
    pub(crate) service: &'static str,
    /// The first label of its host name.
    pub(crate) host: &'static str,
    /// The path of its send call.
    pub(crate) send_path: &'static str,
    /// The type of its bodies.
    pub(crate) content_type: &'static str,
}

/// One AWS service in one region with one set of credentials.
pub(crate) struct AwsService {
    api: AwsApi,
    transport: Arc<Transport>,
    credentials: AwsCredentials,
    region: Option<String>,
    base_url: Option<String>,
    endpoint: tokio::sync::OnceCell<Endpoint>,
    skew_micros: AtomicI64,
}

struct Endpoint {
    region: String,
    origin: Arc<Origin>,
    send: Target,
}

/// A resource: as it stands in the request, and as it is signed.
#[derive(Clone)]
struct Target {
    path: Uri,
    url: String,
    /// The operation, in protocols that name it in a header.
    operation: Option<&'static str>,
}

impl AwsService {
    /// Nothing is read or opened before the first call.
    ///
    /// # Errors
    /// [`crate::Error`] when the base URL is not one.
    pub(crate) fn new(
        api: AwsApi,
        kind: ums_core::ProviderKind,
        (credentials, region, base_url): (AwsCredentials, Option<String>, Option<String>),
        transport: Arc<Transport>,
    ) -> Result<Self, crate::Error> {
        if let Some(url) = &base_url {
            transport.origin(url).map_err(|bad| crate::Error::endpoint(kind, bad))?;
        }
        let endpoint = tokio::sync::OnceCell::new();
        Ok(Self {
            api,
            transport,
            credentials,
            region,
            base_url,
            endpoint,
            skew_micros: AtomicI64::new(0),
        })
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let origin = self.base_url.as_deref().and_then(|url| self.transport.origin(url).ok());
        origin.is_some_and(|origin| origin.is_loopback())
    }

    /// The wall time, for delays that answers give as dates.
    pub(crate) fn now(&self) -> Timestamp {
        self.transport.clock().now()
    }

    /// Signs and posts the body of a send.
    pub(crate) async fn send(&self, body: Bytes, time_left: Duration) -> Result<Reply, Failure> {
        let endpoint = self.endpoint().await?;
        self.call(endpoint, &endpoint.send, Method::POST, body, time_left).await
    }

    /// Signs and makes another call.
    pub(crate) async fn request(&self, method: Method, path: &str, body: Bytes, time_left: Duration) -> Result<Reply, Failure> {
        let endpoint = self.endpoint().await?;
        let target = target(&endpoint.origin, path).ok_or_else(|| broken("the path of an AWS call is not one"))?;
        self.call(endpoint, &target, method, body, time_left).await
    }

    /// Signs and makes a call of a protocol that names its operation in a header (`X-Amz-Target`) and not in its path.
    pub(crate) async fn operation(&self, operation: &'static str, body: Bytes, time_left: Duration) -> Result<Reply, Failure> {
        let endpoint = self.endpoint().await?;
        let target = Target {
            operation: Some(operation),
            ..endpoint.send.clone()
        };
        self.call(endpoint, &target, Method::POST, body, time_left).await
    }

    async fn call(&self, endpoint: &Endpoint, target: &Target, method: Method, body: Bytes, time_left: Duration) -> Result<Reply, Failure> {
        let deadline = Instant::now() + time_left;
        let credentials = self.credentials.current(&self.transport, &endpoint.region, time_left).await?;
        let reply = self.signed(endpoint, target, &method, body.clone(), &credentials, deadline).await?;
        match self.stale(&reply) {
            None => Ok(reply),
            Some(Stale::Clock(offset)) => {
                self.skew_micros.store(offset, Ordering::Relaxed);
                tracing::warn!(
                    event = "aws.clock_skew",
                    offset_seconds = offset / 1_000_000,
                    "this machine's clock differs from the provider's"
                );
                self.signed(endpoint, target, &method, body, &credentials, deadline).await
            }
            Some(Stale::Credentials) => {
                self.credentials.discard(&credentials);
                let time_left = deadline.saturating_duration_since(Instant::now());
                let fresh = self.credentials.current(&self.transport, &endpoint.region, time_left).await?;
                if Arc::ptr_eq(&fresh, &credentials) {
                    return Ok(reply);
                }
                self.signed(endpoint, target, &method, body, &fresh, deadline).await
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one signed request; a struct would be built for this one call"
    )]
    async fn signed(
        &self,
        endpoint: &Endpoint,
        target: &Target,
        method: &Method,
        body: Bytes,
        credentials: &Snapshot,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let time = self.signing_time();
        let scope = sign::Scope {
            service: self.api.service,
            region: &endpoint.region,
            time,
        };
        let content_type = ("content-type", self.api.content_type);
        let operation = target.operation.map(|operation| ("x-amz-target", operation));
        let own: Vec<_> = std::iter::once(content_type).chain(operation).collect();
        let signature = sign::sign(credentials, &scope, method, (&target.url, &own), &body)
            .ok_or_else(|| broken("the AWS request could not be signed"))?;
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(5);
        headers.extend(
            own.iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
        );
        headers.extend(signature);
        let request = Outgoing {
            method: method.clone(),
            target: &target.path,
            headers: &headers,
            body,
        };
        let time_left = deadline.saturating_duration_since(Instant::now());
        Ok(self.transport.exchange(&endpoint.origin, &request, time_left).await?)
    }

    fn signing_time(&self) -> Timestamp {
        let micros = self.now().as_micros().saturating_add(self.skew_micros.load(Ordering::Relaxed));
        Timestamp::from_micros(micros)
    }

    /// Whether a refusal is one that a new signature mends.
    fn stale(&self, reply: &Reply) -> Option<Stale> {
        if !matches!(reply.status, 400 | 401 | 403) {
            return None;
        }
        let text = String::from_utf8_lossy(&reply.body);
        let header = reply
            .headers
            .get("x-amzn-errortype")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let says = |codes: &[&str]| codes.iter().any(|code| header.starts_with(code) || text.contains(code));
        if says(&EXPIRED) {
            return Some(Stale::Credentials);
        }
        let date = crate::classify::http_date(reply.headers.get(header::DATE)?.to_str().ok()?)?;
        let offset = date.as_micros().saturating_sub(self.now().as_micros());
        let changed = offset.abs_diff(self.skew_micros.load(Ordering::Relaxed)) > SKEW_THAT_MATTERS;
        (changed && says(&SKEWED)).then_some(Stale::Clock(offset))
    }

    async fn endpoint(&self) -> Result<&Endpoint, Failure> {
        self.endpoint
            .get_or_try_init(|| async {
                let region = match &self.region {
                    Some(region) => region.clone(),
                    None => self.credentials.region(&self.transport).await?,
                };
                if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                    return Err(Failure::local(
                        FailureClass::Misconfigured,
                        "region",
                        "AWS_REGION is not the name of a region",
                    ));
                }
                let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
                let public = || format!("https://{}.{region}.amazonaws.com{suffix}", self.api.host);
                let url = self.base_url.clone().unwrap_or_else(public);
                let origin = self.transport.origin(&url).map_err(|_| broken("the AWS endpoint is not a URL"))?;
                let send = target(&origin, self.api.send_path).ok_or_else(|| broken("the AWS endpoint is not a URL"))?;
                Ok(Endpoint { region, origin, send })
            })
            .await
    }
}

impl fmt::Debug for AwsService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AwsService({} region={:?} base_url={:?})",
            self.api.service, self.region, self.base_url
        )
    }
}

/// Why a refused call may be signed and made once more.
enum Stale {
    /// Our clock differs by so many microseconds.
    Clock(i64),
    /// The credentials have expired.
    Credentials,
}

fn target(origin: &Origin, path: &str) -> Option<Target> {
    let path = origin.target(path).ok()?;
    let url = format!("{}{path}", origin.root());
    Some(Target {
        path,
        url,
        operation: None,
    })
}

fn broken(words: &str) -> Failure {
    Failure::local(FailureClass::Misconfigured, "endpoint", words)
}

/// Whether a code says that no call of this key is taken: the key, its signature or the clock is wrong.
pub(crate) fn is_about_key(code: &str) -> bool {
    let row = row_of(&[FAILURES], code, "");
    row.is_some_and(|row| row.class == FailureClass::Misconfigured && !NOT_ALLOWED.contains(&row.code))
}

/// The error body of AWS's JSON protocols.
#[derive(Deserialize)]
struct JsonError {
    #[serde(alias = "code", alias = "__type", default)]
    code: Option<String>,
    #[serde(alias = "Message", default)]
    message: Option<String>,
}

/// Code and message of a JSON error; the header has precedence, as in AWS's own SDKs.
pub(crate) fn json_error(headers: &HeaderMap, body: &[u8]) -> (Option<String>, String) {
    let parsed: Option<JsonError> = serde_json::from_slice(body).ok();
    let (in_body, message) = parsed.map_or((None, None), |error| (error.code, error.message));
    let in_header = headers
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let code = in_header.or(in_body).map(|code| {
        let bare = code.rsplit('#').next().unwrap_or_default();
        bare.split(':').next().unwrap_or_default().trim().to_owned()
    });
    (code.filter(|code| !code.is_empty()), message.unwrap_or_default())
}
