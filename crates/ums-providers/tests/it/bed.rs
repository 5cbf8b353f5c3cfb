//! One way to send by each HTTP provider, for suites that all of them pass.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{Accepted, Call, Email, Failure, Mailbox, PhoneNumber, Provider, Purpose, Secret, Sms, SystemClock};
use ums_providers::send::{SendGrid, SendGridSettings, Ses, SesSettings, Sns, SnsSettings, Twilio, TwilioSender, TwilioSettings};
use ums_providers::{AwsCredentials, TimeLimits, Transport, TransportSettings};

/// Secrets and recipients that no output may hold.
pub(crate) const CANARIES: [&str; 7] = [
    "canarysecret",
    "canarytoken",
    "canarykey",
    "customer@example.com",
    "Canary Name",
    "4165550123",
    "canarybody",
];

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn transport() -> Arc<Transport> {
    let limits = TimeLimits {
        connect: ms(300),
        write_stall: ms(300),
        reply: ms(300),
    };
    Transport::new(
        TransportSettings {
            limits,
            ..TransportSettings::default()
        },
        Arc::new(SystemClock::new()),
    )
}

pub(crate) fn call() -> Call {
    Call {
        message_id: "01930000-0000-7000-8000-000000000001".parse().unwrap(),
        attempt_id: "01930000-0000-7000-8000-000000000002".parse().unwrap(),
        purpose: Purpose::Transactional,
        time_left: Duration::from_mins(10),
    }
}

pub(crate) fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

pub(crate) fn email() -> Email {
    Email {
        from: None,
        to: vec![mailbox("Canary Name <customer@example.com>")],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: "canarybody".to_owned(),
        html: Some("<p>canarybody</p>".to_owned()),
        text: Some("canarybody".to_owned()),
        attachments: Vec::new(),
        headers: Vec::new(),
    }
}

pub(crate) fn sms() -> Sms {
    Sms {
        to: PhoneNumber::parse_e164("+14165550123").unwrap(),
        from: None,
        body: "canarybody".to_owned(),
    }
}

pub(crate) fn credentials() -> AwsCredentials {
    AwsCredentials::given("AKIACANARYKEY", &Secret::new("canarysecret"), Some(&Secret::new("canarytoken")))
}

pub(crate) fn ses(url: &str, transport: &Arc<Transport>) -> Ses {
    let settings = SesSettings {
        region: Some("us-east-1".to_owned()),
        from: mailbox("Shop <hello@shop.example>"),
        senders: Vec::new(),
        configuration_set: None,
        base_url: Some(url.to_owned()),
        credentials: credentials(),
    };
    Ses::new(settings, transport).unwrap()
}

pub(crate) fn sendgrid(url: &str, transport: &Arc<Transport>) -> SendGrid {
    let settings = SendGridSettings {
        api_key: Secret::new("SG.canarykey"),
        from: mailbox("Shop <hello@shop.example>"),
        senders: Vec::new(),
        base_url: Some(url.to_owned()),
    };
    SendGrid::new(settings, transport).unwrap()
}

pub(crate) fn sns(url: &str, transport: &Arc<Transport>) -> Sns {
    let settings = SnsSettings {
        region: Some("us-east-1".to_owned()),
        sender_id: None,
        sender_id_registered: Vec::new(),
        base_url: Some(url.to_owned()),
        credentials: credentials(),
    };
    Sns::new(settings, transport).unwrap()
}

pub(crate) fn twilio(url: &str, transport: &Arc<Transport>) -> Twilio {
    let settings = TwilioSettings {
        account_sid: "AC00000000000000000000000000000000".to_owned(),
        auth_token: Secret::new("canarytoken"),
        sender: TwilioSender::Number(PhoneNumber::parse_e164("+14165550100").unwrap()),
        status_callback: None,
        base_url: Some(url.to_owned()),
    };
    Twilio::new(settings, transport).unwrap()
}

/// A provider that a suite can drive without knowing its channel.
pub(crate) trait Bed {
    /// What it answers when it takes the message that has the id `the-id`.
    const ACCEPTED: (&'static str, &'static [&'static str], &'static str);

    /// Sends one message.
    async fn send_one(&self) -> Result<Accepted, Failure>;
}

impl Bed for Ses {
    const ACCEPTED: (&'static str, &'static [&'static str], &'static str) = ("200 OK", &[], r#"{"MessageId":"the-id"}"#);

    async fn send_one(&self) -> Result<Accepted, Failure> {
        self.send(&email(), &call()).await
    }
}

impl Bed for SendGrid {
    const ACCEPTED: (&'static str, &'static [&'static str], &'static str) = ("202 Accepted", &["x-message-id: the-id"], "");

    async fn send_one(&self) -> Result<Accepted, Failure> {
        self.send(&email(), &call()).await
    }
}

impl Bed for Sns {
    const ACCEPTED: (&'static str, &'static [&'static str], &'static str) = (
        "200 OK",
        &[],
        "<PublishResponse><PublishResult><MessageId>the-id</MessageId></PublishResult></PublishResponse>",
    );

    async fn send_one(&self) -> Result<Accepted, Failure> {
        self.send(&sms(), &call()).await
    }
}

impl Bed for Twilio {
    const ACCEPTED: (&'static str, &'static [&'static str], &'static str) = ("201 Created", &[], r#"{"sid":"the-id","status":"queued"}"#);

    async fn send_one(&self) -> Result<Accepted, Failure> {
        self.send(&sms(), &call()).await
    }
}
