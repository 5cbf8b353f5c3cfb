//! The queue: messages that wait for their time, taken in the order of their lanes, given back by what was recorded.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;
use ums_core::{Clock, MessageId, MessageRecord, Purpose, Recovered, Room, TenantId, Timestamp};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::heads::{Heads, Place, Turn};
use super::row::{Columns, count, one, split};
use super::{attempts, messages, recipients};
use crate::fence;

/// Messages that are given back by one transaction.
const GIVEN_BACK: usize = 500;

/// A message's key.
type Key = (TenantId, MessageId);

/// Takes messages that are due and makes them this process's own, unless its lease is over.
pub(crate) async fn claim_due(
    session: &Session,
    (heads, clock): (&Heads, &dyn Clock),
    owner: i64,
    now: Timestamp,
    room: Room,
) -> Result<Vec<MessageRecord>, Fault> {
    let mut keys = Vec::new();
    for purpose in fence::LANES {
        keys.extend(claim_in_lane(session, (heads, clock), (owner, now), purpose, room.of(purpose)).await?);
    }
    let mut claimed = Vec::with_capacity(keys.len());
    for (found, (_, id)) in messages::records(session, &keys, messages::Whole::ButEvents)
        .await?
        .into_iter()
        .zip(&keys)
    {
        match found {
            Some(Ok(record)) => claimed.push(record),
            // One unreadable message must not keep the others back; claimed, it is out of their way.
            Some(Err(fault)) => tracing::error!(message_id = %id, error = %fault, "a message cannot be sent"),
            None => {}
        }
    }
    Ok(claimed)
}

async fn claim_in_lane(
    session: &Session,
    (heads, clock): (&Heads, &dyn Clock),
    (owner, now): (i64, Timestamp),
    purpose: Purpose,
    room: usize,
) -> Result<Vec<Key>, Fault> {
    let mut claimed: Vec<Key> = Vec::new();
    let mut exhausted: Vec<TenantId> = Vec::new();
    let mut has_looked = false;
    if room > 0 && heads.wants_look(purpose, clock.monotonic()) {
        look(session, heads, clock, purpose).await?;
        has_looked = true;
    }
    while claimed.len() < room {
        let turns = heads.turns(purpose, now, room - claimed.len(), &exhausted);
        if turns.is_empty() {
            if has_looked {
                break;
            }
            look(session, heads, clock, purpose).await?;
            has_looked = true;
            exhausted.clear();
            continue;
        }
        let mut taken = take(session, owner, now, purpose, &turns).await?;
        for turn in &turns {
            let mut of_turn = taken.remove(&turn.tenant).unwrap_or_default();
            of_turn.sort_unstable();
            let is_all = of_turn.len() < turn.share;
            heads.took(purpose, turn, of_turn.last().copied(), is_all);
            if is_all {
                exhausted.push(turn.tenant.clone());
            }
            claimed.extend(of_turn.into_iter().map(|(_, id)| (turn.tenant.clone(), id)));
        }
    }
    Ok(claimed)
}

