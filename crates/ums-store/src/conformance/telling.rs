//! The suppression list tells each change that has an effect, and no other one.

use std::sync::Arc;

use ums_core::{
    EventKind, ListChange, ListNotice, NoticeFilter, ProviderKind, Status, Step, Store, StoreError, Suppression,
    SuppressionReason as Reason, TenantId,
};

use super::aftermath::{apply, endpoint, entry, event, kept, lift, notice, park, parked, reported, sent};
use super::sample::moment;
use super::suppressing::CUSTOMER;
use super::{Ground, Outcome, Sample};

/// A notice of the first change.
pub(super) fn of(change: ListChange, number: u32) -> Vec<ListNotice> {
    vec![ListNotice {
        of: change,
        notice: notice(number, &endpoint(1)),
    }]
}

fn suppressed(number: u32) -> Vec<ListNotice> {
    of(ListChange::Suppressed(0), number)
}

/// The numbers of the notices that are stored.
async fn told(store: &dyn Store) -> Result<Vec<u32>, StoreError> {
    let page = store.notices(&TenantId::default(), &NoticeFilter::default(), None, 1_000).await?;
    let number = |at: ums_core::Timestamp| u32::try_from((at.as_micros() - moment(0).as_micros()) / 1_000_000).unwrap_or(u32::MAX);
    Ok(page.notices.iter().rev().map(|notice| number(notice.at)).collect())
}

/// Whoever changes the list, and however often: an entry that comes into force is told, and a lift that takes one off.
pub async fn a_change_of_the_list_is_told_if_it_has_an_effect(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.save_endpoint(endpoint(1)).await?;
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    let bounced = |since| vec![entry(CUSTOMER, Reason::HardBounce, since)];
    // A step of the message, and the same report in another event.
    let step = |id: &str, number| {
        let told_of = event(ProviderKind::AwsSes, id, EventKind::Opened);
        Step {
            suppress: bounced(10),
            list_notices: suppressed(number),
            ..reported(&sample, &before, Status::Sent, vec![kept(&told_of, None)])
        }
    };
    store.take_feedback(vec![apply(step("one", 1))]).await?;
    assert_eq!(told(&*store).await?, [1]);
    store
        .record(Step {
            token: before.token + 1,
            ..step("two", 2)
        })
        .await?;
    assert_eq!(told(&*store).await?, [1], "the entry is in force already");
    // An event that belongs to no message.
    let mut alone = parked(&event(ProviderKind::AwsSes, "three", EventKind::Bounced), None, 0);
    alone.suppress = bounced(12);
    alone.notices = suppressed(3);
    store.take_feedback(vec![park(alone)]).await?;
    // A caller, with another reason beside.
    let both = [bounced(14), vec![entry(CUSTOMER, Reason::Manual, 14)]].concat();
    let of_both = [suppressed(4), of(ListChange::Suppressed(1), 5)].concat();
    assert_eq!(store.suppress(both, of_both).await?, [false, true]);
    assert_eq!(told(&*store).await?, [1, 5]);
    // The same entry twice in one call.
    let twice = || vec![entry("copy@example.com", Reason::Stop, 5); 2];
    let of_twice = [suppressed(6), of(ListChange::Suppressed(1), 7)].concat();
    store.suppress(twice(), of_twice).await?;
    assert_eq!(told(&*store).await?, [1, 5, 6]);

    // Another spelling of a subscriber who is on the list already.
    for (number, spelling) in [(20, "+525512345678"), (21, "+5215512345678"), (22, "+525512345678")] {
        store
            .suppress(vec![entry(spelling, Reason::Stop, u64::from(number))], suppressed(number))
            .await?;
    }
    assert_eq!(told(&*store).await?, [1, 5, 6, 20]);
    store
        .lift(vec![lift("+5215512345678", Reason::Stop, 30)], of(ListChange::Lifted(0), 23))
        .await?;
    assert_eq!(told(&*store).await?, [1, 5, 6, 20, 23]);

    // Lifted once, and told once; and barred again, which is news.
    let lifted = |number| of(ListChange::Lifted(0), number);
    for (at, number) in [(20, 8), (21, 9)] {
        store.lift(vec![lift(CUSTOMER, Reason::HardBounce, at)], lifted(number)).await?;
    }
    store.lift(vec![lift("nobody@example.com", Reason::Stop, 5)], lifted(10)).await?;
    assert_eq!(told(&*store).await?, [1, 5, 6, 8, 20, 23]);
    // An old report of before the lift changes nothing.
    for (since, number) in [(19, 11), (30, 12), (31, 13)] {
        store.suppress(bounced(since), suppressed(number)).await?;
    }
    assert_eq!(told(&*store).await?, [1, 5, 6, 8, 12, 20, 23]);
    // A step may take off what another puts on: each change is told by its own kind and place.
    let mut resubscribed = parked(&event(ProviderKind::AwsSes, "four", EventKind::Subscribed), None, 0);
    resubscribed.suppress = vec![entry(CUSTOMER, Reason::HardBounce, 32), entry(CUSTOMER, Reason::Complaint, 32)];
    resubscribed.lift = vec![lift(CUSTOMER, Reason::Unsubscribe, 40), lift("copy@example.com", Reason::Stop, 40)];
    resubscribed.notices = [
        suppressed(14),
        of(ListChange::Suppressed(1), 15),
        lifted(16),
        of(ListChange::Lifted(1), 17),
        of(ListChange::Suppressed(2), 18),
    ]
    .concat();
    store.take_feedback(vec![park(resubscribed)]).await?;
    assert_eq!(told(&*store).await?, [1, 5, 6, 8, 12, 15, 17, 20, 23]);
    Ok(())
}

/// However many processes and events hear of one address at the same moment, each address is told once.
pub async fn however_many_hear_of_an_address_at_once_it_is_told_once(ground: &dyn Ground) -> Outcome {
    let one = ground.open().await?;
    let other = ground.open_beside().await?.unwrap_or_else(|| Arc::clone(&one));
    one.save_endpoint(endpoint(1)).await?;
    let mut tasks = Vec::new();
    for task in 0..8_u32 {
        let store = Arc::clone(if task % 2 == 0 { &one } else { &other });
        tasks.push(tokio::spawn(async move {
            for address in 0..6_u32 {
                let number = 1 + task * 100 + address;
                let address = format!("reader{address}@example.com");
                let entries = vec![entry(&address, Reason::HardBounce, 10)];
                if task < 4 {
                    store.suppress(entries, suppressed(number)).await?;
                } else {
                    let mut alone = parked(
                        &event(ProviderKind::AwsSes, &format!("event {number}"), EventKind::Bounced),
                        None,
                        0,
                    );
                    alone.suppress = entries;
                    alone.notices = suppressed(number);
                    store.take_feedback(vec![park(alone)]).await?;
                }
            }
            Ok::<_, StoreError>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let mut addresses: Vec<u32> = told(&*one).await?.into_iter().map(|number| number % 100).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, [1, 2, 3, 4, 5, 6]);
    let listed = super::suppressing::whole_list(&*one, &TenantId::default()).await?;
    let kept: Vec<&Suppression> = listed.iter().collect();
    assert_eq!(kept.len(), 6);
    Ok(())
}
