//! An unsubscribe stops mail to many, and never keeps a receipt or a code from a person; a provider's own list keeps that provider away alone.

use std::time::Duration;

use ums_core::{
    Channel, Event, EventKind, FailureClass, ListName, MessageId, OnExhausted, ProviderKind, Purpose, SendEmail, SendResult, SkipReason,
    Status, SuppressionOrigin, SuppressionReason, TenantId,
};
use ums_delivery::{NewSuppression, Which};

use crate::setup::{Bench, email, start};

const CUSTOMER: &str = "customer@example.com";

fn mail(purpose: Purpose, list: Option<&str>) -> SendEmail {
    let mut request = email();
    request.handling.purpose = Some(purpose);
    request.handling.list = list.map(str::to_owned);
    request
}

fn list(name: &str) -> Option<ListName> {
    ListName::parse(name).ok()
}

impl Bench {
    async fn unsubscribe(&self, list: Option<ListName>) {
        let entry = NewSuppression {
            channel: Channel::Email,
            address: CUSTOMER.to_owned(),
            reason: SuppressionReason::Unsubscribe,
            list,
            origin: SuppressionOrigin::Link,
            detail: None,
            since: None,
            expires_at: None,
        };
        self.engine.suppress(&TenantId::default(), vec![entry]).await.unwrap();
    }

    /// How codes, receipts, and mail to many without a list and of two lists fare.
    async fn all_kinds(&self) -> [Status; 5] {
        let mut all = Vec::new();
        for request in [
            mail(Purpose::Otp, None),
            mail(Purpose::Transactional, None),
            mail(Purpose::Bulk, None),
            mail(Purpose::Bulk, Some("Weekly")),
            mail(Purpose::Bulk, Some("offers")),
        ] {
            all.push(self.send(request).await.status);
        }
        all.try_into().unwrap()
    }

    /// The provider that took the message last reports that it kept it back because of its own unsubscribe list.
    async fn kept_back(&self, id: MessageId, number: u32) -> Event {
        let mut dropped = self.event(id, EventKind::Rejected, number).await;
        dropped.class = Some(FailureClass::ProviderUnsubscribed);
        self.take(vec![dropped.clone()]).await;
        self.idle().await;
        dropped
    }

