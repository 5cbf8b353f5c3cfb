//! The provider port: a call with one message, and the provider's answer.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{AccountId, AttemptId, Failure, MessageId, ProviderKind, Purpose, Refusal};

/// One call to a provider: the facts that the adapter needs beside the message.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Id of the message, sent as a tag, so that feedback finds the message.
    pub message_id: MessageId,
    /// Id of the attempt, sent as a tag, so that feedback finds the attempt.
    pub attempt_id: AttemptId,
    /// The message's purpose; some providers have a class of service for each.
    pub purpose: Purpose,
    /// The rest of the message's life. The call must end within it, and a provider that queues messages must give the message up then.
    pub time_left: Duration,
}

/// A provider's answer that it took a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's id of the message; never empty.
    pub provider_message_id: String,
    /// Whether the provider is a simulator or the console: nothing reaches anybody.
    pub simulated: bool,
    /// Whether the provider's own sender replaced the caller's; the caller's sender is in Reply-To then.
    pub from_substituted: bool,
    /// The recipients whom the provider refused by name (SMTP only). The provider took the message for every other recipient of the call.
    pub refused: Vec<Refusal>,
}

impl Accepted {
    /// An acceptance for all recipients of the call, not simulated, from the caller's sender.
    pub fn new(provider_message_id: impl Into<String>) -> Self {
        Self {
            provider_message_id: provider_message_id.into(),
            simulated: false,
            from_substituted: false,
            refused: Vec::new(),
        }
    }
}

/// A provider's answer to a question without a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The provider would take a message.
    Healthy,
    /// The provider has no such question, denied it, or answered unreadably: nothing is learned.
    NoAnswer,
    /// The provider would not take a message.
    Failed(Failure),
}

/// The most memory that a call may take beside the content that it is given, in copies of the content ([`crate::Email::content_bytes`]).
/// A large page takes the most; a file takes two at most.
pub const COPIES_TO_SEND: usize = 3;

/// A provider of messages of type `M` ([`crate::Email`] or [`crate::Sms`]), over one account.
///
/// An adapter does not retry, keep a breaker, read a clock or log content. A call keeps to [`COPIES_TO_SEND`].
#[async_trait]
pub trait Provider<M>: Send + Sync + fmt::Debug {
    /// The provider.
    fn kind(&self) -> ProviderKind;

    /// The account whose credentials the adapter uses.
    fn account(&self) -> AccountId {
        AccountId::default()
    }

    /// Whether the provider's address is on this machine: then nothing reaches anybody.
    fn is_local(&self) -> bool;

    /// Hands the message over once.
    ///
    /// # Errors
    /// A [`Failure`] with its class; [`crate::FailureClass::Unknown`] if the provider may have taken the message. The failure holds for each
    /// recipient whom [`Failure::refusals`] does not list. The provider surely refused a listed recipient, with the failure given there.
    ///
    /// # Cancel safety
    /// A dropped call may have handed the message over: the caller records the attempt as unknown.
    async fn send(&self, message: &M, call: &Call) -> Result<Accepted, Failure>;

    /// Whether [`Provider::probe`] asks a real question. A breaker probes a provider without one by real messages, one at a time.
    fn can_be_asked(&self) -> bool {
        false
    }

    /// Asks the provider, without sending, whether it would take a message.
    async fn probe(&self) -> Probe {
        Probe::NoAnswer
    }
}
