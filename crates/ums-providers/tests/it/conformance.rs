//! What every HTTP provider does with every fault, whichever its wire format.

use std::time::Duration;

use tokio::time::Instant;
use ums_core::{Accepted, Failure, FailureClass, FailureSource};

use crate::bed::{self, Bed, transport};
use crate::fault_server::{Act, FaultServer, FullQueue, answer, closed_url};

/// Sends one message to a server that does one thing.
async fn against<B: Bed>(make: impl Fn(&str) -> B, act: Act) -> Result<Accepted, Failure> {
    let server = FaultServer::start(vec![act]).await;
    let outcome = make(&server.url()).send_one().await;
    assert!(server.requests().len() <= 1, "the message was handed over more than once");
    outcome
}

fn accepted<B: Bed>(more: &[&str]) -> Vec<u8> {
    let (status, headers, body) = B::ACCEPTED;
    answer(status, &[headers, more].concat(), body)
}

async fn accepted_gives_the_id<B: Bed>(make: impl Fn(&str) -> B) {
    let taken = against(&make, Act::Answer(accepted::<B>(&[]))).await.unwrap();
    assert_eq!(taken, Accepted::new("the-id"));
    let simulated = against(&make, Act::Answer(accepted::<B>(&["x-ums-simulator: 1"]))).await.unwrap();
    assert!(simulated.simulated);
}

async fn not_reached_is_unavailable<B: Bed>(make: impl Fn(&str) -> B) {
    let queue = FullQueue::new();
    for (url, code) in [(closed_url().await, "refused"), (queue.url(), "connect_timeout")] {
        let failure = make(&url).send_one().await.unwrap_err();
        assert_eq!(
            (failure.class, &*failure.code, failure.source),
            (FailureClass::Unavailable, code, FailureSource::Transport)
        );
    }
}

async fn lost_after_the_request_is_unknown_and_in_time<B: Bed>(make: impl Fn(&str) -> B) {
    let (_, _, body) = B::ACCEPTED;
    let cut = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 1000\r\n\r\n{body}").into_bytes();
    for act in [
        Act::ReadAndReset,
        Act::Hang,
        Act::AnswerAndClose(Vec::new()),
        Act::AnswerAndClose(cut("200 OK")),
        Act::AnswerAndClose(b"garbage\r\n\r\n".to_vec()),
        Act::Answer(answer("200 OK", &[], "<html><br>garbage</html>")),
        Act::Answer(answer("200 OK", &[], "{\"other\": [1, 2")),
        Act::Answer(answer("200 OK", &[], "")),
        Act::Answer(answer("204 No Content", &[], "")),
        Act::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), 1 << 31),
        Act::Answer(answer("500 Internal Server Error", &[], "{}")),
        Act::Answer(answer("502 Bad Gateway", &[], "<html></html>")),
        Act::Answer(answer("504 Gateway Timeout", &[], "")),
    ] {
        let started = Instant::now();
        let failure = against(&make, act.clone()).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Unknown, "{act:?}: {failure:?}");
        // The limit for a reply is 300 ms; the rest is for a busy machine.
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{act:?} took {took:?}");
    }
}

async fn refusals_without_a_code_have_the_class_of_their_status<B: Bed>(make: impl Fn(&str) -> B) {
    for (status, class) in [
        ("400 Bad Request", FailureClass::Unsupported),
        ("401 Unauthorized", FailureClass::Misconfigured),
        ("403 Forbidden", FailureClass::Misconfigured),
        ("404 Not Found", FailureClass::Misconfigured),
        ("413 Payload Too Large", FailureClass::Unsupported),
        ("503 Service Unavailable", FailureClass::Unavailable),
        ("307 Temporary Redirect", FailureClass::Misconfigured),
    ] {
        let failure = against(
            &make,
            Act::Answer(answer(status, &["location: http://127.0.0.1:1/"], "<html></html>")),
        )
        .await
        .unwrap_err();
        assert_eq!((failure.class, failure.source), (class, FailureSource::Provider), "{status}");
        assert_eq!(failure.code, status.split(' ').next().unwrap());
    }
}

async fn throttled_tells_how_long<B: Bed>(make: impl Fn(&str) -> B) {
    for (headers, delay) in [
        (&[][..], None),
        (&["retry-after: 7"], Some(7)),
        (&["retry-after: 100000"], Some(900)),
        (
            &["retry-after: Sun, 22 Nov 2026 10:00:30 GMT", "date: Sun, 22 Nov 2026 10:00:00 GMT"],
            Some(30),
        ),
    ] {
        let failure = against(&make, Act::Answer(answer("429 Too Many Requests", headers, "")))
            .await
            .unwrap_err();
        assert_eq!(
            (failure.class, failure.retry_after),
            (FailureClass::Throttled, delay.map(Duration::from_secs)),
            "{headers:?}"
        );
    }
}

async fn reset_before_reading_is_what_the_transport_says<B: Bed>(make: impl Fn(&str) -> B) {
    for _ in 0..20 {
        let failure = against(&make, Act::ResetAfter(0)).await.unwrap_err();
        let expected = if failure.class == FailureClass::Unavailable {
            FailureClass::Unavailable
        } else {
            FailureClass::Unknown
        };
        assert_eq!((failure.class, failure.source), (expected, FailureSource::Transport));
    }
}

/// The suite for each provider; one line makes a provider take part.
macro_rules! conformance {
    ($($provider:ident)+) => {$(
        mod $provider {
            use super::*;
            conformance!(@tests $provider:
                accepted_gives_the_id
                not_reached_is_unavailable
                lost_after_the_request_is_unknown_and_in_time
                refusals_without_a_code_have_the_class_of_their_status
                throttled_tells_how_long
                reset_before_reading_is_what_the_transport_says
            );
        }
    )+};
    (@tests $provider:ident: $($test:ident)+) => {$(
        #[tokio::test]
        async fn $test() {
            super::$test(|url| bed::$provider(url, &transport())).await;
        }
    )+};
}

conformance! { ses sendgrid sns twilio }
