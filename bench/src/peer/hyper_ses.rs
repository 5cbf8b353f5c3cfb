//! SES by bare hyper: the same octets every time (the limit), or built and signed by hand.

use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::measure::Peer;
use crate::message;

const PATH: &str = "/v2/email/outbound-emails";

/// One connection, kept alive.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

async fn connect(authority: &str) -> Result<Connection> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Ends with the sender; a fault shows in the answer that does not come.
        let _ended = connection.await;
    });
    Ok(sender)
}

/// Status and whole body of the answer.
pub(super) async fn exchange(connection: &mut Connection, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

fn accepted((status, body): (StatusCode, Bytes)) -> Result<()> {
    ensure!(status == StatusCode::OK && !body.is_empty(), "the sink answered {status}");
    Ok(())
}

/// Where requests go.
pub(super) struct Target {
    authority: String,
    pub(super) host: HeaderValue,
}

impl Target {
    pub(super) fn new(url: &str) -> Result<Self> {
        let authority = authority(url)?;
        Ok(Self {
            host: HeaderValue::from_str(&authority)?,
            authority,
        })
    }

    pub(super) async fn connect(&self) -> Result<Connection> {
        connect(&self.authority).await
    }
}

fn authority(url: &str) -> Result<String> {
    let uri: Uri = url.parse()?;
    Ok(uri.authority().context("no host in the URL")?.to_string())
}

/// The same request every time, unsigned: what the machine can do.
pub(crate) struct Fixed {
    target: Target,
    body: Bytes,
}

impl Fixed {
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self {
            target: Target::new(url)?,
            body: message::ses(&message::text(), &message::html()).to_string().into(),
        })
    }

    pub(super) async fn connect(&self) -> Result<Connection> {
        self.target.connect().await
    }

    /// Sends it, and gives the answer.
    pub(super) async fn exchange(&self, connection: &mut Connection) -> Result<(StatusCode, Bytes)> {
        let request = Request::post(PATH)
            .header(HOST, self.target.host.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, self.body.len())
            .body(Full::new(self.body.clone()))?;
        exchange(connection, request).await
    }
}

impl Peer for Fixed {
    type Lane = Connection;

    async fn lane(&self) -> Result<Connection> {
        self.connect().await
    }

    async fn send(&self, lane: &mut Connection, _number: u64) -> Result<()> {
        accepted(self.exchange(lane).await?)
    }
}

/// Built from its parts and signed, every time: the least that SES would accept.
pub(crate) struct Signed {
    target: Target,
    identity: Identity,
    text: String,
    html: String,
}

impl Signed {
    pub(crate) fn new(url: &str) -> Result<Self> {
        let keys = Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "any", None);
        Ok(Self {
            target: Target::new(url)?,
            identity: keys.into(),
            text: message::text(),
            html: message::html(),
        })
    }

    fn request(&self) -> Result<Request<Full<Bytes>>> {
        let body = serde_json::to_vec(&message::ses(&self.text, &self.html))?;
        let mut request = Request::post(PATH)
            .header(HOST, self.target.host.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, body.len())
            .body(())?;
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region("us-east-1")
            .name("ses")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let url = format!("http://{}{PATH}", self.target.authority);
        let headers = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new("POST", &url, headers, SignableBody::Bytes(&body))?;
        let (instructions, _signature) = sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request.map(|()| Full::new(body.into())))
    }
}

impl Peer for Signed {
    type Lane = Connection;

    async fn lane(&self) -> Result<Connection> {
        self.target.connect().await
    }

    async fn send(&self, lane: &mut Connection, _number: u64) -> Result<()> {
        accepted(exchange(lane, self.request()?).await?)
    }
}
