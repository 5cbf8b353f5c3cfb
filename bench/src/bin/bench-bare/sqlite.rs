//! Bare statements on SQLite: one connection, `synchronous = FULL`, a transaction for each batch.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rusqlite::{Connection, ToSql, params};
use ums_core::{Clock, SystemClock};

use crate::{DUE_LATER, Rows};

fn open(file: &str) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000")?;
    Ok(connection)
}

fn run(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<usize> {
    Ok(connection.prepare_cached(sql)?.execute(values)?)
}

/// Inserts messages with their contents and recipients.
pub(crate) fn accept(file: &str, messages: usize, batch: usize) -> Result<Duration> {
    let connection = open(file)?;
    let rows = Rows::make(messages)?;
    let start = Instant::now();
    for batch in rows.chunks(batch) {
        run(&connection, "BEGIN IMMEDIATE", &[])?;
        for row in batch {
            insert(&connection, row)?;
        }
        run(&connection, "COMMIT", &[])?;
    }
    Ok(start.elapsed())
}

fn insert(connection: &Connection, row: &Rows) -> Result<()> {
    let id = row.id.into_bytes();
    run(
        connection,
        "INSERT INTO messages (tenant, id, channel, purpose, lane, status, accepted_at, expires_at, due_at, token)
         VALUES ('default', ?1, 'email', 'transactional', 1, 'scheduled', ?2, ?3, ?4, 0)",
        params![id, row.at, row.expires_at, DUE_LATER],
    )?;
    run(
        connection,
        "INSERT INTO contents (tenant, message_id, content, handling, metadata) VALUES ('default', ?1, ?2, ?3, '{}')",
        params![id, row.content, row.handling],
    )?;
    run(
        connection,
        "INSERT INTO recipients (tenant, message_id, idx, kind, address, status) VALUES ('default', ?1, 0, 'to', ?2, 'scheduled')",
        params![id, crate::message::TO],
    )?;
    Ok(())
}

/// Claims what is due, reads it, and ends it as sent: a transaction for the claim, one for the ends.
pub(crate) fn drain(file: &str, messages: usize, batch: usize) -> Result<Duration> {
    let connection = open(file)?;
    let now = SystemClock::new().now().as_micros();
    let start = Instant::now();
    let mut done = 0;
    while done < messages {
        run(&connection, "BEGIN IMMEDIATE", &[])?;
        let claimed = claim(&connection, now, batch)?;
        run(&connection, "COMMIT", &[])?;
        ensure!(!claimed.is_empty(), "nothing is due any more");
        run(&connection, "BEGIN IMMEDIATE", &[])?;
        for id in &claimed {
            end(&connection, id, now)?;
        }
        run(&connection, "COMMIT", &[])?;
        done += claimed.len();
    }
    Ok(start.elapsed())
}

fn claim(connection: &Connection, now: i64, batch: usize) -> Result<Vec<[u8; 16]>> {
    let mut due = connection.prepare_cached(
        "SELECT m.id, c.content FROM messages m JOIN contents c ON c.tenant = m.tenant AND c.message_id = m.id
         WHERE m.lane = 1 AND m.tenant = 'default' AND m.due_at <= ?1 ORDER BY m.due_at, m.id LIMIT ?2",
    )?;
    let limit = i64::try_from(batch)?;
    let due = due.query_map(params![now, limit], |row| {
        let content: String = row.get(1)?;
        Ok((row.get::<_, [u8; 16]>(0)?, content))
    })?;
    let due: Vec<([u8; 16], String)> = due.collect::<Result<_, _>>()?;
    let mut ids = Vec::with_capacity(due.len());
    for (id, content) in due {
        ensure!(!content.is_empty(), "a message without content");
        run(
            connection,
            "UPDATE messages SET owner = 0, token = token + 1, due_at = NULL, status = 'sending' WHERE tenant = 'default' AND id = ?1",
            params![id],
        )?;
        ids.push(id);
    }
    Ok(ids)
}

fn end(connection: &Connection, id: &[u8; 16], now: i64) -> Result<()> {
    run(
        connection,
        "UPDATE messages SET status = 'sent', sent_at = ?2, owner = NULL WHERE tenant = 'default' AND id = ?1",
        params![id, now],
    )?;
    run(
        connection,
        "UPDATE recipients SET status = 'sent' WHERE tenant = 'default' AND message_id = ?1",
        params![id],
    )?;
    run(
        connection,
        "INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, simulated, from_substituted)
         VALUES ('default', ?1, ?1, 1, 'sendgrid', 'default', ?2, 'accepted', 0, 0)",
        params![id, now],
    )?;
    Ok(())
}
