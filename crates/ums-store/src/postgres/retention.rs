//! What need not be kept is removed in short transactions.
//!
//! A process walks along the contents in the order of their acceptance, and remembers how far it has come until it
//! is through; so messages that have not ended are passed once in a walk, not once in a call.

use std::sync::{Mutex, PoisonError};

use ums_core::{MessageId, Pruned, Retention, TenantId, Timestamp};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, count, split};
use super::{contents, events, notices, rates};

/// How far this process has walked, for bodies and for whole messages.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    bodies: Mutex<Option<Place>>,
    messages: Mutex<Option<Place>>,
}

/// A place among the contents.
type Place = (i64, Uuid);

/// A message's key.
type Key = (TenantId, MessageId);

/// Removes at most `limit` rows of each kind.
pub(crate) async fn prune(session: &Session, walks: &Walks, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, Fault> {
    let along_bodies = "SELECT tenant, message_id, accepted_at FROM contents
         WHERE has_body AND accepted_at < $1 AND (accepted_at, message_id) > ($2, $3) ORDER BY accepted_at, message_id LIMIT $4";
    let along_messages = "SELECT tenant, message_id, accepted_at FROM contents
         WHERE accepted_at < $1 AND (accepted_at, message_id) > ($2, $3) ORDER BY accepted_at, message_id LIMIT $4";
    let (old, more_bodies) = walk(session, along_bodies, &walks.bodies, retention.bodies_before, limit).await?;
    let bodies = empty(session, &old).await?;
    let codes = empty(session, &contents::to_forget(session, now, limit).await?).await?;
    let (old, more_messages) = walk(session, along_messages, &walks.messages, retention.messages_before, limit).await?;
    let messages = forget(session, &old).await?;
    let keys = forget_keys(session, now, limit).await?;
    let before = retention.aftermath_before;
    let aftermath = [
        events::forget(session, before, limit).await?,
        notices::forget(session, before, limit).await?,
        rates::forget(session, before, limit).await?,
    ];
    let is_full = |removed: u64| removed >= u64::try_from(limit).unwrap_or(u64::MAX);
    Ok(Pruned {
        bodies: bodies + codes,
        messages,
        keys,
        aftermath: aftermath.iter().sum(),
        more: limit > 0 && (more_bodies || is_full(codes) || more_messages || is_full(keys) || aftermath.into_iter().any(is_full)),
    })
}

/// Goes on with a walk. Returns the messages on the way, and whether there are more to come.
async fn walk(
    session: &Session,
    sql: &'static str,
    walked: &Mutex<Option<Place>>,
    before: Timestamp,
    limit: usize,
) -> Result<(Vec<Key>, bool), Fault> {
    let from = *walked.lock().unwrap_or_else(PoisonError::into_inner);
    let (time, id) = from.unwrap_or((i64::MIN, Uuid::nil()));
    let rows = session.query(sql, &[&before.as_micros(), &time, &id, &count(limit)]).await?;
    let mut found = Vec::with_capacity(rows.len());
    let mut last = None;
    for row in &rows {
        let columns = Columns {
            row,
            table: "contents",
            id: &"an old message",
        };
        let (tenant, id) = columns.key("message_id")?;
        last = Some((columns.value("accepted_at")?, id.as_uuid()));
        found.push((tenant, id));
    }
    let more = rows.len() >= limit;
    *walked.lock().unwrap_or_else(PoisonError::into_inner) = last.filter(|_| more);
    Ok((found, more))
}

/// Begins a transaction and locks those of the messages that have ended: nobody works on them, and they do not wait.
async fn lock_ended(session: &Session, messages: &[Key]) -> Result<Vec<Key>, Fault> {
    let sql = "SELECT m.tenant, m.id FROM unnest($1::text[], $2::uuid[]) AS w(tenant, id)
         JOIN messages m ON m.tenant = w.tenant AND m.id = w.id
         WHERE m.owner IS NULL AND m.due_at IS NULL FOR UPDATE OF m SKIP LOCKED";
    let (tenants, ids) = split(messages);
    session.run("BEGIN").await?;
    let rows = session.query(sql, &[&tenants, &ids]).await?;
    let columns = |row| Columns {
        row,
        table: "messages",
        id: &"an old message",
    };
    rows.iter().map(|row| Ok(columns(row).key("id")?)).collect()
}

/// Empties the bodies of those that have ended.
async fn empty(session: &Session, messages: &[Key]) -> Result<u64, Fault> {
    if messages.is_empty() {
        return Ok(0);
    }
    let ended = lock_ended(session, messages).await?;
    let emptied = contents::without_bodies(session, &ended).await?;
    let bodies = contents::forget_bodies(session, &emptied).await?;
    session.run("COMMIT").await?;
    Ok(bodies)
}

/// Forgets those that have ended, with all that belongs to them but their idempotency keys, which have their own time.
async fn forget(session: &Session, messages: &[Key]) -> Result<u64, Fault> {
    if messages.is_empty() {
        return Ok(0);
    }
    let ended = lock_ended(session, messages).await?;
    let (tenants, ids) = split(&ended);
    let values: [Value<'_>; 2] = [&tenants, &ids];
    for sql in [
        "DELETE FROM contents c USING unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE c.tenant = w.tenant AND c.message_id = w.id",
        "DELETE FROM recipients r USING unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE r.tenant = w.tenant AND r.message_id = w.id",
        "DELETE FROM attempts a USING unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE a.tenant = w.tenant AND a.message_id = w.id",
        "DELETE FROM skips s USING unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE s.tenant = w.tenant AND s.message_id = w.id",
        "DELETE FROM acts a USING unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE a.tenant = w.tenant AND a.message_id = w.id",
        "DELETE FROM events e USING unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE e.tenant = w.tenant AND e.message_id = w.id",
        "DELETE FROM notices n USING unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE n.tenant = w.tenant AND n.message_id = w.id",
    ] {
        session.execute(sql, &values).await?;
    }
    let sql = "DELETE FROM messages m USING unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE m.tenant = w.tenant AND m.id = w.id";
    let forgotten = session.execute(sql, &values).await?;
    session.run("COMMIT").await?;
    Ok(forgotten)
}

async fn forget_keys(session: &Session, now: Timestamp, limit: usize) -> Result<u64, Fault> {
    let sql = "DELETE FROM idempotency k USING (
           SELECT tenant, key FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS old
         WHERE k.tenant = old.tenant AND k.key = old.key";
    session.execute(sql, &[&now.as_micros(), &count(limit)]).await
}
