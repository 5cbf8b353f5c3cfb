//! Messages: stored once, moved by steps, read back whole.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;
use ums_core::{FIRST_TOKEN, Message, MessageId, MessageRecord, NewMessage, Status, Step, StoreError, TenantId, Timestamp, Work};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, one, optional_text, split};
use super::{acts, attempts, events, recipients, skips};
use crate::fence::{self, Standing};
use crate::kept;

/// New messages, column by column.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    tenant: Vec<&'a str>,
    id: Vec<Uuid>,
    channel: Vec<&'static str>,
    purpose: Vec<&'static str>,
    lane: Vec<i16>,
    status: Vec<&'static str>,
    error: Vec<Option<Cow<'a, str>>>,
    accepted_at: Vec<i64>,
    expires_at: Vec<i64>,
    due_at: Vec<Option<i64>>,
    under_way: Vec<bool>,
    has_intent: Vec<bool>,
}

impl<'a> Rows<'a> {
    pub(crate) fn add(&mut self, new: &'a NewMessage) {
        let message = &new.message;
        self.tenant.push(message.tenant.as_str());
        self.id.push(message.id.as_uuid());
        self.channel.push(message.content.channel().as_str());
        self.purpose.push(message.handling.purpose.as_str());
        self.lane.push(fence::lane(message.handling.purpose).into());
        self.status.push(kept::status_of(new.status, new.work).as_str());
        self.error.push(optional_text(new.error.as_deref()));
        self.accepted_at.push(message.accepted_at.as_micros());
        self.expires_at.push(message.expires_at.as_micros());
        self.due_at.push(new.work.due_at().map(Timestamp::as_micros));
        self.under_way.push(new.work == Work::InHand);
        self.has_intent.push(new.intent.is_some());
    }

    pub(crate) fn len(&self) -> usize {
        self.id.len()
    }
}

/// Stores messages, except those with an intent when this process's lease is over. Returns how many it stored.
/// One that was stored before is [`Fault::Taken`].
pub(crate) async fn insert(session: &Session, owner: i64, rows: &Rows<'_>, now: Timestamp) -> Result<usize, Fault> {
    if rows.id.is_empty() {
        return Ok(0);
    }
    // What a process without a lease may not work on is due at once, for those who may; without an intent nothing of it is being sent.
    let sql = "INSERT INTO messages (tenant, id, channel, purpose, lane, status, error, accepted_at, expires_at, due_at, owner, token)
         SELECT s.tenant, s.id, s.channel, s.purpose, s.lane,
           CASE WHEN s.under_way AND NOT lease.holds AND s.status = 'sending' THEN 'queued' ELSE s.status END,
           s.error, s.accepted_at, s.expires_at,
           CASE WHEN s.under_way AND NOT lease.holds THEN $14 ELSE s.due_at END,
           CASE WHEN s.under_way AND lease.holds THEN $13 END, $15
         FROM (SELECT EXISTS (SELECT 1 FROM owners WHERE id = $13
             AND until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS holds) AS lease,
           unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
             $10::bigint[], $11::boolean[], $12::boolean[])
           AS s(tenant, id, channel, purpose, lane, status, error, accepted_at, expires_at, due_at, under_way, has_intent)
         WHERE lease.holds OR NOT s.has_intent";
    let now = now.as_micros();
    let values: [Value<'_>; 15] = [
        &rows.tenant,
        &rows.id,
        &rows.channel,
        &rows.purpose,
        &rows.lane,
        &rows.status,
        &rows.error,
        &rows.accepted_at,
        &rows.expires_at,
        &rows.due_at,
        &rows.under_way,
        &rows.has_intent,
        &owner,
        &now,
        &FIRST_TOKEN,
    ];
    let stored = session.execute(sql, &values).await?;
    Ok(usize::try_from(stored).unwrap_or(usize::MAX))
}

/// Steps, column by column.
#[derive(Debug, Default)]
pub(crate) struct Moves<'a> {
    tenant: Vec<&'a str>,
    id: Vec<Uuid>,
    token: Vec<i64>,
    mark: Vec<i64>,
    /// Statuses from which the step may be taken, with a space around each.
    from: Vec<String>,
    status: Vec<&'static str>,
    error: Vec<Option<Cow<'a, str>>>,
    due_at: Vec<Option<i64>>,
    sent_at: Vec<Option<i64>>,
    delivered_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    under_way: Vec<bool>,
}

