//! Switches of provider accounts.

use rusqlite::{Connection, params};
use ums_core::{AccountId, ProviderKind, ProviderSwitch, StoreError, SwitchedOff, Timestamp};

use super::connection::store_error;
use super::row::Columns;
use crate::json::to_json;

/// Takes an account out of service, or brings it back.
pub(crate) fn switch(
    connection: &Connection,
    provider: ProviderKind,
    account: &AccountId,
    off: Option<&SwitchedOff>,
) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO provider_switches (provider, account, off) VALUES (?1, ?2, ?3)
             ON CONFLICT (provider, account) DO UPDATE SET off = ?3",
        )
        .map_err(store_error)?;
    let off = off.map(to_json).transpose()?;
    let row = params![provider.as_str(), account.as_str(), off];
    statement.execute(row).map(drop).map_err(store_error)
}

/// Notes that an operator had the account tried.
pub(crate) fn note_trial(connection: &Connection, provider: ProviderKind, account: &AccountId, at: Timestamp) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "INSERT INTO provider_switches (provider, account, tried_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (provider, account) DO UPDATE SET tried_at = ?3",
        )
        .map_err(store_error)?;
    let row = params![provider.as_str(), account.as_str(), at.as_micros()];
    statement.execute(row).map(drop).map_err(store_error)
}

/// The switches of all accounts.
pub(crate) fn all(connection: &Connection) -> Result<Vec<ProviderSwitch>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT provider, account, off, tried_at FROM provider_switches ORDER BY provider, account")
        .map_err(store_error)?;
    let mut rows = statement.query([]).map_err(store_error)?;
    let mut switches = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "provider_switches",
            id: &"a switch",
        };
        // A provider that only a later release knows is none of ours.
        let Ok(provider) = columns.word("provider") else { continue };
        switches.push(ProviderSwitch {
            provider,
            account: AccountId::new(columns.value::<String>("account")?),
            off: columns.read_optional("off", |text| serde_json::from_str(text))?,
            tried_at: columns.optional_time("tried_at")?,
        });
    }
    Ok(switches)
}
