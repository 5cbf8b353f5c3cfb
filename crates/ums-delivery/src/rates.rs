//! What became of messages, counted by provider account, sender and time of the call: bounces, complaints, receipts.
//!
//! Counts are gathered in memory and added to the store every few seconds; what a crash takes with it is lost. They say how a provider
//! does, not what became of a message.

mod counts;

use std::sync::{Mutex, PoisonError};

use ums_core::{AttemptRecord, Content, EventRecord, Message, MessageRecord, ProviderKind, RateRow, Timestamp};

use self::counts::{Counts, Key};
use crate::rules::RateRules;

/// Length of a bucket, in microseconds.
const BUCKET: i64 = 5 * 60 * 1_000_000;
/// The sender of messages that went out from the provider's own.
const DEFAULT_SENDER: &str = "default";

/// The counts of this process that the store does not have yet, and what all counts together say.
#[derive(Debug)]
pub(crate) struct Rates {
    rules: RateRules,
    pending: Mutex<Counts>,
}

impl Rates {
    pub(crate) fn new(rules: RateRules) -> Self {
        Self {
            rules,
            pending: Mutex::default(),
        }
    }

    /// A provider took a message for that many recipients. To be called once for each attempt that ends so, or that feedback says did.
    pub(crate) fn accepted(&self, message: &Message, attempt: &AttemptRecord, recipients: u64) {
        if let Some(key) = key(message, attempt) {
            self.add(key, |counts| counts.accepted += recipients);
        }
    }

    /// Feedback was kept with a message: `record` holds the message with the events that it had before, `new` those that came now.
    /// A receipt counts once for each recipient and attempt, and so does a hard bounce and a complaint.
    pub(crate) fn events(&self, record: &MessageRecord, new: &[EventRecord]) {
        for (place, event) in new.iter().enumerate() {
            let Some(attempt) = record.attempts.iter().find(|attempt| Some(attempt.id) == event.attempt_id) else {
                continue;
            };
            let Some(key) = key(&record.message, attempt) else { continue };
            let earlier = || {
                record
                    .events
                    .iter()
                    .chain(&new[..place])
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

/// Where an attempt is counted; nowhere when nobody could report on it.
fn key(message: &Message, attempt: &AttemptRecord) -> Option<Key> {
    // The console reaches nobody. What the simulator took is counted: in development it reports as the providers do.
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
fn sender(content: &Content) -> Option<String> {
    match content {
        Content::Email(email) => email.from.as_ref().map(|from| from.address.domain().to_lowercase()),
        Content::Sms(sms) => sms.from.as_ref().map(|from| from.expose().to_owned()),
    }
}

/// The start of the five minutes that a time lies in.
fn bucket(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().div_euclid(BUCKET) * BUCKET)
}
