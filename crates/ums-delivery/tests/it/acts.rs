//! Acts of callers and operators: cancel, send again, mark, replay.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ums_core::{
    ActKind, AttemptOutcome, FailureClass, MessageFilter, MessageId, OnExhausted, ProviderKind, Purpose, Status, TenantId, Timestamp,
};
use ums_delivery::{ActError, Mark, ReplayRequest, ReplaySlice};
use ums_testkit::Reply;

use crate::setup::{Bench, Broken, Failing, Setup, email, start};

fn tenant() -> TenantId {
    TenantId::default()
}

async fn scheduled(bench: &Bench) -> MessageId {
    let mut request = email();
    request.handling.send_at = Timestamp::parse_rfc3339("2026-11-22T11:00:00Z");
    bench.submit(request).await.unwrap()
}

/// A message that ended `unknown`: two providers may have accepted it.
async fn unknown(bench: &Bench) -> MessageId {
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unknown));
    }
    let ended = bench.send(email()).await;
    assert_eq!(ended.status, Status::Unknown);
    ended.message_id
}

/// A message that every provider refused.
async fn failed(bench: &Bench, request: ums_core::SendEmail) -> MessageId {
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let mut request = request;
    request.handling.on_exhausted = Some(OnExhausted::Fail);
    let ended = bench.send(request).await;
    assert_eq!(ended.status, Status::Failed);
    ended.message_id
}

