//! A backup of a database, and the way back.
//!
//! A restored database is of the past: what waited or was in a call at the backup's instant may have been sent since. So a restore
//! lets none of it go out by itself; an operator has it sent again, or says what became of it.

use std::path::Path;
use std::sync::Arc;

use ums_core::{Clock, StoreError};

use crate::location::Location;
use crate::migrations::in_the_background;
use crate::restored::{Backup, Held, Restored};
use crate::{postgres, sqlite};

/// A database in memory ends with its process.
fn in_memory<T>() -> Result<T, StoreError> {
    Err(StoreError::Unusable("a database in memory has no backup".to_owned()))
}

/// Writes a backup of a database to a new file, while others work on the database. A backup that is cut off leaves no file of that name.
///
/// # Errors
/// [`StoreError::Unusable`] when there is no such database, the file is there already, the copy is not sound, or PostgreSQL's `pg_dump` is
/// missing; [`StoreError::Unavailable`] when the disk or the database fails.
pub async fn backup(url: &str, to: &Path, clock: Arc<dyn Clock>) -> Result<Backup, StoreError> {
    let (to, now) = (to.to_owned(), clock.now());
    match Location::parse(url)? {
        Location::Memory | Location::SqliteMemory => in_memory(),
        Location::SqliteFile(database) => in_the_background(move || sqlite::backup::backup(&database, &to, now)).await,
        Location::Postgres(url) => postgres::backup::backup(&postgres::Address::parse(url.expose())?, to, now).await,
    }
}

/// Puts a backup in the place of a database that no process has open. Cut off at any point, it leaves the database from before or the
/// restored one.
///
/// # Errors
/// [`StoreError::Unusable`] when a process has the database open, the backup is not sound or of a newer program, the database holds
/// something and `may_replace` is not set, or PostgreSQL's programs are missing; [`StoreError::Unavailable`] when the disk or the database
/// fails. The database is as it was then. [`StoreError::CommitUnknown`] when nobody knows.
pub async fn restore(url: &str, from: &Path, may_replace: bool, clock: Arc<dyn Clock>) -> Result<Restored, StoreError> {
    let (from, now) = (from.to_owned(), clock.now());
    match Location::parse(url)? {
        Location::Memory | Location::SqliteMemory => in_memory(),
        Location::SqliteFile(database) => in_the_background(move || sqlite::restore::restore(&database, &from, may_replace, now)).await,
        Location::Postgres(url) => postgres::restore::restore(&postgres::Address::parse(url.expose())?, from, may_replace, now).await,
    }
}

/// Makes a database that was restored by other means safe to send from: ends as `unknown` what may have been sent since.
///
/// # Errors
/// [`StoreError::Unusable`] when a process's lease holds, or it is a SQLite database; [`StoreError::Unavailable`] when it cannot be reached. The
/// database is as it was then.
pub async fn mark_restored(url: &str) -> Result<Held, StoreError> {
    match Location::parse(url)? {
        Location::Postgres(url) => postgres::restore::hold(&postgres::Address::parse(url.expose())?).await,
        Location::Memory | Location::SqliteMemory | Location::SqliteFile(_) => Err(StoreError::Unusable(
            "this is for PostgreSQL; `ums restore FILE` restores a SQLite database and marks it".to_owned(),
        )),
    }
}
