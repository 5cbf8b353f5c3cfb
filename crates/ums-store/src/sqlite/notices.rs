//! What applications are told, until their endpoints have taken it.

use rusqlite::{Connection, Row, named_params, params};
use ums_core::{
    EndpointId, MessageId, Notice, NoticeFilter, NoticeId, NoticeOutcome, NoticePage, NoticeState, StoreError, TenantId, Timestamp,
};

use super::connection::store_error;
use super::row::{Columns, count};

/// Greater than every id.
const AFTER_ALL: [u8; 17] = [0xff; 17];

/// Adds notices that are not there yet, but for those to an endpoint that is gone.
pub(crate) fn add(connection: &Connection, notices: &[Notice]) -> Result<(), StoreError> {
    if notices.is_empty() {
        return Ok(());
    }
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO notices (tenant, id, endpoint, kind, message_id, at, body, state, tries, due_at, last_result)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
             WHERE EXISTS (SELECT 1 FROM endpoints WHERE tenant = ?1 AND id = ?3)
             ON CONFLICT (tenant, id) DO NOTHING",
        )
        .map_err(store_error)?;
    for notice in notices {
        let row = params![
            notice.tenant.as_str(),
            notice.id.as_uuid().into_bytes(),
            notice.endpoint.as_uuid().into_bytes(),
            notice.kind.as_str(),
            notice.message_id.map(|id| id.as_uuid().into_bytes()),
            notice.at.as_micros(),
            notice.body,
            notice.state.as_str(),
            notice.tries,
            notice.due_at.as_micros(),
            notice.last_result,
        ];
        statement.execute(row).map_err(store_error)?;
    }
    Ok(())
}

/// Claims notices that are due at `now`; each counts a try and is due again at `again_at`.
pub(crate) fn claim(
    connection: &Connection,
    (tenant, endpoint): (&TenantId, EndpointId),
    now: Timestamp,
    again_at: Timestamp,
    limit: usize,
) -> Result<Vec<Notice>, StoreError> {
    let mut due = connection
        .prepare_cached(
            "SELECT id FROM notices WHERE tenant = ?1 AND endpoint = ?2 AND state = 'pending' AND due_at <= ?3 ORDER BY due_at, id LIMIT ?4",
        )
        .map_err(store_error)?;
    let of = params![tenant.as_str(), endpoint.as_uuid().into_bytes(), now.as_micros(), count(limit)];
    let rows = due.query_map(of, |row| row.get::<_, [u8; 16]>(0)).map_err(store_error)?;
    // All are read before the first is changed, since the change moves it in the index that is read.
    let ids = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(store_error)?;
    let mut statement = connection
        .prepare_cached(
            "UPDATE notices SET tries = tries + 1, due_at = ?3 WHERE tenant = ?1 AND id = ?2
             RETURNING tenant, id, endpoint, kind, message_id, at, body, state, tries, due_at, last_result",
        )
        .map_err(store_error)?;
    let mut claimed = Vec::with_capacity(ids.len());
    for id in ids {
        let mut rows = statement
            .query(params![tenant.as_str(), id, again_at.as_micros()])
            .map_err(store_error)?;
        while let Some(row) = rows.next().map_err(store_error)? {
            match notice(row) {
                // Others must not wait for one that cannot be read.
                Err(fault @ StoreError::Corrupt { .. }) => tracing::error!(error = %fault, "a notice cannot be posted"),
                read => claimed.push(read?),
            }
        }
    }
    Ok(claimed)
}

/// Keeps how a post ended; what an endpoint took stays delivered.
pub(crate) fn settle(connection: &Connection, outcome: &NoticeOutcome) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE notices SET state = ?3, due_at = ?4, last_result = ?5 WHERE tenant = ?1 AND id = ?2 AND state <> 'delivered'",
        )
        .map_err(store_error)?;
    let row = params![
        outcome.tenant.as_str(),
        outcome.id.as_uuid().into_bytes(),
        outcome.state.as_str(),
        outcome.due_at.as_micros(),
        outcome.result
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// When the next pending notice is due of any endpoint that is posted to.
pub(crate) fn next_due(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT min(due_at) FROM (
               SELECT (SELECT min(n.due_at) FROM notices n WHERE n.tenant = e.tenant AND n.endpoint = e.id AND n.state = 'pending') AS due_at
               FROM endpoints e WHERE NOT e.disabled)",
        )
        .map_err(store_error)?;
    let next: Option<i64> = statement.query_row([], |row| row.get(0)).map_err(store_error)?;
    Ok(next.map(Timestamp::from_micros))
}