fn all_accept(bench: &Bench) {
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_message_is_cancelled_and_never_sent() {
    let bench = start().await;
    let id = scheduled(&bench).await;
    let record = bench.engine.cancel(&tenant(), id).await.unwrap();
    assert_eq!((record.status, record.acts[0].kind), (Status::Cancelled, ActKind::Cancelled));
    assert!(record.recipients.iter().all(|recipient| recipient.status == Status::Cancelled));
    bench.pass(Duration::from_hours(2)).await;
    assert_eq!(bench.ses.calls(), 0);
    let again = bench.engine.cancel(&tenant(), id).await;
    assert!(matches!(
        again,
        Err(ActError::NotPossible {
            status: Status::Cancelled,
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn what_is_being_sent_cannot_be_cancelled() {
    let bench = start().await;
    bench.ses.hold();
    let id = bench.submit(email()).await.unwrap();
    bench.idle().await;
    let told = bench.engine.cancel(&tenant(), id).await;
    assert!(matches!(told, Err(ActError::NotPossible { .. })), "{told:?}");
    let nobody = "01993c00-0000-7000-8000-000000000001".parse().unwrap();
    assert!(matches!(bench.engine.cancel(&tenant(), nobody).await, Err(ActError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn cancelled_after_an_unknown_attempt_it_is_unknown() {
    let bench = Setup::holding().start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unknown));
    let waiting = bench.send(email().purpose(Purpose::Bulk)).await;
    let record = bench.engine.cancel(&tenant(), waiting.message_id).await.unwrap();
    assert_eq!(record.status, Status::Unknown);
    assert!(record.error.unwrap().contains("may have taken it"));
}

#[tokio::test(start_paused = true)]
async fn an_act_is_decided_anew_when_somebody_was_faster() {
    let hand = Failing::default();
    let bench = Setup::durable(&hand).start().await;
    let id = scheduled(&bench).await;
    hand.fail(ums_testkit::Moment::Before(ums_testkit::Operation::Record), 2, Broken::Fenced);
    assert_eq!(bench.engine.cancel(&tenant(), id).await.unwrap().status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn an_operator_sends_an_unknown_message_again_although_the_rules_would_not() {
    let bench = Setup::holding().start().await;
    let id = unknown(&bench).await;
    all_accept(&bench);
    let queued = bench.engine.resend(&tenant(), id).await.unwrap();
    assert_eq!((queued.status, queued.attempts.len()), (Status::Queued, 2));
    bench.pass(Duration::from_secs(1)).await;
    let record = bench.record(id).await;
    assert_eq!((record.status, record.attempts.len()), (Status::Sent, 3));
    assert_eq!(record.acts[0].kind, ActKind::Resent);
    assert!(record.result().possibly_duplicate);
}

#[tokio::test(start_paused = true)]
async fn after_a_resend_two_unknown_attempts_are_the_most_again() {
    let bench = Setup::holding().start().await;
    let id = unknown(&bench).await;
    bench.engine.resend(&tenant(), id).await.unwrap();
    bench.pass(Duration::from_secs(1)).await;
    let record = bench.record(id).await;
    assert_eq!((record.status, record.attempts.len()), (Status::Unknown, 4));
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!(bench.record(id).await.attempts.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_resent_message_has_the_time_of_its_purpose_anew() {
    let bench = Setup::holding().start().await;
    let mut request = email();
    request.handling.expires_in_seconds = Some(60);
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let held = bench.send(request).await;
    for _ in 0..3 {
        bench.pass(Duration::from_secs(31)).await;
    }
    assert_eq!(bench.look_up(held.message_id).await.status, Status::Expired);
    all_accept(&bench);
    let record = bench.engine.resend(&tenant(), held.message_id).await.unwrap();
    assert!(record.message.expires_at > record.message.accepted_at + Duration::from_hours(71));
    bench.pass(Duration::from_mins(6)).await;
    assert_eq!(bench.look_up(held.message_id).await.status, Status::Sent);
    let told = bench.engine.resend(&tenant(), held.message_id).await;
    assert!(matches!(told, Err(ActError::NotPossible { status: Status::Sent, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_code_whose_body_is_gone_is_not_sent_again() {
    let bench = start().await;
    let id = failed(&bench, email().purpose(Purpose::Otp)).await;
    let told = bench.engine.resend(&tenant(), id).await;
    assert!(matches!(told, Err(ActError::NotPossible { why, .. }) if why.contains("body")));
}

#[tokio::test(start_paused = true)]
async fn an_operator_says_what_became_of_an_unknown_message() {
    let marks = [
        (Mark::Sent, Status::Sent, AttemptOutcome::Accepted),
        (Mark::Delivered, Status::Delivered, AttemptOutcome::Accepted),
        (Mark::Failed, Status::Failed, AttemptOutcome::Failed),
    ];
    for (mark, status, outcome) in marks {
        let bench = Setup::holding().start().await;
        let id = unknown(&bench).await;
        let record = bench.engine.mark(&tenant(), id, mark).await.unwrap();
        assert_eq!(record.status, status);
        assert!(record.attempts.iter().all(|attempt| attempt.outcome == outcome), "{record:?}");
        assert_eq!(record.sent_at.is_some(), mark != Mark::Failed);
        assert_eq!(record.acts[0].kind, ActKind::Marked);
        assert!(
            record
                .attempts
                .iter()
                .all(|attempt| attempt.unknown_until == Some(record.acts[0].at))
        );
        let cost = (mark != Mark::Failed).then_some("0.000320");
        assert_eq!(record.result().cost.as_deref(), cost, "both providers took it, or none did");
        assert_eq!(
            bench.observer.cost.load(Ordering::SeqCst),
            if mark == Mark::Failed { 0 } else { 320 }
        );
        assert!(matches!(
            bench.engine.mark(&tenant(), id, mark).await,
            Err(ActError::NotPossible { .. })
        ));
    }
}

fn replay(dry_run: bool) -> ReplayRequest {
    ReplayRequest {
        filter: MessageFilter::default(),
        cursor: None,
        limit: 100,
        dry_run,
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_previews_and_then_sends_what_failed() {
    let bench = start().await;
    let first = failed(&bench, email()).await;
    let same = failed(&bench, email()).await;
    let other = failed(
        &bench,
        ums_core::SendEmail::new("other@example.com", "Your receipt").text("Thank you"),
    )
    .await;
    let code = failed(&bench, email().purpose(Purpose::Otp)).await;
    let mut short = ums_core::SendEmail::new("short@example.com", "Your receipt").text("Thank you");
    short.handling.expires_in_seconds = Some(60);
    let expired = failed(&bench, short).await;
    all_accept(&bench);
    bench.pass(Duration::from_mins(6)).await;

    let expected = ReplaySlice {
        examined: 5,
        replayed: 2,
        expired: 1,
        duplicates: 1,
        without_body: 1,
        cost_micros: 320,
        reached: Some(bench.record(expired).await.message.accepted_at),
        ..ReplaySlice::default()
    };
    assert_eq!(bench.engine.replay(&tenant(), &replay(true)).await.unwrap(), expected);
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.look_up(same).await.status, Status::Failed, "a preview changes nothing");

    assert_eq!(bench.engine.replay(&tenant(), &replay(false)).await.unwrap(), expected);
    bench.pass(Duration::from_secs(1)).await;
    for (id, status) in [
        (first, Status::Failed),
        (same, Status::Sent),
        (other, Status::Sent),
        (code, Status::Failed),
        (expired, Status::Failed),
    ] {
        assert_eq!(bench.look_up(id).await.status, status);
    }
    assert_eq!(bench.record(other).await.acts[0].kind, ActKind::Replayed);
    let again = bench.engine.replay(&tenant(), &replay(false)).await.unwrap();
    assert_eq!(
        (again.replayed, again.duplicates),
        (0, 1),
        "the earlier twin is left: the later one went out"
    );
}

#[tokio::test(start_paused = true)]
async fn large_mails_of_one_envelope_are_twins_only_if_they_say_the_same() {
    let bench = start().await;
    let saying = |letter: &str| email().html(letter.repeat(20_000));
    for letter in ["a", "b", "b"] {
        failed(&bench, saying(letter)).await;
    }
    all_accept(&bench);
    bench.pass(Duration::from_mins(6)).await;
    let slice = bench.engine.replay(&tenant(), &replay(false)).await.unwrap();
    assert_eq!((slice.replayed, slice.duplicates), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_where_its_slice_ended_and_heeds_the_filter() {
    let bench = start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let request = ums_core::SendEmail::new(format!("c{n}@example.com"), "Your receipt").text("Thank you");
        ids.push(failed(&bench, request).await);
        bench.pass(Duration::from_secs(1)).await;
    }
    let mut request = replay(true);
    request.limit = 2;
    let (mut slices, mut replayed) = (0, 0);
    loop {
        let slice = bench.engine.replay(&tenant(), &request).await.unwrap();
        (slices, replayed) = (slices + 1, replayed + slice.replayed);
        request.cursor = slice.next_cursor;
        if request.cursor.is_none() {
            break;
        }
    }
    assert_eq!((slices, replayed), (3, 5));
    let mut by_provider = replay(true);
    by_provider.filter.provider = Some(ProviderKind::Twilio);
    assert_eq!(bench.engine.replay(&tenant(), &by_provider).await.unwrap().examined, 0);
}
