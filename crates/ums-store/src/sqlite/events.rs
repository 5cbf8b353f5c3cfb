//! What providers reported: with its message, or parked until there is one.

use rusqlite::{Connection, OptionalExtension, Row, params};
use ums_core::{Event, EventRecord, MessageId, Parked, StoreError, TenantId, Timestamp};

use super::connection::store_error;
use super::row::{Columns, count};
use crate::newer;

/// How an event is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Until somebody looks at it again.
    Parked,
    /// With its message, or for good without one.
    Known,
}

/// How an event is kept; none when it is not.
pub(crate) fn kept(connection: &Connection, event: &Event) -> Result<Option<Kept>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT due_at IS NULL FROM events WHERE provider = ?1 AND account = ?2 AND id = ?3")
        .map_err(store_error)?;
    let is_known: Option<bool> = statement
        .query_row(params![event.provider.as_str(), event.account.as_str(), event.id], |row| row.get(0))
        .optional()
        .map_err(store_error)?;
    Ok(is_known.map(|is_known| if is_known { Kept::Known } else { Kept::Parked }))
}

/// Gives an event to a message, unless it is known. One that was parked keeps its place in the order.
pub(crate) fn keep(connection: &Connection, tenant: &TenantId, id: MessageId, record: &EventRecord, json: &str) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO events (provider, account, id, tenant, message_id, received_at, due_at, looks, event)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, 0, ?7)
             ON CONFLICT (provider, account, id) DO UPDATE SET tenant = ?4, message_id = ?5, received_at = ?6, due_at = NULL, event = ?7
             WHERE due_at IS NOT NULL",
        )
        .map_err(store_error)?;
    let row = params![
        record.event.provider.as_str(),
        record.event.account.as_str(),
        record.event.id,
        tenant.as_str(),
        id.as_uuid().into_bytes(),
        record.received_at.as_micros(),
        json
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// Parks an event that is not known. What is parked again stays as it came first, but for its time.
pub(crate) fn park(connection: &Connection, parked: &Parked, json: &str) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO events (provider, account, id, received_at, due_at, looks, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (provider, account, id) DO UPDATE SET due_at = ?5, looks = max(looks, ?6) WHERE due_at IS NOT NULL",
        )
        .map_err(store_error)?;
    let EventRecord { event, received_at, .. } = &parked.record;
    let row = params![
        event.provider.as_str(),
        event.account.as_str(),
        event.id,
        received_at.as_micros(),
        parked.due_at.map(Timestamp::as_micros),
        parked.looks,
        json
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// The events of a message in the order in which they came.
pub(crate) fn of(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Vec<EventRecord>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT event FROM events WHERE tenant = ?1 AND message_id = ?2 ORDER BY number")
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "events",
            id: &id,
        };
        events.push(columns.read("event", newer::event)?);
    }
    Ok(events)
}

/// Parked events whose time has come.
pub(crate) fn parked(connection: &Connection, now: Timestamp, limit: usize) -> Result<Vec<Parked>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT event, due_at, looks FROM events WHERE due_at <= ?1 ORDER BY due_at, number LIMIT ?2")
        .map_err(store_error)?;
    let mut rows = statement.query(params![now.as_micros(), count(limit)]).map_err(store_error)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = columns(row);
        let record = match columns.read("event", newer::event) {
            Err(fault @ StoreError::Corrupt { .. }) => {
                tracing::error!(error = %fault, "an event that waits for its message cannot be read");
                continue;
            }
            read => read?,
        };
        found.push(Parked {
            record,
            due_at: columns.optional_time("due_at")?,
            looks: columns.value("looks")?,
            suppress: Vec::new(),
            lift: Vec::new(),
            notices: Vec::new(),
        });
    }
    Ok(found)
}

/// Forgets at most `limit` events of no message that came before a time. Says how many.
pub(crate) fn forget(connection: &Connection, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "DELETE FROM events WHERE number IN (SELECT number FROM events WHERE message_id IS NULL AND received_at < ?1 LIMIT ?2)",
        )
        .map_err(store_error)?;
    let forgotten = statement.execute(params![before.as_micros(), count(limit)]);
    forgotten.map(|rows| u64::try_from(rows).unwrap_or(u64::MAX)).map_err(store_error)
}

fn columns<'a>(row: &'a Row<'a>) -> Columns<'a> {
    Columns {
        row,
        table: "events",
        id: &"an event",
    }
}
