//! What the store in memory keeps, and the changes to it; each is made whole under one lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use ums_core::{
    AccountId, BreakerRecord, Content, FIRST_TOKEN, KeptTime, Lift, ListNotice, Message, MessageId, MessageRecord, MustNotContact,
    NewMessage, ProviderKind, ProviderSwitch, Recovered, Status, Step, StoreError, Stored, Suppression, TenantId, Timestamp, Work,
};

use super::calls::Calls;
use super::events::Events;
use super::outbox::Outbox;
use super::rates::Rates;
use super::suppressions::Suppressions;
use crate::batch::{self, Twins};
use crate::fence::{self, Judge, Leave, Process, Standing};
use crate::json::json_bytes;
use crate::{encoded, kept, listed};

/// The one process that there is.
const PROCESS: Process = Process { owner: 0, may_send: true };

/// A message's place in its lane's queue.
type Place = (u8, TenantId, Timestamp, MessageId);

#[derive(Default)]
pub(super) struct State {
    pub(super) messages: BTreeMap<MessageId, Entry>,
    /// What waits, tenant after tenant of a lane, and what is due first in it.
    pub(super) due: BTreeSet<Place>,
    pub(super) next: BTreeSet<(u8, Timestamp, MessageId)>,
    /// Who had the last turn in each lane.
    pub(super) turns: [Option<TenantId>; fence::LANES.len()],
    /// Ended messages in the order of their ends.
    pub(super) ended: VecDeque<(u64, MessageId)>,
    /// How often a message has ended.
    endings: u64,
    pub(super) keys: HashMap<(TenantId, String), Key>,
    pub(super) breakers: BTreeMap<(ProviderKind, AccountId), BreakerRecord>,
    pub(super) switches: BTreeMap<(ProviderKind, AccountId), ProviderSwitch>,
    pub(super) calls: Calls,
    pub(super) events: Events,
    pub(super) suppressions: Suppressions,
    pub(super) outbox: Outbox,
    pub(super) rates: Rates,
    /// How far sources of feedback were read.
    pub(super) cursors: HashMap<String, String>,
    pub(super) kept_time: Option<KeptTime>,
}

pub(super) struct Entry {
    pub(super) record: MessageRecord,
    /// The status as a row would have it, from which the record's word follows.
    kept: Status,
    pub(super) keys: Vec<String>,
    /// The number of its ending, unless it is unfinished.
    pub(super) ending: Option<u64>,
    /// When the body is emptied, if nothing says otherwise before.
    pub(super) forget_body_at: Option<Timestamp>,
    /// Of the last step.
    mark: Option<i64>,
    /// The message with its large content, while the record carries only the envelope.
    pub(super) whole: Option<Arc<Message>>,
}

impl Entry {
    /// Empties the body. Whether there was one.
    pub(super) fn forget_body(&mut self) -> bool {
        let had_body = self.record.has_body();
        if had_body {
            let message = &self.record.message;
            self.record.message = with_content(message, message.content.without_body());
            (self.record.apart, self.whole) = (None, None);
        }
        had_body
    }

    /// The whole content.
    pub(super) fn content(&self) -> &Content {
        &self.whole.as_ref().unwrap_or(&self.record.message).content
    }
}

pub(super) struct Key {
    fingerprint: [u8; 32],
    pub(super) message_id: MessageId,
    pub(super) expires_at: Timestamp,
}

impl State {
    pub(super) fn entry(&self, tenant: &TenantId, id: MessageId) -> Option<&Entry> {
        self.messages.get(&id).filter(|entry| entry.record.message.tenant == *tenant)
    }

    /// All that is known of a message, its events included.
    pub(super) fn whole(&self, id: MessageId) -> Option<MessageRecord> {
        let record = self.messages.get(&id)?.record.clone();
        Some(MessageRecord {
            events: self.events.of(id),
            ..record
        })
    }

    pub(super) fn accept(&mut self, new: NewMessage, now: Timestamp, keep_ended: usize) -> Result<Stored, StoreError> {
        if let Some(earlier) = self.earlier_by_key(&new) {
            return Ok(earlier);
        }
        let id = new.message.id;
        if !self.messages.contains_key(&id)
            && let Some(listed) = self.forbids_new(&new, now)
        {
            return Err(StoreError::MustNotContact(vec![listed]));
        }
        let stored = self.insert(new);
        if stored == Stored::New {
            self.settle(id, None, keep_ended);
        }
        Ok(stored)
    }

