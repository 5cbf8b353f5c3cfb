//! What need not be kept is removed in short transactions.
//!
//! Retention walks once along the contents in the order of their acceptance, remembers how far it has come, and never
//! looks at a row again; so a call costs the same however many messages are kept. A message that has not ended when
//! the walk passes it is noted, and the few that were noted are looked at again by each run. So is one that was accepted
//! under a clock that ran ahead: it must not hold up the walk until its time has come.

use rusqlite::{Connection, params};
use ums_core::{MessageId, Pruned, Retention, StoreError, TenantId, Timestamp};

use super::connection::store_error;
use super::row::Columns;
use super::{contents, events, idempotency, messages, notices, rates};

/// What is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bodies,
    Messages,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bodies => "bodies",
            Self::Messages => "messages",
        }
    }

    /// Says whether there was anything to be removed.
    fn remove(self, connection: &Connection, row: &Row) -> Result<bool, StoreError> {
        match self {
            Self::Bodies => contents::forget_body(connection, &row.tenant, row.id),
            Self::Messages => {
                // Its number may be given to another message.
                forget_passed(connection, Self::Bodies, row.seq)?;
                messages::forget(connection, &row.tenant, row.id)
            }
        }
    }
}

/// All that was passed has been looked at in this run; one kind must not begin again while another goes on.
const LOOKED_AT_ALL: i64 = i64::MAX;

/// How far the walk for one kind has come.
#[derive(Clone, Copy, Debug)]
struct Walk {
    walked: i64,
    looked: i64,
}

/// A message on the way.
struct Row {
    seq: i64,
    tenant: TenantId,
    id: MessageId,
    has_ended: bool,
    accepted_at: Timestamp,
}

/// Removes at most `limit` rows of each kind.
pub(crate) fn prune(connection: &Connection, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
    let (bodies, more_bodies) = step(connection, Kind::Bodies, retention.bodies_before, now, limit)?;
    let codes = contents::forget_bodies_due(connection, now, limit)?;
    let (messages, more_messages) = step(connection, Kind::Messages, retention.messages_before, now, limit)?;
    let keys = idempotency::forget_expired(connection, now, limit)?;
    let more_keys = usize::try_from(keys).is_ok_and(|keys| keys >= limit);
    let before = retention.aftermath_before;
    let aftermath = [
        events::forget(connection, before, limit)?,
        notices::forget(connection, before, limit)?,
        rates::forget(connection, before, limit)?,
    ];
    let is_full = |rows: &u64| usize::try_from(*rows).is_ok_and(|rows| rows >= limit);
    let more = limit > 0 && (more_bodies || is_full(&codes) || more_messages || more_keys || aftermath.iter().any(is_full));
    if !more {
        end_run(connection)?;
    }
    Ok(Pruned {
        bodies: bodies + codes,
        messages,
        keys,
        aftermath: aftermath.iter().sum(),
        more,
    })
}

/// Goes on with the walk, then looks again at what it has passed. Returns how many were removed, and
/// whether there is more to look at.
fn step(connection: &Connection, kind: Kind, before: Timestamp, now: Timestamp, limit: usize) -> Result<(u64, bool), StoreError> {
    let mut walk = walk(connection, kind)?;
    let (mut removed, mut looks) = (0, 0);
    let mut is_over = false;
    for row in rows_after(connection, walk.walked, limit)? {
        let is_ahead = row.accepted_at > now;
        if row.accepted_at >= before && !is_ahead {
            is_over = true;
            break;
        }
        if row.has_ended && !is_ahead {
            removed += u64::from(kind.remove(connection, &row)?);
        } else {
            pass(connection, kind, row.seq)?;
        }
        walk.walked = row.seq;
        looks += 1;
    }
    let mut more = !is_over && looks == limit;
    if !more {
        let passed = passed_after(connection, kind, walk.looked, limit - looks)?;
        more = passed.len() == limit - looks && !passed.is_empty();
        walk.looked = passed.last().filter(|_| more).map_or(LOOKED_AT_ALL, |(seq, _)| *seq);
        for (seq, row) in passed {
            if let Some(row) = row {
                if !row.has_ended || row.accepted_at >= before {
                    continue;
                }
                removed += u64::from(kind.remove(connection, &row)?);
            }
            forget_passed(connection, kind, seq)?;
        }
    }
    keep_walk(connection, kind, walk)?;
    Ok((removed, more))
}

