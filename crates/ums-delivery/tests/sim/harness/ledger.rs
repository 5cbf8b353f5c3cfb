//! What the simulated store keeps, and its rules: a plain model of the port's contract on one state for all processes.
//!
//! Steps of messages are recorded in [`steps`](super::steps). A [`Flaw`] breaks one rule of the store on purpose, to prove that the
//! simulator notices.

use std::collections::{BTreeMap, BTreeSet};

use ums_core::{
    AccountId, AttemptOutcome, AttemptRecord, BreakerRecord, FIRST_TOKEN, FailureClass, KeptTime, MessageId, MessageRecord, NewMessage,
    ProviderKind, Purpose, RecipientSet, Recovered, Room, Status, StoreError, Stored, TenantId, Timestamp, Work,
};

use super::optouts::{OptOuts, forbids};
use super::steps;
use super::world::{SECOND, Told, World, number_of, short};

/// How long a lease lasts.
pub(crate) const LEASE: u64 = 60 * SECOND;

/// A rule that the store breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A write is taken whatever its token and its writer.
    FenceDropped,
    /// An intent without an outcome is taken for an attempt that was not made.
    RecoveryTrusts,
    /// A claim takes messages that another process works on.
    ClaimTakesOwned,
    /// Recovery takes messages of processes that are alive.
    LeasesIgnored,
    /// A key is not looked for before a message is stored.
    KeysForgotten,
    /// The suppression list is not looked at before an intent is committed.
    ListNotRead,
}

impl Flaw {
    /// All there are.
    pub(crate) const ALL: [Self; 6] = [
        Self::FenceDropped,
        Self::RecoveryTrusts,
        Self::ClaimTakesOwned,
        Self::LeasesIgnored,
        Self::KeysForgotten,
        Self::ListNotRead,
    ];
}

/// A message as the store has it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) record: MessageRecord,
    /// The status of the work, by which the moves that are legal are judged. The record has the word for the message, which is another
    /// one while the first recipient has an end and others are open.
    pub(super) kept: Status,
    pub(crate) owner: Option<i64>,
    /// By which the last step is known again.
    pub(super) mark: Option<u64>,
    /// How many attempts there were when an operator had it sent again: he answers for those.
    pub(crate) pardoned: usize,
    /// Whether an operator said what became of it.
    pub(crate) marked: bool,
}

impl Row {
    /// Attempts since an operator last answered for them.
    pub(crate) fn unpardoned(&self) -> &[AttemptRecord] {
        self.record.attempts.get(self.pardoned..).unwrap_or_default()
    }

    /// How many of those may have reached the recipient at that place, and nobody knows.
    pub(crate) fn unknown_for(&self, place: usize) -> usize {
        let of_it = self.unpardoned().iter().filter(|attempt| attempt.is_unknown_for(place));
        of_it.count()
    }

    /// Sets the status of the work, and with it the word for the message.
    pub(super) fn keep(&mut self, status: Status) {
        self.kept = status;
        self.record.status = if self.record.has_ended() {
            status
        } else {
            self.record.word(status)
        };
    }
}

/// The status that is kept of a message with open recipients is never an end.
pub(super) const fn kept_status(status: Status, work: Work) -> Status {
    match work {
        Work::Due(_) if status.is_final() => Status::Queued,
        Work::InHand if status.is_final() => Status::Sending,
        Work::Due(_) | Work::InHand | Work::Ended => status,
    }
}

/// A process as the store knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// The end of its lease.
    pub(crate) until: u64,
    /// Which process, which incarnation.
    pub(crate) process: (usize, u64),
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) rows: BTreeMap<MessageId, Row>,
    pub(crate) keys: BTreeMap<(TenantId, String), ([u8; 32], MessageId)>,
    pub(crate) owners: BTreeMap<i64, Owner>,
    pub(crate) breakers: BTreeMap<ProviderKind, BreakerRecord>,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) optouts: OptOuts,
    pub(crate) kept_time: Option<KeptTime>,
    probes: BTreeMap<ProviderKind, (i64, u64)>,
    registered: i64,
}

impl Ledger {
    /// An empty store with a flaw, or none.
    pub(crate) fn new(flaw: Option<Flaw>) -> Self {
        Self { flaw, ..Self::default() }
    }

    /// Makes a process known.
    pub(crate) fn register(&mut self, process: (usize, u64), now: u64) -> i64 {
        self.registered += 1;
        let until = now + LEASE;
        self.owners.insert(self.registered, Owner { until, process });
        self.registered
    }

    /// Keeps a process known, or makes it known anew.
    pub(crate) fn renew(&mut self, owner: i64, process: (usize, u64), now: u64) -> i64 {
        match self.owners.get_mut(&owner) {
            Some(known) => {
                known.until = now + LEASE;
                owner
            }
            None => self.register(process, now),
        }
    }

    pub(super) fn row(&self, tenant: &TenantId, id: MessageId) -> Option<&Row> {
        self.rows.get(&id).filter(|row| row.record.message.tenant == *tenant)
    }

