//! Any sequence of feedback, opt-outs, messages and notices leaves the same in memory and in SQLite, and is answered the same.

use proptest::prelude::*;
use ums_core::{
    AttemptOutcome, Channel, Endpoint, EndpointId, Event, EventKind, EventRecord, FeedbackStep, Lift, ListChange, ListNotice, Notice,
    NoticeFilter, NoticeId, NoticeKind, NoticeOutcome, NoticeState, Parked, ProviderKind, Retention, Status, Step, Store, StoreError,
    Suppression, SuppressionFilter, SuppressionOrigin, SuppressionReason, TenantId, Timestamp, Work,
};
use ums_store::conformance::Sample;
use ums_store::{MemoryStore, SqliteStore};
use uuid::Uuid;

use crate::ground::clock;

/// Number of a message; for each event its number.
type Events = Vec<u8>;

#[derive(Clone, Debug)]
enum Act {
    Accept {
        number: u32,
        intent: bool,
    },
    Record {
        number: u32,
        status: usize,
        intent: bool,
        events: Events,
        opt_out: Option<(u32, usize, i64)>,
    },
    Feedback(Vec<One>),
    Suppress {
        number: u32,
        reason: usize,
        since: i64,
        lifted: Option<i64>,
        ends: bool,
    },
    Lift {
        number: u32,
        reason: usize,
        at: i64,
    },
    Claim {
        until: i64,
    },
    Settle {
        notice: u8,
        state: usize,
    },
    Prune {
        before: i64,
        messages: u64,
    },
}

#[derive(Clone, Debug)]
enum One {
    Apply {
        number: u32,
        status: usize,
        events: Events,
        token: i64,
        tells: Option<u8>,
    },
    Park {
        event: u8,
        due: Option<i64>,
        looks: u32,
        tells: Option<u8>,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let number = 1..5_u32;
    let status = 0..Status::ALL.len();
    let reason = 0..SuppressionReason::ALL.len();
    let events = prop::collection::vec(0..6_u8, 0..4);
    let tells = prop::option::of(0..6_u8);
    let accept = (number.clone(), any::<bool>()).prop_map(|(number, intent)| Act::Accept { number, intent });
    let opt_out = prop::option::weighted(0.2, (number.clone(), reason.clone(), 0..9_i64));
    let record =
        (number.clone(), status.clone(), any::<bool>(), events.clone(), opt_out).prop_map(|(number, status, intent, events, opt_out)| {
            Act::Record {
                number,
                status,
                intent,
                events,
                opt_out,
            }
        });
    let token = prop_oneof![6 => Just(0_i64), 1 => Just(1)];
    let apply = (number.clone(), status, events, token, tells.clone()).prop_map(|(number, status, events, token, tells)| One::Apply {
        number,
        status,
        events,
        token,
        tells,
    });
    let park = (0..6_u8, prop::option::of(0..9_i64), 0..3_u32, tells).prop_map(|(event, due, looks, tells)| One::Park {
        event,
        due,
        looks,
        tells,
    });
    let feedback = prop::collection::vec(prop_oneof![2 => apply, 1 => park], 1..5).prop_map(Act::Feedback);
    let suppress = (
        number.clone(),
        reason.clone(),
        0..9_i64,
        prop::option::weighted(0.2, 0..9_i64),
        any::<bool>(),
    )
        .prop_map(|(number, reason, since, lifted, ends)| Act::Suppress {
            number,
            reason,
            since,
            lifted,
            ends,
        });
    let lift = (number, reason, 0..9_i64).prop_map(|(number, reason, at)| Act::Lift { number, reason, at });
    let claim = (0..9_i64).prop_map(|until| Act::Claim { until });
    let settle = (0..6_u8, 0..NoticeState::ALL.len()).prop_map(|(notice, state)| Act::Settle { notice, state });
    let prune = (0..9_i64, 0..5_u64).prop_map(|(before, messages)| Act::Prune { before, messages });
    let act = prop_oneof![
        4 => accept, 6 => record, 8 => feedback, 2 => suppress, 3 => lift, 1 => claim, 2 => settle, 1 => prune
    ];
    prop::collection::vec(act, 1..50)
}

/// Messages to one address each of which two share; of two tenants.
fn sample(number: u32) -> Sample {
    Sample::sms(number).of(if number == 4 { "other" } else { "default" })
}

fn at(time: i64) -> Timestamp {
    Timestamp::from_micros(time)
}

fn record_of(event: u8) -> EventRecord {
    let mut told = Event::new(
        ProviderKind::AwsSns,
        format!("event {}", event % 5),
        EventKind::Delivered,
        "Delivery",
    );
    told.at = Some(at(i64::from(event)));
    EventRecord {
        event: told,
        received_at: at(i64::from(event)),
        attempt_id: None,
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Uuid::from_u128(1)),
        tenant: TenantId::default(),
        url: "https://app.example.com/hook".to_owned(),
        description: String::new(),
        kinds: Vec::new(),
        secrets: Vec::new(),
        created_at: at(1),
        disabled: None,
        failing_since: None,
        last_success_at: None,
        last_error: None,
    }
}

