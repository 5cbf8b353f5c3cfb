//! Reading: lists, counts, and what is kept beside the messages.

use ums_core::{
    AccountId, AttemptOutcome, AttemptRecord, BreakerRecord, Channel, MessageFilter, MessageId, MessagePage, ProviderKind, Purpose,
    RecipientSet, Status, Step, Store, TenantId,
};

use super::sample::moment;
use super::{Ground, Outcome, Sample};

fn ids(page: &MessagePage) -> Vec<MessageId> {
    page.messages.iter().map(|record| record.message.id).collect()
}

fn numbers(numbers: impl IntoIterator<Item = u32>) -> Vec<MessageId> {
    numbers.into_iter().map(|number| Sample::sms(number).id()).collect()
}

/// The cursor of a page leads to the next, and the last has none; nothing is left out or twice.
pub async fn messages_are_listed_newest_first_in_pages(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (tenant, filter) = (TenantId::default(), MessageFilter::default());
    for number in [3, 1, 5, 2, 4] {
        store.accept(Sample::sms(number).sending()?).await?;
    }
    let first = store.messages(&tenant, &filter, None, 2).await?;
    assert_eq!(ids(&first), numbers([5, 4]));
    let second = store.messages(&tenant, &filter, first.next_cursor, 2).await?;
    assert_eq!(ids(&second), numbers([3, 2]));
    let third = store.messages(&tenant, &filter, second.next_cursor, 2).await?;
    assert_eq!((ids(&third), third.next_cursor), (numbers([1]), None));
    let all = store.messages(&tenant, &filter, None, 5).await?;
    assert_eq!((all.messages.len(), all.next_cursor), (5, None));
    let one = store.message(&tenant, Sample::sms(5).id()).await?;
    assert_eq!(all.messages.first(), one.as_ref(), "a listed message is whole");
    Ok(())
}

/// What a filter asks for.
type Narrow = fn(&mut MessageFilter);

/// Each filter alone and some together.
pub async fn messages_are_listed_by_what_they_are(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.accept(Sample::email(1).sending()?).await?;
    store.accept(Sample::sms(2).sending()?).await?;
    store
        .accept(
            Sample::email(3)
                .purpose(Purpose::Bulk)
                .new_message(Status::Queued, Some(moment(1)))?,
        )
        .await?;
    store
        .accept(Sample::sms(4).purpose(Purpose::Otp).new_message(Status::Suppressed, None)?)
        .await?;
    let rows: [(Narrow, &[u32]); 11] = [
        (|filter| filter.to = Some("customer3@example.com".into()), &[3]),
        (|filter| filter.to = Some("CUSTOMER3@Example.com".into()), &[3]),
        (|filter| filter.to = Some("hidden@example.net".into()), &[3, 1]),
        (
            |filter| (filter.to, filter.status) = (Some("+14165550123".into()), Some(Status::Suppressed)),
            &[4],
        ),
        (|filter| filter.to = Some("nobody@example.com".into()), &[]),
        (|filter| filter.status = Some(Status::Sending), &[2, 1]),
        (|filter| filter.channel = Some(Channel::Sms), &[4, 2]),
        (|filter| filter.provider = Some(ProviderKind::AwsSes), &[1]),
        (|filter| filter.purpose = Some(Purpose::Bulk), &[3]),
        (|filter| (filter.since, filter.until) = (Some(moment(2)), Some(moment(4))), &[3, 2]),
        (
            |filter| (filter.channel, filter.status) = (Some(Channel::Email), Some(Status::Suppressed)),
            &[],
        ),
    ];
    for (narrow, expected) in rows {
        let mut filter = MessageFilter::default();
        narrow(&mut filter);
        let page = store.messages(&TenantId::default(), &filter, None, 10).await?;
        assert_eq!(ids(&page), numbers(expected.iter().copied()), "{filter:?}");
    }
    let filter = MessageFilter {
        to: Some("copy@example.com".into()),
        ..MessageFilter::default()
    };
    let page = store.messages(&TenantId::default(), &filter, None, 1).await?;
    assert_eq!(
        ids(&store.messages(&TenantId::default(), &filter, page.next_cursor, 1).await?),
        numbers([1])
    );
    Ok(())
}

