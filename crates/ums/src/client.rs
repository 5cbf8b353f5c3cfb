//! A small HTTP client for a running service: one request, one connection.
//!
//! The providers' transport stays inside `ums-providers`: it is made to tell sent from not sent,
//! which matters there and not here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use ums_core::Secret;

use crate::exit::{Usage, usage};
use crate::output;

/// For DNS, TCP and TLS together.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// For the answer: a send may wait 30 s for its outcome.
const ANSWER_TIME: Duration = Duration::from_mins(1);
/// Longest answer that is read, in bytes: a page of messages with their metadata.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A running service.
#[derive(Debug)]
pub(crate) struct Client {
    base: Uri,
    key: Option<Secret>,
}

impl Client {
    /// Names a service by its base URL.
    ///
    /// # Errors
    /// When that is no `http` or `https` URL.
    pub(crate) fn new(url: &str, key: Option<Secret>) -> Result<Self> {
        let base: Uri = url
            .trim_end_matches('/')
            .parse()
            .map_err(|_| usage("--server must be a URL such as http://127.0.0.1:8080"))?;
        if !matches!(base.scheme_str(), Some("http" | "https")) || base.host().is_none() || base.query().is_some() {
            return Err(usage("--server must be a URL such as http://127.0.0.1:8080"));
        }
        if key.is_some() && is_readable_on_the_way(&base) {
            output::note(
                "warning: the key goes over plain HTTP to another machine, where anybody on the way can read it: use an https URL",
            );
        }
        Ok(Self { base, key })
    }

    /// Reads something.
    ///
    /// # Errors
    /// When the service cannot be reached or refuses.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        read(self.exchange(Method::GET, target, Bytes::new()).await?)
    }

    /// Reads something that may not be there.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn find<T: DeserializeOwned>(&self, target: &str) -> Result<Option<T>> {
        let answer = self.exchange(Method::GET, target, Bytes::new()).await?;
        if answer.0 == StatusCode::NOT_FOUND {
            Ok(None)
        } else {
            read(answer).map(Some)
        }
    }

    /// Hands something over.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post<T: DeserializeOwned>(&self, target: &str, body: &impl serde::Serialize) -> Result<T> {
        read(self.exchange(Method::POST, target, serde_json::to_vec(body)?.into()).await?)
    }

    /// Does something to something that may not be there.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn find_after<T: DeserializeOwned>(&self, target: &str, body: Option<&Value>) -> Result<Option<T>> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let answer = self.exchange(Method::POST, target, body.into()).await?;
        if answer.0 == StatusCode::NOT_FOUND {
            Ok(None)
        } else {
            read(answer).map(Some)
        }
    }

    /// Takes something away.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn delete<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        read(self.exchange(Method::DELETE, target, Bytes::new()).await?)
    }

    /// Takes something away that answers with nothing.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn delete_quietly(&self, target: &str) -> Result<()> {
        let answer = self.exchange(Method::DELETE, target, Bytes::new()).await?;
        if answer.0.is_success() { Ok(()) } else { read(answer) }
    }

    /// Changes something.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn patch<T: DeserializeOwned>(&self, target: &str, body: &impl serde::Serialize) -> Result<T> {
        read(self.exchange(Method::PATCH, target, serde_json::to_vec(body)?.into()).await?)
    }

    async fn exchange(&self, method: Method, target: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let request = self.request(method, target, body)?;
        let stream = tokio::time::timeout(CONNECT_TIME, self.connect())
            .await
            .map_err(|_| anyhow!("no connection within {} s", CONNECT_TIME.as_secs()))
            .and_then(|connected| connected)
            .with_context(|| format!("the service at {} cannot be reached; is it running?", self.shown()))?;
        tokio::time::timeout(ANSWER_TIME, call(stream, request))
            .await
            .map_err(|_| anyhow!("no answer within {} s", ANSWER_TIME.as_secs()))
            .and_then(|answered| answered)
            .with_context(|| format!("no usable answer from {}; what was asked for may have been done", self.shown()))
    }

    fn request(&self, method: Method, target: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let authority = self.base.authority().context("no host")?;
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let path = self.base.path().trim_end_matches('/');
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{path}{target}"))
            .header(HOST, host)
            .header(USER_AGENT, concat!("ums/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &self.key {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| usage("UMS_API_KEY cannot stand in a header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.body(Full::new(body)).context("making the request")
    }

    async fn connect(&self) -> Result<Box<dyn Stream>> {
        let is_tls = self.base.scheme_str() == Some("https");
        let host = self.base.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.base.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        if !is_tls {
            return Ok(Box::new(tcp));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = host.to_owned().try_into().context("the host's name")?;
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, tcp).await?))
    }

    /// The address without a user or password that may stand in it.
    fn shown(&self) -> String {
        let host = self
            .base
            .authority()
            .map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or_default());
        format!(
            "{}://{host}{}",
            self.base.scheme_str().unwrap_or("http"),
            self.base.path().trim_end_matches('/')
        )
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn call(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| anyhow!(error))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end with the answer; what has arrived is read all the same.
        _ = connection => exchange.await,
    }
}

fn read<T: DeserializeOwned>((status, body): (StatusCode, Bytes)) -> Result<T> {
    if status.is_success() {
        return serde_json::from_slice(&body).context("the service's answer cannot be read; is it another version?");
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| problem.get(name).and_then(Value::as_str);
    let code = text("code").map(|code| format!(" {code}")).unwrap_or_default();
    let detail = text("detail").or(text("title")).unwrap_or("no details");
    let told = format!("the service answered {}{code}: {detail}", status.as_u16());
    if status == StatusCode::UNAUTHORIZED {
        return Err(anyhow::Error::new(Usage("set UMS_API_KEY to a key of the service".to_owned())).context(told));
    }
    let is_no_fault = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::NOT_FOUND | StatusCode::CONFLICT);
    if status.is_client_error() && !is_no_fault {
        return Err(usage(told));
    }
    bail!(told)
}

/// Whether what is sent there leaves this machine without TLS.
fn is_readable_on_the_way(base: &Uri) -> bool {
    let host = base.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let is_local = host == "localhost" || host.ends_with(".localhost");
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    base.scheme_str() != Some("https") && !is_local && !is_loopback
}

/// Makes a query of the pairs that have a value.
pub(crate) fn query(pairs: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let given = pairs
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))));
    given.collect::<Vec<_>>().join("&")
}

/// Percent-encodes everything that is not plain.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_another_machine_is_readable_on_the_way() {
        for (url, expected) in [
            ("http://ums.example.com", true),
            ("http://192.0.2.1:8080", true),
            ("http://[2001:db8::1]:8080", true),
            ("http://localhost.example.com", true),
            ("https://ums.example.com", false),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("http://localhost", false),
            ("http://ums.localhost:8080", false),
        ] {
            assert_eq!(is_readable_on_the_way(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_query_survives_plus_and_ampersand() {
        let pairs = [
            ("limit", Some("5".to_owned())),
            ("status", None),
            ("to", Some("a+b&c@example.com".to_owned())),
        ];
        assert_eq!(query(pairs), "limit=5&to=a%2Bb%26c%40example.com");
    }
}
