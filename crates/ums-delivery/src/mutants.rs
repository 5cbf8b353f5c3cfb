//! Faults that a test plants in the engine, to prove that the simulator of the dispatch core would find them.
//!
//! They exist with the feature `mutants` only, which no build that sends ever has; without it each question is answered with no when it
//! is compiled.

/// A fault in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A provider is called before the intent to call it is committed.
    CallBeforeIntent,
    /// The outcome of a call is dropped when the store is away.
    OutcomeForgotten,
    /// The end of the lease is not looked at before a call.
    LeaseNotChecked,
    /// A message that must not arrive twice is handled like one that may.
    NeverIsAllow,
    /// A refused recipient counts against the provider.
    RecipientsBlamed,
    /// A provider is called although the store said who must not be contacted.
    OptOutIgnored,
}

impl Mutant {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::CallBeforeIntent,
        Self::OutcomeForgotten,
        Self::LeaseNotChecked,
        Self::NeverIsAllow,
        Self::RecipientsBlamed,
        Self::OptOutIgnored,
    ];
}

#[cfg(feature = "mutants")]
mod planted {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants a fault in all engines that run on this thread, or takes it away.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    /// Whether that fault is planted.
    pub(crate) fn is(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub(crate) use planted::is;
#[cfg(feature = "mutants")]
pub use planted::plant;

/// No fault is planted.
#[cfg(not(feature = "mutants"))]
#[inline]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}
