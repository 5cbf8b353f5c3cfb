//! Lists of messages, newest first.

use rusqlite::{Connection, named_params};
use ums_core::{Channel, MessageFilter, MessageId, MessagePage, ProviderKind, Purpose, Status, StoreError, TenantId, Timestamp};

use super::connection::store_error;
use super::messages;
use super::row::Columns;

/// Greater than every id.
const AFTER_ALL: [u8; 17] = [0xff; 17];

/// Messages that match, at most `limit`, older than `cursor`.
pub(crate) fn messages(
    connection: &Connection,
    tenant: &TenantId,
    filter: &MessageFilter,
    cursor: Option<MessageId>,
    limit: usize,
) -> Result<MessagePage, StoreError> {
    let mut ids = ids(connection, tenant, filter, cursor, limit.saturating_add(1))?;
    let more = ids.len() > limit;
    ids.truncate(limit);
    let next_cursor = ids.last().copied().filter(|_| more);
    let records = ids
        .into_iter()
        .filter_map(|id| messages::message(connection, tenant, id).transpose());
    Ok(MessagePage {
        messages: records.collect::<Result<_, _>>()?,
        next_cursor,
    })
}

fn ids(
    connection: &Connection,
    tenant: &TenantId,
    filter: &MessageFilter,
    cursor: Option<MessageId>,
    limit: usize,
) -> Result<Vec<MessageId>, StoreError> {
    let all = "SELECT m.id FROM messages m
         WHERE m.tenant = :tenant AND m.id < :cursor AND :to IS NULL
           AND (:status IS NULL OR :status = CASE WHEN m.owner IS NULL AND m.due_at IS NULL THEN m.status ELSE coalesce((
             -- The word for a message with open recipients, as `MessageRecord::word` makes it.
             SELECT CASE
               WHEN f.status IN ('pending', 'scheduled', 'queued', 'sending') THEN m.status
               WHEN f.status IN ('failed', 'expired', 'cancelled', 'suppressed', 'unsubscribed') AND EXISTS (
                 SELECT 1 FROM attempts a WHERE a.tenant = m.tenant AND a.message_id = m.id AND a.outcome = 'unknown'
                   AND (f.status IN ('failed', 'expired') OR a.recipients IS NULL OR a.recipients & 1 = 1)) THEN 'unknown'
               ELSE f.status END
             FROM recipients f WHERE f.tenant = m.tenant AND f.message_id = m.id AND f.idx = 0), m.status) END)
           AND (:channel IS NULL OR m.channel = :channel)
           AND (:purpose IS NULL OR m.purpose = :purpose)
           AND (:since IS NULL OR m.accepted_at >= :since) AND (:until IS NULL OR m.accepted_at < :until)
           AND (:provider IS NULL OR EXISTS (
             SELECT 1 FROM attempts a WHERE a.tenant = m.tenant AND a.message_id = m.id AND a.provider = :provider))
         ORDER BY m.id DESC LIMIT :limit";
    // A cross join, because the index of addresses must come first.
    let by_recipient = "SELECT DISTINCT r.message_id AS id FROM recipients r
         CROSS JOIN messages m ON m.tenant = r.tenant AND m.id = r.message_id
         WHERE r.tenant = :tenant AND r.address = :to AND r.message_id < :cursor
           AND (:status IS NULL OR :status = CASE WHEN m.owner IS NULL AND m.due_at IS NULL THEN m.status ELSE coalesce((
             -- The word for a message with open recipients, as `MessageRecord::word` makes it.
             SELECT CASE
               WHEN f.status IN ('pending', 'scheduled', 'queued', 'sending') THEN m.status
               WHEN f.status IN ('failed', 'expired', 'cancelled', 'suppressed', 'unsubscribed') AND EXISTS (
                 SELECT 1 FROM attempts a WHERE a.tenant = m.tenant AND a.message_id = m.id AND a.outcome = 'unknown'
                   AND (f.status IN ('failed', 'expired') OR a.recipients IS NULL OR a.recipients & 1 = 1)) THEN 'unknown'
               ELSE f.status END
             FROM recipients f WHERE f.tenant = m.tenant AND f.message_id = m.id AND f.idx = 0), m.status) END)
           AND (:channel IS NULL OR m.channel = :channel)
           AND (:purpose IS NULL OR m.purpose = :purpose)
           AND (:since IS NULL OR m.accepted_at >= :since) AND (:until IS NULL OR m.accepted_at < :until)
           AND (:provider IS NULL OR EXISTS (
             SELECT 1 FROM attempts a WHERE a.tenant = m.tenant AND a.message_id = m.id AND a.provider = :provider))
         ORDER BY r.message_id DESC LIMIT :limit";
    let sql = if filter.to.is_some() { by_recipient } else { all };
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let cursor = cursor.map(|id| id.as_uuid().into_bytes());
    let values = named_params! {
        ":tenant": tenant.as_str(),
        ":cursor": cursor.as_ref().map_or(AFTER_ALL.as_slice(), |id| id.as_slice()),
        ":to": filter.to,
        ":status": filter.status.map(Status::as_str),
        ":channel": filter.channel.map(Channel::as_str),
        ":purpose": filter.purpose.map(Purpose::as_str),
        ":since": filter.since.map(Timestamp::as_micros),
        ":until": filter.until.map(Timestamp::as_micros),
        ":provider": filter.provider.map(ProviderKind::as_str),
        ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
    };
    let mut rows = statement.query(values).map_err(store_error)?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "messages",
            id: &"a listed message",
        };
        ids.push(MessageId::from_uuid(columns.uuid("id")?));
    }
    Ok(ids)
}
