//! The queue: messages that wait for their time, taken in the order of their lanes, given back by what was recorded.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, Row, params};
use ums_core::{MessageId, MessageRecord, Purpose, Recovered, Room, StoreError, TenantId, Timestamp};

use super::connection::store_error;
use super::row::Columns;
use super::{attempts, messages, recipients};
use crate::fence;
use crate::turns::{self, Lane};

/// Who had the last turn in each lane, by the lane's number.
pub(crate) type Turns = Mutex<[Option<TenantId>; fence::LANES.len()]>;

/// Takes messages that are due and makes them this process's own.
pub(crate) fn claim_due(
    connection: &Connection,
    owner: i64,
    now: Timestamp,
    room: Room,
    turns: &Turns,
) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
    let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
    let mut claimed = Vec::new();
    for (purpose, last) in fence::LANES.into_iter().zip(turns.iter_mut()) {
        let mut lane = DueInLane {
            connection,
            owner,
            now,
            purpose,
        };
        claimed.extend(turns::take(&mut lane, room.of(purpose), last)?);
    }
    Ok(claimed)
}

/// All that is known of the messages that were claimed. Read beside the writer: to check what was stored takes longer
/// than to claim it, and every commit would wait for that.
pub(crate) fn claimed(connection: &Connection, keys: &[(TenantId, MessageId)]) -> Result<Vec<MessageRecord>, StoreError> {
    let mut records = Vec::with_capacity(keys.len());
    for (tenant, id) in keys {
        match messages::message(connection, tenant, *id) {
            Ok(record) => records.extend(record),
            // One unreadable message must not keep the others back; claimed, it is out of their way.
            Err(fault @ StoreError::Corrupt { .. }) => tracing::error!(message_id = %id, error = %fault, "a message cannot be sent"),
            Err(fault) => return Err(fault),
        }
    }
    Ok(records)
}

/// What is due in one lane.
struct DueInLane<'a> {
    connection: &'a Connection,
    owner: i64,
    now: Timestamp,
    purpose: Purpose,
}

impl Lane for DueInLane<'_> {
    type Taken = (TenantId, MessageId);
    type Error = StoreError;

    fn next_tenant(&mut self, after: Option<&TenantId>) -> Result<Option<TenantId>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT min(tenant) FROM messages WHERE lane = ?1 AND tenant > ?2 AND due_at IS NOT NULL")
            .map_err(store_error)?;
        let after = after.map_or("", TenantId::as_str);
        let next: Option<String> = statement
            .query_row(params![fence::lane(self.purpose), after], |row| row.get(0))
            .map_err(store_error)?;
        Ok(next.map(TenantId::new))
    }

    fn take_of(&mut self, tenant: &TenantId, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT tenant, id FROM messages WHERE lane = ?1 AND tenant = ?2 AND due_at <= ?3 ORDER BY due_at, id LIMIT ?4")
            .map_err(store_error)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(
                params![fence::lane(self.purpose), tenant.as_str(), self.now.as_micros(), limit],
                |row| Ok(key(row)),
            )
            .map_err(store_error)?;
        self.own(rows)
    }

    fn take_any(&mut self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT tenant, id FROM messages WHERE lane = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3")
            .map_err(store_error)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement
            .query_map(params![fence::lane(self.purpose), self.now.as_micros(), limit], |row| Ok(key(row)))
            .map_err(store_error)?;
        self.own(rows)
    }
}

impl DueInLane<'_> {
    /// Marks messages as being worked on by this process.
    fn own(
        &self,
        rows: impl Iterator<Item = rusqlite::Result<Result<(TenantId, MessageId), StoreError>>>,
    ) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        // All are read before the first is changed, since the change takes it out of the index that is read.
        let keys = rows.map(|row| row.map_err(store_error)?).collect::<Result<Vec<_>, _>>()?;
        let mut statement = self
            .connection
            .prepare_cached("UPDATE messages SET owner = ?3, token = token + 1, due_at = NULL WHERE tenant = ?1 AND id = ?2")
            .map_err(store_error)?;
        for (tenant, id) in &keys {
            statement
                .execute(params![tenant.as_str(), id.as_uuid().into_bytes(), self.owner])
                .map_err(store_error)?;
        }
        Ok(keys)
    }
}

