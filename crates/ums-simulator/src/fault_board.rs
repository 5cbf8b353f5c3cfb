//! Which provider has which fault now, and which request it hits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{Fault, Mode, Provider};

/// Full share in parts per million: integers, so that ten tenths are one.
const WHOLE: u32 = 1_000_000;

/// The faults in force, one slot per provider.
#[derive(Debug, Default)]
pub(crate) struct FaultBoard {
    slots: [Slot; 5],
}

#[derive(Debug, Default)]
struct Slot {
    /// Read on every request; spares the lock while all is well.
    is_armed: AtomicBool,
    state: Mutex<State>,
    /// Counts the changes; a request that hangs waits for the next one.
    generation: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    /// Share collected and not yet spent on a hit, in parts per million.
    debt: u32,
}

/// A request is hit: by which fault, and a way to wait for the end of it.
#[derive(Debug)]
pub(crate) struct Strike {
    pub(crate) fault: Fault,
    generation: watch::Receiver<u64>,
}

impl Strike {
    /// Waits until the fault is healed or replaced.
    pub(crate) async fn healed(&mut self) {
        // An error means that the board is gone; nothing will heal it then.
        if self.generation.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl FaultBoard {
    /// Puts a fault on a provider, or heals it with `None`; returns the new generation.
    pub(crate) fn put(&self, provider: Provider, fault: Option<Fault>) -> u64 {
        let slot = &self.slots[provider.index()];
        let mut state = lock(&slot.state);
        slot.is_armed.store(fault.is_some(), Ordering::Release);
        *state = State { fault, debt: 0 };
        slot.generation.send_modify(|generation| *generation += 1);
        *slot.generation.borrow()
    }

    /// Counts the changes made to this provider so far.
    pub(crate) fn generation(&self, provider: Provider) -> u64 {
        *self.slots[provider.index()].generation.borrow()
    }

    /// Returns the fault that is in force.
    pub(crate) fn get(&self, provider: Provider) -> Option<Fault> {
        let slot = &self.slots[provider.index()];
        if !slot.is_armed.load(Ordering::Acquire) {
            return None;
        }
        lock(&slot.state).fault.clone()
    }

    /// Tells whether this mode is in force.
    pub(crate) fn has(&self, provider: Provider, mode: Mode) -> bool {
        self.get(provider).is_some_and(|fault| fault.mode == mode)
    }

    /// Decides whether this request is hit; to be asked once per request.
    ///
    /// The share is spread by carrying the remainder: at 0.25 the fourth request is hit,
    /// then the eighth, and so on, the same in every run.
    pub(crate) fn strike(&self, provider: Provider, is_send: bool) -> Option<Strike> {
        let slot = &self.slots[provider.index()];
        if !slot.is_armed.load(Ordering::Acquire) {
            return None;
        }
        let mut state = lock(&slot.state);
        let fault = state.fault.clone()?;
        if !fault.mode.touches(provider, is_send) {
            return None;
        }
        state.debt += parts_per_million(fault.rate);
        if state.debt < WHOLE {
            return None;
        }
        state.debt -= WHOLE;
        let generation = slot.generation.subscribe();
        Some(Strike { fault, generation })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rate was checked to lie between 0 and 1"
)]
fn parts_per_million(rate: f64) -> u32 {
    (rate * f64::from(WHOLE)).round() as u32
}

/// Locks, also after a panic elsewhere: the simulator keeps no broken halves.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(rate: f64, requests: usize) -> usize {
        let board = FaultBoard::default();
        board.put(Provider::Ses, Some(Fault::new(Mode::Error).rate(rate)));
        (0..requests).filter(|_| board.strike(Provider::Ses, true).is_some()).count()
    }

    #[test]
    fn share_is_exact_and_repeats() {
        assert_eq!(hits(0.0, 1_000), 0);
        assert_eq!(hits(0.1, 10), 1);
        assert_eq!(hits(0.25, 1_000), 250);
        assert_eq!(hits(0.3, 1_000), 300);
        assert_eq!(hits(1.0, 7), 7);
    }

    #[test]
    fn questions_about_the_account_do_not_use_up_hits_on_messages() {
        let board = FaultBoard::default();
        board.put(Provider::Ses, Some(Fault::new(Mode::Quota).rate(0.5)));
        assert!(board.strike(Provider::Ses, false).is_none());
        assert!(board.strike(Provider::Ses, true).is_none());
        assert!(board.strike(Provider::Ses, false).is_none());
        assert!(board.strike(Provider::Ses, true).is_some());
    }
}
