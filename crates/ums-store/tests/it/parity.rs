//! Any sequence of steps leaves the same records in memory and in SQLite, and is answered the same.

use proptest::prelude::*;
use ums_core::{
    AttemptOutcome, IdempotencyKey, MessageFilter, NewMessage, Purpose, RecipientRecord, Status, Store, StoreError, TenantId, Timestamp,
};
use ums_store::conformance::Sample;
use ums_store::{MemoryStore, SqliteStore};

use crate::ground::clock;

#[derive(Clone, Debug)]
enum Act {
    Accept {
        number: u32,
        status: usize,
        due: Option<i64>,
        key: Option<(u8, u8)>,
        intent: bool,
    },
    Record {
        number: u32,
        status: usize,
        attempt: Option<(u32, usize)>,
        due: Option<i64>,
        sent: bool,
        recipients: bool,
    },
    Claim {
        now: i64,
        limit: usize,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let number = 1..8_u32;
    let status = 0..Status::ALL.len();
    let due = prop::option::of(0..20_i64);
    let key = prop::option::of((0..3_u8, 0..2_u8));
    let accept =
        (number.clone(), status.clone(), due.clone(), key, any::<bool>()).prop_map(|(number, status, due, key, intent)| Act::Accept {
            number,
            status,
            due,
            key,
            intent,
        });
    let attempt = prop::option::of((1..4_u32, 0..AttemptOutcome::ALL.len()));
    let record =
        (number, status, attempt, due, any::<bool>(), any::<bool>()).prop_map(|(number, status, attempt, due, sent, recipients)| {
            Act::Record {
                number,
                status,
                attempt,
                due,
                sent,
                recipients,
            }
        });
    let claim = (0..20_i64, 0..4_usize).prop_map(|(now, limit)| Act::Claim { now, limit });
    prop::collection::vec(prop_oneof![3 => accept, 6 => record, 1 => claim], 1..60)
}

fn sample(number: u32) -> Sample {
    let purpose = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk][number as usize % 3];
    if number.is_multiple_of(2) {
        Sample::email(number).purpose(purpose)
    } else {
        Sample::sms(number).purpose(purpose)
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
            due,
            key,
            intent,
        } => {
            let sample = sample(number);
            let idempotency = key.map(|(key, request)| IdempotencyKey {
                key: key.to_string(),
                fingerprint: [request; 32],
                expires_at: Timestamp::from_micros(i64::MAX),
            });
            let due_at = due.map(Timestamp::from_micros);
            let intent = intent.then(|| sample.intent(1));
            let new = NewMessage {
                idempotency,
                intent,
                ..sample.new_message(Status::ALL[status], due_at).unwrap()
            };
            format!("{:?}", store.accept(new).await.map_err(|error| error_kind(&error)))
        }
        Act::Record {
            number,
            status,
            attempt,
            due,
            sent,
            recipients,
        } => {
            let sample = sample(number);
            let mut step = sample.step(Status::ALL[status]);
            step.attempts.extend(attempt.map(|(attempt, outcome)| {
                let mut record = sample.intent(attempt);
                record.outcome = AttemptOutcome::ALL[outcome];
                record
            }));
            step.due_at = due.map(Timestamp::from_micros);
            step.sent_at = sent.then_some(Timestamp::from_micros(7));
            step.error = sent.then(|| "why".to_owned());
            if recipients {
                let all = sample.new_message(Status::ALL[status], None).unwrap().recipients;
                step.recipients = Some(
                    all.into_iter()
                        .map(|one| RecipientRecord {
                            reason: Some("moved".to_owned()),
                            ..one
                        })
                        .collect(),
                );
            }
            format!("{:?}", store.record(step).await.map_err(|error| error_kind(&error)))
        }
        Act::Claim { now, limit } => {
            let claimed = store
                .claim_due(Timestamp::from_micros(now), ums_core::Room::of_each(limit))
                .await
                .map_err(|error| error_kind(&error));
            format!("{claimed:?} {:?}", store.next_due().await.map_err(|error| error_kind(&error)))
        }
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
            let (tenant, filter) = (TenantId::default(), MessageFilter::default());
            let one = memory.messages(&tenant, &filter, None, 100).await.unwrap().messages;
            let other = sqlite.messages(&tenant, &filter, None, 100).await.unwrap().messages;
            prop_assert_eq!(one, other);
            Ok(())
        })?;
    }
}
