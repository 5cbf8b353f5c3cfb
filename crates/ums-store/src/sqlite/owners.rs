//! Who may send: one process at a time on one file.
//!
//! A file beside the database carries an operating system's lock, which ends with its process, so a
//! dead owner is known at once. Every process that opens the database registers a row; a message under way
//! names the row of the process that works on it, and that name is the fence.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, params};
use ums_core::{StoreError, Timestamp};

use super::connection::{create_private, store_error};

/// The lock file of a database, held or not.
#[derive(Debug)]
pub(crate) struct Ownership {
    /// None for a database in memory, which nobody else can open.
    file: Option<File>,
    held: AtomicBool,
}

impl Ownership {
    /// Opens the lock file beside the database and takes the lock if it is free.
    pub(crate) fn beside(database: &Path) -> Result<Self, StoreError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let file = create_private(Path::new(&name))
            .map_err(|error| StoreError::Unusable(format!("the lock file beside the database cannot be opened: {error}")))?;
        let ownership = Self {
            file: Some(file),
            held: AtomicBool::new(false),
        };
        ownership.try_take()?;
        Ok(ownership)
    }

    /// The ownership of a database that only this process can see.
    pub(crate) fn alone() -> Self {
        Self {
            file: None,
            held: AtomicBool::new(true),
        }
    }

    /// Takes the lock if it is free. Says whether it is held by us now.
    pub(crate) fn try_take(&self) -> Result<bool, StoreError> {
        let Some(file) = self.file.as_ref().filter(|_| !self.is_held()) else {
            return Ok(self.is_held());
        };
        match file.try_lock() {
            Ok(()) => self.held.store(true, Ordering::Release),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(StoreError::Unavailable(Box::new(error))),
        }
        Ok(self.is_held())
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Gives the lock up, after the last write.
    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::Release);
        if let Some(Err(error)) = self.file.as_ref().map(File::unlock) {
            tracing::warn!(%error, "the database's lock file could not be unlocked");
        }
    }
}

/// Registers this process and returns its id, which was never used before.
pub(crate) fn register(connection: &Connection, now: Timestamp) -> Result<i64, StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO owners (epoch, until) VALUES (?1, ?1) RETURNING id")
        .map_err(store_error)?;
    statement.query_row([now.as_micros()], |row| row.get(0)).map_err(store_error)
}

/// Notes that this process is alive.
pub(crate) fn renew(connection: &Connection, owner: i64, now: Timestamp) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO owners (id, epoch, until) VALUES (?1, ?2, ?2) ON CONFLICT (id) DO UPDATE SET until = ?2")
        .map_err(store_error)?;
    statement.execute(params![owner, now.as_micros()]).map(drop).map_err(store_error)
}

/// When a process was last seen alive.
pub(crate) fn seen(connection: &Connection, owner: i64) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT max(until) FROM owners WHERE id = ?1")
        .map_err(store_error)?;
    let until: Option<i64> = statement.query_row([owner], |row| row.get(0)).map_err(store_error)?;
    Ok(until.map(Timestamp::from_micros))
}

/// Forgets all processes but this one and those that were seen since.
pub(crate) fn forget_others(connection: &Connection, owner: i64, since: Timestamp) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM owners WHERE id <> ?1 AND until < ?2")
        .map_err(store_error)?;
    statement.execute(params![owner, since.as_micros()]).map(drop).map_err(store_error)
}
