//! What was accepted: written once, emptied when it is of no more use.

use rusqlite::{Connection, params};
use ums_core::{Content, MessageId, StoreError, TenantId, Timestamp};

use super::connection::store_error;
use super::row::{Columns, count};
use crate::encoded::Encoded;
use crate::json::to_json;

/// Stores what a new message says.
pub(crate) fn insert(connection: &Connection, row: &Encoded) -> Result<(), StoreError> {
    let message = &row.new.message;
    let put = |sql, content: &str| {
        let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
        let id = message.id.as_uuid().into_bytes();
        let values = params![message.tenant.as_str(), id, content, row.handling, row.metadata];
        statement.execute(values).map(drop).map_err(store_error)
    };
    put(
        "INSERT INTO contents (tenant, message_id, content, handling, metadata) VALUES (?1, ?2, ?3, ?4, ?5)",
        &row.content,
    )?;
    let Some(envelope) = &row.envelope else { return Ok(()) };
    put(
        "INSERT INTO envelopes (tenant, message_id, content, handling, metadata) VALUES (?1, ?2, ?3, ?4, ?5)",
        envelope,
    )
}

/// Empties a message's body. Says whether there was one.
pub(crate) fn forget_body(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<bool, StoreError> {
    let content = match kept(connection, tenant, id) {
        Ok(content) => content,
        // What cannot be read cannot be emptied in part, and must not keep an outcome from being recorded.
        Err(fault @ StoreError::Corrupt { .. }) => {
            tracing::error!(message_id = %id, error = %fault, "a body cannot be emptied");
            None
        }
        Err(fault) => return Err(fault),
    };
    let Some(content) = content else { return Ok(false) };
    let mut statement = connection
        .prepare_cached("UPDATE contents SET content = ?3, forget_at = NULL WHERE tenant = ?1 AND message_id = ?2")
        .map_err(store_error)?;
    let emptied = params![tenant.as_str(), id.as_uuid().into_bytes(), to_json(&content.without_body())?];
    statement.execute(emptied).map_err(store_error)?;
    let mut statement = connection
        .prepare_cached("DELETE FROM envelopes WHERE tenant = ?1 AND message_id = ?2")
        .map_err(store_error)?;
    statement
        .execute(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    Ok(true)
}

/// Notes when a message's body is emptied.
pub(crate) fn forget_body_at(connection: &Connection, tenant: &TenantId, id: MessageId, at: Timestamp) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE contents SET forget_at = ?3 WHERE tenant = ?1 AND message_id = ?2")
        .map_err(store_error)?;
    let values = params![tenant.as_str(), id.as_uuid().into_bytes(), at.as_micros()];
    statement.execute(values).map(drop).map_err(store_error)
}

/// Empties the bodies of ended messages whose time has come. Returns how many there were.
pub(crate) fn forget_bodies_due(connection: &Connection, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT c.tenant, c.message_id FROM contents c
             JOIN messages m ON m.tenant = c.tenant AND m.id = c.message_id
             WHERE c.forget_at <= ?1 AND m.owner IS NULL AND m.due_at IS NULL ORDER BY c.forget_at LIMIT ?2",
        )
        .map_err(store_error)?;
    let mut rows = statement.query(params![now.as_micros(), count(limit)]).map_err(store_error)?;
    let mut due = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "contents",
            id: &"a code",
        };
        let tenant = TenantId::new(columns.value::<String>("tenant")?);
        due.push((tenant, MessageId::from_uuid(columns.uuid("message_id")?)));
    }
    let mut emptied = 0;
    for (tenant, id) in due {
        emptied += u64::from(forget_body(connection, &tenant, id)?);
    }
    Ok(emptied)
}

/// The content of a message whose body is still kept: whole, or the envelope of a large one.
fn kept(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
    let sql = "SELECT coalesce(e.content, c.content) AS content, e.content IS NOT NULL AS is_apart FROM contents c
         LEFT JOIN envelopes e ON e.tenant = c.tenant AND e.message_id = c.message_id
         WHERE c.tenant = ?1 AND c.message_id = ?2";
    let read = read(connection, sql, (tenant, id), |columns| {
        Ok((columns.json::<Content>("content")?, columns.value::<bool>("is_apart")?))
    })?;
    Ok(read.and_then(|(content, is_apart)| (is_apart || content.has_body()).then_some(content)))
}

/// The whole content of a message.
pub(crate) fn whole(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
    let sql = "SELECT content FROM contents WHERE tenant = ?1 AND message_id = ?2";
    read(connection, sql, (tenant, id), |columns| columns.json("content"))
}

/// Reads the row of a message; none if there is no such message.
fn read<T>(
    connection: &Connection,
    sql: &str,
    (tenant, id): (&TenantId, MessageId),
    of_row: impl FnOnce(&Columns<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    let row = rows.next().map_err(store_error)?;
    let columns = |row| Columns {
        row,
        table: "contents",
        id: &id,
    };
    row.map(|row| of_row(&columns(row))).transpose()
}
