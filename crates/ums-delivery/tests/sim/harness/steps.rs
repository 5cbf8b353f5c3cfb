//! How the simulated store records a step of a message, and what must hold of each step at the moment of its write.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use ums_core::{ActKind, AttemptOutcome, Message, MessageRecord, Status, Step, StoreError, Timestamp};

use super::ledger::{Flaw, Row, kept_status};
use super::optouts::forbids;
use super::world::{NEAR, World, number_of, short};

/// Most attempts for a recipient, without an act of an operator between, of which nobody knows whether they were accepted.
pub(super) const MOST_UNKNOWN: usize = 2;

/// Records a step.
pub(crate) fn record(world: &mut World, writer: i64, step: Step) -> Result<(), StoreError> {
    let id = step.message_id;
    let known = world.ledger.row(&step.tenant, id).ok_or(StoreError::NotFound)?;
    let (from, to) = (known.kept, kept_status(step.status, step.work));
    let mark = mark(writer, &step);
    if known.mark == Some(mark) && world.ledger.flaw != Some(Flaw::FenceDropped) {
        // The same again, because its answer was lost. What a call would follow from is good only while nobody has taken it over.
        let unchanged = known.owner == Some(writer) && (0..=1).contains(&(known.record.token - step.token));
        let goes_on = step.work == ums_core::Work::InHand;
        return if goes_on && !unchanged { Err(StoreError::Fenced) } else { Ok(()) };
    }
    let late = known.record.token != step.token || known.owner.is_some_and(|owner| owner != writer);
    if late && world.ledger.flaw != Some(Flaw::FenceDropped) {
        world.tally.fenced += 1;
        world.note([2, number_of(id), 0], || {
            format!("store: {} fenced off owner {writer} with token {}", short(id), step.token)
        });
        return Err(StoreError::Fenced);
    }
    if from != to && !from.may_become(to) {
        // The step was decided from what the store has, so nobody else is to blame.
        world.blame(|| format!("{}: a step would make {from} become {to}", short(id)));
        return Err(StoreError::IllegalMove { from, to });
    }
    forbid_call(world, &step)?;
    let now = world.wall();
    for entry in &step.suppress {
        world.ledger.optouts.put(entry.clone(), now);
    }
    for undo in &step.undo {
        world.ledger.optouts.decide(undo, now);
    }
    tell(world, writer, &step);
    let row = world.ledger.rows.get_mut(&id).unwrap();
    let before = row.record.clone();
    let said = Said::of(&step);
    apply(row, writer, step);
    row.keep(to);
    row.mark = Some(mark);
    if let Some(fault) = expired_early(&row.record, &before, now).or_else(|| fault_of(row, &before, said)) {
        world.blame(|| format!("{} {fault}", short(id)));
    }
    Ok(())
}

/// A step with an intent is refused when somebody whom it is for must not be contacted: the list counts as the step leaves it.
fn forbid_call(world: &mut World, step: &Step) -> Result<(), StoreError> {
    let intent = step.attempts.iter().find(|attempt| attempt.outcome == AttemptOutcome::Calling);
    let Some((attempt, called)) = intent.map(|intent| (intent.id, intent.recipients)) else {
        return Ok(());
    };
    let known = &world.ledger.rows[&step.message_id].record;
    let message = known.message.clone();
    let recipients = step.recipients.as_ref().unwrap_or(&known.recipients).clone();
    if let Some(listed) = forbids(world, &message, (&recipients, called)) {
        return Err(StoreError::MustNotContact(vec![listed]));
    }
    world.ledger.optouts.intended(attempt);
    Ok(())
}

fn tell(world: &mut World, writer: i64, step: &Step) {
    let id = step.message_id;
    let from = world.ledger.rows[&id].record.status;
    world.note([3, number_of(id), step.status as u64], || {
        let outcomes = step.attempts.iter().map(|attempt| {
            let bits = attempt.recipients.bits().unwrap_or_default();
            format!("{} {:?} {bits:#b}", attempt.provider, attempt.outcome)
        });
        let outcomes: Vec<_> = outcomes.collect();
        let act = step.act.as_ref().map(|act| act.kind);
        let recipients = step.recipients.iter().flatten();
        let recipients: Vec<_> = recipients.map(|recipient| recipient.status.as_str()).collect();
        format!(
            "store: {} {from} -> {} by owner {writer}, token {}, attempts {outcomes:?}, recipients {recipients:?}, act {act:?}, {:?}",
            short(id),
            step.status,
            step.token,
            step.work
        )
    });
}

/// The mark by which a step of a process is known again.
fn mark(writer: i64, step: &Step) -> u64 {
    let mut hasher = DefaultHasher::new();
    (writer, step.token, step.status as u8, step.sent_at, step.skips.len()).hash(&mut hasher);
    (step.work == ums_core::Work::InHand, step.work.due_at()).hash(&mut hasher);
    for event in &step.events {
        event.event.id.hash(&mut hasher);
    }
    for attempt in &step.attempts {
        (attempt.id, attempt.outcome, attempt.recipients, attempt.refused.len()).hash(&mut hasher);
    }
    for recipient in step.recipients.iter().flatten() {
        (recipient.status as u8, &recipient.reason).hash(&mut hasher);
    }
    if let Some(act) = &step.act {
        (act.at, act.kind as u8).hash(&mut hasher);
    }
    hasher.finish()
}

