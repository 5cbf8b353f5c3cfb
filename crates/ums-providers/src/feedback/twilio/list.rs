//! Twilio's message list: `GET /2010-04-01/Accounts/{sid}/Messages.json`, for a service that Twilio cannot post to.
//!
//! A *sweep* reads all pages from a day on, newest first, one page a poll. The next sweep goes back to the oldest message that had no last word in
//! this one, so that late receipts are seen; never further back than the horizon. Messages that people wrote to us are in the list too: an
//! opt-out is heard without a callback.
//!
//! What a message's status was is told by the same events as a callback would, with the same ids; our own ids are not in the list.
//! Source: twilio.com/docs/messaging/api/message-resource; read 2026-11-22.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use ums_core::{AccountId, Event, Failure, FailureClass, FeedbackSource, Polled, Secret, Timestamp};

use super::KIND;
use super::events::{Told, inbound, outbound};
use crate::Error;
use crate::classify::Sent;
use crate::feedback::reading;
use crate::http::{Origin, Outgoing, Transport};
use crate::send::twilio::{PUBLIC_URL, outcome};

/// Longest wait for a page.
const ASK_TIME: Duration = Duration::from_secs(15);
/// Messages in a page. A message with 1,600 characters, all escaped, takes 11 KB; so many of them are within the transport's cap.
const PAGE_SIZE: u32 = 20;
/// Most pages in a sweep: a list that never ends is not followed for ever.
const MAX_PAGES: u32 = 5_000;
/// What a sweep goes back behind the last one's start: clocks differ.
const OVERLAP: Duration = Duration::from_mins(10);

/// Settings of the list's reader.
#[derive(Clone, Debug)]
pub struct TwilioListSettings {
    /// Account at Twilio, by our name.
    pub account: AccountId,
    /// The account (`AC…`).
    pub account_sid: String,
    /// Its token.
    pub auth_token: Secret,
    /// Another endpoint than the global one.
    pub base_url: Option<String>,
    /// How often a sweep begins; default 1 minute.
    pub every: Duration,
    /// How long the last word on a message is waited for; default 12 hours (a message is queued for at most 10).
    pub horizon: Duration,
}

impl Default for TwilioListSettings {
    fn default() -> Self {
        Self {
            account: AccountId::default(),
            account_sid: String::new(),
            auth_token: Secret::new(""),
            base_url: None,
            every: Duration::from_mins(1),
            horizon: Duration::from_hours(12),
        }
    }
}

/// Asks Twilio what became of messages.
#[derive(Debug)]
pub struct TwilioList {
    name: String,
    account: AccountId,
    account_sid: String,
    transport: Arc<Transport>,
    origin: Arc<Origin>,
    headers: [(HeaderName, HeaderValue); 1],
    every: Duration,
    horizon: Duration,
}

/// Where a sweep stands, kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// From when on the next sweep reads, if this one is at its end; else from when on this one reads.
    since: Timestamp,
    /// The sweep that is under way.
    sweep: Option<Sweep>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sweep {
    /// When it began.
    began: Timestamp,
    /// The query of its next page.
    query: String,
    /// Pages read.
    pages: u32,
    /// The oldest message seen that has no last word yet.
    open: Option<Timestamp>,
}

impl TwilioList {
    /// Sets it up; nothing is opened before the first poll.
    ///
    /// # Errors
    /// [`Error`] when the endpoint is not one, or the account's SID is not a word.
    pub fn new(settings: TwilioListSettings, transport: &Arc<Transport>) -> Result<Self, Error> {
        let TwilioListSettings {
            account,
            account_sid,
            auth_token,
            base_url,
            every,
            horizon,
        } = settings;
        if account_sid.is_empty() || !account_sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::setting(KIND, "the account SID", "must be letters and digits"));
        }
        let origin = transport
            .origin(base_url.as_deref().unwrap_or(PUBLIC_URL))
            .map_err(|bad| Error::endpoint(KIND, bad))?;
        let basic = format!("Basic {}", STANDARD.encode(format!("{account_sid}:{}", auth_token.expose())));
        let mut authorization = HeaderValue::from_str(&basic).map_err(|_| Error::setting(KIND, "the auth token", "cannot be sent"))?;
        authorization.set_sensitive(true);
        Ok(Self {
            name: format!("twilio.{account}"),
            account,
            account_sid,
            transport: Arc::clone(transport),
            origin,
            headers: [(header::AUTHORIZATION, authorization)],
            every,
            horizon,
        })
    }

    fn path(&self) -> String {
        format!("/2010-04-01/Accounts/{}/Messages.json", self.account_sid)
    }

    async fn page(&self, query: &str) -> Result<Page, Failure> {
        let unreadable = || Failure::provider(FailureClass::Unavailable, "unreadable", "Twilio's message list cannot be read");
        let target = self.origin.target(&format!("{}?{query}", self.path())).map_err(|_| unreadable())?;
        let request = Outgoing {
            method: Method::GET,
            target: &target,
            headers: &self.headers,
            body: Bytes::new(),
        };
        let reply = self.transport.exchange(&self.origin, &request, ASK_TIME).await?;
        let answer = reply.answer(self.transport.clock().now());
        if !answer.is_success() {
            return Err(outcome(&answer, Sent::UNKNOWN).err().unwrap_or_else(unreadable));
        }
        serde_json::from_slice(answer.body).map_err(|_| unreadable())
    }

    /// The query of the next page; none at the end. The token is sent only to the list it belongs to: another host, path or account ends in an error.
    fn next_query(&self, uri: Option<&str>) -> Result<Option<String>, Failure> {
        let Some(uri) = uri else {
            return Ok(None);
        };
        let path = uri.strip_prefix(&self.origin.root()).unwrap_or(uri);
        let query = path
            .split_once('?')
            .filter(|(path, _)| *path == self.path() || self.origin.target(&self.path()).is_ok_and(|target| target.path() == *path));
        match query {
            Some((_, query)) if !query.is_empty() => Ok(Some(query.to_owned())),
            Some(_) | None => Err(Failure::provider(
                FailureClass::Unavailable,
                "next_page",
                "Twilio's message list goes on at another place",
            )),
        }
    }
}

