//! HTTP as a caller of the service speaks it, with the one question a drill has about a failure:
//! can the request have been taken?

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The key that all servers of a drill are given.
pub(super) const KEY: &str = "drill-key-drill-key-drill-key";

/// A client with kept connections; cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct Web {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: bool,
    /// Whether it says that the message was accepted by an earlier request with the same key.
    pub(super) replayed: bool,
    pub(super) text: Bytes,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body, or null when it is no JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.text).unwrap_or_default()
    }
}

/// No answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nobody took the connection.
    Unreached,
    /// The connection broke, and the request may have been read.
    Broken,
    /// The answer did not come in time.
    Late,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) limit: Duration,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            headers: Vec::new(),
            body: Bytes::new(),
            limit: Duration::from_secs(10),
        }
    }

    pub(super) fn with_json(method: &'static str, path: &'a str, body: &Value) -> Self {
        Self {
            method,
            body: body.to_string().into(),
            headers: vec![("content-type", "application/json".to_owned())],
            ..Self::get(path)
        }
    }
}

impl Web {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(2)));
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// Asks `to` and reads the whole answer.
    pub(super) async fn ask(&self, to: SocketAddr, ask: &Ask<'_>) -> Result<Answer, Lost> {
        let mut request = Request::builder().method(ask.method).uri(format!("http://{to}{}", ask.path));
        request = request.header("authorization", format!("Bearer {KEY}"));
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(ask.body.clone())).map_err(|_| Lost::Unreached)?;
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| if error.is_connect() { Lost::Unreached } else { Lost::Broken })?;
            let (head, body) = response.into_parts();
            let text = body.collect().await.map_err(|_| Lost::Broken)?.to_bytes();
            Ok(Answer {
                status: head.status.as_u16(),
                retry_after: head.headers.contains_key("retry-after"),
                replayed: head.headers.contains_key("idempotency-replayed"),
                text,
            })
        };
        tokio::time::timeout(ask.limit, exchange).await.unwrap_or(Err(Lost::Late))
    }
}
