//! Tells a bad provider account from bad recipients: an account that refuses everybody is itself the problem.
//!
//! A suspended account may answer every recipient with "no such user". Five different recipients in three groups (domains, or number
//! prefixes), refused within ten minutes without an acceptance between, are no coincidence: the refusal counts as `misconfigured`.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ums_core::{
    Accepted, AccountId, EventKind, EventRecord, Failure, FailureClass, MessageRecord, Monotonic, ProviderKind, SuppressionOrigin,
    SuppressionReason, Timestamp, Undo,
};

use crate::breaker::Now;
use crate::carried::Addressee;
use crate::ports::Ports;

const RECIPIENTS: usize = 5;
const GROUPS: usize = 3;
const WITHIN: Duration = Duration::from_mins(10);
/// First and longest wait between tries to undo suppressions.
const UNDO_AGAIN: Duration = Duration::from_secs(1);
const UNDO_AGAIN_LONGEST: Duration = Duration::from_mins(1);

/// The refusals by one provider account since its last acceptance. Holds hashes, no addresses.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    any: AtomicBool,
    window: Mutex<Window>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Window {
    seen: Vec<Refused>,
    systemic: Option<Systemic>,
}

/// The time of the refusals that were judged to be systemic.
#[derive(Clone, Copy, Debug)]
struct Systemic {
    /// Time of the first refusal.
    since: Timestamp,
    /// Time of the judgement.
    until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    recipient: u64,
    group: u64,
    at: Monotonic,
    wall: Timestamp,
}

impl Window {
    /// Adds a refusal. If the refusals are systemic now: the time of the first one.
    fn is_one_too_many(&mut self, refused: Refused, now: Timestamp) -> Option<Timestamp> {
        self.seen
            .retain(|earlier| refused.at.since(earlier.at) < WITHIN && earlier.recipient != refused.recipient);
        self.seen.push(refused);
        // The newest refusals decide; older ones cost only memory.
        let excess = self.seen.len().saturating_sub(RECIPIENTS * GROUPS);
        self.seen.drain(..excess);
        let mut groups: Vec<u64> = self.seen.iter().map(|refused| refused.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let since = self.seen.iter().map(|refused| refused.wall).min()?;
        (self.seen.len() >= RECIPIENTS && groups.len() >= GROUPS).then(|| {
            let overlapping = self.systemic.filter(|earlier| earlier.until >= since);
            let since = overlapping.map_or(since, |earlier| earlier.since.min(since));
            self.systemic = Some(Systemic { since, until: now });
            since
        })
    }
}

impl Rejections {
    /// Judges the outcome of one call: a systemic refusal becomes a failure of class `misconfigured`.
    pub(crate) fn judge(
        &self,
        result: Result<Accepted, Failure>,
        provider: ProviderKind,
        recipient: &Addressee<'_>,
        now: Now,
    ) -> Result<Accepted, Failure> {
        match result {
            Ok(accepted) => {
                self.clear();
                Ok(accepted)
            }
            Err(failure) if failure.class == FailureClass::InvalidRecipient => Err(match self.note(recipient, now.wall, now) {
                Some(since) => systemic(provider, &failure, since),
                None => failure,
            }),
            Err(failure) => Err(failure),
        }
    }

    /// The time of the first systemic refusal, if the refusal at that time is one of them.
    pub(crate) fn judged_since(&self, refused_at: Timestamp) -> Option<Timestamp> {
        let systemic = self.window().systemic?;
        (systemic.since <= refused_at && refused_at <= systemic.until).then_some(systemic.since)
    }

    fn clear(&self) {
        if self.any.swap(false, Ordering::Relaxed) {
            self.window().seen.clear();
        }
    }

