//! Events that cannot be applied: they wait, come up again, and what they say of their recipients is done at once.

use ums_core::{EventKind, FeedbackTaken, ListChange, ProviderKind, Status, StoreError, SuppressionReason, Target};

use super::aftermath::{apply, endpoint, entry, event, kept, lift, park, parked, read, reported, sent};
use super::feedback::{SES, ids, target};
use super::sample::moment;
use super::{Ground, Outcome, Sample, telling};

/// What is parked comes up at its times, longest due first, until it is its message's or nothing more is done with it.
pub async fn a_parked_event_comes_up_at_its_time(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let events = ["first", "second", "third"].map(|id| event(SES, id, EventKind::Delivered));
    let due = [50, 30, 40];
    let batch = events.iter().zip(due).map(|(event, due)| park(parked(event, Some(due), 0)));
    assert_eq!(store.take_feedback(batch.collect()).await?, [FeedbackTaken::Kept; 3]);
    for event in &events {
        assert_eq!(target(&*store, event).await?, Target::Nobody, "it is looked for again");
    }
    assert!(store.parked_events(moment(29), 9).await?.is_empty());
    let found = store.parked_events(moment(50), 9).await?;
    assert_eq!(found, [1, 2, 0].map(|place: usize| parked(&events[place], Some(due[place]), 0)));
    assert_eq!(store.parked_events(moment(50), 2).await?, found[..2]);

    // Looked at; then the provider tells it again.
    let again = vec![park(parked(&events[1], Some(70), 2)), park(parked(&events[1], Some(60), 0))];
    assert_eq!(store.take_feedback(again).await?, [FeedbackTaken::Kept; 2]);
    assert!(
        store
            .parked_events(moment(59), 9)
            .await?
            .iter()
            .all(|parked| parked.record.event.id != "second")
    );
    let found = store.parked_events(moment(60), 9).await?;
    assert_eq!(found.last(), Some(&parked(&events[1], Some(60), 2)));

    // Given up.
    store.take_feedback(vec![park(parked(&events[1], None, 3))]).await?;
    assert_eq!(target(&*store, &events[1]).await?, Target::Known);
    let again = vec![park(parked(&events[1], Some(80), 0))];
    assert_eq!(store.take_feedback(again).await?, [FeedbackTaken::Known]);

    // Its message has come.
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    let late = event(SES, "late", EventKind::Opened);
    let records = vec![
        kept(&late, None),
        kept(&events[2], Some(sample.intent(1).id)),
        kept(&events[1], None),
    ];
    let step = reported(&sample, &before, Status::Delivered, records);
    assert_eq!(store.take_feedback(vec![apply(step)]).await?, [FeedbackTaken::Kept]);
    let after = read(&*store, &sample).await?;
    assert_eq!(ids(&after.events), ["third", "late"], "in the order in which they came");
    assert_eq!(after.events[0].attempt_id, Some(sample.intent(1).id));
    assert_eq!(target(&*store, &events[2]).await?, Target::Known);
    let left = store.parked_events(moment(99), 9).await?;
    assert_eq!(left, [parked(&events[0], Some(50), 0)]);
    Ok(())
}

/// The opt-out in a reply is in force at once, although nobody knows which message it answers, and it is told once.
pub async fn what_a_parked_event_says_is_done_once(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.save_endpoint(endpoint(1)).await?;
    let number = "+14165550123";
    store
        .suppress(vec![entry(number, SuppressionReason::Manual, 5)], Vec::new())
        .await?;
    let mut stop = parked(&event(ProviderKind::Twilio, "stop", EventKind::Unsubscribed), Some(40), 0);
    stop.suppress = vec![entry(number, SuppressionReason::Stop, 10)];
    stop.lift = vec![lift(number, SuppressionReason::Manual, 10)];
    stop.notices = telling::of(ListChange::Suppressed(0), 1);
    store.take_feedback(vec![park(stop.clone())]).await?;
    let (tenant, addresses) = (ums_core::TenantId::default(), [number.to_owned()]);
    let reasons = || async {
        let listed = store.suppressed(&tenant, ums_core::Channel::Sms, &addresses, moment(99)).await?;
        Ok::<_, StoreError>(listed.into_iter().map(|entry| entry.reason).collect::<Vec<_>>())
    };
    assert_eq!(reasons().await?, [SuppressionReason::Stop]);
    assert_eq!(store.next_notice_due().await?, Some(moment(1)));
    store.lift(vec![lift(number, SuppressionReason::Stop, 11)], Vec::new()).await?;
    stop.suppress = vec![entry(number, SuppressionReason::Stop, 12)];
    stop.notices = telling::of(ListChange::Suppressed(0), 0);
    store.take_feedback(vec![park(stop)]).await?;
    assert_eq!(reasons().await?, []);
    assert_eq!(store.next_notice_due().await?, Some(moment(1)));
    let found = store.parked_events(moment(40), 9).await?;
    assert_eq!(
        found
            .iter()
            .map(|parked| parked.suppress.len() + parked.lift.len() + parked.notices.len())
            .sum::<usize>(),
        0
    );
    Ok(())
}
