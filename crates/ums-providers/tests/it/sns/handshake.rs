//! A topic's handshake, and certificates that are fetched: over TLS through a proxy that is SNS here.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use ums_core::{Hook as _, HookFault, SystemClock};
use ums_providers::feedback::aws::{AwsHook, AwsHookSettings, HttpCertificates};
use ums_providers::{Proxy, Transport, TransportSettings, TrustedRoots};
use ums_testkit::LogCapture;

use super::bed::{Counting, Draft, NOW, PEM, TOPIC, fixture, request, settings};
use crate::fault_server::answer;

/// A proxy behind which everything is this one server; it keeps what it was asked.
struct Amazon {
    transport: Arc<Transport>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Amazon {
    async fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let certificate = CertificateDer::from_pem_slice(fixture!("host.pem").as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(fixture!("host.key.pem").as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let (acceptor, seen, answers) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&answers));
                tokio::spawn(async move {
                    let mut block = vec![0; 16 * 1024];
                    let read = tcp.read(&mut block).await.unwrap();
                    seen.lock().unwrap().push(first_line(&block[..read]));
                    tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    while let Ok(read @ 1..) = tls.read(&mut block).await {
                        seen.lock().unwrap().push(first_line(&block[..read]));
                        let Some(reply) = answers.lock().unwrap().pop_front() else { return };
                        tls.write_all(&reply).await.unwrap();
                    }
                });
            }
        });
        let roots = TrustedRoots::Only(vec![CertificateDer::from_pem_slice(fixture!("host-ca.pem").as_bytes()).unwrap()]);
        let settings = TransportSettings {
            proxy: Some(proxy),
            roots,
            ..TransportSettings::default()
        };
        Self {
            transport: Transport::new(settings, Arc::new(SystemClock::new())),
            heads,
        }
    }

    fn seen(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn hook(&self) -> AwsHook {
        AwsHook::new(
            settings(),
            Arc::new(HttpCertificates::new(Arc::clone(&self.transport))),
            Arc::clone(&self.transport),
        )
        .unwrap()
    }
}

fn first_line(request: &[u8]) -> String {
    String::from_utf8_lossy(request).lines().next().unwrap_or_default().to_owned()
}

const FETCH: [&str; 2] = [
    "CONNECT sns.us-east-1.amazonaws.com:443 HTTP/1.1",
    "GET /SimpleNotificationService-0123456789abcdef.pem HTTP/1.1",
];