    /// Notes a refusal of `refused_at` that this process hears of now.
    fn note(&self, recipient: &Addressee<'_>, refused_at: Timestamp, now: Now) -> Option<Timestamp> {
        let key = recipient.key();
        let refused = Refused {
            recipient: self.hasher.hash_one(&key),
            group: self.hasher.hash_one(recipient.group_of(&key)),
            at: now.mono,
            wall: refused_at,
        };
        let mut window = self.window();
        self.any.store(true, Ordering::Relaxed);
        window.is_one_too_many(refused, now.wall)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn systemic(provider: ProviderKind, failure: &Failure, since: Timestamp) -> Failure {
    let detail = format!(
        "it refuses every recipient, the last one with {}: the account is probably suspended; nobody is suppressed for it. {}",
        failure.code,
        replay(provider, since)
    );
    Failure::provider(FailureClass::Misconfigured, "systemic_rejection", &detail)
}

/// The advice to the operator: the command that sends the failed messages again.
fn replay(provider: ProviderKind, since: Timestamp) -> String {
    // Messages may have been accepted long before they were refused.
    format!("Those that failed since {since} are sent again with: ums messages replay --failed --provider {provider} --since {since}")
}

/// Lifts the entries that systemic refusals put on the suppression list. Runs in a task of its own and tries until the store has done it.
pub(crate) fn undo(ports: &Ports, provider: ProviderKind, origin: SuppressionOrigin, since: Timestamp) {
    let (store, clock, ended) = (ports.store.clone(), ports.clock.clone(), ports.ended.clone());
    ports.tasks.spawn(async move {
        let mut wait = UNDO_AGAIN;
        loop {
            let undo = Undo {
                provider,
                reason: SuppressionReason::HardBounce,
                origin,
                since,
                at: clock.now(),
            };
            match store.undo_suppressions(undo).await {
                Ok(0) => return,
                Ok(undone) => {
                    tracing::warn!(%provider, %since, undone, "addresses that the provider refused by its own fault are off the suppression list");
                    return;
                }
                Err(error) => tracing::warn!(%provider, %error, "suppressions of a provider's own fault are not undone yet"),
            }
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(UNDO_AGAIN_LONGEST);
        }
    });
}

/// Rejections that provider accounts report after they accepted a message, judged like refusals.
///
/// The caller notes an event after the store has its entries for the suppression list, so that no entry is written after the undo.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    accounts: Mutex<BTreeMap<(ProviderKind, AccountId), Rejections>>,
}

impl Reports {
    /// Judges a stored event. If the reports of the account are systemic now: the time of the first one.
    fn judge(&self, record: &EventRecord, message: Option<&MessageRecord>, now: Now) -> Option<Timestamp> {
        let event = &record.event;
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        match event.kind {
            EventKind::Delivered => {
                if let Some(rejections) = accounts.get(&(event.provider, event.account.clone())) {
                    rejections.clear();
                }
                None
            }
            // A rejection for its content says nothing about the recipient.
            EventKind::Rejected if event.class != Some(FailureClass::InvalidMessage) => {
                let first = message.and_then(|message| message.recipients.first());
                let address = event.recipient.as_deref().or(first.map(|recipient| recipient.address.as_str()))?;
                let recipient = Addressee::new(event.channel(), address);
                let rejections = accounts.entry((event.provider, event.account.clone())).or_default();
                rejections.note(&recipient, record.happened_at(), now)
            }
            EventKind::Queued
            | EventKind::Sent
            | EventKind::Deferred
            | EventKind::Bounced
            | EventKind::Rejected
            | EventKind::Failed
            | EventKind::Complained
            | EventKind::Unsubscribed
            | EventKind::Subscribed
            | EventKind::Opened
            | EventKind::Clicked
            | EventKind::Autoresponded
            | EventKind::Inbound
            | EventKind::Unknown => None,
        }
    }

