//! What providers reported: with its message, or parked until there is one.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::Row;
use ums_core::{AccountId, Event, EventRecord, MessageId, Parked, ProviderKind, StoreError, TenantId, Timestamp};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, count, gather, one, split, text};
use crate::newer;

/// What makes an event one and the same.
pub(crate) type Name = (ProviderKind, AccountId, String);

pub(crate) fn name(event: &Event) -> Name {
    (event.provider, event.account.clone(), text(&event.id).into_owned())
}

/// What a transaction writes of an event.
#[derive(Debug)]
struct New<'a> {
    place: i64,
    record: &'a EventRecord,
    json: String,
    message: Option<(&'a TenantId, MessageId)>,
    due_at: Option<Timestamp>,
    looks: u32,
}

/// Events to be kept, each once.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    /// In the order of their names, so that two transactions which meet on several wait for each other in one direction.
    rows: BTreeMap<Name, New<'a>>,
}

impl<'a> Rows<'a> {
    /// Adds events of a message; of two that are one and the same the first counts.
    pub(crate) fn add(
        &mut self,
        tenant: &'a TenantId,
        message: MessageId,
        records: impl IntoIterator<Item = &'a EventRecord>,
    ) -> Result<(), StoreError> {
        for record in records {
            self.insert(record, Some((tenant, message)), (None, 0))?;
        }
        Ok(())
    }

    /// Adds an event without a message.
    pub(crate) fn park(&mut self, parked: &'a Parked) -> Result<(), StoreError> {
        self.insert(&parked.record, None, (parked.due_at, parked.looks))
    }

    fn insert(
        &mut self,
        record: &'a EventRecord,
        message: Option<(&'a TenantId, MessageId)>,
        (due_at, looks): (Option<Timestamp>, u32),
    ) -> Result<(), StoreError> {
        let new = New {
            place: count(self.rows.len()),
            record,
            json: newer::event_json(record)?,
            message,
            due_at,
            looks,
        };
        self.rows.entry(name(&record.event)).or_insert(new);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// What became of events that were to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// How many are kept by it: those that were kept otherwise are left out.
    pub(crate) written: usize,
    /// How many of them were not parked before.
    pub(crate) fresh: usize,
}

/// Keeps events; one that was parked belongs to its message from now on, or is parked anew.
pub(crate) async fn keep(session: &Session, rows: &Rows<'_>) -> Result<Kept, Fault> {
    if rows.rows.is_empty() {
        return Ok(Kept::default());
    }
    // What is parked again stays as it came first.
    let sql = "WITH kept AS (
         INSERT INTO events AS e (provider, account, id, tenant, message_id, number, received_at, due_at, looks, event)
         SELECT s.provider, s.account, s.id, s.tenant, s.message_id, s.place + (SELECT nextval('event_numbers')), s.received_at, s.due_at,
           s.looks, s.event
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::bigint[], $7::bigint[], $8::bigint[], $9::integer[],
           $10::text[]) AS s(provider, account, id, tenant, message_id, place, received_at, due_at, looks, event)
         ON CONFLICT (provider, account, id) DO UPDATE SET tenant = excluded.tenant, message_id = excluded.message_id,
           due_at = excluded.due_at, looks = greatest(e.looks, excluded.looks),
           received_at = CASE WHEN excluded.message_id IS NULL THEN e.received_at ELSE excluded.received_at END,
           event = CASE WHEN excluded.message_id IS NULL THEN e.event ELSE excluded.event END
         WHERE e.due_at IS NOT NULL
         RETURNING e.xmax = 0 AS fresh)
         SELECT count(*) AS written, count(*) FILTER (WHERE kept.fresh) AS fresh FROM kept";
    let providers: Vec<&str> = rows.rows.keys().map(|name| name.0.as_str()).collect();
    let accounts: Vec<&str> = rows.rows.keys().map(|name| name.1.as_str()).collect();
    let ids: Vec<&str> = rows.rows.keys().map(|name| name.2.as_str()).collect();
    let news = || rows.rows.values();
    let tenants: Vec<Option<&str>> = news().map(|new| new.message.map(|(tenant, _)| tenant.as_str())).collect();
    let messages: Vec<Option<Uuid>> = news().map(|new| new.message.map(|(_, id)| id.as_uuid())).collect();
    let places: Vec<i64> = news().map(|new| new.place).collect();
    let received: Vec<i64> = news().map(|new| new.record.received_at.as_micros()).collect();
    let due: Vec<Option<i64>> = news().map(|new| new.due_at.map(Timestamp::as_micros)).collect();
    let looks: Vec<i32> = news().map(|new| i32::try_from(new.looks).unwrap_or(i32::MAX)).collect();
    let events: Vec<&str> = news().map(|new| new.json.as_str()).collect();
    let values: [Value<'_>; 10] = [
        &providers, &accounts, &ids, &tenants, &messages, &places, &received, &due, &looks, &events,
    ];
    let counts = session.query(sql, &values).await?;
    let number = |column| one::<i64>(&counts, column).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    Ok(Kept {
        written: number("written")?,
        fresh: number("fresh")?,
    })
}

