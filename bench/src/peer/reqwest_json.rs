//! SendGrid by plain reqwest, as most would write it.

use anyhow::{Result, ensure};
use reqwest::Client;

use crate::measure::Peer;
use crate::message;

/// A pooled client and the message.
pub(crate) struct SendGrid {
    client: Client,
    url: String,
    text: String,
    html: String,
}

impl SendGrid {
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self {
            client: Client::builder().no_proxy().build()?,
            url: format!("{url}/v3/mail/send"),
            text: message::text(),
            html: message::html(),
        })
    }
}

impl Peer for SendGrid {
    type Lane = ();

    async fn lane(&self) -> Result<()> {
        Ok(())
    }

    async fn send(&self, _lane: &mut (), _number: u64) -> Result<()> {
        let response = self
            .client
            .post(&self.url)
            .bearer_auth("SG.any.key")
            .json(&message::sendgrid(&self.text, &self.html))
            .send()
            .await?;
        let status = response.status();
        let has_id = response.headers().contains_key("x-message-id");
        response.bytes().await?;
        ensure!(status == 202 && has_id, "the sink answered {status}");
        Ok(())
    }
}
