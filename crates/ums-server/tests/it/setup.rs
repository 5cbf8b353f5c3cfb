//! A service over scripted providers, ready to be called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use ums_core::{Email, NotConfigured, OnExhausted, ProviderKind, Secret, Sms, Store};
use ums_delivery::{Aftermath, BreakerSettings, LinkParts, Messaging, PaceSettings, Parts, Price, Rules};
use ums_server::{Hooks, Limits, Metrics, Server, ServerSettings, TrustedProxies};
use ums_store::MemoryStore;
use ums_testkit::{FakeProvider, SeededRandom, TestClock};

use crate::client::{Answer, Client};

/// The key of a service that has one.
pub(crate) const KEY: &str = "canary-api-key-5f1d";

/// What a service is made of.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) key: bool,
    pub(crate) proxies: TrustedProxies,
    pub(crate) probes: bool,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) without_sms: bool,
    pub(crate) rules: Rules,
    pub(crate) hooks: Hooks,
    pub(crate) aftermath: Aftermath,
}

impl Default for Setup {
    fn default() -> Self {
        let rules = Rules {
            on_exhausted: Some(OnExhausted::Hold),
            ..Rules::default()
        };
        Self {
            limits: Limits::default(),
            key: false,
            proxies: TrustedProxies::default(),
            probes: false,
            store: None,
            without_sms: false,
            rules,
            hooks: Hooks::default(),
            aftermath: Aftermath::default(),
        }
    }
}

/// A running service.
pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) probe_address: Option<SocketAddr>,
    pub(crate) ses: Arc<FakeProvider<Email>>,
    pub(crate) sendgrid: Arc<FakeProvider<Email>>,
    pub(crate) twilio: Arc<FakeProvider<Sms>>,
    pub(crate) messaging: Messaging,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<()>,
    pub(crate) clock: Arc<TestClock>,
    key: bool,
}

/// The limits of a service whose patience ends at once.
pub(crate) fn impatient() -> Limits {
    let short = Duration::from_millis(100);
    Limits {
        header_time: short,
        body_time: short,
        idle_time: short,
        write_time: short,
        ..Limits::default()
    }
}

pub(crate) async fn start() -> Bench {
    Setup::default().start().await
}

impl Setup {
    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(crate) fn with_store(store: impl Store + 'static) -> Self {
        Self {
            store: Some(Arc::new(store)),
            ..Self::default()
        }
    }

    pub(crate) async fn start(self) -> Bench {
        let clock = Arc::new(TestClock::new());
        let random = Arc::new(SeededRandom::new(7));
        let metrics = Arc::new(Metrics::new());
        let ses = Arc::new(FakeProvider::new(ProviderKind::AwsSes));
        let sendgrid = Arc::new(FakeProvider::new(ProviderKind::SendGrid));
        let twilio = Arc::new(FakeProvider::new(ProviderKind::Twilio));
        let messaging = Messaging::start(Parts {
            clock: clock.clone(),
            random: random.clone(),
            store: self.store.unwrap_or_else(|| Arc::new(MemoryStore::new(clock.clone()))),
            observer: metrics.clone(),
            email: vec![
                link(&ses, Price::Recipient(Some(100))),
                link(&sendgrid, Price::Recipient(Some(200))),
            ],
            sms: if self.without_sms {
                Vec::new()
            } else {
                vec![link(&twilio, Price::Segment([(1, 8_300)].into()))]
            },
            troubles: ums_core::Troubles::default(),
            aftermath: self.aftermath,
            not_configured: vec![NotConfigured {
                provider: ProviderKind::AwsSns,
                missing: vec!["AWS_REGION".into()],
            }],
            rules: self.rules,
        })
        .await
        .expect("an engine");
        let settings = ServerSettings {
            api_key: self.key.then(|| Secret::new(KEY)),
            development: true,
            default_region: Some("US".parse().expect("a region")),
            limits: self.limits,
            trusted_proxies: self.proxies,
            probe_listen: self.probes.then_some(SocketAddr::from(([127, 0, 0, 1], 0))),
            hooks: self.hooks,
            clock: clock.clone(),
            random,
            ..ServerSettings::new(SocketAddr::from(([127, 0, 0, 1], 0)))
        };
        let server = Server::bind(settings, messaging.clone(), metrics).await.expect("a free port");
        let (address, shutdown) = (server.local_addr(), CancellationToken::new());
        let probe_address = server.probe_addr();
        let running = tokio::spawn(server.run(shutdown.clone()));
        Bench {
            address,
            probe_address,
            ses,
            sendgrid,
            twilio,
            messaging,
            shutdown,
            running,
            clock,
            key: self.key,
        }
    }
}

fn link<M: Clone + Send + Sync + 'static>(provider: &Arc<FakeProvider<M>>, price: Price) -> LinkParts<M> {
    LinkParts {
        provider: provider.clone(),
        breaker: BreakerSettings::default(),
        pace: PaceSettings::default(),
        price,
        fingerprint: ums_delivery::Fingerprint::default(),
    }
}

/// An e-mail that is fine.
pub(crate) const EMAIL: &str = r#"{"to": "customer@example.com", "subject": "Your receipt", "text_content": "Thank you"}"#;

/// A text message that is fine.
pub(crate) const SMS: &str = r#"{"to": "+14165550123", "message_body": "Hello"}"#;

impl Bench {
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A connection from another address of this machine.
    pub(crate) async fn connect_from(&self, address: [u8; 4]) -> Client {
        Client::connect_from(address, self.address).await
    }

    /// A request's bytes, with the key when the service has one.
    pub(crate) fn request(&self, line: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut text = format!("{line} HTTP/1.1\r\nhost: localhost\r\n");
        if self.key {
            text.push_str("authorization: Bearer ");
            text.push_str(KEY);
            text.push_str("\r\n");
        }
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() || line.starts_with("POST") {
            text.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        text.push_str("\r\n");
        text.push_str(body);
        text
    }

    /// One request on a connection of its own.
    pub(crate) async fn call(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut client = self.connect().await;
        client.write(self.request(line, headers, body)).await;
        client.answer().await.unwrap_or_else(|| panic!("an answer to {line}"))
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.call(&format!("GET {target}"), &[], "").await
    }

    pub(crate) async fn post(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let json = ("content-type", "application/json");
        let headers: Vec<_> = headers.iter().copied().chain([json]).collect();
        self.call(&format!("POST {target}"), &headers, body).await
    }
}

/// Waits until something holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("it holds in time");
}
