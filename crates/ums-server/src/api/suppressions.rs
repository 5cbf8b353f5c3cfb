//! `/v1/suppressions`: who is not to be contacted, and why.
//!
//! An address to be taken off the list stands in the query, not in the path: paths become routes, labels and file names. This service logs
//! neither; a proxy before it may log both.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ums_core::request::FieldFault;
use ums_core::{
    Channel, EmailAddress, ListName, MessageId, PhoneNumber, ProviderKind, Region, StoreError, Suppression, SuppressionCursor,
    SuppressionFilter, SuppressionOrigin, SuppressionPage, SuppressionReason, SuppressionScope, Timestamp, suppression_address,
};
use ums_delivery::{NewSuppression, Which};

use crate::api::acts::read;
use crate::api::{App, json, store_problem};
use crate::problem::{ErrorCode, Problem};
use crate::{body, query, shape};

/// How many entries a page holds unless the caller says otherwise.
const USUAL_LIMIT: usize = 100;
/// Most entries of a page, and of a request.
const MAX_ENTRIES: usize = 1_000;
/// Longest note of an entry, in bytes.
const MAX_DETAIL_BYTES: usize = 500;

/// An entry of the suppression list, as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionEntry {
    /// Which channel.
    pub channel: Channel,
    /// The address as it was reported: an e-mail address in lower case with its domain in ASCII, or the number.
    pub address: String,
    /// Why.
    pub reason: SuppressionReason,
    /// Which messages it bars: all, or mail to many.
    pub scope: SuppressionScope,
    /// The only mailing list that an unsubscribe is from; null for all lists.
    pub list: Option<ListName>,
    /// Who put it there.
    pub origin: SuppressionOrigin,
    /// The provider that reported or refused it.
    pub provider: Option<ProviderKind>,
    /// The message that led to it.
    pub message_id: Option<MessageId>,
    /// For people.
    pub detail: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; null for good.
    pub expires_at: Option<Timestamp>,
    /// When it was taken off the list last.
    pub lifted_at: Option<Timestamp>,
    /// Whether the address is not contacted because of it.
    pub in_force: bool,
}

impl SuppressionEntry {
    /// The entry as it stands now.
    pub fn of(entry: &Suppression, now: Timestamp) -> Self {
        Self {
            channel: entry.channel,
            address: entry.address.clone(),
            reason: entry.reason,
            scope: entry.reason.scope(),
            list: entry.list.clone(),
            origin: entry.origin,
            provider: entry.provider,
            message_id: entry.message_id,
            detail: entry.detail.clone(),
            since: entry.since,
            expires_at: entry.expires_at,
            lifted_at: entry.lifted_at,
            in_force: entry.is_in_force(now),
        }
    }
}

/// A page of the list, in the order of channel, address, reason and mailing list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionList {
    /// The entries.
    pub data: Vec<SuppressionEntry>,
    /// Give it to the next call to go on; null at the end.
    pub next_cursor: Option<String>,
}

impl SuppressionList {
    /// A page as callers see it now.
    pub fn of(page: &SuppressionPage, now: Timestamp) -> Self {
        Self {
            data: page.entries.iter().map(|entry| SuppressionEntry::of(entry, now)).collect(),
            next_cursor: page.next_cursor.as_ref().and_then(write_cursor),
        }
    }

    /// Reads a `next_cursor`; none when it is not one.
    pub fn read_cursor(text: &str) -> Option<SuppressionCursor> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

/// What adding to the list did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionsAdded {
    /// How many are new on it.
    pub added: u64,
    /// How many were on it already.
    pub known: u64,
    /// Each in the order of the request.
    pub entries: Vec<SuppressionAdded>,
}

/// One address that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionAdded {
    /// Which channel.
    pub channel: Channel,
    /// The address in the form in which the list keeps it.
    pub address: String,
    /// Why.
    pub reason: SuppressionReason,
    /// Which messages it bars.
    pub scope: SuppressionScope,
    /// The only mailing list that it is from; null for all lists.
    pub list: Option<ListName>,
    /// Whether it is new on the list.
    pub added: bool,
}

