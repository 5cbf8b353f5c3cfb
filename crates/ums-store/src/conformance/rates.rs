//! Counts for rates, and how long what came afterwards is kept.

use ums_core::{
    AccountId, EventKind, NoticeFilter, NoticeOutcome, NoticeState, ProviderKind, RateRow, Retention, Status, Store, Target, TenantId,
    Timestamp,
};

use super::aftermath::{apply, endpoint, event, kept, notice, park, parked, read, reported, sent};
use super::sample::moment;
use super::{Ground, Outcome, Sample};

fn row(sender: &str, bucket: u64, accepted: u64) -> RateRow {
    RateRow {
        provider: ProviderKind::AwsSes,
        account: AccountId::default(),
        sender: sender.to_owned(),
        bucket: moment(bucket),
        accepted,
        receipts: accepted * 2,
        hard_bounces: accepted * 3,
        complaints: accepted * 4,
    }
}

/// What is counted in several goes is one sum for each provider, account, sender and five minutes.
pub async fn counts_add_up(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let spare = RateRow {
        account: AccountId::new("spare"),
        ..row("example.com", 300, 7)
    };
    let twilio = RateRow {
        provider: ProviderKind::Twilio,
        ..row("example.com", 300, 8)
    };
    let rows = vec![
        row("example.com", 300, 1),
        row("example.org", 300, 2),
        twilio.clone(),
        row("example.com", 0, 3),
        spare.clone(),
        row("example.com", 300, 4),
    ];
    store.add_rates(rows).await?;
    store.add_rates(vec![row("example.com", 300, 5)]).await?;
    store.add_rates(Vec::new()).await?;
    let later = [row("example.com", 300, 10), row("example.org", 300, 2), spare, twilio];
    assert_eq!(store.rates(moment(300)).await?, later);
    assert_eq!(store.rates(moment(301)).await?, []);
    assert_eq!(store.rates(moment(0)).await?.first(), Some(&row("example.com", 0, 3)));
    Ok(())
}

async fn prune(store: &dyn Store, retention: Retention, limit: u32) -> Result<u64, Box<dyn std::error::Error>> {
    let mut aftermath = 0;
    for _ in 0..100 {
        let pruned = store.prune(retention, moment(1_000), usize::try_from(limit)?).await?;
        assert!(pruned.aftermath <= 3 * u64::from(limit), "of each kind no more than that");
        aftermath += pruned.aftermath;
        if !pruned.more {
            return Ok(aftermath);
        }
    }
    Err("it never ends".into())
}

/// Events without a message, notices that wait for nothing, and counts go when they are old; all else stays.
pub async fn old_aftermath_is_forgotten(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.save_endpoint(endpoint(1)).await?;
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    let told = |id: &str, seconds: u64| {
        let mut record = kept(&event(ProviderKind::AwsSes, id, EventKind::Opened), None);
        record.received_at = moment(seconds);
        record
    };
    let mut batch = vec![apply(reported(&sample, &before, Status::Sent, vec![told("its own", 1)]))];
    for (id, seconds, due) in [
        ("old", 1, Some(999)),
        ("done with", 2, None),
        ("new", 50, None),
        ("just new", 49, Some(998)),
    ] {
        let mut waits = parked(&event(ProviderKind::AwsSes, id, EventKind::Opened), due, 0);
        waits.record.received_at = moment(seconds);
        batch.push(park(waits));
    }
    store.take_feedback(batch).await?;
    let notices: Vec<_> = [1, 2, 3, 50].map(|number| notice(number, &endpoint(1))).to_vec();
    store.add_notices(notices.clone()).await?;
    for (notice, state) in notices.iter().zip([
        NoticeState::Delivered,
        NoticeState::Failed,
        NoticeState::Pending,
        NoticeState::Failed,
    ]) {
        let outcome = NoticeOutcome {
            tenant: notice.tenant.clone(),
            endpoint: notice.endpoint,
            id: notice.id,
            state,
            due_at: moment(60),
            result: "200".to_owned(),
            at: moment(60),
        };
        store.settle_notice(outcome).await?;
    }
    store
        .add_rates(vec![row("example.com", 1, 1), row("example.org", 2, 1), row("example.com", 49, 1)])
        .await?;
    let retention = Retention {
        bodies_before: Timestamp::from_micros(0),
        messages_before: Timestamp::from_micros(0),
        aftermath_before: moment(49),
    };
    assert_eq!(prune(&*store, retention, 1).await?, 6);
    assert_eq!(prune(&*store, retention, 1).await?, 0);
    let ids = ["its own", "old", "done with", "new", "just new"];
    let asked = ids.map(|id| event(ProviderKind::AwsSes, id, EventKind::Opened));
    let targets = store.feedback_targets(&asked).await?;
    assert_eq!(
        targets.of,
        [Target::Known, Target::Nobody, Target::Nobody, Target::Known, Target::Nobody]
    );
    assert_eq!(store.parked_events(moment(999), 9).await?.len(), 1);
    assert_eq!(read(&*store, &sample).await?.events.len(), 1);
    let left = store.notices(&TenantId::default(), &NoticeFilter::default(), None, 9).await?;
    let left: Vec<_> = left.notices.iter().map(|notice| notice.id).collect();
    assert_eq!(left, [notices[3].id, notices[2].id]);
    assert_eq!(store.rates(moment(0)).await?, [row("example.com", 49, 1)]);
    Ok(())
}

/// With a message go its events and its notices; an event that comes once more is nobody's.
pub async fn a_forgotten_message_takes_its_aftermath(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.save_endpoint(endpoint(1)).await?;
    let (gone, stays) = (Sample::email(1), Sample::email(20));
    let mut batch = Vec::new();
    for (sample, number) in [(&gone, 1), (&stays, 2)] {
        let before = sent(&*store, sample).await?;
        let told = event(ProviderKind::AwsSes, &format!("event {number}"), EventKind::Opened);
        let mut step = reported(sample, &before, Status::Sent, vec![kept(&told, None)]);
        step.notices = vec![ums_core::Notice {
            message_id: Some(sample.id()),
            ..notice(number, &endpoint(1))
        }];
        batch.push(apply(step));
    }
    store.take_feedback(batch).await?;
    let retention = Retention {
        bodies_before: Timestamp::from_micros(0),
        messages_before: moment(10),
        aftermath_before: Timestamp::from_micros(0),
    };
    prune(&*store, retention, 9).await?;
    let about = |sample: &Sample, number: u32| {
        let mut told = event(ProviderKind::AwsSes, &format!("event {number}"), EventKind::Opened);
        told.about.attempt_id = Some(sample.intent(1).id);
        told.about.provider_message_id = Some(format!("ref-{}", sample.id()));
        told
    };
    let targets = store
        .feedback_targets(&[about(&gone, 1), about(&stays, 2), about(&gone, 3)])
        .await?;
    assert_eq!(targets.of, [Target::Nobody, Target::Known, Target::Nobody]);
    let left = store.notices(&TenantId::default(), &NoticeFilter::default(), None, 9).await?;
    assert_eq!(
        left.notices.iter().map(|notice| notice.message_id).collect::<Vec<_>>(),
        [Some(stays.id())]
    );
    assert_eq!(store.next_notice_due().await?, Some(moment(2)));
    assert_eq!(read(&*store, &stays).await?.events.len(), 1);
    Ok(())
}
