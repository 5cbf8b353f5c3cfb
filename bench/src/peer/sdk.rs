//! SES by the AWS SDK for Rust, as its documents show it: nothing turned off.

use anyhow::{Result, ensure};
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::measure::Peer;
use crate::message;

/// The SDK's client, which pools its connections.
pub(crate) struct Sdk {
    client: Client,
    text: String,
    html: String,
}

impl Sdk {
    pub(crate) fn new(url: &str) -> Self {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "any", None))
            .endpoint_url(url)
            .http_client(http)
            .build();
        Self {
            client: Client::from_conf(config),
            text: message::text(),
            html: message::html(),
        }
    }
}

fn part(data: &str) -> Result<Content> {
    Ok(Content::builder().data(data).charset("UTF-8").build()?)
}

impl Peer for Sdk {
    type Lane = ();

    async fn lane(&self) -> Result<()> {
        Ok(())
    }

    async fn send(&self, _lane: &mut (), _number: u64) -> Result<()> {
        let body = Body::builder().text(part(&self.text)?).html(part(&self.html)?).build();
        let simple = Message::builder().subject(part(message::SUBJECT)?).body(body).build();
        let output = self
            .client
            .send_email()
            .from_email_address(message::FROM)
            .destination(Destination::builder().to_addresses(message::TO).build())
            .content(EmailContent::builder().simple(simple).build())
            .send()
            .await?;
        ensure!(output.message_id().is_some(), "the sink gave no id");
        Ok(())
    }
}
