//! Descriptors of a database's files that this process opens beside SQLite's.
//!
//! **Invariant:** none of them is closed while a connection of this process to the same file is open. Closing one drops all POSIX locks of
//! the process on the file (`fcntl(2)`), those of SQLite among them.
//!
//! Only here: PostgreSQL opens its own files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::connection::create_private;
use super::standing::{Identity, Standing};

/// The descriptors of one file.
#[derive(Debug, Default)]
struct Opened {
    stores: usize,
    /// Of stores that are closed, while another store of this process is open on the file.
    kept: Vec<File>,
}

static OPENED: Mutex<BTreeMap<Identity, Opened>> = Mutex::new(BTreeMap::new());

fn opened() -> MutexGuard<'static, BTreeMap<Identity, Opened>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor of a file that outlives the connections of its store.
#[derive(Debug)]
pub(super) struct Descriptor {
    identity: Identity,
    /// None only while it is dropped.
    file: Option<File>,
}

impl Descriptor {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut opened = opened();
        let known = std::fs::metadata(path)
            .ok()
            .and_then(|found| opened.get_mut(&Standing::of(&found).identity));
        let file = match known.and_then(|known| known.kept.pop()) {
            Some(kept) => kept,
            None => create_private(path)?,
        };
        let identity = Standing::of(&file.metadata()?).identity;
        opened.entry(identity).or_default().stores += 1;
        Ok(Self {
            identity,
            file: Some(file),
        })
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let mut opened = opened();
        let Some(known) = opened.get_mut(&self.identity) else { return };
        if let Some(file) = self.file.take() {
            // A descriptor that is kept must hold no lock.
            drop(file.unlock());
            known.kept.push(file);
        }
        known.stores -= 1;
        if known.stores == 0 {
            opened.remove(&self.identity);
        }
    }
}
