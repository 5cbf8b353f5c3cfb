//! Provider accounts without traffic: asked in the background while their breakers are open, taken out and brought back by operators, at
//! the limit of their day, and after a restart.

use std::time::Duration;

use ums_core::{
    AccountId, BreakerStateWord, Failure, FailureClass, HealthStatus, OnExhausted, Probe, ProviderHealth, ProviderKind, SendResult, Status,
};
use ums_delivery::{SwitchError, SwitchOff, Tried};
use ums_testkit::Reply;

use crate::setup::{Bench, Setup, email, start};

const SES: ProviderKind = ProviderKind::AwsSes;
const SENDGRID: ProviderKind = ProviderKind::SendGrid;

fn ses(bench: &Bench) -> ProviderHealth {
    bench.engine.health().email_providers.remove(0)
}

/// Moves the time on second by second.
async fn wait(bench: &Bench, time: Duration) {
    for _ in 0..time.as_secs() {
        bench.pass(Duration::from_secs(1)).await;
    }
}

async fn open_with(bench: &Bench, class: FailureClass) {
    bench.ses.answer(Reply::FailAs(class));
    for _ in 0..5 {
        bench.send(email()).await;
    }
    bench.ses.answer(Reply::Accept);
    assert_eq!(ses(bench).circuit_breaker, BreakerStateWord::Open);
}