/// What taking an address off the list did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionsLifted {
    /// How many entries of it were in force.
    pub lifted: u64,
}

/// `GET /v1/suppressions`.
pub(super) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let wanted = match Wanted::read(&uri, app.default_region) {
        Ok(wanted) => wanted,
        Err(problem) => return problem.into_response(),
    };
    let tenant = App::tenant();
    let listed = app
        .messaging
        .suppressions(&tenant, &wanted.filter, wanted.cursor.as_ref(), wanted.limit);
    match app.in_time(listed).await {
        Err(problem) => problem.into_response(),
        Ok(Err(error)) => store_problem(&error).into_response(),
        Ok(Ok(page)) => json(StatusCode::OK, &SuppressionList::of(&page, app.clock.now())),
    }
}

/// `POST /v1/suppressions`.
pub(super) async fn add(State(app): State<Arc<App>>, request: Request) -> Response {
    let entries = read(&app, request, shape::SUPPRESSIONS, app.limits.list_body_bytes)
        .await
        .and_then(|object| entries_of(object, app.default_region, app.clock.now()));
    let entries = match entries {
        Ok(entries) => entries,
        Err(problem) => return problem.into_response(),
    };
    let (messaging, asked) = (app.messaging.clone(), entries.clone());
    match in_a_task(&app, async move { messaging.suppress(&App::tenant(), asked).await }).await {
        Ok(added) => json(StatusCode::OK, &told(&entries, &added)),
        Err(problem) => problem.into_response(),
    }
}

/// `DELETE /v1/suppressions`.
pub(super) async fn lift(State(app): State<Arc<App>>, uri: Uri, request: Request) -> Response {
    body::discard(request).await;
    let wanted = match Wanted::read_lift(&uri, app.default_region) {
        Ok(wanted) => wanted,
        Err(problem) => return problem.into_response(),
    };
    let messaging = app.messaging.clone();
    let lifted = in_a_task(&app, async move {
        let (channel, address, which) = wanted;
        messaging.unsuppress(&App::tenant(), channel, &address, &which).await
    });
    match lifted.await {
        Ok(lifted) => json(StatusCode::OK, &SuppressionsLifted { lifted }),
        Err(problem) => problem.into_response(),
    }
}

/// In a task of its own: a client that goes away leaves nothing half done.
async fn in_a_task<T: Send + 'static>(app: &App, work: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Result<T, Problem> {
    match app.in_time(tokio::spawn(work)).await? {
        Ok(done) => done.map_err(|error| store_problem(&error)),
        Err(_) => Err(Problem::new(
            ErrorCode::Internal,
            "it broke off within the service; look at the list before you repeat it",
        )),
    }
}

fn told(entries: &[NewSuppression], added: &[bool]) -> SuppressionsAdded {
    let entries: Vec<_> = entries
        .iter()
        .zip(added)
        .map(|(entry, added)| SuppressionAdded {
            channel: entry.channel,
            address: suppression_address(entry.channel, &entry.address),
            reason: entry.reason,
            scope: entry.reason.scope(),
            list: entry.list.clone(),
            added: *added,
        })
        .collect();
    let added = entries.iter().filter(|entry| entry.added).count();
    SuppressionsAdded {
        added: added as u64,
        known: (entries.len() - added) as u64,
        entries,
    }
}

