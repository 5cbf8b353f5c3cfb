//! Shortages of our own machine, as calls meet them: one trouble of each kind for operators, however many messages wait for it.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ums_core::{Clock, Failure, Monotonic, Shortage, Trouble, TroubleKind, Troubles};

/// The trouble is over when no call met such a shortage for so long.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// What calls of providers and receivers, the store and the door met of late.
#[derive(Debug, Default)]
pub(crate) struct Shortages {
    troubles: Troubles,
    last: Mutex<BTreeMap<TroubleKind, Monotonic>>,
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
        if let Some(shortage) = Shortage::of_failure(failure) {
            self.met(shortage, clock);
        }
    }

    /// Notes why something did not work, if that is a shortage; gives whether it is.
    pub(crate) fn noted(&self, error: &(dyn Error + 'static), clock: &dyn Clock) -> bool {
        let shortage = Shortage::of(error);
        if let Some(shortage) = shortage {
            self.met(shortage, clock);
        }
        shortage.is_some()
    }

    /// Notes a shortage.
    pub(crate) fn met(&self, shortage: Shortage, clock: &dyn Clock) {
        let (kind, reason) = (shortage.trouble(), shortage.words());
        self.last().insert(kind, clock.monotonic());
        let is_new = self.troubles.raise(Trouble {
            kind,
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

    /// Strikes out the troubles that are over.
    pub(crate) fn look(&self, now: Monotonic) {
        self.last().retain(|kind, last| {
            let lasts = now.since(*last) < OVER_AFTER;
            if !lasts {
                self.troubles.clear(*kind);
            }
            lasts
        });
    }

    fn last(&self) -> MutexGuard<'_, BTreeMap<TroubleKind, Monotonic>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
