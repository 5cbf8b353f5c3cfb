//! The trusted time, the database's clock, and rows that were written under a wrong clock.

use async_trait::async_trait;
use ums_core::{KeptTime, LongestWaits, StoreError, TimeStore, Timestamp};

use super::PostgresStore;
use super::connection::{Fault, Session, within};
use super::row::{Columns, one};
use crate::kept_time::Row as KeptRow;

#[async_trait]
impl TimeStore for PostgresStore {
    async fn database_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let session = self.readers.take().await?;
        let result = within(time(&session)).await;
        session.read(result).map(Some)
    }

    async fn kept_time(&self) -> Result<Option<KeptTime>, StoreError> {
        let session = self.readers.take().await?;
        let result = within(kept(&session)).await;
        session.read(result)
    }

    async fn keep_time(&self, time: &KeptTime) -> Result<(), StoreError> {
        let session = self.errands.take().await?;
        let result = within(keep(&session, time)).await;
        session.wrote(result)
    }

    async fn hasten(&self, waits: LongestWaits, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let session = self.readers.take().await?;
        let result = within(hasten(&session, waits, now, limit)).await;
        let hastened = session.wrote(result)?;
        if hastened > 0 {
            self.desk.heads.forget();
        }
        Ok(hastened)
    }
}

/// The time by the database's clock.
async fn time(session: &Session) -> Result<Timestamp, Fault> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now";
    Ok(Timestamp::from_micros(one(&session.query(sql, &[]).await?, "now")?))
}

async fn kept(session: &Session) -> Result<Option<KeptTime>, Fault> {
    let rows = session
        .query("SELECT trusted_at, boot, up, steady FROM kept_time WHERE id = 1", &[])
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let columns = Columns {
        row,
        table: "kept_time",
        id: &"the kept time",
    };
    Ok(Some(KeptTime::from(KeptRow {
        trusted_at: columns.value("trusted_at")?,
        boot: columns.value("boot")?,
        up: columns.value("up")?,
        steady: columns.value("steady")?,
    })))
}

async fn keep(session: &Session, time: &KeptTime) -> Result<(), Fault> {
    let sql = "INSERT INTO kept_time (id, trusted_at, boot, up, steady) VALUES (1, $1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET trusted_at = excluded.trusted_at, boot = excluded.boot, up = excluded.up, steady = excluded.steady";
    let row = KeptRow::from(time);
    session
        .execute(sql, &[&row.trusted_at, &row.boot, &row.up, &row.steady])
        .await
        .map(drop)
}

/// Rows that others change at the moment are left for the next look.
async fn hasten(session: &Session, waits: LongestWaits, now: Timestamp, limit: usize) -> Result<u64, Fault> {
    let after = |wait| (now + wait).as_micros();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let messages = "UPDATE messages m SET due_at = $1,
           expires_at = CASE WHEN m.accepted_at > $3 THEN $1 + (m.expires_at - m.accepted_at) ELSE m.expires_at END
         FROM (SELECT tenant, id FROM messages WHERE lane IN (0, 1, 2) AND due_at IS NOT NULL AND due_at > $2 AND status <> 'scheduled'
             AND (due_at < expires_at OR (accepted_at > $3 AND expires_at > accepted_at))
           LIMIT $4 FOR UPDATE SKIP LOCKED) AS late
         WHERE m.tenant = late.tenant AND m.id = late.id";
    let bounds = (now.as_micros(), after(waits.messages), after(waits.tolerance));
    let mut changed = session.execute(messages, &[&bounds.0, &bounds.1, &bounds.2, &limit]).await?;
    let notices = "UPDATE notices n SET due_at = $1
         FROM (SELECT tenant, id FROM notices WHERE state = 'pending' AND due_at > $2 LIMIT $3 FOR UPDATE SKIP LOCKED) AS late
         WHERE n.tenant = late.tenant AND n.id = late.id";
    changed += session.execute(notices, &[&now.as_micros(), &after(waits.notices), &limit]).await?;
    let events = "UPDATE events e SET due_at = $1
         FROM (SELECT number FROM events WHERE due_at > $2 LIMIT $3 FOR UPDATE SKIP LOCKED) AS late WHERE e.number = late.number";
    changed += session.execute(events, &[&now.as_micros(), &after(waits.events), &limit]).await?;
    Ok(changed)
}
