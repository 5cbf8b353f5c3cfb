//! What can be wrong with a provider's settings.

use ums_core::ProviderKind;

use crate::http::BadOrigin;

/// A provider cannot be set up. Never holds the value of a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The base URL is not one.
    #[error("the endpoint of {0} is not an http or https URL")]
    Endpoint(ProviderKind),
    /// The base URL is plain HTTP to another machine.
    #[error("the endpoint of {0} must be https, because it is not on this machine")]
    PlainEndpoint(ProviderKind),
    /// SMTP's settings cannot work.
    #[error(transparent)]
    Smtp(#[from] crate::send::smtp::SmtpSettingsFault),
    /// A setting has a form that it cannot have.
    #[error("{setting} of {provider} {fault}")]
    Setting {
        /// Whose.
        provider: ProviderKind,
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl Error {
    pub(crate) fn endpoint(provider: ProviderKind, bad: BadOrigin) -> Self {
        match bad {
            BadOrigin::Url => Self::Endpoint(provider),
            BadOrigin::Plain => Self::PlainEndpoint(provider),
        }
    }

    pub(crate) const fn setting(provider: ProviderKind, setting: &'static str, fault: &'static str) -> Self {
        Self::Setting { provider, setting, fault }
    }
}
