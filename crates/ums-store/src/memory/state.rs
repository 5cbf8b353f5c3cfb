//! What the store in memory keeps, and the changes to it; each is made whole under one lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use ums_core::{
    AccountId, AttemptOutcome, AttemptRecord, BreakerRecord, FIRST_TOKEN, FailureClass, Message, MessageId, MessageRecord, NewMessage,
    ProviderKind, Pruned, Purpose, Recovered, Retention, Room, Status, Step, StoreError, Stored, TenantId, Timestamp,
};
use uuid::Uuid;

use crate::batch::{self, Twins};
use crate::fence::{self, Leave, Process, Standing};
use crate::turns::{self, Lane};

/// The one process that there is.
const PROCESS: Process = Process { owner: 0, may_send: true };

/// A message's place in its lane's queue.
type Place = (u8, TenantId, Timestamp, MessageId);

#[derive(Default)]
pub(super) struct State {
    pub(super) messages: BTreeMap<MessageId, Entry>,
    /// What waits, tenant after tenant of a lane, and what is due first in it.
    due: BTreeSet<Place>,
    next: BTreeSet<(u8, Timestamp, MessageId)>,
    /// Who had the last turn in each lane.
    turns: [Option<TenantId>; fence::LANES.len()],
    /// Ended messages in the order of their ends.
    ended: VecDeque<(u64, MessageId)>,
    /// How often a message has ended.
    endings: u64,
    keys: HashMap<(TenantId, String), Key>,
    pub(super) breakers: BTreeMap<(ProviderKind, AccountId), BreakerRecord>,
}

pub(super) struct Entry {
    pub(super) record: MessageRecord,
    keys: Vec<String>,
    /// The number of its ending, unless it is unfinished.
    ending: Option<u64>,
    /// Of the last step.
    mark: Option<i64>,
}

struct Key {
    fingerprint: [u8; 32],
    message_id: MessageId,
    expires_at: Timestamp,
}

impl Entry {
    fn is_under_way(&self) -> bool {
        fence::is_under_way(self.record.status, self.record.due_at)
    }
}

impl State {
    pub(super) fn entry(&self, tenant: &TenantId, id: MessageId) -> Option<&Entry> {
        self.messages.get(&id).filter(|entry| entry.record.message.tenant == *tenant)
    }

    pub(super) fn accept(&mut self, new: NewMessage, now: Timestamp, keep_ended: usize) -> Stored {
        if let Some(earlier) = self.earlier_by_key(&new, now) {
            return earlier;
        }
        let id = new.message.id;
        let stored = self.insert(new);
        if stored == Stored::New {
            self.settle(id, None, keep_ended);
        }
        stored
    }

    pub(super) fn accept_all(&mut self, new: Vec<NewMessage>, now: Timestamp, keep_ended: usize) -> Vec<Stored> {
        let mut twins = Twins::default();
        let earlier = |new: &NewMessage| {
            let by_id = || {
                self.messages
                    .contains_key(&new.message.id)
                    .then_some(Stored::Replayed(new.message.id))
            };
            self.earlier_by_key(new, now).or_else(by_id)
        };
        let answers: Vec<Stored> = new.iter().map(|new| twins.answer(new, earlier(new))).collect();
        if batch::is_new(&answers) {
            for new in new {
                self.accept(new, now, keep_ended);
            }
        }
        answers
    }

    /// What an earlier request under the same key makes of this one.
    fn earlier_by_key(&self, new: &NewMessage, now: Timestamp) -> Option<Stored> {
        let idempotency = new.idempotency.as_ref()?;
        let key = self
            .keys
            .get(&(new.message.tenant.clone(), idempotency.key.clone()))
            .filter(|key| key.expires_at > now)?;
        let same = key.fingerprint == idempotency.fingerprint;
        Some(if same {
            Stored::Replayed(key.message_id)
        } else {
            Stored::KeyConflict
        })
    }

