//! Providers that fail, are passed over, and come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ums_core::SystemClock;
use ums_simulator::{Fault, Mode, Provider};
use ums_testkit::TestClock;
use unified_messaging::{
    BreakerStateWord, Error, FailureClass, HealthStatus, MessageFilter, OnExhausted, OutcomeWord, ProviderKind, SendSms, Status,
};

use crate::setup::{Bed, EMAIL, SMS, Setup, email, kind, simulator};

const OPEN: Duration = Duration::from_secs(30);
/// Most messages that a recovering provider may take to be used again.
const SOON: usize = 50;

/// Sends until the provider takes a message; gives how many it took.
async fn sends_until_used(bed: &Bed, provider: Provider) -> usize {
    for number in 1..=SOON {
        if bed.send_to(provider, number, |_| {}).await.provider() == Some(kind(provider)) {
            return number;
        }
    }
    panic!("{provider} is not used again: {:?}", bed.health(provider));
}

async fn trip(bed: &Bed, provider: Provider) {
    bed.simulator.set_fault(provider, Mode::Error).await.unwrap();
    for number in 0..5 {
        bed.send_to(provider, number, |_| {}).await;
    }
    assert_eq!(bed.state(provider), BreakerStateWord::Open, "{provider}");
    bed.simulator.heal(provider).await.unwrap();
}

#[tokio::test]
async fn every_primary_is_used_again_after_it_healed_without_a_restart() {
    use BreakerStateWord::{Closed, HalfOpen, Open};
    for chain in [
        [Provider::Ses, Provider::SendGrid],
        [Provider::SendGrid, Provider::Smtp],
        [Provider::Smtp, Provider::Ses],
        [Provider::Sns, Provider::Twilio],
        [Provider::Twilio, Provider::Sns],
    ] {
        let primary = chain[0];
        let bed = Setup::chain(&chain).start().await;
        trip(&bed, primary).await;
        let asked = bed.stats(primary).sends;
        let meanwhile = bed.send_to(primary, 90, |_| {}).await;
        assert_eq!(
            (meanwhile.provider(), meanwhile.attempts.len()),
            (Some(kind(chain[1])), 1),
            "{primary}"
        );
        assert_eq!(bed.stats(primary).sends, asked, "an open breaker sends nothing to {primary}");

        bed.clock.advance(OPEN);
        sends_until_used(&bed, primary).await;
        assert_eq!(bed.state(primary), HalfOpen, "{primary}: one success is not enough");
        sends_until_used(&bed, primary).await;
        assert_eq!(bed.events.states_of(primary), [Open, HalfOpen, Closed], "{primary}");
        assert_eq!(bed.health(primary).status, HealthStatus::Healthy);
    }
}

#[tokio::test]
async fn a_recovering_provider_is_asked_before_a_message_is_risked() {
    // SNS has nothing that could be asked by those who may only publish.
    for primary in [Provider::Ses, Provider::SendGrid, Provider::Twilio] {
        let chain = if SMS.contains(&primary) {
            [primary, Provider::Sns]
        } else {
            [primary, Provider::Smtp]
        };
        let bed = Setup::chain(&chain).start().await;
        trip(&bed, primary).await;
        let before = bed.stats(primary);
        bed.clock.advance(OPEN);
        sends_until_used(&bed, primary).await;
        let after = bed.stats(primary);
        let (requests, sends) = (after.requests - before.requests, after.sends - before.sends);
        assert_eq!((requests, sends), (2, 1), "{primary}: one question, one message");
    }
}

#[tokio::test]
async fn a_recovering_provider_that_says_no_gets_no_message() {
    for (primary, next, mode) in [
        (Provider::Ses, Provider::SendGrid, Mode::Suspended),
        (Provider::SendGrid, Provider::Smtp, Mode::Unauthorized),
        (Provider::Smtp, Provider::Ses, Mode::Unauthorized),
        (Provider::Twilio, Provider::Sns, Mode::Suspended),
    ] {
        let bed = Setup::chain(&[primary, next]).start().await;
        trip(&bed, primary).await;
        bed.simulator.set_fault(primary, mode).await.unwrap();
        let before = bed.stats(primary).sends;
        bed.clock.advance(OPEN);
        let result = bed.send_to(primary, 1, |_| {}).await;
        assert_eq!((result.provider(), result.attempts.len()), (Some(kind(next)), 1), "{primary}");
        let says_no = || bed.health(primary).status == HealthStatus::Misconfigured;
        bed.events.until("the answer of the account", says_no).await;
        assert_eq!(bed.stats(primary).sends, before, "{primary}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_provider_sees_one_request_at_a_time_under_64_sends() {
    // A hundred successes to close: it stays half-open throughout.
    let bed = Arc::new(Setup::default().file("[breaker.aws_ses]\nprobe_successes = 100\n").start().await);
    trip(&bed, Provider::Ses).await;
    assert_eq!(bed.stats(Provider::Ses).peak_in_flight, 1, "so far one after the other");
    bed.simulator
        .set_fault(Provider::Ses, Fault::new(Mode::Slow).delay_ms(25))
        .await
        .unwrap();
    bed.clock.advance(OPEN);

    let before = bed.stats(Provider::Ses).accepted;
    for round in 0..4 {
        let sends = (0..64).map(|number| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move { bed.send_to(Provider::Ses, 100 * round + number, |_| {}).await })
        });
        for send in sends.collect::<Vec<_>>() {
            let result = send.await.unwrap();
            assert_eq!((result.status, result.attempts.len()), (Status::Sent, 1));
        }
    }
    let ses = bed.stats(Provider::Ses);
    assert_eq!(bed.state(Provider::Ses), BreakerStateWord::HalfOpen);
    assert_eq!(ses.peak_in_flight, 1, "half-open lets one through at a time");
    assert!(
        bed.stats(Provider::SendGrid).peak_in_flight > 1,
        "the sends did overlap: those that were passed on"
    );
    assert!(ses.accepted > before, "probes were messages");
    assert_eq!(
        ses.accepted - before + bed.stats(Provider::SendGrid).accepted,
        5 + 4 * 64,
        "each message once"
    );
}

