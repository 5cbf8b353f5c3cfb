//! The messages that events are about.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;
use ums_core::{AttemptId, Event, MessageId, MessageRecord, ProviderKind, StoreError, Target, Targets, TenantId};
use uuid::Uuid;

use super::connection::{Fault, Session};
use super::events::{columns, kept, name};
use super::messages::{self, Whole};
use super::row::{Columns, text};
use crate::matching;

/// What events are about: the message, and the attempt where there is one.
pub(crate) async fn of(session: &Session, events: &[Event]) -> Result<Targets, Fault> {
    let (kept, by_attempt, by_message, by_reference) = tokio::join!(
        biased;
        kept(session, events),
        by_attempt(session, events),
        by_message(session, events),
        by_reference(session, events),
    );
    let (kept, by_attempt, by_message, by_reference) = (kept?, by_attempt?, by_message?, by_reference?);
    let is_known = |event| kept.get(&name(event)) == Some(&false);
    let find = |event: &Event| {
        let about = &event.about;
        let by_attempt = about.attempt_id.and_then(|id| by_attempt.get(&id).cloned());
        let by_message = || about.message_id.and_then(|id| by_message.get(&id).cloned());
        by_attempt
            .or_else(by_message)
            .or_else(|| by_reference.get(&reference(event)?).cloned())
    };
    let found: Vec<Option<Key>> = events.iter().map(|event| find(event).filter(|_| !is_known(event))).collect();
    let mut seen = HashSet::new();
    let keys: Vec<Key> = found.iter().flatten().filter(|key| seen.insert(*key)).cloned().collect();
    let mut targets = Targets::default();
    let mut places: HashMap<Key, usize> = HashMap::new();
    let records = messages::records(session, &keys, Whole::WithEvents).await?;
    for (record, key) in records.into_iter().zip(keys) {
        match record {
            Some(Ok(record)) => {
                places.insert(key, targets.messages.len());
                targets.messages.push(record);
            }
            // What is reported of an unreadable message waits; the others' must not.
            Some(Err(fault)) => tracing::error!(message_id = %key.1, error = %fault, "feedback finds a message that cannot be read"),
            None => {}
        }
    }
    for (event, key) in events.iter().zip(found) {
        let place = key.and_then(|key| places.get(&key).copied());
        let record = place.and_then(|place| Some((place, targets.messages.get(place)?)));
        targets.of.push(match record {
            _ if is_known(event) => Target::Known,
            Some((place, record)) => Target::Message(place, attempt_of(event, record)),
            None => Target::Nobody,
        });
    }
    Ok(targets)
}

/// The attempt that an event names, else the one that it can only mean.
fn attempt_of(event: &Event, record: &MessageRecord) -> Option<AttemptId> {
    let named = event.about.attempt_id;
    let is_there = named.filter(|id| record.attempts.iter().any(|attempt| attempt.id == *id));
    is_there.or_else(|| matching::attempt_of(event, &record.attempts))
}

/// A message's key.
type Key = (TenantId, MessageId);

fn key(row: &Row) -> Result<Key, StoreError> {
    let columns = Columns {
        row,
        table: "attempts",
        id: &"an event's message",
    };
    columns.key("message_id")
}

async fn by_attempt(session: &Session, events: &[Event]) -> Result<HashMap<AttemptId, Key>, Fault> {
    let ids: Vec<Uuid> = events
        .iter()
        .filter_map(|event| event.about.attempt_id)
        .map(AttemptId::as_uuid)
        .collect();
    let mut found = HashMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let sql = "SELECT a.id, a.tenant, a.message_id FROM unnest($1::uuid[]) AS w(id) JOIN attempts a ON a.id = w.id";
    for row in session.query(sql, &[&ids]).await? {
        found.insert(AttemptId::from_uuid(columns(&row).value("id")?), key(&row)?);
    }
    Ok(found)
}

async fn by_message(session: &Session, events: &[Event]) -> Result<HashMap<MessageId, Key>, Fault> {
    let ids: Vec<Uuid> = events
        .iter()
        .filter_map(|event| event.about.message_id)
        .map(MessageId::as_uuid)
        .collect();
    let mut found = HashMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let sql = "SELECT c.tenant, c.message_id FROM unnest($1::uuid[]) AS w(id) JOIN contents c ON c.message_id = w.id";
    for row in session.query(sql, &[&ids]).await? {
        let key = key(&row)?;
        found.insert(key.1, key);
    }
    Ok(found)
}

/// A provider's id of a message.
type Reference<'a> = (ProviderKind, &'a str, Cow<'a, str>);

fn reference(event: &Event) -> Option<Reference<'_>> {
    let reference = event.about.provider_message_id.as_deref()?;
    Some((event.provider, event.account.as_str(), text(reference)))
}

/// The messages that providers call so; of several the one that was called last.
async fn by_reference<'a>(session: &Session, events: &'a [Event]) -> Result<HashMap<Reference<'a>, Key>, Fault> {
    let references: Vec<Reference<'a>> = events.iter().filter_map(reference).collect();
    let mut found = HashMap::new();
    if references.is_empty() {
        return Ok(found);
    }
    let sql = "SELECT w.nth, a.tenant, a.message_id
         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w(provider, account, reference, nth)
         JOIN attempts a ON a.provider = w.provider AND a.provider_message_id = w.reference AND length(a.provider_message_id) <= 255
           AND a.account = w.account
         ORDER BY a.called_at";
    let providers: Vec<&str> = references.iter().map(|reference| reference.0.as_str()).collect();
    let accounts: Vec<&str> = references.iter().map(|reference| reference.1).collect();
    let texts: Vec<&str> = references.iter().map(|reference| &*reference.2).collect();
    for row in session.query(sql, &[&providers, &accounts, &texts]).await? {
        let nth: i64 = columns(&row).value("nth")?;
        let place = usize::try_from(nth - 1).unwrap_or(usize::MAX);
        if let Some(reference) = references.get(place) {
            found.insert(reference.clone(), key(&row)?);
        }
    }
    Ok(found)
}
