//! Switches of provider accounts, and when accounts last took a message.

use async_trait::async_trait;
use ums_core::{AccountId, AttemptOutcome, ProviderKind, ProviderStore, ProviderSwitch, StoreError, SwitchedOff, Timestamp};

use super::MemoryStore;
use super::state::State;

impl State {
    fn switch(&mut self, provider: ProviderKind, account: &AccountId) -> &mut ProviderSwitch {
        self.switches.entry((provider, account.clone())).or_insert_with(|| ProviderSwitch {
            provider,
            account: account.clone(),
            off: None,
            tried_at: None,
        })
    }
}

#[async_trait]
impl ProviderStore for MemoryStore {
    async fn switch_provider(&self, provider: ProviderKind, account: &AccountId, off: Option<SwitchedOff>) -> Result<(), StoreError> {
        self.state().switch(provider, account).off = off;
        Ok(())
    }

    async fn note_trial(&self, provider: ProviderKind, account: &AccountId, at: Timestamp) -> Result<(), StoreError> {
        self.state().switch(provider, account).tried_at = Some(at);
        Ok(())
    }

    async fn provider_switches(&self) -> Result<Vec<ProviderSwitch>, StoreError> {
        let mut switches: Vec<_> = self.state().switches.values().cloned().collect();
        switches.sort_by(|one, other| (one.provider.as_str(), &one.account).cmp(&(other.provider.as_str(), &other.account)));
        Ok(switches)
    }

    async fn last_accepted(&self, provider: ProviderKind, account: &AccountId) -> Result<Option<Timestamp>, StoreError> {
        let state = self.state();
        let attempts = state.messages.values().flat_map(|entry| &entry.record.attempts);
        let accepted = attempts
            .filter(|attempt| attempt.outcome == AttemptOutcome::Accepted && attempt.provider == provider && attempt.account == *account);
        Ok(accepted.map(|attempt| attempt.called_at).max())
    }
}
