//! Provider accounts: an operator takes one out of service, brings it back, or has it tried.

use std::sync::Arc;

use ums_core::{AccountId, Channel, Failure, Probe, ProviderKind, StoreError, SwitchedOff, Timestamp};

use super::Messaging;
use crate::sharing::Share;

/// Longest reason and name of an operator, in bytes.
const MAX_REASON_BYTES: usize = 500;
pub(super) const MAX_BY_BYTES: usize = 100;

/// Why a switch was not turned.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// No chain has this account.
    #[error("no chain of this service has that account of {0}")]
    NotConfigured(ProviderKind),
    /// A value is not allowed: the field, and the rule.
    #[error("{0} {1}")]
    Invalid(&'static str, String),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An operator's decision to take a provider account out of service.
#[derive(Clone, Debug)]
pub struct SwitchOff {
    /// Why, for people.
    pub reason: String,
    /// Who decides, by their own word.
    pub by: String,
    /// Until when; none until it is brought back.
    pub until: Option<Timestamp>,
}

/// What a provider said to an operator's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It answers and takes the login; the next message goes to it unless an operator has it out of service.
    Healthy,
    /// It cannot be asked, or its answer says nothing; the next message tries it.
    NoAnswer,
    /// It would not take a message.
    Failed(Failure),
    /// Another question or message tries it at this moment; nothing was asked.
    Busy,
}

impl Messaging {
    /// Takes a provider account out of service, in every process on the store and beyond restarts. A call under way goes on.
    ///
    /// # Errors
    /// A [`SwitchError`]; nothing was changed then.
    pub async fn disable_provider(&self, provider: ProviderKind, account: &AccountId, off: SwitchOff) -> Result<SwitchedOff, SwitchError> {
        let now = self.engine.desk.now();
        let off = SwitchedOff {
            reason: text("reason", &off.reason, MAX_REASON_BYTES)?,
            by: text("by", &off.by, MAX_BY_BYTES)?,
            since: now,
            until: off.until,
        };
        if !off.holds_at(now) {
            return Err(SwitchError::Invalid("until", "must be later than now".to_owned()));
        }
        self.share(provider, account)?.turn(Some(off.clone())).await?;
        Ok(off)
    }

    /// Brings a provider account back into service. Whether an operator had it out.
    ///
    /// # Errors
    /// As [`Messaging::disable_provider`].
    pub async fn enable_provider(&self, provider: ProviderKind, account: &AccountId, by: &str) -> Result<bool, SwitchError> {
        let by = text("by", by, MAX_BY_BYTES)?;
        let desk = &self.engine.desk;
        let share = self.share(provider, account)?;
        let was_off = self.switched_off(provider, account).await?.is_some();
        share.turn(None).await?;
        tracing::info!(%provider, account = account.as_str(), by, "an operator has enabled the provider");
        desk.queue.wake();
        Ok(was_off)
    }

    /// The switch of an account that an operator has out of service. The store knows of one that another process turned a moment ago.
    ///
    /// # Errors
    /// As [`Messaging::disable_provider`].
    pub async fn switched_off(&self, provider: ProviderKind, account: &AccountId) -> Result<Option<SwitchedOff>, SwitchError> {
        self.share(provider, account)?;
        let desk = &self.engine.desk;
        let switches = desk.ports.store.provider_switches().await?;
        let mut own = switches
            .into_iter()
            .filter(|switch| switch.provider == provider && switch.account == *account);
        Ok(own.next().and_then(|switch| switch.off).filter(|off| off.holds_at(desk.now())))
    }

    /// Asks a provider now whether it would take a message, without sending. Unless it says no, its breaker lets the next message through,
    /// in every process. A bad answer lengthens no wait.
    ///
    /// # Errors
    /// As [`Messaging::disable_provider`].
    pub async fn probe_provider(&self, provider: ProviderKind, account: &AccountId) -> Result<Tried, SwitchError> {
        self.share(provider, account)?;
        let chains = &self.engine.desk.chains;
        let asked = match provider.channel() {
            Channel::Email => chains.email.ask_for_operator(provider, account).await,
            Channel::Sms => chains.sms.ask_for_operator(provider, account).await,
        };
        let tried = match asked? {
            Some(Probe::Healthy) => Tried::Healthy,
            Some(Probe::NoAnswer) => Tried::NoAnswer,
            Some(Probe::Failed(failure)) => Tried::Failed(failure),
            None => Tried::Busy,
        };
        let answer = match &tried {
            Tried::Healthy => "healthy",
            Tried::NoAnswer => "no_answer",
            Tried::Failed(failure) => failure.class.as_str(),
            Tried::Busy => "busy",
        };
        tracing::info!(%provider, account = account.as_str(), answer, "an operator had the provider asked");
        Ok(tried)
    }

    fn share(&self, provider: ProviderKind, account: &AccountId) -> Result<Arc<Share>, SwitchError> {
        let chains = &self.engine.desk.chains;
        let email = chains.email.links.iter().map(|link| &link.share);
        let mut all = email.chain(chains.sms.links.iter().map(|link| &link.share));
        let found = all.find(|share| share.is_of(provider, account)).cloned();
        found.ok_or(SwitchError::NotConfigured(provider))
    }
}

/// A text of an operator: one line that is not empty.
pub(super) fn text(field: &'static str, given: &str, most: usize) -> Result<String, SwitchError> {
    let given = given.trim();
    if given.is_empty() || given.len() > most || given.chars().any(char::is_control) {
        return Err(SwitchError::Invalid(field, format!("must be 1 to {most} bytes in one line")));
    }
    Ok(given.to_owned())
}