    pub(super) fn accept_all(&mut self, new: Vec<NewMessage>, now: Timestamp, keep_ended: usize) -> Result<Vec<Stored>, StoreError> {
        let mut twins = Twins::default();
        let answers: Vec<Stored> = new.iter().map(|new| twins.answer(new, self.earlier(new))).collect();
        if batch::is_new(&answers) {
            let listed: Vec<_> = new.iter().filter_map(|new| self.forbids_new(new, now)).collect();
            if !listed.is_empty() {
                return Err(StoreError::MustNotContact(listed));
            }
            for new in new {
                self.accept(new, now, keep_ended)?;
            }
        }
        Ok(answers)
    }

    fn forbids_new(&self, new: &NewMessage, now: Timestamp) -> Option<MustNotContact> {
        let addresses = listed::contacts_of(new);
        let listing = self.suppressions.of(&new.message.tenant, new.message.content.channel(), &addresses);
        listed::must_not_contact(new.message.id, &new.message.handling.occasion(), &listing, now)
    }

    /// What an earlier request makes of this one.
    fn earlier(&self, new: &NewMessage) -> Option<Stored> {
        let id = new.message.id;
        let by_id = || self.messages.contains_key(&id).then_some(Stored::Replayed(id));
        self.earlier_by_key(new).or_else(by_id)
    }

    /// What an earlier request under the same key makes of this one.
    fn earlier_by_key(&self, new: &NewMessage) -> Option<Stored> {
        let idempotency = new.idempotency.as_ref()?;
        // A key whose time is over still holds: only pruning knows whether the clock is sure.
        let key = self.keys.get(&(new.message.tenant.clone(), idempotency.key.clone()))?;
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
            work,
            recipients,
            intent,
            skips,
            idempotency,
            notices,
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
        let kept = kept::status_of(status, work);
        let (message, whole, apart) = read_apart(message);
        let record = MessageRecord {
            message,
            apart,
            status,
            sent_at: None,
            delivered_at: None,
            work,
            error,
            recipients,
            attempts: intent.into_iter().collect(),
            skips,
            acts: Vec::new(),
            events: Vec::new(),
            token: FIRST_TOKEN,
        };
        let entry = Entry {
            record: kept::with_word(record, kept),
            kept,
            keys,
            ending: None,
            forget_body_at: None,
            mark: None,
            whole,
        };
        for attempt in &entry.record.attempts {
            self.calls.note(id, attempt);
        }
        self.messages.insert(id, entry);
        self.outbox.add(notices);
        Stored::New
    }

    /// What the fence has to know of a step's message.
    pub(super) fn standing(&self, step: &Step) -> Result<Standing, StoreError> {
        let entry = self.entry(&step.tenant, step.message_id).ok_or(StoreError::NotFound)?;
        Ok(Standing {
            status: entry.kept,
            owner: entry.record.is_under_way().then_some(PROCESS.owner),
            token: entry.record.token,
            mark: entry.mark,
        })
    }

    pub(super) fn record(&mut self, judge: Judge, mut step: Step, now: Timestamp, keep_ended: usize) -> Result<(), StoreError> {
        let mark = fence::mark(PROCESS.owner, &step);
        let standing = self.standing(&step)?;
        let Leave::Write { token, owner: _ } = judge(&standing, PROCESS, &step, mark)? else {
            return Ok(());
        };
        if let Some(listed) = self.forbids_call(&step, now) {
            return Err(StoreError::MustNotContact(vec![listed]));
        }
        let id = step.message_id;
        let events = std::mem::take(&mut step.events);
        let (suppress, lift) = (std::mem::take(&mut step.suppress), std::mem::take(&mut step.lift));
        let (notices, list_notices) = (std::mem::take(&mut step.notices), std::mem::take(&mut step.list_notices));
        let undos = std::mem::take(&mut step.undo);
        let Some(entry) = self.messages.get_mut(&id) else {
            return Err(StoreError::NotFound);
        };
        let was_due_at = entry.record.work.due_at();
        (entry.record.token, entry.mark) = (token, Some(mark));
        entry.kept = kept::status_of(step.status, step.work);
        entry.forget_body_at = step.forget_body_at.or(entry.forget_body_at);
        for attempt in &step.attempts {
            self.calls.note(id, attempt);
        }
        let forget_body = step.forget_body;
        apply(&mut entry.record, step);
        if forget_body {
            entry.forget_body();
        }
        entry.record.status = kept::word(&entry.record, entry.kept);
        self.events.give(id, events);
        self.note_aside(suppress, &lift, &list_notices, now);
        for undo in undos {
            self.suppressions.decide(&undo, now);
        }
        self.outbox.add(notices);
        self.settle(id, was_due_at, keep_ended);
        Ok(())
    }

