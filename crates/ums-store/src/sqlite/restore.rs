//! A restore: the backup is copied beside the database, checked, made safe to send from, and takes the database's name in one step.
//!
//! **Invariant:** no message that had not ended in the backup goes out by itself afterwards, unless it was scheduled for a time that has
//! not come yet: it may have been sent since the backup.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, params};
use ums_core::{StoreError, Timestamp, failpoint};

use super::connection::{create_private, store_error};
use super::owners::Ownership;
use super::{backup, migrate};
use crate::archive;
use crate::restored::{Restored, WHY};

/// By how much the ids of processes move on, so that no process that knew the database from before has an id in the restored one.
const OWNERS_AHEAD: i64 = 1 << 32;
/// What SQLite keeps beside a database, and must not meet another one.
const COMPANIONS: [&str; 3] = ["-wal", "-journal", INDEX];
/// The index of the write-ahead log.
const INDEX: &str = "-shm";

/// Restores a backup.
pub(crate) fn restore(database: &Path, from: &Path, may_replace: bool, now: Timestamp) -> Result<Restored, StoreError> {
    backup::read(from)?;
    let ownership = Ownership::beside(database)?;
    // A link stays a link: the file that it leads to is replaced.
    let resolved = ownership.path().map(Path::to_owned);
    let database = resolved.as_deref().unwrap_or(database);
    if !ownership.is_held() {
        return Err(in_use(database));
    }
    let before = Before::of(database)?;
    if before.holds_something && !may_replace {
        return Err(StoreError::Unusable(format!(
            "the database {} is not empty; with --force it is kept aside and replaced",
            database.display()
        )));
    }
    let staged = archive::beside(database, ".restoring");
    let made = stage(from, &staged, now).and_then(|(backup, held, scheduled)| {
        failpoint::pass("restore.staged");
        let kept_aside = before.give_way(&staged, database, now)?;
        Ok(Restored {
            taken_at: Some(backup.taken_at),
            messages: backup.messages,
            held,
            scheduled,
            kept_aside,
        })
    });
    if made.is_err() {
        drop(std::fs::remove_file(&staged));
    }
    drop(before);
    ownership.release();
    made
}

fn in_use(database: &Path) -> StoreError {
    StoreError::Unusable(format!(
        "a process has the database {} open; stop the service and every other ums, then restore",
        database.display()
    ))
}

/// The database that a restore replaces.
struct Before {
    /// Keeps everybody else out. None when there is no database, or SQLite cannot read it.
    exclusive: Option<Connection>,
    is_there: bool,
    holds_something: bool,
}

impl Before {
    fn of(database: &Path) -> Result<Self, StoreError> {
        let absent = Self {
            exclusive: None,
            is_there: false,
            holds_something: false,
        };
        if !database.exists() {
            return Ok(absent);
        }
        match Self::exclusive(database) {
            Ok((connection, holds_something)) => Ok(Self {
                exclusive: Some(connection),
                is_there: true,
                holds_something,
            }),
            Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
                Err(in_use(database))
            }
            Err(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
                ) =>
            {
                Ok(Self {
                    is_there: true,
                    holds_something: true,
                    ..absent
                })
            }
            Err(error) => Err(store_error(error)),
        }
    }

    /// Takes the whole database. Leaving the write-ahead log succeeds only where no other process has the file open, and puts all of the
    /// log into the file (<https://www.sqlite.org/wal.html>, section 8, read 2026-11-29).
    fn exclusive(database: &Path) -> rusqlite::Result<(Connection, bool)> {
        let connection = Connection::open(database)?;
        connection.busy_timeout(Duration::ZERO)?;
        let mode = |sql| connection.query_row(sql, [], |row| row.get::<_, String>(0));
        mode("PRAGMA journal_mode = DELETE")?;
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        if mode("PRAGMA journal_mode")? != "delete" {
            // Another process was faster, and has its log again.
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            return Err(rusqlite::Error::SqliteFailure(busy, None));
        }
        let is_empty: bool = connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
        let holds_something = !is_empty && {
            let has = |table: &str| {
                connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)", [table], |row| {
                    row.get::<_, bool>(0)
                })
            };
            // A database of another program holds something, whatever its tables hold.
            !has("messages")?
                || !has("suppressions")?
                || connection.query_row(
                    "SELECT EXISTS (SELECT 1 FROM messages) OR EXISTS (SELECT 1 FROM suppressions)",
                    [],
                    |row| row.get(0),
                )?
        };
        Ok((connection, holds_something))
    }

    /// The restored database takes the name of this one, which is kept aside. It never has two names: such a file is not opened.
    fn give_way(&self, staged: &Path, database: &Path, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
        let failed = |error| archive::failed("the database cannot be kept aside", &error);
        let aside = archive::beside(database, &format!(".before-{}", now.as_micros()));
        if self.exclusive.is_some() {
            // Both names change hands in one step, where the system knows it.
            std::fs::File::open(staged).and_then(|file| file.sync_all()).map_err(failed)?;
            std::fs::rename(staged, &aside).map_err(failed)?;
            failpoint::pass("restore.kept");
            if exchange(&aside, database).is_ok() {
                archive::sync_folder(database).map_err(failed)?;
                return Ok(Some(aside));
            }
            std::fs::rename(&aside, staged).map_err(failed)?;
        }
        if self.is_there {
            std::fs::copy(database, &aside).map_err(failed)?;
            // A restore that is cut off after the next step leaves the database without its log. One that was taken whole has none any
            // more. A damaged one must be of no use without it, too: else a service would go on from an older state, and send again.
            if self.exclusive.is_none() && is_readable(&aside) {
                drop(std::fs::remove_file(&aside));
                return Err(StoreError::Unusable(format!(
                    "the database {0} is damaged together with its log; move {0} and the files {0}-* away yourself, then restore",
                    database.display()
                )));
            }
        }
        for companion in COMPANIONS {
            let beside = archive::beside(database, companion);
            // The index of a log is made anew from it, and a log without its database is of no use.
            let moved = if self.is_there && companion != INDEX {
                std::fs::rename(beside, archive::beside(&aside, companion))
            } else {
                std::fs::remove_file(beside)
            };
            match moved {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
        }
        archive::sync_folder(database).map_err(failed)?;
        archive::put(staged, database).map_err(|error| archive::failed("the restored database cannot take its place", &error))?;
        Ok(self.is_there.then_some(aside))
    }
}