fn apply(row: &mut Row, writer: i64, step: Step) {
    let record = &mut row.record;
    for attempt in step.attempts {
        match record.attempts.iter_mut().find(|known| known.id == attempt.id) {
            Some(known) => *known = attempt,
            None => record.attempts.push(attempt),
        }
    }
    record.skips.extend(step.skips);
    record.error = step.error;
    record.work = step.work;
    record.sent_at = step.sent_at.or(record.sent_at);
    record.delivered_at = step.delivered_at.or(record.delivered_at);
    record.events.extend(step.events);
    if let Some(recipients) = step.recipients {
        record.recipients = recipients;
    }
    if step.expires_at.is_some() || step.forget_body {
        record.message = Arc::new(changed(&record.message, step.expires_at, step.forget_body));
    }
    if let Some(act) = step.act {
        match act.kind {
            // What was marked stays so: an operator who was wrong about an attempt stays wrong about it.
            ActKind::Resent | ActKind::Replayed => row.pardoned = record.attempts.len(),
            ActKind::Marked => row.marked = true,
            ActKind::Cancelled => {}
        }
        record.acts.push(act);
    }
    if row.owner.is_none() {
        record.token += 1;
    }
    row.owner = record.is_under_way().then_some(writer);
}

fn changed(message: &Message, expires_at: Option<ums_core::Timestamp>, forget_body: bool) -> Message {
    let mut changed = message.clone();
    changed.expires_at = expires_at.unwrap_or(message.expires_at);
    if forget_body {
        changed.content = changed.content.without_body();
    }
    changed
}

/// What a step says of itself.
#[derive(Clone, Copy)]
struct Said {
    status: Status,
    act: Option<ActKind>,
    has_events: bool,
}

impl Said {
    fn of(step: &Step) -> Self {
        Self {
            status: step.status,
            act: step.act.as_ref().map(|act| act.kind),
            has_events: !step.events.is_empty(),
        }
    }

    const fn sends_again(self) -> bool {
        matches!(self.act, Some(ActKind::Resent | ActKind::Replayed))
    }
}

/// Nobody's time runs out because a clock jumped.
fn expired_early(record: &MessageRecord, before: &MessageRecord, now: Timestamp) -> Option<String> {
    let mut recipients = record.recipients.iter().zip(&before.recipients);
    let has_expired = recipients.any(|(is, was)| is.status == Status::Expired && was.status != Status::Expired);
    let expires_at = before.message.expires_at;
    (has_expired && now + Duration::from_micros(NEAR) < expires_at).then(|| format!("expired at {now}, before {expires_at}"))
}

/// What must hold of a message after each of its steps.
fn fault_of(row: &Row, before: &MessageRecord, said: Said) -> Option<String> {
    let record = &row.record;
    if before.has_ended() && !record.has_ended() && !said.sends_again() {
        return Some(format!("left its end {} without an act", before.status));
    }
    if record.has_ended() != record.open_recipients().is_empty() {
        let open = record.open_recipients().bits();
        return Some(format!(
            "is {} and has open recipients {open:?}, work {:?}",
            record.status, record.work
        ));
    }
    if said.status != record.status {
        let word = record.status;
        return Some(format!("is {word} for the store and {} for the engine", said.status));
    }
    let open = record.recipients.iter().filter(|recipient| !recipient.status.is_final());
    let (open, shown) = (open.count(), record.result().open_recipients);
    if usize::try_from(shown).unwrap() != open {
        return Some(format!("shows {shown} open recipients of {open}"));
    }
    fault_of_recipients(row, before, said)
        .or_else(|| too_many_unknown(row))
        .or_else(|| word_that_is_too_sure(record))
}

/// An end is left by an operator's act alone, and changed by an act or a report alone.
fn fault_of_recipients(row: &Row, before: &MessageRecord, said: Said) -> Option<String> {
    let pairs = before.recipients.iter().zip(&row.record.recipients).enumerate();
    let mut ended = pairs.filter(|(_, (was, is))| was.status.is_final() && was.status != is.status);
    ended.find_map(|(place, (was, is))| {
        let (was, is) = (was.status, is.status);
        let may_be_opened = said.sends_again() && matches!(was, Status::Failed | Status::Expired | Status::Unknown);
        let fine = if is.is_final() {
            said.act.is_some() || said.has_events
        } else {
            may_be_opened
        };
        (!fine).then(|| format!("has a recipient, at {place}, whose end {was} became {is}"))
    })
}

/// Attempts whose outcome nobody knows, more than allowed for one recipient.
pub(super) fn too_many_unknown(row: &Row) -> Option<String> {
    let mut places = 0..row.record.recipients.len();
    let place = places.find(|place| row.unknown_for(*place) > MOST_UNKNOWN)?;
    let unknown = row.unknown_for(place);
    Some(format!(
        "has {unknown} unknown attempts for its recipient at {place} without an act"
    ))
}

/// While a provider may have the message, no word says that nobody has.
pub(super) fn word_that_is_too_sure(record: &MessageRecord) -> Option<String> {
    let is_too_sure = |status| matches!(status, Status::Failed | Status::Expired);
    let status = record.status;
    if is_too_sure(status) && record.has_unknown_attempt() {
        return Some(format!("is {status} while an attempt is unknown"));
    }
    let places = record.recipients.iter().enumerate();
    let mut unknown = places.filter(|(place, _)| record.attempts.iter().any(|attempt| attempt.is_unknown_for(*place)));
    let (place, recipient) = unknown.find(|(_, recipient)| is_too_sure(recipient.status))?;
    Some(format!(
        "has a recipient, at {place}, who is {} while an attempt for that recipient is unknown",
        recipient.status
    ))
}
