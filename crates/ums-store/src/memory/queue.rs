//! The queue in memory: what waits, and who takes turns at it.

use std::convert::Infallible;
use std::ops::Bound;

use ums_core::{MessageId, MessageRecord, Purpose, Room, TenantId, Timestamp, Work};
use uuid::Uuid;

use super::state::State;
use crate::fence;
use crate::turns::{self, Lane};

impl State {
    pub(super) fn claim_due(&mut self, now: Timestamp, room: Room) -> Vec<MessageRecord> {
        let mut turns = std::mem::take(&mut self.turns);
        let mut claimed = Vec::new();
        for (purpose, last) in fence::LANES.into_iter().zip(turns.iter_mut()) {
            let mut lane = DueInLane { state: self, now, purpose };
            let Ok(taken) = turns::take(&mut lane, room.of(purpose), last);
            claimed.extend(taken);
        }
        self.turns = turns;
        claimed
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let firsts = fence::LANES.into_iter().filter_map(|purpose| {
            let lane = fence::lane(purpose);
            self.next.range(first_of(lane)..).next().filter(|row| row.0 == lane)
        });
        firsts.map(|row| row.1).min()
    }

    pub(super) fn backlog(&self) -> usize {
        self.due.len()
    }

    pub(super) fn under_way(&self, limit: usize) -> Vec<(TenantId, MessageId)> {
        let entries = self.messages.iter().filter(|(_, entry)| entry.record.is_under_way());
        let keys = entries.map(|(id, entry)| (entry.record.message.tenant.clone(), *id));
        keys.take(limit).collect()
    }
}

/// What is due in one lane.
struct DueInLane<'a> {
    state: &'a mut State,
    now: Timestamp,
    purpose: Purpose,
}

impl DueInLane<'_> {
    /// Marks messages as being worked on.
    fn own(&mut self, ids: Vec<MessageId>) -> Vec<MessageRecord> {
        let mut owned = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(entry) = self.state.messages.get_mut(&id) else { continue };
            let was_due_at = std::mem::replace(&mut entry.record.work, Work::InHand).due_at();
            entry.record.token += 1;
            owned.push(entry.record.clone());
            self.state.settle(id, was_due_at, usize::MAX);
        }
        owned
    }
}

impl Lane for DueInLane<'_> {
    type Taken = MessageRecord;
    type Error = Infallible;

    fn next_tenant(&mut self, after: Option<&TenantId>) -> Result<Option<TenantId>, Infallible> {
        let lane = fence::lane(self.purpose);
        let from = match after {
            None => Bound::Included((lane, TenantId::new(""), EARLIEST, MessageId::from_uuid(Uuid::nil()))),
            Some(tenant) => Bound::Excluded((lane, tenant.clone(), LATEST, MessageId::from_uuid(Uuid::max()))),
        };
        let next = self.state.due.range((from, Bound::Unbounded)).next();
        Ok(next.filter(|place| place.0 == lane).map(|place| place.1.clone()))
    }

    fn take_of(&mut self, tenant: &TenantId, limit: usize) -> Result<Vec<MessageRecord>, Infallible> {
        let lane = fence::lane(self.purpose);
        let from = (lane, tenant.clone(), EARLIEST, MessageId::from_uuid(Uuid::nil()));
        let to = (lane, tenant.clone(), self.now, MessageId::from_uuid(Uuid::max()));
        let ids = self.state.due.range(from..=to).take(limit).map(|place| place.3).collect();
        Ok(self.own(ids))
    }

    fn take_any(&mut self, limit: usize) -> Result<Vec<MessageRecord>, Infallible> {
        let lane = fence::lane(self.purpose);
        let to = (lane, self.now, MessageId::from_uuid(Uuid::max()));
        let ids = self.state.next.range(first_of(lane)..=to).take(limit).map(|row| row.2).collect();
        Ok(self.own(ids))
    }
}

const EARLIEST: Timestamp = Timestamp::from_micros(i64::MIN);
const LATEST: Timestamp = Timestamp::from_micros(i64::MAX);

const fn first_of(lane: u8) -> (u8, Timestamp, MessageId) {
    (lane, EARLIEST, MessageId::from_uuid(Uuid::nil()))
}