/// Takes what is due of some tenants, each from its place on, in one statement.
async fn take(
    session: &Session,
    owner: i64,
    now: Timestamp,
    purpose: Purpose,
    turns: &[Turn],
) -> Result<HashMap<TenantId, Vec<Place>>, Fault> {
    let sql = "WITH due AS MATERIALIZED (
           SELECT d.tenant, d.id, d.due_at
           FROM unnest($3::text[], $4::bigint[], $5::uuid[], $6::bigint[]) AS w(tenant, due_at, id, share)
           CROSS JOIN LATERAL (
             SELECT m.tenant, m.id, m.due_at FROM messages m
             WHERE m.lane = $1 AND m.tenant = w.tenant AND m.due_at IS NOT NULL AND m.due_at <= $2 AND (m.due_at, m.id) >= (w.due_at, w.id)
             ORDER BY m.due_at, m.id LIMIT w.share FOR UPDATE SKIP LOCKED) AS d)
         UPDATE messages m SET owner = $7, token = m.token + 1, due_at = NULL FROM due
         WHERE m.tenant = due.tenant AND m.id = due.id
           AND EXISTS (SELECT 1 FROM owners WHERE id = $7 AND until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
         RETURNING m.tenant, m.id, due.due_at";
    let lane = i16::from(fence::lane(purpose));
    let tenants: Vec<&str> = turns.iter().map(|turn| turn.tenant.as_str()).collect();
    let times: Vec<i64> = turns.iter().map(|turn| turn.from.0.as_micros()).collect();
    let ids: Vec<Uuid> = turns.iter().map(|turn| turn.from.1.as_uuid()).collect();
    let shares: Vec<i64> = turns.iter().map(|turn| count(turn.share)).collect();
    let now = now.as_micros();
    let values: [Value<'_>; 7] = [&lane, &now, &tenants, &times, &ids, &shares, &owner];
    let mut taken: HashMap<TenantId, Vec<Place>> = HashMap::new();
    for row in session.query(sql, &values).await? {
        let columns = due_columns(&row);
        let (tenant, id) = columns.key("id")?;
        taken.entry(tenant).or_default().push((columns.time("due_at")?, id));
    }
    Ok(taken)
}

/// Looks from the start of a lane for the first message of each tenant.
async fn look(session: &Session, heads: &Heads, clock: &dyn Clock, purpose: Purpose) -> Result<(), Fault> {
    let (begun, start) = (heads.begin_look(purpose), clock.monotonic());
    let found = first_of_tenants(session, purpose).await?;
    let end = clock.monotonic();
    heads.looked(purpose, begun, found, end, end.since(start));
    Ok(())
}

/// The first waiting message of each tenant in a lane: one step along the index for each tenant.
async fn first_of_tenants(session: &Session, purpose: Purpose) -> Result<Vec<(TenantId, Place)>, Fault> {
    let sql = "WITH RECURSIVE first AS (
           (SELECT m.tenant, m.due_at, m.id FROM messages m WHERE m.lane = $1 AND m.due_at IS NOT NULL
            ORDER BY m.tenant, m.due_at, m.id LIMIT 1)
           UNION ALL
           SELECT n.tenant, n.due_at, n.id FROM first CROSS JOIN LATERAL (
             SELECT m.tenant, m.due_at, m.id FROM messages m WHERE m.lane = $1 AND m.due_at IS NOT NULL AND m.tenant > first.tenant
             ORDER BY m.tenant, m.due_at, m.id LIMIT 1) AS n)
         SELECT tenant, due_at, id FROM first";
    let lane = i16::from(fence::lane(purpose));
    let rows = session.query(sql, &[&lane]).await?;
    rows.iter()
        .map(|row| {
            let columns = due_columns(row);
            let (tenant, id) = columns.key("id")?;
            Ok((tenant, (columns.time("due_at")?, id)))
        })
        .collect()
}

fn due_columns(row: &Row) -> Columns<'_> {
    Columns {
        row,
        table: "messages",
        id: &"a due message",
    }
}

/// When the next message is due.
pub(crate) async fn next_due(session: &Session) -> Result<Option<Timestamp>, Fault> {
    let [otp, transactional, bulk] = fence::LANES;
    let (otp, transactional, bulk) = tokio::join!(
        first_of_tenants(session, otp),
        first_of_tenants(session, transactional),
        first_of_tenants(session, bulk)
    );
    let firsts = [otp?, transactional?, bulk?];
    Ok(firsts.iter().flatten().map(|(_, (due_at, _))| *due_at).min())
}

/// How many messages wait, counted no further than `at_most`.
pub(crate) async fn backlog(session: &Session, at_most: u64) -> Result<u64, Fault> {
    let sql = "SELECT count(*) AS waiting FROM (SELECT 1 FROM messages WHERE due_at IS NOT NULL LIMIT $1) AS counted";
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    Ok(one::<i64>(&session.query(sql, &[&at_most]).await?, "waiting")?.unsigned_abs())
}

/// Messages that a process works on.
pub(crate) async fn under_way(session: &Session, owner: i64, limit: usize) -> Result<Vec<Key>, Fault> {
    let sql = "SELECT tenant, id FROM messages WHERE owner = $1 LIMIT $2";
    keys(&session.query(sql, &[&owner, &count(limit)]).await?)
}

