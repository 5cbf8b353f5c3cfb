//! Attempts: the intent before the call, the outcome after it, one row.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension as _, params};
use ums_core::{
    AccountId, AttemptId, AttemptOutcome, AttemptRecord, MessageId, OutcomeWord, ProviderKind, RecipientSet, SettledBy, Status, StoreError,
    TenantId, Timestamp, subscriber_key,
};

use super::connection::store_error;
use super::row::{Columns, signed};
use crate::facts::{self, Words};
use crate::newer;

/// Stores attempts; one that is there already is replaced and keeps its place.
pub(crate) fn upsert(connection: &Connection, tenant: &TenantId, id: MessageId, attempts: &[AttemptRecord]) -> Result<(), StoreError> {
    for attempt in attempts {
        if attempt.reported.is_some() && report(connection, tenant, id, attempt)? {
            continue;
        }
        let mut statement = connection
            .prepare_cached(
                "INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, class, code, detail,
                   duration_ms, provider_message_id, simulated, from_substituted, cost_micros, reported, not_called, settled_by, recipients,
                   refused, price_micros, unknown_until, newer_class)
                 SELECT ?1, ?2, ?3, coalesce(max(number), 0) + 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                   ?20, ?21, ?22, ?23
                 FROM attempts WHERE tenant = ?1 AND message_id = ?2
                 ON CONFLICT (tenant, message_id, id) DO UPDATE SET provider = ?4, account = ?5, called_at = ?6, outcome = ?7, class = ?8,
                   code = ?9, detail = ?10, duration_ms = ?11, provider_message_id = ?12, simulated = ?13, from_substituted = ?14,
                   cost_micros = ?15, reported = ?16, not_called = ?17, settled_by = ?18, recipients = ?19, refused = ?20,
                   price_micros = ?21, unknown_until = ?22, newer_class = ?23",
            )
            .map_err(store_error)?;
        let stored = statement.execute(params![
            tenant.as_str(),
            id.as_uuid().into_bytes(),
            attempt.id.as_uuid().into_bytes(),
            attempt.provider.as_str(),
            attempt.account.as_str(),
            attempt.called_at.as_micros(),
            attempt.outcome.word().as_str(),
            facts::class(attempt),
            attempt.code,
            attempt.detail,
            attempt.duration_ms.map(signed),
            attempt.provider_message_id,
            attempt.simulated,
            attempt.from_substituted,
            attempt.cost_micros,
            attempt.reported.map(Status::as_str),
            facts::not_called(attempt),
            attempt.settled_by.map(SettledBy::as_str),
            attempt.recipients.bits(),
            facts::refused(attempt)?,
            attempt.price_micros,
            attempt.unknown_until.map(Timestamp::as_micros),
            facts::newer_class(attempt),
        ]);
        stored.map_err(store_error)?;
    }
    Ok(())
}

/// Keeps what was reported of an attempt that stands as it stood otherwise: without touching a column that is in an index, since SQLite
/// writes each of these anew. False when it stands differently.
fn report(connection: &Connection, tenant: &TenantId, id: MessageId, attempt: &AttemptRecord) -> Result<bool, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE attempts SET reported = ?4, class = ?5, code = ?6, detail = ?7, duration_ms = ?8, simulated = ?9, from_substituted = ?10,
               cost_micros = ?11, not_called = ?17, settled_by = ?18, recipients = ?19, refused = ?20, price_micros = ?21,
               unknown_until = ?22, newer_class = ?23
             WHERE tenant = ?1 AND message_id = ?2 AND id = ?3 AND provider = ?12 AND account = ?13 AND called_at = ?14 AND outcome = ?15
               AND provider_message_id IS ?16",
        )
        .map_err(store_error)?;
    let updated = statement.execute(params![
        tenant.as_str(),
        id.as_uuid().into_bytes(),
        attempt.id.as_uuid().into_bytes(),
        attempt.reported.map(Status::as_str),
        facts::class(attempt),
        attempt.code,
        attempt.detail,
        attempt.duration_ms.map(signed),
        attempt.simulated,
        attempt.from_substituted,
        attempt.cost_micros,
        attempt.provider.as_str(),
        attempt.account.as_str(),
        attempt.called_at.as_micros(),
        attempt.outcome.word().as_str(),
        attempt.provider_message_id,
        facts::not_called(attempt),
        attempt.settled_by.map(SettledBy::as_str),
        attempt.recipients.bits(),
        facts::refused(attempt)?,
        attempt.price_micros,
        attempt.unknown_until.map(Timestamp::as_micros),
        facts::newer_class(attempt),
    ]);
    Ok(updated.map_err(store_error)? == 1)
}

/// The attempts of a message in order.
pub(crate) fn of(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<Vec<AttemptRecord>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT id, provider, account, called_at, outcome, class, code, detail, duration_ms, provider_message_id, simulated,
               from_substituted, cost_micros, price_micros, reported, not_called, settled_by, unknown_until, recipients, refused,
               newer_class
             FROM attempts WHERE tenant = ?1 AND message_id = ?2 ORDER BY number",
        )
        .map_err(store_error)?;
    let mut rows = statement
        .query(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        attempts.push(attempt(&Columns {
            row,
            table: "attempts",
            id: &id,
        })?);
    }
    Ok(attempts)
}