    fn insert(&mut self, new: NewMessage) -> Stored {
        let NewMessage {
            message,
            status,
            error,
            due_at,
            recipients,
            intent,
            skips,
            idempotency,
            notices: _,
        } = new;
        let id = message.id;
        let mut keys = Vec::new();
        if let Some(idempotency) = idempotency {
            let row = Key {
                fingerprint: idempotency.fingerprint,
                message_id: id,
                expires_at: idempotency.expires_at,
            };
            self.keys.insert((message.tenant.clone(), idempotency.key.clone()), row);
            keys.push(idempotency.key);
        }
        if let Some(entry) = self.messages.get_mut(&id) {
            entry.keys.append(&mut keys);
            return Stored::Replayed(id);
        }
        let record = MessageRecord {
            message,
            status,
            sent_at: None,
            delivered_at: None,
            due_at: fence::due(status, due_at),
            error,
            recipients,
            attempts: intent.into_iter().collect(),
            skips,
            acts: Vec::new(),
            events: Vec::new(),
            token: FIRST_TOKEN,
        };
        let entry = Entry {
            record,
            keys,
            ending: None,
            mark: None,
        };
        self.messages.insert(id, entry);
        Stored::New
    }

    pub(super) fn record(&mut self, step: Step, keep_ended: usize) -> Result<(), StoreError> {
        let id = step.message_id;
        let entry = self
            .messages
            .get_mut(&id)
            .filter(|entry| entry.record.message.tenant == step.tenant)
            .ok_or(StoreError::NotFound)?;
        let standing = Standing {
            status: entry.record.status,
            owner: entry.is_under_way().then_some(PROCESS.owner),
            token: entry.record.token,
            mark: entry.mark,
        };
        let mark = fence::mark(PROCESS.owner, &step);
        let Leave::Write { token, owner: _ } = fence::judge(&standing, PROCESS, &step, mark)? else {
            return Ok(());
        };
        let was_due_at = entry.record.due_at;
        (entry.record.token, entry.mark) = (token, Some(mark));
        apply(&mut entry.record, step);
        self.settle(id, was_due_at, keep_ended);
        Ok(())
    }

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
        let entries = self.messages.iter().filter(|(_, entry)| entry.is_under_way());
        let keys = entries.map(|(id, entry)| (entry.record.message.tenant.clone(), *id));
        keys.take(limit).collect()
    }

    /// Queues messages again that nobody works on any more.
    pub(super) fn give_back(&mut self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Recovered {
        let mut recovered = Recovered::default();
        for (tenant, id) in messages {
            let entry = self.messages.get_mut(id).filter(|entry| entry.record.message.tenant == *tenant);
            let Some(entry) = entry.filter(|entry| entry.is_under_way()) else {
                continue;
            };
            let record = &mut entry.record;
            (record.status, record.due_at) = (Status::Queued, Some(now));
            record.token += 1;
            for recipient in &mut record.recipients {
                if matches!(recipient.status, Status::Pending | Status::Scheduled | Status::Sending) {
                    recipient.status = Status::Queued;
                }
            }
            match record.attempts.iter_mut().filter_map(lose).sum() {
                0 => recovered.requeued += 1,
                calls => recovered.unknown += calls,
            }
            self.settle(*id, None, usize::MAX);
        }
        recovered
    }

    pub(super) fn prune(&mut self, retention: Retention, now: Timestamp, limit: usize) -> Pruned {
        let is_old = |entry: &Entry, before| entry.record.status.is_final() && entry.record.message.accepted_at < before;
        let mut pruned = Pruned::default();
        for entry in self.messages.values_mut() {
            if pruned.bodies < count(limit) && is_old(entry, retention.bodies_before) && entry.record.message.content.has_body() {
                entry.record.message = without_body(&entry.record.message);
                pruned.bodies += 1;
            }
        }
        let old = self
            .messages
            .iter()
            .filter(|(_, entry)| is_old(entry, retention.messages_before))
            .map(|(id, _)| *id);
        for id in old.take(limit).collect::<Vec<_>>() {
            self.messages.remove(&id);
            pruned.messages += 1;
        }
        let over = self
            .keys
            .iter()
            .filter(|(_, key)| key.expires_at <= now)
            .map(|(key, _)| key.clone());
        for key in over.take(limit).collect::<Vec<_>>() {
            self.keys.remove(&key);
            pruned.keys += 1;
        }
        let full = count(limit);
        pruned.more = limit > 0 && [pruned.bodies, pruned.messages, pruned.keys].contains(&full);
        pruned
    }

    /// Puts a message that has changed where it belongs: among the due, or among the ended.
    fn settle(&mut self, id: MessageId, was_due_at: Option<Timestamp>, keep_ended: usize) {
        let Some(entry) = self.messages.get_mut(&id) else { return };
        let record = &entry.record;
        let (lane, tenant) = (fence::lane(record.message.handling.purpose), &record.message.tenant);
        if was_due_at != record.due_at {
            if let Some(due_at) = was_due_at {
                self.due.remove(&(lane, tenant.clone(), due_at, id));
                self.next.remove(&(lane, due_at, id));
            }
            if let Some(due_at) = record.due_at {
                self.due.insert((lane, tenant.clone(), due_at, id));
                self.next.insert((lane, due_at, id));
            }
        }
        match (record.status.is_final(), entry.ending) {
            (true, None) => {
                self.endings += 1;
                entry.ending = Some(self.endings);
                self.ended.push_back((self.endings, id));
                self.forget_oldest(keep_ended);
            }
            (false, Some(_)) => entry.ending = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn forget_oldest(&mut self, keep_ended: usize) {
        while self.ended.len() > keep_ended {
            let Some((ending, id)) = self.ended.pop_front() else { return };
            // A message that was sent again stands further back, or is not ended any more.
            if self.messages.get(&id).is_none_or(|entry| entry.ending != Some(ending)) {
                continue;
            }
            let Some(Entry { record, keys, .. }) = self.messages.remove(&id) else {
                continue;
            };
            for key in keys {
                let key = (record.message.tenant.clone(), key);
                if self.keys.get(&key).is_some_and(|row| row.message_id == id) {
                    self.keys.remove(&key);
                }
            }
        }
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
            let was_due_at = entry.record.due_at.take();
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

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Ends a call whose process is dead as unknown. Counts it.
fn lose(attempt: &mut AttemptRecord) -> Option<u64> {
    if attempt.outcome != AttemptOutcome::Calling {
        return None;
    }
    attempt.outcome = AttemptOutcome::Unknown;
    attempt.class = Some(FailureClass::Unknown);
    attempt.code = Some("process_ended".to_owned());
    attempt.detail = Some("the process ended during the call".to_owned());
    Some(1)
}

/// Applies a step that the fence let pass.
fn apply(record: &mut MessageRecord, step: Step) {
    for attempt in step.attempts {
        match record.attempts.iter_mut().find(|known| known.id == attempt.id) {
            Some(known) => *known = attempt,
            None => record.attempts.push(attempt),
        }
    }
    record.skips.extend(step.skips);
    record.acts.extend(step.act);
    record.status = step.status;
    record.error = step.error;
    record.due_at = fence::due(step.status, step.due_at);
    record.sent_at = step.sent_at.or(record.sent_at);
    if let Some(recipients) = step.recipients {
        record.recipients = recipients;
    }
    if let Some(expires_at) = step.expires_at.filter(|at| *at != record.message.expires_at) {
        Arc::make_mut(&mut record.message).expires_at = expires_at;
    }
    if step.forget_body && record.message.content.has_body() {
        record.message = without_body(&record.message);
    }
}

fn without_body(message: &Message) -> Arc<Message> {
    Arc::new(Message {
        id: message.id,
        tenant: message.tenant.clone(),
        content: message.content.without_body(),
        handling: message.handling.clone(),
        metadata: message.metadata.clone(),
        accepted_at: message.accepted_at,
        expires_at: message.expires_at,
    })
}
