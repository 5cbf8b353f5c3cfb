//! A database that PostgreSQL's own tools restored: made safe to send from, as SQLite's restore does with a backup.
//!
//! **Invariant:** no message that had not ended in it goes out by itself afterwards, unless it was scheduled for a time that has not
//! come yet.

use ums_core::{StoreError, Timestamp, failpoint};

use super::address::Address;
use super::connection::{Fault, Session};
use super::row::one;
use crate::restored::{Held, WHY};

/// Holds what may have been sent since, in one transaction.
pub(crate) async fn hold(address: &Address, now: Timestamp) -> Result<Held, StoreError> {
    let session = Session::connect(address).await.map_err(Fault::not_written)?;
    // Nobody registers, renews or takes a message until it is done.
    session
        .run("BEGIN; SET LOCAL lock_timeout = '5s'; LOCK TABLE owners, messages IN ACCESS EXCLUSIVE MODE")
        .await
        .map_err(Fault::not_written)?;
    if is_served(&session).await.map_err(Fault::not_written)? {
        return Err(StoreError::Unusable(
            "a service has the database open, or had a minute ago; stop every service, wait for a minute, then try again".to_owned(),
        ));
    }
    let held = hold_all(&session, now).await.map_err(Fault::not_written)?;
    failpoint::pass("restore.held");
    session.run("COMMIT").await.map_err(Fault::at_commit)?;
    Ok(held)
}

/// Whether a process's lease holds; one that was copied with the database ends within a minute, too.
async fn is_served(session: &Session) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM owners WHERE until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS served";
    Ok(one(&session.query(sql, &[]).await?, "served")?)
}

async fn hold_all(session: &Session, now: Timestamp) -> Result<Held, Fault> {
    session
        .execute(
            "UPDATE attempts SET outcome = 'unknown', class = 'unknown', code = 'restored', detail = $1 WHERE outcome = 'calling'",
            &[&WHY],
        )
        .await?;
    // The word for a message that has ended is its first recipient's. All parts see the rows as they were before.
    let sql = "WITH held AS (
           UPDATE messages m SET owner = NULL, due_at = NULL, mark = NULL, token = token + 1, error = $1,
             status = coalesce((SELECT CASE WHEN r.status IN ('pending', 'scheduled', 'queued', 'sending') THEN 'unknown' ELSE r.status END
               FROM recipients r WHERE r.tenant = m.tenant AND r.message_id = m.id AND r.idx = 0), 'unknown')
           WHERE owner IS NOT NULL OR (due_at IS NOT NULL AND NOT (status = 'scheduled' AND due_at > $2))
           RETURNING m.tenant, m.id
         ), told AS (
           UPDATE recipients r SET status = 'unknown', reason = $1 FROM held h
           WHERE r.tenant = h.tenant AND r.message_id = h.id AND r.status IN ('pending', 'scheduled', 'queued', 'sending')
         ) SELECT count(*) AS held FROM held";
    let held: i64 = one(&session.query(sql, &[&WHY, &now.as_micros()]).await?, "held")?;
    let sql = "SELECT count(*) AS scheduled FROM messages WHERE due_at IS NOT NULL";
    let scheduled: i64 = one(&session.query(sql, &[]).await?, "scheduled")?;
    // No process that knew the database from before, nor any since, has an id in this one.
    session
        .run(
            "DELETE FROM owners; DELETE FROM turns;
             SELECT setval(pg_get_serial_sequence('owners', 'id'), nextval(pg_get_serial_sequence('owners', 'id')) + 4294967296)",
        )
        .await?;
    Ok(Held {
        held: u64::try_from(held).unwrap_or(0),
        scheduled: u64::try_from(scheduled).unwrap_or(0),
    })
}