    /// One message.
    pub(crate) fn message(&self, tenant: &TenantId, id: MessageId) -> Option<MessageRecord> {
        self.row(tenant, id).map(|row| row.record.clone())
    }

    /// What an earlier request under the same key makes of this one.
    fn earlier(&self, new: &NewMessage) -> Option<Stored> {
        if self.rows.contains_key(&new.message.id) {
            return Some(Stored::Replayed(new.message.id));
        }
        let key = new.idempotency.as_ref().filter(|_| self.flaw != Some(Flaw::KeysForgotten))?;
        let (fingerprint, id) = self.keys.get(&(new.message.tenant.clone(), key.key.clone()))?;
        Some(if *fingerprint == key.fingerprint {
            Stored::Replayed(*id)
        } else {
            Stored::KeyConflict
        })
    }

    fn insert(&mut self, new: NewMessage, writer: i64) {
        let id = new.message.id;
        if let Some(key) = new.idempotency {
            self.keys.insert((new.message.tenant.clone(), key.key), (key.fingerprint, id));
        }
        let record = MessageRecord {
            apart: None,
            status: new.status,
            sent_at: None,
            delivered_at: None,
            work: new.work,
            error: new.error,
            recipients: new.recipients,
            attempts: new.intent.into_iter().collect(),
            skips: new.skips,
            acts: Vec::new(),
            events: Vec::new(),
            token: FIRST_TOKEN,
            message: new.message,
        };
        let kept = kept_status(record.status, record.work);
        let mut row = Row {
            owner: record.is_under_way().then_some(writer),
            record,
            kept,
            mark: None,
            pardoned: 0,
            marked: false,
        };
        row.keep(kept);
        self.rows.insert(id, row);
    }

    /// Messages that wait for their time.
    fn waiting(&self) -> impl Iterator<Item = (&MessageId, &Row, Timestamp)> {
        self.rows
            .iter()
            .filter_map(|(id, row)| row.record.work.due_at().map(|due_at| (id, row, due_at)))
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.waiting().map(|(_, _, due_at)| due_at).min()
    }

    /// How many wait.
    pub(crate) fn backlog(&self, at_most: u64) -> u64 {
        u64::try_from(self.waiting().count()).unwrap().min(at_most)
    }

    /// Messages that a process works on.
    pub(crate) fn under_way(&self, owner: i64, limit: usize) -> Vec<(TenantId, MessageId)> {
        let own = self.rows.iter().filter(|(_, row)| row.owner == Some(owner));
        own.map(|(id, row)| (row.record.message.tenant.clone(), *id)).take(limit).collect()
    }

    /// The due messages of a lane, the tenants in turn.
    fn due_in_lane(&self, lane: Purpose, now: Timestamp, limit: usize) -> Vec<MessageId> {
        let mut by_tenant: BTreeMap<&TenantId, BTreeSet<(Timestamp, MessageId)>> = BTreeMap::new();
        for (id, row) in &self.rows {
            let message = &row.record.message;
            let owned_by_another = row.owner.is_some() && self.flaw == Some(Flaw::ClaimTakesOwned);
            let due_at = row.record.work.due_at().or_else(|| owned_by_another.then_some(now));
            if let Some(due_at) = due_at.filter(|due_at| *due_at <= now && message.handling.purpose == lane) {
                by_tenant.entry(&message.tenant).or_default().insert((due_at, *id));
            }
        }
        let mut turns: Vec<_> = by_tenant
            .values()
            .flat_map(|due| due.iter().enumerate().map(|(turn, (_, id))| (turn, *id)))
            .collect();
        turns.sort_by_key(|(turn, _)| *turn);
        turns.into_iter().map(|(_, id)| id).take(limit).collect()
    }

    /// Takes what is due.
    pub(crate) fn claim(&mut self, owner: i64, now: Timestamp, room: Room) -> Vec<MessageRecord> {
        let mut claimed = Vec::new();
        for lane in [Purpose::Otp, Purpose::Transactional, Purpose::Bulk] {
            for id in self.due_in_lane(lane, now, room.of(lane)) {
                let row = self.rows.get_mut(&id).unwrap();
                row.owner = Some(owner);
                row.record.token += 1;
                row.record.work = Work::InHand;
                claimed.push(row.record.clone());
            }
        }
        claimed
    }

    /// Keeps a breaker.
    pub(crate) fn save_breaker(&mut self, mut record: BreakerRecord, writer: i64) {
        record.version = self.breakers.get(&record.provider).map_or(0, |known| known.version) + 1;
        record.writer = writer;
        self.breakers.insert(record.provider, record);
    }

    /// Gives the leave to probe to one process at a time.
    pub(crate) fn lease_probe(&mut self, owner: i64, provider: ProviderKind, until: u64, now: u64) -> bool {
        let free = self
            .probes
            .get(&provider)
            .is_none_or(|(holder, until)| *holder == owner || *until <= now);
        if free {
            self.probes.insert(provider, (owner, until));
        }
        free
    }