fn key(row: &Row<'_>) -> Result<(TenantId, MessageId), StoreError> {
    let columns = Columns {
        row,
        table: "messages",
        id: &"a message",
    };
    Ok((
        TenantId::new(columns.value::<String>("tenant")?),
        MessageId::from_uuid(columns.uuid("id")?),
    ))
}

/// When the next message is due.
pub(crate) fn next_due(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let mut next = None;
    for purpose in fence::LANES {
        let mut statement = connection
            .prepare_cached("SELECT min(due_at) FROM messages WHERE lane = ?1 AND due_at IS NOT NULL")
            .map_err(store_error)?;
        let first: Option<i64> = statement.query_row([fence::lane(purpose)], |row| row.get(0)).map_err(store_error)?;
        next = [next, first].into_iter().flatten().min();
    }
    Ok(next.map(Timestamp::from_micros))
}

/// How many messages wait, counted no further than `at_most`.
pub(crate) fn backlog(connection: &Connection, at_most: u64) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM messages WHERE due_at IS NOT NULL LIMIT ?1)")
        .map_err(store_error)?;
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let counted: i64 = statement.query_row([at_most], |row| row.get(0)).map_err(store_error)?;
    Ok(counted.unsigned_abs())
}

/// Messages that a process works on.
pub(crate) fn under_way(connection: &Connection, owner: i64, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT tenant, id FROM messages WHERE owner = ?1 LIMIT ?2")
        .map_err(store_error)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map([owner, limit], |row| Ok(key(row))).map_err(store_error)?;
    rows.map(|row| row.map_err(store_error)?).collect()
}

/// Gives back what other processes, all dead, were working on.
pub(crate) fn recover(connection: &Connection, owner: i64, now: Timestamp) -> Result<Recovered, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT tenant, id FROM messages WHERE owner IS NOT NULL AND owner <> ?1")
        .map_err(store_error)?;
    let rows = statement.query_map([owner], |row| Ok(key(row))).map_err(store_error)?;
    let lost = rows.map(|row| row.map_err(store_error)?).collect::<Result<Vec<_>, StoreError>>()?;
    requeue(connection, &lost, now)
}

/// Gives back those of these messages that belong to this process.
pub(crate) fn give_back(
    connection: &Connection,
    owner: i64,
    messages: &[(TenantId, MessageId)],
    now: Timestamp,
) -> Result<Recovered, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM messages WHERE tenant = ?1 AND id = ?2 AND owner = ?3)")
        .map_err(store_error)?;
    let mut ours = Vec::with_capacity(messages.len());
    for (tenant, id) in messages {
        let is_ours = statement.query_row(params![tenant.as_str(), id.as_uuid().into_bytes(), owner], |row| row.get(0));
        if is_ours.map_err(store_error)? {
            ours.push((tenant.clone(), *id));
        }
    }
    requeue(connection, &ours, now)
}

/// Queues messages that nobody works on any more; a call whose outcome is not recorded is unknown.
fn requeue(connection: &Connection, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE messages SET status = 'queued', due_at = ?3, owner = NULL, token = token + 1
             WHERE tenant = ?1 AND id = ?2 AND owner IS NOT NULL",
        )
        .map_err(store_error)?;
    let mut recovered = Recovered::default();
    for (tenant, id) in messages {
        let requeued = statement
            .execute(params![tenant.as_str(), id.as_uuid().into_bytes(), now.as_micros()])
            .map_err(store_error)?;
        if requeued == 0 {
            continue;
        }
        recipients::requeue(connection, tenant, *id)?;
        match attempts::lose(connection, tenant, *id)? {
            0 => recovered.requeued += 1,
            calls => recovered.unknown += calls,
        }
    }
    Ok(recovered)
}
