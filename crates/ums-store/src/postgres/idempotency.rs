//! Callers' keys: unique for a tenant, until they are pruned. A key whose time is over still holds: only pruning knows whether the clock is sure.

use std::borrow::Cow;
use std::collections::HashMap;

use ums_core::{IdempotencyKey, MessageId, TenantId};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, text};

/// Keys of several messages, column by column.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    rows: Vec<Row<'a>>,
}

/// Tenant, key, fingerprint, message, expiry.
type Row<'a> = (&'a str, Cow<'a, str>, &'a [u8], Uuid, i64);

/// The request that holds a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Earlier {
    pub(crate) fingerprint: [u8; 32],
    pub(crate) message: MessageId,
}

/// Keys that are taken, by tenant and key.
pub(crate) type Taken = HashMap<(TenantId, String), Earlier>;

impl<'a> Rows<'a> {
    pub(crate) fn add(&mut self, tenant: &'a TenantId, message: MessageId, key: &'a IdempotencyKey) {
        let row = (
            tenant.as_str(),
            text(&key.key),
            key.fingerprint.as_slice(),
            message.as_uuid(),
            key.expires_at.as_micros(),
        );
        self.rows.push(row);
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// Takes keys that are free, and waits for transactions that are about to take one of them. Returns how many it
/// took.
pub(crate) async fn take(session: &Session, rows: &mut Rows<'_>) -> Result<usize, Fault> {
    if rows.rows.is_empty() {
        return Ok(0);
    }
    // In one order everywhere, so that two who want the same keys wait for each other in one direction.
    rows.rows.sort_unstable_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let sql = "INSERT INTO idempotency (tenant, key, fingerprint, message_id, expires_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::bigint[])
         ON CONFLICT (tenant, key) DO NOTHING";
    let tenants: Vec<&str> = rows.rows.iter().map(|row| row.0).collect();
    let keys: Vec<&str> = rows.rows.iter().map(|row| &*row.1).collect();
    let fingerprints: Vec<&[u8]> = rows.rows.iter().map(|row| row.2).collect();
    let messages: Vec<Uuid> = rows.rows.iter().map(|row| row.3).collect();
    let expiries: Vec<i64> = rows.rows.iter().map(|row| row.4).collect();
    let values: [Value<'_>; 5] = [&tenants, &keys, &fingerprints, &messages, &expiries];
    let taken = session.execute(sql, &values).await?;
    Ok(usize::try_from(taken).unwrap_or(usize::MAX))
}

/// Which of the keys are held by earlier requests.
pub(crate) async fn taken(session: &Session, keys: &[(&TenantId, &IdempotencyKey)]) -> Result<Taken, Fault> {
    let mut taken = Taken::new();
    if keys.is_empty() {
        return Ok(taken);
    }
    let sql = "SELECT w.nth, k.tenant, k.fingerprint, k.message_id
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(tenant, key, nth)
         JOIN idempotency k ON k.tenant = w.tenant AND k.key = w.key";
    let tenants: Vec<&str> = keys.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let texts: Vec<Cow<'_, str>> = keys.iter().map(|(_, key)| text(&key.key)).collect();
    for row in session.query(sql, &[&tenants, &texts]).await? {
        // The key is the caller's own text, so an error names the tenant only.
        let columns = Columns {
            row: &row,
            table: "idempotency",
            id: &"a tenant's key",
        };
        let (tenant, message) = columns.key("message_id")?;
        let fingerprint = columns.value::<&[u8]>("fingerprint")?.try_into();
        let fingerprint = fingerprint.map_err(|_| columns.corrupt("fingerprint"))?;
        let place = usize::try_from(columns.value::<i64>("nth")? - 1).unwrap_or(usize::MAX);
        if let Some((_, key)) = keys.get(place) {
            taken.insert((tenant, key.key.clone()), Earlier { fingerprint, message });
        }
    }
    Ok(taken)
}
