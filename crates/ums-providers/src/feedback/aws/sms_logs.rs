//! SNS's delivery logs of text messages, asked for: CloudWatch Logs, API version 2014-03-28 (JSON 1.1).
//!
//! - **Endpoint**: `POST https://logs.<region>.amazonaws.com/`, signed as service `logs`. Permissions: `logs:DescribeLogGroups`,
//!   `logs:FilterLogEvents`.
//! - SNS writes them only when delivery status logging is on (`DeliveryStatusIAMRole`); successes by the sampling rate, up to 72 hours late.
//! - **Limits**: `FilterLogEvents` 10 calls a second in a region, 5 in some; a page may be empty and not be the last.
//! - **Sources**: Amazon CloudWatch Logs API reference; Amazon SNS developer guide, "SMS delivery monitoring"; read 2026-11-22.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;
use ums_core::{AccountId, Event, Failure, FailureClass, FeedbackSource, Polled, ProviderKind, Timestamp};

use super::sms;
use crate::Error;
use crate::aws::{self, AwsApi, AwsCredentials, AwsService};
use crate::classify::{Sent, refusal, refusal_by_status, success_without_id};
use crate::failure_table::{Row, Table};
use crate::http::{Reply, Transport};

const API: AwsApi = AwsApi {
    service: "logs",
    host: "logs",
    send_path: "/",
    content_type: "application/x-amz-json-1.1",
};
const KIND: ProviderKind = ProviderKind::AwsSns;

const API_REFERENCE: &str = "Amazon CloudWatch Logs API reference, errors of FilterLogEvents";

/// CloudWatch Logs' own codes; AWS's common ones are in [`aws::FAILURES`].
const FAILURES: Table = &[
    Row::of_code(
        "InvalidParameter",
        FailureClass::InvalidMessage,
        "the question is not valid",
        API_REFERENCE,
    ),
    Row::of_code("LimitExceeded", FailureClass::Throttled, "too many questions", API_REFERENCE),
    Row::of_code(
        "ResourceNotFound",
        FailureClass::Misconfigured,
        "the account keeps no delivery logs",
        API_REFERENCE,
    ),
];

/// Both logs of messages to numbers: those that arrived, and those that did not.
const GROUPS: [&str; 2] = ["/DirectPublishToPhoneNumber", "/DirectPublishToPhoneNumber/Failure"];
/// Events in a page, so that a page fits into what is read of a reply.
const PAGE: u32 = 100;
/// SNS logs up to so long after a message.
const LATEST: Duration = Duration::from_hours(72);
/// Each round begins so long before the newest event that it knows, since later written ones may be older.
const OVERLAP: Duration = Duration::from_mins(15);
/// Once in so long a round begins as early as SNS may still write.
const DEEP_EVERY: Duration = Duration::from_hours(6);
/// Time for one page.
const ASK_TIME: Duration = Duration::from_secs(8);

/// Settings of the delivery logs.
#[derive(Clone, Debug)]
pub struct SmsLogsSettings {
    /// The account that the events are told of.
    pub account: AccountId,
    /// Region; without one the environment, the profile or the instance is asked.
    pub region: Option<String>,
    /// Another endpoint than the region's.
    pub base_url: Option<String>,
    /// Credentials.
    pub credentials: AwsCredentials,
    /// How often they are asked for.
    pub every: Duration,
}

/// SNS's delivery logs in CloudWatch.
pub struct SmsLogs {
    name: String,
    account: AccountId,
    every: Duration,
    aws: AwsService,
    groups: Mutex<Vec<String>>,
    /// Whether it was said that there are none.
    told: AtomicBool,
}

impl SmsLogs {
    /// Sets it up; nothing is opened or read before the first poll.
    ///
    /// # Errors
    /// [`Error`] when the endpoint is not one.
    pub fn new(settings: SmsLogsSettings, transport: &Arc<Transport>) -> Result<Self, Error> {
        let SmsLogsSettings {
            account,
            region,
            base_url,
            credentials,
            every,
        } = settings;
        Ok(Self {
            name: format!("aws_sns.{account}"),
            account,
            every,
            aws: AwsService::new(API, KIND, (credentials, region, base_url), Arc::clone(transport))?,
            groups: Mutex::default(),
            told: AtomicBool::new(false),
        })
    }