#[tokio::test]
async fn an_open_breaker_survives_a_restart_with_its_reason() {
    let files = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", files.path().join("ums.db").display());
    let (simulator, clock) = (simulator().await, Arc::new(TestClock::new()));
    let setup = || Setup {
        store_url: Some(url.clone()),
        ..Setup::default()
    };

    let bed = setup().start_at(simulator.clone(), clock.clone()).await;
    simulator.set_fault(Provider::Ses, Mode::Unauthorized).await.unwrap();
    assert_eq!(bed.send(email("first@example.com")).await.provider(), Some(ProviderKind::SendGrid));
    let before = bed.health(Provider::Ses);
    bed.service.shutdown().await;
    drop(bed);

    simulator.heal(Provider::Ses).await.unwrap();
    let asked = simulator.stats(Provider::Ses).requests;
    let bed = setup().start_at(simulator.clone(), clock.clone()).await;
    let after = bed.health(Provider::Ses);
    assert_eq!(
        (after.circuit_breaker, after.status),
        (BreakerStateWord::Open, HealthStatus::Misconfigured)
    );
    assert!(after.reason.as_deref().unwrap().contains("UnrecognizedClientException"));
    assert_eq!((after.reason, after.reopens_at), (before.reason, before.reopens_at));

    let result = bed.send(email("second@example.com")).await;
    assert_eq!((result.provider(), result.attempts.len()), (Some(ProviderKind::SendGrid), 1));
    let record = bed.service.get_record(result.message_id).await.unwrap().unwrap();
    let skips: Vec<_> = record.skips.iter().map(|skip| (skip.provider, skip.reason.as_str())).collect();
    assert_eq!(skips, [(ProviderKind::AwsSes, "misconfigured")]);
    assert_eq!(simulator.stats(Provider::Ses).requests, asked, "not even asked");

    clock.advance(Duration::from_mins(1));
    sends_until_used(&bed, Provider::Ses).await;
    bed.service.shutdown().await;
}

#[tokio::test]
async fn a_breaker_that_opens_during_the_shutdown_is_kept() {
    let files = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", files.path().join("ums.db").display());
    let (simulator, clock) = (simulator().await, Arc::new(TestClock::new()));
    let setup = || {
        let setup = Setup {
            store_url: Some(url.clone()),
            ..Setup::default()
        };
        setup.file("[breaker]\nfailures = 1\n")
    };

    let bed = setup().start_at(simulator.clone(), clock.clone()).await;
    simulator.set_fault(Provider::Ses, Mode::Hang).await.unwrap();
    let ticket = bed
        .service
        .engine()
        .submit(email("customer@example.com").parse().unwrap().into())
        .await
        .unwrap();
    bed.service.shutdown().await;
    let result = ticket.result(Duration::ZERO).await;
    assert_eq!(
        bed.events.states_of(Provider::Ses),
        [BreakerStateWord::Open],
        "it opened while the service shut down: {result:?}"
    );
    drop(bed);

    let bed = setup().start_at(simulator, clock).await;
    assert_eq!(bed.state(Provider::Ses), BreakerStateWord::Open);
    bed.service.shutdown().await;
}

#[tokio::test]
async fn ten_mistyped_recipients_reach_no_provider() {
    let bed = Setup::default().start().await;
    let addresses = [
        "customer",
        "@example.com",
        "customer@",
        "customer@@example.com",
        "customer@exa mple.com",
        "customer@example..com",
        "a b@example.com",
        "customer@-example.com",
        "customer@example.com, other@example.com",
        "customer@.example.com",
    ];
    for address in addresses {
        let refused = bed.service.send_email(email(address)).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{address}: {refused:?}");
    }
    let numbers = [
        "",
        "12345",
        "+1",
        "+14165550",
        "+1416555010000000",
        "phone",
        "+0123456789",
        "416-555",
        "+14165550123x",
        "+999123456789",
    ];
    for number in numbers {
        let refused = bed.service.send_sms(SendSms::new(number, "Hello")).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{number}: {refused:?}");
    }
    for provider in Provider::ALL {
        let stats = bed.stats(provider);
        assert_eq!((stats.requests, stats.connections), (0, 0), "{provider}");
        let health = bed.health(provider);
        assert_eq!(
            (health.circuit_breaker, health.failure_count),
            (BreakerStateWord::Closed, 0),
            "{provider}"
        );
    }
    let kept = bed.service.list_messages(&MessageFilter::default(), None, 10).await.unwrap();
    assert!(kept.messages.is_empty(), "what was refused at the door is not kept");
}

