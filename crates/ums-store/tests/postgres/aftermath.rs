//! What processes on one database do to each other with feedback, notices and turns.
//!
//! Some of these tests sleep or wait for nothing to happen, because the database's locks and its clock decide.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    AccountId, AttemptOutcome, Channel, Endpoint, EndpointId, Event, EventKind, EventRecord, FeedbackStep, FeedbackStore, FeedbackTaken,
    ListChange, ListNotice, MessageRecord, Notice, NoticeFilter, NoticeId, NoticeKind, NoticeState, OutboxStore, Parked, ProviderKind,
    RateRow, RateStore, Status, Step, Store, Suppression, SuppressionOrigin, SuppressionReason, SuppressionStore, Target, TenantId,
    Timestamp,
};
use ums_store::PostgresStore;
use ums_store::conformance::Sample;
use uuid::Uuid;

use crate::ground::Database;

pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_795_341_600_000_000);
pub(crate) const FAR: Timestamp = Timestamp::from_micros(4_000_000_000_000_000);

pub(crate) fn entry(channel: Channel, address: &str) -> Suppression {
    Suppression {
        tenant: TenantId::default(),
        channel,
        address: address.to_owned(),
        reason: SuppressionReason::Stop,
        list: None,
        origin: SuppressionOrigin::Feedback,
        provider: None,
        account: None,
        message_id: None,
        detail: None,
        since: NOW,
        expires_at: None,
        lifted_at: None,
    }
}

fn event(id: &str) -> EventRecord {
    EventRecord {
        event: Event::new(ProviderKind::AwsSes, id, EventKind::Bounced, "Bounce"),
        received_at: NOW,
        attempt_id: None,
    }
}

fn parked(id: &str) -> Parked {
    Parked {
        record: event(id),
        due_at: Some(FAR),
        looks: 0,
        suppress: Vec::new(),
        lift: Vec::new(),
        notices: Vec::new(),
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Uuid::from_u128(7)),
        tenant: TenantId::default(),
        url: "https://app.example.com/hook".to_owned(),
        description: String::new(),
        kinds: Vec::new(),
        secrets: Vec::new(),
        created_at: NOW,
        disabled: None,
        failing_since: None,
        last_success_at: None,
        last_error: None,
    }
}

fn notice(number: u128) -> Notice {
    Notice {
        id: NoticeId::from_uuid(Uuid::from_u128(number)),
        tenant: TenantId::default(),
        endpoint: endpoint().id,
        kind: NoticeKind::Bounced,
        message_id: None,
        at: NOW,
        body: "{}".to_owned(),
        state: NoticeState::Pending,
        tries: 0,
        due_at: NOW,
        last_result: None,
    }
}

async fn notices(store: &PostgresStore) -> usize {
    let page = store.notices(&TenantId::default(), &NoticeFilter::default(), None, 100_000).await;
    page.unwrap().notices.len()
}

/// A message that was sent, as feedback finds it.
pub(crate) async fn sent(store: &PostgresStore, number: u32) -> MessageRecord {
    let sample = Sample::email(number);
    store.accept(sample.sending().unwrap()).await.unwrap();
    let mut attempt = sample.intent(1);
    attempt.outcome = AttemptOutcome::Accepted;
    let step = Step {
        attempts: vec![attempt],
        ..sample.step(Status::Sent)
    };
    store.record(step).await.unwrap();
    store.message(sample.tenant(), sample.id()).await.unwrap().unwrap()
}

