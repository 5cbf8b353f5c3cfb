//! Envelopes that are signed here, a source of certificates that counts, and a sink that sees every connection out.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use ums_core::{AccountId, Event, Hook as _, HookFault, HookRequest, SystemClock, Timestamp};
use ums_providers::feedback::aws::{AwsHook, AwsHookSettings, CertificateSource};
use ums_providers::{Proxy, Transport, TransportSettings};

pub(super) const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:ums-feedback";
pub(super) const CERTIFICATE_URL: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";
pub(super) const NOW: &str = "2026-11-22T10:00:02Z";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/aws/", $name))
    };
}
pub(super) use fixture;

pub(super) const PEM: &str = fixture!("test.pem");

/// An envelope's members, in the making.
#[derive(Clone)]
pub(super) struct Draft(pub(super) Map<String, Value>);

impl Draft {
    pub(super) fn notification(message: &Value) -> Self {
        Self::of(&json!({
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Subject": "Amazon SES Email Event Notification",
            "Message": message.to_string(),
            "Timestamp": "2026-11-22T10:00:02.000Z",
            "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE_URL,
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        }))
        .signed()
    }

    pub(super) fn delivery() -> Self {
        Self::notification(&json!({
            "eventType": "Delivery",
            "mail": {"messageId": "0100019a-0000-0000-0000-000000000001-000000", "destination": ["customer@example.com"]},
            "delivery": {"timestamp": "2026-11-22T10:00:01.000Z", "recipients": ["customer@example.com"], "smtpResponse": "250 ok"},
        }))
    }

    pub(super) fn subscription() -> Self {
        Self::of(&json!({
            "Type": "SubscriptionConfirmation",
            "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
            "Token": "2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92",
            "TopicArn": TOPIC,
            "Message": format!("You have chosen to subscribe to the topic {TOPIC}.\nTo confirm the subscription, visit the SubscribeURL included in this message."),
            "SubscribeURL": format!("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92"),
            "Timestamp": "2026-11-22T10:00:02.000Z",
            "SignatureVersion": "2",
            "SigningCertURL": CERTIFICATE_URL,
        }))
        .signed()
    }

    fn of(members: &Value) -> Self {
        Self(members.as_object().unwrap().clone())
    }

    pub(super) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap()
    }

    /// Signs what is there, as version 2.
    pub(super) fn signed(self) -> Self {
        self.signed_by(fixture!("test.key.pem"))
    }

    pub(super) fn signed_by(self, key: &str) -> Self {
        let names: &[&str] = if self.0["Type"] == "Notification" {
            &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
        } else {
            &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        };
        let fields = names
            .iter()
            .filter_map(|name| Some(format!("{name}\n{}\n", self.0.get(*name)?.as_str()?)));
        let text: String = fields.collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = RsaKeyPair::from_pkcs8(key.secret_der()).unwrap();
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .unwrap();
        self.set("Signature", BASE64_STANDARD.encode(signature))
    }

    pub(super) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap()
    }
}

pub(super) fn at(time: &str) -> Timestamp {
    Timestamp::parse_rfc3339(time).unwrap()
}

pub(super) fn request(body: Vec<u8>, time: &str) -> HookRequest {
    HookRequest {
        account: AccountId::default(),
        path_and_query: "/hooks/aws".to_owned(),
        headers: vec![("content-type".to_owned(), "text/plain; charset=UTF-8".to_owned())],
        body,
        received_at: at(time),
    }
}

/// Gives one certificate, and counts how often it was asked.
#[derive(Debug, Default)]
pub(super) struct Counting {
    pem: String,
    asked: AtomicUsize,
}

impl Counting {
    pub(super) fn new(pem: &str) -> Arc<Self> {
        Arc::new(Self {
            pem: pem.to_owned(),
            asked: AtomicUsize::new(0),
        })
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl CertificateSource for Counting {
    async fn certificate(&self, _url: &str) -> Result<Vec<u8>, HookFault> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.pem.clone().into_bytes())
    }
}

/// Listens on loopback, is the proxy to everywhere else, and counts who comes.
pub(super) struct Sink {
    pub(super) port: u16,
    seen: Arc<AtomicUsize>,
}

impl Sink {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { port, seen }
    }

    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    /// A transport whose every connection comes here: by the proxy, or because the address is this one.
    pub(super) fn transport(&self) -> Arc<Transport> {
        let proxy = Proxy::parse(&format!("http://127.0.0.1:{}", self.port)).unwrap();
        let settings = TransportSettings {
            proxy: Some(proxy),
            allow_plain_http: true,
            ..TransportSettings::default()
        };
        Transport::new(settings, Arc::new(SystemClock::new()))
    }
}

pub(super) fn settings() -> AwsHookSettings {
    AwsHookSettings {
        topics: vec![TOPIC.to_owned()],
        confirm_subscriptions: true,
        ..AwsHookSettings::default()
    }
}

/// Reads a request with a certificate that is at hand.
pub(super) async fn read(request: &HookRequest, pem: &str) -> Result<Vec<Event>, HookFault> {
    let transport = Transport::new(TransportSettings::default(), Arc::new(SystemClock::new()));
    let hook = AwsHook::new(settings(), Counting::new(pem), transport).unwrap();
    hook.read(request).await
}