fn keys(rows: &[Row]) -> Result<Vec<Key>, Fault> {
    let columns = |row| Columns {
        row,
        table: "messages",
        id: &"a message",
    };
    rows.iter().map(|row| Ok(columns(row).key("id")?)).collect()
}

/// Gives back some of what dead processes were working on. Returns how many messages that were, too.
pub(crate) async fn recover(session: &Session, owner: i64, now: Timestamp) -> Result<(usize, Recovered), Fault> {
    let dead = dead_owners(session, owner).await?;
    if dead.is_empty() {
        return Ok((0, Recovered::default()));
    }
    // Others who recover at the same time take other messages.
    let sql = "SELECT tenant, id FROM messages WHERE owner = ANY($1) LIMIT $2 FOR UPDATE SKIP LOCKED";
    session.run("BEGIN").await?;
    let lost = keys(&session.query(sql, &[&dead, &count(GIVEN_BACK)]).await?)?;
    requeue(session, lost, now).await
}

/// Processes that messages name and that are dead. One step along the index for each process.
async fn dead_owners(session: &Session, owner: i64) -> Result<Vec<i64>, Fault> {
    let sql = "WITH RECURSIVE named AS (
           (SELECT m.owner FROM messages m WHERE m.owner IS NOT NULL ORDER BY m.owner LIMIT 1)
           UNION ALL
           SELECT n.owner FROM named CROSS JOIN LATERAL (
             SELECT m.owner FROM messages m WHERE m.owner IS NOT NULL AND m.owner > named.owner ORDER BY m.owner LIMIT 1) AS n)
         SELECT named.owner FROM named
         WHERE named.owner <> $1 AND NOT EXISTS (SELECT 1 FROM owners o WHERE o.id = named.owner AND o.until > 0)";
    let rows = session.query(sql, &[&owner]).await?;
    Ok(rows.iter().filter_map(|row| row.try_get("owner").ok()).collect())
}

/// Gives back those of these messages that belong to this process.
pub(crate) async fn give_back(session: &Session, owner: i64, messages: &[Key], now: Timestamp) -> Result<Recovered, Fault> {
    let sql = "SELECT m.tenant, m.id FROM unnest($1::text[], $2::uuid[]) AS w(tenant, id)
         JOIN messages m ON m.tenant = w.tenant AND m.id = w.id WHERE m.owner = $3 FOR UPDATE OF m";
    let mut given_back = Recovered::default();
    let mut messages = messages.to_vec();
    messages.sort_unstable();
    for some in messages.chunks(GIVEN_BACK) {
        let (tenants, ids) = split(some);
        session.run("BEGIN").await?;
        let ours = keys(&session.query(sql, &[&tenants, &ids, &owner]).await?)?;
        let (_, Recovered { requeued, unknown }) = requeue(session, ours, now).await?;
        given_back.requeued += requeued;
        given_back.unknown += unknown;
    }
    Ok(given_back)
}

/// Queues messages that nobody works on any more, and ends the transaction that has locked them. A call whose outcome is not
/// recorded is unknown. These are statements of their own, so that they see what was recorded before the lock was had.
async fn requeue(session: &Session, messages: Vec<Key>, now: Timestamp) -> Result<(usize, Recovered), Fault> {
    let sql = "UPDATE messages m SET status = 'queued', due_at = $3, owner = NULL, token = m.token + 1
         FROM unnest($1::text[], $2::uuid[]) AS w(tenant, id) WHERE m.tenant = w.tenant AND m.id = w.id";
    let (tenants, ids) = split(&messages);
    let now = now.as_micros();
    let values: [Value<'_>; 3] = [&tenants, &ids, &now];
    let (calls, recipients, moved) = tokio::join!(
        biased;
        attempts::lose(session, &tenants, &ids),
        recipients::give_back(session, &tenants, &ids),
        session.execute(sql, &values),
    );
    let calls = calls?;
    recipients?;
    moved?;
    session.run("COMMIT").await?;
    let number = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
    let in_call: HashSet<Uuid> = calls.iter().copied().collect();
    let recovered = Recovered {
        requeued: number(messages.len().saturating_sub(in_call.len())),
        unknown: number(calls.len()),
    };
    Ok((messages.len(), recovered))
}
