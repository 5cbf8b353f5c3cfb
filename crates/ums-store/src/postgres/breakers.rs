//! The state of breakers over restarts and processes, and who may probe.

use std::time::Duration;

use ums_core::{AccountId, BreakerRecord, ProviderKind};

use super::connection::{Fault, Session};
use super::row::Columns;
use crate::json::to_json;

/// Keeps the state of a provider account's breaker.
pub(crate) async fn save(session: &Session, owner: i64, record: &BreakerRecord) -> Result<(), Fault> {
    let sql = "INSERT INTO breakers (provider, account, state, changed_at, version, writer)
         VALUES ($1, $2, $3, $4, nextval('breaker_versions'), $5)
         ON CONFLICT (provider, account) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at,
           version = nextval('breaker_versions'), writer = excluded.writer";
    let (provider, account) = (record.provider.as_str(), record.account.as_str());
    let state = to_json(&record.state)?;
    session
        .execute(sql, &[&provider, &account, &state, &record.changed_at.as_micros(), &owner])
        .await
        .map(drop)
}

/// The states that were kept.
pub(crate) async fn all(session: &Session) -> Result<Vec<BreakerRecord>, Fault> {
    let rows = session
        .query("SELECT provider, account, state, changed_at, version, writer FROM breakers", &[])
        .await?;
    let mut records = Vec::new();
    for row in &rows {
        let columns = Columns {
            row,
            table: "breakers",
            id: &"a breaker",
        };
        records.push(BreakerRecord {
            provider: columns.word("provider")?,
            account: AccountId::new(columns.value::<&str>("account")?),
            state: columns.json("state")?,
            changed_at: columns.time("changed_at")?,
            version: columns.value("version")?,
            writer: columns.value("writer")?,
        });
    }
    records.sort_by(|one, other| (one.provider, &one.account).cmp(&(other.provider, &other.account)));
    Ok(records)
}

/// Takes the leave to probe unless another process has it; keeps it when it is this process's.
pub(crate) async fn lease_probe(
    session: &Session,
    owner: i64,
    provider: ProviderKind,
    account: &AccountId,
    length: Duration,
) -> Result<bool, Fault> {
    let sql = "WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now)
         INSERT INTO probes AS p (provider, account, owner, until) SELECT $1, $2, $3, now + $4 FROM clock
         ON CONFLICT (provider, account) DO UPDATE SET owner = excluded.owner, until = excluded.until
         WHERE p.owner = excluded.owner OR p.until <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX / 4);
    let taken = session
        .execute(sql, &[&provider.as_str(), &account.as_str(), &owner, &length])
        .await?;
    Ok(taken == 1)
}
