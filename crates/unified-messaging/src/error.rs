//! Why something could not be done: one variant for each thing that a caller would do differently.

use ums_config::ConfigError;
use ums_core::{Channel, InvalidRequest, Status, StoreError};
use ums_delivery::{ActError, SubmitError};

/// Why something could not be done. A message that was *accepted* and not sent is no error: its
/// status tells ([`SendResult`](crate::SendResult)).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings are missing, wrong or at odds: all of them, by name. Mend them.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A provider cannot be set up with its settings. Mend them.
    #[error("a provider cannot be set up")]
    Provider(#[from] ums_providers::Error),
    /// The request is wrong: all faults, by field. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// No provider of the channel is configured. Nothing was sent.
    #[error("no provider for {0} is configured")]
    NoProvider(Channel),
    /// More messages are being worked on than memory allows. Nothing was sent; try again.
    #[error("too many messages are being worked on")]
    Busy,
    /// More messages wait than the store is to keep. Nothing was accepted; try again when some were sent.
    #[error("too many messages wait to be sent")]
    Full,
    /// There is no such message.
    #[error("there is no such message")]
    NoSuchMessage,
    /// The message does not stand so that this can be done to it. Nothing was changed.
    #[error("a message that is {status} cannot be {act}: {why}")]
    NotPossible {
        /// Where it stands.
        status: Status,
        /// What was to be done, as a participle.
        act: &'static str,
        /// Why not, and what to do instead.
        why: &'static str,
    },
    /// The service is shutting down. Nothing was sent.
    #[error("the service is shutting down")]
    Closing,
    /// The store could not be opened, read or written.
    #[error("the store of messages cannot be used")]
    Store(#[from] StoreError),
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Invalid(invalid) => Self::Invalid(invalid),
            SubmitError::NoProvider(channel) => Self::NoProvider(channel),
            // The library hands over no keys, so that none can conflict.
            SubmitError::KeyConflict | SubmitError::Busy => Self::Busy,
            SubmitError::Full => Self::Full,
            SubmitError::Closing => Self::Closing,
            SubmitError::Store(error) => Self::Store(error),
        }
    }
}

impl From<ActError> for Error {
    fn from(error: ActError) -> Self {
        match error {
            ActError::NotFound => Self::NoSuchMessage,
            ActError::NotPossible { status, act, why } => Self::NotPossible { status, act, why },
            ActError::Store(error) => Self::Store(error),
        }
    }
}