fn attempt(columns: &Columns<'_>) -> Result<AttemptRecord, StoreError> {
    let attempt = AttemptRecord {
        id: AttemptId::from_uuid(columns.uuid("id")?),
        provider: columns.word("provider")?,
        account: AccountId::new(columns.value::<String>("account")?),
        called_at: columns.time("called_at")?,
        outcome: AttemptOutcome::from(columns.word::<OutcomeWord>("outcome")?),
        class: columns.optional_word("class")?,
        code: columns.value("code")?,
        detail: columns.value("detail")?,
        duration_ms: columns
            .value::<Option<i64>>("duration_ms")?
            .map(|millis| u64::try_from(millis).unwrap_or(0)),
        provider_message_id: columns.value("provider_message_id")?,
        simulated: columns.value("simulated")?,
        from_substituted: columns.value("from_substituted")?,
        cost_micros: columns.value("cost_micros")?,
        price_micros: columns.value("price_micros")?,
        reported: columns.optional_word("reported")?,
        recipients: RecipientSet::from_bits(columns.value("recipients")?),
        refused: columns.read_optional("refused", newer::refused)?.unwrap_or_default(),
        settled_by: None,
        unknown_until: columns.optional_time("unknown_until")?,
    };
    let word = |column| columns.value::<Option<String>>(column);
    let (not_called, settled_by, newer_class) = (word("not_called")?, word("settled_by")?, word("newer_class")?);
    let words = Words {
        not_called: not_called.as_deref(),
        settled_by: settled_by.as_deref(),
        newer_class: newer_class.as_deref(),
    };
    Ok(facts::with_words(attempt, &words))
}

/// Ends the calls of a message whose process is dead as unknown, as [`AttemptRecord::lose`] does. Returns how many there were.
pub(crate) fn lose(connection: &Connection, tenant: &TenantId, id: MessageId) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE attempts SET outcome = 'unknown', class = 'unknown', code = 'process_ended',
               detail = 'the process ended during the call'
             WHERE tenant = ?1 AND message_id = ?2 AND outcome = 'calling'",
        )
        .map_err(store_error)?;
    let calls = statement
        .execute(params![tenant.as_str(), id.as_uuid().into_bytes()])
        .map_err(store_error)?;
    Ok(u64::try_from(calls).unwrap_or(u64::MAX))
}

/// Recipients that a provider account has been handed since a time.
pub(crate) fn recipients_sent_since(
    connection: &Connection,
    provider: ProviderKind,
    account: &AccountId,
    since: Timestamp,
) -> Result<u64, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT count(*) FROM attempts a
             JOIN recipients r ON r.tenant = a.tenant AND r.message_id = a.message_id
             WHERE a.provider = ?1 AND a.account = ?2 AND a.called_at >= ?3 AND a.outcome IN ('accepted', 'unknown')
               AND CASE WHEN a.recipients IS NULL THEN r.status NOT IN ('suppressed', 'unsubscribed')
                 ELSE (a.recipients >> r.idx) & 1 = 1 END",
        )
        .map_err(store_error)?;
    let count = statement.query_row(params![provider.as_str(), account.as_str(), since.as_micros()], |row| {
        row.get::<_, i64>(0)
    });
    Ok(count.map_err(store_error)?.unsigned_abs())
}

/// When the account last took a message. The index of what was sent holds the accepted and the unknown calls, newest at its end.
pub(crate) fn last_accepted(connection: &Connection, provider: ProviderKind, account: &AccountId) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT called_at FROM attempts
             WHERE provider = ?1 AND account = ?2 AND outcome IN ('accepted', 'unknown') AND outcome = 'accepted'
             ORDER BY called_at DESC LIMIT 1",
        )
        .map_err(store_error)?;
    let found = statement.query_row(params![provider.as_str(), account.as_str()], |row| row.get(0));
    Ok(found.optional().map_err(store_error)?.map(Timestamp::from_micros))
}

/// Messages with an attempt of this account whose outcome is unknown, that was called in the window, and that was for this recipient.
pub(crate) fn unknown_to(
    connection: &Connection,
    (provider, account): (ProviderKind, &AccountId),
    address: &str,
    called: &RangeInclusive<Timestamp>,
) -> Result<BTreeSet<(MessageId, TenantId)>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT a.tenant, a.message_id, r.address FROM attempts a
             CROSS JOIN recipients r ON r.tenant = a.tenant AND r.message_id = a.message_id
             WHERE a.provider = ?1 AND a.account = ?2 AND a.outcome = 'unknown' AND a.called_at BETWEEN ?3 AND ?4
               AND (a.recipients IS NULL OR (a.recipients >> r.idx) & 1 = 1)",
        )
        .map_err(store_error)?;
    let subscriber = subscriber_key(provider.channel(), address);
    let mut rows = statement
        .query(params![
            provider.as_str(),
            account.as_str(),
            called.start().as_micros(),
            called.end().as_micros()
        ])
        .map_err(store_error)?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next().map_err(store_error)? {
        let columns = Columns {
            row,
            table: "attempts",
            id: &"an attempt",
        };
        if subscriber_key(provider.channel(), &columns.value::<String>("address")?) == subscriber {
            let tenant = TenantId::new(columns.value::<String>("tenant")?);
            found.insert((MessageId::from_uuid(columns.uuid("message_id")?), tenant));
        }
    }
    Ok(found)
}
