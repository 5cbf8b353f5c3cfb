//! Feedback of providers, in any order and at any time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AttemptOutcome, Clock as _, Duplicates, Event, EventKind, Failure, FailureClass, FeedbackSource, MessageId, NoticeFilter, NoticeKind,
    Polled, ProviderKind, Purpose, Secret, SendSms, SettledBy, Status, SuppressionReason, TenantId, Timestamp, Work,
};
use ums_delivery::{EndpointChange, FeedbackTally, Mark};
use ums_testkit::Reply;

use crate::setup::{Bench, Setup, email, start};

impl Bench {
    /// An event about the last attempt of a message, from a provider that echoes our ids.
    pub(crate) async fn event(&self, id: MessageId, kind: EventKind, number: u32) -> Event {
        let record = self.record(id).await;
        let attempt = record.attempts.last().unwrap();
        let mut event = Event::new(
            attempt.provider,
            format!("{}-{kind}-{number}", attempt.id),
            kind,
            "as the test says",
        );
        event.about.attempt_id = Some(attempt.id);
        event.recipient = Some(record.recipients[0].address.clone());
        event.at = Some(self.clock.now());
        event
    }

    pub(crate) async fn take(&self, events: Vec<Event>) -> FeedbackTally {
        self.engine.take_feedback(events).await.unwrap()
    }

    async fn report(&self, id: MessageId, kind: EventKind) {
        let event = self.event(id, kind, 1).await;
        self.take(vec![event]).await;
    }
}

fn tally(applied: u64, known: u64, parked: u64) -> FeedbackTally {
    FeedbackTally { applied, known, parked }
}

fn sms() -> SendSms {
    SendSms::new("+14165550123", "Hello")
}

