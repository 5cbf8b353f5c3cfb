//! The queue: claimed in order, once, and given back when the process that claimed is dead.

use std::time::Duration;

use ums_core::{AttemptRecord, MessageId, MessageRecord, Purpose, Recovered, Room, Status, Step, Store, StoreError, Work};

use super::sample::moment;
use super::{Ground, Outcome, Sample};

fn ids(records: &[MessageRecord]) -> Vec<MessageId> {
    records.iter().map(|record| record.message.id).collect()
}

/// The first call of a message as the port says that a lost one looks.
fn lost(sample: &Sample) -> AttemptRecord {
    let mut attempt = sample.intent(1);
    assert!(attempt.lose());
    attempt
}

/// The lanes in order; within a lane the earliest due, then the smaller id.
pub async fn due_messages_come_by_lane_then_time_then_id(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let rows = [
        (1, Purpose::Bulk, 1),
        (2, Purpose::Transactional, 3),
        (3, Purpose::Otp, 9),
        (5, Purpose::Transactional, 2),
        (4, Purpose::Transactional, 2),
        (6, Purpose::Otp, 99),
    ];
    for (number, purpose, due) in rows {
        let sample = Sample::sms(number)
            .purpose(purpose)
            .of(if number % 2 == 0 { "even" } else { "odd" });
        store.accept(sample.new_message(Status::Queued, Some(moment(due)))?).await?;
    }
    let numbers = |numbers: &[u32]| -> Vec<MessageId> { numbers.iter().map(|number| Sample::sms(*number).id()).collect() };
    let first = store.claim_due(moment(10), Room::of_each(1)).await?;
    let lanes: Vec<Purpose> = first.iter().map(|record| record.message.handling.purpose).collect();
    assert_eq!(lanes, [Purpose::Otp, Purpose::Transactional, Purpose::Bulk]);
    let rest = store.claim_due(moment(10), Room::of_each(10)).await?;
    let claimed = [ids(&first), ids(&rest)].concat();
    let of = |tenant: &str| -> Vec<MessageId> {
        let of_tenant = first.iter().chain(&rest).filter(|record| record.message.tenant.as_str() == tenant);
        of_tenant.map(|record| record.message.id).collect()
    };
    assert_eq!((claimed.len(), of("even")), (5, numbers(&[4, 2])));
    assert_eq!(of("odd").iter().filter(|id| numbers(&[3, 5, 1]).contains(id)).count(), 3);
    assert!(
        first
            .iter()
            .all(|record| record.work == Work::InHand && record.status == Status::Queued && record.recipients.len() == 1)
    );
    assert!(store.claim_due(moment(10), Room::of_each(0)).await?.is_empty());
    Ok(())
}

/// However many ask at once, a message is given to one of them.
pub async fn a_message_is_claimed_once(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for number in 1..=30 {
        store
            .accept(Sample::sms(number).new_message(Status::Scheduled, Some(moment(1)))?)
            .await?;
    }
    let claims = (0..6).map(|_| {
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move { store.claim_due(moment(1), Room::of_each(10)).await })
    });
    let mut claimed = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        claimed.extend(ids(&claim.await??));
    }
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 30);
    assert_eq!(store.next_due().await?, None);
    Ok(())
}

/// A claimed message that is put back with a time is due then, and not before.
pub async fn a_message_put_back_is_due_again(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.new_message(Status::Queued, Some(moment(1)))?).await?;
    let claimed = store.claim_due(moment(1), Room::of_each(1)).await?;
    let token = claimed.first().ok_or("not claimed")?.token;
    store
        .record(Step {
            token,
            work: Work::Due(moment(60)),
            error: Some("held".to_owned()),
            ..sample.step(Status::Queued)
        })
        .await?;
    assert!(store.claim_due(moment(59), Room::of_each(1)).await?.is_empty());
    assert_eq!(store.next_due().await?, Some(moment(60)));
    assert_eq!(store.claim_due(moment(60), Room::of_each(1)).await?.len(), 1);
    Ok(())
}