    fn forbids_call(&self, step: &Step, now: Timestamp) -> Option<MustNotContact> {
        let call = listed::call_after(step)?;
        let entry = self.messages.get(&step.message_id)?;
        let recipients = step.recipients.as_ref().unwrap_or(&entry.record.recipients);
        let addresses = listed::to_contact(call, recipients);
        let listing = self.suppressions.of(&step.tenant, call.channel, &addresses);
        listed::forbids(step, call.channel, &addresses, listing, now)
    }

    /// Changes the suppression list, and adds the notices of what had an effect.
    pub(super) fn note_aside(&mut self, suppress: Vec<Suppression>, lift: &[Lift], notices: &[ListNotice], now: Timestamp) -> Vec<bool> {
        let suppressed: Vec<bool> = suppress.into_iter().map(|entry| self.suppressions.put(entry, now)).collect();
        let lifted: Vec<bool> = lift.iter().map(|lift| self.suppressions.lift(lift, now)).collect();
        self.outbox.add(listed::told(notices, &suppressed, &lifted));
        [suppressed, lifted].concat()
    }

    /// Queues messages again that nobody works on any more.
    pub(super) fn give_back(&mut self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Recovered {
        let mut recovered = Recovered::default();
        for (tenant, id) in messages {
            let entry = self.messages.get_mut(id).filter(|entry| entry.record.message.tenant == *tenant);
            let Some(entry) = entry.filter(|entry| entry.record.is_under_way()) else {
                continue;
            };
            let record = &mut entry.record;
            record.work = Work::Due(now);
            record.token += 1;
            for recipient in &mut record.recipients {
                if matches!(recipient.status, Status::Pending | Status::Scheduled | Status::Sending) {
                    recipient.status = Status::Queued;
                }
            }
            match record.attempts.iter_mut().map(|attempt| u64::from(attempt.lose())).sum() {
                0 => recovered.requeued += 1,
                calls => recovered.unknown += calls,
            }
            entry.kept = Status::Queued;
            record.status = kept::word(record, entry.kept);
            self.settle(*id, None, usize::MAX);
        }
        recovered
    }

    /// Puts a message that has changed where it belongs: among the due, or among the ended.
    pub(super) fn settle(&mut self, id: MessageId, was_due_at: Option<Timestamp>, keep_ended: usize) {
        let Some(entry) = self.messages.get_mut(&id) else { return };
        let record = &entry.record;
        let (lane, tenant) = (fence::lane(record.message.handling.purpose), &record.message.tenant);
        let due_at = record.work.due_at();
        if was_due_at != due_at {
            if let Some(due_at) = was_due_at {
                self.due.remove(&(lane, tenant.clone(), due_at, id));
                self.next.remove(&(lane, due_at, id));
            }
            if let Some(due_at) = due_at {
                self.due.insert((lane, tenant.clone(), due_at, id));
                self.next.insert((lane, due_at, id));
            }
        }
        match (record.has_ended(), entry.ending) {
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
}

/// Applies a step that the fence let pass, but for the word for its message.
fn apply(record: &mut MessageRecord, step: Step) {
    for attempt in step.attempts {
        match record.attempts.iter_mut().find(|known| known.id == attempt.id) {
            Some(known) => *known = attempt,
            None => record.attempts.push(attempt),
        }
    }
    record.skips.extend(step.skips);
    record.acts.extend(step.act);
    record.error = step.error;
    record.work = step.work;
    record.sent_at = step.sent_at.or(record.sent_at);
    record.delivered_at = step.delivered_at.or(record.delivered_at);
    if let Some(recipients) = step.recipients {
        record.recipients = recipients;
    }
    if let Some(expires_at) = step.expires_at.filter(|at| *at != record.message.expires_at) {
        Arc::make_mut(&mut record.message).expires_at = expires_at;
    }
}

/// A message as its record carries it: with the envelope of a large content. Then the whole message, and the bytes of its content.
fn read_apart(message: Arc<Message>) -> (Arc<Message>, Option<Arc<Message>>, Option<usize>) {
    let bytes = json_bytes(&message.content);
    match encoded::envelope(&message.content, bytes) {
        Some(envelope) => (with_content(&message, envelope), Some(message), Some(bytes)),
        None => (message, None, None),
    }
}

fn with_content(message: &Message, content: Content) -> Arc<Message> {
    Arc::new(Message {
        id: message.id,
        tenant: message.tenant.clone(),
        content,
        handling: message.handling.clone(),
        metadata: message.metadata.clone(),
        accepted_at: message.accepted_at,
        expires_at: message.expires_at,
    })
}