/// A bounce of a message, with all that follows.
pub(crate) fn bounce(number: u32, token: i64, id: &str, told: u128) -> FeedbackStep {
    let sample = Sample::email(number);
    FeedbackStep::Apply(Box::new(Step {
        token,
        events: vec![event(id)],
        suppress: vec![entry(Channel::Email, &format!("customer{number}@example.com"))],
        notices: vec![notice(told)],
        ..sample.step(Status::Bounced)
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_on_two_replicas_is_applied_once() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    stores[0].save_endpoint(endpoint()).await.unwrap();
    for round in 1..=40_u32 {
        let record = sent(&stores[0], round).await;
        let id = format!("event {round}");
        let taken = [0, 1].map(|place| {
            let store = Arc::clone(&stores[place]);
            let step = bounce(round, record.token, &id, u128::from(round) * 10 + place as u128);
            tokio::spawn(async move { store.take_feedback(vec![step]).await })
        });
        let mut answers = Vec::new();
        for taken in taken {
            answers.push(taken.await.unwrap().unwrap()[0]);
        }
        let kept = answers.iter().filter(|answer| **answer == FeedbackTaken::Kept).count();
        assert_eq!(kept, 1, "{answers:?}");
        assert!(answers.contains(&FeedbackTaken::Known), "{answers:?}");
        let sample = Sample::email(round);
        let after = stores[1].message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!(
            (after.status, after.events.len(), after.token),
            (Status::Bounced, 1, record.token + 1)
        );
        assert_eq!(notices(&stores[0]).await, round as usize, "told once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_with_different_events_of_a_message_are_fenced() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    for round in 1..=20_u32 {
        let record = sent(&stores[0], round).await;
        let sample = Sample::email(round);
        let step = |token, place: usize| {
            FeedbackStep::Apply(Box::new(Step {
                token,
                events: vec![event(&format!("event {round} {place}"))],
                ..sample.step(Status::Bounced)
            }))
        };
        let taken = [0, 1].map(|place| {
            let (store, step) = (Arc::clone(&stores[place]), step(record.token, place));
            tokio::spawn(async move { store.take_feedback(vec![step]).await })
        });
        let mut answers = Vec::new();
        for taken in taken {
            answers.push(taken.await.unwrap().unwrap()[0]);
        }
        let late = answers.iter().position(|answer| *answer == FeedbackTaken::Refused);
        let late = late.unwrap_or_else(|| panic!("one comes first: {answers:?}"));
        // Looked at again, it fits.
        let again = event(&format!("event {round} {late}")).event;
        let about = ums_core::EventSubject {
            message_id: Some(sample.id()),
            ..again.about.clone()
        };
        let targets = stores[late].feedback_targets(&[Event { about, ..again }]).await.unwrap();
        assert_eq!(targets.of, [Target::Message(0, Some(sample.intent(1).id))]);
        let now_has = targets.messages[0].token;
        let taken = stores[late].take_feedback(vec![step(now_has, late)]).await.unwrap();
        assert_eq!(taken, [FeedbackTaken::Kept]);
        let after = stores[0].message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!(after.events.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_two_replicas_park_is_told_once() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    stores[0].save_endpoint(endpoint()).await.unwrap();
    for round in 1..=40_u32 {
        let taken = [0, 1].map(|place| {
            let store = Arc::clone(&stores[place]);
            // The events meet in opposite orders.
            let mut steps: Vec<FeedbackStep> = (0..3_u128)
                .map(|number| {
                    let mut parked = parked(&format!("event {round} {number}"));
                    // In every other round they change the list, too, and tell it.
                    if round % 2 == 0 {
                        parked.suppress = vec![entry(Channel::Email, &format!("{round}.{number}@example.net"))];
                        parked.notices = vec![ListNotice {
                            of: ListChange::Suppressed(0),
                            notice: notice(u128::from(round) * 100 + number * 10 + place as u128),
                        }];
                    }
                    FeedbackStep::Park(Box::new(parked))
                })
                .collect();
            if place == 1 {
                steps.reverse();
            }
            tokio::spawn(async move { store.take_feedback(steps).await })
        });
        for taken in taken {
            assert_eq!(taken.await.unwrap().unwrap(), [FeedbackTaken::Kept; 3]);
        }
        assert_eq!(notices(&stores[0]).await, round as usize / 2 * 3, "in round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_meet_in_opposite_orders_do_not_fail() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    stores[0].save_endpoint(endpoint()).await.unwrap();
    let mut tokens = Vec::new();
    for number in 1..=30 {
        tokens.push(sent(&stores[0], number).await.token);
    }
    let rate = |sender: usize| RateRow {
        provider: ProviderKind::AwsSes,
        account: AccountId::default(),
        sender: format!("sender{sender}.example.com"),
        bucket: NOW,
        accepted: 1,
        receipts: 0,
        hard_bounces: 0,
        complaints: 0,
    };
    let tasks: Vec<_> = (0..6)
        .map(|worker: usize| {
            let (store, tokens) = (Arc::clone(&stores[worker % 2]), tokens.clone());
            tokio::spawn(async move {
                for turn in 0..5_u128 {
                    let mut steps: Vec<FeedbackStep> = (1..=30_u32)
                        .zip(&tokens)
                        .map(|(number, token)| {
                            let told = (worker as u128 * 10 + turn) * 100 + u128::from(number);
                            bounce(number, *token, &format!("event {number} {worker} {turn}"), told)
                        })
                        .collect();
                    let mut rows: Vec<RateRow> = (0..30).map(rate).collect();
                    let mut entries: Vec<Suppression> = (0..30)
                        .map(|number| entry(Channel::Email, &format!("{number}@example.net")))
                        .collect();
                    if worker % 2 == 1 {
                        steps.reverse();
                        rows.reverse();
                        entries.reverse();
                    }
                    store.take_feedback(steps).await.unwrap();
                    store.add_rates(rows).await.unwrap();
                    store.suppress(entries, Vec::new()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counted = stores[0].rates(NOW).await.unwrap();
    assert_eq!(counted.len(), 30);
    assert!(counted.iter().all(|row| row.accepted == 30), "{counted:?}");
    for number in 1..=30 {
        let sample = Sample::email(number);
        let record = stores[0].message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!(
            (record.status, record.events.len()),
            (Status::Bounced, 1),
            "of many steps on one state one fits"
        );
    }
}

#[tokio::test]
async fn two_replicas_never_get_the_same_notice() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    stores[0].save_endpoint(endpoint()).await.unwrap();
    stores[0].add_notices((0..1_000).map(notice).collect()).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|worker| {
            let store = Arc::clone(&stores[worker % 2]);
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                loop {
                    let some = store
                        .claim_notices(&TenantId::default(), endpoint().id, NOW, FAR, 37)
                        .await
                        .unwrap();
                    if some.is_empty() {
                        return claimed;
                    }
                    assert!(some.iter().all(|notice| notice.tries == 1));
                    claimed.extend(some.into_iter().map(|notice| notice.id));
                }
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.unwrap());
    }
    assert_eq!(claimed.len(), 1_000);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), 1_000);
    // The one that claimed them has died.
    let again = stores[1]
        .claim_notices(&TenantId::default(), endpoint().id, FAR, FAR, 2_000)
        .await
        .unwrap();
    assert_eq!(again.len(), 1_000);
    assert!(again.iter().all(|notice| notice.tries == 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_to_an_endpoint_after_it_was_forgotten() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    for round in 0..20_u128 {
        stores[0].save_endpoint(endpoint()).await.unwrap();
        let adding = {
            let store = Arc::clone(&stores[1]);
            tokio::spawn(async move {
                for number in 0..5 {
                    store.add_notices(vec![notice(round * 10 + number)]).await.unwrap();
                }
            })
        };
        tokio::task::yield_now().await;
        assert!(stores[0].forget_endpoint(&TenantId::default(), endpoint().id).await.unwrap());
        adding.await.unwrap();
        assert_eq!(notices(&stores[0]).await, 0, "in round {round}");
    }
}

#[tokio::test]
async fn one_process_at_a_time_holds_a_chore() {
    let database = Database::new().await;
    let (one, other) = (database.store().await, database.store().await);
    let length = Duration::from_millis(600);
    assert!(one.lease_chore("poll", length).await.unwrap());
    assert!(!other.lease_chore("poll", length).await.unwrap());
    assert!(one.lease_chore("poll", length).await.unwrap(), "the holder renews it");
    assert!(
        other.lease_chore("post", length).await.unwrap(),
        "another chore has a lease of its own"
    );
    // Sleeps because the database's clock decides.
    tokio::time::sleep(length + Duration::from_millis(100)).await;
    assert!(other.lease_chore("poll", length).await.unwrap(), "it ends by itself");
    assert!(other.lease_chore("poll", Duration::ZERO).await.unwrap());
    assert!(one.lease_chore("poll", length).await.unwrap(), "it was given back");
}

#[tokio::test]
async fn what_is_too_long_for_an_index_is_kept_all_the_same() {
    let database = Database::new().await;
    let store = database.store().await;
    let sample = Sample::email(1);
    store.accept(sample.sending().unwrap()).await.unwrap();
    let mut attempt = sample.intent(1);
    attempt.outcome = AttemptOutcome::Accepted;
    // What cannot be compressed: an index would refuse it.
    let digits = (0..4_000_u64).map(|number| format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    attempt.provider_message_id = Some(digits.collect());
    let step = Step {
        attempts: vec![attempt.clone()],
        ..sample.step(Status::Sent)
    };
    store.record(step).await.unwrap();
    let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
    assert_eq!(record.attempts, [attempt]);
}

#[tokio::test]
async fn one_event_is_kept_once_however_often_a_batch_names_it() {
    let database = Database::new().await;
    let store = database.store().await;
    let record = sent(&store, 1).await;
    let twice = vec![
        FeedbackStep::Park(Box::new(parked("one"))),
        bounce(1, record.token, "one", 1),
        bounce(1, record.token + 1, "two", 2),
        FeedbackStep::Park(Box::new(parked("two"))),
        bounce(1, record.token + 1, "three", 3),
    ];
    let answers = store.take_feedback(twice).await.unwrap();
    assert_eq!(
        answers,
        [
            FeedbackTaken::Kept,
            FeedbackTaken::Kept,
            FeedbackTaken::Kept,
            FeedbackTaken::Known,
            FeedbackTaken::Refused,
        ]
    );
    let after = store.message(&TenantId::default(), record.message.id).await.unwrap().unwrap();
    let ids: BTreeSet<&str> = after.events.iter().map(|record| record.event.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["one", "two"]));
    assert_eq!(after.token, record.token + 2);
}
