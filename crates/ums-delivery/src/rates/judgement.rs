//! Verdicts on the counts: which senders of an account draw too many bounces or complaints, and which accounts accept messages and do not
//! deliver them. A pure function of counts, time and rules: a verdict ends by itself when its counts are older than the window.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use ums_core::{AccountId, ProviderKind, RateRow, SkipReason, Timestamp};

use super::bucket::{BUCKET, DEFAULT_SENDER, bucket};
use crate::rules::RateRules;

/// A provider account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Account {
    pub(super) provider: ProviderKind,
    pub(super) account: AccountId,
}

/// A sender, as far as one provider account sends for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AccountSender {
    pub(super) account: Account,
    pub(super) sender: String,
}

impl Account {
    fn new(provider: ProviderKind, account: &AccountId) -> Self {
        Self {
            provider,
            account: account.clone(),
        }
    }

    fn of(row: &RateRow) -> Self {
        Self::new(row.provider, &row.account)
    }

    fn sender(&self, sender: &str) -> AccountSender {
        AccountSender {
            account: self.clone(),
            sender: sender.to_owned(),
        }
    }
}

/// Why bulk mail is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldFor {
    Bounces,
    Complaints,
}

impl HeldFor {
    /// The reason of the skip.
    pub(crate) const fn reason(self) -> SkipReason {
        match self {
            Self::Bounces => SkipReason::BounceRate,
            Self::Complaints => SkipReason::ComplaintRate,
        }
    }

    /// For people. Holds no figures: the figures change, and each change would add a skip to the story.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Bounces => "mail to many is held: too much of this sender's mail bounces; see the provider's health",
            Self::Complaints => "mail to many is held: too many complain of this sender's mail; see the provider's health",
        }
    }
}

/// The verdicts on all counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// Senders whose bulk mail is held.
    pub(super) held: HashMap<AccountSender, HeldFor>,
    /// Senders that an account has sent as.
    pub(super) senders: BTreeSet<AccountSender>,
    /// Accounts that accept messages and do not deliver them, with the reason for the verdict.
    pub(super) late: HashMap<Account, String>,
    /// Reasons why an account is less healthy than its calls.
    pub(super) reasons: BTreeMap<Account, Vec<String>>,
}

impl Verdicts {
    /// Whether an account must be tried after the others.
    pub(crate) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Whether an account accepts messages and does not deliver them, while others do.
    pub(crate) fn is_late(&self, provider: ProviderKind, account: &AccountId) -> bool {
        self.late.contains_key(&Account::new(provider, account))
    }

    /// Why bulk mail by this account is held for a sender. Without a sender: for the configured sender of the account.
    pub(crate) fn held_for(&self, provider: ProviderKind, account: &AccountId, sender: Option<&str>) -> Option<HeldFor> {
        if self.held.is_empty() {
            return None;
        }
        let account = Account::new(provider, account);
        let sender = sender.map(|sender| account.sender(sender));
        let known = sender.filter(|sender| self.senders.contains(sender));
        // An account that never sent as this sender substitutes its own.
        self.held.get(&known.unwrap_or_else(|| account.sender(DEFAULT_SENDER))).copied()
    }

    /// Why an account is less healthy than its calls.
    pub(crate) fn reason(&self, provider: ProviderKind, account: &AccountId) -> Option<String> {
        let reasons = self.reasons.get(&Account::new(provider, account))?;
        Some(reasons.join("; "))
    }
}

/// The start of the oldest bucket that a verdict can depend on.
pub(super) fn looks_back(rules: &RateRules, now: Timestamp) -> Timestamp {
    bucket(now - rules.window.max(rules.receipt_window + rules.receipt_within))
}

/// Judges the counts.
pub(super) fn judge(rows: &[RateRow], rules: &RateRules, now: Timestamp) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let mut senders: BTreeMap<(Account, &str), Sums> = BTreeMap::new();
    let since = bucket(now - rules.window);
    for row in rows.iter().filter(|row| row.bucket >= since) {
        senders.entry((Account::of(row), &row.sender)).or_default().add(row);
    }
    for ((account, sender), sums) in senders {
        verdicts.senders.insert(account.sender(sender));
        if sums.accepted < rules.min_sample.max(1) {
            continue;
        }
        let bounces = Rate::of(
            sums.hard_bounces,
            sums.accepted,
            Limits {
                warn: rules.bounce_warn,
                hold: rules.bounce_hold,
            },
            SES_BOUNCES,
        );
        let complaints = Rate::of(
            sums.complaints,
            sums.accepted,
            Limits {
                warn: rules.complaint_warn,
                hold: rules.complaint_hold,
            },
            SES_COMPLAINTS,
        );
        for (rate, held_for, name) in [
            (bounces, HeldFor::Bounces, "bounce rate"),
            (complaints, HeldFor::Complaints, "complaint rate"),
        ] {
            let Some(text) = rate.describe(name, sums.accepted, sender) else {
                continue;
            };
            verdicts.reasons.entry(account.clone()).or_default().push(text);
            if rate.is_held() {
                verdicts.held.entry(account.sender(sender)).or_insert(held_for);
            }
        }
    }
    for (account, reason) in late(rows, rules, now) {
        verdicts.reasons.entry(account.clone()).or_default().push(reason.clone());
        verdicts.late.insert(account, reason);
    }
    verdicts
}

#[derive(Clone, Copy, Default)]
struct Sums {
    accepted: u64,
    receipts: u64,
    hard_bounces: u64,
    complaints: u64,
}

