//! Rates: bounces, complaints and receipts, counted by provider account, sender and time of the call.
//!
//! Its place in the flow: `deliver` counts acceptances, `feedback` counts events; the chain and the health report read the verdicts. The
//! counts gather in memory and go to the store every few seconds. A crash loses the counts of those seconds, and no event. Rates judge
//! providers and senders; they never decide the fate of a message.

mod bucket;
mod counts;
mod judgement;
pub(crate) mod keeping;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ums_core::{AccountId, AttemptRecord, Content, EventRecord, Message, MessageRecord, ProviderKind, RateRow, Timestamp};

use self::bucket::{DEFAULT_SENDER, bucket};
use self::counts::{Counts, Key};
pub(crate) use self::judgement::{HeldFor, Verdicts};
use crate::rules::RateRules;

/// The counts of this process that the store does not have yet, the counts of the store, and the verdicts on both.
#[derive(Debug)]
pub(crate) struct Rates {
    rules: RateRules,
    pending: Mutex<Counts>,
    known: Mutex<Known>,
    verdicts: RwLock<Arc<Verdicts>>,
}

/// The counts of the store.
#[derive(Debug, Default)]
struct Known {
    /// The rows of the last read.
    read: Vec<RateRow>,
    /// Counts that this process has added to the store since.
    since: Counts,
}

impl Rates {
    pub(crate) fn new(rules: RateRules) -> Self {
        Self {
            rules,
            pending: Mutex::default(),
            known: Mutex::default(),
            verdicts: RwLock::default(),
        }
    }

    /// The last verdicts, a few seconds old.
    pub(crate) fn verdicts(&self) -> Arc<Verdicts> {
        self.verdicts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_verdicts(&self, verdicts: Verdicts) {
        *self.verdicts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(verdicts);
    }

    /// Removes the counts since the last call, for the store.
    fn drain(&self) -> Vec<RateRow> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).drain()
    }

    /// Counts these rows again: the store did not take them.
    fn put_back(&self, rows: Vec<RateRow>) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).add_rows(rows);
    }

    /// Notes rows that the store took.
    fn kept(&self, rows: Vec<RateRow>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).since.add_rows(rows);
    }

    /// Replaces the known counts by the rows of the store.
    fn read(&self, rows: Vec<RateRow>) {
        let known = Known {
            read: rows,
            since: Counts::default(),
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// All counts since a bucket; a key may occur more than once.
    fn all(&self, since: Timestamp) -> Vec<RateRow> {
        let mut all = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.read.iter().chain(known.since.rows()).cloned().collect::<Vec<_>>()
        };
        all.extend(self.pending.lock().unwrap_or_else(PoisonError::into_inner).rows().cloned());
        all.retain(|row| row.bucket >= since);
        all
    }

    /// The number of recipients whom an account took in calls since about that time.
    pub(crate) fn accepted_since(&self, (provider, account): (ProviderKind, &AccountId), since: Timestamp) -> u64 {
        let rows = self.all(bucket(since));
        let own = rows.iter().filter(|row| row.provider == provider && row.account == *account);
        own.map(|row| row.accepted).sum()
    }

    /// Counts an acceptance for that many recipients. The caller does so once for each accepted attempt, also for an attempt that feedback
    /// settles as accepted.
    pub(crate) fn accepted(&self, message: &Message, attempt: &AttemptRecord, recipients: u64) {
        if let Some(key) = key(message, attempt) {
            self.add(key, |counts| counts.accepted += recipients);
        }
    }

    /// Counts stored events: `record` is the message with its earlier events, `new` are the events of this step. Receipts, hard bounces and
    /// complaints count once for each recipient and attempt.
    pub(crate) fn events(&self, record: &MessageRecord, new: &[EventRecord]) {
        for (index, event) in new.iter().enumerate() {
            let Some(attempt) = record.attempts.iter().find(|attempt| Some(attempt.id) == event.attempt_id) else {
                continue;
            };
            let Some(key) = key(&record.message, attempt) else { continue };
            let earlier = || {
                record
                    .events
                    .iter()
                    .chain(&new[..index])
                    .filter(|other| counts::is_about_same(event, other))
            };
            let receipt = counts::is_timely_receipt(event, attempt, self.rules.receipt_within)
                && !earlier().any(|other| other.event.kind.is_receipt());
            let bounce = counts::is_hard_bounce(event) && !earlier().any(counts::is_hard_bounce);
            let complaint = counts::is_complaint(event) && !earlier().any(counts::is_complaint);
            if receipt || bounce || complaint {
                self.add(key, |counts| {
                    counts.receipts += u64::from(receipt);
                    counts.hard_bounces += u64::from(bounce);
                    counts.complaints += u64::from(complaint);
                });
            }
        }
    }

    fn add(&self, key: Key, add: impl FnOnce(&mut RateRow)) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).add(key, add);
    }
}

/// The key that an attempt counts under; none for a provider that reaches nobody.
fn key(message: &Message, attempt: &AttemptRecord) -> Option<Key> {
    // The simulator counts: in development it reports as real providers do.
    if attempt.provider == ProviderKind::Console {
        return None;
    }
    let sender = if attempt.from_substituted { None } else { sender(&message.content) };
    Some(Key {
        provider: attempt.provider,
        account: attempt.account.clone(),
        sender: sender.unwrap_or_else(|| DEFAULT_SENDER.to_owned()),
        bucket: bucket(attempt.called_at),
    })
}

/// The sender that the caller chose: a domain, or a number or name.
pub(crate) fn sender(content: &Content) -> Option<String> {
    match content {
        Content::Email(email) => email.from.as_ref().map(|from| from.address.domain().to_lowercase()),
        Content::Sms(sms) => sms.from.as_ref().map(|from| from.expose().to_owned()),
    }
}