#[async_trait]
impl FeedbackSource for TwilioList {
    fn name(&self) -> &str {
        &self.name
    }

    fn every(&self) -> Duration {
        self.every
    }

    /// Reads one page.
    async fn poll(&self, cursor: Option<&str>, now: Timestamp) -> Result<Polled, Failure> {
        let earliest = now - self.horizon;
        // A cursor that cannot be read is none: what is told twice is known.
        let cursor: Option<Cursor> = cursor.and_then(|text| serde_json::from_str(text).ok());
        let since = cursor.as_ref().map_or(earliest, |cursor| cursor.since.max(earliest));
        let mut sweep = cursor.and_then(|cursor| cursor.sweep).unwrap_or_else(|| Sweep {
            began: now,
            query: first_query(since),
            pages: 0,
            open: None,
        });
        let page = self.page(&sweep.query).await?;
        sweep.pages += 1;
        let mut events = Vec::new();
        for message in &page.messages {
            if message.is_open() {
                sweep.open = message.sent_at().into_iter().chain(sweep.open).min();
            }
            events.extend(message.events());
        }
        for event in &mut events {
            event.account = self.account.clone();
        }
        let next = self.next_query(page.next_page_uri.as_deref())?;
        // The first page begins at midnight, Twilio's smallest step; the list is newest first, so that what is older ends it.
        let is_past = page.messages.last().and_then(Listed::sent_at).is_some_and(|at| at < since);
        if next.is_some() && sweep.pages >= MAX_PAGES {
            tracing::warn!(event = "feedback.list_cut", source = %self.name, pages = sweep.pages, "Twilio's list is longer than is read; set UMS_PUBLIC_URL");
        }
        let cursor = match next {
            Some(query) if !is_past && sweep.pages < MAX_PAGES => Cursor {
                since,
                sweep: Some(Sweep { query, ..sweep }),
            },
            Some(_) | None => Cursor {
                since: sweep.open.unwrap_or(sweep.began).min(sweep.began - OVERLAP).max(earliest),
                sweep: None,
            },
        };
        Ok(Polled {
            events,
            more: cursor.sweep.is_some(),
            cursor: serde_json::to_string(&cursor).ok(),
        })
    }
}

/// The query of a sweep's first page: all that was sent on this day (UTC) and later.
fn first_query(since: Timestamp) -> String {
    let day = since.to_string();
    format!("DateSent%3E={}&PageSize={PAGE_SIZE}", day.get(..10).unwrap_or_default())
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    messages: Vec<Listed>,
    next_page_uri: Option<String>,
}

/// A message in the list. Its text is read for the words of opting out, and dropped.
#[derive(Deserialize)]
struct Listed {
    sid: String,
    status: String,
    #[serde(default)]
    direction: String,
    to: Option<String>,
    from: Option<String>,
    #[serde(default)]
    body: Option<String>,
    error_code: Option<serde_json::Value>,
    error_message: Option<String>,
    date_created: Option<String>,
    date_sent: Option<String>,
    date_updated: Option<String>,
}

impl Listed {
    fn sent_at(&self) -> Option<Timestamp> {
        self.date_sent
            .as_deref()
            .or(self.date_created.as_deref())
            .and_then(reading::rfc5322)
    }

    fn is_inbound(&self) -> bool {
        self.direction == "inbound" || matches!(self.status.as_str(), "receiving" | "received")
    }

    /// Whether more will be said of it.
    fn is_open(&self) -> bool {
        !self.is_inbound() && matches!(self.status.as_str(), "accepted" | "scheduled" | "queued" | "sending" | "sent")
    }

    fn events(&self) -> Vec<Event> {
        let Some(sid) = reading::message_id(&self.sid) else {
            return Vec::new();
        };
        if self.is_inbound() {
            let mut event = inbound(
                &sid,
                self.from.as_deref().unwrap_or_default(),
                None,
                self.body.as_deref().unwrap_or_default(),
            );
            event.at = self.sent_at();
            return vec![event];
        }
        let code = self
            .error_code
            .as_ref()
            .map(ToString::to_string)
            .filter(|code| code != "null" && code != "0");
        let told = Told {
            sid: &sid,
            status: &self.status,
            to: self.to.as_deref().unwrap_or_default(),
            code: code.as_deref(),
            detail: self.error_message.as_deref(),
            about: reading::subject(None, None, Some(sid.clone())),
        };
        let mut events = Vec::new();
        // That it was sent is told with its own time, which is near to that of our call: by it an attempt is found that lost its answer.
        if matches!(self.status.as_str(), "delivered" | "undelivered" | "read" | "partially_delivered") && self.date_sent.is_some() {
            events.extend(outbound(Told {
                status: "sent",
                code: None,
                detail: None,
                ..told.clone()
            }));
        }
        let first = events.len();
        events.extend(outbound(told));
        for (index, event) in events.iter_mut().enumerate() {
            let is_about_sending = index < first || self.is_open();
            event.at = if is_about_sending {
                None
            } else {
                self.date_updated.as_deref().and_then(reading::rfc5322)
            };
            event.at = event.at.or_else(|| self.sent_at());
        }
        events
    }
}