/// Two files exchange their names (`renameat2(2)`, `RENAME_EXCHANGE`).
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether SQLite reads a file that has no log beside it.
fn is_readable(file: &Path) -> bool {
    let schema = |connection: Connection| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    Connection::open(file).and_then(schema).is_ok()
}

/// Makes the restored database beside the one from before: the backup, the messages held, the schema of this program, checked.
fn stage(from: &Path, staged: &Path, now: Timestamp) -> Result<(crate::restored::Backup, u64, u64), StoreError> {
    copy(from, staged)?;
    let found = backup::contents(staged)?;
    let mut connection = Connection::open(staged).map_err(store_error)?;
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
        .map_err(store_error)?;
    let transaction = connection.transaction().map_err(store_error)?;
    transaction.execute_batch("DROP TABLE backup_stamp").map_err(store_error)?;
    let held = hold(&transaction, now).map_err(store_error)?;
    let scheduled = transaction
        .query_row("SELECT count(*) FROM messages WHERE due_at IS NOT NULL", [], |row| {
            row.get::<_, i64>(0)
        })
        .map_err(store_error)?;
    move_owners_on(&transaction).map_err(store_error)?;
    transaction.commit().map_err(store_error)?;
    migrate::migrate(&mut connection, now)?;
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(store_error)?;
    if verdict != "ok" {
        return Err(StoreError::Unusable(
            "the restored database is not sound; the disk may be failing".to_owned(),
        ));
    }
    connection.close().map_err(|(_, error)| store_error(error))?;
    Ok((found, held, u64::try_from(scheduled).unwrap_or(0)))
}

fn copy(from: &Path, staged: &Path) -> Result<(), StoreError> {
    for companion in COMPANIONS {
        drop(std::fs::remove_file(archive::beside(staged, companion)));
    }
    let target = create_private(staged).and_then(|target| target.set_len(0).map(|()| target));
    let mut target = target.map_err(|error| archive::failed("the backup cannot be copied beside the database", &error))?;
    backup::copy_out(from, &mut target)
}

/// Ends what may have been sent since as `unknown`: nothing more is tried until an operator says so.
fn hold(connection: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    connection.execute_batch("CREATE TEMP TABLE held (tenant TEXT NOT NULL, id BLOB NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID")?;
    let held = connection.execute(
        "INSERT INTO held (tenant, id) SELECT tenant, id FROM messages
         WHERE owner IS NOT NULL OR (due_at IS NOT NULL AND NOT (status = 'scheduled' AND due_at > ?1))",
        [now.as_micros()],
    )?;
    connection.execute(
        "UPDATE attempts SET outcome = 'unknown', class = 'unknown', code = 'restored', detail = ?1 WHERE outcome = 'calling'",
        [WHY],
    )?;
    connection.execute(
        "UPDATE recipients SET status = 'unknown', reason = ?1
         WHERE status IN ('pending', 'scheduled', 'queued', 'sending') AND (tenant, message_id) IN (SELECT tenant, id FROM held)",
        [WHY],
    )?;
    // The word for a message that has ended is its first recipient's.
    connection.execute(
        "UPDATE messages SET owner = NULL, due_at = NULL, mark = NULL, token = token + 1, error = ?1,
           status = coalesce((SELECT status FROM recipients WHERE recipients.tenant = messages.tenant AND message_id = messages.id AND idx = 0), 'unknown')
         WHERE (tenant, id) IN (SELECT tenant, id FROM held)",
        params![WHY],
    )?;
    connection.execute_batch("DROP TABLE held")?;
    Ok(u64::try_from(held).unwrap_or(u64::MAX))
}

/// Forgets the processes of the past, and gives those to come ids that none of them had, nor any process since the backup.
fn move_owners_on(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("DELETE FROM owners")?;
    let moved = connection.execute("UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'owners'", [OWNERS_AHEAD])?;
    if moved == 0 {
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('owners', ?1)", [OWNERS_AHEAD])?;
    }
    Ok(())
}
