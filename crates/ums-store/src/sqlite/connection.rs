//! Connections: how the file is opened, and what SQLite's errors mean here.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use ums_core::{Shortage, StoreError};

use super::codes;
use crate::remedy::Remedy;

/// Prepared statements kept by a connection; there are fewer.
const STATEMENTS: usize = 128;
/// What the writer keeps of the file in memory, in KiB: with SQLite's own 2 MiB it reads pages of older messages again for each report about one.
const CACHE_KIB: i64 = 32 << 10;
/// Pages of 4 KiB in the log before they are moved to the file: fewer, longer pauses than SQLite's 1,000.
const CHECKPOINT_PAGES: u32 = 4_000;
/// How often the write-ahead log is asked for while other processes change the file.
const MODE_TRIES: usize = 20;
/// To what the log's file is cut after it has grown in a burst.
const LOG_BYTES: u32 = 64 << 20;

/// How to open connections to one database, again and again.
#[derive(Debug)]
pub(crate) struct Opening {
    /// None for a database in memory.
    pub(crate) path: Option<PathBuf>,
    /// How long to wait for another process's write.
    pub(crate) busy: Duration,
    /// Largest size of the file in pages; 0 for no limit.
    pub(crate) max_pages: AtomicU32,
}

impl Opening {
    /// Opens the connection that writes.
    pub(crate) fn writer(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.path {
            Some(path) => Connection::open_with_flags(path, flags)?,
            None => Connection::open_in_memory()?,
        };
        self.prepare(&connection)?;
        // The mode is kept in the file: asked for, then checked, since a file system may refuse it.
        let mode = write_ahead(&connection)?;
        if self.path.is_some() && mode != "wal" {
            tracing::warn!(
                mode,
                "the database's file system does not allow a write-ahead log; writes will be slow"
            );
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // In pages when it is positive.
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        // Where savepoints keep the pages that they may have to put back; a file by default.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        self.apply_limit(&connection)?;
        Ok(connection)
    }

    /// Opens a connection that only reads.
    pub(crate) fn reader(&self, path: &Path) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        self.prepare(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    /// Applies the limit of the file's size to the connection that writes.
    pub(crate) fn apply_limit(&self, connection: &Connection) -> rusqlite::Result<()> {
        let pages = match self.max_pages.load(Ordering::Relaxed) {
            0 => u32::MAX - 1,
            pages => pages,
        };
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    }

    fn prepare(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(self.busy)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(())
    }
}

/// Asks for the write-ahead log; the mode that the file has afterwards. SQLite does not wait here for another process that changes the file
/// at the same moment, as processes do that start together on a new file; an empty transaction does.
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let ask = || connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
    for _ in 0..MODE_TRIES {
        match ask() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN IMMEDIATE; COMMIT")?;
            }
            answered => return answered,
        }
    }
    ask()
}

/// Makes an empty file that only its owner may read, unless there is one: it will hold addresses.
pub(crate) fn create_private(path: &Path) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// What an error of SQLite means to a caller. Errors hold names of tables, never values.
pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    if let Some(shortage) = shortage(&error) {
        return StoreError::Unavailable(Box::new(shortage));
    }
    match codes::remedy(&error) {
        Remedy::Refuse(why) => StoreError::Unusable(why.to_owned()),
        Remedy::ReplaceTexts => StoreError::RefusedData(match error.sqlite_error() {
            Some(error) => format!("error {}", error.extended_code),
            None => String::new(),
        }),
        Remedy::Again | Remedy::Reconnect | Remedy::Wait | Remedy::LookAgain => StoreError::Unavailable(Box::new(error)),
    }
}

/// The shortage behind a file that SQLite could not open. It keeps the machine's code to itself, so the machine is asked.
fn shortage(error: &rusqlite::Error) -> Option<Shortage> {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => Shortage::now(),
        Some(ErrorCode::OutOfMemory) => Some(Shortage::Memory),
        _ => None,
    }
}

/// Whether the connection itself may be broken, so that a new one must be opened.
pub(crate) fn wants_reopening(error: &rusqlite::Error) -> bool {
    matches!(codes::remedy(error), Remedy::Reconnect | Remedy::Refuse(_))
}
