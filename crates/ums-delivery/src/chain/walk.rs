//! The walk of one message along its chain, for one round: the providers that were tried, the answers that the walk waits for,
//! and the skips with their reasons.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use ums_core::{Content, ProviderKind, Purpose, Skip, SkipReason, SwitchedOff};

use super::link::Link;
use crate::breaker::{Cause, Now};
use crate::pacing::OverPace;
use crate::rates::{HeldFor, Verdicts};
use crate::retry::Token;

/// Longest waits for room in a shared pace and for the probe lease. The walk could try the next provider instead; a message waits only
/// because one round trip to the store may save it from going to a worse provider.
const LONGEST_PACE_WAIT: Duration = Duration::from_secs(1);
const LONGEST_LEASE_WAIT: Duration = Duration::from_millis(250);
/// Time until bulk mail that is held for the bounces or complaints of its sender is tried again.
const RATE_WAIT: Duration = Duration::from_mins(5);
/// Longest time until a message that is held for a disabled provider is tried again.
const OFF_WAIT: Duration = Duration::from_secs(30);

/// An answer of the store that a walk waits for.
#[derive(Debug)]
pub(super) enum Pending {
    /// Room in a shared pace.
    Pace(watch::Receiver<u64>),
    /// The probe lease.
    Lease(JoinHandle<()>),
}

impl Pending {
    pub(super) async fn wait(self) {
        match self {
            // The next look at the provider shows whether the answer came in time.
            Self::Pace(mut answers) => drop(tokio::time::timeout(LONGEST_PACE_WAIT, answers.changed()).await),
            Self::Lease(asked) => drop(tokio::time::timeout(LONGEST_LEASE_WAIT, asked).await),
        }
    }
}

/// The bit of the provider with that index in the chain. Providers that are 64 apart share a bit.
pub(super) const fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

/// The walk of one message along its chain, for one round.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(super) purpose: Purpose,
    /// The sender that the caller chose; only for bulk mail, where rates matter.
    pub(super) sender: Option<String>,
    pub(super) via: Option<ProviderKind>,
    pub(super) recipients: u32,
    /// Providers that were tried or excluded, as bits.
    pub(super) tried: u64,
    /// Providers whose own unsubscribe list has everybody whom the message is for now, as bits.
    pub(super) barred: u64,
    /// Whether this is a retry round, and the token that pays for it.
    pub(super) retry: bool,
    pub(super) token: Option<Token>,
    /// Probes without a message that this walk started.
    pub(super) asks: Vec<JoinHandle<()>>,
    /// The answer that the walk stopped for, and the providers at which the walk has waited for a lease or a pace, as bits.
    pub(super) pending: Option<Pending>,
    pub(super) waited: u64,
    pub(super) waited_for_pace: u64,
    /// Shortest time until a skipped provider may be called.
    pub(crate) soonest: Option<Duration>,
    /// Whether a pace or a rate stood in the way: the message waits for it and never fails because of it.
    pub(crate) paced: bool,
    /// Skips to record with the next step.
    pub(crate) skips: Vec<Skip>,
}

impl Walk {
    pub(crate) fn new(purpose: Purpose, via: Option<ProviderKind>, recipients: u32) -> Self {
        Self {
            purpose,
            sender: None,
            via,
            recipients,
            tried: 0,
            barred: 0,
            retry: false,
            token: None,
            asks: Vec::new(),
            pending: None,
            waited: 0,
            waited_for_pace: 0,
            soonest: None,
            paced: false,
            skips: Vec::new(),
        }
    }

    /// Sets the number of recipients for the next provider.
    pub(crate) fn carry(&mut self, recipients: u32) {
        self.recipients = recipients;
    }

    /// Notes the sender, for bulk mail: its rates may hold the message.
    pub(crate) fn of_sender(mut self, content: &Content) -> Self {
        if self.purpose == Purpose::Bulk {
            self.sender = crate::rates::sender(content);
        }
        self
    }

    /// Excludes the provider with that index in the chain from this round.
    pub(crate) fn exclude(&mut self, index: usize) {
        self.tried |= bit(index);
    }

    /// Passes a provider over whose own unsubscribe list has everybody whom the message is for now. No message waits for that.
    pub(super) fn skip_unsubscribed<M>(&mut self, (bit, link): (u64, &Link<M>), now: Now) {
        self.barred |= bit;
        let detail = "the recipient is on its own unsubscribe list, which keeps nobody from a receipt or a code".to_owned();
        self.note(link, now, SkipReason::Unsubscribed, detail);
    }

    /// A call of this round failed: spends the token of a retry round.
    pub(crate) fn call_failed(&mut self) {
        if let Some(token) = self.token.take() {
            token.spend();
        }
    }

    /// Skips a provider over its pace.
    pub(super) fn skip_paced<M>(&mut self, link: &Link<M>, now: Now, over: OverPace) {
        self.skip(link, now, over.reason, "more than its pace allows".to_owned(), over.wait);
        self.paced = true;
    }

    /// Why bulk mail of this sender is held at a provider, if it is.
    pub(super) fn rate_is_held<M>(&self, link: &Link<M>, verdicts: &Verdicts) -> Option<HeldFor> {
        (self.purpose == Purpose::Bulk).then(|| verdicts.held_for(link.kind, &link.account, self.sender.as_deref()))?
    }

    /// Skips a provider because mail of the sender bounces or draws complaints. Bulk mail waits: another provider would be harmed, too.
    pub(super) fn skip_rate<M>(&mut self, link: &Link<M>, now: Now, held_for: HeldFor) {
        self.skip(link, now, held_for.reason(), held_for.describe().to_owned(), RATE_WAIT);
        self.paced = true;
    }

    /// Records that a provider is tried after the others. No message waits for such a provider, so [`Walk::soonest`] stays as it is.
    pub(super) fn skip_late<M>(&mut self, link: &Link<M>, now: Now) {
        let detail = "it takes messages and few receipts come: tried after the others; see its health".to_owned();
        self.note(link, now, SkipReason::Degraded, detail);
    }

    /// Skips a provider that an operator has taken out of service. A held message looks again soon, for the operator may bring it back.
    pub(super) fn skip_off<M>(&mut self, link: &Link<M>, now: Now, off: &SwitchedOff) {
        let wait = off.until.map_or(OFF_WAIT, |until| until.since(now.wall).min(OFF_WAIT));
        self.skip(link, now, SkipReason::Disabled, off.describe(), wait);
    }

    pub(super) fn skip_probing<M>(&mut self, link: &Link<M>, now: Now) {
        self.skip(link, now, Cause::Probing.reason(), Cause::Probing.describe(), Duration::ZERO);
    }

    pub(super) fn skip<M>(&mut self, link: &Link<M>, now: Now, reason: SkipReason, detail: String, wait: Duration) {
        self.soonest = Some(self.soonest.map_or(wait, |soonest| soonest.min(wait)));
        self.note(link, now, reason, detail);
    }

    fn note<M>(&mut self, link: &Link<M>, now: Now, reason: SkipReason, detail: String) {
        let known = self
            .skips
            .iter()
            .any(|skip| skip.provider == link.kind && skip.account == link.account && skip.reason == reason);
        if !known {
            self.skips.push(Skip {
                provider: link.kind,
                account: link.account.clone(),
                at: now.wall,
                reason,
                detail,
            });
        }
    }
}
