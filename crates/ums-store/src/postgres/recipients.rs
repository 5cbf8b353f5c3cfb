//! The recipients of a message.

use std::borrow::Cow;

use ums_core::{Channel, MessageId, RecipientRecord, StoreError, TenantId, suppression_address};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, gather, optional_text, split};

/// Recipients of several messages, column by column.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    tenant: Vec<&'a str>,
    message_id: Vec<Uuid>,
    idx: Vec<i32>,
    kind: Vec<&'static str>,
    address: Vec<&'a str>,
    status: Vec<&'static str>,
    reason: Vec<Option<Cow<'a, str>>>,
    folded: Vec<Option<String>>,
    /// Which messages, and how many recipients each has now.
    whole: (Vec<&'a str>, Vec<Uuid>, Vec<i32>),
}

impl<'a> Rows<'a> {
    /// Adds the recipients of a message, all of them.
    pub(crate) fn add(&mut self, tenant: &'a TenantId, message: MessageId, recipients: &'a [RecipientRecord]) {
        for (recipient, idx) in recipients.iter().zip(0..) {
            let RecipientRecord {
                address,
                kind,
                status,
                reason,
            } = recipient;
            self.tenant.push(tenant.as_str());
            self.message_id.push(message.as_uuid());
            self.idx.push(idx);
            self.kind.push(kind.as_str());
            self.address.push(address);
            self.status.push(status.as_str());
            self.reason.push(optional_text(reason.as_deref()));
            self.folded.push(folded(address));
        }
        self.whole.0.push(tenant.as_str());
        self.whole.1.push(message.as_uuid());
        self.whole.2.push(i32::try_from(recipients.len()).unwrap_or(i32::MAX));
    }

    fn values(&self) -> [Value<'_>; 8] {
        [
            &self.tenant,
            &self.message_id,
            &self.idx,
            &self.kind,
            &self.address,
            &self.status,
            &self.reason,
            &self.folded,
        ]
    }
}

/// An address as the suppression list keeps it, where the database's own `lower` would not write it so: it knows ASCII only.
fn folded(address: &str) -> Option<String> {
    (!address.is_ascii()).then(|| suppression_address(Channel::Email, address))
}

/// Stores the recipients of messages that are new.
pub(crate) async fn insert(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    if rows.tenant.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO recipients (tenant, message_id, idx, kind, address, status, reason, folded)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])";
    session.execute(sql, &rows.values()).await.map(drop)
}

/// Stores recipients; those that are there are replaced. They are the same ones nearly always, and then the index of
/// addresses is left alone.
pub(crate) async fn replace(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    if rows.tenant.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO recipients (tenant, message_id, idx, kind, address, status, reason, folded)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
         ON CONFLICT (tenant, message_id, idx) DO UPDATE SET kind = excluded.kind, address = excluded.address,
           status = excluded.status, reason = excluded.reason, folded = excluded.folded";
    session.execute(sql, &rows.values()).await.map(drop)
}

/// Removes the recipients that messages have no more.
pub(crate) async fn remove_rest(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    let (tenants, messages, counts) = &rows.whole;
    if tenants.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM recipients r USING unnest($1::text[], $2::uuid[], $3::integer[]) AS s(tenant, message_id, count)
         WHERE r.tenant = s.tenant AND r.message_id = s.message_id AND r.idx >= s.count";
    session.execute(sql, &[tenants, messages, counts]).await.map(drop)
}

/// Has recipients of messages that are given back wait with them.
pub(crate) async fn give_back(session: &Session, tenants: &[&str], ids: &[Uuid]) -> Result<(), Fault> {
    let sql = "UPDATE recipients r SET status = 'queued' FROM unnest($1::text[], $2::uuid[]) AS w(tenant, id)
         WHERE r.tenant = w.tenant AND r.message_id = w.id AND r.status IN ('pending', 'scheduled', 'sending')";
    session.execute(sql, &[&tenants, &ids]).await.map(drop)
}

/// The recipients of messages in order.
pub(crate) async fn of(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Vec<Result<Vec<RecipientRecord>, StoreError>>, Fault> {
    let sql = "SELECT w.nth, r.kind, r.address, r.status, r.reason
         FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w(tenant, id, nth)
         JOIN recipients r ON r.tenant = w.tenant AND r.message_id = w.id ORDER BY w.nth, r.idx";
    let (tenants, ids) = split(keys);
    let rows = session.query(sql, &[&tenants, &ids]).await?;
    Ok(gather(&rows, "recipients", keys, recipient))
}

fn recipient(columns: &Columns<'_>) -> Result<RecipientRecord, StoreError> {
    Ok(RecipientRecord {
        address: columns.value("address")?,
        kind: columns.word("kind")?,
        status: columns.word("status")?,
        reason: columns.value("reason")?,
    })
}
