//! Callers' keys: unique for a tenant, until they are pruned. A key whose time is over still holds: only pruning knows whether the clock is sure.

use rusqlite::{Connection, params};
use ums_core::{IdempotencyKey, MessageId, StoreError, Stored, TenantId, Timestamp};

use super::connection::store_error;
use super::row::Columns;

/// Takes a key for a message, or says what an earlier request under it makes of this one.
pub(crate) fn take(connection: &Connection, tenant: &TenantId, key: &IdempotencyKey, id: MessageId) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO idempotency (tenant, key, fingerprint, message_id, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (tenant, key) DO NOTHING",
        )
        .map_err(store_error)?;
    let row = params![
        tenant.as_str(),
        key.key,
        key.fingerprint,
        id.as_uuid().into_bytes(),
        key.expires_at.as_micros()
    ];
    if statement.execute(row).map_err(store_error)? == 1 {
        return Ok(None);
    }
    earlier(connection, tenant, key)
}

/// What an earlier request under the key makes of this one; none while the key is free.
pub(crate) fn earlier(connection: &Connection, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT fingerprint, message_id FROM idempotency WHERE tenant = ?1 AND key = ?2")
        .map_err(store_error)?;
    let mut rows = statement.query(params![tenant.as_str(), key.key]).map_err(store_error)?;
    let Some(row) = rows.next().map_err(store_error)? else {
        return Ok(None);
    };
    // The key is the caller's own text, so an error names the tenant only.
    let columns = Columns {
        row,
        table: "idempotency",
        id: tenant,
    };
    let same = columns.value::<[u8; 32]>("fingerprint")? == key.fingerprint;
    Ok(Some(if same {
        Stored::Replayed(MessageId::from_uuid(columns.uuid("message_id")?))
    } else {
        Stored::KeyConflict
    }))
}

/// Forgets keys whose time is over.
pub(crate) fn forget_expired(connection: &Connection, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "DELETE FROM idempotency WHERE (tenant, key) IN (SELECT tenant, key FROM idempotency WHERE expires_at <= ?1 LIMIT ?2)",
        )
        .map_err(store_error)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let forgotten = statement.execute(params![now.as_micros(), limit]).map_err(store_error)?;
    Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
}
