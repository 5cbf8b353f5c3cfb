//! More messages than permits, or than the backlog may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ums_core::{FailureClass, Purpose, Status, Timestamp};
use ums_delivery::{Rules, Submission, SubmitError};
use ums_testkit::{Moment, Operation, Reply};

use crate::setup::{Setup, email, start};

#[tokio::test(start_paused = true)]
async fn a_full_backlog_refuses_and_takes_again_when_it_has_gone_down() {
    let mut setup = Setup::holding();
    setup.rules.max_backlog = 2;
    let bench = setup.start().await;
    let scheduled = || {
        let mut request = email();
        request.handling.send_at = Timestamp::parse_rfc3339("2026-11-22T10:01:00Z");
        request
    };
    for _ in 0..2 {
        bench.submit(scheduled()).await.unwrap();
    }
    assert!(matches!(bench.submit(scheduled()).await, Err(SubmitError::Full)));
    let batch = vec![scheduled().parse().unwrap().into()];
    assert!(matches!(bench.engine.submit_all(batch).await, Err(SubmitError::Full)));
    bench.pass(Duration::from_secs(61)).await;
    bench.pass(Duration::from_secs(6)).await;
    assert_eq!(bench.ses.calls(), 2);
    bench.submit(scheduled()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bulk_that_fills_its_places_leaves_room_for_codes() {
    let rules = Rules {
        max_in_flight: 16,
        ..Rules::default()
    };
    let bench = Setup { rules, ..Setup::default() }.start().await;
    bench.ses.hold();
    let mut refused = 0;
    for _ in 0..16 {
        let told = bench.submit(email().purpose(Purpose::Bulk)).await;
        refused += usize::from(matches!(told, Err(SubmitError::Busy)));
    }
    assert!(refused > 0, "bulk may not take all");
    let code = bench
        .engine
        .submit(email().purpose(Purpose::Otp).parse().unwrap().into())
        .await
        .unwrap();
    bench.idle().await;
    bench.ses.release(16);
    assert_eq!(code.result(Duration::from_secs(5)).await.unwrap().status, Status::Sent);
}

/// That many messages, all due in a minute.
fn due_in_a_minute(purpose: Purpose, count: usize) -> Vec<Submission> {
    let mut request = email().purpose(purpose);
    request.handling.send_at = Timestamp::parse_rfc3339("2026-11-22T10:01:00Z");
    (0..count).map(|_| request.clone().parse().unwrap().into()).collect()
}

#[tokio::test(start_paused = true)]
async fn codes_go_first_and_the_queue_is_taken_up_a_little_more_with_each_success() {
    let bench = Setup::holding().start().await;
    bench.engine.submit_all(due_in_a_minute(Purpose::Bulk, 200)).await.unwrap();
    bench.engine.submit_all(due_in_a_minute(Purpose::Otp, 3)).await.unwrap();
    bench.ses.hold();
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.ses.running(), 3 + 32, "the lane's first window");
    let first: Vec<Purpose> = bench.ses.seen().iter().take(3).map(|(_, call)| call.purpose).collect();
    assert_eq!(first, [Purpose::Otp; 3]);
    bench.ses.release(35);
    bench.pass(Duration::from_millis(100)).await;
    assert_eq!(bench.ses.running(), 64, "twice as many after a good round");
    bench.ses.release(200);
    for _ in 0..20 {
        bench.pass(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.ses.calls(), 203);
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_messages_are_held_is_taken_up_by_few_at_a_time() {
    let mut setup = Setup::holding();
    setup.rules.retry_budget.floor_per_minute = 1_000_000;
    let bench = setup.start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Throttled));
    }
    bench.engine.submit_all(due_in_a_minute(Purpose::Transactional, 200)).await.unwrap();
    bench.pass(Duration::from_mins(1)).await;
    let calls = bench.ses.calls();
    assert!(calls <= 32, "no more than the first window: {calls}");
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
        provider.hold();
    }
    bench.pass(Duration::from_secs(1)).await;
    let running: usize = bench.providers().iter().map(|provider| provider.running()).sum();
    assert!(running <= 4, "it begins again with few: {running}");
}

#[tokio::test(start_paused = true)]
async fn what_expired_while_nobody_could_send_is_ended_without_being_sent() {
    let bench = Setup::holding().start().await;
    let mut batch = due_in_a_minute(Purpose::Transactional, 20);
    for submission in &mut batch {
        submission.parsed.handling.expires_in = Some(Duration::from_secs(1));
    }
    let accepted = bench.engine.submit_all(batch).await.unwrap();
    bench.pass(Duration::from_mins(2)).await;
    for item in accepted {
        assert_eq!(bench.look_up(item.message_id).await.status, Status::Expired);
    }
    assert_eq!(bench.ses.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn old_bodies_are_removed_and_old_messages_forgotten() {
    let bench = start().await;
    let sent = bench.send(email()).await;
    bench.pass(Duration::from_hours(31 * 24)).await;
    bench.pass(Duration::from_mins(11)).await;
    assert!(!bench.record(sent.message_id).await.message.content.has_body());
    bench.pass(Duration::from_hours(370 * 24)).await;
    bench.pass(Duration::from_mins(11)).await;
    let gone = bench.engine.message(&ums_core::TenantId::default(), sent.message_id).await.unwrap();
    assert!(gone.is_none());
}

#[tokio::test(start_paused = true)]
async fn shutting_down_puts_back_what_is_not_in_a_call() {
    let bench = start().await;
    bench.ses.hold();
    let in_call = bench.submit(email()).await.unwrap();
    bench.idle().await;
    let waiting = bench.submit(email()).await.unwrap();
    bench.engine.shutdown(Duration::ZERO).await;
    assert_eq!(
        bench.record(in_call).await.status,
        Status::Sending,
        "nobody knows what becomes of it"
    );
    let record = bench.record(waiting).await;
    assert_eq!(record.status, Status::Queued);
    assert_eq!(record.attempts[0].code.as_deref(), Some("closing"));
}

#[tokio::test(start_paused = true)]
async fn messages_for_later_do_not_wake_the_worker() {
    let claims = Arc::new(AtomicUsize::new(0));
    let counted = claims.clone();
    let mut setup = Setup::holding();
    setup.durable = true;
    setup.hand = Some(Arc::new(move |moment| {
        if moment == Moment::Before(Operation::Claim) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Box::pin(async { Ok(()) })
    }));
    let bench = setup.start().await;
    bench.idle().await;
    let before = claims.load(Ordering::Relaxed);
    let mut later = email();
    later.handling.send_at = Timestamp::parse_rfc3339("2026-11-22T10:01:00Z");
    for _ in 0..20 {
        bench.submit(later.clone()).await.unwrap();
        bench.idle().await;
    }
    assert_eq!(claims.load(Ordering::Relaxed), before, "a look is a write");
    bench.pass(Duration::from_secs(61)).await;
    bench.pass(Duration::from_secs(6)).await;
    assert_eq!(bench.ses.calls(), 20, "and they are sent in time all the same");
}