fn notices(tells: Option<u8>, number: Option<u32>) -> Vec<Notice> {
    let notice = tells.map(|notice| Notice {
        id: NoticeId::from_uuid(Uuid::from_u128(u128::from(notice))),
        tenant: TenantId::default(),
        endpoint: endpoint().id,
        kind: NoticeKind::Delivered,
        message_id: number.filter(|number| *number != 4).map(|number| sample(number).id()),
        at: at(i64::from(notice)),
        body: "{}".to_owned(),
        state: NoticeState::Pending,
        tries: 0,
        due_at: at(i64::from(notice)),
        last_result: None,
    });
    notice.into_iter().collect()
}

fn entry(number: u32, reason: usize, since: i64) -> Suppression {
    Suppression {
        tenant: sample(number).tenant().clone(),
        channel: Channel::Sms,
        address: if number == 2 { "+14165550199" } else { "+14165550123" }.to_owned(),
        reason: SuppressionReason::ALL[reason],
        list: None,
        origin: SuppressionOrigin::Feedback,
        provider: None,
        account: None,
        message_id: None,
        detail: Some(since.to_string()),
        since: at(since),
        expires_at: None,
        lifted_at: None,
    }
}

fn lift(number: u32, reason: usize, time: i64) -> Lift {
    let Suppression {
        tenant,
        channel,
        address,
        reason,
        ..
    } = entry(number, reason, time);
    Lift {
        tenant,
        channel,
        address,
        reason,
        list: None,
        at: at(time),
    }
}

fn told<T: std::fmt::Debug>(answer: &Result<T, StoreError>) -> String {
    format!("{answer:?}")
}

async fn step(store: &dyn Store, (number, status): (u32, usize), events: Events, token: i64) -> Step {
    let sample = sample(number);
    let known = store.message(sample.tenant(), sample.id()).await.unwrap();
    let plain = sample.step(Status::ALL[status]);
    Step {
        token: known.map_or(0, |record| record.token) + token,
        events: events.into_iter().map(record_of).collect(),
        delivered_at: (status % 2 == 0).then(|| at(3)),
        work: if status % 3 == 0 { Work::Due(at(9)) } else { plain.work },
        ..plain
    }
}

async fn perform(store: &dyn Store, act: &Act) -> String {
    match act.clone() {
        Act::Accept { number, intent } => {
            let new = if intent {
                sample(number).sending()
            } else {
                sample(number).new_message(Status::Queued, Some(at(5)))
            };
            told(&store.accept(new.unwrap()).await)
        }
        act @ Act::Record { .. } => record(store, act).await,
        Act::Feedback(all) => feedback(store, all).await,
        Act::Suppress {
            number,
            reason,
            since,
            lifted,
            ends,
        } => {
            let entry = Suppression {
                lifted_at: lifted.map(at),
                expires_at: ends.then(|| at(20)),
                ..entry(number, reason, since)
            };
            let seed = 10 * since + i64::try_from(reason).unwrap_or(9);
            let notices = [ListChange::Suppressed(0), ListChange::Suppressed(1)].map(|of| list_notice(of, number, seed));
            told(&store.suppress(vec![entry.clone(), entry], notices.into()).await)
        }
        Act::Lift { number, reason, at } => {
            let seed = 10 * at + i64::try_from(reason).unwrap_or(9);
            let notices = vec![list_notice(ListChange::Lifted(0), number, seed)];
            told(&store.lift(vec![lift(number, reason, at)], notices).await)
        }
        Act::Claim { until } => {
            let claimed = store.claim_notices(&TenantId::default(), endpoint().id, at(4), at(until), 2).await;
            format!("{} {:?}", told(&claimed), store.next_notice_due().await)
        }
        Act::Settle { notice, state } => {
            let outcome = NoticeOutcome {
                tenant: TenantId::default(),
                endpoint: endpoint().id,
                id: NoticeId::from_uuid(Uuid::from_u128(u128::from(notice))),
                state: NoticeState::ALL[state],
                due_at: at(7),
                result: "200".to_owned(),
                at: at(6),
            };
            told(&store.settle_notice(outcome).await)
        }
        Act::Prune { before, messages } => {
            let retention = Retention {
                bodies_before: at(0),
                messages_before: sample(1).accepted_at() + std::time::Duration::from_secs(messages),
                aftermath_before: at(before),
            };
            let pruned = store.prune(retention, at(0), 100).await.unwrap();
            format!("{} {}", pruned.messages, pruned.aftermath)
        }
    }
}

