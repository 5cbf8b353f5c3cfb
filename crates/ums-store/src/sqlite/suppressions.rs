//! The suppression list. A look at it is one look-up by the key for each address, however long it is.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, named_params, params};
use ums_core::{
    AccountId, Channel, Lift, ListName, ListNotice, MessageId, ProviderKind, StoreError, Suppression, SuppressionCursor, SuppressionFilter,
    SuppressionPage, SuppressionReason, TenantId, Timestamp, spellings,
};

use super::connection::store_error;
use super::row::{Columns, count};
use crate::listed::{self, Listed, Listing};

/// Puts an entry on the list. Whether it is in force now and was not before.
fn put(connection: &Connection, entry: Suppression, now: Timestamp) -> Result<bool, StoreError> {
    let spellings = spellings(entry.channel, &entry.address);
    let entry = listed::put_in_form(entry);
    let key_of = |address: &str| {
        (
            entry.tenant.clone(),
            entry.channel,
            address.to_owned(),
            entry.reason,
            entry.list.clone(),
        )
    };
    let mut was_in_force = false;
    for spelling in spellings {
        was_in_force |= at(connection, &key_of(&spelling))?.is_some_and(|listed| listed.is_in_force(now));
    }
    let key = key_of(&entry.address);
    let mut listed = at(connection, &key)?.unwrap_or_default();
    listed.put(entry);
    keep(connection, &key, &listed)?;
    Ok(!was_in_force && listed.is_in_force(now))
}

/// Takes a subscriber's entries off the list, in every spelling. Whether one was in force before and is not any more.
fn lift(connection: &Connection, lift: &Lift, now: Timestamp) -> Result<bool, StoreError> {
    let mut is_lifted = false;
    for spelling in listed::lifts_in_form(lift) {
        is_lifted |= lift_one(connection, spelling, now)?;
    }
    Ok(is_lifted)
}

fn lift_one(connection: &Connection, lift: Lift, now: Timestamp) -> Result<bool, StoreError> {
    let key = (lift.tenant, lift.channel, lift.address, lift.reason, lift.list);
    let known = at(connection, &key)?;
    if known.is_none() && !listed::is_kept_alone(lift.reason) {
        return Ok(false);
    }
    let mut listed = known.unwrap_or_default();
    let was_in_force = listed.is_in_force(now);
    listed.lift(lift.at);
    keep(connection, &key, &listed)?;
    Ok(was_in_force && !listed.is_in_force(now))
}

/// Puts and lifts one after the other, and adds the notices of what had an effect.
pub(crate) fn change(
    connection: &Connection,
    (suppress, lifts): (&[Suppression], &[Lift]),
    notices: &[ListNotice],
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let put = |entry: &Suppression| put(connection, entry.clone(), now);
    let suppressed: Vec<bool> = suppress.iter().map(put).collect::<Result<_, _>>()?;
    let lift = |one: &Lift| lift(connection, one, now);
    let lifted: Vec<bool> = lifts.iter().map(lift).collect::<Result<_, _>>()?;
    super::notices::add(connection, &listed::told(notices, &suppressed, &lifted))?;
    Ok([suppressed, lifted].concat())
}

type Key = (TenantId, Channel, String, SuppressionReason, Option<ListName>);

fn at(connection: &Connection, (tenant, channel, address, reason, list): &Key) -> Result<Option<Listed>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT tenant, channel, address, reason, list, since, lifted_at, expires_at, origin, provider, account, message_id, detail
             FROM suppression_list WHERE tenant = ?1 AND channel = ?2 AND address = ?3 AND reason = ?4 AND list = ?5",
        )
        .map_err(store_error)?;
    let list = listed::list_key(list.as_ref());
    let mut rows = statement
        .query(params![tenant.as_str(), channel.as_str(), address, reason.as_str(), list])
        .map_err(store_error)?;
    rows.next().map_err(store_error)?.map(listed).transpose()
}

