//! Decisions that entries of the suppression list were a provider account's own fault.

use rusqlite::{Connection, Row, params};
use ums_core::{AccountId, StoreError, Timestamp, Undo, Undone};

use super::connection::store_error;
use super::row::Columns;

/// Keeps decisions and carries them out.
pub(crate) fn decide(connection: &Connection, undos: &[Undo], now: Timestamp) -> Result<(), StoreError> {
    for undo in undos {
        keep(connection, undo)?;
        carry_out(connection, undo, now)?;
    }
    Ok(())
}

/// Carries out again what was decided, and forgets what is over.
pub(crate) fn again(connection: &Connection, now: Timestamp) -> Result<Undone, StoreError> {
    let undos = kept(connection)?;
    if undos.iter().any(|undo| undo.is_over(now)) {
        let over_before = Undo::over_before(now).as_micros();
        connection
            .execute("DELETE FROM undos WHERE until < ?1", [over_before])
            .map_err(store_error)?;
    }
    let mut undone = Undone::default();
    for undo in undos.into_iter().filter(|undo| !undo.is_over(now)) {
        undone.lifted += carry_out(connection, &undo, now)?;
        undone.undos.push(undo);
    }
    Ok(undone)
}

/// Whether any decision is kept.
pub(crate) fn any(connection: &Connection) -> Result<bool, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM undos)")
        .map_err(store_error)?;
    statement.query_row([], |row| row.get(0)).map_err(store_error)
}

fn keep(connection: &Connection, undo: &Undo) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO undos (provider, account, reason, origin, since, until, decided_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (provider, account, reason, origin, since) DO UPDATE SET until = max(until, excluded.until),
               decided_at = min(decided_at, excluded.decided_at)",
        )
        .map_err(store_error)?;
    let row = params![
        undo.provider.as_str(),
        undo.account.as_str(),
        undo.reason.as_str(),
        undo.origin.as_str(),
        undo.since.as_micros(),
        undo.until.as_micros(),
        undo.at.as_micros(),
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// Lifts the entries that an undo describes. Returns how many.
fn carry_out(connection: &Connection, undo: &Undo, now: Timestamp) -> Result<u64, StoreError> {
    // A provider's clock may run ahead of ours.
    let mut statement = connection
        .prepare_cached(
            "UPDATE suppressions SET lifted_at = max(?7, since)
             WHERE provider = ?1 AND coalesce(account, ?8) = ?2 AND reason = ?3 AND origin = ?4 AND since >= ?5 AND since <= ?6
               AND (lifted_at IS NULL OR since > lifted_at) AND (expires_at IS NULL OR expires_at > ?7)",
        )
        .map_err(store_error)?;
    let lifted = statement.execute(params![
        undo.provider.as_str(),
        undo.account.as_str(),
        undo.reason.as_str(),
        undo.origin.as_str(),
        undo.since.as_micros(),
        undo.until.as_micros(),
        now.as_micros(),
        AccountId::default().as_str(),
    ]);
    lifted.map(|rows| u64::try_from(rows).unwrap_or(u64::MAX)).map_err(store_error)
}

fn kept(connection: &Connection) -> Result<Vec<Undo>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT provider, account, reason, origin, since, until, decided_at FROM undos ORDER BY provider, account, reason, origin, since",
        )
        .map_err(store_error)?;
    let mut rows = statement.query([]).map_err(store_error)?;
    let mut undos = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        undos.push(undo(row)?);
    }
    Ok(undos)
}

fn undo(row: &Row<'_>) -> Result<Undo, StoreError> {
    let columns = Columns {
        row,
        table: "undos",
        id: &"an undo",
    };
    Ok(Undo {
        provider: columns.word("provider")?,
        account: AccountId::new(columns.value::<String>("account")?),
        reason: columns.word("reason")?,
        origin: columns.word("origin")?,
        since: columns.time("since")?,
        until: columns.time("until")?,
        at: columns.time("decided_at")?,
    })
}
