//! Our transport as the HTTP client of `aws-config`: instance and container metadata, STS.
//!
//! So the credential chain brings no second HTTP stack, and its answers are capped like any other.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Uri;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};

use crate::http::{Cause, NoReply, Outgoing, TimeLimits, Transport};

/// The chain's own limits end a call earlier; this one only bounds it.
const LONGEST_CALL: Duration = Duration::from_secs(20);

/// The HTTP client that is given to `aws-config`.
#[derive(Clone, Debug)]
pub(super) struct MetadataClient {
    pub(super) transport: Arc<Transport>,
}

impl HttpClient for MetadataClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let mut limits = *self.transport.limits();
        limits.connect = settings.connect_timeout().unwrap_or(limits.connect);
        limits.reply = settings.read_timeout().unwrap_or(limits.reply);
        SharedHttpConnector::new(MetadataConnector {
            transport: Arc::clone(&self.transport),
            limits,
        })
    }
}

#[derive(Debug)]
struct MetadataConnector {
    transport: Arc<Transport>,
    limits: TimeLimits,
}

impl HttpConnector for MetadataConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (transport, limits) = (Arc::clone(&self.transport), self.limits);
        HttpConnectorFuture::new(async move { call(&transport, &limits, request).await })
    }
}

async fn call(transport: &Transport, limits: &TimeLimits, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body
        .bytes()
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| ConnectorError::user("a streaming body".into()))?;
    let (origin, target) = split(&parts.uri).ok_or_else(|| ConnectorError::user("not a URL with a host".into()))?;
    let origin = transport
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
    let reply = transport
        .exchange_within(&origin, &outgoing, limits, LONGEST_CALL)
        .await
        .map_err(connector_error)?;
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
