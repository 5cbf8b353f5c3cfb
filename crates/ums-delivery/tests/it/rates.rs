//! Bounces, complaints and missing receipts, as the chain and the health report see them.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    AccountId, BounceKind, Clock as _, Event, EventKind, HealthStatus, MessageId, ProviderHealth, ProviderKind, Purpose, RateRow,
    RateStore as _, SendEmail, Status, Timestamp,
};
use ums_store::MemoryStore;
use ums_testkit::TestClock;

use crate::setup::{Bench, Setup};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn mail(from: Option<&str>, purpose: Purpose) -> SendEmail {
    SendEmail {
        from_email: from.map(str::to_owned),
        ..SendEmail::new("customer@example.com", "News").text("Thank you").purpose(purpose)
    }
}

fn row(provider: ProviderKind, at: Timestamp, (accepted, receipts): (u64, u64)) -> RateRow {
    let five_minutes = 5 * 60 * 1_000_000;
    RateRow {
        provider,
        account: AccountId::default(),
        sender: "shop.example.com".to_owned(),
        bucket: Timestamp::from_micros(at.as_micros() / five_minutes * five_minutes),
        accepted,
        receipts,
        hard_bounces: 0,
        complaints: 0,
    }
}

/// An engine whose store has these counts, two hours after its clock began.
async fn over(rows: impl Fn(Timestamp) -> Vec<RateRow>) -> Bench {
    let clock = Arc::new(TestClock::new());
    clock.advance(Duration::from_hours(2));
    let memory = Arc::new(MemoryStore::new(clock.clone()));
    memory.add_rates(rows(clock.now())).await.unwrap();
    let bench = Setup {
        over: Some((memory, clock)),
        ..Setup::holding()
    };
    let bench = bench.start().await;
    bench.idle().await;
    bench
}

fn health(bench: &Bench, provider: ProviderKind) -> ProviderHealth {
    let report = bench.engine.health();
    let mut all = report.email_providers.into_iter().chain(report.sms_providers);
    all.find(|health| health.provider == provider).unwrap()
}

