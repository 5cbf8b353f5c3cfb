//! Switches of provider accounts.

use ums_core::{AccountId, ProviderKind, ProviderSwitch, SwitchedOff, Timestamp};

use super::connection::{Fault, Session};
use super::row::Columns;
use crate::json::to_json;

/// Takes an account out of service, or brings it back.
pub(crate) async fn switch(session: &Session, provider: ProviderKind, account: &AccountId, off: Option<&SwitchedOff>) -> Result<(), Fault> {
    let sql = "INSERT INTO provider_switches (provider, account, off) VALUES ($1, $2, $3)
         ON CONFLICT (provider, account) DO UPDATE SET off = excluded.off";
    let off = off.map(to_json).transpose()?;
    session.execute(sql, &[&provider.as_str(), &account.as_str(), &off]).await.map(drop)
}

/// Notes that an operator had the account tried.
pub(crate) async fn note_trial(session: &Session, provider: ProviderKind, account: &AccountId, at: Timestamp) -> Result<(), Fault> {
    let sql = "INSERT INTO provider_switches (provider, account, tried_at) VALUES ($1, $2, $3)
         ON CONFLICT (provider, account) DO UPDATE SET tried_at = excluded.tried_at";
    session
        .execute(sql, &[&provider.as_str(), &account.as_str(), &at.as_micros()])
        .await
        .map(drop)
}

/// The switches of all accounts.
pub(crate) async fn all(session: &Session) -> Result<Vec<ProviderSwitch>, Fault> {
    let sql = "SELECT provider, account, off, tried_at FROM provider_switches ORDER BY provider, account";
    let rows = session.query(sql, &[]).await?;
    let mut switches = Vec::new();
    for row in &rows {
        let columns = Columns {
            row,
            table: "provider_switches",
            id: &"a switch",
        };
        // A provider that only a later release knows is none of ours.
        let Ok(provider) = columns.word("provider") else { continue };
        switches.push(ProviderSwitch {
            provider,
            account: AccountId::new(columns.value::<&str>("account")?),
            off: columns.read_optional("off", |text| serde_json::from_str(text))?,
            tried_at: columns.optional_time("tried_at")?,
        });
    }
    Ok(switches)
}