#[tokio::test]
async fn ten_recipients_that_a_provider_rejects_leave_its_breaker_closed() {
    for provider in Provider::ALL {
        let bed = Setup::default().start().await;
        bed.simulator.set_fault(provider, Mode::Reject).await.unwrap();
        for number in 0..10 {
            let result = bed.send_to(provider, number, |handling| handling.via = Some(kind(provider))).await;
            assert_eq!((result.status, result.attempts.len()), (Status::Failed, 1), "{provider}");
        }
        let health = bed.health(provider);
        assert_eq!(
            (health.circuit_breaker, health.failure_count),
            (BreakerStateWord::Closed, 0),
            "{provider}"
        );
        assert!(health.is_healthy);
        let others = Provider::ALL.into_iter().filter(|other| *other != provider);
        assert_eq!(
            others.map(|other| bed.stats(other).requests).sum::<u64>(),
            0,
            "{provider}: nobody else is asked"
        );

        bed.simulator.heal(provider).await.unwrap();
        let result = bed.send_to(provider, 10, |handling| handling.via = Some(kind(provider))).await;
        assert_eq!(result.provider(), Some(kind(provider)), "{provider} takes the next one at once");
    }
}

#[tokio::test]
async fn a_revoked_key_opens_at_the_first_message_which_goes_out_by_the_next_provider() {
    for chain in [
        [Provider::Ses, Provider::SendGrid],
        [Provider::SendGrid, Provider::Smtp],
        [Provider::Smtp, Provider::Ses],
        [Provider::Sns, Provider::Twilio],
        [Provider::Twilio, Provider::Sns],
    ] {
        let [revoked, next] = chain;
        let bed = Setup::chain(&chain).start().await;
        bed.simulator.set_fault(revoked, Mode::Unauthorized).await.unwrap();
        let result = bed.send_to(revoked, 1, |_| {}).await;
        let attempts: Vec<_> = result
            .attempts
            .iter()
            .map(|attempt| (attempt.provider, attempt.outcome, attempt.class))
            .collect();
        let refused = (kind(revoked), OutcomeWord::Failed, Some(FailureClass::Misconfigured));
        assert_eq!(attempts, [refused, (kind(next), OutcomeWord::Accepted, None)]);
        let health = bed.health(revoked);
        assert_eq!(
            (health.circuit_breaker, health.is_healthy),
            (BreakerStateWord::Open, false),
            "{revoked}"
        );

        let asked = bed.stats(revoked).connections;
        let result = bed.send_to(revoked, 2, |_| {}).await;
        assert_eq!((result.provider(), result.attempts.len()), (Some(kind(next)), 1), "{revoked}");
        assert_eq!(bed.stats(revoked).connections, asked, "{revoked} is left alone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_while_all_were_down_goes_out_once_after_they_healed() {
    const MESSAGES: usize = 20;
    let files = tempfile::tempdir().unwrap();
    let bed = Setup {
        store_url: Some(format!("sqlite://{}", files.path().join("ums.db").display())),
        // The engine's own worker waits in this test.
        clock: Some(Arc::new(SystemClock::new())),
        ..Setup::default()
    }
    .file("[retry]\nschedule = [\"1s\"]\n[breaker]\nopen = \"1s\"\n")
    .start()
    .await;
    for (provider, mode) in EMAIL.into_iter().zip([Mode::Refuse, Mode::Error, Mode::Hang]) {
        bed.simulator.set_fault(provider, mode).await.unwrap();
    }
    for number in 0..MESSAGES {
        let held = bed
            .send_to(Provider::Ses, number, |handling| handling.on_exhausted = Some(OnExhausted::Hold))
            .await;
        assert_eq!(held.status, Status::Queued);
        assert!(held.error_message.unwrap().contains("aws_ses"), "it names who did not take it");
    }
    assert_eq!(bed.simulator.messages().len(), 0);
    for provider in EMAIL {
        bed.simulator.heal(provider).await.unwrap();
    }
    bed.events
        .until("all held messages are sent", || bed.events.settled_as(Status::Sent) == MESSAGES)
        .await;

    let sent = bed
        .service
        .list_messages(&MessageFilter::default(), None, 100)
        .await
        .unwrap()
        .messages;
    assert!(
        sent.iter()
            .all(|record| record.status == Status::Sent && !record.has_unknown_attempt())
    );
    let received: Vec<_> = bed.simulator.messages().into_iter().flat_map(|message| message.to).collect();
    assert_eq!(received.len(), MESSAGES, "each went out once");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>().len(), MESSAGES, "to each recipient");
    bed.service.shutdown().await;
}