/// Notices that match, newest first.
pub(crate) fn page(
    connection: &Connection,
    tenant: &TenantId,
    filter: &NoticeFilter,
    cursor: Option<NoticeId>,
    limit: usize,
) -> Result<NoticePage, StoreError> {
    let all = "SELECT tenant, id, endpoint, kind, message_id, at, body, state, tries, due_at, last_result FROM notices
         WHERE tenant = :tenant AND id < :cursor AND :endpoint IS NULL AND :message_id IS NULL
           AND (:state IS NULL OR state = :state) AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
         ORDER BY id DESC LIMIT :limit";
    let of_endpoint = "SELECT tenant, id, endpoint, kind, message_id, at, body, state, tries, due_at, last_result FROM notices
         WHERE tenant = :tenant AND endpoint = :endpoint AND id < :cursor AND :message_id IS NULL
           AND (:state IS NULL OR state = :state) AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
         ORDER BY id DESC LIMIT :limit";
    let of_message = "SELECT tenant, id, endpoint, kind, message_id, at, body, state, tries, due_at, last_result FROM notices
         WHERE tenant = :tenant AND message_id = :message_id AND id < :cursor AND (:endpoint IS NULL OR endpoint = :endpoint)
           AND (:state IS NULL OR state = :state) AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
         ORDER BY id DESC LIMIT :limit";
    let sql = match (filter.message_id, filter.endpoint) {
        (Some(_), _) => of_message,
        (None, Some(_)) => of_endpoint,
        (None, None) => all,
    };
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let cursor = cursor.map(|id| id.as_uuid().into_bytes());
    let values = named_params! {
        ":tenant": tenant.as_str(),
        ":cursor": cursor.as_ref().map_or(AFTER_ALL.as_slice(), |id| id.as_slice()),
        ":endpoint": filter.endpoint.map(|id| id.as_uuid().into_bytes()),
        ":message_id": filter.message_id.map(|id| id.as_uuid().into_bytes()),
        ":state": filter.state.map(NoticeState::as_str),
        ":since": filter.since.map(Timestamp::as_micros),
        ":until": filter.until.map(Timestamp::as_micros),
        ":limit": count(limit.saturating_add(1)),
    };
    let mut rows = statement.query(values).map_err(store_error)?;
    let mut notices = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        notices.push(notice(row)?);
    }
    let more = notices.len() > limit;
    notices.truncate(limit);
    let next_cursor = notices.last().map(|notice| notice.id).filter(|_| more);
    Ok(NoticePage { notices, next_cursor })
}

/// Makes notices that match pending again, the oldest first. Says how many.
pub(crate) fn requeue(
    connection: &Connection,
    tenant: &TenantId,
    filter: &NoticeFilter,
    now: Timestamp,
    limit: usize,
) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE notices SET state = 'pending', tries = 0, due_at = :now WHERE tenant = :tenant AND id IN (
               SELECT id FROM notices
               WHERE tenant = :tenant AND (:endpoint IS NULL OR endpoint = :endpoint) AND (:message_id IS NULL OR message_id = :message_id)
                 AND (:state IS NULL OR state = :state) AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
               ORDER BY id LIMIT :limit)",
        )
        .map_err(store_error)?;
    let requeued = statement.execute(named_params! {
        ":tenant": tenant.as_str(),
        ":now": now.as_micros(),
        ":endpoint": filter.endpoint.map(|id| id.as_uuid().into_bytes()),
        ":message_id": filter.message_id.map(|id| id.as_uuid().into_bytes()),
        ":state": filter.state.map(NoticeState::as_str),
        ":since": filter.since.map(Timestamp::as_micros),
        ":until": filter.until.map(Timestamp::as_micros),
        ":limit": count(limit),
    });
    requeued.map(|rows| u64::try_from(rows).unwrap_or(u64::MAX)).map_err(store_error)
}

/// Forgets at most `limit` notices from before a time that are not pending. Says how many.
pub(crate) fn forget(connection: &Connection, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "DELETE FROM notices WHERE (tenant, id) IN (SELECT tenant, id FROM notices WHERE state <> 'pending' AND at < ?1 LIMIT ?2)",
        )
        .map_err(store_error)?;
    let forgotten = statement.execute(params![before.as_micros(), count(limit)]);
    forgotten.map(|rows| u64::try_from(rows).unwrap_or(u64::MAX)).map_err(store_error)
}

/// Forgets the notices of a message.
pub(crate) fn forget_message(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM notices WHERE tenant = ?1 AND message_id = ?2")
        .map_err(store_error)?;
    statement
        .execute(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map(drop)
        .map_err(store_error)
}

/// Forgets the notices to an endpoint.
pub(crate) fn forget_endpoint(connection: &Connection, tenant: &TenantId, id: EndpointId) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM notices WHERE tenant = ?1 AND endpoint = ?2")
        .map_err(store_error)?;
    statement
        .execute(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map(drop)
        .map_err(store_error)
}

fn notice(row: &Row<'_>) -> Result<Notice, StoreError> {
    let columns = Columns {
        row,
        table: "notices",
        id: &"a notice",
    };
    Ok(Notice {
        id: NoticeId::from_uuid(columns.uuid("id")?),
        tenant: TenantId::new(columns.value::<String>("tenant")?),
        endpoint: EndpointId::from_uuid(columns.uuid("endpoint")?),
        kind: columns.word("kind")?,
        message_id: columns.optional_uuid("message_id")?.map(MessageId::from_uuid),
        at: columns.time("at")?,
        body: columns.value("body")?,
        state: columns.word("state")?,
        tries: columns.value("tries")?,
        due_at: columns.time("due_at")?,
        last_result: columns.value("last_result")?,
    })
}
