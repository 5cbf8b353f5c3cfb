//! What was accepted: written once, emptied when it is of no more use.

use ums_core::{Content, MessageId, StoreError, TenantId, Timestamp};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, count, split};
use crate::encoded::Encoded;
use crate::json::to_json;

/// Contents of several messages, column by column.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    tenant: Vec<&'a str>,
    message_id: Vec<Uuid>,
    accepted_at: Vec<i64>,
    has_body: Vec<bool>,
    content: Vec<&'a str>,
    handling: Vec<&'a str>,
    metadata: Vec<&'a str>,
    envelope: Vec<Option<&'a str>>,
}

/// Contents whose bodies are to be emptied: whose, and what remains.
#[derive(Debug, Default)]
pub(crate) struct Emptied {
    tenant: Vec<String>,
    message_id: Vec<Uuid>,
    content: Vec<String>,
}

impl<'a> Rows<'a> {
    pub(crate) fn add(&mut self, row: &'a Encoded) {
        let message = &row.new.message;
        self.tenant.push(message.tenant.as_str());
        self.message_id.push(message.id.as_uuid());
        self.accepted_at.push(message.accepted_at.as_micros());
        self.has_body.push(message.content.has_body());
        self.content.push(&row.content);
        self.handling.push(&row.handling);
        self.metadata.push(&row.metadata);
        self.envelope.push(row.envelope.as_deref());
    }
}

/// Stores what new messages say.
pub(crate) async fn insert(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    if rows.tenant.is_empty() {
        return Ok(());
    }
    let small = "INSERT INTO contents (tenant, message_id, accepted_at, has_body, content, handling, metadata)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[])";
    // The envelopes of large contents in the same statement: it goes out in its place among those of the transaction.
    let large = "WITH new AS (
           SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[])
           AS n(tenant, message_id, accepted_at, has_body, content, handling, metadata, envelope)),
         enveloped AS (
           INSERT INTO envelopes (tenant, message_id, content, handling, metadata)
           SELECT tenant, message_id, envelope, handling, metadata FROM new WHERE envelope IS NOT NULL)
         INSERT INTO contents (tenant, message_id, accepted_at, has_body, content, handling, metadata)
         SELECT tenant, message_id, accepted_at, has_body, content, handling, metadata FROM new";
    let values: [Value<'_>; 8] = [
        &rows.tenant,
        &rows.message_id,
        &rows.accepted_at,
        &rows.has_body,
        &rows.content,
        &rows.handling,
        &rows.metadata,
        &rows.envelope,
    ];
    let [of_contents @ .., _] = &values;
    if rows.envelope.iter().any(Option::is_some) {
        session.execute(large, &values).await.map(drop)
    } else {
        session.execute(small, of_contents).await.map(drop)
    }
}

/// The whole content of a message.
pub(crate) async fn whole(session: &Session, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, Fault> {
    let sql = "SELECT content FROM contents WHERE tenant = $1 AND message_id = $2";
    let rows = session.query(sql, &[&tenant.as_str(), &id.as_uuid()]).await?;
    let columns = |row| Columns {
        row,
        table: "contents",
        id: &id,
    };
    Ok(rows.first().map(|row| columns(row).json("content")).transpose()?)
}

/// What remains of messages when their bodies are emptied. Contents are written once, so it may be read before the
/// transaction that empties them.
pub(crate) async fn without_bodies(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Emptied, Fault> {
    let mut emptied = Emptied::default();
    if keys.is_empty() {
        return Ok(emptied);
    }
    let sql = "SELECT c.tenant, c.message_id, coalesce(e.content, c.content) AS content
         FROM unnest($1::text[], $2::uuid[]) AS w(tenant, id)
         JOIN contents c ON c.tenant = w.tenant AND c.message_id = w.id
         LEFT JOIN envelopes e ON e.tenant = c.tenant AND e.message_id = c.message_id AND octet_length(c.content) > octet_length(e.content)
         WHERE c.has_body";
    let (tenants, ids) = split(keys);
    for row in session.query(sql, &[&tenants, &ids]).await? {
        let id: Option<Uuid> = row.try_get("message_id").ok();
        let id = MessageId::from_uuid(id.unwrap_or_default());
        let columns = Columns {
            row: &row,
            table: "contents",
            id: &id,
        };
        match columns.json::<Content>("content") {
            Ok(content) => {
                let (tenant, id) = columns.key("message_id")?;
                emptied.tenant.push(tenant.as_str().to_owned());
                emptied.message_id.push(id.as_uuid());
                emptied.content.push(to_json(&content.without_body())?);
            }
            // What cannot be read cannot be emptied in part, and must not keep an outcome from being recorded.
            Err(fault @ StoreError::Corrupt { .. }) => {
                tracing::error!(message_id = %id, error = %fault, "a body cannot be emptied");
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(emptied)
}

/// Empties bodies. Returns how many there were.
pub(crate) async fn forget_bodies(session: &Session, emptied: &Emptied) -> Result<u64, Fault> {
    if emptied.tenant.is_empty() {
        return Ok(0);
    }
    let sql = "WITH gone AS (DELETE FROM envelopes e USING unnest($1::text[], $2::uuid[]) AS w(tenant, id)
           WHERE e.tenant = w.tenant AND e.message_id = w.id)
         UPDATE contents c SET content = s.content, has_body = false, forget_at = NULL
         FROM unnest($1::text[], $2::uuid[], $3::text[]) AS s(tenant, id, content)
         WHERE c.tenant = s.tenant AND c.message_id = s.id AND c.has_body";
    session
        .execute(sql, &[&emptied.tenant, &emptied.message_id, &emptied.content])
        .await
}

/// When bodies are emptied: whose.
#[derive(Debug, Default)]
pub(crate) struct Later<'a> {
    tenant: Vec<&'a str>,
    message_id: Vec<Uuid>,
    at: Vec<i64>,
}

impl<'a> Later<'a> {
    pub(crate) fn add(&mut self, tenant: &'a TenantId, id: MessageId, at: Timestamp) {
        self.tenant.push(tenant.as_str());
        self.message_id.push(id.as_uuid());
        self.at.push(at.as_micros());
    }
}

/// Notes when bodies are emptied.
pub(crate) async fn forget_later(session: &Session, later: &Later<'_>) -> Result<(), Fault> {
    if later.tenant.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE contents c SET forget_at = s.at FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS s(tenant, id, at)
         WHERE c.tenant = s.tenant AND c.message_id = s.id";
    session.execute(sql, &[&later.tenant, &later.message_id, &later.at]).await.map(drop)
}

/// The messages whose bodies are to be emptied by now.
pub(crate) async fn to_forget(session: &Session, now: Timestamp, limit: usize) -> Result<Vec<(TenantId, MessageId)>, Fault> {
    let sql = "SELECT c.tenant, c.message_id FROM contents c
         JOIN messages m ON m.tenant = c.tenant AND m.id = c.message_id
         WHERE c.forget_at <= $1 AND c.has_body AND m.owner IS NULL AND m.due_at IS NULL ORDER BY c.forget_at LIMIT $2";
    let rows = session.query(sql, &[&now.as_micros(), &count(limit)]).await?;
    let columns = |row| Columns {
        row,
        table: "contents",
        id: &"a code",
    };
    rows.iter().map(|row| Ok(columns(row).key("message_id")?)).collect()
}
