//! The trusted time, and rows that were written under a wrong clock.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use ums_core::{KeptTime, LongestWaits, StoreError, TimeStore, Timestamp};

use super::SqliteStore;
use super::connection::store_error;
use crate::kept_time::Row as KeptRow;

/// Keys of messages, notices and events that are due too far ahead.
#[derive(Debug, Default)]
struct Late {
    messages: Vec<(String, [u8; 16])>,
    notices: Vec<(String, [u8; 16])>,
    events: Vec<i64>,
}

/// Times beyond which a row was written under a wrong clock.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    waits: LongestWaits,
    now: Timestamp,
    limit: i64,
}

#[async_trait]
impl TimeStore for SqliteStore {
    async fn database_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn kept_time(&self) -> Result<Option<KeptTime>, StoreError> {
        self.read(kept).await
    }

    async fn keep_time(&self, time: &KeptTime) -> Result<(), StoreError> {
        let time = time.clone();
        self.writer.submit(0, move |connection| keep(connection, &time)).await
    }

    async fn hasten(&self, waits: LongestWaits, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let bounds = Bounds { waits, now, limit };
        // Found beside the writer: many messages may be scheduled far ahead, and every commit would wait for the look at them.
        let late = self.read(move |connection| bounds.late(connection)).await?;
        if late.is_empty() {
            return Ok(0);
        }
        self.writer.submit(0, move |connection| bounds.hasten(connection, &late)).await
    }
}

fn kept(connection: &Connection) -> Result<Option<KeptTime>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT trusted_at, boot, up, steady FROM kept_time WHERE id = 1")
        .map_err(store_error)?;
    let read = |row: &Row<'_>| {
        Ok(KeptTime::from(KeptRow {
            trusted_at: row.get(0)?,
            boot: row.get(1)?,
            up: row.get(2)?,
            steady: row.get(3)?,
        }))
    };
    statement.query_row([], read).optional().map_err(store_error)
}

fn keep(connection: &Connection, time: &KeptTime) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO kept_time (id, trusted_at, boot, up, steady) VALUES (1, ?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET trusted_at = ?1, boot = ?2, up = ?3, steady = ?4",
        )
        .map_err(store_error)?;
    let row = KeptRow::from(time);
    let row = params![row.trusted_at, row.boot, row.up, row.steady];
    statement.execute(row).map(drop).map_err(store_error)
}

impl Bounds {
    fn after(self, wait: Duration) -> i64 {
        (self.now + wait).as_micros()
    }

    fn late(self, connection: &Connection) -> Result<Late, StoreError> {
        let messages = "SELECT tenant, id FROM messages WHERE lane IN (0, 1, 2) AND due_at > :late AND status <> 'scheduled'
               AND (due_at < expires_at OR (accepted_at > :accepted AND expires_at > accepted_at)) LIMIT :limit";
        let bounds = named_params! {
            ":late": self.after(self.waits.messages), ":accepted": self.after(self.waits.tolerance), ":limit": self.limit,
        };
        let notices = "SELECT tenant, id FROM notices WHERE state = 'pending' AND due_at > ?1 LIMIT ?2";
        let key = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(Late {
            messages: rows(connection, messages, bounds, key)?,
            notices: rows(connection, notices, params![self.after(self.waits.notices), self.limit], key)?,
            events: rows(
                connection,
                "SELECT number FROM events WHERE due_at > ?1 LIMIT ?2",
                params![self.after(self.waits.events), self.limit],
                |row| row.get(0),
            )?,
        })
    }

    /// Each statement asks again whether the row is late: it may have changed since.
    fn hasten(self, connection: &Connection, late: &Late) -> Result<u64, StoreError> {
        let now = self.now.as_micros();
        let mut message = connection
            .prepare_cached(
                "UPDATE messages SET due_at = ?3,
                   expires_at = CASE WHEN accepted_at > ?5 THEN ?3 + (expires_at - accepted_at) ELSE expires_at END
                 WHERE tenant = ?1 AND id = ?2 AND due_at > ?4",
            )
            .map_err(store_error)?;
        let mut notice = connection
            .prepare_cached("UPDATE notices SET due_at = ?3 WHERE tenant = ?1 AND id = ?2 AND state = 'pending' AND due_at > ?4")
            .map_err(store_error)?;
        let mut event = connection
            .prepare_cached("UPDATE events SET due_at = ?2 WHERE number = ?1 AND due_at > ?3")
            .map_err(store_error)?;
        let (waits, mut changed) = (self.waits, 0);
        for (tenant, id) in &late.messages {
            let row = params![tenant, id, now, self.after(waits.messages), self.after(waits.tolerance)];
            changed += message.execute(row).map_err(store_error)?;
        }
        for (tenant, id) in &late.notices {
            let row = params![tenant, id, now, self.after(waits.notices)];
            changed += notice.execute(row).map_err(store_error)?;
        }
        for number in &late.events {
            changed += event.execute(params![number, now, self.after(waits.events)]).map_err(store_error)?;
        }
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }
}

impl Late {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.notices.is_empty() && self.events.is_empty()
    }
}

fn rows<T>(
    connection: &Connection,
    sql: &'static str,
    bounds: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let found = statement.query_map(bounds, read).map_err(store_error)?;
    found.map(|row| row.map_err(store_error)).collect()
}