fn bounced(now: Timestamp, hard_bounces: u64) -> Vec<RateRow> {
    vec![RateRow {
        hard_bounces,
        ..row(ProviderKind::AwsSes, now - Duration::from_hours(1), (1_000, 1_000))
    }]
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_bounces_is_a_warning_before_anything_is_held() {
    let bench = over(|now| bounced(now, 61)).await;
    let ses = health(&bench, ProviderKind::AwsSes);
    assert_eq!((ses.status, ses.is_healthy), (HealthStatus::Degraded, true));
    assert_eq!(
        ses.reason.as_deref(),
        Some("bounce rate 6.1 % of 1,000 (sender shop.example.com) is over the 5 % at which SES reviews accounts")
    );
    assert_eq!(health(&bench, ProviderKind::SendGrid).status, HealthStatus::Unknown);
    let result = bench.send(mail(Some("news@shop.example.com"), Purpose::Bulk)).await;
    assert_eq!((result.status, result.provider()), (Status::Sent, Some(ProviderKind::AwsSes)));
}

#[tokio::test(start_paused = true)]
async fn above_the_limit_mail_to_many_of_that_sender_waits_and_is_not_moved_on() {
    let bench = over(|now| bounced(now, 120)).await;
    let bulk = mail(Some("news@shop.example.com"), Purpose::Bulk);
    let held = bench.send(bulk).await;
    assert_eq!((held.status, held.attempts.len()), (Status::Queued, 0));
    assert!(held.error_message.unwrap().contains("bounce_rate"));
    let record = bench.record(held.message_id).await;
    let skips: Vec<_> = record.skips.iter().map(|skip| (skip.provider, skip.reason.as_str())).collect();
    assert_eq!(skips, [(ProviderKind::AwsSes, "bounce_rate")], "no other provider was thought of");
    assert_eq!(
        bench.sendgrid.calls() + bench.smtp.calls(),
        0,
        "the others would be harmed the same"
    );
    for (from, purpose) in [
        (Some("codes@shop.example.com"), Purpose::Otp),
        (Some("orders@shop.example.com"), Purpose::Transactional),
    ] {
        assert_eq!(
            bench.send(mail(from, purpose)).await.provider(),
            Some(ProviderKind::AwsSes),
            "{purpose}"
        );
    }
    // The bounces leave the window, and the held message goes out.
    for _ in 0..(24 * 12) {
        bench.pass(s(300)).await;
    }
    assert_eq!(bench.look_up(held.message_id).await.status, Status::Sent);
    assert_eq!(
        bench.record(held.message_id).await.skips.len(),
        1,
        "the story did not grow while it waited"
    );
}

#[tokio::test(start_paused = true)]
async fn complaints_hold_as_bounces_do_and_other_senders_go_on() {
    let complained = |now: Timestamp| {
        vec![
            RateRow {
                complaints: 6,
                ..row(ProviderKind::AwsSes, now, (1_000, 0))
            },
            RateRow {
                sender: "news.example.com".to_owned(),
                ..row(ProviderKind::AwsSes, now, (10, 0))
            },
        ]
    };
    let bench = over(complained).await;
    let held = bench.send(mail(Some("a@shop.example.com"), Purpose::Bulk)).await;
    assert_eq!(held.status, Status::Queued);
    assert_eq!(bench.record(held.message_id).await.skips[0].reason.as_str(), "complaint_rate");
    assert_eq!(
        bench.send(mail(Some("a@news.example.com"), Purpose::Bulk)).await.status,
        Status::Sent
    );
    assert_eq!(bench.send(mail(None, Purpose::Bulk)).await.status, Status::Sent);
}

fn took(provider: ProviderKind, now: Timestamp, receipts: u64) -> [RateRow; 2] {
    [
        row(provider, now - Duration::from_mins(100), (50, 50)),
        row(provider, now - Duration::from_mins(30), (50, receipts)),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_delivers_nothing_is_tried_after_the_others_until_it_is_forgotten() {
    let bench = over(|now| [took(ProviderKind::AwsSes, now, 5), took(ProviderKind::SendGrid, now, 50)].concat()).await;
    let ses = health(&bench, ProviderKind::AwsSes);
    assert_eq!((ses.status, ses.is_healthy), (HealthStatus::Degraded, true));
    assert_eq!(
        ses.reason.as_deref(),
        Some("no receipt within 10 min for 45 of 50 that it took (90 %); it is tried after the others")
    );
    let result = bench.send(mail(None, Purpose::Transactional)).await;
    assert_eq!(result.provider(), Some(ProviderKind::SendGrid));
    let skips = bench.record(result.message_id).await.skips;
    assert_eq!((skips[0].provider, skips[0].reason.as_str()), (ProviderKind::AwsSes, "degraded"));
    let by_name = bench.send(mail(None, Purpose::Transactional).via(ProviderKind::AwsSes)).await;
    assert_eq!(by_name.provider(), Some(ProviderKind::AwsSes), "who asks for it gets it");
    // The late provider is never excluded: where no other one accepts the message, it gets the call.
    for other in [&bench.sendgrid, &bench.smtp] {
        other.answer_once(ums_testkit::Reply::FailAs(ums_core::FailureClass::Unavailable));
    }
    let last = bench.send(mail(None, Purpose::Transactional)).await;
    let tried: Vec<_> = last.attempts.iter().map(|attempt| attempt.provider).collect();
    assert_eq!(tried, [ProviderKind::SendGrid, ProviderKind::Smtp, ProviderKind::AwsSes]);
    // The sample of the provider leaves the window: the provider is tried again, whatever it does then.
    for _ in 0..12 {
        bench.pass(s(300)).await;
    }
    assert_eq!(health(&bench, ProviderKind::AwsSes).status, HealthStatus::Healthy);
    assert_eq!(
        bench.send(mail(None, Purpose::Transactional)).await.provider(),
        Some(ProviderKind::AwsSes)
    );
}

#[tokio::test(start_paused = true)]
async fn when_all_are_slow_nothing_changes() {
    let bench = over(|now| [took(ProviderKind::AwsSes, now, 5), took(ProviderKind::SendGrid, now, 4)].concat()).await;
    assert_eq!(health(&bench, ProviderKind::AwsSes).status, HealthStatus::Unknown);
    assert_eq!(
        bench.send(mail(None, Purpose::Transactional)).await.provider(),
        Some(ProviderKind::AwsSes)
    );
}

fn report(id: MessageId, bench: &Bench, provider_message_id: &str, kind: EventKind) -> Event {
    let mut event = Event::new(ProviderKind::AwsSes, format!("{id} {kind}"), kind, kind.as_str());
    event.about.message_id = Some(id);
    event.about.provider_message_id = Some(provider_message_id.to_owned());
    event.recipient = Some("Customer@example.com".to_owned());
    event.at = Some(bench.clock.now());
    if kind == EventKind::Bounced {
        event.bounce = Some(BounceKind::Hard);
    }
    event
}

async fn counted(bench: &Bench) -> Vec<RateRow> {
    bench.memory.rates(Timestamp::from_micros(0)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_providers_report_is_counted_once_with_its_call() {
    let bench = crate::setup::start().await;
    let sent = bench.send(mail(Some("a@Shop.example.com"), Purpose::Transactional)).await;
    let own = bench.send(mail(None, Purpose::Transactional)).await;
    let id = |result: &ums_core::SendResult| result.metadata["provider_message_id"].as_str().unwrap().to_owned();
    let (id, own_id) = (id(&sent), id(&own));
    bench.pass(s(60)).await;
    let mut again = report(sent.message_id, &bench, &id, EventKind::Delivered);
    again.id.push('2');
    let events = vec![
        report(sent.message_id, &bench, &id, EventKind::Delivered),
        again,
        report(sent.message_id, &bench, &id, EventKind::Complained),
        report(sent.message_id, &bench, &id, EventKind::Opened),
    ];
    bench.engine.take_feedback(events.clone()).await.unwrap();
    bench.engine.take_feedback(events).await.unwrap();
    bench.pass(s(600)).await;
    // Later than a receipt counts; a bounce counts all the same.
    let late = report(own.message_id, &bench, &own_id, EventKind::Bounced);
    bench.engine.take_feedback(vec![late]).await.unwrap();
    bench.pass(s(10)).await;
    let mut rows = counted(&bench).await;
    rows.sort_by(|one, other| one.sender.cmp(&other.sender));
    let seen = |row: &RateRow| (row.sender.clone(), row.accepted, row.receipts, row.hard_bounces, row.complaints);
    assert_eq!(
        rows.iter().map(seen).collect::<Vec<_>>(),
        [("default".to_owned(), 1, 0, 1, 0), ("shop.example.com".to_owned(), 1, 1, 0, 1)]
    );
    assert!(rows.iter().all(|row| row.bucket.to_string() == "2026-11-22T10:00:00Z"));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_keeps_what_was_counted_last() {
    let bench = crate::setup::start().await;
    bench.send(mail(None, Purpose::Transactional)).await;
    bench.engine.shutdown(s(5)).await;
    assert_eq!(counted(&bench).await.len(), 1);
}
