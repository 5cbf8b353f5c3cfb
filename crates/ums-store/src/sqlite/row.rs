//! Reading columns: whatever is in a row, a wrong value is an error that names the place.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::de::DeserializeOwned;
use ums_core::{StoreError, Timestamp};
use uuid::Uuid;

/// A row of a table, and the key that errors name.
pub(crate) struct Columns<'a> {
    pub(crate) row: &'a Row<'a>,
    pub(crate) table: &'static str,
    pub(crate) id: &'a dyn Display,
}

impl Columns<'_> {
    fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            column,
            id: self.id.to_string(),
        }
    }

    /// A value as SQLite holds it; `Option` for a column that may be null.
    pub(crate) fn value<T: FromSql>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.get(column).map_err(|_| self.corrupt(column))
    }

    /// A word of a closed set.
    pub(crate) fn word<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        self.optional_word(column)?.ok_or_else(|| self.corrupt(column))
    }

    /// A word of a closed set, or null.
    pub(crate) fn optional_word<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.value(column)?;
        text.map(|text| text.parse().map_err(|_| self.corrupt(column))).transpose()
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.value(column).map(Timestamp::from_micros)
    }

    pub(crate) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.value::<Option<i64>>(column)?.map(Timestamp::from_micros))
    }

    /// A text, borrowed from the row: a large one is not copied.
    fn text(&self, column: &'static str) -> Result<&str, StoreError> {
        let value = self.row.get_ref(column).map_err(|_| self.corrupt(column))?;
        value.as_str().map_err(|_| self.corrupt(column))
    }

    /// A value kept as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.text(column)?).map_err(|_| self.corrupt(column))
    }

    /// A value kept as JSON that is read in a way of its own.
    pub(crate) fn read<T>(&self, column: &'static str, read: fn(&str) -> serde_json::Result<T>) -> Result<T, StoreError> {
        read(self.text(column)?).map_err(|_| self.corrupt(column))
    }

    /// The same, or null.
    pub(crate) fn read_optional<T>(&self, column: &'static str, read: fn(&str) -> serde_json::Result<T>) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.value(column)?;
        text.map(|text| read(&text).map_err(|_| self.corrupt(column))).transpose()
    }

    /// A count.
    pub(crate) fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        self.value::<i64>(column)?.try_into().map_err(|_| self.corrupt(column))
    }

    pub(crate) fn optional_uuid(&self, column: &'static str) -> Result<Option<Uuid>, StoreError> {
        Ok(self.value::<Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
    }

    pub(crate) fn uuid(&self, column: &'static str) -> Result<Uuid, StoreError> {
        self.value::<[u8; 16]>(column).map(Uuid::from_bytes)
    }
}

/// A number of rows as SQLite takes it.
pub(crate) fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// A count as SQLite takes it.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