impl Sums {
    fn add(&mut self, row: &RateRow) {
        self.accepted += row.accepted;
        self.receipts += row.receipts;
        self.hard_bounces += row.hard_bounces;
        self.complaints += row.complaints;
    }
}

/// Limits of a rate, in millionths.
#[derive(Clone, Copy)]
struct Limits {
    warn: u32,
    hold: u32,
}

/// Bounce rates at which Amazon SES reviews and pauses accounts: 5 % and 10 %.
const SES_BOUNCES: Limits = Limits {
    warn: 50_000,
    hold: 100_000,
};
/// Complaint rates at which Amazon SES reviews and pauses accounts: 0.1 % and 0.5 %.
const SES_COMPLAINTS: Limits = Limits { warn: 1_000, hold: 5_000 };

/// A share in millionths, and the limits that it is compared with.
#[derive(Clone, Copy)]
struct Rate {
    share: u64,
    limits: Limits,
    /// The limits of Amazon SES, which a reader knows.
    ses: Limits,
}

impl Rate {
    fn of(part: u64, whole: u64, limits: Limits, ses: Limits) -> Self {
        Self {
            share: millionths(part, whole),
            limits,
            ses,
        }
    }

    const fn is_held(self) -> bool {
        self.share >= self.limits.hold as u64
    }

    fn describe(self, name: &str, accepted: u64, sender: &str) -> Option<String> {
        let (limit, what, of_ses) = if self.is_held() {
            (self.limits.hold, "pauses", self.ses.hold)
        } else if self.share >= u64::from(self.limits.warn) {
            (self.limits.warn, "reviews", self.ses.warn)
        } else {
            return None;
        };
        let mut text = format!(
            "{name} {} of {} (sender {sender}) is over the {}",
            percent(self.share),
            grouped(accepted),
            percent(limit.into())
        );
        // Writing to a text does not fail.
        if limit == of_ses {
            write!(text, " at which SES {what} accounts").ok();
        } else {
            text.push_str(" that is set");
        }
        if self.is_held() {
            text.push_str("; mail to many from it is held");
        }
        Some(text)
    }
}

/// The accounts with too many missing receipts while others do better, each with its reason.
fn late(rows: &[RateRow], rules: &RateRules, now: Timestamp) -> Vec<(Account, String)> {
    let latest = now - rules.receipt_within;
    let earliest = bucket(latest - rules.receipt_window);
    // Only buckets whose last call had the whole time for its receipt.
    let is_judged = |row: &&RateRow| row.bucket >= earliest && row.bucket + Duration::from_micros(BUCKET.unsigned_abs()) <= latest;
    let mut judged: BTreeMap<Account, Sums> = BTreeMap::new();
    for row in rows.iter().filter(is_judged) {
        judged.entry(Account::of(row)).or_default().add(row);
    }
    let enough = rules.receipt_min_sample.max(1);
    let missing = |sums: &Sums| millionths(sums.accepted.saturating_sub(sums.receipts), sums.accepted);
    let is_bad = |sums: &Sums| missing(sums) >= u64::from(rules.receipt_missing);
    let told: Vec<(&Account, &Sums)> = judged
        .iter()
        .filter(|(account, sums)| sums.accepted >= enough && gives_receipts(rows, account, rules))
        .collect();
    let is_late = |of: &Account, sums: &Sums| {
        let mut others = told
            .iter()
            .filter(|(other, _)| *other != of && other.provider.channel() == of.provider.channel())
            .peekable();
        is_bad(sums) && (others.peek().is_none() || others.any(|(_, sums)| !is_bad(sums)))
    };
    let late = told.iter().filter(|(account, sums)| is_late(account, sums));
    late.map(|(account, sums)| {
        let missed = sums.accepted.saturating_sub(sums.receipts);
        let reason = format!(
            "no receipt within {} for {} of {} that it took ({}); it is tried after the others",
            span(rules.receipt_within),
            grouped(missed),
            grouped(sums.accepted),
            percent(missing(sums))
        );
        ((*account).clone(), reason)
    })
    .collect()
}

/// Whether an account is known to report deliveries: it has buckets with enough receipts. Otherwise the feedback of the account is not set
/// up, or reports only failures or a sample, and a missing receipt says nothing.
fn gives_receipts(rows: &[RateRow], of: &Account, rules: &RateRules) -> bool {
    let mut buckets: BTreeMap<Timestamp, Sums> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.provider == of.provider && row.account == of.account) {
        buckets.entry(row.bucket).or_default().add(row);
    }
    let wanted = 1_000_000_u64.saturating_sub(rules.receipt_missing.into());
    let told = buckets.values().filter(|sums| {
        let delivered = sums.receipts.saturating_sub(sums.hard_bounces);
        delivered > 0 && millionths(delivered, sums.accepted) >= wanted
    });
    told.map(|sums| sums.accepted).sum::<u64>() >= rules.receipt_min_sample.max(1)
}

/// A share in millionths, at most one: the part may exceed the whole while counts of other processes are on their way.
fn millionths(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    let share = u128::from(part) * 1_000_000 / u128::from(whole);
    u64::try_from(share).unwrap_or(1_000_000).min(1_000_000)
}

/// Millionths as a percentage: `6.1 %`, `0.12 %`.
fn percent(share: u64) -> String {
    let digits = if share >= 10_000 {
        format!("{}.{}", share / 10_000, share % 10_000 / 1_000)
    } else {
        format!("0.{:02}", share / 100)
    };
    format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// A number with its thousands set apart: `1,234`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time in its largest whole unit.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        _ if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        _ => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
#[path = "judgement/tests.rs"]
mod tests;
