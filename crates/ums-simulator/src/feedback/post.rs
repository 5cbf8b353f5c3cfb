//! The simulator's only outgoing requests.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::Request;

/// Longest wait for an answer, as at Amazon and Twilio.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// What became of a post.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// 2xx.
    Taken,
    /// 4xx, or a redirect: none is followed.
    Refused,
    /// 5xx, or no answer.
    Failed,
    /// Nobody took the connection.
    Unreached,
}

#[derive(Debug)]
pub(super) struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Poster {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    pub(super) async fn post(&self, request: Request) -> Outcome {
        let mut built = hyper::Request::post(request.uri);
        for (name, value) in request.headers {
            built = built.header(name, value);
        }
        let Ok(request) = built.body(Full::new(request.body)) else {
            return Outcome::Refused;
        };
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(response)) if response.status().is_success() => Outcome::Taken,
            Ok(Ok(response)) if response.status().is_server_error() => Outcome::Failed,
            Ok(Ok(_)) => Outcome::Refused,
            Ok(Err(fault)) if fault.is_connect() => Outcome::Unreached,
            Ok(Err(_)) | Err(_) => Outcome::Failed,
        }
    }
}
