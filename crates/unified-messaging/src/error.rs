//! Why something could not be done: one variant for each thing that a caller would do differently.

use ums_config::ConfigError;
use ums_core::{Channel, InvalidRequest, StoreError};
use ums_delivery::SubmitError;

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
            SubmitError::KeyConflict | SubmitError::Busy | SubmitError::Full => Self::Busy,
            SubmitError::Closing => Self::Closing,
            SubmitError::Store(error) => Self::Store(error),
        }
    }
}
