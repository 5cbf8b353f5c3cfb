//! The suppression list.
//!
//! What is on it must be seen by every transaction that would contact somebody, whichever process it is in. A transaction that
//! changes the list holds a lock alone from its first statement to its end ([`BEGIN_CHANGE`]); one that looks at the list before
//! it stores a message or an intent holds it together with others ([`BEGIN_LOOK`]). So the list that was looked at is the
//! one at the commit.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::Row;
use ums_core::{
    AccountId, Channel, Lift, ListChange, ListName, ListNotice, MessageId, Notice, ProviderKind, Status, StoreError, Suppression,
    SuppressionCursor, SuppressionFilter, SuppressionOrigin, SuppressionPage, SuppressionReason, TenantId, Timestamp, spellings,
};
use uuid::Uuid;

use super::connection::{Fault, Session, Value};
use super::notices;
use super::row::{Columns, count, optional_text, text};
use crate::listed::{self, Call, Listed, Listing};

/// Begins a transaction that looks at the list and acts on it.
pub(crate) const BEGIN_LOOK: &str = "BEGIN; SELECT pg_advisory_xact_lock_shared(7893522, hashtext(current_schema()))";
/// Begins a transaction that changes the list.
pub(crate) const BEGIN_CHANGE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7893522, hashtext(current_schema()))";

/// A message's key.
type Key = (TenantId, MessageId);

/// Whom a transaction would contact.
#[derive(Debug, Default)]
pub(crate) struct Contacts<'a> {
    /// Tenant, message, channel, address.
    given: (Vec<&'a str>, Vec<Uuid>, Vec<&'static str>, Vec<String>),
    /// Calls for recipients that are stored.
    stored: Stored<'a>,
}

/// Calls, column by column; the recipients as [`ums_core::RecipientSet::bits`].
#[derive(Debug, Default)]
struct Stored<'a> {
    tenant: Vec<&'a str>,
    message_id: Vec<Uuid>,
    channel: Vec<&'static str>,
    recipients: Vec<Option<i64>>,
}

impl<'a> Contacts<'a> {
    /// Adds the addresses of a message.
    pub(crate) fn add(&mut self, tenant: &'a TenantId, id: MessageId, channel: Channel, addresses: BTreeSet<String>) {
        for address in addresses {
            self.given.0.push(tenant.as_str());
            self.given.1.push(id.as_uuid());
            self.given.2.push(channel.as_str());
            self.given.3.push(text(&address).into_owned());
        }
    }

    /// Adds those recipients of a message that a call is for, that are stored and have no outcome yet.
    pub(crate) fn add_stored(&mut self, tenant: &'a TenantId, id: MessageId, call: Call) {
        self.stored.tenant.push(tenant.as_str());
        self.stored.message_id.push(id.as_uuid());
        self.stored.channel.push(call.channel.as_str());
        self.stored.recipients.push(call.recipients.bits());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.given.0.is_empty() && self.stored.tenant.is_empty()
    }
}

/// What is known of the addresses that a transaction would contact, message by message; messages without any are left out.
pub(crate) async fn of_contacts(session: &Session, contacts: &Contacts<'_>) -> Result<HashMap<Key, Listing>, Fault> {
    let mut listings: HashMap<Key, Listing> = HashMap::new();
    if contacts.is_empty() {
        return Ok(listings);
    }
    let sql =
        "SELECT w.message_id AS contacted, s.tenant, s.channel, s.address, s.reason, s.list, s.since, s.lifted_at, s.expires_at, s.origin,
           s.provider, s.account, s.message_id, s.detail
         FROM (SELECT g.tenant, g.message_id, g.channel, g.address
             FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) AS g(tenant, message_id, channel, address)
           UNION ALL
           SELECT k.tenant, k.message_id, k.channel, coalesce(r.folded, lower(r.address))
             FROM unnest($5::text[], $6::uuid[], $7::text[], $8::bigint[]) AS k(tenant, message_id, channel, recipients)
             JOIN recipients r ON r.tenant = k.tenant AND r.message_id = k.message_id
             WHERE r.status = ANY($9) AND (k.recipients IS NULL OR (k.recipients >> r.idx) & 1 = 1)) AS w
         JOIN suppression_list s ON s.tenant = w.tenant AND s.channel = w.channel AND s.address = w.address";
    let open: Vec<&str> = Status::ALL
        .iter()
        .filter(|status| !status.is_final())
        .map(|status| status.as_str())
        .collect();
    let (given, stored) = (&contacts.given, &contacts.stored);
    let values: [Value<'_>; 9] = [
        &given.0,
        &given.1,
        &given.2,
        &given.3,
        &stored.tenant,
        &stored.message_id,
        &stored.channel,
        &stored.recipients,
        &open,
    ];
    for row in session.query(sql, &values).await? {
        let columns = columns(&row);
        let key = columns.key("contacted")?;
        let (_, _, address, reason, list) = place(&columns)?;
        listings.entry(key).or_default().insert((address, reason, list), listed(&columns)?);
    }
    Ok(listings)
}