/// A message that ends is not claimed any more.
pub async fn an_ended_message_is_never_due(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.new_message(Status::Scheduled, Some(moment(1)))?).await?;
    store.record(sample.step(Status::Cancelled)).await?;
    assert!(store.claim_due(moment(9), Room::of_each(9)).await?.is_empty());
    assert_eq!(store.next_due().await?, None);
    Ok(())
}

/// A bulk message that is due earlier than a code wakes the worker earlier.
pub async fn the_next_due_time_is_the_earliest_of_all_lanes(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    assert_eq!(store.next_due().await?, None);
    for (number, purpose, due) in [(1, Purpose::Otp, 50), (2, Purpose::Bulk, 20), (3, Purpose::Transactional, 30)] {
        store
            .accept(
                Sample::sms(number)
                    .purpose(purpose)
                    .new_message(Status::Queued, Some(moment(due)))?,
            )
            .await?;
    }
    assert_eq!(store.next_due().await?, Some(moment(20)));
    Ok(())
}

/// A tenant with many waiting messages leaves room for one with few, in each lane and from claim to claim.
pub async fn tenants_take_turns_in_a_claim(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let busy: Vec<_> = (1..=500)
        .map(|number| Sample::sms(number).of("busy").new_message(Status::Queued, Some(moment(1))))
        .collect::<Result<_, _>>()?;
    store.accept_all(busy).await?;
    for number in 501..=503 {
        store
            .accept(Sample::sms(number).of("calm").new_message(Status::Queued, Some(moment(9)))?)
            .await?;
    }
    let by_tenant = |claimed: &[MessageRecord], tenant: &str| {
        let of_tenant = claimed.iter().filter(|record| record.message.tenant.as_str() == tenant);
        of_tenant.count()
    };
    let claimed = store.claim_due(moment(10), Room::of_each(20)).await?;
    assert_eq!((by_tenant(&claimed, "busy"), by_tenant(&claimed, "calm")), (17, 3));

    for number in 504..=505 {
        store
            .accept(Sample::sms(number).of("calm").new_message(Status::Queued, Some(moment(9)))?)
            .await?;
    }
    let mut calm = 0;
    for _ in 0..4 {
        calm += by_tenant(&store.claim_due(moment(10), Room::of_each(1)).await?, "calm");
    }
    assert_eq!(calm, 2, "with room for one they take it in turns");
    Ok(())
}

/// A lane takes no more than its room, and none of another's.
pub async fn each_lane_has_room_of_its_own(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for number in 1..=30 {
        let purpose = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk][number as usize % 3];
        store
            .accept(Sample::sms(number).purpose(purpose).new_message(Status::Queued, Some(moment(1)))?)
            .await?;
    }
    let room = Room {
        otp: 4,
        transactional: 0,
        bulk: 7,
    };
    let claimed = store.claim_due(moment(1), room).await?;
    let count = |purpose| claimed.iter().filter(|record| record.message.handling.purpose == purpose).count();
    assert_eq!(
        (count(Purpose::Otp), count(Purpose::Transactional), count(Purpose::Bulk)),
        (4, 0, 7)
    );
    Ok(())
}

/// What waits is counted, whenever it is due, and no further than asked; what is under way or ended is not.
pub async fn the_backlog_is_what_waits(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    assert_eq!(store.backlog(10).await?, 0);
    for number in 1..=5 {
        store
            .accept(Sample::sms(number).new_message(Status::Scheduled, Some(moment(u64::from(number) * 100)))?)
            .await?;
    }
    store.accept(Sample::sms(6).sending()?).await?;
    store.accept(Sample::sms(7).new_message(Status::Failed, None)?).await?;
    assert_eq!((store.backlog(100).await?, store.backlog(3).await?), (5, 3));
    assert_eq!(store.claim_due(moment(200), Room::of_each(10)).await?.len(), 2);
    assert_eq!(store.backlog(100).await?, 3);
    Ok(())
}

