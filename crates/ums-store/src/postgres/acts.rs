//! What callers and operators did to messages.

use std::borrow::Cow;

use ums_core::{ActRecord, MessageId, StoreError, TenantId};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, gather, split, text};

/// Acts on several messages, column by column.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    tenant: Vec<&'a str>,
    message_id: Vec<Uuid>,
    at: Vec<i64>,
    kind: Vec<&'static str>,
    detail: Vec<Cow<'a, str>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn add(&mut self, tenant: &'a TenantId, message: MessageId, act: &'a ActRecord) {
        let ActRecord { at, kind, detail } = act;
        self.tenant.push(tenant.as_str());
        self.message_id.push(message.as_uuid());
        self.at.push(at.as_micros());
        self.kind.push(kind.as_str());
        self.detail.push(text(detail));
    }
}

/// Adds acts after those that are there.
pub(crate) async fn append(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    if rows.tenant.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO acts (tenant, message_id, number, at, kind, detail)
         SELECT s.tenant, s.message_id, 1 + coalesce((
             SELECT max(a.number) FROM acts a WHERE a.tenant = s.tenant AND a.message_id = s.message_id), 0), s.at, s.kind, s.detail
         FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::text[]) AS s(tenant, message_id, at, kind, detail)";
    let values: [Value<'_>; 5] = [&rows.tenant, &rows.message_id, &rows.at, &rows.kind, &rows.detail];
    session.execute(sql, &values).await.map(drop)
}

/// The acts on messages in order.
pub(crate) async fn of(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Vec<Result<Vec<ActRecord>, StoreError>>, Fault> {
    let sql = "SELECT w.nth, a.at, a.kind, a.detail
         FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w(tenant, id, nth)
         JOIN acts a ON a.tenant = w.tenant AND a.message_id = w.id ORDER BY w.nth, a.number";
    let (tenants, ids) = split(keys);
    let rows = session.query(sql, &[&tenants, &ids]).await?;
    Ok(gather(&rows, "acts", keys, act))
}

fn act(columns: &Columns<'_>) -> Result<ActRecord, StoreError> {
    Ok(ActRecord {
        at: columns.time("at")?,
        kind: columns.word("kind")?,
        detail: columns.value("detail")?,
    })
}
