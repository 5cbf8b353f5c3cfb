//! Attempts: the intent before the call, the outcome after it, one row.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use ums_core::{
    AccountId, AttemptId, AttemptOutcome, AttemptRecord, MessageId, OutcomeWord, ProviderKind, RecipientSet, SettledBy, Status, StoreError,
    TenantId, Timestamp, spellings,
};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::row::{Columns, count, gather, optional_text, split, text};
use crate::facts::{self, Words};
use crate::newer;

/// Attempts of several messages, column by column.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    tenant: Vec<&'a str>,
    message_id: Vec<Uuid>,
    number: Vec<i32>,
    id: Vec<Uuid>,
    provider: Vec<&'static str>,
    account: Vec<&'a str>,
    called_at: Vec<i64>,
    outcome: Vec<&'static str>,
    class: Vec<Option<&'static str>>,
    code: Vec<Option<Cow<'a, str>>>,
    detail: Vec<Option<Cow<'a, str>>>,
    duration_ms: Vec<Option<i64>>,
    provider_message_id: Vec<Option<Cow<'a, str>>>,
    simulated: Vec<bool>,
    from_substituted: Vec<bool>,
    cost_micros: Vec<Option<i64>>,
    reported: Vec<Option<&'static str>>,
    not_called: Vec<Option<&'static str>>,
    settled_by: Vec<Option<&'static str>>,
    recipients: Vec<Option<i64>>,
    refused: Vec<Option<String>>,
    price_micros: Vec<Option<i64>>,
    unknown_until: Vec<Option<i64>>,
    newer_class: Vec<Option<&'static str>>,
}

impl<'a> Rows<'a> {
    /// Adds attempts of a message.
    pub(crate) fn add(&mut self, tenant: &'a TenantId, message: MessageId, attempts: &'a [AttemptRecord]) -> Result<(), StoreError> {
        for (place, attempt) in attempts.iter().enumerate() {
            // One statement writes a row once, so of two records of one attempt the last one counts.
            if attempts.iter().skip(place + 1).any(|later| later.id == attempt.id) {
                continue;
            }
            self.tenant.push(tenant.as_str());
            self.message_id.push(message.as_uuid());
            self.number.push(i32::try_from(place + 1).unwrap_or(i32::MAX));
            self.id.push(attempt.id.as_uuid());
            self.provider.push(attempt.provider.as_str());
            self.account.push(attempt.account.as_str());
            self.called_at.push(attempt.called_at.as_micros());
            self.outcome.push(attempt.outcome.word().as_str());
            self.class.push(facts::class(attempt));
            self.code.push(optional_text(attempt.code.as_deref()));
            self.detail.push(optional_text(attempt.detail.as_deref()));
            let duration = attempt.duration_ms.map(|millis| i64::try_from(millis).unwrap_or(i64::MAX));
            self.duration_ms.push(duration);
            self.provider_message_id.push(optional_text(attempt.provider_message_id.as_deref()));
            self.simulated.push(attempt.simulated);
            self.from_substituted.push(attempt.from_substituted);
            self.cost_micros.push(attempt.cost_micros);
            self.reported.push(attempt.reported.map(Status::as_str));
            self.not_called.push(facts::not_called(attempt));
            self.settled_by.push(attempt.settled_by.map(SettledBy::as_str));
            self.recipients.push(attempt.recipients.bits());
            self.refused.push(facts::refused(attempt)?);
            self.price_micros.push(attempt.price_micros);
            self.unknown_until.push(attempt.unknown_until.map(Timestamp::as_micros));
            self.newer_class.push(facts::newer_class(attempt));
        }
        Ok(())
    }

    fn values(&self) -> [Value<'_>; 24] {
        [
            &self.tenant,
            &self.message_id,
            &self.number,
            &self.id,
            &self.provider,
            &self.account,
            &self.called_at,
            &self.outcome,
            &self.class,
            &self.code,
            &self.detail,
            &self.duration_ms,
            &self.provider_message_id,
            &self.simulated,
            &self.from_substituted,
            &self.cost_micros,
            &self.reported,
            &self.not_called,
            &self.settled_by,
            &self.recipients,
            &self.refused,
            &self.price_micros,
            &self.unknown_until,
            &self.newer_class,
        ]
    }
}

