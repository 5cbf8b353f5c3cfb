//! The messages that events are about.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};
use ums_core::{AttemptId, Event, MessageId, StoreError, Target, Targets, TenantId};

use super::connection::store_error;
use super::events::{Kept, kept};
use super::messages;
use super::row::Columns;
use crate::matching;

/// What events are about: the message, and the attempt where there is one.
pub(crate) fn of(connection: &Connection, events: &[Event]) -> Result<Targets, StoreError> {
    let mut targets = Targets::default();
    let mut places: BTreeMap<Key, Option<usize>> = BTreeMap::new();
    for event in events {
        let found = if kept(connection, event)? == Some(Kept::Known) {
            Target::Known
        } else if let Some((key, named)) = message_of(connection, event)? {
            let place = match places.get(&key) {
                Some(place) => *place,
                None => *places.entry(key.clone()).or_insert(read(connection, &key, &mut targets)?),
            };
            match place.and_then(|place| Some((place, targets.messages.get(place)?))) {
                Some((place, record)) => Target::Message(place, named.or_else(|| matching::attempt_of(event, &record.attempts))),
                None => Target::Nobody,
            }
        } else {
            Target::Nobody
        };
        targets.of.push(found);
    }
    Ok(targets)
}

/// Reads a message that an event is about. Its place among the others.
fn read(connection: &Connection, (tenant, id): &Key, targets: &mut Targets) -> Result<Option<usize>, StoreError> {
    match messages::whole(connection, tenant, *id) {
        Ok(Some(record)) => {
            targets.messages.push(record);
            Ok(Some(targets.messages.len() - 1))
        }
        Ok(None) => Ok(None),
        // What is reported of an unreadable message waits; the others' must not.
        Err(fault @ StoreError::Corrupt { .. }) => {
            tracing::error!(message_id = %id, error = %fault, "feedback finds a message that cannot be read");
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

/// A message's key.
type Key = (TenantId, MessageId);

/// The message that an event is about, and the attempt if it names one that is there.
fn message_of(connection: &Connection, event: &Event) -> Result<Option<(Key, Option<AttemptId>)>, StoreError> {
    let about = &event.about;
    if let Some(attempt_id) = about.attempt_id {
        let mut statement = connection
            .prepare_cached("SELECT tenant, message_id FROM attempts WHERE id = ?1")
            .map_err(store_error)?;
        let mut rows = statement.query([attempt_id.as_uuid().into_bytes()]).map_err(store_error)?;
        if let Some(row) = rows.next().map_err(store_error)? {
            return Ok(Some((key(row)?, Some(attempt_id))));
        }
    }
    if let Some(message_id) = about.message_id {
        let mut statement = connection
            .prepare_cached("SELECT tenant, id AS message_id FROM messages WHERE id = ?1")
            .map_err(store_error)?;
        let mut rows = statement.query([message_id.as_uuid().into_bytes()]).map_err(store_error)?;
        if let Some(row) = rows.next().map_err(store_error)? {
            return Ok(Some((key(row)?, None)));
        }
    }
    let Some(reference) = &about.provider_message_id else {
        return Ok(None);
    };
    let mut statement = connection
        .prepare_cached(
            "SELECT tenant, message_id FROM attempts WHERE provider = ?1 AND provider_message_id = ?2 AND account = ?3
             ORDER BY called_at DESC LIMIT 1",
        )
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![event.provider.as_str(), reference, event.account.as_str()])
        .map_err(store_error)?;
    let row = rows.next().map_err(store_error)?;
    row.map(|row| Ok((key(row)?, None))).transpose()
}

fn key(row: &Row<'_>) -> Result<Key, StoreError> {
    let columns = Columns {
        row,
        table: "attempts",
        id: &"an event's message",
    };
    Ok((
        TenantId::new(columns.value::<String>("tenant")?),
        MessageId::from_uuid(columns.uuid("message_id")?),
    ))
}