async fn record(store: &dyn Store, act: Act) -> String {
    let Act::Record {
        number,
        status,
        intent,
        events,
        opt_out,
    } = act
    else {
        return "not a step".to_owned();
    };
    let mut step = step(store, (number, status), events, 0).await;
    let mut attempt = sample(number).intent(2);
    if !intent {
        attempt.outcome = AttemptOutcome::Accepted;
        attempt.reported = Some(Status::Sent);
    }
    step.attempts = vec![attempt];
    step.suppress = opt_out
        .iter()
        .map(|(number, reason, since)| entry(*number, *reason, *since))
        .collect();
    format!("{} {}", told(&store.record(step.clone()).await), told(&store.record(step).await))
}

async fn feedback(store: &dyn Store, all: Vec<One>) -> String {
    let mut steps = Vec::new();
    for one in all {
        steps.push(match one {
            One::Apply {
                number,
                status,
                events,
                token,
                tells,
            } => {
                let step = step(store, (number, status), events, token).await;
                let notices = notices(tells, Some(number));
                FeedbackStep::Apply(Box::new(Step { notices, ..step }))
            }
            One::Park { event, due, looks, tells } => FeedbackStep::Park(Box::new(Parked {
                record: record_of(event),
                due_at: due.map(at),
                looks,
                suppress: Vec::new(),
                lift: tells.map(|tells| lift(1, 2, i64::from(tells))).into_iter().collect(),
                notices: notices(tells, None)
                    .into_iter()
                    .map(|notice| ListNotice {
                        of: ListChange::Lifted(0),
                        notice,
                    })
                    .collect(),
            })),
        });
    }
    told(&store.take_feedback(steps).await)
}

/// The notice of a change of the list: another one for each entry and time.
fn list_notice(of: ListChange, number: u32, seed: i64) -> ListNotice {
    let place = match of {
        ListChange::Suppressed(place) => place,
        ListChange::Lifted(place) => 5 + place,
    };
    let id = 1_000_000 + u128::from(number) * 100_000 + u128::from(seed.unsigned_abs()) * 10 + place as u128;
    let mut notice = notices(Some(0), None).remove(0);
    notice.id = NoticeId::from_uuid(Uuid::from_u128(id));
    ListNotice { of, notice }
}

/// All that a store shows of what comes afterwards.
async fn shown(store: &dyn Store) -> String {
    let mut shown = format!("{:?} {:?}", store.endpoints().await, store.parked_events(at(99), 99).await);
    for number in 1..5 {
        let sample = sample(number);
        shown = format!("{shown}\n{:?}", store.message(sample.tenant(), sample.id()).await.unwrap());
    }
    let all = SuppressionFilter {
        with_lifted: true,
        ..SuppressionFilter::default()
    };
    for tenant in ["default", "other"].map(TenantId::new) {
        let listed = store.suppressions(&tenant, &all, None, at(10), 99).await.unwrap().entries;
        for entry in listed {
            shown = format!("{shown}\n{entry:?} {:?} {:?} {:?}", entry.since, entry.lifted_at, entry.expires_at);
        }
        let page = store.notices(&tenant, &NoticeFilter::default(), None, 99).await.unwrap();
        shown = format!("{shown}\n{:?}", page.notices);
    }
    let events: Vec<Event> = (0..5).map(|event| record_of(event).event).collect();
    format!("{shown}\n{:?}", store.feedback_targets(&events).await.unwrap().of)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn memory_and_sqlite_agree_on_what_comes_afterwards(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let memory = MemoryStore::new(clock());
            let sqlite = SqliteStore::open("sqlite::memory:", clock()).await.unwrap();
            for store in [&memory as &dyn Store, &sqlite] {
                store.save_endpoint(endpoint()).await.unwrap();
            }
            for act in &acts {
                let (one, other) = (perform(&memory, act).await, perform(&sqlite, act).await);
                prop_assert_eq!(one, other, "{:?}", act);
            }
            prop_assert_eq!(shown(&memory).await, shown(&sqlite).await);
            Ok(())
        })?;
    }
}
