//! Switches of provider accounts: an operator takes an account out of service, brings it back, or has its provider tried. The store keeps
//! them; every process looks at them twice a second, beside the breakers, and obeys.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use ums_core::{AccountId, BreakerRecord, ProviderKind, ProviderSwitch, StoreError, SwitchedOff, Timestamp};

use super::Share;
use crate::breaker::Now;

/// The switch of an account as this process knows it.
#[derive(Debug, Default)]
pub(super) struct Switch {
    off: Option<SwitchedOff>,
    tried_at: Option<Timestamp>,
    /// Number of changes by this process: a look that began before the last one is out of date.
    changes: u64,
}

impl Share {
    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is that account's.
    pub(crate) fn is_of(&self, provider: ProviderKind, account: &AccountId) -> bool {
        self.provider == provider && self.account == *account
    }

    /// Present while an operator has the account out of service.
    pub(crate) fn off(&self, now: Timestamp) -> Option<SwitchedOff> {
        // The usual answer takes no lock.
        if !self.is_off.load(Ordering::Acquire) {
            return None;
        }
        self.switch().off.clone().filter(|off| off.holds_at(now))
    }

    /// Takes the account out of service for all processes, or brings it back.
    pub(crate) async fn turn(&self, off: Option<SwitchedOff>) -> Result<(), StoreError> {
        let store = &self.plug.ports.store;
        store.switch_provider(self.provider, &self.account, off.clone()).await?;
        let mut switch = self.switch();
        switch.changes += 1;
        self.set_off(&mut switch, off);
        Ok(())
    }

    /// Has the next message tried by every process: an operator asked the provider, and it did not say no.
    pub(crate) async fn let_through(&self) -> Result<(), StoreError> {
        let ports = &self.plug.ports;
        let now = Now::read(&*ports.clock);
        ports.store.note_trial(self.provider, &self.account, now.wall).await?;
        let mut switch = self.switch();
        switch.changes += 1;
        switch.tried_at = Some(now.wall);
        drop(switch);
        self.breaker.let_through(now);
        Ok(())
    }

    /// Number of changes that this process made.
    pub(super) fn changes(&self) -> u64 {
        self.switch().changes
    }

    /// Obeys the switches of the store, which were read after `changes` was. A trial that this process does not know lets a message through.
    pub(super) fn obey(&self, switches: &[ProviderSwitch], changes: u64, now: Now) {
        let told = self.own_switch(switches);
        let mut switch = self.switch();
        if switch.changes != changes {
            return;
        }
        self.set_off(&mut switch, told.and_then(|told| told.off.clone()));
        let tried_at = told.and_then(|told| told.tried_at);
        let known = std::mem::replace(&mut switch.tried_at, tried_at);
        drop(switch);
        if tried_at.is_some() && tried_at != known {
            self.breaker.let_through(now);
        }
    }

    /// Takes up the switches that earlier processes left: of a trial only what the stored breaker cannot know yet.
    pub(super) fn take_up(&self, switches: &[ProviderSwitch], record: Option<&BreakerRecord>, now: Now) {
        let tried_at = self.own_switch(switches).and_then(|switch| switch.tried_at);
        if tried_at <= record.map(|record| record.changed_at) {
            self.switch().tried_at = tried_at;
        }
        self.obey(switches, self.changes(), now);
    }

    fn own_switch<'a>(&self, switches: &'a [ProviderSwitch]) -> Option<&'a ProviderSwitch> {
        switches.iter().find(|switch| self.is_of(switch.provider, &switch.account))
    }

    fn set_off(&self, switch: &mut Switch, off: Option<SwitchedOff>) {
        if switch.off == off {
            return;
        }
        let (provider, account) = (self.provider, self.account.as_str());
        // The reason is for people; it may name anybody, and stays out of the log.
        if let Some(off) = &off {
            let until = off.until.map(|until| until.to_string());
            tracing::warn!(%provider, account, by = off.by, since = %off.since, until, "an operator has disabled the provider");
        } else {
            tracing::info!(%provider, account, "the provider is enabled again");
        }
        self.is_off.store(off.is_some(), Ordering::Release);
        switch.off = off;
    }
}