    async fn by_sendgrid(&self, purpose: Purpose) -> SendResult {
        self.ses.answer_once(ums_testkit::Reply::FailAs(FailureClass::Unavailable));
        let mut request = mail(purpose, None);
        request.handling.on_exhausted = Some(OnExhausted::Hold);
        self.send(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_stops_mail_to_many_of_all_lists_or_of_one() {
    use Status::{Sent, Unsubscribed};
    let bench = start().await;
    bench.unsubscribe(list("WEEKLY")).await;
    assert_eq!(bench.all_kinds().await, [Sent, Sent, Sent, Unsubscribed, Sent]);
    bench.unsubscribe(None).await;
    assert_eq!(bench.all_kinds().await, [Sent, Sent, Unsubscribed, Unsubscribed, Unsubscribed]);

    let of_all = Which {
        reason: Some(SuppressionReason::Unsubscribe),
        list: list("weekly"),
    };
    let tenant = TenantId::default();
    let lifted = bench.engine.unsuppress(&tenant, Channel::Email, CUSTOMER, &of_all).await.unwrap();
    assert_eq!(lifted, 1, "the entry for all lists stays");
    assert_eq!(bench.all_kinds().await, [Sent, Sent, Unsubscribed, Unsubscribed, Unsubscribed]);
    let lifted = bench.engine.unsuppress(&tenant, Channel::Email, CUSTOMER, &Which::default()).await;
    assert_eq!(lifted.unwrap(), 1);
    assert_eq!(bench.all_kinds().await, [Sent; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_code_or_a_receipt_that_sendgrid_dropped_goes_out_by_the_next_provider() {
    for purpose in [Purpose::Otp, Purpose::Transactional] {
        let bench = start().await;
        let result = bench.by_sendgrid(purpose).await;
        assert_eq!((result.status, bench.sendgrid.calls()), (Status::Sent, 1));
        let had_body = bench.record(result.message_id).await.message.content.has_body();
        assert!(had_body, "the next provider may need it");
        let dropped = bench.kept_back(result.message_id, 1).await;
        let record = bench.record(result.message_id).await;
        let told: Vec<_> = record.attempts.iter().map(|attempt| (attempt.provider, attempt.class)).collect();
        let expected = [
            (ProviderKind::AwsSes, Some(FailureClass::Unavailable)),
            (ProviderKind::SendGrid, Some(FailureClass::ProviderUnsubscribed)),
            (ProviderKind::AwsSes, None),
        ];
        assert_eq!((record.status, told), (Status::Sent, expected.to_vec()));
        assert!(!record.result().possibly_duplicate, "SendGrid surely sent nothing");
        assert_eq!(
            record.message.content.has_body(),
            purpose != Purpose::Otp,
            "a code is forgotten where nobody may drop it"
        );
        // Told once more, and once more under another id: nobody is asked again.
        let again = Event {
            id: "again".to_owned(),
            ..dropped.clone()
        };
        bench.take(vec![dropped, again]).await;
        bench.idle().await;
        assert_eq!(bench.record(result.message_id).await.attempts.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_provider_with_the_list_is_passed_over_and_the_message_waits_for_the_others() {
    let bench = start().await;
    let result = bench.by_sendgrid(Purpose::Transactional).await;
    for provider in [&bench.ses, &bench.smtp] {
        provider.answer(ums_testkit::Reply::FailAs(FailureClass::Unavailable));
    }
    bench.kept_back(result.message_id, 1).await;
    let record = bench.record(result.message_id).await;
    assert_eq!((record.status, bench.sendgrid.calls()), (Status::Queued, 1));
    let skipped: Vec<_> = record.skips.iter().map(|skip| (skip.provider, skip.reason)).collect();
    assert!(skipped.contains(&(ProviderKind::SendGrid, SkipReason::Unsubscribed)), "{skipped:?}");
    bench.smtp.answer(ums_testkit::Reply::Accept);
    bench.pass(Duration::from_hours(1)).await;
    let record = bench.record(result.message_id).await;
    assert_eq!((record.status, bench.sendgrid.calls()), (Status::Sent, 1));
}

#[tokio::test(start_paused = true)]
async fn mail_to_many_that_was_kept_back_ends_as_unsubscribed() {
    let bench = start().await;
    let result = bench.by_sendgrid(Purpose::Bulk).await;
    bench.kept_back(result.message_id, 1).await;
    let record = bench.record(result.message_id).await;
    assert_eq!((record.status, record.attempts.len()), (Status::Unsubscribed, 2));
    assert!(record.has_ended());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_only_one_provider_may_carry_fails_when_that_one_kept_it_back() {
    let bench = start().await;
    let mut request = mail(Purpose::Transactional, None);
    request.handling.via = Some(ProviderKind::SendGrid);
    let result = bench.send(request).await;
    bench.kept_back(result.message_id, 1).await;
    let record = bench.record(result.message_id).await;
    assert_eq!((record.status, record.attempts.len()), (Status::Failed, 1), "{:?}", record.error);
}

#[tokio::test(start_paused = true)]
async fn one_of_several_recipients_goes_out_by_the_next_provider_alone() {
    let bench = start().await;
    bench.ses.answer_once(ums_testkit::Reply::FailAs(FailureClass::Unavailable));
    let mut request = mail(Purpose::Transactional, None);
    request.cc = vec!["colleague@example.net".to_owned()].into();
    let result = bench.send(request).await;
    bench.kept_back(result.message_id, 1).await;
    let record = bench.record(result.message_id).await;
    assert_eq!(
        record.recipients.iter().map(|recipient| recipient.status).collect::<Vec<_>>(),
        [Status::Sent; 2]
    );
    let last = record.attempts.last().unwrap();
    assert_eq!(
        (last.provider, last.recipients),
        (ProviderKind::AwsSes, std::iter::once(0).collect())
    );
    let (again, _) = bench.ses.seen().pop().unwrap();
    assert_eq!(again.recipients().count(), 1, "the other one has it");
}
