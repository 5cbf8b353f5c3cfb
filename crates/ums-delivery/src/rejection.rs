//! Tells a bad provider account from bad recipients and bad messages: an account that refuses everything is itself the problem.
//!
//! A suspended account may answer every recipient with "no such user", or every message with "rejected". Five different recipients in three
//! groups (domains, or number prefixes), refused within ten minutes without an acceptance between, are no coincidence: the refusal counts
//! as `misconfigured`. Refusals of a message count only for different messages: one bad template refused five times is the template.
//!
//! Reports of hard bounces and rejections are judged likewise ([`Reports`]). But lists with dead addresses bounce, too, and many providers
//! do not report what arrived: so the reports must be of at least half of what the account took meanwhile, too.
//!
//! **Invariant:** the decision to undo is in the same transaction as the answer or the report that led to it ([`Undo`]). A process that
//! died took its refusals with it: until an account is absolved here, an undo reaches back to what was refused before this process looked.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ums_core::{
    Accepted, AccountId, BounceKind, BreakerEffect, Content, EventKind, EventRecord, Failure, FailureClass, FailureSource, MessageRecord,
    Monotonic, ProviderKind, SuppressionOrigin, SuppressionReason, Timestamp, Undo,
};

use crate::breaker::Now;
use crate::carried::{Addressee, Carried};

const RECIPIENTS: usize = 5;
const GROUPS: usize = 3;
const WITHIN: Duration = Duration::from_mins(10);
/// Most refusals that are kept; older ones cost only memory.
const KEPT: usize = 1_000;
/// Reports must be of at least this share of what the account took: one half.
const REPORTED_SHARE: u64 = 2;

/// The refusals by one provider account since its last acceptance. Holds keyed hashes: neither addresses nor content.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    any: AtomicBool,
    /// Whether anything went through since this process began.
    absolved: AtomicBool,
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
    /// Time of the first refusal, or the earliest that it may have had in a process before this one.
    since: Timestamp,
    /// Time of the last judgement.
    until: Timestamp,
    /// Time of the first judgement.
    decided_at: Timestamp,
    /// Whether the account's breaker and the operator were told.
    told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    recipient: u64,
    group: u64,
    /// The content, if it was refused and not the recipient.
    content: Option<u64>,
    at: Monotonic,
    wall: Timestamp,
    called_at: Timestamp,
}

impl Refused {
    /// Whether two refusals are of one recipient, or of one content.
    fn is_as(&self, other: &Self) -> bool {
        self.recipient == other.recipient || (self.content.is_some() && self.content == other.content)
    }
}

impl Window {
    /// Adds a refusal. Whether the refusals are systemic now, if they are `enough` for that (their number, and the earliest call).
    ///
    /// An account that was not `absolved` may have refused others of the same streak at a process before this one.
    fn is_one_too_many(&mut self, refused: Refused, now: Timestamp, absolved: bool, enough: impl FnOnce(u64, Timestamp) -> bool) -> bool {
        self.seen
            .retain(|earlier| refused.at.since(earlier.at) < WITHIN && !earlier.is_as(&refused));
        self.seen.push(refused);
        let excess = self.seen.len().saturating_sub(KEPT);
        self.seen.drain(..excess);
        let mut groups: Vec<u64> = self.seen.iter().map(|refused| refused.group).collect();
        groups.sort_unstable();
        groups.dedup();
        if self.seen.len() < RECIPIENTS || groups.len() < GROUPS {
            return false;
        }
        let first = |time: fn(&Refused) -> Timestamp| self.seen.iter().map(time).min().unwrap_or(now);
        let first_here = first(|refused| refused.wall);
        let since = if absolved { first_here } else { first_here - WITHIN };
        let number = u64::try_from(self.seen.len()).unwrap_or(u64::MAX);
        if !enough(number, first(|refused| refused.called_at)) {
            return false;
        }
        let overlapping = self.systemic.filter(|earlier| earlier.until + WITHIN >= since);
        self.systemic = Some(Systemic {
            since: overlapping.map_or(since, |earlier| earlier.since.min(since)),
            until: now,
            decided_at: overlapping.map_or(now, |earlier| earlier.decided_at),
            told: false,
        });
        true
    }
}