/// The same store after a restart of the process.
async fn restarted(bench: &Bench) -> Bench {
    bench.engine.shutdown(Duration::from_secs(1)).await;
    let setup = Setup {
        seed: 1,
        over: Some((bench.memory.clone(), bench.clock.clone())),
        ..Setup::holding()
    };
    setup.start().await
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_mended_without_traffic_gets_the_next_message() {
    for class in [FailureClass::Unavailable, FailureClass::Misconfigured, FailureClass::QuotaExhausted] {
        let bench = start().await;
        bench.ses.can_be_asked(true);
        bench.ses.answer_probe(Probe::Healthy);
        open_with(&bench, class).await;
        let calls = bench.ses.calls();
        wait(&bench, Duration::from_mins(61)).await;
        assert_eq!((bench.ses.probes(), bench.ses.calls()), (1, calls), "asked once, {class}");
        let sent = bench.send(email()).await;
        assert_eq!((sent.provider(), sent.attempts.len()), (Some(SES), 1), "{class}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_says_nothing_leaves_the_rest_to_one_message() {
    let bench = start().await;
    bench.ses.can_be_asked(true);
    open_with(&bench, FailureClass::Misconfigured).await;
    wait(&bench, Duration::from_mins(30)).await;
    assert_eq!(bench.ses.probes(), 1);
    bench.ses.answer(Reply::FailAs(FailureClass::Misconfigured));
    let sent = bench.send(email()).await;
    assert_eq!((sent.attempts.len(), sent.provider()), (2, Some(SENDGRID)));
    assert_eq!(bench.send(email()).await.attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn bad_answers_are_asked_for_ever_more_seldom() {
    // Seven waits of 60 s doubling to 900 s make an hour; jitter takes off a fifth at most. Rests double from 30 s in the same way.
    let rows = [
        (FailureClass::Misconfigured, 6..=9),
        (FailureClass::Throttled, 7..=10),
        (FailureClass::Unavailable, 12..=18),
    ];
    for (answer, questions) in rows {
        let bench = start().await;
        bench.ses.can_be_asked(true);
        bench.ses.answer_probe(Probe::Failed(Failure::provider(answer, "no", "")));
        let first = if answer == FailureClass::Misconfigured {
            FailureClass::Misconfigured
        } else {
            FailureClass::Unavailable
        };
        open_with(&bench, first).await;
        wait(&bench, Duration::from_hours(1)).await;
        assert!(
            questions.contains(&bench.ses.probes()),
            "{answer}: {} in an hour",
            bench.ses.probes()
        );
        bench.ses.answer_probe(Probe::Healthy);
        wait(&bench, Duration::from_mins(16)).await;
        assert_eq!(bench.send(email()).await.provider(), Some(SES), "{answer}");
    }
}

async fn disable(bench: &Bench, provider: ProviderKind, until: Option<Duration>) {
    let off = SwitchOff {
        reason: "moving to another region".to_owned(),
        by: "ann".to_owned(),
        until: until.map(|time| ums_core::Clock::now(&*bench.clock) + time),
    };
    bench.engine.disable_provider(provider, &AccountId::default(), off).await.unwrap();
}

async fn enable(bench: &Bench, provider: ProviderKind) -> bool {
    bench.engine.enable_provider(provider, &AccountId::default(), "ann").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_disabled_provider_is_passed_over_shown_and_comes_back() {
    let bench = start().await;
    bench.ses.can_be_asked(true);
    disable(&bench, SES, None).await;
    let sent = bench.send(email()).await;
    assert_eq!((sent.provider(), sent.attempts.len()), (Some(SENDGRID), 1));
    let skip = bench.record(sent.message_id).await.skips.remove(0);
    assert_eq!(
        (skip.reason.as_str(), skip.detail.as_str()),
        ("disabled", "disabled by ann: moving to another region")
    );
    let row = ses(&bench);
    assert_eq!(
        (row.status, row.is_healthy, row.circuit_breaker),
        (HealthStatus::Down, false, BreakerStateWord::Closed)
    );
    assert_eq!(row.disabled.map(|off| (off.by, off.until)), Some(("ann".to_owned(), None)));
    wait(&bench, Duration::from_hours(1)).await;
    assert_eq!((bench.ses.calls(), bench.ses.probes()), (0, 0), "neither called nor asked");
    assert!(enable(&bench, SES).await);
    assert!(!enable(&bench, SES).await, "nothing to be done the second time");
    assert_eq!(bench.send(email()).await.provider(), Some(SES));
    assert_eq!(ses(&bench).disabled, None);
}

#[tokio::test(start_paused = true)]
async fn a_switch_outlives_the_process_and_ends_with_its_time() {
    let bench = start().await;
    disable(&bench, SES, Some(Duration::from_hours(2))).await;
    let after = restarted(&bench).await;
    assert_eq!(after.send(email()).await.provider(), Some(SENDGRID));
    wait(&after, Duration::from_mins(119)).await;
    assert_eq!(after.send(email()).await.provider(), Some(SENDGRID));
    wait(&after, Duration::from_mins(1)).await;
    assert_eq!(ses(&after).disabled, None);
    assert_eq!(after.send(email()).await.provider(), Some(SES));
}

fn error(result: &SendResult) -> &str {
    result.error_message.as_deref().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn with_all_providers_disabled_a_message_is_held_and_says_so() {
    let bench = Setup::holding().start().await;
    for provider in [SES, SENDGRID, ProviderKind::Smtp] {
        disable(&bench, provider, None).await;
    }
    let held = bench.send(email()).await;
    assert_eq!(held.status, Status::Queued);
    for provider in ["aws_ses", "sendgrid", "smtp"] {
        let words = format!("{provider}: not tried, disabled (disabled by ann: moving to another region)");
        assert!(error(&held).contains(&words), "{}", error(&held));
    }
    wait(&bench, Duration::from_mins(10)).await;
    assert_eq!(bench.record(held.message_id).await.skips.len(), 3, "no news is not written again");
    enable(&bench, SENDGRID).await;
    wait(&bench, Duration::from_secs(31)).await;
    let sent = bench.look_up(held.message_id).await;
    assert_eq!((sent.status, sent.provider()), (Status::Sent, Some(SENDGRID)));
}

#[tokio::test(start_paused = true)]
async fn a_message_by_a_disabled_provider_only_says_why_it_is_not_sent() {
    for (on_exhausted, status) in [(OnExhausted::Hold, Status::Queued), (OnExhausted::Fail, Status::Failed)] {
        let bench = start().await;
        disable(&bench, SES, None).await;
        let mut request = email();
        request.handling.via = Some(SES);
        request.handling.on_exhausted = Some(on_exhausted);
        let result = bench.send(request).await;
        assert_eq!(result.status, status);
        assert_eq!(
            error(&result),
            "no provider took it: aws_ses: not tried, disabled (disabled by ann: moving to another region)"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_disabled_provider_is_no_last_resort() {
    let bench = Setup::holding().start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    for _ in 0..8 {
        bench.send(email()).await;
        bench.pass(Duration::from_millis(10)).await;
    }
    disable(&bench, SES, None).await;
    let calls = bench.ses.calls();
    for _ in 0..20 {
        bench.pass(Duration::from_secs(1)).await;
        bench.send(email()).await;
    }
    assert_eq!(bench.ses.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn an_operator_has_a_provider_tried() {
    let probe = async |bench: &Bench| bench.engine.probe_provider(SES, &AccountId::default()).await.unwrap();
    // A good answer, one that says nothing, and none at all: the next message goes to the provider.
    for (askable, answer, tried) in [
        (true, Probe::Healthy, Tried::Healthy),
        (true, Probe::NoAnswer, Tried::NoAnswer),
        (false, Probe::Healthy, Tried::NoAnswer),
    ] {
        let bench = start().await;
        open_with(&bench, FailureClass::Misconfigured).await;
        bench.ses.can_be_asked(askable);
        bench.ses.answer_probe(answer);
        assert_eq!(probe(&bench).await, tried);
        assert_eq!(ses(&bench).circuit_breaker, BreakerStateWord::HalfOpen);
        let sent = bench.send(email()).await;
        assert_eq!((sent.provider(), sent.attempts.len()), (Some(SES), 1));
        assert_eq!(bench.send(email()).await.provider(), Some(SES));
        assert_eq!(ses(&bench).circuit_breaker, BreakerStateWord::Closed);
    }
    // A bad answer lengthens no wait, however often it is asked for.
    let bench = start().await;
    open_with(&bench, FailureClass::Misconfigured).await;
    let before = ses(&bench).reopens_at;
    bench.ses.can_be_asked(true);
    let failure = Failure::provider(FailureClass::Misconfigured, "401", "");
    bench.ses.answer_probe(Probe::Failed(failure.clone()));
    for _ in 0..5 {
        assert_eq!(probe(&bench).await, Tried::Failed(failure.clone()));
    }
    assert_eq!(
        (ses(&bench).circuit_breaker, ses(&bench).reopens_at),
        (BreakerStateWord::Open, before)
    );
    // What it learns of a provider that serves is learned.
    let bench = start().await;
    bench.ses.can_be_asked(true);
    bench.ses.answer_probe(Probe::Failed(failure));
    probe(&bench).await;
    assert_eq!(ses(&bench).status, HealthStatus::Misconfigured);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_says_is_checked() {
    let bench = start().await;
    let account = AccountId::default();
    let off = |reason: &str, by: &str, until: Option<i64>| SwitchOff {
        reason: reason.to_owned(),
        by: by.to_owned(),
        until: until.map(|seconds| ums_core::Timestamp::from_micros(ums_core::Clock::now(&*bench.clock).as_micros() + seconds * 1_000_000)),
    };
    let long = "x".repeat(501);
    for (off, field) in [
        (off(" ", "ann", None), "reason"),
        (off(&long, "ann", None), "reason"),
        (off("two\nlines", "ann", None), "reason"),
        (off("why", "", None), "by"),
        (off("why", "ann", Some(0)), "until"),
    ] {
        let refused = bench.engine.disable_provider(SES, &account, off).await;
        assert!(
            matches!(&refused, Err(SwitchError::Invalid(named, _)) if *named == field),
            "{refused:?}"
        );
    }
    for (provider, account) in [(ProviderKind::Console, account), (SES, AccountId::new("eu"))] {
        let refused = bench.engine.disable_provider(provider, &account, off("why", "ann", None)).await;
        assert!(matches!(refused, Err(SwitchError::NotConfigured(_))), "{refused:?}");
    }
    assert_eq!(bench.send(email()).await.provider(), Some(SES));
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_of_its_day_a_provider_is_exhausted_until_it_has_room() {
    let bench = Setup::paced(0, 3).start().await;
    for _ in 0..3 {
        assert!(ses(&bench).is_healthy);
        bench.send(email()).await;
    }
    let row = ses(&bench);
    assert_eq!((row.status, row.is_healthy), (HealthStatus::Exhausted, false));
    let room_at = row.reopens_at.unwrap();
    assert!(row.reason.unwrap().contains(&room_at.to_string()));
    assert_eq!(bench.send(email()).await.provider(), Some(SENDGRID));
    let left = room_at.since(ums_core::Clock::now(&*bench.clock));
    assert!(left <= Duration::from_mins(24 * 60 + 30), "{left:?}");
    bench.pass(left).await;
    assert_eq!(ses(&bench).status, HealthStatus::Healthy);
    assert_eq!(bench.send(email()).await.provider(), Some(SES));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_last_success_and_failure_are_known() {
    let bench = start().await;
    bench.ses.answer_once(Reply::FailAs(FailureClass::Misconfigured));
    bench.send(email()).await;
    wait(&bench, Duration::from_mins(2)).await;
    bench.send(email()).await;
    let (before, sendgrid) = (ses(&bench), bench.engine.health().email_providers.remove(1));
    assert!(before.last_success_at.is_some() && sendgrid.last_success_at.is_some());
    let after = restarted(&bench).await;
    assert_eq!(ses(&after).last_success_at, before.last_success_at);
    assert_eq!(ses(&after).last_failure, before.last_failure);
    let row = after.engine.health().email_providers.remove(1);
    assert_eq!((row.last_success_at, row.status), (sendgrid.last_success_at, HealthStatus::Healthy));
    assert_eq!(after.engine.health().email_providers.remove(2).status, HealthStatus::Unknown);
}
