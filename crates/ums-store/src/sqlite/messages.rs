//! Messages: stored once, moved by steps, read back whole.

use std::sync::Arc;

use rusqlite::{Connection, params};
use ums_core::{
    FIRST_TOKEN, Message, MessageId, MessageRecord, MustNotContact, NewMessage, Step, StoreError, Stored, TenantId, Timestamp, Work,
};

use super::connection::store_error;
use super::row::Columns;
use super::{acts, attempts, contents, events, idempotency, notices, recipients, skips, suppressions, undos};
use crate::batch::{self, Twins};
use crate::encoded::{Encoded, EncodedStep};
use crate::fence::{self, Judge, Leave, Process, Standing};
use crate::{kept, listed};

/// How new messages are stored: [`accept_each`] or [`accept_all`].
pub(crate) type Accept = fn(&Connection, Process, &[Encoded], Timestamp) -> Result<Vec<Stored>, StoreError>;

/// Stores a message and all that belongs to it.
fn accept(connection: &Connection, process: Process, row: &Encoded, now: Timestamp) -> Result<Stored, StoreError> {
    let Encoded { new, .. } = row;
    if !process.may_send && new.intent.is_some() {
        return Err(StoreError::Fenced);
    }
    // Looked at before anything is written, and what was stored before is answered as that.
    if let Some(listed) = forbids_new(connection, new, now)?
        && earlier(connection, new)?.is_none()
    {
        return Err(StoreError::MustNotContact(vec![listed]));
    }
    insert(connection, process, row, now)
}

fn forbids_new(connection: &Connection, new: &NewMessage, now: Timestamp) -> Result<Option<MustNotContact>, StoreError> {
    let (message, addresses) = (&new.message, listed::contacts_of(new));
    let listing = suppressions::of(connection, &message.tenant, message.content.channel(), &addresses)?;
    Ok(listed::must_not_contact(message.id, &message.handling.occasion(), &listing, now))
}

fn insert(connection: &Connection, process: Process, row: &Encoded, now: Timestamp) -> Result<Stored, StoreError> {
    let Encoded { new, .. } = row;
    let (tenant, id) = (&new.message.tenant, new.message.id);
    if let Some(key) = &new.idempotency
        && let Some(earlier) = idempotency::take(connection, tenant, key, id)?
    {
        return Ok(earlier);
    }
    if !insert_message(connection, process, new, now)? {
        return Ok(Stored::Replayed(id));
    }
    contents::insert(connection, row)?;
    recipients::insert(connection, tenant, id, &new.recipients)?;
    attempts::upsert(connection, tenant, id, new.intent.as_slice())?;
    skips::append(connection, tenant, id, &new.skips)?;
    notices::add(connection, &new.notices)?;
    Ok(Stored::New)
}

/// Stores messages, each for itself.
pub(crate) fn accept_each(connection: &Connection, process: Process, rows: &[Encoded], now: Timestamp) -> Result<Vec<Stored>, StoreError> {
    rows.iter().map(|row| accept(connection, process, row, now)).collect()
}

/// Stores many messages, unless one of them was stored before or its key taken: then none.
pub(crate) fn accept_all(connection: &Connection, process: Process, rows: &[Encoded], now: Timestamp) -> Result<Vec<Stored>, StoreError> {
    let mut twins = Twins::default();
    let mut answers = Vec::with_capacity(rows.len());
    for Encoded { new, .. } in rows {
        answers.push(twins.answer(new, earlier(connection, new)?));
    }
    // Nobody else writes in between: the transaction holds the write lock from its begin.
    if batch::is_new(&answers) {
        let mut listed = Vec::new();
        for Encoded { new, .. } in rows {
            listed.extend(forbids_new(connection, new, now)?);
        }
        if !listed.is_empty() {
            return Err(StoreError::MustNotContact(listed));
        }
        for row in rows {
            insert(connection, process, row, now)?;
        }
    }
    Ok(answers)
}

