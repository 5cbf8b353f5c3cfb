//! Any sequence of steps leaves the same records in memory and in SQLite, and is answered the same.

use std::time::Duration;

use proptest::prelude::*;
use ums_core::{
    ActKind, ActRecord, AttemptOutcome, AttemptRecord, Failure, FailureClass, IdempotencyKey, MessageFilter, NewMessage, NotCalled,
    Purpose, RecipientRecord, RefusedRecipient, Retention, Room, SettledBy, Status, Store, StoreError, TenantId, Timestamp, Work,
};
use ums_store::conformance::Sample;
use ums_store::{MemoryStore, SqliteStore};

use crate::ground::clock;

#[derive(Clone, Debug)]
enum Act {
    Accept {
        number: u32,
        status: usize,
        work: usize,
        key: Option<(u8, u8)>,
        intent: bool,
    },
    Record {
        number: u32,
        status: usize,
        attempt: Option<(u32, usize)>,
        work: usize,
        sent: bool,
        /// Statuses of the first recipient and of the others.
        recipients: Option<(usize, usize)>,
        /// How far the step's token is from the message's.
        token: i64,
        forget_body: bool,
        /// How often it is recorded again, as after a lost answer.
        repeats: usize,
    },
    AcceptAll {
        numbers: Vec<u32>,
        key: Option<(u8, u8)>,
    },
    Claim {
        now: i64,
        room: (usize, usize, usize),
    },
    GiveBack {
        numbers: Vec<u32>,
        now: i64,
    },
    Prune {
        bodies: u64,
        messages: u64,
        limit: usize,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let number = 1..8_u32;
    let status = 0..Status::ALL.len();
    let work = 0..WORKS;
    let key = prop::option::of((0..3_u8, 0..2_u8));
    let accept =
        (number.clone(), status.clone(), work.clone(), key, any::<bool>()).prop_map(|(number, status, work, key, intent)| Act::Accept {
            number,
            status,
            work,
            key,
            intent,
        });
    let attempt = prop::option::of((1..4_u32, 0..ENDINGS.len()));
    let token = prop_oneof![8 => Just(0_i64), 1 => Just(-1), 1 => Just(1)];
    let recipients = prop::option::of((status.clone(), status.clone()));
    let what = (number.clone(), status, attempt, work, any::<bool>(), recipients);
    let record = (what, token, prop::bool::weighted(0.2), 0..3_usize).prop_map(
        |((number, status, attempt, work, sent, recipients), token, forget_body, repeats)| Act::Record {
            number,
            status,
            attempt,
            work,
            sent,
            recipients,
            token,
            forget_body,
            repeats,
        },
    );
    let numbers = prop::collection::vec(number, 0..5);
    let key = prop::option::of((0..3_u8, 0..2_u8));
    let accept_all = (numbers.clone(), key).prop_map(|(numbers, key)| Act::AcceptAll { numbers, key });
    let claim = (0..20_i64, (0..4_usize, 0..4_usize, 0..4_usize)).prop_map(|(now, room)| Act::Claim { now, room });
    let give_back = (numbers, 0..20_i64).prop_map(|(numbers, now)| Act::GiveBack { numbers, now });
    let prune = (0..9_u64, 0..9_u64, 1..4_usize).prop_map(|(bodies, messages, limit)| Act::Prune { bodies, messages, limit });
    let act = prop_oneof![6 => accept, 12 => record, 2 => accept_all, 3 => claim, 1 => give_back, 1 => prune];
    prop::collection::vec(act, 1..60)
}

/// In hand, ended, or due at a time from zero on.
const WORKS: usize = 22;

fn one_work(number: usize) -> Work {
    match number {
        0 => Work::InHand,
        1 => Work::Ended,
        due => Work::Due(Timestamp::from_micros(0) + Duration::from_micros(due as u64 - 2)),
    }
}

/// Ways in which an attempt ends.
const ENDINGS: [(AttemptOutcome, Option<SettledBy>); 10] = [
    (AttemptOutcome::Calling, None),
    (AttemptOutcome::Accepted, None),
    (AttemptOutcome::Failed, None),
    (AttemptOutcome::Unknown, None),
    (AttemptOutcome::NotCalled(NotCalled::LeaseLost), None),
    (AttemptOutcome::NotCalled(NotCalled::Expired), None),
    (AttemptOutcome::Accepted, Some(SettledBy::Feedback)),
    (AttemptOutcome::Accepted, Some(SettledBy::MarkedDelivered)),
    (AttemptOutcome::Failed, Some(SettledBy::MarkedFailed)),
    (AttemptOutcome::Unknown, None),
];

/// An attempt that ended so; a later way was for fewer recipients, and every third one was refused for some.
fn ended(intent: AttemptRecord, ending: usize) -> AttemptRecord {
    let (outcome, settled_by) = ENDINGS[ending];
    let refused = RefusedRecipient {
        place: ending,
        failure: Failure::provider(FailureClass::Throttled, "451", "later"),
    };
    AttemptRecord {
        outcome,
        settled_by,
        recipients: (ending % 4..3).collect(),
        refused: if ending.is_multiple_of(3) { vec![refused] } else { Vec::new() },
        ..intent
    }
}

const TENANTS: [&str; 2] = ["default", "other"];

fn sample(number: u32) -> Sample {
    let purpose = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk][number as usize % 3];
    let tenant = TENANTS[number as usize / 4];
    if number == 6 {
        Sample::email(number).large(20_000, 30).purpose(purpose).of(tenant)
    } else if number.is_multiple_of(2) {
        Sample::email(number).purpose(purpose).of(tenant)
    } else {
        Sample::sms(number).purpose(purpose).of(tenant)
    }
}