/// Stores the attempts of messages that are new.
pub(crate) async fn insert(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    if rows.id.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO attempts (tenant, message_id, number, id, provider, account, called_at, outcome, class, code, detail,
           duration_ms, provider_message_id, simulated, from_substituted, cost_micros, reported, not_called, settled_by, recipients, refused,
           price_micros, unknown_until, newer_class)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::integer[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::text[],
           $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::boolean[], $15::boolean[], $16::bigint[], $17::text[],
           $18::text[], $19::text[], $20::bigint[], $21::text[], $22::bigint[], $23::bigint[], $24::text[])";
    session.execute(sql, &rows.values()).await.map(drop)
}

/// Stores attempts; one that is there already is replaced and keeps its place.
pub(crate) async fn upsert(session: &Session, rows: &Rows<'_>) -> Result<(), Fault> {
    if rows.id.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO attempts (tenant, message_id, number, id, provider, account, called_at, outcome, class, code, detail,
           duration_ms, provider_message_id, simulated, from_substituted, cost_micros, reported, not_called, settled_by, recipients, refused,
           price_micros, unknown_until, newer_class)
         SELECT s.tenant, s.message_id, s.number + coalesce((
             SELECT max(a.number) FROM attempts a WHERE a.tenant = s.tenant AND a.message_id = s.message_id), 0),
           s.id, s.provider, s.account, s.called_at, s.outcome, s.class, s.code, s.detail, s.duration_ms, s.provider_message_id,
           s.simulated, s.from_substituted, s.cost_micros, s.reported, s.not_called, s.settled_by, s.recipients, s.refused,
           s.price_micros, s.unknown_until, s.newer_class
         FROM unnest($1::text[], $2::uuid[], $3::integer[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::text[],
           $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::boolean[], $15::boolean[], $16::bigint[], $17::text[],
           $18::text[], $19::text[], $20::bigint[], $21::text[], $22::bigint[], $23::bigint[], $24::text[])
           AS s(tenant, message_id, number, id, provider, account, called_at, outcome, class, code, detail, duration_ms,
             provider_message_id, simulated, from_substituted, cost_micros, reported, not_called, settled_by, recipients, refused,
             price_micros, unknown_until, newer_class)
         ON CONFLICT (tenant, message_id, id) DO UPDATE SET provider = excluded.provider, account = excluded.account,
           called_at = excluded.called_at, outcome = excluded.outcome, class = excluded.class, code = excluded.code,
           detail = excluded.detail, duration_ms = excluded.duration_ms, provider_message_id = excluded.provider_message_id,
           simulated = excluded.simulated, from_substituted = excluded.from_substituted, cost_micros = excluded.cost_micros,
           reported = excluded.reported, not_called = excluded.not_called, settled_by = excluded.settled_by,
           recipients = excluded.recipients, refused = excluded.refused, price_micros = excluded.price_micros,
           unknown_until = excluded.unknown_until, newer_class = excluded.newer_class";
    session.execute(sql, &rows.values()).await.map(drop)
}

/// The attempts of messages in order.
pub(crate) async fn of(session: &Session, keys: &[(TenantId, MessageId)]) -> Result<Vec<Result<Vec<AttemptRecord>, StoreError>>, Fault> {
    let sql = "SELECT w.nth, a.id, a.provider, a.account, a.called_at, a.outcome, a.class, a.code, a.detail, a.duration_ms,
           a.provider_message_id, a.simulated, a.from_substituted, a.cost_micros, a.reported, a.not_called, a.settled_by, a.recipients,
           a.refused, a.price_micros, a.unknown_until, a.newer_class
         FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS w(tenant, id, nth)
         JOIN attempts a ON a.tenant = w.tenant AND a.message_id = w.id ORDER BY w.nth, a.number";
    let (tenants, ids) = split(keys);
    let rows = session.query(sql, &[&tenants, &ids]).await?;
    Ok(gather(&rows, "attempts", keys, attempt))
}

fn attempt(columns: &Columns<'_>) -> Result<AttemptRecord, StoreError> {
    let attempt = AttemptRecord {
        id: AttemptId::from_uuid(columns.value("id")?),
        provider: columns.word("provider")?,
        account: AccountId::new(columns.value::<&str>("account")?),
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
    let words = Words {
        not_called: columns.value("not_called")?,
        settled_by: columns.value("settled_by")?,
        newer_class: columns.value("newer_class")?,
    };
    Ok(facts::with_words(attempt, &words))
}

/// Ends the calls of messages whose process is dead as unknown, as [`AttemptRecord::lose`] does. Returns the messages of these calls.
pub(crate) async fn lose(session: &Session, tenants: &[&str], ids: &[Uuid]) -> Result<Vec<Uuid>, Fault> {
    let sql = "UPDATE attempts a SET outcome = 'unknown', class = 'unknown', code = 'process_ended',
           detail = 'the process ended during the call'
         FROM unnest($1::text[], $2::uuid[]) AS w(tenant, id)
         WHERE a.tenant = w.tenant AND a.message_id = w.id AND a.outcome = 'calling'
         RETURNING a.message_id";
    let rows = session.query(sql, &[&tenants, &ids]).await?;
    Ok(rows.iter().filter_map(|row| row.try_get("message_id").ok()).collect())
}

/// Messages with an unknown attempt of a provider account, called within a time, that was for an address.
pub(crate) async fn unknown_to(
    session: &Session,
    (provider, account): (ProviderKind, &AccountId),
    address: &str,
    called: &RangeInclusive<Timestamp>,
    limit: usize,
) -> Result<Vec<(TenantId, MessageId)>, Fault> {
    let sql = "SELECT DISTINCT a.message_id, a.tenant FROM attempts a
         JOIN recipients r ON r.tenant = a.tenant AND r.message_id = a.message_id
         WHERE a.provider = $1 AND a.account = $2 AND a.outcome = 'unknown' AND a.called_at BETWEEN $3 AND $4
           AND coalesce(r.folded, lower(r.address)) = ANY($5) AND (a.recipients IS NULL OR (a.recipients >> r.idx) & 1 = 1)
         ORDER BY a.message_id LIMIT $6";
    let spellings = spellings(provider.channel(), address);
    let spellings: Vec<_> = spellings.iter().map(|address| text(address)).collect();
    let (provider, account) = (provider.as_str(), account.as_str());
    let (since, until, limit) = (called.start().as_micros(), called.end().as_micros(), count(limit));
    let values: [Value<'_>; 6] = [&provider, &account, &since, &until, &spellings, &limit];
    let mut found = Vec::new();
    for row in session.query(sql, &values).await? {
        let columns = Columns {
            row: &row,
            table: "attempts",
            id: &"an unknown attempt",
        };
        found.push(columns.key("message_id")?);
    }
    Ok(found)
}

/// Recipients that a provider account has been handed since a time.
pub(crate) async fn recipients_sent_since(
    session: &Session,
    provider: ProviderKind,
    account: &AccountId,
    since: Timestamp,
) -> Result<u64, Fault> {
    let sql = "SELECT count(*) AS sent FROM attempts a
         JOIN recipients r ON r.tenant = a.tenant AND r.message_id = a.message_id
         WHERE a.provider = $1 AND a.account = $2 AND a.called_at >= $3 AND a.outcome IN ('accepted', 'unknown')
           AND CASE WHEN a.recipients IS NULL THEN r.status NOT IN ('suppressed', 'unsubscribed')
             ELSE (a.recipients >> r.idx) & 1 = 1 END";
    let rows = session
        .query(sql, &[&provider.as_str(), &account.as_str(), &since.as_micros()])
        .await?;
    Ok(super::row::one::<i64>(&rows, "sent")?.unsigned_abs())
}

/// When the account last took a message. The index of what was sent holds the accepted and the unknown calls, newest at its end.
pub(crate) async fn last_accepted(session: &Session, provider: ProviderKind, account: &AccountId) -> Result<Option<Timestamp>, Fault> {
    let sql = "SELECT called_at FROM attempts
         WHERE provider = $1 AND account = $2 AND outcome IN ('accepted', 'unknown') AND outcome = 'accepted'
         ORDER BY called_at DESC LIMIT 1";
    let rows = session.query(sql, &[&provider.as_str(), &account.as_str()]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(Timestamp::from_micros(super::row::one(&rows, "called_at")?)))
}
