//! Which database this is: another one, or an earlier state of the same, may be restored into the file through SQLite (`.restore`), so that
//! the file stays what it was. Each recovery compares.
//!
//! The mark is moved on by a recovery that finds something written since the last one; an idle process writes nothing.
//!
//! Only here: no program copies another state into a running PostgreSQL database.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode};
use ums_core::StoreError;

use super::connection::store_error;

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    id: String,
    mark: i64,
}

/// The database as this process knows it.
#[derive(Debug)]
pub(super) struct Identity(Mutex<Known>);

#[derive(Clone, Debug)]
struct Known {
    said: Said,
    /// Of the connection that writes, after the last recovery.
    changes: u64,
}

/// What a recovery found, to be noted when it is committed.
pub(super) struct Proof(Known);

impl Identity {
    pub(super) fn of(connection: &Connection) -> Result<Self, StoreError> {
        let said = read(connection).map_err(store_error)?;
        let changes = connection.total_changes();
        Ok(Self(Mutex::new(Known { said, changes })))
    }

    /// Compares, and moves the mark on. None if this is not the database as it was left.
    pub(super) fn prove(&self, connection: &Connection) -> Result<Option<Proof>, StoreError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut said = match read(connection) {
            Ok(said) => said,
            Err(error) if is_of_another_schema(&error) => return Ok(None),
            Err(error) => return Err(store_error(error)),
        };
        if said.id != known.said.id || said.mark < known.said.mark {
            return Ok(None);
        }
        if connection.total_changes() != known.changes {
            let mut statement = connection
                .prepare_cached("UPDATE identity SET mark = mark + 1 RETURNING mark")
                .map_err(store_error)?;
            said.mark = statement.query_row([], |row| row.get(0)).map_err(store_error)?;
        }
        let changes = connection.total_changes();
        Ok(Some(Proof(Known { said, changes })))
    }

    /// Notes what is committed. A proof that is not noted only makes the next comparison weaker.
    pub(super) fn note(&self, Proof(found): Proof) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.said.mark >= known.said.mark {
            *known = found;
        }
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Said> {
    let mut statement = connection.prepare_cached("SELECT id, mark FROM identity WHERE only = 1")?;
    statement.query_row([], |row| {
        Ok(Said {
            id: row.get(0)?,
            mark: row.get(1)?,
        })
    })
}

/// Whether the table is not there, or has no such row.
fn is_of_another_schema(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::QueryReturnedNoRows) || error.sqlite_error_code() == Some(ErrorCode::Unknown)
}
