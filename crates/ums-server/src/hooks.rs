//! The hooks that providers may post to, by name and account.

use std::collections::BTreeMap;
use std::sync::Arc;

use ums_core::{AccountId, Hook};

/// Whose reports a path under `/hooks` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookName {
    /// Amazon's SNS topics.
    Aws,
    /// SendGrid's Event Webhook.
    SendGrid,
    /// Twilio's status callbacks and inbound messages.
    Twilio,
}

impl HookName {
    /// Every name.
    pub const ALL: &'static [Self] = &[Self::Aws, Self::SendGrid, Self::Twilio];

    /// The name as it stands in the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::SendGrid => "sendgrid",
            Self::Twilio => "twilio",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.as_str() == word)
    }
}

/// The hooks that there are. A request to any other is answered as a forged one.
#[derive(Clone, Debug, Default)]
pub struct Hooks(BTreeMap<(HookName, AccountId), Arc<dyn Hook>>);

impl Hooks {
    /// Adds the hook of an account, in the place of one that was there.
    pub fn add(&mut self, name: HookName, account: AccountId, hook: Arc<dyn Hook>) {
        self.0.insert((name, account), hook);
    }

    pub(crate) fn get(&self, name: HookName, account: &AccountId) -> Option<&Arc<dyn Hook>> {
        self.0.get(&(name, account.clone()))
    }
}
