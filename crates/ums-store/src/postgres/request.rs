//! A request to write: what is to be written, and the way back to its caller.
//!
//! Only here: SQLite's writer runs a closure for each request.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use tokio::sync::oneshot;
use ums_core::{Step, StoreError, Stored};

use crate::encoded::Encoded;

pub(super) const WAITS: u8 = 0;
pub(super) const TAKEN: u8 = 1;
pub(super) const WITHDRAWN: u8 = 2;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Work {
    /// Messages: all of them or none.
    Accept(Arc<[Encoded]>),
    /// A step, with its mark.
    Record(Arc<Step>, i64),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Answer {
    Stored(Vec<Stored>),
    Recorded,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) work: Work,
    pub(super) bytes: usize,
    /// Hashes of the messages and keys that it is about.
    pub(super) subjects: Vec<u64>,
    pub(super) state: Arc<AtomicU8>,
    pub(super) caller: oneshot::Sender<Result<Answer, StoreError>>,
}

impl Request {
    pub(crate) fn answer(self, answer: Result<Answer, StoreError>) {
        // A caller who has gone away wants no answer.
        drop(self.caller.send(answer));
    }
}

pub(super) fn subjects(work: &Work) -> Vec<u64> {
    fn hash(subject: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        hasher.finish()
    }
    match work {
        Work::Accept(rows) => {
            let ids = rows.iter().map(|row| hash((&row.new.message.tenant, row.new.message.id)));
            let keys = rows.iter().filter_map(|row| {
                let key = row.new.idempotency.as_ref()?;
                Some(hash((&row.new.message.tenant, &key.key)))
            });
            ids.chain(keys).collect()
        }
        Work::Record(step, _) => vec![hash((&step.tenant, step.message_id))],
    }
}
