//! Decisions that entries of the suppression list were a provider account's own fault.

use tokio_postgres::Row;
use ums_core::{AccountId, StoreError, Timestamp, Undo, Undone};

use super::connection::{Fault, Session, Value};
use super::row::Columns;

/// Keeps decisions and carries them out. The transaction was begun by [`super::suppressions::BEGIN_CHANGE`].
pub(crate) async fn decide(session: &Session, undos: &[&Undo], now: Timestamp) -> Result<(), Fault> {
    for undo in undos {
        keep(session, undo).await?;
        carry_out(session, undo, now).await?;
    }
    Ok(())
}

/// Carries out again what was decided, and forgets what is over. The transaction was begun by [`super::suppressions::BEGIN_CHANGE`].
pub(crate) async fn again(session: &Session, now: Timestamp) -> Result<Undone, Fault> {
    let undos = kept(session).await?;
    if undos.iter().any(|undo| undo.is_over(now)) {
        let over_before = Undo::over_before(now).as_micros();
        session.execute("DELETE FROM undos WHERE until < $1", &[&over_before]).await?;
    }
    let mut undone = Undone::default();
    for undo in undos.into_iter().filter(|undo| !undo.is_over(now)) {
        undone.lifted += carry_out(session, &undo, now).await?;
        undone.undos.push(undo);
    }
    Ok(undone)
}

async fn keep(session: &Session, undo: &Undo) -> Result<(), Fault> {
    let sql = "INSERT INTO undos (provider, account, reason, origin, since, until, decided_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (provider, account, reason, origin, since) DO UPDATE SET until = greatest(undos.until, excluded.until),
           decided_at = least(undos.decided_at, excluded.decided_at)";
    let (since, until, at) = (undo.since.as_micros(), undo.until.as_micros(), undo.at.as_micros());
    let values: [Value<'_>; 7] = [
        &undo.provider.as_str(),
        &undo.account.as_str(),
        &undo.reason.as_str(),
        &undo.origin.as_str(),
        &since,
        &until,
        &at,
    ];
    session.execute(sql, &values).await.map(drop)
}

/// Lifts the entries that an undo describes. Returns how many.
async fn carry_out(session: &Session, undo: &Undo, now: Timestamp) -> Result<u64, Fault> {
    // A provider's clock may run ahead of ours.
    let sql = "UPDATE suppressions SET lifted_at = greatest(lifted_at, since, $7)
         WHERE provider = $1 AND coalesce(account, $8) = $2 AND reason = $3 AND origin = $4 AND since >= $5 AND since <= $6
           AND (lifted_at IS NULL OR since > lifted_at) AND (expires_at IS NULL OR expires_at > $7)";
    let (since, until, now) = (undo.since.as_micros(), undo.until.as_micros(), now.as_micros());
    let default = AccountId::default();
    let values: [Value<'_>; 8] = [
        &undo.provider.as_str(),
        &undo.account.as_str(),
        &undo.reason.as_str(),
        &undo.origin.as_str(),
        &since,
        &until,
        &now,
        &default.as_str(),
    ];
    session.execute(sql, &values).await
}

/// The decisions that are kept.
pub(crate) async fn kept(session: &Session) -> Result<Vec<Undo>, Fault> {
    let sql =
        "SELECT provider, account, reason, origin, since, until, decided_at FROM undos ORDER BY provider, account, reason, origin, since";
    let rows = session.query(sql, &[]).await?;
    rows.iter().map(|row| Ok(undo(row)?)).collect()
}

fn undo(row: &Row) -> Result<Undo, StoreError> {
    let columns = Columns {
        row,
        table: "undos",
        id: &"an undo",
    };
    Ok(Undo {
        provider: columns.word("provider")?,
        account: AccountId::new(columns.value::<&str>("account")?),
        reason: columns.word("reason")?,
        origin: columns.word("origin")?,
        since: columns.time("since")?,
        until: columns.time("until")?,
        at: columns.time("decided_at")?,
    })
}
