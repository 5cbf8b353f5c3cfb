//! Every fault at every provider that speaks HTTP.

use std::io::ErrorKind;
use std::time::Duration;

use ums_simulator::{Fault, Mode, Provider, Simulator};

use crate::client::{Http, Reply};
use crate::requests::{self, HTTP};
use crate::{start, until};

/// Long enough to see that nothing comes, short enough for a test.
const SILENCE: Duration = Duration::from_millis(60);

async fn send(simulator: &Simulator, provider: Provider) -> Reply {
    let request = requests::send(provider);
    request.send(simulator.addr(provider)).await.expect("an answer")
}

async fn with(provider: Provider, fault: impl Into<Fault>) -> Simulator {
    let simulator = start().await;
    simulator.set_fault(provider, fault).await.expect("possible");
    simulator
}

#[tokio::test]
async fn refusals_are_the_providers_own_and_record_nothing() {
    let table = [
        (Mode::Error, Provider::Ses, 503, "message"),
        (Mode::Error, Provider::Sns, 503, "<Code>ServiceUnavailable</Code>"),
        (Mode::Error, Provider::SendGrid, 503, "errors"),
        (Mode::Error, Provider::Twilio, 503, "20503"),
        (Mode::Throttle, Provider::Ses, 429, "Too many requests"),
        (Mode::Throttle, Provider::Sns, 429, "<Code>Throttling</Code>"),
        (Mode::Throttle, Provider::SendGrid, 429, "too many requests"),
        (Mode::Throttle, Provider::Twilio, 429, "20429"),
        (Mode::Unauthorized, Provider::Ses, 403, "security token"),
        (Mode::Unauthorized, Provider::Sns, 403, "<Code>InvalidClientTokenId</Code>"),
        (Mode::Unauthorized, Provider::SendGrid, 401, "authorization grant"),
        (Mode::Unauthorized, Provider::Twilio, 401, "20003"),
        (Mode::Suspended, Provider::Ses, 400, "suspended"),
        (Mode::Suspended, Provider::Sns, 403, "<Code>OptInRequired</Code>"),
        (Mode::Suspended, Provider::SendGrid, 403, "access forbidden"),
        (Mode::Suspended, Provider::Twilio, 403, "20005"),
        (Mode::Quota, Provider::Ses, 400, "Daily message quota exceeded"),
        (Mode::Quota, Provider::Sns, 429, "No quota left for account"),
        (Mode::Quota, Provider::SendGrid, 401, "Maximum credits exceeded"),
        (Mode::Quota, Provider::Twilio, 429, "63038"),
        (Mode::Reject, Provider::Ses, 400, "Illegal address"),
        (Mode::Reject, Provider::Sns, 400, "+14165550123 is not valid"),
        (Mode::Reject, Provider::SendGrid, 400, "valid address"),
        (Mode::Reject, Provider::Twilio, 400, "21211"),
    ];
    for (mode, provider, status, says) in table {
        let simulator = with(provider, mode).await;
        let reply = send(&simulator, provider).await;
        assert_eq!(reply.status, status, "{provider} {mode}");
        assert!(reply.text().contains(says), "{provider} {mode}: {}", reply.text());
        assert_eq!(reply.header("retry-after"), None);
        assert_eq!(reply.header("x-ums-simulator"), Some("1"));
        assert!(simulator.messages().is_empty(), "{provider} {mode}");
        let stats = simulator.stats(provider);
        assert_eq!((stats.requests, stats.accepted, stats.faulted), (1, 0, 1));
        simulator.heal(provider).await.expect("healed");
        assert!(send(&simulator, provider).await.status < 300);
        assert_eq!(simulator.messages().len(), 1);
    }
}

