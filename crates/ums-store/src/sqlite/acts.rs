//! What callers and operators did to messages.

use rusqlite::{Connection, params};
use ums_core::{ActRecord, MessageId, StoreError, TenantId};

use super::connection::store_error;
use super::row::Columns;

/// Adds an act after those that are there.
pub(crate) fn append(connection: &Connection, tenant: &TenantId, id: MessageId, act: &ActRecord) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO acts (tenant, message_id, number, at, kind, detail)
             SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?3, ?4, ?5 FROM acts WHERE tenant = ?1 AND message_id = ?2",
        )
        .map_err(store_error)?;
    let ActRecord { at, kind, detail } = act;
    let row = params![tenant.as_str(), id.as_uuid().into_bytes(), at.as_micros(), kind.as_str(), detail];
    statement.execute(row).map(drop).map_err(store_error)
}

/// The acts on a message in order.
pub(crate) fn of(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Vec<ActRecord>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT at, kind, detail FROM acts WHERE tenant = ?1 AND message_id = ?2 ORDER BY number")
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    let mut acts = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "acts",
            id: &id,
        };
        acts.push(ActRecord {
            at: columns.time("at")?,
            kind: columns.word("kind")?,
            detail: columns.value("detail")?,
        });
    }
    Ok(acts)
}
