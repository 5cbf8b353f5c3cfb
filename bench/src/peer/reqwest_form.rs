//! Twilio by plain reqwest, as most would write it.

use anyhow::{Result, ensure};
use reqwest::Client;
use serde_json::Value;

use crate::measure::Peer;
use crate::message;

const ACCOUNT: &str = "AC00000000000000000000000000000000";

/// A pooled client.
pub(crate) struct Twilio {
    client: Client,
    url: String,
}

impl Twilio {
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self {
            client: Client::builder().no_proxy().build()?,
            url: format!("{url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"),
        })
    }
}

impl Peer for Twilio {
    type Lane = ();

    async fn lane(&self) -> Result<()> {
        Ok(())
    }

    async fn send(&self, _lane: &mut (), _number: u64) -> Result<()> {
        let form = [("To", message::SMS_TO), ("From", message::SMS_FROM), ("Body", message::SMS)];
        let response = self
            .client
            .post(&self.url)
            .basic_auth(ACCOUNT, Some("any"))
            .form(&form)
            .send()
            .await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        ensure!(status == 201 && answer["sid"].is_string(), "the sink answered {status}");
        Ok(())
    }
}
