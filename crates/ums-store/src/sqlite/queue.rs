//! The queue: messages that wait for their time, taken in the order of their lanes.

use rusqlite::{Connection, params};
use ums_core::{MessageId, MessageRecord, Purpose, Recovered, StoreError, TenantId, Timestamp};

use super::connection::store_error;
use super::row::Columns;
use super::{attempts, messages};
use crate::fence;

/// Takes messages that are due and makes them this process's own.
pub(crate) fn claim_due(
    connection: &Connection,
    owner: i64,
    now: Timestamp,
    room: ums_core::Room,
) -> Result<Vec<MessageRecord>, StoreError> {
    let mut claimed = Vec::new();
    for purpose in fence::LANES {
        for (tenant, id) in due_in_lane(connection, purpose, now, room.of(purpose))? {
            own(connection, owner, &tenant, id)?;
            match messages::message(connection, &tenant, id) {
                Ok(record) => claimed.extend(record),
                // One unreadable message must not keep the others back; claimed, it is out of their way.
                Err(fault @ StoreError::Corrupt { .. }) => tracing::error!(message_id = %id, error = %fault, "a message cannot be sent"),
                Err(fault) => return Err(fault),
            }
        }
    }
    Ok(claimed)
}

fn due_in_lane(connection: &Connection, lane: Purpose, now: Timestamp, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT tenant, id FROM messages WHERE lane = ?1 AND due_at <= ?2 ORDER BY due_at, id LIMIT ?3")
        .map_err(store_error)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement
        .query(params![fence::lane(lane), now.as_micros(), limit])
        .map_err(store_error)?;
    let mut due = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "messages",
            id: &"a due message",
        };
        due.push((
            TenantId::new(columns.value::<String>("tenant")?),
            MessageId::from_uuid(columns.uuid("id")?),
        ));
    }
    Ok(due)
}

fn own(connection: &Connection, owner: i64, tenant: &TenantId, id: MessageId) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE messages SET owner = ?3, token = token + 1, due_at = NULL WHERE tenant = ?1 AND id = ?2")
        .map_err(store_error)?;
    statement
        .execute(params![tenant.as_str(), id.as_uuid().into_bytes(), owner])
        .map(drop)
        .map_err(store_error)
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

/// Gives back what other processes, all dead, were working on.
pub(crate) fn recover(connection: &Connection, owner: i64, now: Timestamp) -> Result<Recovered, StoreError> {
    let (calls, in_call) = attempts::lose(connection, owner)?;
    let mut statement = connection
        .prepare_cached(
            "UPDATE recipients SET status = 'queued' WHERE status IN ('pending', 'scheduled', 'sending')
               AND (tenant, message_id) IN (SELECT m.tenant, m.id FROM messages m WHERE m.owner IS NOT NULL AND m.owner <> ?1)",
        )
        .map_err(store_error)?;
    statement.execute([owner]).map_err(store_error)?;
    let mut statement = connection
        .prepare_cached("UPDATE messages SET status = 'queued', due_at = ?2, owner = NULL WHERE owner IS NOT NULL AND owner <> ?1")
        .map_err(store_error)?;
    let given_back = statement.execute(params![owner, now.as_micros()]).map_err(store_error)?;
    let requeued = u64::try_from(given_back).unwrap_or(u64::MAX).saturating_sub(in_call);
    Ok(Recovered { requeued, unknown: calls })
}
