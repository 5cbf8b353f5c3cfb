//! A backup of a database, and the way back.
//!
//! A restored database is of the past: what waited or was in a call at the backup's instant may have been sent since. So a restore
//! lets none of it go out by itself; an operator has it sent again, or says what became of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ums_core::{Clock, StoreError};

use crate::location::Location;
use crate::migrations::in_the_background;
use crate::restored::{Backup, Held, Restored};
use crate::{postgres, sqlite};

/// Whether the backup's way is built for a database: only a SQLite file so far.
fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    let unusable = |why: &str| Err(StoreError::Unusable(why.to_owned()));
    match Location::parse(url)? {
        Location::SqliteFile(path) => Ok(path),
        Location::Memory | Location::SqliteMemory => unusable("a database in memory has no backup"),
        Location::Postgres(_) => unusable(
            "this is for SQLite; take pg_dump and pg_restore for PostgreSQL, and run `ums restore --mark-restored` before a service starts on what was restored: else it sends again what waited",
        ),
    }
}

/// Writes a backup of a database to a new file, while others work on the database. A backup that is cut off leaves no file of that name.
///
/// # Errors
/// [`StoreError::Unusable`] when there is no such database, the file is there already, or the copy is not sound,
/// [`StoreError::Unavailable`] when the disk fails.
pub async fn backup(url: &str, to: &Path, clock: Arc<dyn Clock>) -> Result<Backup, StoreError> {
    let (database, to) = (file_of(url)?, to.to_owned());
    in_the_background(move || sqlite::backup::backup(&database, &to, clock.now())).await
}

/// Puts a backup in the place of a database that no process has open. Cut off at any point, it leaves the database from before or the
/// restored one.
///
/// # Errors
/// [`StoreError::Unusable`] when a process has the database open, the backup is not sound or of a newer program, or the database holds
/// something and `may_replace` is not set; [`StoreError::Unavailable`] when the disk fails. The database is as it was then.
pub async fn restore(url: &str, from: &Path, may_replace: bool, clock: Arc<dyn Clock>) -> Result<Restored, StoreError> {
    let (database, from) = (file_of(url)?, from.to_owned());
    in_the_background(move || sqlite::restore::restore(&database, &from, may_replace, clock.now())).await
}

/// Makes a database that PostgreSQL's own tools restored safe to send from: ends as `unknown` what may have been sent since.
///
/// # Errors
/// [`StoreError::Unusable`] when a process's lease holds, or it is a SQLite database; [`StoreError::Unavailable`] when it cannot be reached. The
/// database is as it was then.
pub async fn mark_restored(url: &str, clock: Arc<dyn Clock>) -> Result<Held, StoreError> {
    match Location::parse(url)? {
        Location::Postgres(url) => postgres::restore::hold(&postgres::Address::parse(url.expose())?, clock.now()).await,
        Location::Memory | Location::SqliteMemory | Location::SqliteFile(_) => Err(StoreError::Unusable(
            "this is for PostgreSQL; `ums restore FILE` restores a SQLite database and marks it".to_owned(),
        )),
    }
}