fn keep(connection: &Connection, (tenant, channel, address, reason, list): &Key, listed: &Listed) -> Result<(), StoreError> {
    let for_all = "INSERT INTO suppressions (tenant, channel, address, reason, since, lifted_at, expires_at, origin, provider, account,
           message_id, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (tenant, channel, address, reason) DO UPDATE SET since = ?5, lifted_at = ?6, expires_at = ?7, origin = ?8,
           provider = ?9, account = ?10, message_id = ?11, detail = ?12";
    let of_list = "INSERT INTO list_opt_outs (tenant, channel, address, list, since, lifted_at, expires_at, origin, provider, account,
           message_id, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (tenant, channel, address, list) DO UPDATE SET since = ?5, lifted_at = ?6, expires_at = ?7, origin = ?8,
           provider = ?9, account = ?10, message_id = ?11, detail = ?12";
    let (sql, place) = match list {
        None => (for_all, reason.as_str()),
        Some(list) => (of_list, list.as_str()),
    };
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let (entry, lifted_at) = listed.parts();
    let row = params![
        tenant.as_str(),
        channel.as_str(),
        address,
        place,
        entry.map(|entry| entry.since.as_micros()),
        lifted_at.map(Timestamp::as_micros),
        entry.and_then(|entry| entry.expires_at).map(Timestamp::as_micros),
        entry.map(|entry| entry.origin.as_str()),
        entry.and_then(|entry| entry.provider).map(ProviderKind::as_str),
        entry.and_then(|entry| entry.account.as_ref()).map(AccountId::as_str),
        entry.and_then(|entry| entry.message_id).map(|id| id.as_uuid().into_bytes()),
        entry.and_then(|entry| entry.detail.as_deref()),
    ];
    statement.execute(row).map(drop).map_err(store_error)
}

/// What is known of these addresses.
pub(crate) fn of(
    connection: &Connection,
    tenant: &TenantId,
    channel: Channel,
    addresses: &BTreeSet<String>,
) -> Result<Listing, StoreError> {
    let mut listing = Listing::new();
    if addresses.is_empty() {
        return Ok(listing);
    }
    let mut statement = connection
        .prepare_cached(
            "SELECT tenant, channel, address, reason, list, since, lifted_at, expires_at, origin, provider, account, message_id, detail
             FROM suppression_list WHERE tenant = ?1 AND channel = ?2 AND address = ?3",
        )
        .map_err(store_error)?;
    for address in addresses {
        let mut rows = statement
            .query(params![tenant.as_str(), channel.as_str(), address])
            .map_err(store_error)?;
        while let Some(row) = rows.next().map_err(store_error)? {
            let reason: SuppressionReason = columns(row).word("reason")?;
            let key = listed::listing_key(address, reason, list(&columns(row))?.as_ref());
            listing.insert(key, listed(row)?);
        }
    }
    Ok(listing)
}

