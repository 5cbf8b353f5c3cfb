//! The recipients of a message.

use rusqlite::{Connection, params};
use ums_core::{MessageId, RecipientRecord, StoreError, TenantId};

use super::connection::store_error;
use super::row::Columns;

/// Stores the recipients of a new message.
pub(crate) fn insert(connection: &Connection, tenant: &TenantId, id: MessageId, recipients: &[RecipientRecord]) -> Result<(), StoreError> {
    recipients
        .iter()
        .zip(0..)
        .try_for_each(|(recipient, idx)| insert_one(connection, tenant, id, idx, recipient))
}

fn insert_one(connection: &Connection, tenant: &TenantId, id: MessageId, idx: i64, recipient: &RecipientRecord) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO recipients (tenant, message_id, idx, kind, address, status, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (tenant, message_id, idx) DO UPDATE SET kind = ?4, address = ?5, status = ?6, reason = ?7",
        )
        .map_err(store_error)?;
    let RecipientRecord {
        address,
        kind,
        status,
        reason,
    } = recipient;
    let row = params![
        tenant.as_str(),
        id.as_uuid().into_bytes(),
        idx,
        kind.as_str(),
        address,
        status.as_str(),
        reason
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// Replaces the recipients. They are the same ones nearly always, and one or two of them stand elsewhere: only those are written, and the
/// index of addresses is left alone.
pub(crate) fn replace(connection: &Connection, tenant: &TenantId, id: MessageId, recipients: &[RecipientRecord]) -> Result<(), StoreError> {
    let (kept, is_readable) = match of(connection, tenant, id) {
        Ok(kept) => (kept, true),
        // What cannot be read is written over: it must not keep an outcome from being recorded.
        Err(StoreError::Corrupt { .. }) => (Vec::new(), false),
        Err(fault) => return Err(fault),
    };
    let mut rows = kept.iter();
    for (recipient, idx) in recipients.iter().zip(0..) {
        match rows.next() {
            Some(row) if row == recipient => {}
            Some(row) if (&row.address, row.kind) == (&recipient.address, recipient.kind) => stand(connection, tenant, id, idx, recipient)?,
            Some(_) | None => insert_one(connection, tenant, id, idx, recipient)?,
        }
    }
    if is_readable && kept.len() <= recipients.len() {
        return Ok(());
    }
    let count = i64::try_from(recipients.len()).unwrap_or(i64::MAX);
    let mut rest = connection
        .prepare_cached("DELETE FROM recipients WHERE tenant = ?1 AND message_id = ?2 AND idx >= ?3")
        .map_err(store_error)?;
    rest.execute(params![tenant.as_str(), id.as_uuid().into_bytes(), count])
        .map(drop)
        .map_err(store_error)
}

/// Writes where a recipient stands.
fn stand(connection: &Connection, tenant: &TenantId, id: MessageId, idx: i64, recipient: &RecipientRecord) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE recipients SET status = ?4, reason = ?5 WHERE tenant = ?1 AND message_id = ?2 AND idx = ?3")
        .map_err(store_error)?;
    let row = params![
        tenant.as_str(),
        id.as_uuid().into_bytes(),
        idx,
        recipient.status.as_str(),
        recipient.reason
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// Lets the recipients wait again to whom a dead process was writing.
pub(crate) fn requeue(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE recipients SET status = 'queued'
             WHERE tenant = ?1 AND message_id = ?2 AND status IN ('pending', 'scheduled', 'sending')",
        )
        .map_err(store_error)?;
    statement
        .execute(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map(drop)
        .map_err(store_error)
}

/// The recipients of a message in order.
pub(crate) fn of(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Vec<RecipientRecord>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT kind, address, status, reason FROM recipients WHERE tenant = ?1 AND message_id = ?2 ORDER BY idx")
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    let mut recipients = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "recipients",
            id: &id,
        };
        recipients.push(RecipientRecord {
            address: columns.value("address")?,
            kind: columns.word("kind")?,
            status: columns.word("status")?,
            reason: columns.value("reason")?,
        });
    }
    Ok(recipients)
}