/// What an earlier request makes of a message.
fn earlier(connection: &Connection, new: &NewMessage) -> Result<Option<Stored>, StoreError> {
    let (tenant, id) = (&new.message.tenant, new.message.id);
    if let Some(key) = &new.idempotency
        && let Some(earlier) = idempotency::earlier(connection, tenant, key)?
    {
        return Ok(Some(earlier));
    }
    let mut statement = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM messages WHERE tenant = ?1 AND id = ?2)")
        .map_err(store_error)?;
    let is_there: bool = statement
        .query_row(params![tenant.as_str(), id.as_uuid().into_bytes()], |row| row.get(0))
        .map_err(store_error)?;
    Ok(is_there.then_some(Stored::Replayed(id)))
}

/// False when there is a message of that id.
fn insert_message(connection: &Connection, process: Process, new: &NewMessage, now: Timestamp) -> Result<bool, StoreError> {
    let message = &new.message;
    let work = match new.work {
        // This process may not work on it; the one that may finds it by its time.
        Work::InHand if !process.may_send => Work::Due(now),
        Work::InHand | Work::Due(_) | Work::Ended => new.work,
    };
    let owner = (work == Work::InHand).then_some(process.owner);
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO messages (tenant, id, channel, purpose, lane, status, error, accepted_at, expires_at, due_at, owner, token)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (tenant, id) DO NOTHING",
        )
        .map_err(store_error)?;
    let inserted = statement.execute(params![
        message.tenant.as_str(),
        message.id.as_uuid().into_bytes(),
        message.content.channel().as_str(),
        message.handling.purpose.as_str(),
        fence::lane(message.handling.purpose),
        kept::status_of(new.status, work).as_str(),
        new.error,
        message.accepted_at.as_micros(),
        message.expires_at.as_micros(),
        work.due_at().map(Timestamp::as_micros),
        owner,
        FIRST_TOKEN,
    ]);
    Ok(inserted.map_err(store_error)? == 1)
}

/// Moves a message by a step, unless the fence refuses it.
pub(crate) fn record(
    connection: &Connection,
    (process, judge): (Process, Judge),
    encoded: &EncodedStep,
    now: Timestamp,
) -> Result<(), StoreError> {
    let EncodedStep { step, mark, events } = encoded;
    let (standing, mark) = (standing(connection, &step.tenant, step.message_id)?, *mark);
    let Leave::Write { owner, token } = judge(&standing, process, step, mark)? else {
        return Ok(());
    };
    if let Some(listed) = forbids_call(connection, step, now)? {
        return Err(StoreError::MustNotContact(vec![listed]));
    }
    update_message(connection, step, owner, token, mark)?;
    attempts::upsert(connection, &step.tenant, step.message_id, &step.attempts)?;
    skips::append(connection, &step.tenant, step.message_id, &step.skips)?;
    if let Some(recipients) = &step.recipients {
        recipients::replace(connection, &step.tenant, step.message_id, recipients)?;
    }
    if let Some(act) = &step.act {
        acts::append(connection, &step.tenant, step.message_id, act)?;
    }
    if step.forget_body {
        contents::forget_body(connection, &step.tenant, step.message_id)?;
    } else if let Some(at) = step.forget_body_at {
        contents::forget_body_at(connection, &step.tenant, step.message_id, at)?;
    }
    for (event, json) in step.events.iter().zip(events) {
        events::keep(connection, &step.tenant, step.message_id, event, json)?;
    }
    suppressions::change(connection, (&step.suppress, &step.lift), &step.list_notices, now)?;
    undos::decide(connection, &step.undo, now)?;
    notices::add(connection, &step.notices)
}

fn forbids_call(connection: &Connection, step: &Step, now: Timestamp) -> Result<Option<MustNotContact>, StoreError> {
    let Some(call) = listed::call_after(step) else { return Ok(None) };
    let addresses = match &step.recipients {
        Some(recipients) => listed::to_contact(call, recipients),
        None => listed::to_contact(call, &recipients::of(connection, &step.tenant, step.message_id)?),
    };
    let listing = suppressions::of(connection, &step.tenant, call.channel, &addresses)?;
    Ok(listed::forbids(step, call.channel, &addresses, listing, now))
}

fn standing(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Standing, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT status, owner, token, mark FROM messages WHERE tenant = ?1 AND id = ?2")
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    let row = rows.next().map_err(store_error)?.ok_or(StoreError::NotFound)?;
    let columns = Columns {
        row,
        table: "messages",
        id: &id,
    };
    Ok(Standing {
        status: columns.word("status")?,
        owner: columns.value("owner")?,
        token: columns.value("token")?,
        mark: columns.value("mark")?,
    })
}

