//! What is not believed: one table. No row gives an event; no row makes a request to anywhere but SNS in the topic's region, and only those
//! that are false in what only the certificate tells make one at all.

mod forms;
mod signatures;
mod urls;

use std::sync::Arc;

use ums_core::{Hook as _, HookFault, HookRequest};
use ums_providers::feedback::aws::{AwsHook, HttpCertificates};

use super::bed::{Counting, Draft, NOW, PEM, Sink, request, settings};

struct Forgery {
    name: String,
    request: HookRequest,
    /// What is at the certificate's URL; none when nobody may ask.
    pem: Option<&'static str>,
    /// Why it is refused.
    word: &'static str,
}

impl Forgery {
    fn new(name: &str, body: Vec<u8>, word: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            request: request(body, NOW),
            pem: Some(PEM),
            word,
        }
    }

    fn without_certificate(name: &str, body: Vec<u8>, word: &'static str) -> Self {
        Self {
            pem: None,
            ..Self::new(name, body, word)
        }
    }
}

#[tokio::test]
async fn no_forgery_is_believed_and_none_makes_a_request() {
    let sink = Sink::start().await;
    let transport = sink.transport();
    let forgeries = [
        urls::certificates(sink.port),
        urls::subscriptions(sink.port),
        signatures::envelopes(),
        signatures::certificates(),
        forms::members(),
        forms::bodies(),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    assert!(forgeries.len() >= 200, "{}", forgeries.len());
    for Forgery { name, request, pem, word } in &forgeries {
        let certificates = Counting::new(pem.unwrap_or_default());
        let hook = AwsHook::new(settings(), certificates.clone(), Arc::clone(&transport)).unwrap();
        assert_eq!(hook.read(request).await, Err(HookFault::Refused(word)), "{name}");
        assert_eq!(certificates.asked(), usize::from(pem.is_some()), "{name}");
        if pem.is_none() {
            let certificates = Arc::new(HttpCertificates::new(Arc::clone(&transport)));
            let hook = AwsHook::new(settings(), certificates, Arc::clone(&transport)).unwrap();
            assert_eq!(hook.read(request).await, Err(HookFault::Refused(word)), "{name}");
        }
    }
    assert_eq!(sink.seen(), 0, "requests were made");
    // The sink does see what is let through: the genuine certificate's URL.
    let hook = AwsHook::new(settings(), Arc::new(HttpCertificates::new(Arc::clone(&transport))), transport).unwrap();
    let outcome = hook.read(&request(Draft::delivery().body(), NOW)).await;
    assert!(matches!(outcome, Err(HookFault::Unavailable(_))), "{outcome:?}");
    assert_eq!(sink.seen(), 1);
}