/// Entries in force for any of these addresses.
pub(crate) fn in_force(
    connection: &Connection,
    (tenant, channel): (&TenantId, Channel),
    addresses: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Vec<Suppression>, StoreError> {
    let listing = of(connection, tenant, channel, addresses)?;
    let in_force = listing.values().filter(|listed| listed.is_in_force(now));
    Ok(in_force.filter_map(Listed::entry).collect())
}

/// Entries that match, in the order of the list.
pub(crate) fn page(
    connection: &Connection,
    tenant: &TenantId,
    filter: &SuppressionFilter,
    cursor: Option<&SuppressionCursor>,
    (now, limit): (Timestamp, usize),
) -> Result<SuppressionPage, StoreError> {
    let all = "SELECT tenant, channel, address, reason, list, since, lifted_at, expires_at, origin, provider, account, message_id, detail
         FROM suppression_list
         WHERE tenant = :tenant AND (channel, address, reason, list) > (:after_channel, :after_address, :after_reason, :after_list) AND since IS NOT NULL
           AND :mails IS NULL AND :numbers IS NULL
           AND (:channel IS NULL OR channel = :channel) AND (:reason IS NULL OR reason = :reason)
           AND (:with_lifted OR ((lifted_at IS NULL OR since > lifted_at) AND (expires_at IS NULL OR expires_at > :now)))
         ORDER BY channel, address, reason, list LIMIT :limit";
    let of_address =
        "SELECT tenant, channel, address, reason, list, since, lifted_at, expires_at, origin, provider, account, message_id, detail
         FROM suppression_list
         WHERE tenant = :tenant AND ((channel = 'email' AND address IN (SELECT value FROM json_each(:mails)))
             OR (channel = 'sms' AND address IN (SELECT value FROM json_each(:numbers))))
           AND (channel, address, reason, list) > (:after_channel, :after_address, :after_reason, :after_list) AND since IS NOT NULL
           AND (:channel IS NULL OR channel = :channel) AND (:reason IS NULL OR reason = :reason)
           AND (:with_lifted OR ((lifted_at IS NULL OR since > lifted_at) AND (expires_at IS NULL OR expires_at > :now)))
         ORDER BY channel, address, reason, list LIMIT :limit";
    let sql = if filter.address.is_some() { of_address } else { all };
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let spellings = |channel| listed::filtered_spellings(filter, channel).map(|all| serde_json::Value::from(all).to_string());
    let values = named_params! {
        ":tenant": tenant.as_str(),
        ":after_channel": cursor.map_or("", |cursor| cursor.channel.as_str()),
        ":after_address": cursor.map_or("", |cursor| cursor.address.as_str()),
        ":after_reason": cursor.map_or("", |cursor| cursor.reason.as_str()),
        ":after_list": listed::list_key(cursor.and_then(|cursor| cursor.list.as_ref())),
        ":mails": spellings(Channel::Email),
        ":numbers": spellings(Channel::Sms),
        ":channel": filter.channel.map(Channel::as_str),
        ":reason": filter.reason.map(SuppressionReason::as_str),
        ":with_lifted": filter.with_lifted,
        ":now": now.as_micros(),
        ":limit": count(limit.saturating_add(1)),
    };
    let mut rows = statement.query(values).map_err(store_error)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        entries.extend(listed(row)?.entry());
    }
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next_cursor = entries.last().filter(|_| more).map(|entry| SuppressionCursor {
        channel: entry.channel,
        address: entry.address.clone(),
        reason: entry.reason,
        list: entry.list.clone(),
    });
    Ok(SuppressionPage { entries, next_cursor })
}

fn columns<'a>(row: &'a Row<'a>) -> Columns<'a> {
    Columns {
        row,
        table: "suppressions",
        id: &"an entry",
    }
}

/// The mailing list of an entry; none for all lists.
fn list(columns: &Columns<'_>) -> Result<Option<ListName>, StoreError> {
    let list: String = columns.value("list")?;
    if list.is_empty() {
        Ok(None)
    } else {
        columns.word("list").map(Some)
    }
}

fn listed(row: &Row<'_>) -> Result<Listed, StoreError> {
    let columns = columns(row);
    let mut listed = Listed::default();
    if let Some(lifted_at) = columns.optional_time("lifted_at")? {
        listed.lift(lifted_at);
    }
    let Some(since) = columns.optional_time("since")? else {
        return Ok(listed);
    };
    listed.put(Suppression {
        tenant: TenantId::new(columns.value::<String>("tenant")?),
        channel: columns.word("channel")?,
        address: columns.value("address")?,
        reason: columns.word("reason")?,
        list: list(&columns)?,
        origin: columns.word("origin")?,
        provider: columns.optional_word("provider")?,
        account: columns.value::<Option<String>>("account")?.map(AccountId::new),
        message_id: columns.optional_uuid("message_id")?.map(MessageId::from_uuid),
        detail: columns.value("detail")?,
        since,
        expires_at: columns.optional_time("expires_at")?,
        lifted_at: None,
    });
    Ok(listed)
}
