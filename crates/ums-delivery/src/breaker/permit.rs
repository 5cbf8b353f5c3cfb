//! A permit of a breaker: one call, whose outcome the breaker learns from.

use std::borrow::Borrow;

use super::{Breaker, Now, Verdict};

/// What a permit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Probe,
    LastResort,
    /// For a question while the breaker is open: a bad answer says nothing new and lengthens no wait.
    Question,
}

/// A permit to call the provider once. The breaker does not count a permit that is dropped without [`Permit::settle`].
#[derive(Debug)]
pub struct Permit<B: Borrow<Breaker>> {
    pub(super) breaker: B,
    pub(super) generation: u64,
    pub(super) kind: Kind,
    pub(super) ask_first: bool,
    pub(super) open: bool,
}

impl<B: Borrow<Breaker>> Permit<B> {
    /// Whether the provider should be asked without sending before a message is risked.
    pub fn ask_first(&self) -> bool {
        self.ask_first
    }

    /// Whether the provider must still be asked: another process may have asked it, or learned more, since the admission. An operator's
    /// question is asked whatever others asked.
    pub(crate) fn still_to_ask(&self) -> bool {
        let this: &Breaker = self.breaker.borrow();
        this.locked(|slow| {
            let is_due = !self.ask_first || slow.is_to_be_asked();
            (slow.generation == self.generation && is_due, None)
        })
        .0
    }

    /// Whether the permit is for a probe, also one of the last resort.
    pub fn is_probe(&self) -> bool {
        self.kind != Kind::Plain
    }

    /// Ends the permit of a provider that was asked and did not say no: the next permit is for a message.
    pub fn cleared(mut self) {
        self.open = false;
        let this: &Breaker = self.breaker.borrow();
        let generation = self.generation;
        let ((), change) = this.locked(|slow| {
            if slow.generation != generation {
                return ((), None);
            }
            slow.probe_ended(true);
            ((), slow.asked())
        });
        this.tell(change);
    }

    /// Ends the permit with the outcome of its call.
    #[inline]
    pub fn settle(mut self, verdict: Verdict<'_>, now: Now) {
        self.open = false;
        let breaker: &Breaker = self.breaker.borrow();
        match verdict {
            Verdict::Success => breaker.success(self.generation, self.kind, now),
            Verdict::Failure(failure) => breaker.failure(self.generation, self.kind, failure, now),
        }
    }
}

impl<B: Borrow<Breaker>> Drop for Permit<B> {
    #[inline]
    fn drop(&mut self) {
        if self.open && self.kind != Kind::Plain {
            self.breaker.borrow().release(self.generation);
        }
    }
}
