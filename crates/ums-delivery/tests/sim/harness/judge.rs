//! What must hold at the end, when everything was healed and all time has passed.

use ums_core::{ActKind, AttemptOutcome, MessageId, Status};

use super::cast::{self, Set};
use super::ledger::Row;
use super::reports;
use super::world::{Told, World, short};

/// Judges every message.
pub(crate) fn judge(world: &mut World) {
    let accepted = world
        .callers
        .accepted
        .iter()
        .find(|id| !world.ledger.rows.contains_key(*id))
        .copied();
    let fault = accepted.map(|id| (id, "was accepted and is not stored".to_owned()));
    let fault = fault.or_else(|| {
        let mut rows = world.ledger.rows.iter();
        rows.find_map(|(id, row)| Some((*id, fault_of(world, *id, row)?)))
    });
    if let Some((id, fault)) = fault {
        world.blame(|| format!("{} {fault}", short(id)));
    }
}

/// Messages that a process works on still, long after all is well.
pub(crate) fn nothing_is_stuck(world: &mut World) {
    let stuck = world.ledger.rows.iter().find(|(_, row)| row.owner.is_some());
    let stuck = stuck.map(|(id, row)| (*id, row.record.status, row.owner));
    if let Some((id, status, owner)) = stuck {
        world.blame(|| format!("{} lies {status} with owner {owner:?} long after all was healed", short(id)));
    }
}

fn fault_of(world: &World, id: MessageId, row: &Row) -> Option<String> {
    let status = row.record.status;
    let calls = world.calls.get(&id).map_or(&[][..], Vec::as_slice);
    let arrived = calls.iter().fold(0, |set, call| set | call.arrived);
    let main = first_recipient(row);
    if !status.is_final() {
        return Some(format!("never ended: it is {status}, due {:?}", row.record.due_at));
    }
    let without_mark = |fault: &str| (!row.marked).then(|| format!("is {status}, {fault}"));
    let by_status = match status {
        Status::Sent | Status::Delivered | Status::Bounced if arrived & main == 0 => without_mark("and nothing arrived"),
        Status::Failed | Status::Expired | Status::Cancelled | Status::Suppressed | Status::Unsubscribed if arrived & main != 0 => {
            without_mark("and it arrived")
        }
        Status::Pending
        | Status::Scheduled
        | Status::Queued
        | Status::Sending
        | Status::Sent
        | Status::Delivered
        | Status::Bounced
        | Status::Failed
        | Status::Expired
        | Status::Cancelled
        | Status::Suppressed
        | Status::Unsubscribed
        | Status::Unknown => None,
    };
    let told_by_operator = row.record.acts.iter().any(|act| act.kind == ActKind::Marked);
    by_status.or_else(|| reports::fault_of(world, id, row)).or_else(|| {
        calls.iter().find_map(|call| {
            let attempt = row.record.attempts.iter().find(|attempt| attempt.id == call.attempt);
            outcome_that_was_not_told(&call.told, attempt.map(|attempt| attempt.outcome))
                .filter(|_| !told_by_operator && !world.reports.says_something(call.attempt))
        })
    })
}

/// An attempt's record may know less than the process that called did, never something else.
fn outcome_that_was_not_told(told: &Told, recorded: Option<AttemptOutcome>) -> Option<String> {
    let fine = match (told, recorded) {
        (_, Some(AttemptOutcome::Unknown)) | (Told::Taken(_), Some(AttemptOutcome::Accepted)) => true,
        (Told::Failed(class), Some(AttemptOutcome::Failed)) => !class.may_have_been_accepted(),
        (Told::Nothing | Told::Taken(_) | Told::Failed(_), _) => false,
    };
    (!fine).then(|| format!("has an attempt recorded as {recorded:?} of which was told {told:?}"))
}

fn first_recipient(row: &Row) -> Set {
    row.record
        .recipients
        .first()
        .map_or(0, |recipient| cast::bit_of(&recipient.address))
}