impl Rejections {
    /// Judges the outcome of one call: a systemic refusal becomes a failure of class `misconfigured`.
    pub(crate) fn judge<M: Carried>(
        &self,
        result: Result<Accepted, Failure>,
        provider: ProviderKind,
        content: &M,
        now: Now,
    ) -> Result<Accepted, Failure> {
        let failure = match result {
            Ok(accepted) => {
                self.clear();
                return Ok(accepted);
            }
            Err(failure) => failure,
        };
        let fingerprint = match failure.class {
            _ if failure.source != FailureSource::Provider => return Err(failure),
            FailureClass::InvalidRecipient => None,
            FailureClass::InvalidMessage => Some(content.fingerprint(&self.hasher)),
            FailureClass::RecipientBlocked
            | FailureClass::ProviderUnsubscribed
            | FailureClass::Unsupported
            | FailureClass::Misconfigured
            | FailureClass::QuotaExhausted
            | FailureClass::Throttled
            | FailureClass::Unavailable
            | FailureClass::Unknown
            | FailureClass::LocalShortage => return Err(failure),
        };
        let refused = self.refused(&content.first_recipient(), fingerprint, (now.wall, now.wall), now);
        self.any.store(true, Ordering::Relaxed);
        let mut window = self.window();
        if !window.is_one_too_many(refused, now.wall, self.is_absolved(), |_, _| true) {
            return Err(failure);
        }
        let since = window.systemic.map_or(now.wall, |systemic| systemic.since);
        let why = format!("it refuses everything, the last message with {}", failure.code);
        Err(systemic(provider, &why, since))
    }

    /// The decision to undo what a refusal of that time brought onto the suppression list, if the refusals of that time were systemic.
    pub(crate) fn undo(
        &self,
        (provider, account): (ProviderKind, &AccountId),
        origin: SuppressionOrigin,
        refused_at: Timestamp,
    ) -> Option<Undo> {
        let systemic = self.window().systemic?;
        let until = systemic.until + WITHIN;
        (systemic.since..=until).contains(&refused_at).then(|| Undo {
            provider,
            account: account.clone(),
            reason: SuppressionReason::HardBounce,
            origin,
            since: systemic.since,
            until,
            at: systemic.decided_at,
        })
    }

    fn is_absolved(&self) -> bool {
        self.absolved.load(Ordering::Relaxed)
    }

    fn clear(&self) {
        self.absolved.store(true, Ordering::Relaxed);
        if self.any.swap(false, Ordering::Relaxed) {
            self.window().seen.clear();
        }
    }

