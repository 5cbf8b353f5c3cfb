//! Callers' keys: unique for a tenant, until they expire.

use rusqlite::{Connection, params};
use ums_core::{IdempotencyKey, MessageId, StoreError, Stored, TenantId, Timestamp};

use super::connection::store_error;
use super::row::Columns;

/// Takes a key for a message, or says what an earlier request under it makes of this one.
pub(crate) fn take(
    connection: &Connection,
    tenant: &TenantId,
    key: &IdempotencyKey,
    id: MessageId,
    now: Timestamp,
) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO idempotency (tenant, key, fingerprint, message_id, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (tenant, key) DO UPDATE SET fingerprint = ?3, message_id = ?4, expires_at = ?5 WHERE idempotency.expires_at <= ?6",
        )
        .map_err(store_error)?;
    let row = params![
        tenant.as_str(),
        key.key,
        key.fingerprint,
        id.as_uuid().into_bytes(),
        key.expires_at.as_micros(),
        now.as_micros()
    ];
    if statement.execute(row).map_err(store_error)? == 1 {
        return Ok(None);
    }
    earlier(connection, tenant, key).map(Some)
}

fn earlier(connection: &Connection, tenant: &TenantId, key: &IdempotencyKey) -> Result<Stored, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT fingerprint, message_id FROM idempotency WHERE tenant = ?1 AND key = ?2")
        .map_err(store_error)?;
    let mut rows = statement.query(params![tenant.as_str(), key.key]).map_err(store_error)?;
    let row = rows.next().map_err(store_error)?.ok_or(StoreError::NotFound)?;
    // The key is the caller's own text, so an error names the tenant only.
    let columns = Columns {
        row,
        table: "idempotency",
        id: tenant,
    };
    let same = columns.value::<[u8; 32]>("fingerprint")? == key.fingerprint;
    Ok(if same {
        Stored::Replayed(MessageId::from_uuid(columns.uuid("message_id")?))
    } else {
        Stored::KeyConflict
    })
}
