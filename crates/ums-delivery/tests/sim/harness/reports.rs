//! What providers report afterwards: several times, late, early, in any order, to any process; and what the store keeps of it.
//!
//! A provider posts an event until a process answered that it is kept. It reports the truth, but not always.

use std::collections::BTreeMap;

use ums_core::{
    AttemptId, AttemptOutcome, Event, EventKind, FeedbackStep, FeedbackTaken, MessageId, Parked, ProviderKind, Status, StoreError, Target,
    Targets, Timestamp,
};

use super::ledger::Row;
use super::run::Stage;
use super::steps;
use super::world::{SECOND, Shared, World, number_of, short};

/// How long a provider waits before it posts an event again.
const AGAIN: u64 = 5 * SECOND;

/// An event as the store keeps it.
#[derive(Debug)]
struct Kept {
    /// None while it waits, and for good when it is nobody's.
    message: Option<MessageId>,
    parked: Option<Parked>,
}

/// Reports on their way, and those that are kept.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// Whether the providers of this run report at all.
    pub(crate) reporting: bool,
    kept: BTreeMap<String, Kept>,
    /// What was ever reported of an attempt: the event's id, for whom, what.
    told: BTreeMap<AttemptId, Vec<(String, String, EventKind)>>,
    /// To be posted now.
    due: Vec<Event>,
    made: u64,
}

impl Reports {
    /// Whether all that was reported of an attempt is that it failed.
    pub(crate) fn says_only_failed(&self, attempt: AttemptId) -> bool {
        self.told
            .get(&attempt)
            .is_some_and(|told| told.iter().all(|(_, _, kind)| *kind == EventKind::Failed))
    }

    /// Whether anything was reported of an attempt.
    pub(crate) fn says_something(&self, attempt: AttemptId) -> bool {
        self.told.contains_key(&attempt)
    }
}

/// What a provider makes of a call, for those whom it was for.
pub(crate) fn report(world: &mut World, provider: ProviderKind, attempt: AttemptId, whom: &[(String, bool)], after: u64) {
    if !world.reports.reporting {
        return;
    }
    let none_arrived = whom.iter().all(|(_, arrived)| !arrived);
    let failed = none_arrived && world.chance.happens(400);
    for (address, arrived) in whom {
        let kinds: &[EventKind] = if *arrived {
            world.chance.weighted(&[
                (5, &[EventKind::Sent, EventKind::Delivered][..]),
                (2, &[EventKind::Bounced][..]),
                (1, &[EventKind::Delivered, EventKind::Bounced][..]),
                (1, &[EventKind::Deferred, EventKind::Opened][..]),
                (3, &[][..]),
            ])
        } else if failed {
            &[EventKind::Failed]
        } else {
            &[]
        };
        for kind in kinds {
            post(world, (provider, attempt), (address, *kind), after);
        }
    }
}

/// Posts one event one to five times.
fn post(world: &mut World, (provider, attempt): (ProviderKind, AttemptId), (address, kind): (&str, EventKind), after: u64) {
    world.reports.made += 1;
    let id = format!("event-{}", world.reports.made);
    let mut event = Event::new(provider, id.clone(), kind, "simulated");
    event.recipient = Some(address.to_owned());
    event.about.attempt_id = Some(attempt);
    event.at = Some(world.wall());
    let told = world.reports.told.entry(attempt).or_default();
    told.push((id, address.to_owned(), kind));
    for _ in 0..world.chance.between(1, 6) {
        let wait = after + world.chance.pick(&[0, SECOND / 10, 3 * SECOND, 60 * SECOND]);
        let wait = wait + world.chance.below(SECOND);
        let event = event.clone();
        world.later(wait, Box::new(move |world| world.reports.due.push(event)));
    }
}

/// An event on its way to a process; posted again when it was not answered.
struct Post {
    shared: Shared,
    event: Option<Event>,
}

impl Drop for Post {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            let again = move |world: &mut World| world.reports.due.push(event);
            self.shared.lock().later(AGAIN, Box::new(again));
        }
    }
}

/// Hands what is due to a process.
pub(crate) fn deliver(stage: &mut Stage) {
    let due = std::mem::take(&mut stage.shared.lock().reports.due);
    for event in due {
        let mut post = Post {
            shared: stage.shared.clone(),
            event: Some(event.clone()),
        };
        let Some((process, engine)) = stage.any_engine() else { continue };
        stage.processes[process].spawn(async move {
            if engine.take_feedback(vec![event]).await.is_ok() {
                post.event = None;
            }
            drop(post);
        });
        stage.processes[process].run();
    }
}

/// Sorts events to messages.
pub(crate) fn targets(world: &World, events: &[Event]) -> Targets {
    let mut targets = Targets::default();
    for event in events {
        let kept = world.reports.kept.get(&event.id);
        let of_it = |row: &&Row| row.record.attempts.iter().any(|attempt| Some(attempt.id) == event.about.attempt_id);
        let found = if kept.is_some_and(|kept| kept.parked.is_none()) {
            Target::Known
        } else if let Some(row) = world.ledger.rows.values().find(of_it) {
            let same = |message: &ums_core::MessageRecord| message.message.id == row.record.message.id;
            let place = targets.messages.iter().position(same).unwrap_or_else(|| {
                targets.messages.push(row.record.clone());
                targets.messages.len() - 1
            });
            Target::Message(place, event.about.attempt_id)
        } else {
            Target::Nobody
        };
        targets.of.push(found);
    }
    targets
}

