//! Processes and their leases, by the database's clock.
//!
//! A process registers a row and moves its end forward. A message under way names the row of the process that works
//! on it. A process whose lease is over takes on nothing new, but it is dead only once another one has found it so:
//! that closes its row for good (`until = 0`), and a process that finds its row closed registers anew. So a
//! database that was away for longer than a lease does not make everybody dead at once.

use std::time::Duration;

use ums_core::Timestamp;

use super::connection::{Fault, Session};
use super::row::one;

/// Registers this process and returns its id, which was never used before.
pub(crate) async fn register(session: &Session, length: Duration) -> Result<i64, Fault> {
    let sql = "WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now)
         INSERT INTO owners (epoch, until) SELECT now, now + $1 FROM clock RETURNING id";
    Ok(one(&session.query(sql, &[&micros(length)]).await?, "id")?)
}

/// Moves the end of this process's lease forward. False when it was found dead.
pub(crate) async fn renew(session: &Session, owner: i64, length: Duration) -> Result<bool, Fault> {
    let sql = "UPDATE owners SET until = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $2 WHERE id = $1 AND until > 0";
    Ok(session.execute(sql, &[&owner, &micros(length)]).await? == 1)
}

/// Whether this process's lease holds.
pub(crate) async fn is_alive(session: &Session, owner: i64) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM owners
         WHERE id = $1 AND until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS alive";
    Ok(one(&session.query(sql, &[&owner]).await?, "alive")?)
}

/// Gives this process's lease up, so that others take over what it leaves at once.
pub(crate) async fn leave(session: &Session, owner: i64) -> Result<(), Fault> {
    session
        .execute("UPDATE owners SET until = 0 WHERE id = $1", &[&owner])
        .await
        .map(drop)
}

/// Finds other processes dead whose leases are over. After a start of the database they get a moment to renew them.
pub(crate) async fn find_dead(session: &Session, owner: i64, grace: Duration) -> Result<(), Fault> {
    let sql = "UPDATE owners SET until = 0
         WHERE id <> $1 AND until > 0 AND until < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
           AND (extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) * 1000000)::bigint > $2";
    session.execute(sql, &[&owner, &micros(grace)]).await.map(drop)
}

/// Forgets dead processes that left nothing behind.
pub(crate) async fn forget_dead(session: &Session, owner: i64) -> Result<(), Fault> {
    let sql = "DELETE FROM owners o WHERE o.id <> $1 AND o.until = 0 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.owner = o.id)";
    session.execute(sql, &[&owner]).await.map(drop)
}

/// The time by the database's clock.
pub(crate) async fn time(session: &Session) -> Result<Timestamp, Fault> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";
    Ok(Timestamp::from_micros(one(&session.query(sql, &[]).await?, "now")?))
}

/// Leases a chore to the process, or renews its lease, unless another process holds the lease.
pub(crate) async fn lease_chore(session: &Session, owner: i64, chore: &str, length: Duration) -> Result<bool, Fault> {
    let sql = "WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now)
         INSERT INTO turns AS t (chore, owner, until) SELECT $1, $2, now + $3 FROM clock
         ON CONFLICT (chore) DO UPDATE SET owner = excluded.owner, until = excluded.until
         WHERE t.owner = excluded.owner OR t.until <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    Ok(session.execute(sql, &[&chore, &owner, &micros(length)]).await? == 1)
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX / 4)
}
