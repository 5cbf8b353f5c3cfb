//! Whether another program wrote over the file, past SQLite: `cp backup.db ums.db` keeps path, device, inode and links.
//!
//! While the file has a write-ahead log, checkpoints alone write to the file itself, and every checkpoint, of whichever process, says so in
//! the log's index before it writes and when it has written (`nBackfillAttempted`, `nBackfill`; a log that begins anew has new salts;
//! `sqlite.org/walformat.html` §2). A file that was written although the index is as it was, and tells of no checkpoint under way, was
//! written past SQLite. A checkpoint that failed counts as under way.
//!
//! Only here: a file can be written over by another program; PostgreSQL keeps its files to itself.

use std::fs::File;

use super::standing::Written;

/// What the index says of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checkpoints {
    salts: [u8; 8],
    done: [u8; 4],
    attempted: [u8; 4],
}

/// Where they stand in the index: `aSalt` of the header, `nBackfill` and `nBackfillAttempted` of the checkpoint information.
const SALTS: usize = 32;
const DONE: usize = 96;
const ATTEMPTED: usize = 128;
const END: usize = ATTEMPTED + 4;

impl Checkpoints {
    /// None while a checkpoint is under way, or where the index cannot be read.
    fn read(index: &File) -> Option<Self> {
        let bytes = head(index)?;
        let read = Self {
            salts: *bytes[SALTS..].first_chunk()?,
            done: *bytes[DONE..].first_chunk()?,
            attempted: *bytes[ATTEMPTED..].first_chunk()?,
        };
        (read.done == read.attempted).then_some(read)
    }
}

/// The file as it was last seen at rest.
#[derive(Debug, Default)]
pub(super) struct Content(Option<(Written, Checkpoints)>);

impl Content {
    /// Whether only SQLite wrote to the file since it was last seen. What cannot be told is not held against it.
    pub(super) fn is_of_sqlite<E>(&mut self, index: &File, written: impl FnOnce() -> Result<Written, E>) -> Result<bool, E> {
        let before = Checkpoints::read(index);
        let written = written()?;
        let Some(checkpoints) = Checkpoints::read(index).filter(|after| before == Some(*after)) else {
            self.0 = None;
            return Ok(true);
        };
        let known = self.0.replace((written, checkpoints));
        Ok(known.is_none_or(|(known, then)| known == written || then != checkpoints))
    }
}

/// The first bytes of the index.
#[cfg(unix)]
fn head(index: &File) -> Option<[u8; END]> {
    let mut bytes = [0; END];
    std::os::unix::fs::FileExt::read_exact_at(index, &mut bytes, 0).ok()?;
    Some(bytes)
}

/// Nobody writes to a file past Windows while SQLite locks parts of it (`LockFileEx`).
#[cfg(not(unix))]
fn head(_: &File) -> Option<[u8; END]> {
    None
}