    fn refused(&self, recipient: &Addressee<'_>, content: Option<u64>, (wall, called_at): (Timestamp, Timestamp), now: Now) -> Refused {
        let key = recipient.key();
        Refused {
            recipient: self.hasher.hash_one(&key),
            group: self.hasher.hash_one(recipient.group_of(&key)),
            content,
            at: now.mono,
            wall,
            called_at,
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn systemic(provider: ProviderKind, why: &str, since: Timestamp) -> Failure {
    // Messages may have been accepted long before they were refused.
    let detail = format!(
        "{why}: the account is probably suspended; nobody is suppressed for it. Those that failed since {since} are sent again with: \
         ums messages replay --failed --provider {provider} --since {since}"
    );
    Failure::provider(FailureClass::Misconfigured, "systemic_rejection", &detail)
}

/// Why the account of an undo is misconfigured.
pub(crate) fn cause_of(undo: &Undo) -> Failure {
    let why = match undo.origin {
        SuppressionOrigin::Feedback => "it gives up everything that it had taken",
        SuppressionOrigin::Refusal | SuppressionOrigin::Link | SuppressionOrigin::Operator | SuppressionOrigin::Import => {
            "it refuses everything"
        }
    };
    systemic(undo.provider, why, undo.since)
}

/// What provider accounts report after they accepted a message, judged like refusals.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    accounts: Mutex<BTreeMap<(ProviderKind, AccountId), Rejections>>,
}

/// What a report says of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// The account delivers.
    Arrived,
    /// The account gave up a recipient, or nobody in particular.
    Refused,
    /// The account gave up a content.
    RefusedContent,
    Nothing,
}

impl Reports {
    /// Judges a report of a message with its whole content. If the reports of its time are systemic: the decision to undo what they brought onto the suppression
    /// list, for the transaction that stores the report. `accepted_since` counts the recipients whom the account took since a time.
    pub(crate) fn judge(
        &self,
        record: &EventRecord,
        (message, content): (&MessageRecord, &Content),
        accepted_since: impl FnOnce(Timestamp) -> u64,
        now: Now,
    ) -> Option<Undo> {
        let event = &record.event;
        let says = says(record);
        if says == Says::Nothing {
            return None;
        }
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let rejections = accounts.entry((event.provider, event.account.clone())).or_default();
        if says == Says::Arrived {
            rejections.clear();
            return None;
        }
        let first = message.recipients.first().map(|recipient| recipient.address.as_str());
        let recipient = Addressee::new(event.channel(), event.recipient.as_deref().or(first)?);
        let content = (says == Says::RefusedContent).then(|| match content {
            Content::Email(email) => email.fingerprint(&rejections.hasher),
            Content::Sms(sms) => sms.fingerprint(&rejections.hasher),
        });
        let attempt = message.attempts.iter().find(|attempt| Some(attempt.id) == record.attempt_id);
        let happened_at = record.happened_at();
        let called_at = attempt.map_or(happened_at, |attempt| attempt.called_at);
        let refused = rejections.refused(&recipient, content, (happened_at, called_at), now);
        rejections.any.store(true, Ordering::Relaxed);
        let mut window = rejections.window();
        let enough = |reported: u64, called_at| reported.saturating_mul(REPORTED_SHARE) >= accepted_since(called_at);
        if window.is_one_too_many(refused, now.wall, rejections.is_absolved(), enough) {
            // What is reported late is of messages that were called before: it must not be judged a second time.
            window.seen.clear();
        }
        drop(window);
        rejections.undo((event.provider, &event.account), SuppressionOrigin::Feedback, happened_at)
    }

    /// Why the account of an undo is misconfigured, once for each decision. The caller asks after the decision is stored.
    pub(crate) fn news(&self, undo: &Undo) -> Option<Failure> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut window = accounts.get(&(undo.provider, undo.account.clone()))?.window();
        let systemic = window.systemic.as_mut().filter(|systemic| !systemic.told)?;
        systemic.told = true;
        Some(cause_of(undo))
    }
}

/// Whether a report blames what the message says: it is judged by the whole content.
pub(crate) fn blames_content(record: &EventRecord) -> bool {
    says(record) == Says::RefusedContent
}

/// What a report says of its account.
fn says(record: &EventRecord) -> Says {
    let event = &record.event;
    let closes_the_account = event.class.is_some_and(|class| {
        matches!(
            class.consequence().breaker,
            BreakerEffect::OpensMisconfigured | BreakerEffect::OpensExhausted
        )
    });
    match event.kind {
        EventKind::Delivered | EventKind::Opened | EventKind::Clicked | EventKind::Complained => Says::Arrived,
        EventKind::Bounced if event.bounce == Some(BounceKind::Hard) => Says::Refused,
        EventKind::Rejected | EventKind::Failed if closes_the_account => Says::Refused,
        EventKind::Rejected if event.class == Some(FailureClass::InvalidMessage) => Says::RefusedContent,
        // An opt-out is the recipient's word.
        EventKind::Rejected if event.class == Some(FailureClass::RecipientBlocked) && event.suppress.is_none() => Says::Nothing,
        EventKind::Rejected => Says::Refused,
        EventKind::Queued
        | EventKind::Sent
        | EventKind::Deferred
        | EventKind::Bounced
        | EventKind::Failed
        | EventKind::Unsubscribed
        | EventKind::Subscribed
        | EventKind::Autoresponded
        | EventKind::Inbound
        | EventKind::Unknown => Says::Nothing,
    }
}

#[cfg(test)]
mod tests;
