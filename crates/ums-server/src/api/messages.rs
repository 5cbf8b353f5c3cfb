//! `GET /v1/messages`, `GET /v1/messages/{id}`, `GET /v1/messages/{id}/explain`: what became of messages.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use hyper::{StatusCode, Uri};
use serde::Serialize;
use ums_core::{EmailAddress, MessageFilter, MessageId, MessageRecord, PhoneNumber, Region, SendResult, Suppression};
use ums_story::{Explanation, MessageStory};

use crate::api::{App, json, store_problem};
use crate::problem::{ErrorCode, Problem};
use crate::query::{self, time, word};

/// How many messages a page holds unless the caller says otherwise.
const USUAL_LIMIT: usize = 50;
/// Most messages of a page.
const MAX_LIMIT: usize = 200;

/// `GET /v1/messages/{id}`.
pub(super) async fn one(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>) -> Response {
    match find_with_list(&app, id.ok()).await {
        Ok((record, suppressions)) => json(StatusCode::OK, &MessageStory::of(&record, &suppressions)),
        Err(problem) => problem.into_response(),
    }
}

/// `GET /v1/messages/{id}/explain`.
pub(super) async fn explain(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>) -> Response {
    match find_with_list(&app, id.ok()).await {
        Ok((record, suppressions)) => json(StatusCode::OK, &Explanation::of(&record, &suppressions)),
        Err(problem) => problem.into_response(),
    }
}

/// A message with the entries of the suppression list that its recipients are on.
async fn find_with_list(app: &App, id: Option<Path<String>>) -> Result<(MessageRecord, Vec<Suppression>), Problem> {
    let record = find(app, id).await?;
    let channel = record.message.content.channel();
    let mut suppressions = Vec::new();
    for recipient in &record.recipients {
        let tenant = &record.message.tenant;
        let entries = app
            .in_time(app.messaging.suppressions_of(tenant, channel, &recipient.address))
            .await?;
        suppressions.extend(entries.map_err(|error| store_problem(&error))?);
    }
    Ok((record, suppressions))
}

async fn find(app: &App, id: Option<Path<String>>) -> Result<MessageRecord, Problem> {
    let id = read_id(id)?;
    let record = app.in_time(app.messaging.message(&App::tenant(), id)).await?;
    record.map_err(|error| store_problem(&error))?.ok_or_else(missing)
}

/// The problem of a message that is not there.
pub(super) fn missing() -> Problem {
    Problem::new(ErrorCode::NoSuchMessage, "no message of yours has this id")
}

/// The id in a path; what is none belongs to no message.
pub(super) fn read_id(id: Option<Path<String>>) -> Result<MessageId, Problem> {
    id.and_then(|Path(id)| MessageId::from_str(&id).ok()).ok_or_else(missing)
}

/// A page of messages, newest first.
#[derive(Serialize)]
struct Page {
    data: Vec<SendResult>,
    next_cursor: Option<MessageId>,
}

/// `GET /v1/messages`.
pub(super) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let wanted = match Wanted::read(&uri, app.default_region) {
        Ok(wanted) => wanted,
        Err(problem) => return problem.into_response(),
    };
    let tenant = App::tenant();
    let listed = app.messaging.messages(&tenant, &wanted.filter, wanted.cursor, wanted.limit);
    match app.in_time(listed).await {
        Err(problem) => problem.into_response(),
        Ok(Ok(page)) => {
            let data = page.messages.iter().map(MessageRecord::result).collect();
            json(
                StatusCode::OK,
                &Page {
                    data,
                    next_cursor: page.next_cursor,
                },
            )
        }
        Ok(Err(error)) => store_problem(&error).into_response(),
    }
}

/// What a list's query asks for.
#[derive(Debug)]
struct Wanted {
    filter: MessageFilter,
    cursor: Option<MessageId>,
    limit: usize,
}

impl Wanted {
    fn read(uri: &Uri, region: Option<Region>) -> Result<Self, Problem> {
        let mut wanted = Self {
            filter: MessageFilter::default(),
            cursor: None,
            limit: USUAL_LIMIT,
        };
        query::read(uri, |name, value| wanted.set(name, value, region))?;
        Ok(wanted)
    }

    fn set(&mut self, name: &str, value: &str, region: Option<Region>) -> Result<(), String> {
        let filter = &mut self.filter;
        match name {
            "to" => filter.to = Some(recipient(value, region)?),
            "status" => filter.status = Some(word(value)?),
            "channel" => filter.channel = Some(word(value)?),
            "provider" => filter.provider = Some(word(value)?),
            "purpose" => filter.purpose = Some(word(value)?),
            "since" => filter.since = Some(time(value)?),
            "until" => filter.until = Some(time(value)?),
            "cursor" => self.cursor = Some(value.parse().map_err(|_| "must be the next_cursor of an earlier page".to_owned())?),
            "limit" => self.limit = query::limit(value, MAX_LIMIT)?,
            _ => return Err(query::UNKNOWN.to_owned()),
        }
        Ok(())
    }
}

/// A recipient in the form in which the store keeps it.
pub(super) fn recipient(value: &str, region: Option<Region>) -> Result<String, String> {
    if value.contains('@') {
        return EmailAddress::parse(value.trim())
            .map(|address| address.expose().to_owned())
            .map_err(|fault| fault.to_string());
    }
    // A bare `+` of a number arrives as a space.
    let number = value
        .strip_prefix(' ')
        .map_or_else(|| value.to_owned(), |digits| format!("+{digits}"));
    PhoneNumber::parse(&number, region)
        .map(|number| number.expose().to_owned())
        .map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_core::{ProviderKind, Status};

    fn read(query: &str) -> Result<Wanted, Problem> {
        let uri = format!("/v1/messages?{query}").parse().unwrap();
        Wanted::read(&uri, Some("US".parse().unwrap()))
    }

    #[test]
    fn filters_are_read() {
        let wanted = read("to=+14165550123&status=sent&provider=twilio&since=2026-11-22T10:00:00+02:00&limit=3").unwrap();
        assert_eq!(wanted.filter.to.as_deref(), Some("+14165550123"));
        assert_eq!(
            (wanted.filter.status, wanted.filter.provider),
            (Some(Status::Sent), Some(ProviderKind::Twilio))
        );
        assert_eq!(wanted.filter.since.unwrap().to_string(), "2026-11-22T08:00:00Z");
        assert_eq!(wanted.limit, 3);
        assert_eq!(read("to=4165550123").unwrap().filter.to.as_deref(), Some("+14165550123"));
        assert_eq!(
            read("to=Customer@EXAMPLE.com").unwrap().filter.to.as_deref(),
            Some("Customer@example.com")
        );
        assert_eq!(read("").unwrap().limit, USUAL_LIMIT);
    }

    #[test]
    fn wrong_parameters_are_told_without_their_values() {
        let problem =
            read("status=canary&limit=0&limit=1&since=canary&cursor=canary&to=canary%40&canary%40example.com=1&nosuch=1").unwrap_err();
        let fields: Vec<_> = problem.errors().iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["status", "limit", "limit", "since", "cursor", "to", "(unnamed)", "nosuch"]);
        assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
    }
}
