//! Whether another program wrote over the file, past SQLite: `cp backup.db ums.db` keeps path, device, inode and links.
//!
//! In a database with a write-ahead log the file itself is written by checkpoints alone, and each checkpoint moves on how much of the log is
//! in the file (`nBackfill` in `sqlite.org/walformat.html`), whichever process makes it. So a file that was written without such progress was
//! written past SQLite. The progress is asked for after each commit, without work (`PRAGMA wal_checkpoint(NOOP)`, a look into shared memory).
//!
//! An overwriting within the same commit as a checkpoint of the whole log goes unseen until the next write of the other program.

use rusqlite::Connection;

use super::standing::Written;

/// How much of the log is in the file, in pages.
type InFile = i64;

/// The file as it was last seen.
#[derive(Debug, Default)]
pub(super) struct Content(Option<(Written, InFile)>);

impl Content {
    /// Whether the file was written as SQLite writes since it was last seen. What SQLite does not tell is not held against it.
    pub(super) fn is_of_sqlite(&mut self, connection: &Connection, written: Written) -> bool {
        let Ok(in_file) = in_file(connection) else { return true };
        let Some((known, known_in_file)) = self.0.replace((written, in_file)) else {
            return true;
        };
        known == written || known_in_file != in_file
    }
}

fn in_file(connection: &Connection) -> rusqlite::Result<InFile> {
    connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| row.get(2))
}