#[tokio::test]
async fn status_and_retry_after_can_be_set() {
    for provider in HTTP {
        let fault = Fault::new(Mode::Error).status(500).retry_after(7);
        let simulator = with(provider, fault).await;
        let reply = send(&simulator, provider).await;
        assert_eq!((reply.status, reply.header("retry-after")), (500, Some("7")));
        let fault = Fault::new(Mode::Throttle).retry_after(3);
        simulator.set_fault(provider, fault).await.expect("possible");
        let reply = send(&simulator, provider).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("3")));
    }
}

#[tokio::test]
async fn a_throttling_sendgrid_says_when_it_resets() {
    let simulator = with(Provider::SendGrid, Mode::Throttle).await;
    let reply = send(&simulator, Provider::SendGrid).await;
    assert_eq!(reply.header("x-ratelimit-remaining"), Some("0"));
    let reset = reply.header("x-ratelimit-reset").expect("a time");
    assert!(reset.parse::<u64>().expect("seconds") > 1_700_000_000);
}

#[tokio::test]
async fn a_refusing_port_is_closed_and_comes_back_with_its_number() {
    for provider in HTTP {
        let simulator = start().await;
        let address = simulator.addr(provider);
        let mut kept = Http::connect(address).await.expect("open");
        kept.send(&requests::send(provider)).await.expect("an answer");

        simulator.set_fault(provider, Mode::Refuse).await.expect("possible");
        let refused = Http::connect(address).await.expect_err("closed");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        kept.send(&requests::send(provider)).await.expect_err("cut");
        let below = requests::send(provider).below(provider.name());
        below.send(simulator.http_addr()).await.expect_err("dropped");
        assert_eq!(simulator.messages().len(), 1);

        simulator.heal(provider).await.expect("the port is free");
        assert_eq!(simulator.addr(provider), address);
        assert!(send(&simulator, provider).await.status < 300);
        assert_eq!(simulator.messages().len(), 2);
    }
}

#[tokio::test]
async fn another_fault_opens_a_refusing_port() {
    let simulator = with(Provider::Ses, Mode::Refuse).await;
    simulator.set_fault(Provider::Ses, Mode::Refuse).await.expect("twice is once");
    simulator.set_fault(Provider::Ses, Mode::Throttle).await.expect("possible");
    assert_eq!(send(&simulator, Provider::Ses).await.status, 429);
}

