//! What endpoints are told.

use std::borrow::Cow;

use tokio_postgres::Row;
use ums_core::{
    EndpointId, MessageId, Notice, NoticeFilter, NoticeId, NoticeOutcome, NoticePage, NoticeState, StoreError, TenantId, Timestamp,
};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::endpoints;
use super::row::{Columns, count, optional_text, text};

/// Notices to be added.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    rows: Vec<&'a Notice>,
}

impl<'a> Rows<'a> {
    pub(crate) fn add(&mut self, notices: &'a [Notice]) {
        self.rows.extend(notices);
    }
}

impl<'a> FromIterator<&'a Notice> for Rows<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Notice>>(notices: I) -> Self {
        Self {
            rows: notices.into_iter().collect(),
        }
    }
}

/// Adds notices that are not there yet. What would be told to an endpoint that is gone is told to nobody.
pub(crate) async fn add(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    if rows.rows.is_empty() {
        return Ok(());
    }
    // The lock is for an endpoint that is being forgotten: its notices must not come after that.
    let sql = "INSERT INTO notices (tenant, id, endpoint, kind, message_id, at, body, state, tries, due_at, last_result)
         SELECT s.tenant, s.id, s.endpoint, s.kind, s.message_id, s.at, s.body, s.state, s.tries, s.due_at, s.last_result
         FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::bigint[], $7::text[], $8::text[], $9::integer[],
           $10::bigint[], $11::text[]) AS s(tenant, id, endpoint, kind, message_id, at, body, state, tries, due_at, last_result)
         JOIN endpoints e ON e.tenant = s.tenant AND e.id = s.endpoint
         FOR KEY SHARE OF e
         ON CONFLICT (tenant, id) DO NOTHING";
    let mut rows = rows.rows.clone();
    rows.sort_by_key(|notice| (&notice.tenant, notice.id));
    let tenants: Vec<&str> = rows.iter().map(|notice| notice.tenant.as_str()).collect();
    let ids: Vec<Uuid> = rows.iter().map(|notice| notice.id.as_uuid()).collect();
    let to: Vec<Uuid> = rows.iter().map(|notice| notice.endpoint.as_uuid()).collect();
    let kinds: Vec<&str> = rows.iter().map(|notice| notice.kind.as_str()).collect();
    let messages: Vec<Option<Uuid>> = rows.iter().map(|notice| notice.message_id.map(MessageId::as_uuid)).collect();
    let times: Vec<i64> = rows.iter().map(|notice| notice.at.as_micros()).collect();
    let bodies: Vec<Cow<'_, str>> = rows.iter().map(|notice| text(&notice.body)).collect();
    let states: Vec<&str> = rows.iter().map(|notice| notice.state.as_str()).collect();
    let tries: Vec<i32> = rows.iter().map(|notice| i32::try_from(notice.tries).unwrap_or(i32::MAX)).collect();
    let due: Vec<i64> = rows.iter().map(|notice| notice.due_at.as_micros()).collect();
    let results: Vec<_> = rows.iter().map(|notice| optional_text(notice.last_result.as_deref())).collect();
    let values: [Value<'_>; 11] = [
        &tenants, &ids, &to, &kinds, &messages, &times, &bodies, &states, &tries, &due, &results,
    ];
    session.execute(sql, &values).await.map(drop)
}

/// Claims notices that are due at `now`; each counts a try and is due again at `again_at`.
pub(crate) async fn claim(
    session: &Session,
    (tenant, endpoint): (&TenantId, EndpointId),
    now: Timestamp,
    again_at: Timestamp,
    limit: usize,
) -> Result<Vec<Notice>, Fault> {
    let sql = "WITH due AS MATERIALIZED (
           SELECT d.tenant, d.id, d.due_at FROM notices d
           WHERE d.tenant = $1 AND d.endpoint = $2 AND d.state = 'pending' AND d.due_at <= $3
           ORDER BY d.due_at, d.id LIMIT $5 FOR UPDATE SKIP LOCKED)
         UPDATE notices n SET tries = n.tries + 1, due_at = $4 FROM due WHERE n.tenant = due.tenant AND n.id = due.id
         RETURNING due.due_at AS was_due_at, n.tenant, n.id, n.endpoint, n.kind, n.message_id, n.at, n.body, n.state, n.tries, n.due_at,
           n.last_result";
    let (now, again_at, limit) = (now.as_micros(), again_at.as_micros(), count(limit));
    let values: [Value<'_>; 5] = [&tenant.as_str(), &endpoint.as_uuid(), &now, &again_at, &limit];
    let mut claimed = Vec::new();
    for row in session.query(sql, &values).await? {
        let columns = columns(&row);
        match notice(&columns) {
            Ok(notice) => claimed.push((columns.time("was_due_at")?, notice)),
            // One unreadable notice must not keep the others back; claimed, it is out of their way.
            Err(fault) => tracing::error!(error = %fault, "a notice cannot be posted"),
        }
    }
    claimed.sort_by_key(|(was_due_at, notice)| (*was_due_at, notice.id));
    Ok(claimed.into_iter().map(|(_, notice)| notice).collect())
}

