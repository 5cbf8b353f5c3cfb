//! Our transport as the HTTP client of `aws-config`: instance and container metadata, STS.
//!
//! So the credential chain brings no second HTTP stack, and its answers are capped like any other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Uri;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use ums_core::Shortage;

use crate::http::{Cause, NoReply, Outgoing, TimeLimits, Transport};

/// The chain's own limits end a call earlier; this one only bounds it.
const LONGEST_CALL: Duration = Duration::from_secs(20);

/// The HTTP client that is given to `aws-config`.
#[derive(Clone, Debug)]
pub(super) struct MetadataClient {
    transport: Arc<Transport>,
    /// The chain goes on after a call that failed, and says in the end that there are no credentials: what a call met is kept here.
    shortage: Arc<Mutex<Option<Shortage>>>,
}

impl MetadataClient {
    pub(super) fn new(transport: &Arc<Transport>) -> Self {
        Self {
            transport: Arc::clone(transport),
            shortage: Arc::default(),
        }
    }

    /// What this machine lacked in one of the calls, or lacks now: the chain reads files, too.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        let met = *self.shortage.lock().unwrap_or_else(PoisonError::into_inner);
        met.or_else(Shortage::now)
    }
}

impl HttpClient for MetadataClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let mut limits = *self.transport.limits();
        limits.connect = settings.connect_timeout().unwrap_or(limits.connect);
        limits.reply = settings.read_timeout().unwrap_or(limits.reply);
        SharedHttpConnector::new(MetadataConnector {
            client: self.clone(),
            limits,
        })
    }
}

#[derive(Debug)]
struct MetadataConnector {
    client: MetadataClient,
    limits: TimeLimits,
}

impl HttpConnector for MetadataConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, limits) = (self.client.clone(), self.limits);
        HttpConnectorFuture::new(async move { call(&client, &limits, request).await })
    }
}

async fn call(client: &MetadataClient, limits: &TimeLimits, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body
        .bytes()
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| ConnectorError::user("a streaming body".into()))?;
    let (origin, target) = split(&parts.uri).ok_or_else(|| ConnectorError::user("not a URL with a host".into()))?;
    let origin = client
        .transport
        .metadata_origin(&origin)
        .map_err(|_| ConnectorError::user("not a URL with a host".into()))?;
    let mut headers = parts.headers;
    for ours in [HOST, USER_AGENT, CONTENT_LENGTH] {
        headers.remove(ours);
    }
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let outgoing = Outgoing {
        method: parts.method,
        target: &target,
        headers: &headers,
        body,
    };
    let reply = client.transport.exchange_within(&origin, &outgoing, limits, LONGEST_CALL).await;
    let reply = reply.map_err(|no_reply| {
        if let Cause::Shortage(shortage) = no_reply.cause {
            *client.shortage.lock().unwrap_or_else(PoisonError::into_inner) = Some(shortage);
        }
        connector_error(no_reply)
    })?;
    let mut response = http::Response::new(SdkBody::from(reply.body));
    *response.status_mut() = http::StatusCode::from_u16(reply.status).map_err(|error| ConnectorError::user(error.into()))?;
    *response.headers_mut() = reply.headers;
    HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
}

/// Scheme with host, and path with query.
fn split(uri: &Uri) -> Option<(String, Uri)> {
    let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
    let target = uri.path_and_query().map_or("/", |path| path.as_str()).parse().ok()?;
    Some((origin, target))
}

fn connector_error(no_reply: NoReply) -> ConnectorError {
    let words = no_reply.cause.words().into();
    match no_reply.cause {
        Cause::ConnectTimeout | Cause::WriteStalled | Cause::ReplyTimeout | Cause::Deadline => ConnectorError::timeout(words),
        Cause::Dns
        | Cause::Refused
        | Cause::Connect
        | Cause::Tls
        | Cause::NoRoots
        | Cause::Lost
        | Cause::Proxy
        | Cause::ProxyLogin
        | Cause::Shortage(_) => ConnectorError::io(words),
        Cause::Unreadable | Cause::TooLong => ConnectorError::user(words),
    }
}
