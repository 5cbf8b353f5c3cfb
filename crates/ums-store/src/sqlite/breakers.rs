//! The state of breakers over restarts.

use rusqlite::{Connection, params};
use ums_core::{AccountId, BreakerRecord, StoreError};

use super::connection::store_error;
use super::row::Columns;
use crate::json::to_json;

/// Keeps the state of a provider account's breaker.
pub(crate) fn save(connection: &Connection, owner: i64, record: &BreakerRecord) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO breakers (provider, account, state, changed_at, version, writer) VALUES (?1, ?2, ?3, ?4, 1, ?5)
             ON CONFLICT (provider, account) DO UPDATE SET state = ?3, changed_at = ?4, version = version + 1, writer = ?5",
        )
        .map_err(store_error)?;
    let row = params![
        record.provider.as_str(),
        record.account.as_str(),
        to_json(&record.state)?,
        record.changed_at.as_micros(),
        owner
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// The states that were kept.
pub(crate) fn all(connection: &Connection) -> Result<Vec<BreakerRecord>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT provider, account, state, changed_at, version, writer FROM breakers")
        .map_err(store_error)?;
    let mut rows = statement.query([]).map_err(store_error)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "breakers",
            id: &"a breaker",
        };
        records.push(BreakerRecord {
            provider: columns.word("provider")?,
            account: AccountId::new(columns.value::<String>("account")?),
            state: columns.json("state")?,
            changed_at: columns.time("changed_at")?,
            version: columns.value("version")?,
            writer: columns.value("writer")?,
        });
    }
    records.sort_by(|one, other| (one.provider, &one.account).cmp(&(other.provider, &other.account)));
    Ok(records)
}
