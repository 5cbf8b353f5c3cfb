//! What processes on one database do to each other with feedback, the suppression list and notices.
//!
//! Some of these tests sleep or wait for nothing to happen, because the database's locks and its clock decide.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    AccountId, AttemptOutcome, Channel, Endpoint, EndpointId, Event, EventKind, EventRecord, FeedbackStep, FeedbackStore, FeedbackTaken,
    Lift, MessageRecord, NewMessage, Notice, NoticeFilter, NoticeId, NoticeKind, NoticeState, OutboxStore, Parked, ProviderKind, RateRow,
    RateStore, Status, Step, Store, StoreError, Suppression, SuppressionOrigin, SuppressionReason, SuppressionStore, Target, TenantId,
    Timestamp,
};
use ums_store::PostgresStore;
use ums_store::conformance::Sample;
use uuid::Uuid;

use crate::ground::Database;

const NOW: Timestamp = Timestamp::from_micros(1_795_341_600_000_000);
const FAR: Timestamp = Timestamp::from_micros(4_000_000_000_000_000);
/// The lock of the suppression list, as another process has it.
const LOOKS: &str = "SELECT pg_advisory_xact_lock_shared(7893522, hashtext(current_schema()))";
const CHANGES: &str = "SELECT pg_advisory_xact_lock(7893522, hashtext(current_schema()))";

fn entry(channel: Channel, address: &str) -> Suppression {
    Suppression {
        tenant: TenantId::default(),
        channel,
        address: address.to_owned(),
        reason: SuppressionReason::Stop,
        origin: SuppressionOrigin::Feedback,
        provider: None,
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

/// A message to an address, with its first intent.
fn sending_to(number: u32, address: &str) -> NewMessage {
    let mut new = Sample::email(number).sending().unwrap();
    new.recipients.truncate(1);
    new.recipients[0].address = address.to_owned();
    new
}

/// A step that begins a call for a message that waits.
fn intent_of(number: u32) -> Step {
    let sample = Sample::email(number);
    Step {
        attempts: vec![sample.intent(1)],
        ..sample.step(Status::Sending)
    }
}

/// A message that was sent, as feedback finds it.
async fn sent(store: &PostgresStore, number: u32) -> MessageRecord {
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
fn bounce(number: u32, token: i64, id: &str, told: u128) -> FeedbackStep {
    let sample = Sample::email(number);
    FeedbackStep::Apply(Box::new(Step {
        token,
        events: vec![event(id)],
        suppress: vec![entry(Channel::Email, &format!("customer{number}@example.com"))],
        notices: vec![notice(told)],
        ..sample.step(Status::Bounced)
    }))
}

fn is_forbidden<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::MustNotContact(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_intent_is_committed_after_an_opt_out_on_another_replica() {
    let database = Database::new().await;
    let (sender, other) = (database.store().await, database.store().await);
    let stranger = database.stranger().await;
    let (mut committed, mut refused) = (0, 0);
    for round in 0..60_u32 {
        let address = format!("ann{round}@example.com");
        let first = 1 + round * 10;
        // Three are accepted with an intent, three wait for theirs.
        for number in first + 3..first + 6 {
            let mut waiting = sending_to(number, &address);
            (waiting.intent, waiting.status, waiting.due_at) = (None, Status::Queued, Some(FAR));
            sender.accept(waiting).await.unwrap();
        }
        let calls: Vec<_> = (first..first + 6)
            .map(|number| {
                let (store, new) = (Arc::clone(&sender), sending_to(number, &address));
                tokio::spawn(async move {
                    for _ in 0..number % 4 {
                        tokio::task::yield_now().await;
                    }
                    if number < first + 3 {
                        store.accept(new).await.map(drop)
                    } else {
                        store.record(intent_of(number)).await
                    }
                })
            })
            .collect();
        let count = "SELECT count(*) FROM attempts a JOIN recipients r ON r.tenant = a.tenant AND r.message_id = a.message_id
             WHERE r.address = $1";
        let opted_out = other.suppress(vec![entry(Channel::Email, &address)], Vec::new()).await;
        let at_once: i64 = stranger.query_one(count, &[&address]).await.unwrap().get(0);
        assert_eq!(opted_out.unwrap(), [true]);
        let late = sender.accept(sending_to(first + 6, &address)).await;
        assert!(is_forbidden(&late), "{late:?}");
        for call in calls {
            let result = call.await.unwrap();
            assert!(result.is_ok() || is_forbidden(&result), "{result:?}");
            if result.is_ok() {
                committed += 1;
            } else {
                refused += 1;
            }
        }
        let in_the_end: i64 = stranger.query_one(count, &[&address]).await.unwrap().get(0);
        assert_eq!(at_once, in_the_end, "an intent was committed after the opt-out in round {round}");
    }
    assert!(committed + refused == 360 && refused > 0, "{committed} before, {refused} after");
}

#[tokio::test]
async fn an_intent_waits_for_an_opt_out_that_is_being_committed() {
    let database = Database::new().await;
    let store = database.store().await;
    let stranger = database.stranger().await;
    let opt_out = "INSERT INTO suppressions (tenant, channel, address, reason, since, origin)
         VALUES ('default', 'email', 'ann@example.com', 'stop', 1, 'link')";
    stranger.batch_execute("BEGIN").await.unwrap();
    stranger.batch_execute(CHANGES).await.unwrap();
    stranger.batch_execute(opt_out).await.unwrap();
    let accepting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.accept(sending_to(1, "Ann@Example.com")).await })
    };
    // Sleeps because the database decides when a lock is waited for.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!accepting.is_finished(), "it cannot know yet");
    stranger.batch_execute("COMMIT").await.unwrap();
    let result = accepting.await.unwrap();
    assert!(is_forbidden(&result), "{result:?}");
}

#[tokio::test]
async fn an_opt_out_is_answered_after_the_intents_that_did_not_see_it() {
    let database = Database::new().await;
    let store = database.store().await;
    let stranger = database.stranger().await;
    stranger.batch_execute("BEGIN").await.unwrap();
    stranger.batch_execute(LOOKS).await.unwrap();
    // Others look at the list at the same time.
    store.accept(sending_to(1, "ann@example.com")).await.unwrap();
    sent(&store, 3).await;
    let token = store
        .message(&TenantId::default(), Sample::email(3).id())
        .await
        .unwrap()
        .unwrap()
        .token;
    let opting_out = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.suppress(vec![entry(Channel::Email, "ann@example.com")], Vec::new()).await })
    };
    let bouncing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.take_feedback(vec![bounce(3, token, "bounce", 1)]).await })
    };
    // Sleeps because the database decides when a lock is waited for.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(
        !opting_out.is_finished() && !bouncing.is_finished(),
        "an intent may be committed yet"
    );
    stranger.batch_execute("COMMIT").await.unwrap();
    assert_eq!(opting_out.await.unwrap().unwrap(), [true]);
    assert_eq!(bouncing.await.unwrap().unwrap(), [FeedbackTaken::Kept]);
}

