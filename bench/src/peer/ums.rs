//! Our own library over its whole path: a request is read, passes gates, breaker and pace, is kept,
//! sent by a provider and kept again; the caller gets its result.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use unified_messaging::{Builder, Duplicates, ProviderKind, SendEmail, SendResult, SendSms, Status, UnifiedMessagingService};

use crate::measure::Peer;
use crate::message;

/// The library as it comes, its messages kept in memory, with one change: the pace of real accounts
/// (SES 14 a second, Gmail one a second and 500 a day) is lifted, or nothing but it would be measured.
const PACE: &str = "[pace.aws_ses]\nper_second = 0\n[pace.smtp]\nper_second = 0\nper_day = 0\n";
/// A breaker that stays closed as long as it can be told to: 1000 failures in a row.
const CLOSED: &str = "[breaker]\nfailures = 1000\nmin_calls = 100000\n";
/// A second until a primary that hangs is given up, instead of 8 s: the first five messages wait for it.
const SHORT: &str = "[timeouts.aws_ses]\nreply = \"1s\"\n";

/// The service, and what is sent.
pub(crate) struct Ums {
    service: UnifiedMessagingService,
    expected: ProviderKind,
    text: String,
    html: String,
}

impl Ums {
    /// Everything by one provider, `ums-<provider>`.
    pub(crate) async fn alone(provider: ProviderKind, url: &str) -> Result<Self> {
        Self::start(with(UnifiedMessagingService::builder(), provider, url)?, "", provider).await
    }

    /// SES at `url` has a fault, SendGrid at `second` has none; the breaker is still closed.
    pub(crate) async fn failover(url: &str, second: &str) -> Result<Self> {
        Self::start(ses_then_sendgrid(url, second)?, CLOSED, ProviderKind::SendGrid).await
    }

    /// The same with default settings: the first five messages open the breaker.
    pub(crate) async fn open(url: &str, second: &str) -> Result<Self> {
        Self::start(ses_then_sendgrid(url, second)?, "", ProviderKind::SendGrid).await
    }

    /// SES takes the request and says nothing, for the first five messages.
    pub(crate) async fn hang(url: &str, second: &str) -> Result<Self> {
        Self::start(ses_then_sendgrid(url, second)?, SHORT, ProviderKind::SendGrid).await
    }

    async fn start(builder: Builder, more: &str, expected: ProviderKind) -> Result<Self> {
        let file = Scratch::with(&format!("{PACE}{more}"))?;
        // The plans of phone numbers are read once in a process, in the background where a chain
        // sends text messages: 0.1 s of processor time that belongs to the start.
        SendSms::new(message::SMS_TO, message::SMS).parse(None)?;
        let service = Box::pin(builder.setting("UMS_CONFIG", file.0.to_string_lossy()).build()).await?;
        Ok(Self {
            service,
            expected,
            text: message::text(),
            html: message::html(),
        })
    }

    async fn answer(&self) -> Result<SendResult> {
        Ok(match self.expected {
            ProviderKind::AwsSes | ProviderKind::SendGrid | ProviderKind::Smtp => {
                let mut email = SendEmail::new(message::TO, message::SUBJECT)
                    .text(self.text.as_str())
                    .html(self.html.as_str());
                // After a 500 nobody knows whether SES took it.
                email.handling.duplicates = Some(Duplicates::Allow);
                self.service.send_email(email).await?
            }
            ProviderKind::AwsSns | ProviderKind::Twilio | ProviderKind::Console => {
                self.service.send_sms(SendSms::new(message::SMS_TO, message::SMS)).await?
            }
        })
    }
}

impl Peer for Ums {
    type Lane = ();

    async fn lane(&self) -> Result<()> {
        Ok(())
    }

    async fn send(&self, _lane: &mut (), _number: u64) -> Result<()> {
        let result = self.answer().await?;
        let (status, provider) = (result.status, result.provider());
        ensure!(
            status == Status::Sent && provider == Some(self.expected),
            "{status} by {provider:?}: {:?}",
            result.error_message
        );
        Ok(())
    }
}

fn ses_then_sendgrid(url: &str, second: &str) -> Result<Builder> {
    with(
        with(UnifiedMessagingService::builder(), ProviderKind::AwsSes, url)?,
        ProviderKind::SendGrid,
        second,
    )
}

fn with(builder: Builder, provider: ProviderKind, url: &str) -> Result<Builder> {
    let aws = |builder: Builder| builder.aws("us-east-1", "AKIAIOSFODNN7EXAMPLE", "any");
    Ok(match provider {
        ProviderKind::AwsSes => aws(builder).ses(message::FROM).setting("AWS_ENDPOINT_URL_SESV2", url),
        ProviderKind::SendGrid => builder.sendgrid("SG.any.key", message::FROM).setting("SENDGRID_API_URL", url),
        ProviderKind::Smtp => {
            let (host, port) = url.rsplit_once(':').context("SMTP wants host:port")?;
            builder
                .setting("SMTP_HOST", host)
                .setting("SMTP_PORT", port)
                .setting("SMTP_FROM_EMAIL", message::FROM)
        }
        ProviderKind::AwsSns => aws(builder).setting("AWS_ENDPOINT_URL_SNS", url).sms_chain(&[provider]),
        ProviderKind::Twilio => builder
            .twilio(format!("AC{}", "0".repeat(32)), "any", message::SMS_FROM)
            .setting("TWILIO_API_URL", url),
        ProviderKind::Console => builder.sms_chain(&[provider]),
    })
}

/// A file that is read once.
struct Scratch(PathBuf);

impl Scratch {
    fn with(text: &str) -> Result<Self> {
        let file = std::env::temp_dir().join(format!("bench-sender-{}.toml", std::process::id()));
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        Ok(Self(file))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left over it does no harm.
        std::fs::remove_file(&self.0).ok();
    }
}
