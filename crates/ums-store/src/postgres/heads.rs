//! Where the queue begins: for each lane and tenant, the message from which on to look.
//!
//! A claimed message leaves a dead entry in the index of the queue until the table is vacuumed. A claim that
//! looked from the start would walk over all of them, the longer the longer a backlog is drained, and a
//! transaction that is open somewhere (a backup) keeps them there. So each process remembers how far it has come and
//! begins there. What it stores itself it knows; what others store earlier than that is found by a look from the
//! start, which is taken whenever a claim comes out short, and now and then besides.
//!
//! Only here: SQLite takes entries out of an index when their rows change, PostgreSQL leaves them for a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ums_core::{MessageId, Monotonic, NewMessage, Purpose, Step, TenantId, Timestamp};

use crate::fence;

/// The shortest time between two looks from the start while claims are served in full.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// What part of the time they may take.
const LOOK_SHARE: u32 = 20;
/// Most tenants that are served by one statement.
const TENANTS: usize = 256;

/// A place in a tenant's queue.
pub(crate) type Place = (Timestamp, MessageId);

/// The beginnings of the queue, as this process knows them.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    lanes: [Mutex<Lane>; fence::LANES.len()],
}

#[derive(Debug, Default)]
struct Lane {
    heads: BTreeMap<TenantId, Place>,
    /// Who had the last turn.
    last: Option<TenantId>,
    /// When to look from the start again.
    look_at: Option<Monotonic>,
    /// Grows when a message is stored, so that a look that began before it does not hide it.
    stored: u64,
}

/// A tenant's turn: from where on, and how many.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) tenant: TenantId,
    pub(crate) from: Place,
    pub(crate) share: usize,
}

impl Heads {
    fn lane(&self, purpose: Purpose) -> MutexGuard<'_, Lane> {
        let lane = &self.lanes[usize::from(fence::lane(purpose))];
        lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to look from the start before the next claim.
    pub(crate) fn wants_look(&self, purpose: Purpose, now: Monotonic) -> bool {
        self.lane(purpose).look_at.is_none_or(|at| now >= at)
    }

    /// Marks the start of a look.
    pub(crate) fn begin_look(&self, purpose: Purpose) -> u64 {
        self.lane(purpose).stored
    }

    /// Takes over what a look from the start has found.
    pub(crate) fn looked(&self, purpose: Purpose, begun: u64, found: Vec<(TenantId, Place)>, now: Monotonic, took: Duration) {
        let mut lane = self.lane(purpose);
        let stored_meanwhile = lane.stored != begun;
        let known = std::mem::replace(&mut lane.heads, found.into_iter().collect());
        if stored_meanwhile {
            for (tenant, place) in known {
                lower(&mut lane.heads, &tenant, place);
            }
        }
        lane.look_at = Some(now + LOOK_AGAIN.max(took * LOOK_SHARE));
    }

    /// Forgets all that is known.
    pub(crate) fn forget(&self) {
        for purpose in fence::LANES {
            self.lane(purpose).look_at = None;
        }
    }

    /// The next turns of tenants that may have due messages, together at most `room`, beginning after the one who had
    /// the last turn. A tenant in `served` has had what it has.
    pub(crate) fn turns(&self, purpose: Purpose, now: Timestamp, room: usize, exhausted: &[TenantId]) -> Vec<Turn> {
        let lane = self.lane(purpose);
        let last = lane.last.as_ref();
        let after = lane.heads.iter().filter(|(tenant, _)| last.is_none_or(|last| *tenant > last));
        let before = lane.heads.iter().filter(|(tenant, _)| last.is_some_and(|last| *tenant <= last));
        let due: Vec<_> = after
            .chain(before)
            .filter(|(tenant, place)| place.0 <= now && !exhausted.contains(tenant))
            .take(TENANTS)
            .collect();
        let share = (room / due.len().max(1)).max(1);
        let mut left = room;
        let mut turns = Vec::new();
        for (tenant, from) in due {
            let asked = share.min(left);
            if asked == 0 {
                break;
            }
            left -= asked;
            turns.push(Turn {
                tenant: tenant.clone(),
                from: *from,
                share: asked,
            });
        }
        turns
    }

    /// Notes what a turn has brought: the place of the last message, or none when nothing is left from there on.
    pub(crate) fn took(&self, purpose: Purpose, turn: &Turn, last: Option<Place>, is_all: bool) {
        let mut lane = self.lane(purpose);
        if last.is_some() {
            lane.last = Some(turn.tenant.clone());
        }
        // Something that was stored meanwhile with an earlier time has lowered the head; that stays.
        let unchanged = lane.heads.get(&turn.tenant) == Some(&turn.from);
        match last {
            _ if !unchanged => {}
            Some(place) if !is_all => {
                lane.heads.insert(turn.tenant.clone(), place);
            }
            _ => {
                lane.heads.remove(&turn.tenant);
            }
        }
    }

    /// Notes that a message that waits was stored.
    pub(crate) fn stored(&self, new: &NewMessage) {
        if let Some(due_at) = new.work.due_at() {
            let message = &new.message;
            self.note(message.handling.purpose, &message.tenant, (due_at, message.id));
        }
    }

    /// Notes that a message was put back. A step does not say in which lane, so it is looked for in all.
    pub(crate) fn moved(&self, step: &Step) {
        if let Some(due_at) = step.work.due_at() {
            for purpose in fence::LANES {
                self.note(purpose, &step.tenant, (due_at, step.message_id));
            }
        }
    }

    fn note(&self, purpose: Purpose, tenant: &TenantId, place: Place) {
        let mut lane = self.lane(purpose);
        lane.stored += 1;
        lower(&mut lane.heads, tenant, place);
    }
}

fn lower(heads: &mut BTreeMap<TenantId, Place>, tenant: &TenantId, place: Place) {
    match heads.get_mut(tenant) {
        Some(head) => *head = place.min(*head),
        None => {
            heads.insert(tenant.clone(), place);
        }
    }
}
