//! The provider port: what the flow asks of a provider, and what it gets back.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{AccountId, AttemptId, Failure, MessageId, ProviderKind, Purpose, Refusal};

/// One call to a provider: what it needs to know beside the message.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The message's id: travels as a tag, so that feedback can be matched.
    pub message_id: MessageId,
    /// The attempt's id: travels as a tag, so that feedback can be matched.
    pub attempt_id: AttemptId,
    /// Its lane; some providers have a class of service for it.
    pub purpose: Purpose,
    /// Time left of the message's life; the call must end within it, and a provider that can
    /// hold a message is told to give it up then.
    pub time_left: Duration,
}

/// What a provider said when it took a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's id for the message; never empty.
    pub provider_message_id: String,
    /// Whether the provider was a simulator or a console: nothing reaches anybody.
    pub simulated: bool,
    /// Whether it went out from the provider's own sender instead of the caller's, which is in
    /// Reply-To then.
    pub from_substituted: bool,
    /// Recipients that were refused while others were accepted (SMTP only). The message was taken for every recipient of the call
    /// that is not listed.
    pub refused: Vec<Refusal>,
}

impl Accepted {
    /// An acceptance without anything special about it.
    pub fn new(provider_message_id: impl Into<String>) -> Self {
        Self {
            provider_message_id: provider_message_id.into(),
            simulated: false,
            from_substituted: false,
            refused: Vec::new(),
        }
    }
}

/// What a provider says when it is asked without sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It would take a message.
    Healthy,
    /// It cannot be asked, denied the question or gave an unreadable answer: says nothing.
    NoAnswer,
    /// It would not take a message.
    Failed(Failure),
}

/// A provider of messages of type `M` ([`crate::Email`] or [`crate::Sms`]), over one account.
///
/// An adapter does not retry, keep a breaker, read a clock or log content.
#[async_trait]
pub trait Provider<M>: Send + Sync + fmt::Debug {
    /// Which provider it is.
    fn kind(&self) -> ProviderKind;

    /// The set of credentials that it uses.
    fn account(&self) -> AccountId {
        AccountId::default()
    }

    /// Whether its endpoint is on this machine, so that nothing sent to it reaches anybody.
    fn is_local(&self) -> bool;

    /// Hands the message over once.
    ///
    /// # Errors
    /// A [`Failure`] with its class; [`crate::FailureClass::Unknown`] when the provider may have
    /// taken it. The failure holds for each recipient that [`Failure::refusals`] does not list; a
    /// recipient listed there was surely refused, with its own failure.
    ///
    /// # Cancel safety
    /// A dropped call may have handed the message over: the caller records it as unknown.
    async fn send(&self, message: &M, call: &Call) -> Result<Accepted, Failure>;

    /// Whether [`Provider::probe`] asks a real question; without one a recovering provider is
    /// tried with one real message at a time.
    fn can_be_asked(&self) -> bool {
        false
    }

    /// Asks the provider, without sending, whether it would take a message.
    async fn probe(&self) -> Probe {
        Probe::NoAnswer
    }
}