impl<'a> Moves<'a> {
    pub(crate) fn add(&mut self, step: &'a Step, mark: i64) {
        let kept = kept::status_of(step.status, step.work);
        self.tenant.push(step.tenant.as_str());
        self.id.push(step.message_id.as_uuid());
        self.token.push(step.token);
        self.mark.push(mark);
        self.from.push(may_become(kept));
        self.status.push(kept.as_str());
        self.error.push(optional_text(step.error.as_deref()));
        self.due_at.push(step.work.due_at().map(Timestamp::as_micros));
        self.sent_at.push(step.sent_at.map(Timestamp::as_micros));
        self.delivered_at.push(step.delivered_at.map(Timestamp::as_micros));
        self.expires_at.push(step.expires_at.map(Timestamp::as_micros));
        self.under_way.push(step.work == Work::InHand);
    }

    pub(crate) fn len(&self) -> usize {
        self.id.len()
    }
}

/// The statuses that may become this one.
fn may_become(to: Status) -> String {
    let from = Status::ALL.iter().filter(|from| fence::check_move(**from, to).is_ok());
    let words: Vec<&str> = from.map(|from| from.as_str()).collect();
    [" ", &words.join(" "), " "].concat()
}

/// Moves messages by steps, except those that the fence refuses or that were moved by the same step before. Returns how many
/// it moved.
pub(crate) async fn update(session: &Session, owner: i64, moves: &Moves<'_>) -> Result<usize, Fault> {
    if moves.id.is_empty() {
        return Ok(0);
    }
    // The rules of the fence for the common case; what this leaves out is judged one by one.
    let sql = "UPDATE messages m SET status = s.status, error = s.error, due_at = s.due_at, sent_at = coalesce(s.sent_at, m.sent_at),
           delivered_at = coalesce(s.delivered_at, m.delivered_at), expires_at = coalesce(s.expires_at, m.expires_at),
           owner = CASE WHEN s.under_way THEN $13 END, token = m.token + CASE WHEN m.owner IS NULL THEN 1 ELSE 0 END, mark = s.mark
         FROM (SELECT EXISTS (SELECT 1 FROM owners WHERE id = $13
             AND until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS holds) AS lease,
           unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
             $10::bigint[], $11::bigint[], $12::boolean[])
           AS s(tenant, id, token, mark, may_be, status, error, due_at, sent_at, delivered_at, expires_at, under_way)
         WHERE m.tenant = s.tenant AND m.id = s.id AND m.token = s.token AND (m.owner IS NULL OR m.owner = $13)
           AND m.mark IS DISTINCT FROM s.mark AND strpos(s.may_be, ' ' || m.status || ' ') > 0 AND (lease.holds OR NOT s.under_way)";
    let values: [Value<'_>; 13] = [
        &moves.tenant,
        &moves.id,
        &moves.token,
        &moves.mark,
        &moves.from,
        &moves.status,
        &moves.error,
        &moves.due_at,
        &moves.sent_at,
        &moves.delivered_at,
        &moves.expires_at,
        &moves.under_way,
        &owner,
    ];
    let written = session.execute(sql, &values).await?;
    Ok(usize::try_from(written).unwrap_or(usize::MAX))
}

/// Where messages stand, as far as they are there.
pub(crate) type Standings = HashMap<MessageId, (TenantId, Result<Standing, StoreError>)>;