fn error_kind(error: &StoreError) -> String {
    error.to_string()
}

async fn perform(store: &dyn Store, act: &Act) -> String {
    match act.clone() {
        Act::Accept {
            number,
            status,
            work,
            key,
            intent,
        } => {
            let sample = sample(number);
            let idempotency = key.map(|(key, request)| idempotency(key, request));
            let intent = intent.then(|| sample.intent(1));
            let new = NewMessage {
                idempotency,
                intent,
                work: one_work(work),
                ..sample.new_message(Status::ALL[status], None).unwrap()
            };
            format!("{:?}", store.accept(new).await.map_err(|error| error_kind(&error)))
        }
        act @ Act::Record { .. } => record(store, act).await,
        Act::AcceptAll { numbers, key } => {
            let one = |number: u32| NewMessage {
                idempotency: key
                    .filter(|_| number.is_multiple_of(3))
                    .map(|(key, request)| idempotency(key, request)),
                ..sample(number).new_message(Status::Queued, Some(Timestamp::from_micros(3))).unwrap()
            };
            let batch = numbers.into_iter().map(one).collect();
            format!("{:?}", store.accept_all(batch).await.map_err(|error| error_kind(&error)))
        }
        Act::Claim { now, room } => {
            let (otp, transactional, bulk) = room;
            let room = Room { otp, transactional, bulk };
            let claimed = store.claim_due(Timestamp::from_micros(now), room).await.unwrap();
            let (next, backlog) = (store.next_due().await.unwrap(), store.backlog(4).await.unwrap());
            format!("{claimed:?} {next:?} {backlog}")
        }
        Act::GiveBack { numbers, now } => {
            let keys: Vec<_> = numbers
                .into_iter()
                .map(|number| (sample(number).tenant().clone(), sample(number).id()))
                .collect();
            let recovered = store.give_back(&keys, Timestamp::from_micros(now)).await.unwrap();
            let mut under_way = store.under_way(100).await.unwrap();
            under_way.sort();
            format!("{recovered:?} {under_way:?}")
        }
        Act::Prune { bodies, messages, limit } => prune(store, bodies, messages, limit).await,
    }
}

/// Records a step, as often as it is said.
async fn record(store: &dyn Store, act: Act) -> String {
    let Act::Record {
        number,
        status,
        attempt,
        work,
        sent,
        recipients,
        token,
        forget_body,
        repeats,
    } = act
    else {
        return "not a step".to_owned();
    };
    let sample = sample(number);
    let mut step = sample.step(Status::ALL[status]);
    let known = store.message(sample.tenant(), sample.id()).await.unwrap();
    step.token = known.map_or(0, |record| record.token) + token;
    step.forget_body = forget_body;
    step.act = sent.then(|| ActRecord {
        at: Timestamp::from_micros(5),
        kind: ActKind::Marked,
        detail: "by hand".to_owned(),
    });
    step.expires_at = recipients.map(|_| Timestamp::from_micros(11));
    step.attempts
        .extend(attempt.map(|(attempt, outcome)| ended(sample.intent(attempt), outcome)));
    step.work = one_work(work);
    step.sent_at = sent.then_some(Timestamp::from_micros(7));
    step.error = sent.then(|| "why".to_owned());
    if let Some((first, others)) = recipients {
        let all = sample.new_message(Status::ALL[others], None).unwrap().recipients;
        step.recipients = Some(
            all.into_iter()
                .enumerate()
                .map(|(place, one)| RecipientRecord {
                    status: Status::ALL[if place == 0 { first } else { others }],
                    reason: Some("moved".to_owned()),
                    ..one
                })
                .collect(),
        );
    }
    let mut answers = Vec::new();
    for _ in 0..=repeats {
        answers.push(store.record(step.clone()).await.map_err(|error| error_kind(&error)));
    }
    format!("{answers:?}")
}

/// Until nothing is left, because the stores may take another number of steps. The bodies that were emptied on the way
/// to be forgotten are not compared.
async fn prune(store: &dyn Store, bodies: u64, messages: u64, limit: usize) -> String {
    let before = |number: u64| sample(1).accepted_at() + Duration::from_secs(number);
    let retention = Retention {
        bodies_before: before(bodies),
        messages_before: before(messages),
        aftermath_before: ums_core::Timestamp::from_micros(0),
    };
    let mut forgotten = 0;
    for _ in 0..1_000 {
        let pruned = store.prune(retention, Timestamp::from_micros(0), limit).await.unwrap();
        forgotten += pruned.messages;
        if !pruned.more {
            return format!("{forgotten}");
        }
    }
    "it never ends".to_owned()
}

fn idempotency(key: u8, request: u8) -> IdempotencyKey {
    IdempotencyKey {
        key: key.to_string(),
        fingerprint: [request; 32],
        expires_at: Timestamp::from_micros(i64::MAX),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn memory_and_sqlite_agree(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let memory = MemoryStore::new(clock());
            let sqlite = SqliteStore::open("sqlite::memory:", clock()).await.unwrap();
            for act in &acts {
                let (one, other) = (perform(&memory, act).await, perform(&sqlite, act).await);
                prop_assert_eq!(one, other, "{:?}", act);
            }
            for tenant in TENANTS.map(TenantId::new) {
                let words = Status::ALL.iter().map(|status| Some(*status));
                for status in words.chain([None]) {
                    let filter = MessageFilter { status, ..MessageFilter::default() };
                    let one = memory.messages(&tenant, &filter, None, 100).await.unwrap().messages;
                    let other = sqlite.messages(&tenant, &filter, None, 100).await.unwrap().messages;
                    prop_assert_eq!(one, other, "{:?}", status);
                }
            }
            Ok(())
        })?;
    }
}
