//! Providers that were considered for a message and passed over.

use rusqlite::{Connection, params};
use ums_core::{AccountId, MessageId, Skip, SkipReason, StoreError, TenantId};

use super::connection::store_error;
use super::row::Columns;

/// Adds skips after those that are there.
pub(crate) fn append(connection: &Connection, tenant: &TenantId, id: MessageId, skips: &[Skip]) -> Result<(), StoreError> {
    for skip in skips {
        let mut statement = connection
            .prepare_cached(
                "INSERT INTO skips (tenant, message_id, number, provider, account, at, reason, detail)
                 SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?3, ?4, ?5, ?6, ?7 FROM skips WHERE tenant = ?1 AND message_id = ?2",
            )
            .map_err(store_error)?;
        let Skip {
            provider,
            account,
            at,
            reason,
            detail,
        } = skip;
        let row = params![
            tenant.as_str(),
            id.as_uuid().into_bytes(),
            provider.as_str(),
            account.as_str(),
            at.as_micros(),
            reason.as_str(),
            detail
        ];
        statement.execute(row).map_err(store_error)?;
    }
    Ok(())
}

/// The skips of a message in order.
pub(crate) fn of(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Vec<Skip>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT provider, account, at, reason, detail FROM skips WHERE tenant = ?1 AND message_id = ?2 ORDER BY number")
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    let mut skips = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "skips",
            id: &id,
        };
        skips.push(Skip {
            provider: columns.word("provider")?,
            account: AccountId::new(columns.value::<String>("account")?),
            at: columns.time("at")?,
            // A later release may work beside this one.
            reason: columns.value::<String>("reason")?.parse().unwrap_or(SkipReason::Other),
            detail: columns.value("detail")?,
        });
    }
    Ok(skips)
}
