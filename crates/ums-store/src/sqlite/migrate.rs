//! The schema's versions: embedded, applied at the start, forward only.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use ums_core::{StoreError, Timestamp};

use super::connection::store_error;

/// Every version of the schema in order; a version that was released is never changed.
const MIGRATIONS: [(i64, &str, &str); 1] = [(1, "messages", include_str!("../../migrations/sqlite/0001_messages.sql"))];

/// Brings the database to this program's schema. Two processes that start together wait for each other.
pub(crate) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(store_error)?;
    let found = version(&transaction)?;
    let newest = MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0);
    if found > newest {
        return Err(StoreError::Unusable(format!(
            "the database has schema version {found}, but this program knows versions up to {newest}; run a newer ums"
        )));
    }
    for (version, name, script) in MIGRATIONS.into_iter().filter(|(version, ..)| *version > found) {
        transaction.execute_batch(script).map_err(store_error)?;
        let row = params![version, name, now.as_micros()];
        transaction
            .execute("INSERT INTO schema_migrations (version, name, applied_at) VALUES (?1, ?2, ?3)", row)
            .map_err(store_error)?;
        tracing::info!(version, name, "the database's schema was brought forward");
    }
    transaction.commit().map_err(store_error)
}

/// The version that the database has; 0 for an empty file, which gets its list of versions here.
fn version(connection: &Connection) -> Result<i64, StoreError> {
    let has_list: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations')",
            [],
            |row| row.get(0),
        )
        .map_err(store_error)?;
    if !has_list {
        let stranger: Option<i64> = connection
            .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |row| row.get(0))
            .optional()
            .map_err(store_error)?;
        if stranger.is_some() {
            return Err(StoreError::Unusable(
                "the database holds tables of another program; name another file".to_owned(),
            ));
        }
        connection
            .execute_batch(
                "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
            )
            .map_err(store_error)?;
    }
    let newest = connection.query_row("SELECT coalesce(max(version), 0) FROM schema_migrations", [], |row| row.get(0));
    newest.map_err(store_error)
}