/// Which of these events are kept: true where an event is parked.
pub(crate) async fn kept<'a>(session: &Session, events: impl IntoIterator<Item = &'a Event>) -> Result<HashMap<Name, bool>, Fault> {
    let sql = "SELECT e.provider, e.account, e.id, e.due_at IS NOT NULL AS parked
         FROM unnest($1::text[], $2::text[], $3::text[]) AS w(provider, account, id)
         JOIN events e ON e.provider = w.provider AND e.account = w.account AND e.id = w.id";
    let names: HashSet<Name> = events.into_iter().map(name).collect();
    let mut kept = HashMap::new();
    if names.is_empty() {
        return Ok(kept);
    }
    let providers: Vec<&str> = names.iter().map(|name| name.0.as_str()).collect();
    let accounts: Vec<&str> = names.iter().map(|name| name.1.as_str()).collect();
    let ids: Vec<&str> = names.iter().map(|name| name.2.as_str()).collect();
    for row in session.query(sql, &[&providers, &accounts, &ids]).await? {
        let columns = columns(&row);
        let account = AccountId::new(columns.value::<&str>("account")?);
        kept.insert((columns.word("provider")?, account, columns.value("id")?), columns.value("parked")?);
    }
    Ok(kept)
}

/// The events of messages in order.
pub(crate) async fn of(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Vec<Result<Vec<EventRecord>, StoreError>>, Fault> {
    let sql = "SELECT w.nth, e.event FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w(tenant, id, nth)
         JOIN events e ON e.tenant = w.tenant AND e.message_id = w.id ORDER BY w.nth, e.number";
    let (tenants, ids) = split(keys);
    let rows = session.query(sql, &[&tenants, &ids]).await?;
    Ok(gather(&rows, "events", keys, |columns| columns.read("event", newer::event)))
}

/// Parked events that are due.
pub(crate) async fn parked(session: &Session, now: Timestamp, limit: usize) -> Result<Vec<Parked>, Fault> {
    let sql = "SELECT event, due_at, looks FROM events WHERE due_at IS NOT NULL AND due_at <= $1 ORDER BY due_at, number LIMIT $2";
    let mut parked = Vec::new();
    for row in session.query(sql, &[&now.as_micros(), &count(limit)]).await? {
        let columns = columns(&row);
        match columns.read("event", newer::event) {
            Ok(record) => parked.push(Parked {
                record,
                due_at: columns.optional_time("due_at")?,
                looks: u32::try_from(columns.value::<i32>("looks")?).unwrap_or(0),
                suppress: Vec::new(),
                lift: Vec::new(),
                notices: Vec::new(),
            }),
            // One unreadable event must not keep the others back.
            Err(fault) => tracing::error!(error = %fault, "a parked event cannot be looked at"),
        }
    }
    Ok(parked)
}

/// Forgets events without a message that came before a time. Returns how many.
pub(crate) async fn forget(session: &Session, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    let sql = "DELETE FROM events e USING (SELECT provider, account, id FROM events WHERE message_id IS NULL AND received_at < $1
           ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS old
         WHERE e.provider = old.provider AND e.account = old.account AND e.id = old.id";
    session.execute(sql, &[&before.as_micros(), &count(limit)]).await
}

pub(crate) fn columns(row: &Row) -> Columns<'_> {
    Columns {
        row,
        table: "events",
        id: &"an event",
    }
}