    /// Recipients handed to a provider since a time.
    pub(crate) fn sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> u64 {
        let counts = self.rows.values().flat_map(|row| {
            let counted = |attempt: &&AttemptRecord| {
                let is_its = attempt.provider == provider && attempt.account == *account;
                is_its && attempt.called_at >= since && attempt.outcome.may_have_been_accepted()
            };
            let counted = row.record.attempts.iter().filter(counted);
            counted.map(|attempt| u64::from(attempt.recipients.count(row.record.recipients.len())))
        });
        counts.sum()
    }
}

/// Stores messages, all or none.
pub(crate) fn accept_all(world: &mut World, writer: i64, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
    let earlier: Vec<_> = new.iter().map(|new| world.ledger.earlier(new)).collect();
    if earlier.iter().any(Option::is_some) {
        return Ok(earlier.into_iter().map(|earlier| earlier.unwrap_or(Stored::New)).collect());
    }
    let alive = new.iter().filter(|new| new.work != Work::Ended);
    let listed: Vec<_> = alive
        .filter_map(|new| {
            let called = new.intent.as_ref().map_or(RecipientSet::NOT_RECORDED, |intent| intent.recipients);
            forbids(world, &new.message, (&new.recipients, called))
        })
        .collect();
    if !listed.is_empty() {
        return Err(StoreError::MustNotContact(listed));
    }
    let stored = vec![Stored::New; new.len()];
    for new in new {
        let (id, status) = (new.message.id, new.status);
        world.note([1, number_of(id), status as u64], || {
            let handling = &new.message.handling;
            let intent = new.intent.as_ref().map(|intent| intent.provider);
            let facts = (handling.purpose, handling.duplicates);
            format!(
                "store: {} accepted by owner {writer} as {status}, {facts:?}, intent {intent:?}",
                short(id)
            )
        });
        world.tally.messages += 1;
        if let Some(intent) = &new.intent {
            world.ledger.optouts.intended(intent.id);
        }
        world.ledger.insert(new, writer);
    }
    Ok(stored)
}

/// Gives back what dead processes worked on.
pub(crate) fn recover(world: &mut World, by: i64, wall: Timestamp) -> Recovered {
    let now = world.now();
    let ledger = &mut world.ledger;
    ledger.owners.retain(|_, owner| owner.until > now);
    let others = ledger.flaw == Some(Flaw::LeasesIgnored);
    let given_up = |row: &Row| {
        row.owner
            .is_some_and(|owner| !ledger.owners.contains_key(&owner) || (others && owner != by))
    };
    let lost: Vec<_> = ledger.rows.iter().filter(|(_, row)| given_up(row)).map(|(id, _)| *id).collect();
    requeue(world, &lost, wall)
}

/// Gives back messages that a process knows nothing of. It must know of a call whose answer it was told.
pub(crate) fn give_back(world: &mut World, owner: i64, messages: &[(TenantId, MessageId)], wall: Timestamp) -> Recovered {
    let own: Vec<_> = messages
        .iter()
        .map(|(_, id)| *id)
        .filter(|id| world.ledger.rows.get(id).is_some_and(|row| row.owner == Some(owner)))
        .collect();
    for id in &own {
        let record = &world.ledger.rows[id].record;
        let calling = record.attempts.last().filter(|attempt| attempt.outcome == AttemptOutcome::Calling);
        let call = calling.and_then(|calling| world.calls.get(id)?.iter().find(|call| call.attempt == calling.id));
        let process = world.ledger.owners.get(&owner).map(|owner| owner.process);
        if call.is_some_and(|call| call.told != Told::Nothing && Some(call.by) == process) {
            world.blame(|| format!("{}: a process forgot an outcome that it had been told", short(id)));
        }
    }
    requeue(world, &own, wall)
}

fn requeue(world: &mut World, messages: &[MessageId], wall: Timestamp) -> Recovered {
    let mut recovered = Recovered::default();
    let trusts = world.ledger.flaw == Some(Flaw::RecoveryTrusts);
    for id in messages {
        let row = world.ledger.rows.get_mut(id).unwrap();
        let record = &mut row.record;
        let mut in_call = false;
        for attempt in &mut record.attempts {
            let was_calling = attempt.lose();
            in_call |= was_calling;
            if was_calling && trusts {
                (attempt.outcome, attempt.class) = (AttemptOutcome::Failed, Some(FailureClass::Unavailable));
            }
        }
        for recipient in record.recipients.iter_mut().filter(|recipient| !recipient.status.is_final()) {
            recipient.status = Status::Queued;
        }
        record.work = Work::Due(wall);
        record.token += 1;
        row.owner = None;
        row.keep(Status::Queued);
        let fault = steps::too_many_unknown(row);
        if in_call {
            recovered.unknown += 1;
        } else {
            recovered.requeued += 1;
        }
        world.note([4, number_of(*id), u64::from(in_call)], || {
            let was = if in_call { "being called" } else { "not being called" };
            format!("store: {} given back, {was}", short(id))
        });
        if let Some(fault) = fault {
            world.blame(|| format!("{} {fault}", short(*id)));
        }
    }
    recovered
}
