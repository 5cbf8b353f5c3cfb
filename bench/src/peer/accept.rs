//! Our service over HTTP: durable accepts of messages that wait for their time, so that nothing but accepting is measured.

use anyhow::{Result, ensure};
use http::Request;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::json;

use super::hyper_ses::{self, Connection, Target};
use crate::measure::Peer;
use crate::message;

/// Later than any measurement.
const SEND_AT: &str = "2099-01-01T00:00:00Z";

/// `POST /v1/emails`, one connection a lane.
pub(crate) struct Accept {
    target: Target,
    body: Bytes,
}

impl Accept {
    pub(crate) fn new(url: &str) -> Result<Self> {
        let body = json!({
            "to": message::TO,
            "subject": message::SUBJECT,
            "html_content": message::html(),
            "text_content": message::text(),
            "send_at": SEND_AT,
        });
        Ok(Self {
            target: Target::new(url)?,
            body: body.to_string().into(),
        })
    }
}

impl Peer for Accept {
    type Lane = Connection;

    async fn lane(&self) -> Result<Connection> {
        self.target.connect().await
    }

    async fn send(&self, lane: &mut Connection, _number: u64) -> Result<()> {
        let request = Request::post("/v1/emails")
            .header(HOST, self.target.host.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, self.body.len())
            .body(Full::new(self.body.clone()))?;
        let (status, body) = hyper_ses::exchange(lane, request).await?;
        ensure!(
            status.is_success(),
            "the service answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}