/// What the fence has to know of messages.
pub(crate) async fn standings(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Standings, Fault> {
    let sql = "SELECT m.tenant, m.id, m.status, m.owner, m.token, m.mark FROM unnest($1::text[], $2::uuid[]) AS w(tenant, id)
         JOIN messages m ON m.tenant = w.tenant AND m.id = w.id";
    let (tenants, ids) = split(keys);
    read_standings(&session.query(sql, &[&tenants, &ids]).await?)
}

/// The same, and locks them until the end of the transaction. The keys are sorted, so that two transactions which meet on several
/// wait for each other in one direction.
pub(crate) async fn lock(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Standings, Fault> {
    if keys.is_empty() {
        return Ok(Standings::new());
    }
    let sql = "SELECT m.tenant, m.id, m.status, m.owner, m.token, m.mark FROM unnest($1::text[], $2::uuid[]) AS w(tenant, id)
         JOIN messages m ON m.tenant = w.tenant AND m.id = w.id FOR UPDATE OF m";
    let (tenants, ids) = split(keys);
    read_standings(&session.query(sql, &[&tenants, &ids]).await?)
}

fn read_standings(rows: &[Row]) -> Result<Standings, Fault> {
    let mut standings = Standings::new();
    for row in rows {
        let columns = Columns {
            row,
            table: "messages",
            id: &"a message",
        };
        let (tenant, id) = columns.key("id")?;
        standings.insert(id, (tenant, standing(&Columns { id: &id, ..columns })));
    }
    Ok(standings)
}

fn standing(columns: &Columns<'_>) -> Result<Standing, StoreError> {
    Ok(Standing {
        status: columns.word("status")?,
        owner: columns.value("owner")?,
        token: columns.value("token")?,
        mark: columns.value("mark")?,
    })
}

/// A message as it was read: none when it is not there, an error when it cannot be read.
pub(crate) type Found = Option<Result<MessageRecord, StoreError>>;

/// How much of a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    WithEvents,
    ButEvents,
}

/// All that is known of messages, as of one moment.
pub(crate) async fn records(session: &Session, keys: &[(TenantId, MessageId)], whole: Whole) -> Result<Vec<Found>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (begun, rows, recipients, attempts, skips, acts, events, ended) = tokio::join!(
        biased;
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        rows(session, keys),
        recipients::of(session, keys),
        attempts::of(session, keys),
        skips::of(session, keys),
        acts::of(session, keys),
        async {
            match whole {
                Whole::WithEvents => Box::pin(events::of(session, keys)).await,
                Whole::ButEvents => Ok(keys.iter().map(|_| Ok(Vec::new())).collect()),
            }
        },
        session.run("COMMIT"),
    );
    begun?;
    let (rows, recipients, attempts, skips, acts, events) = (rows?, recipients?, attempts?, skips?, acts?, events?);
    ended?;
    let mut found: Vec<Found> = keys.iter().map(|_| None).collect();
    for row in &rows {
        let place = usize::try_from(one::<i64>(std::slice::from_ref(row), "nth")? - 1).unwrap_or(usize::MAX);
        if let (Some(key), Some(slot)) = (keys.get(place), found.get_mut(place)) {
            *slot = Some(record(row, key));
        }
    }
    let children = recipients.into_iter().zip(attempts).zip(skips).zip(acts).zip(events);
    let whole = found
        .into_iter()
        .zip(children)
        .map(|(found, ((((recipients, attempts), skips), acts), events))| {
            found.map(|record| {
                let record = MessageRecord {
                    recipients: recipients?,
                    attempts: attempts?,
                    skips: skips?,
                    acts: acts?,
                    events: events?,
                    ..record?
                };
                let kept = record.status;
                Ok(kept::with_word(record, kept))
            })
        });
    Ok(whole.collect())
}

async fn rows(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Vec<Row>, Fault> {
    let sql = "SELECT w.nth, m.status, m.error, m.accepted_at, m.expires_at, m.due_at, m.sent_at, m.delivered_at, m.owner, m.token,
           coalesce(e.content, c.content) AS content, coalesce(e.handling, c.handling) AS handling,
           coalesce(e.metadata, c.metadata) AS metadata,
           CASE WHEN e.content IS NOT NULL THEN octet_length(c.content) END AS apart
         FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w(tenant, id, nth)
         JOIN messages m ON m.tenant = w.tenant AND m.id = w.id
         LEFT JOIN contents c ON c.tenant = m.tenant AND c.message_id = m.id
         LEFT JOIN envelopes e ON e.tenant = c.tenant AND e.message_id = c.message_id AND octet_length(c.content) > octet_length(e.content)";
    let (tenants, ids) = split(keys);
    session.query(sql, &[&tenants, &ids]).await
}

/// What a row of the table says: its status is the one that is kept.
fn record(row: &Row, (tenant, id): &(TenantId, MessageId)) -> Result<MessageRecord, StoreError> {
    let columns = Columns {
        row,
        table: "messages",
        id,
    };
    let contents = Columns {
        row,
        table: "contents",
        id,
    };
    let message = Message {
        id: *id,
        tenant: tenant.clone(),
        content: contents.json("content")?,
        handling: contents.json("handling")?,
        metadata: contents.json("metadata")?,
        accepted_at: columns.time("accepted_at")?,
        expires_at: columns.time("expires_at")?,
    };
    let owner: Option<i64> = columns.value("owner")?;
    Ok(MessageRecord {
        message: Arc::new(message),
        apart: contents.value::<Option<i32>>("apart")?.map(|bytes| bytes.unsigned_abs() as usize),
        status: columns.word("status")?,
        work: Work::of_row(owner.is_some(), columns.optional_time("due_at")?),
        sent_at: columns.optional_time("sent_at")?,
        delivered_at: columns.optional_time("delivered_at")?,
        error: columns.value("error")?,
        recipients: Vec::new(),
        attempts: Vec::new(),
        skips: Vec::new(),
        acts: Vec::new(),
        events: Vec::new(),
        token: columns.value("token")?,
    })
}

/// How many messages there are.
pub(crate) async fn count(session: &Session) -> Result<u64, Fault> {
    let rows = session.query("SELECT count(*) AS messages FROM messages", &[]).await?;
    Ok(one::<i64>(&rows, "messages")?.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_that_may_become_one_are_whole_words() {
        let from = may_become(Status::Cancelled);
        for status in Status::ALL {
            let legal = *status == Status::Cancelled || status.may_become(Status::Cancelled);
            assert_eq!(from.contains(&format!(" {status} ")), legal, "{status}");
        }
    }
}