fn update_message(connection: &Connection, step: &Step, owner: Option<i64>, token: i64, mark: i64) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE messages SET status = ?3, error = ?4, due_at = ?5, sent_at = coalesce(?6, sent_at), owner = ?7, token = ?8, mark = ?9,
               expires_at = coalesce(?10, expires_at), delivered_at = coalesce(?11, delivered_at)
             WHERE tenant = ?1 AND id = ?2",
        )
        .map_err(store_error)?;
    let updated = statement.execute(params![
        step.tenant.as_str(),
        step.message_id.as_uuid().into_bytes(),
        kept::status_of(step.status, step.work).as_str(),
        step.error,
        step.work.due_at().map(Timestamp::as_micros),
        step.sent_at.map(Timestamp::as_micros),
        owner,
        token,
        mark,
        step.expires_at.map(Timestamp::as_micros),
        step.delivered_at.map(Timestamp::as_micros),
    ]);
    updated.map(drop).map_err(store_error)
}

/// All that is known of a message, its events included.
pub(crate) fn whole(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
    let Some(record) = message(connection, tenant, id)? else {
        return Ok(None);
    };
    let events = events::of(connection, tenant, id)?;
    Ok(Some(MessageRecord { events, ..record }))
}

/// All that is known of a message but its events.
pub(crate) fn message(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT m.status, m.error, m.accepted_at, m.expires_at, m.due_at, m.sent_at, m.delivered_at, m.owner, m.token,
               coalesce(e.content, c.content) AS content, coalesce(e.handling, c.handling) AS handling,
               coalesce(e.metadata, c.metadata) AS metadata,
               CASE WHEN e.content IS NOT NULL THEN octet_length(c.content) END AS apart
             FROM messages m LEFT JOIN contents c ON c.tenant = m.tenant AND c.message_id = m.id
             LEFT JOIN envelopes e ON e.tenant = c.tenant AND e.message_id = c.message_id AND octet_length(c.content) > octet_length(e.content)
             WHERE m.tenant = ?1 AND m.id = ?2",
        )
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    let Some(row) = rows.next().map_err(store_error)? else {
        return Ok(None);
    };
    let (columns, contents) = (
        Columns {
            row,
            table: "messages",
            id: &id,
        },
        Columns {
            row,
            table: "contents",
            id: &id,
        },
    );
    let message = Message {
        id,
        tenant: tenant.clone(),
        content: contents.json("content")?,
        handling: contents.json("handling")?,
        metadata: contents.json("metadata")?,
        accepted_at: columns.time("accepted_at")?,
        expires_at: columns.time("expires_at")?,
    };
    let (kept, owner) = (columns.word("status")?, columns.value::<Option<i64>>("owner")?);
    let record = MessageRecord {
        message: Arc::new(message),
        apart: contents.value::<Option<u32>>("apart")?.map(|bytes| bytes as usize),
        status: kept,
        work: Work::of_row(owner.is_some(), columns.optional_time("due_at")?),
        sent_at: columns.optional_time("sent_at")?,
        delivered_at: columns.optional_time("delivered_at")?,
        error: columns.value("error")?,
        recipients: recipients::of(connection, tenant, id)?,
        attempts: attempts::of(connection, tenant, id)?,
        skips: skips::of(connection, tenant, id)?,
        acts: acts::of(connection, tenant, id)?,
        events: Vec::new(),
        token: columns.value("token")?,
    };
    Ok(Some(kept::with_word(record, kept)))
}

/// Removes a message and all that belongs to it. Says whether it was there.
pub(crate) fn forget(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<bool, StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM messages WHERE tenant = ?1 AND id = ?2")
        .map_err(store_error)?;
    notices::forget_message(connection, tenant, id)?;
    let removed = statement.execute(params![tenant.as_str(), id.as_uuid().into_bytes()]);
    Ok(removed.map_err(store_error)? == 1)
}

/// How many messages there are.
pub(crate) fn count(connection: &Connection) -> Result<u64, StoreError> {
    let counted = connection.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0));
    Ok(counted.map_err(store_error)?.unsigned_abs())
}