/// A process may give back what it does not know, by what was recorded; neither what waits nor what has ended.
pub async fn what_this_process_does_not_know_is_given_back(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (called, claimed, waiting, ended) = (Sample::sms(1), Sample::sms(2), Sample::sms(3), Sample::sms(4));
    store.accept(called.sending()?).await?;
    store.accept(claimed.new_message(Status::Queued, Some(moment(1)))?).await?;
    assert_eq!(store.claim_due(moment(1), Room::of_each(10)).await?.len(), 1);
    store.accept(waiting.new_message(Status::Queued, Some(moment(500)))?).await?;
    store.accept(ended.new_message(Status::Sent, None)?).await?;
    let mut under_way = store.under_way(10).await?;
    under_way.sort();
    let key = |sample: &Sample| (sample.tenant().clone(), sample.id());
    assert_eq!(under_way, [key(&called), key(&claimed)]);
    assert_eq!(store.under_way(1).await?.len(), 1);

    let all = [&called, &claimed, &waiting, &ended, &Sample::sms(9)].map(key);
    assert_eq!(store.give_back(&all, moment(20)).await?, Recovered { requeued: 1, unknown: 1 });
    assert_eq!(store.give_back(&all, moment(20)).await?, Recovered::default());
    assert!(store.under_way(10).await?.is_empty());
    let given_back = store.claim_due(moment(20), Room::of_each(10)).await?;
    assert_eq!(ids(&given_back), [called.id(), claimed.id()]);
    assert_eq!(given_back.first().ok_or("not given back")?.attempts, [lost(&called)]);
    assert!(
        given_back
            .iter()
            .all(|record| record.status == Status::Queued && record.recipients.iter().all(|one| one.status == Status::Queued))
    );
    let ended = store.message(ended.tenant(), ended.id()).await?.ok_or("lost")?;
    assert_eq!(ended.status, Status::Sent);
    Ok(())
}

/// After a restart: without an intent it is sent again, with one the attempt is unknown.
pub async fn a_dead_process_s_work_is_given_back(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    if !store.is_durable() {
        return Ok(());
    }
    let (fresh, called, claimed, waiting, ended) = (Sample::sms(1), Sample::sms(2), Sample::sms(3), Sample::sms(4), Sample::sms(5));
    store.accept(fresh.new_message(Status::Pending, None)?).await?;
    store.accept(called.sending()?).await?;
    store.accept(claimed.new_message(Status::Scheduled, Some(moment(1)))?).await?;
    assert_eq!(store.claim_due(moment(1), Room::of_each(10)).await?.len(), 1);
    store.accept(waiting.new_message(Status::Queued, Some(moment(500)))?).await?;
    store.accept(ended.sending()?).await?;
    store.record(ended.step(Status::Sent)).await?;
    store.close(Duration::from_secs(10)).await;
    drop::<std::sync::Arc<dyn Store>>(store);

    let store = ground.open().await?;
    assert!(
        store.claim_due(moment(100), Room::of_each(10)).await?.is_empty(),
        "nothing is given back before the recovery"
    );
    let fenced = store.record(called.step(Status::Sent)).await;
    assert!(matches!(fenced, Err(StoreError::Fenced)), "{fenced:?}");
    assert_eq!(store.recover(moment(100)).await?, Recovered { requeued: 2, unknown: 1 });
    assert_eq!(store.recover(moment(100)).await?, Recovered::default());
    let given_back = store.claim_due(moment(100), Room::of_each(10)).await?;
    assert_eq!(ids(&given_back), [fresh.id(), called.id(), claimed.id()]);
    assert!(given_back.iter().all(|record| record.status == Status::Queued));
    assert_eq!(given_back.get(1).ok_or("not given back")?.attempts, [lost(&called)]);
    Ok(())
}

/// A recovery leaves alone what this process is working on.
pub async fn a_living_process_s_work_is_left_alone(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.sending()?).await?;
    assert_eq!(store.recover(moment(1)).await?, Recovered::default());
    store.record(sample.step(Status::Sent)).await?;
    Ok(())
}

/// After it was closed a durable store takes nothing, and says so.
pub async fn a_closed_store_refuses(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    if !store.is_durable() {
        return Ok(());
    }
    store.close(Duration::from_secs(10)).await;
    store.close(Duration::from_secs(10)).await;
    let refused = store.accept(Sample::sms(1).sending()?).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = store.next_due().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    Ok(())
}