/// Reads what is to be added: one entry, or many; types and words were checked already.
fn entries_of(mut object: Map<String, Value>, region: Option<Region>, now: Timestamp) -> Result<Vec<NewSuppression>, Problem> {
    let fault = |field: &str, reason: &str| Err(Problem::fault(ErrorCode::InvalidFields, field, reason));
    let Some(items) = object.remove("entries") else {
        return entry_of(&object, "", region, now)
            .map(|entry| vec![entry])
            .map_err(|faults| Problem::faults(ErrorCode::InvalidFields, faults));
    };
    if !object.is_empty() {
        return fault("entries", "must stand alone: give one entry's fields, or a list of entries");
    }
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    if !(1..=MAX_ENTRIES).contains(&items.len()) {
        return fault("entries", &format!("must hold 1 to {MAX_ENTRIES} entries"));
    }
    let (mut entries, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
    for (place, item) in items.iter().enumerate() {
        let prefix = format!("entries[{place}].");
        match entry_of(item.as_object().unwrap_or(&Map::new()), &prefix, region, now) {
            Ok(entry) => entries.push(entry),
            Err(found) => faults.extend(found),
        }
    }
    faults.truncate(shape::MAX_FAULTS);
    if faults.is_empty() {
        Ok(entries)
    } else {
        Err(Problem::faults(ErrorCode::InvalidFields, faults))
    }
}

fn entry_of(object: &Map<String, Value>, prefix: &str, region: Option<Region>, now: Timestamp) -> Result<NewSuppression, Vec<FieldFault>> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, reason: String| {
        faults.push(FieldFault {
            field: format!("{prefix}{field}"),
            reason,
        });
    };
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let channel = text("channel").and_then(|word| word.parse().ok());
    let address = match text("address").map(|address| address_of(channel, address, region)) {
        Some(Ok(address)) => Some(address),
        Some(Err(reason)) => {
            fault("address", reason);
            None
        }
        None => {
            fault("address", "must be there".to_owned());
            None
        }
    };
    let detail = text("detail");
    if detail.is_some_and(|detail| detail.len() > MAX_DETAIL_BYTES || detail.chars().any(char::is_control)) {
        fault(
            "detail",
            format!("must be at most {MAX_DETAIL_BYTES} bytes without line breaks or control characters"),
        );
    }
    let reason = text("reason")
        .and_then(|word| word.parse().ok())
        .unwrap_or(SuppressionReason::Manual);
    let list = text("list").map(|name| list_of(name, reason)).transpose();
    if let Err(reason) = &list {
        fault("list", reason.clone());
    }
    let time = |name: &str| text(name).and_then(Timestamp::parse_rfc3339);
    let expires_at = time("expires_at");
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        fault("expires_at", "must be later than now".to_owned());
    }
    match address {
        Some((channel, address)) if faults.is_empty() => Ok(NewSuppression {
            channel,
            address,
            reason,
            list: list.ok().flatten(),
            origin: text("origin")
                .and_then(|word| word.parse().ok())
                .unwrap_or(SuppressionOrigin::Operator),
            detail: detail.map(str::to_owned),
            since: time("since"),
            expires_at,
        }),
        Some(_) | None => Err(faults),
    }
}

/// Reads the mailing list of an entry: only an unsubscribe may be of one.
fn list_of(name: &str, reason: SuppressionReason) -> Result<ListName, String> {
    if reason.scope() == SuppressionScope::All {
        return Err("is for reason unsubscribe only: an entry for another reason bars every message".to_owned());
    }
    ListName::parse(name).map_err(|fault| fault.to_string())
}

/// Reads an address as a send does; without a channel an `@` makes it an e-mail address.
fn address_of(channel: Option<Channel>, text: &str, region: Option<Region>) -> Result<(Channel, String), String> {
    let by_form = if text.contains('@') { Channel::Email } else { Channel::Sms };
    match channel.unwrap_or(by_form) {
        Channel::Email => EmailAddress::parse(text)
            .map(|address| (Channel::Email, address.expose().to_owned()))
            .map_err(|fault| fault.to_string()),
        Channel::Sms => PhoneNumber::parse(text, region)
            .map(|number| (Channel::Sms, number.expose().to_owned()))
            .map_err(|fault| fault.to_string()),
    }
}

/// What a query asks for.
#[derive(Debug, Default)]
struct Wanted {
    filter: SuppressionFilter,
    /// The mailing list of the entry to be lifted.
    list: Option<ListName>,
    cursor: Option<SuppressionCursor>,
    limit: usize,
}

