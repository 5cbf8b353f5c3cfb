//! One message's walk: which providers it has been to, what it waits for, whom it passed over and why.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use ums_core::{Content, ProviderKind, Purpose, Skip, SkipReason};

use super::link::Link;
use crate::breaker::{Cause, Now};
use crate::pacing::OverPace;
use crate::rates::{HeldFor, Verdicts};
use crate::retry::Token;

/// Longest wait for room in a pace that processes share, and for the probe lease. They are asked for while other providers
/// could be tried: a message waits only where one round trip to the store saves it from being passed on.
const LONGEST_PACE_WAIT: Duration = Duration::from_secs(1);
const LONGEST_LEASE_WAIT: Duration = Duration::from_millis(250);
/// Until mail to many that is held for its sender's bounces or complaints is looked at again.
const RATE_WAIT: Duration = Duration::from_mins(5);

/// Something that a provider waits for, and for which a message may wait shortly.
#[derive(Debug)]
pub(super) enum Pending {
    /// Room in a pace that is shared.
    Pace(watch::Receiver<u64>),
    /// The probe lease.
    Lease(JoinHandle<()>),
}

impl Pending {
    pub(super) async fn wait(self) {
        match self {
            // Whether it came in time is seen by whoever looks again.
            Self::Pace(mut answers) => drop(tokio::time::timeout(LONGEST_PACE_WAIT, answers.changed()).await),
            Self::Lease(asked) => drop(tokio::time::timeout(LONGEST_LEASE_WAIT, asked).await),
        }
    }
}

/// The bit of the provider with that index in the chain. Providers that are 64 apart share a bit.
pub(super) const fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

/// One message's way along the chain, in one round.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(super) purpose: Purpose,
    /// The sender that the caller chose, where rates matter: for mail to many.
    pub(super) sender: Option<String>,
    pub(super) via: Option<ProviderKind>,
    pub(super) recipients: u32,
    pub(super) tried: u64,
    /// Whether the message was called for in an earlier round, and what this round is paid with.
    pub(super) retry: bool,
    pub(super) token: Option<Token>,
    pub(super) asks: Vec<JoinHandle<()>>,
    /// What the walk stopped for, and at which providers it has done so.
    pub(super) pending: Option<Pending>,
    pub(super) waited: u64,
    pub(super) waited_for_pace: u64,
    /// How long until a provider that was passed over may be called.
    pub(crate) soonest: Option<Duration>,
    /// Whether only the pace stood in the way: the message waits, it never fails for that.
    pub(crate) paced: bool,
    /// Why providers were passed over, to be recorded with the next step.
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

    /// So many recipients go out by the next provider.
    pub(crate) fn carry(&mut self, recipients: u32) {
        self.recipients = recipients;
    }

    /// Has the sender's rates watched, if this is mail to many.
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

    /// A call of this round failed: the token of a retry round is gone.
    pub(crate) fn call_failed(&mut self) {
        if let Some(token) = self.token.take() {
            token.spend();
        }
    }

    /// Over its pace, a provider is passed over; mail to many waits for it.
    pub(super) fn skip_paced<M>(&mut self, link: &Link<M>, now: Now, over: OverPace) {
        self.skip(link, now, over.reason, "more than its pace allows".to_owned(), over.wait);
        self.paced = true;
    }

    pub(super) fn rate_is_held<M>(&self, link: &Link<M>, verdicts: &Verdicts) -> Option<HeldFor> {
        (self.purpose == Purpose::Bulk).then(|| verdicts.held_for(link.kind, &link.account, self.sender.as_deref()))?
    }

    /// The sender's mail bounces, or is complained of: another provider would be harmed as well, so mail to many waits.
    pub(super) fn skip_rate<M>(&mut self, link: &Link<M>, now: Now, held_for: HeldFor) {
        self.skip(link, now, held_for.reason(), held_for.describe().to_owned(), RATE_WAIT);
        self.paced = true;
    }

    /// It is tried after the others. Nothing waits for it, so it says nothing of when to look again.
    pub(super) fn skip_late<M>(&mut self, link: &Link<M>, now: Now) {
        let detail = "it takes messages and few receipts come: tried after the others; see its health".to_owned();
        self.note(link, now, SkipReason::Degraded, detail);
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
