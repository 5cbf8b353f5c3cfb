//! Bare statements on PostgreSQL: four connections, multi-row statements by `unnest`, `SKIP LOCKED`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use ums_core::{Clock, SystemClock};
use uuid::Uuid;

use crate::{DUE_LATER, Rows};

const CONNECTIONS: usize = 4;

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // Ends with the client; a fault shows in the answer that does not come.
        let _ended = connection.await;
    });
    client.batch_execute("SET synchronous_commit = on").await?;
    Ok(client)
}

fn on_a_runtime<F: Future<Output = Result<Duration>>>(work: F) -> Result<Duration> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Forgets all that the database holds.
pub(crate) fn wipe(url: &str) -> Result<()> {
    on_a_runtime(async {
        let client = connect(url).await?;
        client
            .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CHECKPOINT")
            .await?;
        Ok(Duration::ZERO)
    })?;
    Ok(())
}

/// Inserts messages with their contents and recipients.
pub(crate) fn accept(url: &str, messages: usize, batch: usize) -> Result<Duration> {
    let rows = Rows::make(messages)?;
    on_a_runtime(async move {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(connect(url).await?);
        }
        let batches: Arc<Vec<Vec<Rows>>> = Arc::new(in_batches(rows, batch));
        let next = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        let mut workers = JoinSet::new();
        for mut client in clients {
            let (batches, next) = (batches.clone(), next.clone());
            workers.spawn(async move {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    insert(&mut client, batch).await?;
                }
                Ok::<_, anyhow::Error>(())
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        Ok(start.elapsed())
    })
}

fn in_batches(rows: Vec<Rows>, batch: usize) -> Vec<Vec<Rows>> {
    let mut batches = Vec::new();
    let mut rows = rows.into_iter();
    loop {
        let next: Vec<Rows> = rows.by_ref().take(batch).collect();
        if next.is_empty() {
            return batches;
        }
        batches.push(next);
    }
}

/// One transaction, its statements sent without waiting for one another.
async fn insert(client: &mut Client, rows: &[Rows]) -> Result<()> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let at: Vec<i64> = rows.iter().map(|row| row.at).collect();
    let expires: Vec<i64> = rows.iter().map(|row| row.expires_at).collect();
    let contents: Vec<&str> = rows.iter().map(|row| row.content.as_str()).collect();
    let handlings: Vec<&str> = rows.iter().map(|row| row.handling.as_str()).collect();
    let messages = client
        .prepare(
            "INSERT INTO messages (tenant, id, channel, purpose, lane, status, accepted_at, expires_at, due_at, token)
             SELECT 'default', id, 'email', 'transactional', 1, 'scheduled', at, expires, $4, 0
             FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS new (id, at, expires)",
        )
        .await?;
    let content = client
        .prepare(
            "INSERT INTO contents (tenant, message_id, accepted_at, has_body, content, handling, metadata)
             SELECT 'default', id, at, true, content, handling, '{}'
             FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) AS new (id, at, content, handling)",
        )
        .await?;
    let recipients = client
        .prepare(
            "INSERT INTO recipients (tenant, message_id, idx, kind, address, status)
             SELECT 'default', id, 0, 'to', $2, 'scheduled' FROM unnest($1::uuid[]) AS new (id)",
        )
        .await?;
    let transaction = client.transaction().await?;
    tokio::try_join!(
        async { transaction.execute(&messages, &[&ids, &at, &expires, &DUE_LATER]).await },
        async { transaction.execute(&content, &[&ids, &at, &contents, &handlings]).await },
        async { transaction.execute(&recipients, &[&ids, &crate::message::TO]).await },
    )?;
    transaction.commit().await?;
    Ok(())
}

/// Claims what is due, reads it, and ends it as sent: a transaction for the claim, one for the ends.
pub(crate) fn drain(url: &str, messages: usize, batch: usize) -> Result<Duration> {
    on_a_runtime(async move {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(connect(url).await?);
        }
        let done = Arc::new(AtomicUsize::new(0));
        let now = SystemClock::new().now().as_micros();
        let start = Instant::now();
        let mut workers = JoinSet::new();
        for mut client in clients {
            let done = done.clone();
            workers.spawn(async move {
                while done.load(Ordering::Relaxed) < messages {
                    let ids = claim(&client, now, batch).await?;
                    ensure!(!ids.is_empty(), "nothing is due any more");
                    end(&mut client, &ids, now).await?;
                    done.fetch_add(ids.len(), Ordering::Relaxed);
                }
                Ok(())
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        Ok(start.elapsed())
    })
}

async fn claim(client: &Client, now: i64, batch: usize) -> Result<Vec<Uuid>> {
    let claim = client
        .prepare(
            "WITH due AS (
               SELECT tenant, id FROM messages WHERE lane = 1 AND tenant = 'default' AND due_at <= $1
               ORDER BY due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)
             UPDATE messages m SET owner = 0, token = token + 1, due_at = NULL, status = 'sending'
             FROM due JOIN contents c ON c.tenant = due.tenant AND c.message_id = due.id
             WHERE m.tenant = due.tenant AND m.id = due.id RETURNING m.id, c.content",
        )
        .await?;
    let rows = client.query(&claim, &[&now, &i64::try_from(batch)?]).await?;
    rows.iter()
        .map(|row| {
            let content: &str = row.try_get(1)?;
            ensure!(!content.is_empty(), "a message without content");
            Ok(row.try_get(0)?)
        })
        .collect()
}

async fn end(client: &mut Client, ids: &[Uuid], now: i64) -> Result<()> {
    let messages = client
        .prepare(
            "UPDATE messages SET status = 'sent', sent_at = $2, owner = NULL
             WHERE tenant = 'default' AND id = ANY($1)",
        )
        .await?;
    let recipients = client
        .prepare("UPDATE recipients SET status = 'sent' WHERE tenant = 'default' AND message_id = ANY($1)")
        .await?;
    let attempts = client
        .prepare(
            "INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, simulated, from_substituted)
             SELECT 'default', id, id, 1, 'sendgrid', 'default', $2, 'accepted', false, false FROM unnest($1::uuid[]) AS ended (id)",
        )
        .await?;
    let transaction = client.transaction().await?;
    tokio::try_join!(
        async { transaction.execute(&messages, &[&ids, &now]).await },
        async { transaction.execute(&recipients, &[&ids]).await },
        async { transaction.execute(&attempts, &[&ids, &now]).await },
    )?;
    transaction.commit().await?;
    Ok(())
}
