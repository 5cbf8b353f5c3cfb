//! How far sources of feedback were read.

use rusqlite::{Connection, OptionalExtension};
use ums_core::StoreError;

use super::connection::store_error;

/// How far a source was read.
pub(crate) fn read(connection: &Connection, source: &str) -> Result<Option<String>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT cursor FROM feedback_cursors WHERE source = ?1")
        .map_err(store_error)?;
    statement.query_row([source], |row| row.get(0)).optional().map_err(store_error)
}

/// Keeps how far a source was read.
pub(crate) fn save(connection: &Connection, source: &str, cursor: &str) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO feedback_cursors (source, cursor) VALUES (?1, ?2) ON CONFLICT (source) DO UPDATE SET cursor = ?2")
        .map_err(store_error)?;
    statement.execute([source, cursor]).map(drop).map_err(store_error)
}