/// The last state of each account is kept.
pub async fn breakers_are_kept_by_account(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let record = |provider, account: &str, state: &str, at| BreakerRecord {
        provider,
        account: AccountId::new(account),
        state: serde_json::json!({ "state": state }),
        changed_at: moment(at),
        version: 0,
        writer: 0,
    };
    let last = [
        record(ProviderKind::AwsSes, "default", "closed", 3),
        record(ProviderKind::Twilio, "eu", "open", 2),
    ];
    store.save_breaker(record(ProviderKind::AwsSes, "default", "open", 1)).await?;
    let first = store.breakers().await?;
    for record in last.iter().rev() {
        store.save_breaker(record.clone()).await?;
    }
    let kept = store.breakers().await?;
    let without_version = |record: &BreakerRecord| BreakerRecord {
        version: 0,
        writer: 0,
        ..record.clone()
    };
    assert_eq!(kept.iter().map(without_version).collect::<Vec<_>>(), last);
    let writer = store.renew().await?.owner;
    assert!(kept.iter().all(|record| record.writer == writer));
    let (before, after) = (first.first().ok_or("not kept")?, kept.first().ok_or("not kept")?);
    assert!(after.version > before.version, "{before:?} {after:?}");
    Ok(())
}

async fn send(store: &dyn Store, sample: &Sample, outcome: AttemptOutcome) -> Outcome {
    store.accept(sample.sending()?).await?;
    let mut attempt = sample.intent(1);
    attempt.outcome = outcome;
    store
        .record(Step {
            attempts: vec![attempt],
            ..sample.step(Status::Sending)
        })
        .await?;
    Ok(())
}

/// Recipients, not messages; accepted or unknown, of this account, since then, and those alone that an attempt carried. Where that is not
/// recorded, all but those that were left out.
pub async fn recipients_sent_are_counted_by_account_and_time(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let account = AccountId::default();
    send(&*store, &Sample::email(1), AttemptOutcome::Accepted).await?;
    send(&*store, &Sample::email(2), AttemptOutcome::Accepted).await?;
    send(&*store, &Sample::email(3).of("two"), AttemptOutcome::Unknown).await?;
    send(&*store, &Sample::email(4), AttemptOutcome::Failed).await?;
    send(&*store, &Sample::sms(5), AttemptOutcome::Accepted).await?;
    let count = |since| store.recipients_sent_since(ProviderKind::AwsSes, &account, moment(since));
    assert_eq!((count(0).await?, count(2).await?, count(4).await?), (9, 6, 0));
    assert_eq!(store.recipients_sent_since(ProviderKind::AwsSns, &account, moment(5)).await?, 1);
    assert_eq!(
        store
            .recipients_sent_since(ProviderKind::AwsSes, &AccountId::new("other"), moment(0))
            .await?,
        0
    );

    // Nobody wrote down whom the second attempt of this message was for; its third recipient was left out.
    let sample = Sample::email(2);
    let mut recipients = sample.sending()?.recipients;
    if let Some(left_out) = recipients.last_mut() {
        left_out.status = Status::Suppressed;
    }
    let of = |attempt: u32, set: RecipientSet| AttemptRecord {
        outcome: AttemptOutcome::Accepted,
        recipients: set,
        ..sample.intent(attempt)
    };
    let rows = [
        (RecipientSet::NOT_RECORDED, 2),
        ([0, 2].into_iter().collect(), 2),
        ([1].into_iter().collect(), 1),
        (RecipientSet::NOBODY, 0),
    ];
    for (set, carried) in rows {
        let step = Step {
            attempts: vec![of(1, set)],
            recipients: Some(recipients.clone()),
            ..sample.step(Status::Sending)
        };
        store.record(step).await?;
        assert_eq!(count(2).await?, 3 + carried, "{set:?}");
    }
    Ok(())
}

/// A store that works says so.
pub async fn a_store_that_works_passes_its_check(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.check().await?;
    store.check().await?;
    Ok(())
}