#[tokio::test]
async fn a_certificate_is_fetched_once_and_kept() {
    let amazon = Amazon::start(vec![answer("200 OK", &[], PEM)]).await;
    let hook = amazon.hook();
    for _ in 0..3 {
        assert_eq!(hook.read(&request(Draft::delivery().body(), NOW)).await.unwrap().len(), 1);
    }
    assert_eq!(amazon.seen(), FETCH);
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_and_an_outage_is_not() {
    for (reply, fault) in [
        (
            answer("301 Moved Permanently", &["location: https://example.com/a.pem"], ""),
            HookFault::Refused("certificate"),
        ),
        (answer("404 Not Found", &[], ""), HookFault::Refused("certificate")),
        (answer("200 OK", &[], "<html></html>"), HookFault::Refused("certificate")),
        (
            answer("200 OK", &[], &format!("{PEM}{}", "\n".repeat(20_000))),
            HookFault::Refused("certificate"),
        ),
        (
            answer("503 Service Unavailable", &[], ""),
            HookFault::Unavailable("certificate_fetch"),
        ),
    ] {
        let amazon = Amazon::start(vec![reply]).await;
        assert_eq!(amazon.hook().read(&request(Draft::delivery().body(), NOW)).await, Err(fault));
        assert_eq!(amazon.seen(), FETCH, "nothing else was asked for");
    }
}

#[tokio::test]
async fn a_flood_of_made_up_certificates_is_not_passed_on() {
    let amazon = Amazon::start(vec![answer("404 Not Found", &[], ""); 100]).await;
    let hook = amazon.hook();
    let mut faults = Vec::new();
    for number in 0..40 {
        let url = format!("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{number}.pem");
        let draft = Draft::delivery().set("SigningCertURL", url);
        faults.push(hook.read(&request(draft.body(), NOW)).await.unwrap_err());
    }
    assert_eq!(faults[29], HookFault::Refused("certificate"));
    assert_eq!(faults[30], HookFault::Unavailable("certificate_fetch"));
    assert_eq!(amazon.seen().iter().filter(|line| line.starts_with("GET")).count(), 30);
}

#[tokio::test]
async fn a_subscription_of_an_allowed_topic_is_confirmed_when_that_is_allowed() {
    let confirm = format!(
        "GET /?Action=ConfirmSubscription&TopicArn={}&Token={} HTTP/1.1",
        TOPIC.replace(':', "%3A"),
        Draft::subscription().text("Token")
    );
    for (allowed, status, outcome) in [
        (true, "200 OK", Ok(vec![])),
        (true, "302 Found", Err(HookFault::Unavailable("subscription"))),
        (true, "500 Internal Server Error", Err(HookFault::Unavailable("subscription"))),
        (false, "200 OK", Ok(vec![])),
    ] {
        let amazon = Amazon::start(vec![answer(status, &["location: https://127.0.0.1/"], "")]).await;
        let settings = AwsHookSettings {
            confirm_subscriptions: allowed,
            ..settings()
        };
        let hook = AwsHook::new(settings, Counting::new(PEM), Arc::clone(&amazon.transport)).unwrap();
        assert_eq!(hook.read(&request(Draft::subscription().body(), NOW)).await, outcome);
        let asked = if allowed {
            vec![FETCH[0].to_owned(), confirm.clone()]
        } else {
            vec![]
        };
        assert_eq!(amazon.seen(), asked);
    }
}

/// As functions that pass envelopes on spell it; what is signed is the same.
#[tokio::test]
async fn the_other_spelling_of_the_url_is_the_same() {
    let amazon = Amazon::start(vec![answer("200 OK", &[], "")]).await;
    let hook = AwsHook::new(settings(), Counting::new(PEM), Arc::clone(&amazon.transport)).unwrap();
    let draft = Draft::subscription();
    let url = draft.text("SubscribeURL").to_owned();
    let draft = draft.without("SubscribeURL").set("SubscribeUrl", url);
    assert_eq!(hook.read(&request(draft.body(), NOW)).await, Ok(vec![]));
    assert_eq!(amazon.seen().len(), 2);
}

#[tokio::test]
async fn the_end_of_a_subscription_asks_for_nothing() {
    let amazon = Amazon::start(vec![]).await;
    let hook = AwsHook::new(settings(), Counting::new(PEM), Arc::clone(&amazon.transport)).unwrap();
    let end = Draft::subscription().set("Type", "UnsubscribeConfirmation").signed();
    assert_eq!(hook.read(&request(end.body(), NOW)).await, Ok(vec![]));
    assert_eq!(amazon.seen(), [""; 0]);
}

#[tokio::test]
async fn the_log_says_which_topic_and_never_token_message_or_signature() {
    let (log, _guard) = LogCapture::start();
    let amazon = Amazon::start(vec![answer("200 OK", &[], ""), answer("500 Internal Server Error", &[], "")]).await;
    let end = Draft::subscription().set("Type", "UnsubscribeConfirmation").signed();
    let other = Draft::notification(&serde_json::json!({"note": "for customer@example.com"}));
    for confirm_subscriptions in [true, false] {
        let settings = AwsHookSettings {
            confirm_subscriptions,
            ..settings()
        };
        let hook = AwsHook::new(settings, Counting::new(PEM), Arc::clone(&amazon.transport)).unwrap();
        for draft in [&Draft::subscription(), &Draft::subscription(), &end, &other, &Draft::delivery()] {
            // What becomes of them is told elsewhere.
            _ = hook.read(&request(draft.body(), NOW)).await.is_ok();
        }
    }
    let text = log.text();
    for said in [
        "the subscription of a topic was confirmed",
        "SNS did not confirm",
        "a topic asks to post feedback here",
        "was ended",
        "no feedback",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(text.contains(TOPIC));
    for canary in [
        Draft::subscription().text("Token"),
        "Action=",
        "customer@example.com",
        Draft::delivery().text("Signature"),
    ] {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
}
