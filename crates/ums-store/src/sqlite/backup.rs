//! A backup: a copy of one instant, made while others write, and checked before it gets its name.
//!
//! `VACUUM INTO` reads one snapshot and holds up no writer; the write-ahead log grows until it is done. It does not sync the copy
//! (<https://www.sqlite.org/lang_vacuum.html>, read 2026-11-29), so that is done here. The copy gets a stamp
//! (the instant, and each table's rows), is checked and synced, then gets a seal: one without them was cut off. What a backup that was cut
//! off leaves has a name that is refused, sealed or not.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use ums_core::{StoreError, Timestamp, failpoint};

use super::connection::store_error;
use super::migrate;
use super::seal::{Verdict, seal, unseal};
use crate::archive;
use crate::restored::Backup;

/// How long the start of the copy waits for a process that opens or closes the database.
const BUSY: Duration = Duration::from_secs(30);
/// The stamp's row with the instant; each other row has a table's name and its number of rows.
const TAKEN_AT: &str = "(taken at)";

/// Writes a backup.
pub(crate) fn backup(database: &Path, to: &Path, now: Timestamp) -> Result<Backup, StoreError> {
    if std::fs::metadata(database).map_or(true, |file| file.len() == 0) {
        return Err(StoreError::Unusable(format!("there is no database at {}", database.display())));
    }
    archive::written(to, |partial| write(database, partial, now))
}

fn write(database: &Path, partial: &Path, now: Timestamp) -> Result<Backup, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(database, flags).map_err(store_error)?;
    source.busy_timeout(BUSY).map_err(store_error)?;
    migrate::known_version(&source)?;
    let name = partial
        .to_str()
        .ok_or_else(|| StoreError::Unusable("the backup's file must have a name in UTF-8".to_owned()))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(store_error)?;
    drop(source);
    failpoint::pass("backup.copied");
    stamp(partial, now)?;
    let mut backup = contents(partial)?;
    let sealed = File::open(partial).and_then(|file| file.sync_all()).and_then(|()| seal(partial));
    sealed.map_err(|error| archive::failed("the backup cannot be sealed", &error))?;
    backup.bytes = archive::length(partial)?;
    Ok(backup)
}

/// Counts what the copy holds, and notes it in the copy.
fn stamp(copy: &Path, now: Timestamp) -> Result<(), StoreError> {
    let connection = Connection::open(copy).map_err(store_error)?;
    let tables = counts(&connection)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = MEMORY; BEGIN; CREATE TABLE backup_stamp (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
        )
        .map_err(store_error)?;
    for (name, value) in tables
        .iter()
        .map(|(name, rows)| (name.as_str(), *rows))
        .chain([(TAKEN_AT, now.as_micros())])
    {
        connection
            .execute("INSERT INTO backup_stamp (name, value) VALUES (?1, ?2)", params![name, value])
            .map_err(store_error)?;
    }
    connection.execute_batch("COMMIT").map_err(store_error)
}

/// The tables with their numbers of rows.
fn counts(connection: &Connection) -> Result<Vec<(String, i64)>, StoreError> {
    let mut statement = connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'backup_stamp' ORDER BY name",
        )
        .map_err(store_error)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0)).map_err(store_error)?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>().map_err(store_error)?;
    let count = |name: String| {
        // Names of our own schema; SQLite takes no parameter here.
        let sql = ["SELECT count(*) FROM \"", &name.replace('"', "\"\""), "\""].concat();
        let rows = connection.query_row(&sql, [], |row| row.get(0)).map_err(store_error)?;
        Ok((name, rows))
    };
    names.into_iter().map(count).collect()
}

/// Reads what a backup is, and checks that it is whole: its seal, its stamp, SQLite's own check, each table's rows.
pub(crate) fn read(file: &Path) -> Result<Backup, StoreError> {
    copy_out(file, &mut io::sink())?;
    contents(file)
}

/// Copies the database out of a backup. The copy is of use only if every byte is as it was sealed.
pub(crate) fn copy_out(file: &Path, to: &mut impl io::Write) -> Result<(), StoreError> {
    let unusable = |why: &str| Err(StoreError::Unusable(format!("{} {why}", file.display())));
    archive::check_name(file)?;
    match unseal(file, to).map_err(|error| archive::failed("the backup cannot be read", &error))? {
        Verdict::Whole => Ok(()),
        Verdict::Altered => unusable("is damaged: its bytes are not those that were written"),
        Verdict::Unsealed => unusable("is no backup that `ums backup` finished"),
    }
}

/// Checks the stamp, SQLite's structures and the rows of each table.
pub(crate) fn contents(file: &Path) -> Result<Backup, StoreError> {
    let unusable = |why: &str| Err(StoreError::Unusable(format!("{} {why}", file.display())));
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(store_error)?;
    if !migrate::has_stamp(&connection)? {
        return unusable("is no backup that `ums backup` finished");
    }
    let schema_version = migrate::known_version(&connection)?;
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(store_error)?;
    if verdict != "ok" {
        return unusable("is damaged: SQLite's integrity check fails");
    }
    let stamped = |name: &str| {
        connection
            .query_row("SELECT value FROM backup_stamp WHERE name = ?1", [name], |row| row.get::<_, i64>(0))
            .optional()
            .map_err(store_error)
    };
    let (mut rows, mut messages) = (0, 0);
    for (name, found) in counts(&connection)? {
        if stamped(&name)? != Some(found) {
            return unusable("is damaged: a table has another number of rows than when it was made");
        }
        let found = u64::try_from(found).unwrap_or(0);
        rows += found;
        if name == "messages" {
            messages = found;
        }
    }
    let Some(taken_at) = stamped(TAKEN_AT)? else {
        return unusable("is no backup that `ums backup` finished");
    };
    let bytes = archive::length(file)?;
    Ok(Backup {
        taken_at: Timestamp::from_micros(taken_at),
        schema_version,
        messages,
        rows,
        bytes,
    })
}