fn unknown() -> Reply {
    Reply::FailAs(FailureClass::Unknown)
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_told_once_however_often_it_is_reported() {
    let bench = start().await;
    let id = bench.send(email()).await.message_id;
    bench.pass(Duration::from_secs(3)).await;
    let delivered = bench.event(id, EventKind::Delivered, 1).await;
    let opened = bench.event(id, EventKind::Opened, 1).await;
    let told = vec![opened.clone(), delivered.clone(), delivered.clone(), opened.clone()];
    assert_eq!(bench.take(told).await, tally(2, 2, 0));
    assert_eq!(bench.take(vec![delivered.clone(), opened]).await, tally(0, 2, 0));
    let record = bench.record(id).await;
    assert_eq!((record.status, record.delivered_at), (Status::Delivered, delivered.at));
    assert_eq!(record.events.len(), 2);
    assert_eq!(record.attempts[0].reported, Some(Status::Delivered));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_feedback_is_sent_no_more_once_it_was_taken() {
    let bench = Setup::holding().start().await;
    bench.ses.answer(unknown());
    let mut request = email();
    request.handling.duplicates = Some(Duplicates::Never);
    let id = bench.send(request).await.message_id;
    assert_eq!(bench.record(id).await.status, Status::Queued);
    bench.report(id, EventKind::Sent).await;
    let record = bench.record(id).await;
    assert_eq!((record.status, record.work), (Status::Sent, Work::Ended));
    assert_eq!(record.attempts[0].outcome, AttemptOutcome::Accepted);
    assert_eq!(record.result().error_message, None);
    bench.pass(Duration::from_hours(80)).await;
    assert_eq!((bench.record(id).await.status, bench.sendgrid.calls()), (Status::Sent, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_attempt_that_feedback_settles_is_paid_for_and_tells_that_it_was_unknown() {
    let bench = start().await;
    bench.ses.answer(unknown());
    let id = bench.send(email()).await.message_id;
    let result = bench.record(id).await.result();
    assert_eq!((result.cost.as_deref(), result.possibly_duplicate), (Some("0.000160"), true));
    bench.pass(Duration::from_secs(3)).await;
    let first = bench.record(id).await.attempts[0].id;
    let mut delivered = bench.event(id, EventKind::Delivered, 1).await;
    delivered.about.attempt_id = Some(first);
    delivered.provider = ProviderKind::AwsSes;
    bench.take(vec![delivered.clone()]).await;
    bench.take(vec![delivered]).await;
    let result = bench.record(id).await.result();
    assert_eq!((result.cost.as_deref(), result.possibly_duplicate), (Some("0.000320"), true));
    let [first, second] = &result.attempts[..] else {
        panic!("{result:?}")
    };
    assert_eq!(first.settled_by, Some(SettledBy::Feedback));
    assert!(first.was_unknown_at(second.called_at.unwrap()), "when the next was called");
    assert!(!first.was_unknown_at(first.unknown_until.unwrap()), "and no more now");
    assert_eq!((second.settled_by, second.unknown_until), (None, None));
    assert_eq!(bench.observer.cost.load(Ordering::SeqCst), 320, "each attempt is counted once");
}

/// Its body is gone when the report comes, and with it the number of segments.
#[tokio::test(start_paused = true)]
async fn a_code_of_two_segments_that_feedback_settles_costs_two_segments_twice() {
    let bench = start().await;
    bench.sns.answer(unknown());
    let request = SendSms::new("+14165550123", "7".repeat(200)).purpose(Purpose::Otp);
    let parsed = request.parse(Some("US".parse().unwrap())).unwrap();
    let id = bench.engine.submit(parsed.into()).await.unwrap().message_id();
    bench.idle().await;
    bench.pass(Duration::from_secs(3)).await;
    let record = bench.record(id).await;
    assert!(!record.message.content.has_body(), "a code is not kept");
    assert_eq!(record.result().cost.as_deref(), Some("0.016600"));
    let mut delivered = Event::new(ProviderKind::AwsSns, "sns-1", EventKind::Delivered, "SUCCESS");
    delivered.about.attempt_id = Some(record.attempts[0].id);
    bench.take(vec![delivered]).await;
    assert_eq!(bench.record(id).await.result().cost.as_deref(), Some("0.033200"));
    assert_eq!(bench.observer.cost.load(Ordering::SeqCst), 33_200);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_and_then_not_sent_goes_on_at_once() {
    let bench = Setup::holding().start().await;
    bench.ses.answer(unknown());
    let mut request = email();
    request.handling.duplicates = Some(Duplicates::Never);
    let id = bench.send(request).await.message_id;
    let mut failed = bench.event(id, EventKind::Failed, 1).await;
    failed.class = Some(FailureClass::Misconfigured);
    bench.take(vec![failed]).await;
    bench.idle().await;
    let record = bench.record(id).await;
    assert_eq!(record.status, Status::Sent);
    let outcomes: Vec<_> = record.attempts.iter().map(|attempt| (attempt.provider, attempt.outcome)).collect();
    let expected = [
        (ProviderKind::AwsSes, AttemptOutcome::Failed),
        (ProviderKind::SendGrid, AttemptOutcome::Accepted),
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_during_the_call_is_applied_when_the_call_is_over() {
    let bench = start().await;
    bench.ses.hold();
    let id = bench.submit(email()).await.unwrap();
    bench.idle().await;
    let delivered = bench.event(id, EventKind::Delivered, 1).await;
    assert_eq!(bench.take(vec![delivered]).await, tally(0, 0, 1));
    assert_eq!(bench.record(id).await.status, Status::Sending);
    bench.ses.release(1);
    bench.idle().await;
    assert_eq!(bench.record(id).await.status, Status::Delivered, "without any time passing");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_names_the_providers_id_only_waits_until_that_is_kept() {
    let bench = start().await;
    bench.sns.hold();
    let parsed = sms().parse(Some("US".parse().unwrap())).unwrap();
    let id = bench.engine.submit(parsed.into()).await.unwrap().message_id();
    bench.idle().await;
    let mut delivered = Event::new(ProviderKind::AwsSns, "sns-1", EventKind::Delivered, "SUCCESS");
    delivered.about.provider_message_id = Some("aws_sns-1".to_owned());
    assert_eq!(bench.take(vec![delivered.clone()]).await, tally(0, 0, 1));
    // The call takes long, so that the looks are far apart.
    bench.pass(Duration::from_secs(20)).await;
    bench.sns.release(1);
    bench.idle().await;
    assert_eq!(bench.record(id).await.status, Status::Sent);
    for _ in 0..20 {
        bench.pass(Duration::from_millis(250)).await;
    }
    assert_eq!(bench.record(id).await.status, Status::Delivered, "within five seconds");
    assert_eq!(bench.take(vec![delivered]).await, tally(0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_attempt_is_matched_by_recipient_and_time_when_it_alone_fits() {
    let bench = Setup::holding().start().await;
    bench.sns.answer(unknown());
    bench.twilio.answer(Reply::FailAs(FailureClass::Unavailable));
    let mut request = sms();
    request.handling.duplicates = Some(Duplicates::Never);
    let id = bench.send_sms(request.clone()).await.message_id;
    let report = |number: u32, at: Timestamp| {
        let mut event = Event::new(ProviderKind::AwsSns, format!("log-{number}"), EventKind::Delivered, "SUCCESS");
        event.about.provider_message_id = Some(format!("never-told-{number}"));
        event.recipient = Some("+14165550123".to_owned());
        event.at = Some(at);
        event
    };
    let now = bench.clock.now();
    bench.take(vec![report(1, now - Duration::from_hours(1))]).await;
    bench.pass(Duration::from_secs(10)).await;
    assert_eq!(bench.record(id).await.status, Status::Queued, "another message's");

    let twin = bench.send_sms(request).await.message_id;
    bench.take(vec![report(2, now)]).await;
    bench.pass(Duration::from_secs(10)).await;
    assert_eq!(bench.record(id).await.status, Status::Queued, "two fit");

    bench.engine.mark(&TenantId::default(), twin, Mark::Failed).await.unwrap();
    bench.take(vec![report(3, now)]).await;
    bench.pass(Duration::from_secs(10)).await;
    let record = bench.record(id).await;
    assert_eq!(record.status, Status::Delivered);
    assert!(record.attempts[0].provider_message_id.is_some());
}

#[tokio::test(start_paused = true)]
async fn stop_and_start_hold_for_every_provider_in_whatever_order_they_come() {
    let bench = start().await;
    let reply = |kind, number: u32, at: Timestamp| {
        let mut event = Event::new(ProviderKind::Twilio, format!("SM{number}"), kind, "STOP");
        event.about.provider_message_id = Some(format!("SM{number}"));
        event.recipient = Some("+14165550123".to_owned());
        event.at = Some(at);
        event.suppress = (kind == EventKind::Unsubscribed).then_some(SuppressionReason::Stop);
        event
    };
    let now = bench.clock.now();
    bench.pass(Duration::from_secs(10)).await;
    bench.take(vec![reply(EventKind::Unsubscribed, 1, now)]).await;
    let stopped = bench.send_sms(sms()).await;
    assert_eq!(
        (stopped.status, bench.sns.calls(), bench.twilio.calls()),
        (Status::Unsubscribed, 0, 0)
    );
    assert!(stopped.error_message.unwrap().starts_with("stop: "));

    bench
        .take(vec![reply(EventKind::Subscribed, 3, now + Duration::from_secs(4))])
        .await;
    assert_eq!(bench.send_sms(sms()).await.status, Status::Sent);
    // An earlier opt-out is reported late.
    bench
        .take(vec![reply(EventKind::Unsubscribed, 2, now + Duration::from_secs(2))])
        .await;
    assert_eq!(bench.send_sms(sms()).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_hard_bounce_suppresses_its_address_once() {
    let bench = start().await;
    let id = bench.send(email()).await.message_id;
    for number in 1..=3 {
        let mut bounced = bench.event(id, EventKind::Bounced, number).await;
        // The message was forwarded.
        bounced.recipient = Some("elsewhere@example.net".to_owned());
        bounced.suppress = Some(SuppressionReason::HardBounce);
        bench.take(vec![bounced]).await;
    }
    let listed = bench
        .engine
        .suppressions_of(&TenantId::default(), ums_core::Channel::Email, "Customer@example.com")
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].provider, listed[0].message_id), (Some(ProviderKind::AwsSes), Some(id)));
    assert_eq!(bench.record(id).await.status, Status::Bounced);
    let next = bench.send(email()).await;
    assert_eq!((next.status, bench.ses.calls()), (Status::Suppressed, 1));
    assert!(next.error_message.unwrap().starts_with("hard_bounce: "));
}

#[tokio::test(start_paused = true)]
async fn a_soft_bounce_and_a_wave_of_rejections_suppress_nobody() {
    let bench = start().await;
    let id = bench.send(email()).await.message_id;
    bench.report(id, EventKind::Bounced).await;
    assert!(bench.listed().await.is_empty());

    for (number, recipient) in (0..).zip([
        "a@one.example",
        "b@two.example",
        "c@three.example",
        "d@one.example",
        "e@two.example",
    ]) {
        let mut request = email();
        request.to = recipient.into();
        let id = bench.send(request).await.message_id;
        let mut rejected = bench.event(id, EventKind::Rejected, number).await;
        rejected.suppress = Some(SuppressionReason::HardBounce);
        rejected.class = Some(FailureClass::RecipientBlocked);
        bench.take(vec![rejected]).await;
        bench.idle().await;
        let expected = if number < 4 { number as usize + 1 } else { 0 };
        assert_eq!(bench.listed().await.len(), expected, "the fifth undoes all, itself among them");
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_anybody_may_have_sent_suppresses_only_the_recipient_of_a_message_that_it_knows() {
    let bench = start().await;
    let mut request = email();
    request.cc = vec!["copy@example.com".to_owned()].into();
    request.handling.via = Some(ProviderKind::Smtp);
    let several = bench.send(request).await.message_id;
    let mut request = email();
    request.to = "gone@example.com".into();
    request.handling.via = Some(ProviderKind::Smtp);
    let one = bench.send(request).await.message_id;
    let bounce = |name: &str, recipient: &str| {
        let mut event = Event::new(ProviderKind::Smtp, name, EventKind::Bounced, "failed/5.1.1");
        event.suppress = Some(SuppressionReason::HardBounce);
        event.recipient = Some(recipient.to_owned());
        event
    };
    let known = async |id| Some(bench.record(id).await.attempts[0].id);
    let mut made_up = bounce("1", "victim@example.com");
    made_up.about.attempt_id = Some("01993c00-0000-7000-8000-00000000beef".parse().unwrap());
    let mut of_nobody = bounce("2", "victim@example.com");
    of_nobody.about.attempt_id = known(several).await;
    let mut of_another = bounce("3", "Copy@example.com");
    of_another.about.attempt_id = known(several).await;
    let mut genuine = bounce("5", "gone@example.com");
    genuine.about.attempt_id = known(one).await;
    bench
        .take(vec![made_up, bounce("4", "victim@example.com"), of_nobody, of_another, genuine])
        .await;
    bench.pass(Duration::from_hours(25)).await;
    let listed = async |address: &str| {
        let tenant = TenantId::default();
        bench
            .engine
            .suppressions_of(&tenant, ums_core::Channel::Email, address)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(listed("victim@example.com").await, 0);
    assert_eq!(listed("copy@example.com").await, 0);
    assert_eq!(listed("gone@example.com").await, 1);
}

#[tokio::test(start_paused = true)]
async fn one_notice_for_each_transition_and_event() {
    let bench = Setup {
        webhooks: Some(Arc::new(Nobody)),
        keys: vec![Secret::new("0123456789abcdef0123456789abcdef".to_owned())],
        ..Setup::default()
    }
    .start()
    .await;
    let tenant = TenantId::default();
    let change = EndpointChange {
        url: Some("https://app.example.com/hook".to_owned()),
        ..EndpointChange::default()
    };
    bench.engine.create_endpoint(&tenant, change).await.unwrap();
    let id = bench.send(email()).await.message_id;
    let mut complained = bench.event(id, EventKind::Complained, 1).await;
    complained.suppress = Some(SuppressionReason::Complaint);
    // The same request holds another report that suppresses the address.
    let mut dropped = bench.event(id, EventKind::Unknown, 1).await;
    dropped.suppress = Some(SuppressionReason::Complaint);
    let delivered = bench.event(id, EventKind::Delivered, 1).await;
    for _ in 0..3 {
        bench.take(vec![complained.clone(), dropped.clone()]).await;
        bench.take(vec![delivered.clone(), complained.clone()]).await;
    }
    let page = bench.engine.notices(&tenant, &NoticeFilter::default(), None, 100).await.unwrap();
    let mut kinds: Vec<_> = page.notices.iter().map(|notice| notice.kind).collect();
    kinds.sort_by_key(|kind| kind.as_str());
    let expected = [
        NoticeKind::Complained,
        NoticeKind::Delivered,
        NoticeKind::Sent,
        NoticeKind::AddressSuppressed,
    ];
    assert_eq!(kinds, expected);
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl ums_core::WebhookPost for Nobody {
    fn check_url(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn post(&self, _: ums_core::WebhookCall) -> Result<u16, ums_core::WebhookFault> {
        Err(ums_core::WebhookFault::NoAnswer("nobody is there".to_owned()))
    }
}

/// A source with one event on each of three pages; fails on demand.
#[derive(Debug, Default)]
struct Pages {
    asked: Mutex<Vec<Option<String>>>,
    failing: Mutex<u32>,
}

#[async_trait]
impl FeedbackSource for Pages {
    fn name(&self) -> &'static str {
        "pages"
    }

    fn every(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn poll(&self, cursor: Option<&str>, _: Timestamp) -> Result<Polled, Failure> {
        self.asked.lock().unwrap().push(cursor.map(str::to_owned));
        let mut failing = self.failing.lock().unwrap();
        if *failing > 0 {
            *failing -= 1;
            return Err(Failure::provider(FailureClass::Misconfigured, "denied", ""));
        }
        let page: u32 = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let event = Event::new(ProviderKind::AwsSns, format!("page-{page}"), EventKind::Inbound, "x");
        Ok(Polled {
            events: if page < 3 { vec![event] } else { Vec::new() },
            cursor: Some((page + 1).min(3).to_string()),
            more: page < 2,
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_asked_from_where_it_was_left_and_ever_more_seldom_while_it_fails() {
    let pages = Arc::new(Pages::default());
    *pages.failing.lock().unwrap() = 2;
    let bench = Setup {
        sources: vec![pages.clone()],
        ..Setup::default()
    }
    .start()
    .await;
    let asked = || pages.asked.lock().unwrap().len();
    bench.idle().await;
    assert_eq!(asked(), 0, "a process that ends soon asks nothing");
    bench.pass(Duration::from_secs(61)).await;
    assert_eq!(asked(), 1);
    bench.pass(Duration::from_secs(118)).await;
    assert_eq!(asked(), 1, "twice the pause after the first error");
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(asked(), 2);
    bench.pass(Duration::from_secs(241)).await;
    assert_eq!(asked(), 5, "three pages at once");
    bench.pass(Duration::from_secs(61)).await;
    let cursors = pages.asked.lock().unwrap().clone();
    assert_eq!(cursors.last().unwrap().as_deref(), Some("3"));
    bench.engine.shutdown(Duration::from_secs(1)).await;
}