/// Records how a post ended, of the notice and of its endpoint.
pub(crate) async fn settle(session: &Session, outcome: &NoticeOutcome) -> Result<(), Fault> {
    let sql = "UPDATE notices SET state = $3, due_at = $4, last_result = $5 WHERE tenant = $1 AND id = $2 AND state <> 'delivered'";
    let (state, due_at, result) = (outcome.state.as_str(), outcome.due_at.as_micros(), text(&outcome.result));
    let values: [Value<'_>; 5] = [&outcome.tenant.as_str(), &outcome.id.as_uuid(), &state, &due_at, &result];
    let (begun, noted, settled, ended) = tokio::join!(
        biased;
        session.run("BEGIN"),
        endpoints::note(session, outcome),
        session.execute(sql, &values),
        session.run("COMMIT"),
    );
    begun?;
    noted?;
    settled?;
    ended
}

/// When the next notice to an endpoint that is not disabled is due. One step along the index for each endpoint.
pub(crate) async fn next_due(session: &Session) -> Result<Option<Timestamp>, Fault> {
    let sql = "SELECT min(first.due_at) AS due_at FROM endpoints e CROSS JOIN LATERAL (
           SELECT n.due_at FROM notices n WHERE n.tenant = e.tenant AND n.endpoint = e.id AND n.state = 'pending'
           ORDER BY n.due_at, n.id LIMIT 1) AS first
         WHERE NOT e.disabled";
    let rows = session.query(sql, &[]).await?;
    let first = rows.first().map(|row| columns(row).optional_time("due_at")).transpose()?;
    Ok(first.flatten())
}

/// Notices, newest first.
pub(crate) async fn page(
    session: &Session,
    tenant: &TenantId,
    filter: &NoticeFilter,
    cursor: Option<NoticeId>,
    limit: usize,
) -> Result<NoticePage, Fault> {
    // Of the three ways to the notices one is taken, by what is asked for.
    let sql = "SELECT found.* FROM (
           (SELECT n.* FROM notices n WHERE $3::uuid IS NULL AND $4::uuid IS NULL AND n.tenant = $1 AND n.id <= $2
              AND ($5::uuid IS NULL OR n.id < $5) AND ($6::text IS NULL OR n.state = $6)
              AND ($7::bigint IS NULL OR n.at >= $7) AND ($8::bigint IS NULL OR n.at < $8)
            ORDER BY n.id DESC LIMIT $9)
           UNION ALL
           (SELECT n.* FROM notices n WHERE $3::uuid IS NOT NULL AND $4::uuid IS NULL AND n.tenant = $1 AND n.endpoint = $3 AND n.id <= $2
              AND ($5::uuid IS NULL OR n.id < $5) AND ($6::text IS NULL OR n.state = $6)
              AND ($7::bigint IS NULL OR n.at >= $7) AND ($8::bigint IS NULL OR n.at < $8)
            ORDER BY n.id DESC LIMIT $9)
           UNION ALL
           (SELECT n.* FROM notices n WHERE $4::uuid IS NOT NULL AND n.tenant = $1 AND n.message_id = $4 AND n.id <= $2
              AND ($3::uuid IS NULL OR n.endpoint = $3)
              AND ($5::uuid IS NULL OR n.id < $5) AND ($6::text IS NULL OR n.state = $6)
              AND ($7::bigint IS NULL OR n.at >= $7) AND ($8::bigint IS NULL OR n.at < $8)
            ORDER BY n.id DESC LIMIT $9)) AS found
         ORDER BY found.id DESC";
    let cursor = cursor.map(NoticeId::as_uuid);
    let highest = cursor.unwrap_or(Uuid::max());
    let (endpoint, message) = (filter.endpoint.map(EndpointId::as_uuid), filter.message_id.map(MessageId::as_uuid));
    let state = filter.state.map(NoticeState::as_str);
    let (since, until) = (filter.since.map(Timestamp::as_micros), filter.until.map(Timestamp::as_micros));
    let more_than_wanted = count(limit.saturating_add(1));
    let values: [Value<'_>; 9] = [
        &tenant.as_str(),
        &highest,
        &endpoint,
        &message,
        &cursor,
        &state,
        &since,
        &until,
        &more_than_wanted,
    ];
    let rows = session.query(sql, &values).await?;
    let notices: Result<Vec<Notice>, StoreError> = rows.iter().take(limit).map(|row| notice(&columns(row))).collect();
    let notices = notices?;
    let next_cursor = notices.last().map(|notice| notice.id).filter(|_| rows.len() > limit);
    Ok(NoticePage { notices, next_cursor })
}

