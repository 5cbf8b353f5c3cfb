//! Reading columns: whatever is in a row, a wrong value is an error that names the place.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use ums_core::{MessageId, StoreError, TenantId, Timestamp};
use uuid::Uuid;

/// A row of a table, and the key that errors name.
pub(crate) struct Columns<'a> {
    pub(crate) row: &'a Row,
    pub(crate) table: &'static str,
    pub(crate) id: &'a dyn Display,
}

impl<'a> Columns<'a> {
    pub(crate) fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            column,
            id: self.id.to_string(),
        }
    }

    /// A value as PostgreSQL holds it; `Option` for a column that may be null.
    pub(crate) fn value<T: FromSql<'a>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    /// A word of a closed set.
    pub(crate) fn word<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        self.optional_word(column)?.ok_or_else(|| self.corrupt(column))
    }

    /// A word of a closed set, or null.
    pub(crate) fn optional_word<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.value(column)?;
        text.map(|text| text.parse().map_err(|_| self.corrupt(column))).transpose()
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.value(column).map(Timestamp::from_micros)
    }

    pub(crate) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.value::<Option<i64>>(column)?.map(Timestamp::from_micros))
    }

    /// A value kept as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.value(column)?).map_err(|_| self.corrupt(column))
    }

    /// A value kept as JSON that is read in a way of its own.
    pub(crate) fn read<T>(&self, column: &'static str, read: fn(&str) -> serde_json::Result<T>) -> Result<T, StoreError> {
        let text: &str = self.value(column)?;
        read(text).map_err(|_| self.corrupt(column))
    }

    /// The same, or null.
    pub(crate) fn read_optional<T>(&self, column: &'static str, read: fn(&str) -> serde_json::Result<T>) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.value(column)?;
        text.map(|text| read(text).map_err(|_| self.corrupt(column))).transpose()
    }

    /// The message that a row belongs to.
    pub(crate) fn key(&self, column: &'static str) -> Result<(TenantId, MessageId), StoreError> {
        let tenant = TenantId::new(self.value::<&str>("tenant")?);
        Ok((tenant, MessageId::from_uuid(self.value::<Uuid>(column)?)))
    }
}

/// Rows that name the place of their message among `keys` in the column `nth`, read and put together by message. A row that
/// cannot be read spoils its message only.
pub(crate) fn gather<T>(
    rows: &[Row],
    table: &'static str,
    keys: &[(TenantId, MessageId)],
    read: impl Fn(&Columns<'_>) -> Result<T, StoreError>,
) -> Vec<Result<Vec<T>, StoreError>> {
    let mut gathered: Vec<Result<Vec<T>, StoreError>> = keys.iter().map(|_| Ok(Vec::new())).collect();
    for row in rows {
        let place = row.try_get::<_, i64>("nth").ok().and_then(|nth| usize::try_from(nth - 1).ok());
        let Some((place, (_, id))) = place.and_then(|place| Some((place, keys.get(place)?))) else {
            continue;
        };
        let columns = Columns { row, table, id };
        if let Some(found) = gathered.get_mut(place)
            && let Ok(list) = found
        {
            match read(&columns) {
                Ok(value) => list.push(value),
                Err(error) => *found = Err(error),
            }
        }
    }
    gathered
}

/// A text as PostgreSQL can hold it: without the character U+0000, which a provider's answer may contain.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The same for a text that may be missing.
pub(crate) fn optional_text(given: Option<&str>) -> Option<Cow<'_, str>> {
    given.map(text)
}

/// Messages as two columns for `unnest`.
pub(crate) fn split<'a>(messages: impl IntoIterator<Item = &'a (TenantId, MessageId)>) -> (Vec<&'a str>, Vec<Uuid>) {
    messages.into_iter().map(|(tenant, id)| (tenant.as_str(), id.as_uuid())).unzip()
}

/// A number of rows as PostgreSQL takes it.
pub(crate) fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// The value of a query that answers one row.
pub(crate) fn one<T: for<'a> FromSql<'a>>(rows: &[Row], column: &'static str) -> Result<T, StoreError> {
    let unreadable = || StoreError::Unavailable("a count could not be read".into());
    rows.first().ok_or_else(unreadable)?.try_get(column).map_err(|_| unreadable())
}