fn walk(connection: &Connection, kind: Kind) -> Result<Walk, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT walked, looked FROM prune_walks WHERE kind = ?1")
        .map_err(store_error)?;
    let walk = statement.query_row([kind.as_str()], |row| {
        Ok(Walk {
            walked: row.get(0)?,
            looked: row.get(1)?,
        })
    });
    walk.map_err(store_error)
}

/// Keeps how far the walk has come. Numbers of rows that are no longer there are given again to new ones, so
/// it never stands beyond the last.
fn keep_walk(connection: &Connection, kind: Kind, walk: Walk) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE prune_walks SET walked = min(CASE kind WHEN ?1 THEN ?2 ELSE walked END, (SELECT coalesce(max(seq), 0) FROM contents)),
               looked = CASE kind WHEN ?1 THEN ?3 ELSE looked END",
        )
        .map_err(store_error)?;
    statement
        .execute(params![kind.as_str(), walk.walked, walk.looked])
        .map(drop)
        .map_err(store_error)
}

/// Lets the next run look again at what was passed.
fn end_run(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE prune_walks SET looked = 0 WHERE looked <> 0")
        .map_err(store_error)?;
    statement.execute([]).map(drop).map_err(store_error)
}

fn rows_after(connection: &Connection, walked: i64, limit: usize) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT c.seq, m.tenant, m.id, m.owner IS NULL AND m.due_at IS NULL AS has_ended, m.accepted_at
             FROM contents c CROSS JOIN messages m ON m.tenant = c.tenant AND m.id = c.message_id
             WHERE c.seq > ?1 ORDER BY c.seq LIMIT ?2",
        )
        .map_err(store_error)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query([walked, limit]).map_err(store_error)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &rusqlite::Row<'_>) -> Result<Row, StoreError> {
    let columns = Columns {
        row,
        table: "messages",
        id: &"an old message",
    };
    Ok(Row {
        seq: columns.value("seq")?,
        tenant: TenantId::new(columns.value::<String>("tenant")?),
        id: MessageId::from_uuid(columns.uuid("id")?),
        has_ended: columns.value("has_ended")?,
        accepted_at: columns.time("accepted_at")?,
    })
}

fn pass(connection: &Connection, kind: Kind, seq: i64) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO prune_passed (kind, seq) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .map_err(store_error)?;
    statement.execute(params![kind.as_str(), seq]).map(drop).map_err(store_error)
}

/// Rows that were passed, with the message if it is still there.
fn passed_after(connection: &Connection, kind: Kind, looked: i64, limit: usize) -> Result<Vec<(i64, Option<Row>)>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT p.seq, m.tenant, m.id, m.owner IS NULL AND m.due_at IS NULL AS has_ended, m.accepted_at
             FROM prune_passed p LEFT JOIN contents c ON c.seq = p.seq LEFT JOIN messages m ON m.tenant = c.tenant AND m.id = c.message_id
             WHERE p.kind = ?1 AND p.seq > ?2 ORDER BY p.seq LIMIT ?3",
        )
        .map_err(store_error)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![kind.as_str(), looked, limit]).map_err(store_error)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "prune_passed",
            id: &"an old message",
        };
        let is_there = columns.value::<Option<String>>("tenant")?.is_some();
        found.push((columns.value("seq")?, if is_there { Some(read(row)?) } else { None }));
    }
    Ok(found)
}

fn forget_passed(connection: &Connection, kind: Kind, seq: i64) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM prune_passed WHERE kind = ?1 AND seq = ?2")
        .map_err(store_error)?;
    statement.execute(params![kind.as_str(), seq]).map(drop).map_err(store_error)
}
