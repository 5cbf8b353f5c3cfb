//! Troubles: what ails this process or its machine, and no provider; told in health, readiness and metrics until it is over.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::clock::Timestamp;

words! {
    /// What kind of trouble it is.
    TroubleKind {
        /// The database file is gone, moved or replaced, or another process sends from it.
        Database = "database",
        /// No file descriptor or local port is left.
        Descriptors = "descriptors",
        /// The machine has no memory or thread left for this process. Messages in hand that take all that `limits.memory` gives are load, and no
        /// trouble.
        Memory = "memory",
        /// The machine's clock jumped, or differs from the database's.
        Clock = "clock",
        /// Nobody reads the log; lines are dropped.
        Log = "log",
    }
}

/// One trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Its kind.
    pub kind: TroubleKind,
    /// When it was noticed.
    pub since: Timestamp,
    /// What is wrong and what to do, in words for operators.
    pub reason: String,
    /// Whether the service takes no messages while it lasts: `/readyz` then answers 503.
    pub is_blocking: bool,
}

/// The troubles of a process, one of each kind at most. Cheap to clone; all clones share one list.
#[derive(Clone, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<TroubleKind, Trouble>>>);

impl Troubles {
    /// Notes a trouble; gives whether it is new. One that is known keeps its time and takes the new words.
    pub fn raise(&self, trouble: Trouble) -> bool {
        let mut list = self.list();
        let since = list.get(&trouble.kind).map_or(trouble.since, |known| known.since);
        list.insert(trouble.kind, Trouble { since, ..trouble }).is_none()
    }

    /// Strikes a trouble out; gives whether there was one.
    pub fn clear(&self, kind: TroubleKind) -> bool {
        self.list().remove(&kind).is_some()
    }

    /// The troubles that last, in the order of their kinds.
    pub fn all(&self) -> Vec<Trouble> {
        self.list().values().cloned().collect()
    }

    /// The first trouble because of which no messages are taken.
    pub fn blocking(&self) -> Option<Trouble> {
        self.list().values().find(|trouble| trouble.is_blocking).cloned()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, BTreeMap<TroubleKind, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(kind: TroubleKind, minute: i64, is_blocking: bool) -> Trouble {
        Trouble {
            kind,
            since: Timestamp::from_micros(minute * 60_000_000),
            reason: format!("seen in minute {minute}"),
            is_blocking,
        }
    }

    #[test]
    fn a_trouble_keeps_its_time_until_it_is_over() {
        let troubles = Troubles::default();
        assert!(troubles.raise(trouble(TroubleKind::Log, 1, false)));
        assert!(!troubles.clone().raise(trouble(TroubleKind::Log, 2, false)));
        let seen = troubles.all();
        assert_eq!((seen.len(), seen[0].since), (1, Timestamp::from_micros(60_000_000)));
        assert_eq!(seen[0].reason, "seen in minute 2");
        assert!(troubles.clear(TroubleKind::Log) && !troubles.clear(TroubleKind::Log));
        assert_eq!(troubles.all(), []);
    }

    #[test]
    fn only_a_blocking_trouble_stops_the_service() {
        let troubles = Troubles::default();
        troubles.raise(trouble(TroubleKind::Clock, 1, false));
        assert_eq!(troubles.blocking(), None);
        troubles.raise(trouble(TroubleKind::Database, 1, true));
        assert_eq!(troubles.blocking().map(|trouble| trouble.kind), Some(TroubleKind::Database));
    }
}