/// Keeps events with what follows from them.
pub(crate) fn take(world: &mut World, writer: i64, steps: Vec<FeedbackStep>) -> Vec<FeedbackTaken> {
    steps.into_iter().map(|step| take_one(world, writer, step)).collect()
}

fn take_one(world: &mut World, writer: i64, step: FeedbackStep) -> FeedbackTaken {
    let is_known = |world: &World, id: &String| world.reports.kept.get(id).is_some_and(|kept| kept.parked.is_none());
    match step {
        FeedbackStep::Park(parked) => {
            let id = parked.record.event.id.clone();
            if is_known(world, &id) {
                return FeedbackTaken::Known;
            }
            world.reports.kept.insert(
                id,
                Kept {
                    message: None,
                    parked: parked.due_at.is_some().then_some(*parked),
                },
            );
            FeedbackTaken::Kept
        }
        FeedbackStep::Apply(mut step) => {
            step.events.retain(|record| !is_known(world, &record.event.id));
            if step.events.is_empty() {
                return FeedbackTaken::Known;
            }
            let id = step.message_id;
            if world.ledger.rows.get(&id).is_none_or(|row| row.owner.is_some()) {
                return FeedbackTaken::Refused;
            }
            let ids: Vec<_> = step.events.iter().map(|record| record.event.id.clone()).collect();
            match steps::record(world, writer, *step) {
                Ok(()) => {}
                Err(StoreError::Fenced) => return FeedbackTaken::Refused,
                Err(error) => {
                    world.blame(|| format!("{}: feedback made a step that is refused: {error}", short(id)));
                    return FeedbackTaken::Refused;
                }
            }
            world.tally.reports += ids.len() as u64;
            world.note([90, number_of(id), ids.len() as u64], || {
                format!("store: {} keeps {ids:?}", short(id))
            });
            for event in ids {
                let kept = Kept {
                    message: Some(id),
                    parked: None,
                };
                world.reports.kept.insert(event, kept);
            }
            FeedbackTaken::Kept
        }
    }
}

/// Parked events whose time has come.
pub(crate) fn parked(world: &World, now: Timestamp, limit: usize) -> Vec<Parked> {
    let parked = world.reports.kept.values().filter_map(|kept| kept.parked.as_ref());
    let due = parked.filter(|parked| parked.due_at.is_some_and(|due_at| due_at <= now));
    due.take(limit).cloned().collect()
}

/// Whether any report is not kept yet, or waits for its message.
pub(crate) fn anything_is_missing(world: &World) -> bool {
    let mut told = world.reports.told.values().flatten();
    told.any(|(id, _, _)| world.reports.kept.get(id).is_none_or(|kept| kept.parked.is_some()))
}

/// What must hold of a message by all that was reported of it.
pub(crate) fn fault_of(world: &World, id: MessageId, row: &Row) -> Option<String> {
    let record = &row.record;
    let told = |attempt: &AttemptId| world.reports.told.get(attempt).map_or(&[][..], Vec::as_slice);
    for attempt in &record.attempts {
        for (event, _, kind) in told(&attempt.id) {
            let kept = world.reports.kept.get(event).and_then(|kept| kept.message);
            if kept != Some(id) {
                return Some(format!("was never given {event}, which says {kind}"));
            }
        }
    }
    if row.marked {
        return None;
    }
    let mut places = 0..record.recipients.len();
    places.find_map(|place| {
        let fault = fault_of_recipient(world, row, place)?;
        Some(format!("has a recipient, at {place}, {fault}"))
    })
}

/// What must hold of a recipient by all that was reported.
fn fault_of_recipient(world: &World, row: &Row, place: usize) -> Option<String> {
    let order = [EventKind::Sent, EventKind::Failed, EventKind::Delivered, EventKind::Bounced];
    let rank = |kind: &EventKind| order.iter().position(|other| other == kind).map_or(0, |place| place + 1);
    let recipient = &row.record.recipients[place];
    let ranks: Vec<(bool, usize)> = row
        .record
        .attempts
        .iter()
        .map(|attempt| {
            let told = world.reports.told.get(&attempt.id).map_or(&[][..], Vec::as_slice);
            let of_it = told.iter().filter(|(_, address, _)| *address == recipient.address);
            let took = attempt.outcome == AttemptOutcome::Accepted && attempt.recipients.contains(place);
            (took, of_it.map(|(_, _, kind)| rank(kind)).max().unwrap_or(0))
        })
        .collect();
    let any = |wanted: usize| ranks.iter().any(|(_, rank)| *rank == wanted);
    let is_held = ranks.iter().any(|(took, rank)| *took && *rank < 2);
    let status = recipient.status;
    let expected = if any(3) {
        Status::Delivered
    } else if is_held || any(1) {
        Status::Sent
    } else if any(4) {
        Status::Bounced
    } else {
        return matches!(status, Status::Delivered | Status::Bounced).then(|| format!("who is {status}, and nobody said so"));
    };
    (status != expected).then(|| format!("who is {status} and should be {expected} by what was reported"))
}
