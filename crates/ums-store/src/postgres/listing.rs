//! Lists of messages, newest first.

use ums_core::{Channel, MessageFilter, MessageId, MessagePage, ProviderKind, Purpose, Status, TenantId, Timestamp};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::messages::{self, Whole};
use super::row::{Columns, count, text};

/// Messages that match, at most `limit`, older than `cursor`.
pub(crate) async fn messages(
    session: &Session,
    tenant: &TenantId,
    filter: &MessageFilter,
    cursor: Option<MessageId>,
    limit: usize,
) -> Result<MessagePage, Fault> {
    let mut ids = ids(session, tenant, filter, cursor, limit.saturating_add(1)).await?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next_cursor = ids.last().copied().filter(|_| more);
    let keys: Vec<_> = ids.into_iter().map(|id| (tenant.clone(), id)).collect();
    let found = messages::records(session, &keys, Whole::ButEvents).await?;
    Ok(MessagePage {
        messages: found.into_iter().flatten().collect::<Result<_, _>>()?,
        next_cursor,
    })
}

async fn ids(
    session: &Session,
    tenant: &TenantId,
    filter: &MessageFilter,
    cursor: Option<MessageId>,
    limit: usize,
) -> Result<Vec<MessageId>, Fault> {
    let all = "SELECT m.id FROM messages m
         WHERE m.tenant = $1 AND m.id <= $2 AND ($3::uuid IS NULL OR m.id < $3) AND $4::text IS NULL
           AND ($5::text IS NULL OR $5 = CASE WHEN m.owner IS NULL AND m.due_at IS NULL THEN m.status ELSE coalesce((
             -- The word for a message with open recipients, as `MessageRecord::word` makes it.
             SELECT CASE
               WHEN f.status IN ('pending', 'scheduled', 'queued', 'sending') THEN m.status
               WHEN f.status IN ('failed', 'expired', 'cancelled', 'suppressed', 'unsubscribed') AND EXISTS (
                 SELECT 1 FROM attempts a WHERE a.tenant = m.tenant AND a.message_id = m.id AND a.outcome = 'unknown'
                   AND (f.status IN ('failed', 'expired') OR a.recipients IS NULL OR a.recipients & 1 = 1)) THEN 'unknown'
               ELSE f.status END
             FROM recipients f WHERE f.tenant = m.tenant AND f.message_id = m.id AND f.idx = 0), m.status) END)
           AND ($6::text IS NULL OR m.channel = $6) AND ($7::text IS NULL OR m.purpose = $7)
           AND ($8::bigint IS NULL OR m.accepted_at >= $8) AND ($9::bigint IS NULL OR m.accepted_at < $9)
           AND ($10::text IS NULL OR EXISTS (
             SELECT 1 FROM attempts a WHERE a.tenant = m.tenant AND a.message_id = m.id AND a.provider = $10))
         ORDER BY m.id DESC LIMIT $11";
    let by_recipient = "SELECT DISTINCT r.message_id AS id FROM recipients r
         JOIN messages m ON m.tenant = r.tenant AND m.id = r.message_id
         WHERE r.tenant = $1 AND r.message_id <= $2 AND ($3::uuid IS NULL OR r.message_id < $3) AND lower(r.address) = lower($4 COLLATE \"C\")
           AND ($5::text IS NULL OR $5 = CASE WHEN m.owner IS NULL AND m.due_at IS NULL THEN m.status ELSE coalesce((
             -- The word for a message with open recipients, as `MessageRecord::word` makes it.
             SELECT CASE
               WHEN f.status IN ('pending', 'scheduled', 'queued', 'sending') THEN m.status
               WHEN f.status IN ('failed', 'expired', 'cancelled', 'suppressed', 'unsubscribed') AND EXISTS (
                 SELECT 1 FROM attempts a WHERE a.tenant = m.tenant AND a.message_id = m.id AND a.outcome = 'unknown'
                   AND (f.status IN ('failed', 'expired') OR a.recipients IS NULL OR a.recipients & 1 = 1)) THEN 'unknown'
               ELSE f.status END
             FROM recipients f WHERE f.tenant = m.tenant AND f.message_id = m.id AND f.idx = 0), m.status) END)
           AND ($6::text IS NULL OR m.channel = $6) AND ($7::text IS NULL OR m.purpose = $7)
           AND ($8::bigint IS NULL OR m.accepted_at >= $8) AND ($9::bigint IS NULL OR m.accepted_at < $9)
           AND ($10::text IS NULL OR EXISTS (
             SELECT 1 FROM attempts a WHERE a.tenant = m.tenant AND a.message_id = m.id AND a.provider = $10))
         ORDER BY r.message_id DESC LIMIT $11";
    let sql = if filter.to.is_some() { by_recipient } else { all };
    let cursor = cursor.map(MessageId::as_uuid);
    let highest = cursor.unwrap_or(Uuid::max());
    let to = filter.to.as_deref().map(text);
    let (status, channel) = (filter.status.map(Status::as_str), filter.channel.map(Channel::as_str));
    let (purpose, provider) = (filter.purpose.map(Purpose::as_str), filter.provider.map(ProviderKind::as_str));
    let (since, until) = (filter.since.map(Timestamp::as_micros), filter.until.map(Timestamp::as_micros));
    let tenant = tenant.as_str();
    let limit = count(limit);
    let values: [Value<'_>; 11] = [
        &tenant, &highest, &cursor, &to, &status, &channel, &purpose, &since, &until, &provider, &limit,
    ];
    let mut ids = Vec::new();
    for row in session.query(sql, &values).await? {
        let columns = Columns {
            row: &row,
            table: "messages",
            id: &"a listed message",
        };
        ids.push(MessageId::from_uuid(columns.value("id")?));
    }
    Ok(ids)
}
