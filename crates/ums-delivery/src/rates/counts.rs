//! Counts by key, and which events count.

use std::collections::HashMap;
use std::time::Duration;

use ums_core::{
    AccountId, AttemptRecord, BounceKind, EventKind, EventRecord, ProviderKind, RateRow, SuppressionReason, Timestamp, subscriber_key,
};

/// The bucket, the sender and the account that a count belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) provider: ProviderKind,
    pub(super) account: AccountId,
    pub(super) sender: String,
    pub(super) bucket: Timestamp,
}

/// Counts by key.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<Key, RateRow>);

impl Counts {
    /// Adds to the counts of a key.
    pub(super) fn add(&mut self, key: Key, add: impl FnOnce(&mut RateRow)) {
        add(self.0.entry(key).or_insert_with_key(|key| RateRow {
            provider: key.provider,
            account: key.account.clone(),
            sender: key.sender.clone(),
            bucket: key.bucket,
            accepted: 0,
            receipts: 0,
            hard_bounces: 0,
            complaints: 0,
        }));
    }

    /// Adds rows of counts.
    pub(super) fn add_rows(&mut self, rows: Vec<RateRow>) {
        for row in rows {
            let key = Key {
                provider: row.provider,
                account: row.account,
                sender: row.sender,
                bucket: row.bucket,
            };
            self.add(key, |counts| {
                counts.accepted += row.accepted;
                counts.receipts += row.receipts;
                counts.hard_bounces += row.hard_bounces;
                counts.complaints += row.complaints;
            });
        }
    }

    /// All counts.
    pub(super) fn rows(&self) -> impl Iterator<Item = &RateRow> {
        self.0.values()
    }

    /// Removes all counts.
    pub(super) fn drain(&mut self) -> Vec<RateRow> {
        self.0.drain().map(|(_, row)| row).collect()
    }
}

/// Whether two events are about the same attempt and recipient.
pub(super) fn is_about_same(one: &EventRecord, other: &EventRecord) -> bool {
    let subscriber = |event: &EventRecord| {
        let channel = event.event.channel();
        event.event.recipient.as_ref().map(|address| subscriber_key(channel, address))
    };
    one.attempt_id == other.attempt_id && subscriber(one) == subscriber(other)
}

/// Whether the event is a receipt within `within` of the call. The clock of the provider decides where the event has a time: the provider
/// is not to blame for a report that was delayed on its way.
pub(super) fn is_timely_receipt(event: &EventRecord, attempt: &AttemptRecord, within: Duration) -> bool {
    let at = event.event.at.unwrap_or(event.received_at).min(event.received_at);
    event.event.kind.is_receipt() && at.since(attempt.called_at) <= within
}

/// Whether the event says that the address does not exist.
pub(super) fn is_hard_bounce(event: &EventRecord) -> bool {
    let event = &event.event;
    event.kind == EventKind::Bounced && (event.bounce == Some(BounceKind::Hard) || event.suppress == Some(SuppressionReason::HardBounce))
}

/// Whether the event is a complaint of the recipient.
pub(super) fn is_complaint(event: &EventRecord) -> bool {
    event.event.kind == EventKind::Complained
}