#[tokio::test]
async fn hanging_requests_are_answered_when_healed() {
    for (mode, recorded) in [(Mode::Hang, 0), (Mode::HangAfter, 1)] {
        for provider in HTTP {
            let simulator = with(provider, mode).await;
            let mut connection = Http::connect(simulator.addr(provider)).await.expect("open");
            connection.write(&requests::send(provider)).await.expect("written");
            until(|| simulator.stats(provider).faulted == 1).await;
            let early = tokio::time::timeout(SILENCE, connection.reply()).await;
            assert!(early.is_err(), "{provider} {mode}");
            assert_eq!(simulator.messages().len(), recorded);
            simulator.heal(provider).await.expect("healed");
            let reply = connection.reply().await.expect("an answer");
            assert!(reply.status < 300);
            assert_eq!(simulator.messages().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_peer_that_leaves_a_hanging_request_sent_nothing() {
    for provider in HTTP {
        let simulator = with(provider, Mode::Hang).await;
        let mut connection = Http::connect(simulator.addr(provider)).await.expect("open");
        connection.write(&requests::send(provider)).await.expect("written");
        until(|| simulator.stats(provider).faulted == 1).await;
        drop(connection);
        until(|| simulator.stats(provider).in_flight == 0).await;
        simulator.heal(provider).await.expect("healed");
        assert!(simulator.messages().is_empty());
    }
}

#[tokio::test]
async fn resets_are_real_and_before_or_after_the_record() {
    for (mode, recorded) in [(Mode::ResetBefore, 0), (Mode::ResetAfter, 1)] {
        for provider in HTTP {
            let simulator = with(provider, mode).await;
            let request = requests::send(provider);
            let reset = request.send(simulator.addr(provider)).await.expect_err("reset");
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset, "{provider} {mode}");
            assert_eq!(simulator.messages().len(), recorded);

            let below = request.below(provider.name());
            let reset = below.send(simulator.http_addr()).await.expect_err("reset");
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset, "{provider} {mode}");
            assert_eq!(simulator.messages().len(), 2 * recorded);
            let stats = simulator.stats(provider);
            assert_eq!((stats.requests, stats.faulted), (2, 2));
        }
    }
}

#[tokio::test]
async fn a_reset_also_hits_a_connection_that_was_open() {
    let simulator = start().await;
    let mut kept = Http::connect(simulator.addr(Provider::Ses)).await.expect("open");
    kept.send(&requests::send(Provider::Ses)).await.expect("an answer");
    simulator.set_fault(Provider::Ses, Mode::ResetBefore).await.expect("possible");
    let reset = kept.send(&requests::send(Provider::Ses)).await.expect_err("reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert_eq!(simulator.messages().len(), 1);
}

#[tokio::test]
async fn half_of_the_requests_are_reset() {
    let simulator = with(Provider::Ses, Fault::new(Mode::ResetBefore).rate(0.5)).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let outcome = requests::send(Provider::Ses).send(simulator.addr(Provider::Ses)).await;
        statuses.push(outcome.map_or(0, |reply| reply.status));
    }
    assert_eq!(statuses, [200, 0, 200, 0, 200, 0]);
    assert_eq!(simulator.stats(Provider::Ses).requests, 6);
}

#[tokio::test]
async fn slow_answers_are_recorded_at_once() {
    for provider in HTTP {
        let simulator = with(provider, Fault::new(Mode::Slow).delay_ms(3_600_000)).await;
        let mut connection = Http::connect(simulator.addr(provider)).await.expect("open");
        connection.write(&requests::send(provider)).await.expect("written");
        until(|| simulator.messages().len() == 1).await;
        let early = tokio::time::timeout(SILENCE, connection.reply()).await;
        assert!(early.is_err());

        simulator
            .set_fault(provider, Fault::new(Mode::Slow).delay_ms(1))
            .await
            .expect("possible");
        assert!(send(&simulator, provider).await.status < 300);
    }
}

#[tokio::test]
async fn spoilt_successes_are_recorded_and_carry_no_id() {
    for provider in HTTP {
        let simulator = with(provider, Mode::Garbage).await;
        let reply = send(&simulator, provider).await;
        assert!((200..300).contains(&reply.status));
        assert!(!reply.body.is_empty() && serde_json::from_slice::<()>(&reply.body).is_err());
        assert!(!reply.text().contains("Id>") && reply.header("x-message-id").is_none());

        simulator.set_fault(provider, Mode::Empty).await.expect("possible");
        let reply = send(&simulator, provider).await;
        assert!((200..300).contains(&reply.status));
        assert!(reply.body.is_empty() && reply.header("x-message-id").is_none());
        assert_eq!(simulator.messages().len(), 2);

        simulator.set_fault(provider, Mode::Truncate).await.expect("possible");
        let reply = send(&simulator, provider).await;
        assert!((200..300).contains(&reply.status));
        let announced = reply.header("content-length").expect("a length");
        assert!(announced.parse::<usize>().expect("a number") > reply.body.len());
        assert_eq!(simulator.messages().len(), 3);
        assert_eq!(simulator.messages()[2].fault, Some(Mode::Truncate));
    }
}

#[tokio::test]
async fn a_huge_answer_goes_on_and_on() {
    for provider in HTTP {
        let simulator = with(provider, Mode::Huge).await;
        let mut connection = Http::connect(simulator.addr(provider)).await.expect("open");
        connection.write(&requests::send(provider)).await.expect("written");
        let (status, headers) = connection.head().await.expect("a head");
        assert!((200..300).contains(&status));
        assert!(!headers.contains_key("x-message-id"));
        assert_eq!(connection.skip(32 << 20).await.expect("more"), 32 << 20);
        drop(connection);
        until(|| simulator.stats(provider).in_flight == 0).await;
        assert_eq!(simulator.messages().len(), 1);
    }
}

#[tokio::test]
async fn an_error_may_come_after_acceptance() {
    for provider in HTTP {
        let simulator = with(provider, Mode::AcceptThenError).await;
        assert_eq!(send(&simulator, provider).await.status, 500);
        assert_eq!(simulator.messages().len(), 1);
    }
}

#[tokio::test]
async fn fates_are_marked_on_what_was_accepted() {
    for mode in [Mode::Bounce, Mode::NeverDeliver] {
        for provider in HTTP {
            let simulator = with(provider, mode).await;
            assert!((200..300).contains(&send(&simulator, provider).await.status));
            assert_eq!(simulator.messages()[0].fault, Some(mode));
        }
    }
}

#[tokio::test]
async fn a_share_is_hit_evenly() {
    let simulator = with(Provider::Twilio, Fault::new(Mode::Error).rate(0.3)).await;
    let mut failed = 0;
    for _ in 0..20 {
        failed += u32::from(send(&simulator, Provider::Twilio).await.status == 503);
    }
    assert_eq!(failed, 6);
    assert_eq!(simulator.messages().len(), 14);
}

#[tokio::test]
async fn a_fault_for_a_time_heals_itself() {
    for mode in [Mode::Throttle, Mode::Refuse] {
        let simulator = with(Provider::Sns, Fault::new(mode).for_seconds(0.05)).await;
        assert!(simulator.fault(Provider::Sns).is_some());
        until(|| simulator.fault(Provider::Sns).is_none()).await;
        assert_eq!(send(&simulator, Provider::Sns).await.status, 200);
    }
}

#[tokio::test]
async fn a_replaced_fault_is_not_healed_by_the_clock_of_the_first() {
    let simulator = with(Provider::Sns, Fault::new(Mode::Error).for_seconds(0.02)).await;
    simulator.set_fault(Provider::Sns, Mode::Throttle).await.expect("possible");
    let clock = Fault::new(Mode::Error).for_seconds(0.04);
    simulator.set_fault(Provider::Ses, clock).await.expect("possible");
    until(|| simulator.fault(Provider::Ses).is_none()).await;
    assert_eq!(send(&simulator, Provider::Sns).await.status, 429);
}

#[tokio::test]
async fn impossible_settings_are_refused() {
    let simulator = start().await;
    let check = async |fault: Fault| {
        let outcome = simulator.set_fault(Provider::Ses, fault).await;
        outcome.expect_err("out of range");
    };
    check(Fault::new(Mode::Error).rate(1.5)).await;
    check(Fault::new(Mode::Error).rate(f64::NAN)).await;
    check(Fault::new(Mode::Error).status(200)).await;
    check(Fault::new(Mode::Slow).delay_ms(u64::MAX)).await;
    check(Fault::new(Mode::Error).for_seconds(0.0)).await;
    check(Fault::new(Mode::Error).for_seconds(f64::INFINITY)).await;
    check(Fault::new(Mode::Refuse).rate(0.5)).await;
    let impossible = simulator.set_fault(Provider::Smtp, Mode::AcceptThenError).await;
    let text = impossible.expect_err("impossible").to_string();
    assert!(text.contains("possible: error, refuse, hang"), "{text}");
}

#[tokio::test]
async fn too_long_a_body_is_refused() {
    for provider in HTTP {
        let simulator = start().await;
        let mut request = requests::send(provider);
        request.body = "x".repeat(45_000_001);
        let mut connection = Http::connect(simulator.addr(provider)).await.expect("open");
        // The answer may come before all is written; the connection ends then.
        drop(connection.write(&request).await);
        if let Ok(reply) = connection.reply().await {
            assert_eq!(reply.status, 413, "{provider}");
        }
        assert!(simulator.messages().is_empty());
    }
}
