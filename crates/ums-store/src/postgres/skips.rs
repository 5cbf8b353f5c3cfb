//! Providers that were considered for a message and passed over.

use std::borrow::Cow;

use ums_core::{AccountId, MessageId, Skip, SkipReason, StoreError, TenantId};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, gather, split, text};

/// Skips of several messages, column by column.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    tenant: Vec<&'a str>,
    message_id: Vec<Uuid>,
    is_first: Vec<bool>,
    number: Vec<i32>,
    provider: Vec<&'static str>,
    account: Vec<&'a str>,
    at: Vec<i64>,
    reason: Vec<&'static str>,
    detail: Vec<Cow<'a, str>>,
}

impl<'a> Rows<'a> {
    /// Adds skips of a message; `is_new` when the message has none yet.
    pub(crate) fn add(&mut self, tenant: &'a TenantId, message: MessageId, skips: &'a [Skip], is_new: bool) {
        for (skip, number) in skips.iter().zip(1..) {
            let Skip {
                provider,
                account,
                at,
                reason,
                detail,
            } = skip;
            self.tenant.push(tenant.as_str());
            self.message_id.push(message.as_uuid());
            self.is_first.push(is_new);
            self.number.push(number);
            self.provider.push(provider.as_str());
            self.account.push(account.as_str());
            self.at.push(at.as_micros());
            self.reason.push(reason.as_str());
            self.detail.push(text(detail));
        }
    }
}

/// Adds skips after those that are there.
pub(crate) async fn append(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    if rows.tenant.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO skips (tenant, message_id, number, provider, account, at, reason, detail)
         SELECT s.tenant, s.message_id, s.number + CASE WHEN s.is_first THEN 0 ELSE coalesce((
             SELECT max(k.number) FROM skips k WHERE k.tenant = s.tenant AND k.message_id = s.message_id), 0) END,
           s.provider, s.account, s.at, s.reason, s.detail
         FROM unnest($1::text[], $2::uuid[], $3::boolean[], $4::integer[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[])
           AS s(tenant, message_id, is_first, number, provider, account, at, reason, detail)";
    let values: [Value<'_>; 9] = [
        &rows.tenant,
        &rows.message_id,
        &rows.is_first,
        &rows.number,
        &rows.provider,
        &rows.account,
        &rows.at,
        &rows.reason,
        &rows.detail,
    ];
    session.execute(sql, &values).await.map(drop)
}

/// The skips of messages in order.
pub(crate) async fn of(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Vec<Result<Vec<Skip>, StoreError>>, Fault> {
    let sql = "SELECT w.nth, s.provider, s.account, s.at, s.reason, s.detail
         FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w(tenant, id, nth)
         JOIN skips s ON s.tenant = w.tenant AND s.message_id = w.id ORDER BY w.nth, s.number";
    let (tenants, ids) = split(keys);
    let rows = session.query(sql, &[&tenants, &ids]).await?;
    Ok(gather(&rows, "skips", keys, skip))
}

fn skip(columns: &Columns<'_>) -> Result<Skip, StoreError> {
    Ok(Skip {
        provider: columns.word("provider")?,
        account: AccountId::new(columns.value::<&str>("account")?),
        at: columns.time("at")?,
        // A later release may work beside this one.
        reason: columns.value::<&str>("reason")?.parse().unwrap_or(SkipReason::Other),
        detail: columns.value("detail")?,
    })
}