#[tokio::test]
async fn an_address_that_is_not_ascii_is_known_in_the_database_too() {
    let database = Database::new().await;
    let store = database.store().await;
    let mut waiting = sending_to(1, "GRÜßE@example.com");
    (waiting.intent, waiting.status, waiting.due_at) = (None, Status::Queued, Some(FAR));
    store.accept(waiting).await.unwrap();
    let entries = vec![entry(Channel::Email, "Grüße@Example.com")];
    store.suppress(entries, Vec::new()).await.unwrap();
    // The step does not name the recipients: the database looks for them.
    let result = store.record(intent_of(1)).await;
    assert!(is_forbidden(&result), "{result:?}");
    let lift = Lift {
        tenant: TenantId::default(),
        channel: Channel::Email,
        address: "GRÜßE@example.com".to_owned(),
        reason: SuppressionReason::Stop,
        at: NOW,
    };
    assert_eq!(store.lift(vec![lift], Vec::new()).await.unwrap(), [true]);
    store.record(intent_of(1)).await.unwrap();
    let unknown = Step {
        attempts: vec![ums_core::AttemptRecord {
            outcome: AttemptOutcome::Unknown,
            ..Sample::email(1).intent(1)
        }],
        token: 1,
        ..Sample::email(1).step(Status::Unknown)
    };
    store.record(unknown).await.unwrap();
    let account = AccountId::default();
    let window = (Timestamp::from_micros(0), FAR);
    let found = store
        .unknown_attempts_to(ProviderKind::AwsSes, &account, "grÜße@EXAMPLE.com", window, 9)
        .await;
    assert_eq!(found.unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_takes_nobody_down_with_a_listed_recipient() {
    let database = Database::new().await;
    let store = database.store().await;
    store
        .suppress(vec![entry(Channel::Email, "ann@example.com")], Vec::new())
        .await
        .unwrap();
    let calls: Vec<_> = (1..=200_u32)
        .map(|number| {
            let address = if number % 10 == 0 { "ANN@example.com" } else { "bob@example.com" };
            let (store, new) = (Arc::clone(&store), sending_to(number, address));
            tokio::spawn(async move { (number, store.accept(new).await) })
        })
        .collect();
    for call in calls {
        let (number, result) = call.await.unwrap();
        assert_eq!(is_forbidden(&result), number % 10 == 0, "{number}: {result:?}");
        assert!(result.is_ok() || number % 10 == 0);
    }
    assert_eq!(store.count().await.unwrap(), 180);
    assert!(store.commits() < 150, "still in groups");
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
        let token = targets.messages[0].token;
        let taken = stores[late].take_feedback(vec![step(token, late)]).await.unwrap();
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
                    parked.notices = vec![notice(u128::from(round) * 100 + number * 10 + place as u128)];
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
        assert_eq!(notices(&stores[0]).await, round as usize * 3, "in round {round}");
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
                        .claim_notices(&TenantId::default(), endpoint().id, (NOW, FAR), 37)
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
        .claim_notices(&TenantId::default(), endpoint().id, (FAR, FAR), 2_000)
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
async fn one_process_at_a_time_has_a_turn() {
    let database = Database::new().await;
    let (one, other) = (database.store().await, database.store().await);
    let length = Duration::from_millis(600);
    assert!(one.take_turn("poll", length).await.unwrap());
    assert!(!other.take_turn("poll", length).await.unwrap());
    assert!(one.take_turn("poll", length).await.unwrap(), "who has it keeps it");
    assert!(other.take_turn("post", length).await.unwrap(), "another chore is another turn");
    // Sleeps because the database's clock decides.
    tokio::time::sleep(length + Duration::from_millis(100)).await;
    assert!(other.take_turn("poll", length).await.unwrap(), "it ends by itself");
    assert!(other.take_turn("poll", Duration::ZERO).await.unwrap());
    assert!(one.take_turn("poll", length).await.unwrap(), "it was given back");
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
