//! The order of providers, and which of them are left out.

use ums_core::{Channel, ProviderKind};

use crate::reader::Reader;

/// The providers of a channel in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The providers, as far as they were readable.
    pub(crate) providers: Vec<ProviderKind>,
    /// Whether the user wrote the chain; each of its providers must be configured then.
    pub(crate) explicit: bool,
}

impl Chain {
    /// Whether the user named the provider.
    pub(crate) fn names(&self, provider: ProviderKind) -> bool {
        self.explicit && self.providers.contains(&provider)
    }
}

/// Reads the chain of a channel.
pub(crate) fn chain(reader: &mut Reader<'_>, channel: Channel) -> Chain {
    let setting = match channel {
        Channel::Email => "UMS_EMAIL_CHAIN",
        Channel::Sms => "UMS_SMS_CHAIN",
    };
    let all: Vec<ProviderKind> = ProviderKind::ALL.iter().copied().filter(|kind| kind.channel() == channel).collect();
    let Some(words) = reader.list(setting) else {
        return Chain {
            providers: all,
            explicit: false,
        };
    };
    let allowed = all.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let mut providers = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let place = index + 1;
        match word.parse::<ProviderKind>() {
            Ok(kind) if kind.channel() != channel => {
                reader.fault(
                    setting,
                    format!("has at place {place} a provider that does not serve {channel}; allowed are {allowed}"),
                );
            }
            Ok(kind) if providers.contains(&kind) => reader.fault(setting, format!("has at place {place} a provider for the second time")),
            Ok(kind) => providers.push(kind),
            Err(_) => reader.fault(setting, format!("has an unknown word at place {place}; allowed are {allowed}")),
        }
    }
    if words.is_empty() {
        reader.fault(setting, format!("names no provider; allowed are {allowed}"));
    }
    Chain { providers, explicit: true }
}