/// Makes notices pending again, oldest first. Returns how many.
pub(crate) async fn requeue(
    session: &Session,
    tenant: &TenantId,
    filter: &NoticeFilter,
    now: Timestamp,
    limit: usize,
) -> Result<u64, Fault> {
    // The same three ways.
    let sql = "WITH found AS MATERIALIZED (
           (SELECT n.id FROM notices n WHERE $3::uuid IS NULL AND $4::uuid IS NULL AND n.tenant = $1
              AND ($5::text IS NULL OR n.state = $5) AND ($6::bigint IS NULL OR n.at >= $6) AND ($7::bigint IS NULL OR n.at < $7)
            ORDER BY n.id LIMIT $8)
           UNION ALL
           (SELECT n.id FROM notices n WHERE $3::uuid IS NOT NULL AND $4::uuid IS NULL AND n.tenant = $1 AND n.endpoint = $3
              AND ($5::text IS NULL OR n.state = $5) AND ($6::bigint IS NULL OR n.at >= $6) AND ($7::bigint IS NULL OR n.at < $7)
            ORDER BY n.id LIMIT $8)
           UNION ALL
           (SELECT n.id FROM notices n WHERE $4::uuid IS NOT NULL AND n.tenant = $1 AND n.message_id = $4 AND ($3::uuid IS NULL OR n.endpoint = $3)
              AND ($5::text IS NULL OR n.state = $5) AND ($6::bigint IS NULL OR n.at >= $6) AND ($7::bigint IS NULL OR n.at < $7)
            ORDER BY n.id LIMIT $8))
         UPDATE notices n SET state = 'pending', tries = 0, due_at = $2 FROM found
         WHERE n.tenant = $1 AND n.id = found.id AND ($5::text IS NULL OR n.state = $5)";
    let (endpoint, message) = (filter.endpoint.map(EndpointId::as_uuid), filter.message_id.map(MessageId::as_uuid));
    let state = filter.state.map(NoticeState::as_str);
    let (since, until) = (filter.since.map(Timestamp::as_micros), filter.until.map(Timestamp::as_micros));
    let (now, limit) = (now.as_micros(), count(limit));
    let values: [Value<'_>; 8] = [&tenant.as_str(), &now, &endpoint, &message, &state, &since, &until, &limit];
    session.execute(sql, &values).await
}

/// Forgets notices from before a time that are not pending. Returns how many.
pub(crate) async fn forget(session: &Session, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    let sql = "DELETE FROM notices n USING (SELECT tenant, id FROM notices WHERE state <> 'pending' AND at < $1
           ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED) AS old
         WHERE n.tenant = old.tenant AND n.id = old.id";
    session.execute(sql, &[&before.as_micros(), &count(limit)]).await
}

fn columns(row: &Row) -> Columns<'_> {
    Columns {
        row,
        table: "notices",
        id: &"a notice",
    }
}

fn notice(columns: &Columns<'_>) -> Result<Notice, StoreError> {
    Ok(Notice {
        id: NoticeId::from_uuid(columns.value("id")?),
        tenant: TenantId::new(columns.value::<&str>("tenant")?),
        endpoint: EndpointId::from_uuid(columns.value("endpoint")?),
        kind: columns.word("kind")?,
        message_id: columns.value::<Option<Uuid>>("message_id")?.map(MessageId::from_uuid),
        at: columns.time("at")?,
        body: columns.value("body")?,
        state: columns.word("state")?,
        tries: u32::try_from(columns.value::<i32>("tries")?).unwrap_or(0),
        due_at: columns.time("due_at")?,
        last_result: columns.value("last_result")?,
    })
}