    /// Judges a stored event, and undoes suppressions if the reports are systemic now.
    pub(crate) fn note(&self, ports: &Ports, record: &EventRecord, message: Option<&MessageRecord>) {
        let Some(since) = self.judge(record, message, Now::read(&*ports.clock)) else {
            return;
        };
        let provider = record.event.provider;
        let replay = replay(provider, since);
        tracing::error!(%provider, %since, replay, "provider needs an operator: it rejects everybody whom it had taken messages for; the account is probably suspended");
        undo(ports, provider, SuppressionOrigin::Feedback, since);
    }
}

#[cfg(test)]
mod tests {
    use ums_core::Channel;

    use super::*;

    fn at(seconds: u64) -> Now {
        let since_start = Duration::from_secs(seconds);
        Now {
            mono: Monotonic::from_start(since_start),
            wall: Timestamp::from_micros(1_795_341_600_000_000) + since_start,
        }
    }

    fn recipient(local: &str, domain: &str) -> Addressee<'static> {
        Addressee {
            channel: Channel::Email,
            address: format!("{local}@{domain}").into(),
        }
    }

    /// The class after each refusal of `(recipient, domain, second)`.
    fn classes(refusals: &[(&str, &str, u64)]) -> Vec<FailureClass> {
        let rejections = Rejections::default();
        let judged = refusals.iter().map(|(address, domain, second)| {
            let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "550", ""));
            rejections
                .judge(refused, ProviderKind::Smtp, &recipient(address, domain), at(*second))
                .unwrap_err()
                .class
        });
        judged.collect()
    }

    #[test]
    fn five_recipients_on_three_domains_are_the_providers_problem() {
        use FailureClass::{InvalidRecipient as R, Misconfigured as M};
        let spread = [
            ("a", "1", 0),
            ("b", "2", 1),
            ("c", "3", 2),
            ("d", "1", 3),
            ("e", "2", 4),
            ("f", "3", 5),
        ];
        assert_eq!(classes(&spread), [R, R, R, R, M, M]);
    }

    #[test]
    fn one_recipient_one_domain_or_a_long_time_are_not() {
        let same: Vec<_> = (0..10).map(|second| ("a", "1", second)).collect();
        let one_domain = ["a", "b", "c", "d", "e", "f"].map(|recipient| (recipient, "1", 0));
        let slowly = [("a", "1", 0), ("b", "2", 200), ("c", "3", 400), ("d", "1", 599), ("e", "2", 700)];
        for refusals in [&same[..], &one_domain, &slowly] {
            assert!(
                classes(refusals).iter().all(|class| *class == FailureClass::InvalidRecipient),
                "{refusals:?}"
            );
        }
    }

    /// A list of people must not look like an account that refuses everybody because some of them stand there twice.
    #[test]
    fn the_spellings_of_one_subscriber_are_one_recipient() {
        let rejections = Rejections::default();
        let refuse = |number: &str| {
            let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "21211", ""));
            let recipient = Addressee {
                channel: Channel::Sms,
                address: number.to_owned().into(),
            };
            rejections
                .judge(refused, ProviderKind::Twilio, &recipient, at(0))
                .unwrap_err()
                .class
        };
        for number in [
            "+525512345678",
            "+5215512345678",
            "+5491123456789",
            "+541123456789",
            "+447400123456",
            "+4915112345678",
        ] {
            assert_eq!(refuse(number), FailureClass::InvalidRecipient, "{number}");
        }
        assert_eq!(refuse("+14165550123"), FailureClass::Misconfigured);
    }

    #[test]
    fn an_acceptance_between_starts_anew() {
        let rejections = Rejections::default();
        let refuse = |address: &str| {
            let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "550", ""));
            rejections
                .judge(refused, ProviderKind::Smtp, &recipient(address, address), at(0))
                .unwrap_err()
                .class
        };
        for address in ["a", "b", "c", "d"] {
            refuse(address);
        }
        rejections
            .judge(Ok(Accepted::new("id")), ProviderKind::Smtp, &recipient("x", "x"), at(0))
            .unwrap();
        assert_eq!(refuse("e"), FailureClass::InvalidRecipient);
    }
}