    /// The logs that are there. They appear with the first message that SNS logs, so it is asked until there are both.
    async fn groups(&self) -> Result<Vec<String>, Failure> {
        let mut groups = self.groups.lock().await;
        if groups.len() < GROUPS.len() {
            *groups = self.describe().await?;
            if groups.is_empty() && !self.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    event = "feedback.aws.no_delivery_logs",
                    "SNS keeps no delivery logs of text messages here, so what becomes of them is not known: turn on delivery status logging in the SNS console (Mobile, Text messaging)"
                );
            }
        }
        Ok(groups.clone())
    }

    async fn describe(&self) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut question = json!({ "logGroupNamePrefix": "sns/" });
            if let Some(token) = &token {
                question["nextToken"] = json!(token);
            }
            let page: Groups = self.ask("Logs_20140328.DescribeLogGroups", &question).await?;
            let names = page.log_groups.into_iter().map(|group| group.log_group_name);
            found.extend(names.filter(|name| GROUPS.iter().any(|end| name.ends_with(end))));
            let before = token;
            token = page.next_token;
            // A token that comes again would be asked for without end.
            if token.is_none() || token == before {
                break;
            }
        }
        found.sort();
        Ok(found)
    }

    async fn page(&self, group: &str, place: &Place) -> Result<Page, Failure> {
        let mut question = json!({ "logGroupName": group, "startTime": place.since, "limit": PAGE });
        if let Some(token) = &place.token {
            question["nextToken"] = json!(token);
        }
        self.ask("Logs_20140328.FilterLogEvents", &question).await
    }

    async fn ask<T: DeserializeOwned>(&self, operation: &'static str, question: &serde_json::Value) -> Result<T, Failure> {
        let reply = self.aws.operation(operation, Bytes::from(question.to_string()), ASK_TIME).await?;
        read_reply(&reply, self.aws.now())
    }
}

#[async_trait]
impl FeedbackSource for SmsLogs {
    fn name(&self) -> &str {
        &self.name
    }

    fn every(&self) -> Duration {
        self.every
    }

    /// Asks for one page of one log; the cursor says of which.
    async fn poll(&self, cursor: Option<&str>, now: Timestamp) -> Result<Polled, Failure> {
        let place = cursor.and_then(|cursor| serde_json::from_str(cursor).ok());
        let place: Place = place.unwrap_or_else(|| Place::deep(now));
        let groups = self.groups().await?;
        let Some(group) = groups.get(place.group) else {
            return Ok(place.at_end(now).polled(Vec::new(), false));
        };
        let page = match self.page(group, &place).await {
            Ok(page) => page,
            // A token is good for a day; the round begins again.
            Err(failure) if place.token.is_some() && failure.code == "InvalidParameterException" => {
                return Ok(Place { token: None, ..place }.polled(Vec::new(), true));
            }
            Err(failure) => return Err(failure),
        };
        let newest = page.events.iter().map(|event| event.timestamp).max().unwrap_or(place.newest);
        let events = page.events.iter().filter_map(|event| sms::read_line(&event.message, &self.account));
        let events: Vec<Event> = events.flatten().collect();
        let mut next = Place {
            newest: newest.max(place.newest),
            ..place.clone()
        };
        match page.next_token {
            Some(token) if place.token.as_ref() != Some(&token) => next.token = Some(token),
            Some(_) | None => {
                next.token = None;
                next.group += 1;
            }
        }
        if next.group < groups.len() {
            return Ok(next.polled(events, true));
        }
        Ok(next.at_end(now).polled(events, false))
    }
}

impl fmt::Debug for SmsLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmsLogs({} {:?})", self.name, self.aws)
    }
}

/// Where a round is: all logs from one time on, page by page. Times are milliseconds since 1970, as CloudWatch has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// From when on this round asks.
    since: i64,
    /// The newest event seen.
    newest: i64,
    /// When the last round that began as early as possible was begun.
    deep: i64,
    /// Which log.
    #[serde(default)]
    group: usize,
    /// Which page of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Place {
    fn deep(now: Timestamp) -> Self {
        let since = millis(now - LATEST);
        Self {
            since,
            newest: since,
            deep: millis(now),
            group: 0,
            token: None,
        }
    }

    /// Where the next round begins.
    fn at_end(self, now: Timestamp) -> Self {
        if millis(now - DEEP_EVERY) >= self.deep {
            return Self {
                newest: self.newest,
                ..Self::deep(now)
            };
        }
        let newest = Timestamp::from_micros(self.newest.saturating_mul(1_000)).min(now);
        Self {
            since: millis(newest - OVERLAP).max(millis(now - LATEST)),
            group: 0,
            token: None,
            ..self
        }
    }

    fn polled(&self, events: Vec<Event>, more: bool) -> Polled {
        Polled {
            events,
            cursor: serde_json::to_string(self).ok(),
            more,
        }
    }
}

fn millis(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    #[serde(default)]
    log_groups: Vec<Group>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    log_group_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    events: Vec<Line>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    timestamp: i64,
    #[serde(default)]
    message: String,
}

/// What an answer means.
fn read_reply<T: DeserializeOwned>(reply: &Reply, now: Timestamp) -> Result<T, Failure> {
    let answer = reply.answer(now);
    if answer.is_success() {
        return serde_json::from_slice(answer.body).map_err(|_| success_without_id(&answer));
    }
    let (code, message) = aws::json_error(answer.headers, answer.body);
    let Some(code) = code else {
        return Err(refusal_by_status(
            KIND,
            "CloudWatch Logs answered without a readable error",
            &answer,
        ));
    };
    Err(refusal(KIND, &[FAILURES, aws::FAILURES], (&code, Sent::UNKNOWN), &message, &answer))
}
