//! Counts for rates.

use rusqlite::{Connection, params};
use ums_core::{AccountId, RateRow, StoreError, Timestamp};

use super::connection::store_error;
use super::row::{Columns, count, signed};

/// Adds counts to those that are kept.
pub(crate) fn add(connection: &Connection, rows: &[RateRow]) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO rates (bucket, provider, account, sender, accepted, receipts, hard_bounces, complaints)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (bucket, provider, account, sender) DO UPDATE SET accepted = accepted + ?5, receipts = receipts + ?6,
               hard_bounces = hard_bounces + ?7, complaints = complaints + ?8",
        )
        .map_err(store_error)?;
    for row in rows {
        let values = params![
            row.bucket.as_micros(),
            row.provider.as_str(),
            row.account.as_str(),
            row.sender,
            signed(row.accepted),
            signed(row.receipts),
            signed(row.hard_bounces),
            signed(row.complaints),
        ];
        statement.execute(values).map_err(store_error)?;
    }
    Ok(())
}

/// Counts since a bucket.
pub(crate) fn since(connection: &Connection, since: Timestamp) -> Result<Vec<RateRow>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT bucket, provider, account, sender, accepted, receipts, hard_bounces, complaints FROM rates
             WHERE bucket >= ?1 ORDER BY bucket, provider, account, sender",
        )
        .map_err(store_error)?;
    let mut rows = statement.query([since.as_micros()]).map_err(store_error)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "rates",
            id: &"a count",
        };
        found.push(RateRow {
            provider: columns.word("provider")?,
            account: AccountId::new(columns.value::<String>("account")?),
            sender: columns.value("sender")?,
            bucket: columns.time("bucket")?,
            accepted: columns.number("accepted")?,
            receipts: columns.number("receipts")?,
            hard_bounces: columns.number("hard_bounces")?,
            complaints: columns.number("complaints")?,
        });
    }
    Ok(found)
}

/// Forgets at most `limit` counts from before a time. Says how many.
pub(crate) fn forget(connection: &Connection, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "DELETE FROM rates WHERE (bucket, provider, account, sender) IN (
               SELECT bucket, provider, account, sender FROM rates WHERE bucket < ?1 LIMIT ?2)",
        )
        .map_err(store_error)?;
    let forgotten = statement.execute(params![before.as_micros(), count(limit)]);
    forgotten.map(|rows| u64::try_from(rows).unwrap_or(u64::MAX)).map_err(store_error)
}