impl Wanted {
    fn read(uri: &Uri, region: Option<Region>) -> Result<Self, Problem> {
        let mut wanted = Self {
            limit: USUAL_LIMIT,
            ..Self::default()
        };
        let mut address = None;
        query::read(uri, |name, value| match name {
            "cursor" => {
                let cursor = SuppressionList::read_cursor(value).ok_or_else(|| "must be the next_cursor of an earlier page".to_owned())?;
                wanted.cursor = Some(cursor);
                Ok(())
            }
            "limit" => query::limit(value, MAX_ENTRIES).map(|limit| wanted.limit = limit),
            "with_lifted" => query::truth(value).map(|with_lifted| wanted.filter.with_lifted = with_lifted),
            _ => wanted.set(name, value, &mut address),
        })?;
        wanted.take_address(address, region)?;
        Ok(wanted)
    }

    fn read_lift(uri: &Uri, region: Option<Region>) -> Result<(Channel, String, Which), Problem> {
        let mut wanted = Self::default();
        let mut address = None;
        query::read(uri, |name, value| match name {
            "list" => {
                wanted.list = Some(ListName::parse(value).map_err(|fault| fault.to_string())?);
                Ok(())
            }
            _ => wanted.set(name, value, &mut address),
        })?;
        wanted.take_address(address, region)?;
        let which = Which {
            reason: wanted.filter.reason,
            list: wanted.list,
        };
        match (wanted.filter.channel, wanted.filter.address) {
            (Some(channel), Some(address)) => Ok((channel, address, which)),
            (_, _) => Err(Problem::fault(ErrorCode::InvalidQuery, "address", "must be there")),
        }
    }

    fn set(&mut self, name: &str, value: &str, address: &mut Option<String>) -> Result<(), String> {
        match name {
            "channel" => self.filter.channel = Some(query::word(value)?),
            "reason" => self.filter.reason = Some(query::word(value)?),
            // A bare `+` of a number arrives as a space.
            "address" => {
                let number = value.strip_prefix(' ').map(|digits| format!("+{digits}"));
                *address = Some(number.unwrap_or_else(|| value.to_owned()));
            }
            _ => return Err(query::UNKNOWN.to_owned()),
        }
        Ok(())
    }

    /// An address is read when its channel is known.
    fn take_address(&mut self, address: Option<String>, region: Option<Region>) -> Result<(), Problem> {
        let Some(address) = address else { return Ok(()) };
        let (channel, address) = address_of(self.filter.channel, &address, region)
            .map_err(|reason| Problem::fault(ErrorCode::InvalidQuery, "address", &reason))?;
        (self.filter.channel, self.filter.address) = (Some(channel), Some(address));
        Ok(())
    }
}

pub(crate) fn write_cursor(cursor: &SuppressionCursor) -> Option<String> {
    serde_json::to_vec(cursor).ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let cursor = SuppressionCursor {
            channel: Channel::Email,
            address: "ann@example.com".to_owned(),
            reason: SuppressionReason::Complaint,
            list: None,
        };
        assert_eq!(SuppressionList::read_cursor(&write_cursor(&cursor).unwrap()), Some(cursor));
        for bad in ["", "e30", "canary", "=", "W10"] {
            assert_eq!(SuppressionList::read_cursor(bad), None, "{bad}");
        }
    }

    #[test]
    fn queries_are_read_and_their_faults_told_without_values() {
        let region: Region = "US".parse().unwrap();
        let read = |query: &str| Wanted::read(&format!("/v1/suppressions?{query}").parse().unwrap(), Some(region));
        let wanted = read("address=4165550123&reason=stop&limit=7&with_lifted=true").unwrap();
        assert_eq!(
            (wanted.filter.channel, wanted.filter.address.as_deref()),
            (Some(Channel::Sms), Some("+14165550123"))
        );
        assert_eq!(
            (wanted.filter.reason, wanted.limit, wanted.filter.with_lifted),
            (Some(SuppressionReason::Stop), 7, true)
        );
        assert_eq!(
            read("address=+14165550123").unwrap().filter.address.as_deref(),
            Some("+14165550123")
        );
        let problem = read("channel=canary&reason=canary&limit=1001&cursor=canary&with_lifted=canary&to=canary").unwrap_err();
        let fields: Vec<_> = problem.errors().iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["channel", "reason", "limit", "cursor", "with_lifted", "to"]);
        assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
        let problem = read("channel=sms&address=canary%40example.com").unwrap_err();
        assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
    }
}
