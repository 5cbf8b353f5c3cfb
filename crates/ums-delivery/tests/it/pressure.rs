//! More than can be worked on, or kept.

use std::time::Duration;

use ums_core::{FailureClass, Purpose, Status, Timestamp};
use ums_delivery::{Rules, SubmitError};
use ums_testkit::Reply;

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

#[tokio::test(start_paused = true)]
async fn after_an_outage_codes_go_first_and_the_drain_starts_slowly() {
    let bench = Setup::holding().start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let batch = |purpose: Purpose, count: usize| (0..count).map(move |_| email().purpose(purpose).parse().unwrap().into()).collect();
    bench.engine.submit_all(batch(Purpose::Transactional, 200)).await.unwrap();
    bench.engine.submit_all(batch(Purpose::Otp, 3)).await.unwrap();
    for _ in 0..30 {
        bench.pass(Duration::from_secs(1)).await;
    }
    let before = bench.ses.seen().len();
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
        provider.hold();
    }
    for _ in 0..90 {
        bench.pass(Duration::from_secs(1)).await;
    }
    assert!(
        bench.ses.running() + bench.sendgrid.running() + bench.smtp.running() <= 16,
        "it starts with few"
    );
    for provider in bench.providers() {
        provider.release(10_000);
    }
    for _ in 0..600 {
        bench.pass(Duration::from_secs(15)).await;
    }
    assert!(bench.ses.seen().len() > before);
    let filter = ums_core::MessageFilter {
        status: Some(Status::Sent),
        ..Default::default()
    };
    let tenant = ums_core::TenantId::default();
    let sent = bench.engine.messages(&tenant, &filter, None, 1_000).await.unwrap();
    assert_eq!(sent.messages.len(), 203, "all got through");
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
