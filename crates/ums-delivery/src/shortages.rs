//! Shortages of our own machine, as calls meet them: one trouble for operators, however many messages wait for it.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ums_core::{Clock, Failure, FailureClass, Monotonic, Shortage, Trouble, TroubleKind, Troubles};

/// The trouble is over when no call met a shortage for so long.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// What calls of providers and receivers, the store and the door met of late.
#[derive(Debug, Default)]
pub(crate) struct Shortages {
    troubles: Troubles,
    last: Mutex<Option<Monotonic>>,
}

impl Shortages {
    pub(crate) fn new(troubles: Troubles) -> Self {
        Self {
            troubles,
            last: Mutex::default(),
        }
    }

    /// Notes a failed call; only a shortage is of interest.
    pub(crate) fn failed(&self, failure: &Failure, clock: &dyn Clock) {
        if failure.class == FailureClass::LocalShortage {
            self.met(&failure.detail, clock);
        }
    }

    /// Notes why something did not work, if that is a shortage; gives whether it is.
    pub(crate) fn noted(&self, error: &(dyn Error + 'static), clock: &dyn Clock) -> bool {
        let shortage = Shortage::of(error);
        if let Some(shortage) = shortage {
            self.met(shortage.words(), clock);
        }
        shortage.is_some()
    }

    /// Notes a shortage, in words for operators.
    pub(crate) fn met(&self, reason: &str, clock: &dyn Clock) {
        *self.last() = Some(clock.monotonic());
        let is_new = self.troubles.raise(Trouble {
            kind: TroubleKind::Descriptors,
            since: clock.now(),
            reason: reason.to_owned(),
            is_blocking: false,
        });
        if is_new {
            tracing::error!(
                reason,
                "this process or its machine has too little left; messages wait, and neither a provider nor the database is to blame"
            );
        }
    }

    /// Strikes the trouble out when it is over.
    pub(crate) fn look(&self, now: Monotonic) {
        let mut last = self.last();
        if last.is_some_and(|last| now.since(last) >= OVER_AFTER) {
            *last = None;
            self.troubles.clear(TroubleKind::Descriptors);
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Monotonic>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
