//! Faults that the engine seems to have, because a port lies to it: the simulator must find each of them.
//!
//! The engine itself has no seam for faults. What a wrapper of its store or of its providers says makes it do what an engine with the fault
//! would do: the world, the ledger and the judge know the truth.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    Accepted, Call, Clock, Email, EmailAddress, Failure, FailureClass, GuardedClock, MessageId, Probe, Provider, ProviderKind, Refusal,
    Store, Troubles,
};

use super::mutant_store::MutantStore;
use super::provider::SimProvider;
use super::store::SimStore;
use super::world::ProcessClock;

/// A fault that the engine seems to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// A provider is called before the intent is committed: the store answers before it writes.
    CallBeforeIntent,
    /// The outcome of a call is dropped when the store is away: the store answers that it is kept.
    OutcomeForgotten,
    /// The end of the lease is not looked at before a call: each renewal is for ever, under the same registration.
    LeaseNotChecked,
    /// A message that must not arrive twice is handled like one that may: the store says so.
    NeverIsAllow,
    /// A refused recipient counts against the provider: the refusal reaches the engine as an outage.
    RecipientsBlamed,
    /// A provider is called although the store says who must not be contacted: the engine hears that the intent is kept.
    OptOutIgnored,
    /// A recipient who was refused for now is dropped: the refusal never reaches the engine.
    RecipientDropped,
    /// A recipient for whom the message was taken is written to again: the engine hears of a refusal.
    TakenSentAgain,
    /// The provider's next transaction is lost: the engine hears that it took its recipients.
    SecondTransactionLost,
    /// A jump of the clock is followed at once: the engine reads the machine's clock without a guard.
    ClockUnguarded,
}

impl Mutant {
    /// All there are.
    pub(crate) const ALL: [Self; 10] = [
        Self::CallBeforeIntent,
        Self::OutcomeForgotten,
        Self::LeaseNotChecked,
        Self::NeverIsAllow,
        Self::RecipientsBlamed,
        Self::OptOutIgnored,
        Self::RecipientDropped,
        Self::TakenSentAgain,
        Self::SecondTransactionLost,
        Self::ClockUnguarded,
    ];
}

/// How long a jump has to stand: longer than any storm.
const SETTLE: Duration = Duration::from_hours(6);

/// The clock as the engine sees it.
pub(crate) fn clock(mutant: Option<Mutant>, machine: Arc<ProcessClock>) -> Arc<dyn Clock> {
    match mutant {
        Some(Mutant::ClockUnguarded) => machine,
        _ => Arc::new(GuardedClock::new(machine, SETTLE, Troubles::default())),
    }
}

/// The store as the engine sees it.
pub(crate) fn store(mutant: Option<Mutant>, store: Arc<SimStore>) -> Arc<dyn Store> {
    match mutant {
        Some(mutant) => Arc::new(MutantStore::new(mutant, store)),
        None => store,
    }
}

/// A provider as the engine sees it.
pub(crate) fn provider(mutant: Option<Mutant>, provider: SimProvider) -> Arc<dyn Provider<Email>> {
    match mutant {
        Some(mutant) => Arc::new(MutantProvider {
            inner: provider,
            mutant,
            promised: Mutex::default(),
        }),
        None => Arc::new(provider),
    }
}

/// A provider that lies to the engine.
struct MutantProvider {
    inner: SimProvider,
    mutant: Mutant,
    /// The recipients of the next transaction.
    promised: Mutex<BTreeSet<(MessageId, String)>>,
}

impl fmt::Debug for MutantProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MutantProvider({:?}, {:?})", self.mutant, self.inner)
    }
}

impl MutantProvider {
    /// Whether a refusal leaves hope for the recipient.
    fn is_for_now(refusal: &Refusal) -> bool {
        refusal.failure.class.consequence().recipient == ums_core::RecipientEnd::Waits
    }

    fn accepted(&self, email: &Email, call: &Call, mut accepted: Accepted) -> Accepted {
        match self.mutant {
            Mutant::RecipientDropped => accepted.refused.retain(|refusal| !Self::is_for_now(refusal)),
            Mutant::TakenSentAgain => {
                let is_refused = |address: &EmailAddress| accepted.refused.iter().any(|refusal| refusal.address == *address);
                let taken: Vec<EmailAddress> = email
                    .recipients()
                    .map(|(_, mailbox)| mailbox.address.clone())
                    .filter(|address| !is_refused(address))
                    .collect();
                if let [_, .., last] = &taken[..] {
                    accepted.refused.push(Refusal {
                        address: last.clone(),
                        failure: Failure::provider(FailureClass::Unavailable, "mutant", ""),
                        next_transaction: false,
                    });
                }
            }
            Mutant::SecondTransactionLost => {
                let next = accepted.refused.iter().filter(|refusal| refusal.next_transaction);
                let next = next.map(|refusal| (call.message_id, refusal.address.expose().to_owned()));
                self.promised.lock().unwrap().extend(next);
            }
            Mutant::CallBeforeIntent
            | Mutant::OutcomeForgotten
            | Mutant::LeaseNotChecked
            | Mutant::NeverIsAllow
            | Mutant::RecipientsBlamed
            | Mutant::OptOutIgnored
            | Mutant::ClockUnguarded => {}
        }
        accepted
    }

    fn failed(&self, mut failure: Failure) -> Failure {
        let is_of_recipient = matches!(failure.class, FailureClass::InvalidRecipient | FailureClass::RecipientBlocked);
        if self.mutant == Mutant::RecipientsBlamed && is_of_recipient {
            failure.class = FailureClass::Unavailable;
        }
        failure
    }

    /// Whether all recipients of a call were promised to be taken in it.
    fn is_next_transaction(&self, email: &Email, call: &Call) -> bool {
        let promised = self.promised.lock().unwrap();
        let mut addresses = email.recipients().map(|(_, mailbox)| mailbox.address.expose().to_owned());
        addresses.all(|address| promised.contains(&(call.message_id, address)))
    }
}

#[async_trait]
impl Provider<Email> for MutantProvider {
    fn kind(&self) -> ProviderKind {
        self.inner.kind()
    }

    fn is_local(&self) -> bool {
        self.inner.is_local()
    }

    async fn send(&self, email: &Email, call: &Call) -> Result<Accepted, Failure> {
        if self.is_next_transaction(email, call) {
            return Ok(Accepted::new("forgotten"));
        }
        match self.inner.send(email, call).await {
            Ok(accepted) => Ok(self.accepted(email, call, accepted)),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    fn can_be_asked(&self) -> bool {
        self.inner.can_be_asked()
    }

    async fn probe(&self) -> Probe {
        self.inner.probe().await
    }
}
