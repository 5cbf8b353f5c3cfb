//! The schema's versions: embedded, applied at the start, forward only.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use ums_core::{StoreError, Timestamp, failpoint};

use super::connection::{create_private, store_error};
use crate::migration::{Migration, lacking};

/// Every version of the schema in order.
pub(crate) const MIGRATIONS: [Migration; 10] = [
    Migration {
        version: 1,
        name: "messages",
        sql: include_str!("../../migrations/sqlite/0001_messages.sql"),
    },
    Migration {
        version: 2,
        name: "attempt facts",
        sql: include_str!("../../migrations/sqlite/0002_attempt_facts.sql"),
    },
    Migration {
        version: 3,
        name: "old attempts",
        sql: include_str!("../../migrations/sqlite/0003_old_attempts.sql"),
    },
    Migration {
        version: 4,
        name: "settled attempts",
        sql: include_str!("../../migrations/sqlite/0004_settled_attempts.sql"),
    },
    Migration {
        version: 5,
        name: "provider switches",
        sql: include_str!("../../migrations/sqlite/0005_provider_switches.sql"),
    },
    Migration {
        version: 6,
        name: "undos",
        sql: include_str!("../../migrations/sqlite/0006_undos.sql"),
    },
    Migration {
        version: 7,
        name: "opt outs",
        sql: include_str!("../../migrations/sqlite/0007_opt_outs.sql"),
    },
    Migration {
        version: 8,
        name: "kept time",
        sql: include_str!("../../migrations/sqlite/0008_kept_time.sql"),
    },
    Migration {
        version: 9,
        name: "identity",
        sql: include_str!("../../migrations/sqlite/0009_identity.sql"),
    },
    Migration {
        version: 10,
        name: "envelopes",
        sql: include_str!("../../migrations/sqlite/0010_envelopes.sql"),
    },
];

/// How long to wait for another program's write when only the schema is brought forward.
const BUSY: Duration = Duration::from_secs(30);

/// Brings the database to this program's schema. Two processes that start together wait for each other.
pub(crate) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<Vec<Migration>, StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(store_error)?;
    let mut applied = Vec::new();
    if has_stamp(&transaction)? {
        return Err(StoreError::Unusable(
            "the file is a backup, and what it would send may have been sent since; put it in a database's place with `ums restore`"
                .to_owned(),
        ));
    }
    for migration in lacking(&MIGRATIONS, version(&transaction)?)? {
        let Migration { version, name, sql } = migration;
        transaction.execute_batch(sql).map_err(store_error)?;
        let row = params![version, name, now.as_micros()];
        transaction
            .execute("INSERT INTO schema_migrations (version, name, applied_at) VALUES (?1, ?2, ?3)", row)
            .map_err(store_error)?;
        failpoint::pass("migrate.applied");
        tracing::info!(version, name, "the database's schema was brought forward");
        applied.push(migration);
    }
    transaction.commit().map_err(store_error)?;
    Ok(applied)
}

/// Brings the database in a file forward without opening it as a store.
pub(crate) fn apply(path: &Path, now: Timestamp) -> Result<Vec<Migration>, StoreError> {
    create_private(path)
        .map_err(|error| StoreError::Unusable(format!("the database file {} cannot be opened: {error}", path.display())))?;
    let mut connection = Connection::open(path).map_err(store_error)?;
    connection.busy_timeout(BUSY).map_err(store_error)?;
    migrate(&mut connection, now)
}

/// What would be applied to the database in a file, which is only read.
pub(crate) fn pending(path: &Path) -> Result<Vec<Migration>, StoreError> {
    if std::fs::metadata(path).map_or(true, |file| file.len() == 0) {
        return Ok(MIGRATIONS.to_vec());
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(store_error)?;
    connection.busy_timeout(BUSY).map_err(store_error)?;
    Ok(lacking(&MIGRATIONS, found(&connection)?.unwrap_or(0))?.collect())
}

/// The version that the database has; 0 for an empty file, which gets its list of versions here.
fn version(connection: &Connection) -> Result<i64, StoreError> {
    if let Some(found) = found(connection)? {
        return Ok(found);
    }
    connection
        .execute_batch(
            "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
        )
        .map_err(store_error)?;
    Ok(0)
}

/// Whether a database is a backup, which nobody may send from as it is.
pub(crate) fn has_stamp(connection: &Connection) -> Result<bool, StoreError> {
    connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'backup_stamp')",
            [],
            |row| row.get(0),
        )
        .map_err(store_error)
}

/// The version of a database that this program can read.
pub(crate) fn known_version(connection: &Connection) -> Result<i64, StoreError> {
    let version = found(connection)?.unwrap_or(0);
    drop(lacking(&MIGRATIONS, version)?);
    Ok(version)
}

/// The version that the database has; none for an empty file.
fn found(connection: &Connection) -> Result<Option<i64>, StoreError> {
    let has_list: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations')",
            [],
            |row| row.get(0),
        )
        .map_err(store_error)?;
    if has_list {
        let newest = connection.query_row("SELECT coalesce(max(version), 0) FROM schema_migrations", [], |row| row.get(0));
        return newest.map(Some).map_err(store_error);
    }
    let stranger: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |row| row.get(0))
        .optional()
        .map_err(store_error)?;
    if stranger.is_some() {
        return Err(StoreError::Unusable(
            "the database holds tables of another program; name another file".to_owned(),
        ));
    }
    Ok(None)
}