/// The place of an entry: tenant, channel, address, the reason's word, the mailing list.
type Place = (TenantId, Channel, String, &'static str, String);

/// A change of the list.
#[derive(Clone, Copy, Debug)]
enum Change<'a> {
    Put(&'a Suppression),
    Lift(&'a Lift),
}

/// Changes of the list, with their notices.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    changes: Vec<Change<'a>>,
    /// Each with the place of its change.
    notices: Vec<(usize, &'a Notice)>,
}

impl<'a> Changes<'a> {
    /// Adds the changes of a step, an event or a call.
    pub(crate) fn add(&mut self, suppress: &'a [Suppression], lift: &'a [Lift], notices: &'a [ListNotice]) {
        let first = self.changes.len();
        self.changes.extend(suppress.iter().map(Change::Put));
        self.changes.extend(lift.iter().map(Change::Lift));
        let place = |of| match of {
            ListChange::Suppressed(place) => first + place,
            ListChange::Lifted(place) => first + suppress.len() + place,
        };
        self.notices.extend(notices.iter().map(|one| (place(one.of), &one.notice)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Changes the list, one after the other, and adds the notices of what had an effect. For each: whether an entry came into force with it,
    /// or was until then. The transaction was begun by [`BEGIN_CHANGE`].
    pub(crate) async fn write(&self, session: &Session, now: Timestamp) -> Result<Vec<bool>, Fault> {
        if self.changes.is_empty() {
            return Ok(Vec::new());
        }
        let places: BTreeSet<Place> = self.changes.iter().flat_map(Change::places).collect();
        let mut list = at(session, &places).await?;
        let answers: Vec<bool> = self.changes.iter().map(|change| change.apply(&mut list, now)).collect();
        write(session, &list).await?;
        let had_effect = |place: usize| answers.get(place) == Some(&true);
        let told = self.notices.iter().filter(|(place, _)| had_effect(*place));
        notices::add(session, &told.map(|(_, notice)| *notice).collect()).await?;
        Ok(answers)
    }
}

impl Change<'_> {
    /// The places of the subscriber: one for each spelling.
    fn places(&self) -> Vec<Place> {
        let (tenant, channel, address, reason, list) = match self {
            Self::Put(entry) => (&entry.tenant, entry.channel, &entry.address, entry.reason, &entry.list),
            Self::Lift(lift) => (&lift.tenant, lift.channel, &lift.address, lift.reason, &lift.list),
        };
        let list = list.as_ref().filter(|_| listed::is_of_lists(reason));
        let list = text(listed::list_key(list)).into_owned();
        let place = |spelling: String| (tenant.clone(), channel, text(&spelling).into_owned(), reason.as_str(), list.clone());
        spellings(channel, address).into_iter().map(place).collect()
    }

    /// Whether an entry came into force, or was until now.
    fn apply(&self, known: &mut BTreeMap<Place, Listed>, now: Timestamp) -> bool {
        let is_in_force = |known: &BTreeMap<Place, Listed>, place: &Place| known.get(place).is_some_and(|listed| listed.is_in_force(now));
        match self {
            Self::Put(entry) => {
                let was_in_force = self.places().iter().any(|place| is_in_force(known, place));
                let entry = listed::put_in_form((*entry).clone());
                let address = text(&entry.address).into_owned();
                let list = text(listed::list_key(entry.list.as_ref())).into_owned();
                let place = (entry.tenant.clone(), entry.channel, address, entry.reason.as_str(), list);
                let listed = known.entry(place).or_default();
                listed.put(entry);
                !was_in_force && listed.is_in_force(now)
            }
            Self::Lift(lift) => {
                let mut is_lifted = false;
                for place in self.places() {
                    if known.contains_key(&place) || listed::is_kept_alone(lift.reason) {
                        let was_in_force = is_in_force(known, &place);
                        let listed = known.entry(place).or_default();
                        listed.lift(lift.at);
                        is_lifted |= was_in_force && !listed.is_in_force(now);
                    }
                }
                is_lifted
            }
        }
    }
}

/// What is at some places of the list.
async fn at(session: &Session, places: &BTreeSet<Place>) -> Result<BTreeMap<Place, Listed>, Fault> {
    let sql =
        "SELECT s.tenant, s.channel, s.address, s.reason, s.list, s.since, s.lifted_at, s.expires_at, s.origin, s.provider, s.account, s.message_id, s.detail
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS w(tenant, channel, address, reason, list)
         JOIN suppression_list s ON s.tenant = w.tenant AND s.channel = w.channel AND s.address = w.address AND s.reason = w.reason
           AND s.list = w.list";
    let tenants: Vec<&str> = places.iter().map(|place| place.0.as_str()).collect();
    let channels: Vec<&str> = places.iter().map(|place| place.1.as_str()).collect();
    let addresses: Vec<&str> = places.iter().map(|place| place.2.as_str()).collect();
    let reasons: Vec<&str> = places.iter().map(|place| place.3).collect();
    let lists: Vec<&str> = places.iter().map(|place| place.4.as_str()).collect();
    let mut list = BTreeMap::new();
    for row in session.query(sql, &[&tenants, &channels, &addresses, &reasons, &lists]).await? {
        let columns = columns(&row);
        list.insert(place(&columns)?, listed(&columns)?);
    }
    Ok(list)
}

/// Entries column by column.
#[derive(Default)]
struct Rows<'a> {
    since: Vec<Option<i64>>,
    lifted_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    origin: Vec<Option<&'static str>>,
    provider: Vec<Option<&'static str>>,
    account: Vec<Option<&'a str>>,
    message_id: Vec<Option<Uuid>>,
    detail: Vec<Option<Cow<'a, str>>>,
}

impl<'a> Rows<'a> {
    fn add(&mut self, listed: &'a Listed) {
        let (entry, lifted_at) = listed.parts();
        self.since.push(entry.map(|entry| entry.since.as_micros()));
        self.lifted_at.push(lifted_at.map(Timestamp::as_micros));
        self.expires_at
            .push(entry.and_then(|entry| entry.expires_at).map(Timestamp::as_micros));
        self.origin.push(entry.map(|entry| entry.origin.as_str()));
        self.provider.push(entry.and_then(|entry| entry.provider).map(ProviderKind::as_str));
        self.account
            .push(entry.and_then(|entry| entry.account.as_ref()).map(AccountId::as_str));
        self.message_id
            .push(entry.and_then(|entry| entry.message_id).map(MessageId::as_uuid));
        self.detail.push(optional_text(entry.and_then(|entry| entry.detail.as_deref())));
    }
}

async fn write(session: &Session, list: &BTreeMap<Place, Listed>) -> Result<(), Fault> {
    let for_all =
        "INSERT INTO suppressions (tenant, channel, address, reason, since, lifted_at, expires_at, origin, provider, account, message_id, detail)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
           $9::text[], $10::text[], $11::uuid[], $12::text[])
         ON CONFLICT (tenant, channel, address, reason) DO UPDATE SET since = excluded.since, lifted_at = excluded.lifted_at,
           expires_at = excluded.expires_at, origin = excluded.origin, provider = excluded.provider, account = excluded.account, message_id = excluded.message_id,
           detail = excluded.detail";
    let of_lists =
        "INSERT INTO list_opt_outs (tenant, channel, address, list, since, lifted_at, expires_at, origin, provider, account, message_id, detail)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
           $9::text[], $10::text[], $11::uuid[], $12::text[])
         ON CONFLICT (tenant, channel, address, list) DO UPDATE SET since = excluded.since, lifted_at = excluded.lifted_at,
           expires_at = excluded.expires_at, origin = excluded.origin, provider = excluded.provider, account = excluded.account, message_id = excluded.message_id,
           detail = excluded.detail";
    let (of_one_list, of_all): (Vec<_>, Vec<_>) = list.iter().partition(|(place, _)| !place.4.is_empty());
    write_to(session, for_all, of_all, |place| place.3).await?;
    write_to(session, of_lists, of_one_list, |place| &place.4).await
}

/// Writes entries to one of the two tables, whose keys end with the reason or with the list.
async fn write_to(session: &Session, sql: &'static str, list: Vec<(&Place, &Listed)>, end_of_key: fn(&Place) -> &str) -> Result<(), Fault> {
    if list.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = list.iter().map(|(place, _)| place.0.as_str()).collect();
    let channels: Vec<&str> = list.iter().map(|(place, _)| place.1.as_str()).collect();
    let addresses: Vec<&str> = list.iter().map(|(place, _)| place.2.as_str()).collect();
    let ends: Vec<&str> = list.iter().map(|(place, _)| end_of_key(place)).collect();
    let mut rows = Rows::default();
    for (_, listed) in &list {
        rows.add(listed);
    }
    let values: [Value<'_>; 12] = [
        &tenants,
        &channels,
        &addresses,
        &ends,
        &rows.since,
        &rows.lifted_at,
        &rows.expires_at,
        &rows.origin,
        &rows.provider,
        &rows.account,
        &rows.message_id,
        &rows.detail,
    ];
    session.execute(sql, &values).await.map(drop)
}

/// Entries in force for any of these addresses.
pub(crate) async fn in_force(
    session: &Session,
    tenant: &TenantId,
    channel: Channel,
    addresses: &[String],
    now: Timestamp,
) -> Result<Vec<Suppression>, Fault> {
    let sql =
        "SELECT s.tenant, s.channel, s.address, s.reason, s.list, s.since, s.lifted_at, s.expires_at, s.origin, s.provider, s.account, s.message_id, s.detail
         FROM unnest($3::text[]) AS w(address)
         JOIN suppression_list s ON s.tenant = $1 AND s.channel = $2 AND s.address = w.address
         WHERE (s.lifted_at IS NULL OR s.since > s.lifted_at) AND (s.expires_at IS NULL OR s.expires_at > $4)
         ORDER BY s.address, s.reason, s.list";
    let spellings = listed::all_spellings(channel, addresses);
    let spellings: Vec<Cow<'_, str>> = spellings.iter().map(|address| text(address)).collect();
    let values: [Value<'_>; 4] = [&tenant.as_str(), &channel.as_str(), &spellings, &now.as_micros()];
    entries(&session.query(sql, &values).await?)
}

/// Entries in the order of the list.
pub(crate) async fn page(
    session: &Session,
    tenant: &TenantId,
    filter: &SuppressionFilter,
    (cursor, now): (Option<&SuppressionCursor>, Timestamp),
    limit: usize,
) -> Result<SuppressionPage, Fault> {
    let all =
        "SELECT s.tenant, s.channel, s.address, s.reason, s.list, s.since, s.lifted_at, s.expires_at, s.origin, s.provider, s.account, s.message_id, s.detail
         FROM suppression_list s
         WHERE s.tenant = $1 AND (s.channel, s.address, s.reason, s.list) > ($2, $3, $4, $12) AND s.since IS NOT NULL
           AND ($5::text IS NULL OR s.channel = $5) AND ($6::text IS NULL OR s.reason = $6) AND $7::text[] IS NULL AND $8::text[] IS NULL
           AND ($9 OR ((s.lifted_at IS NULL OR s.since > s.lifted_at) AND (s.expires_at IS NULL OR s.expires_at > $10)))
         ORDER BY s.channel, s.address, s.reason, s.list LIMIT $11";
    // The address in every spelling that each channel knows.
    let by_address =
        "SELECT s.tenant, s.channel, s.address, s.reason, s.list, s.since, s.lifted_at, s.expires_at, s.origin, s.provider, s.account, s.message_id, s.detail
         FROM (SELECT 'email', unnest($7::text[]) UNION ALL SELECT 'sms', unnest($8::text[])) AS w(channel, address)
         JOIN suppression_list s ON s.tenant = $1 AND s.channel = w.channel AND s.address = w.address
         WHERE (s.channel, s.address, s.reason, s.list) > ($2, $3, $4, $12) AND s.since IS NOT NULL
           AND ($5::text IS NULL OR s.channel = $5) AND ($6::text IS NULL OR s.reason = $6)
           AND ($9 OR ((s.lifted_at IS NULL OR s.since > s.lifted_at) AND (s.expires_at IS NULL OR s.expires_at > $10)))
         ORDER BY s.channel, s.address, s.reason, s.list LIMIT $11";
    let sql = if filter.address.is_some() { by_address } else { all };
    let (channel, address, reason) = cursor.map_or(("", Cow::Borrowed(""), ""), |cursor| {
        (cursor.channel.as_str(), text(&cursor.address), cursor.reason.as_str())
    });
    let only_channel = filter.channel.map(Channel::as_str);
    let only_reason = filter.reason.map(SuppressionReason::as_str);
    let of = |channel| {
        let spellings = listed::filtered_spellings(filter, channel)?;
        Some(spellings.iter().map(|address| text(address).into_owned()).collect::<Vec<_>>())
    };
    let (mails, numbers) = (of(Channel::Email), of(Channel::Sms));
    let more_than_wanted = count(limit.saturating_add(1));
    let list = text(listed::list_key(cursor.and_then(|cursor| cursor.list.as_ref())));
    let values: [Value<'_>; 12] = [
        &tenant.as_str(),
        &channel,
        &address,
        &reason,
        &only_channel,
        &only_reason,
        &mails,
        &numbers,
        &filter.with_lifted,
        &now.as_micros(),
        &more_than_wanted,
        &list,
    ];
    let mut entries = entries(&session.query(sql, &values).await?)?;
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

fn columns(row: &Row) -> Columns<'_> {
    Columns {
        row,
        table: "suppressions",
        id: &"an entry",
    }
}

fn place(columns: &Columns<'_>) -> Result<Place, StoreError> {
    let reason: SuppressionReason = columns.word("reason")?;
    Ok((
        TenantId::new(columns.value::<&str>("tenant")?),
        columns.word("channel")?,
        columns.value("address")?,
        reason.as_str(),
        columns.value("list")?,
    ))
}

/// The mailing list of an entry; none for all lists.
fn list(columns: &Columns<'_>) -> Result<Option<ListName>, StoreError> {
    let list: &str = columns.value("list")?;
    if list.is_empty() {
        Ok(None)
    } else {
        columns.word("list").map(Some)
    }
}

fn listed(columns: &Columns<'_>) -> Result<Listed, StoreError> {
    let mut listed = Listed::default();
    if columns.optional_time("since")?.is_some() {
        listed.put(entry(columns)?);
    }
    if let Some(lifted_at) = columns.optional_time("lifted_at")? {
        listed.lift(lifted_at);
    }
    Ok(listed)
}

fn entries(rows: &[Row]) -> Result<Vec<Suppression>, Fault> {
    rows.iter().map(|row| Ok(entry(&columns(row))?)).collect()
}

fn entry(columns: &Columns<'_>) -> Result<Suppression, StoreError> {
    let origin: SuppressionOrigin = columns.word("origin")?;
    Ok(Suppression {
        tenant: TenantId::new(columns.value::<&str>("tenant")?),
        channel: columns.word("channel")?,
        address: columns.value("address")?,
        reason: columns.word("reason")?,
        list: list(columns)?,
        origin,
        provider: columns.optional_word("provider")?,
        account: columns.value::<Option<&str>>("account")?.map(AccountId::new),
        message_id: columns.value::<Option<Uuid>>("message_id")?.map(MessageId::from_uuid),
        detail: columns.value("detail")?,
        since: columns.time("since")?,
        expires_at: columns.optional_time("expires_at")?,
        lifted_at: columns.optional_time("lifted_at")?,
    })
}
