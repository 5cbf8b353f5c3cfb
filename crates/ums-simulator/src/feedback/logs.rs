//! CloudWatch Logs, as far as SNS's delivery reports need it.
//!
//! `POST /` with `X-Amz-Target: Logs_20140328.FilterLogEvents` or `DescribeLogGroups`, JSON 1.1, on SNS's
//! own port and below `/sns`. SNS writes what became of a text message to the group
//! `sns/<region>/<account>/DirectPublishToPhoneNumber`, failures to its `/Failure`; a group is there once
//! something is in it. Records: SNS developer guide, "Viewing Amazon SNS SMS delivery logs"; operations:
//! CloudWatch Logs API reference; both read November 2026.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::digest_hex;
use super::{End, FeedbackSettings};
use crate::call::Call;
use crate::fault_board::lock;
use crate::ids::Ids;
use crate::recorder::Draft;
use crate::reply::Reply;
use crate::{aws, clock, segments};

/// Most records kept.
const MAX_RECORDS: usize = 100_000;

/// Most events in an answer, unless the caller wants fewer.
const MAX_EVENTS: usize = 10_000;

/// Most groups in an answer.
const MAX_GROUPS: usize = 50;

const TARGET: &str = "Logs_20140328.";

/// The account that the simulated messages belong to.
const ACCOUNT: &str = "000000000000";

/// The region of a request that names none.
const REGION: &str = "us-east-1";

/// What SNS has written down, as far as it may be seen already.
#[derive(Debug, Default)]
pub(crate) struct Logs(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    records: VecDeque<Record>,
    count: u64,
}

#[derive(Clone, Debug)]
struct Record {
    /// Never reused; copies have different ones.
    number: u64,
    /// When it is written: nobody sees it before.
    at: Timestamp,
    sent_at: Timestamp,
    message: String,
    to: String,
    region: String,
    kind: String,
    parts: usize,
    end: End,
}

impl Logs {
    /// Writes down how a text message ends, unless it is to stay silent.
    pub(super) fn accepted(&self, draft: &Draft, settings: &FeedbackSettings) {
        let message = &draft.message;
        let end = End::of(message.fault);
        if end == End::Silent {
            return;
        }
        let mut all = lock(&self.0);
        for _ in 0..settings.copy_count() {
            let delay = if settings.before_reply {
                SignedDuration::ZERO
            } else {
                signed(settings)
            };
            all.count += 1;
            let record = Record {
                number: all.count,
                at: message.received_at.checked_add(delay).unwrap_or(message.received_at),
                sent_at: message.received_at,
                message: message.id.clone(),
                to: message.to.first().cloned().unwrap_or_default(),
                region: draft.region.clone().unwrap_or_else(|| REGION.to_owned()),
                kind: message
                    .params
                    .get("AWS.SNS.SMS.SMSType")
                    .cloned()
                    .unwrap_or_else(|| "Transactional".to_owned()),
                parts: segments::count(message.body.as_deref().unwrap_or_default()),
                end,
            };
            all.records.push_back(record);
            if all.records.len() > MAX_RECORDS {
                all.records.pop_front();
            }
        }
    }

    /// The records that may be seen now and pass, oldest first.
    fn seen(&self, passes: impl Fn(&Record) -> bool) -> Vec<Record> {
        let now = clock::now();
        let all = lock(&self.0);
        let visible = all.records.iter().filter(|record| record.at <= now && passes(record));
        let mut seen: Vec<_> = visible.cloned().collect();
        drop(all);
        seen.sort_by_key(|record| (record.at.as_millisecond(), record.number));
        seen
    }

    /// Tells whether anything is yet to be written.
    pub(crate) fn waiting(&self) -> usize {
        let now = clock::now();
        lock(&self.0).records.iter().filter(|record| record.at > now).count()
    }
}

fn signed(settings: &FeedbackSettings) -> SignedDuration {
    SignedDuration::try_from(settings.delay()).unwrap_or(SignedDuration::ZERO)
}

/// A group's name, taken apart: that costs less than to name the group of every record.
struct Group {
    region: String,
    is_failure: bool,
}

impl Group {
    fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("sns/")?;
        let (region, rest) = rest.split_once('/')?;
        let end = rest.strip_prefix(ACCOUNT)?.strip_prefix("/DirectPublishToPhoneNumber")?;
        (end.is_empty() || end == "/Failure").then(|| Self {
            region: region.to_owned(),
            is_failure: !end.is_empty(),
        })
    }

    fn holds(&self, record: &Record) -> bool {
        record.region == self.region && (record.end == End::Bounced) == self.is_failure
    }
}

impl Record {
    fn group(&self) -> String {
        let end = if self.end == End::Bounced { "/Failure" } else { "" };
        format!("sns/{}/{ACCOUNT}/DirectPublishToPhoneNumber{end}", self.region)
    }

    fn text(&self) -> String {
        let (status, response) = match self.end {
            End::Bounced => ("FAILURE", "Invalid phone number"),
            End::Delivered | End::Silent | End::Dropped => ("SUCCESS", "Message has been accepted by phone carrier"),
        };
        json!({
            "notification": {
                "messageId": self.message,
                "timestamp": self.sent_at.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string(),
            },
            "delivery": {
                "phoneCarrier": "Simulated carrier",
                "mnc": 270,
                "mcc": 310,
                "numberOfMessageParts": self.parts,
                "destination": self.to,
                "priceInUSD": 0.00645,
                "smsType": self.kind,
                "providerResponse": response,
                "dwellTimeMs": 100,
                "dwellTimeMsUntilDeviceAck": 200,
            },
            "status": status,
        })
        .to_string()
    }

    fn event(&self) -> Value {
        let at = self.at.as_millisecond();
        json!({
            "eventId": format!("{:056}", self.number),
            "ingestionTime": at,
            "logStreamName": digest_hex(&self.region),
            "message": self.text(),
            "timestamp": at,
        })
    }
}

/// Tells whether a call is one to CloudWatch Logs.
pub(crate) fn is_for(call: &Call) -> bool {
    call.header("x-amz-target").is_some_and(|target| target.starts_with(TARGET))
}

/// Answers a call as CloudWatch Logs would.
pub(crate) fn answer(logs: &Logs, ids: &Ids, call: &Call) -> Reply {
    route(logs, call)
        .unwrap_or_else(|refusal| refusal)
        .header("x-amzn-requestid", &ids.uuid())
}

fn route(logs: &Logs, call: &Call) -> Result<Reply, Reply> {
    aws::check_signature(call, "logs").map_err(|fault| match fault {
        aws::SignatureFault::Missing => error("MissingAuthenticationTokenException", "Missing Authentication Token"),
        aws::SignatureFault::Incomplete(text) => error("IncompleteSignatureException", text),
        aws::SignatureFault::OtherService => error(
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'logs'.",
        ),
    })?;
    let target = call.header("x-amz-target").and_then(|target| target.strip_prefix(TARGET));
    match target {
        Some("FilterLogEvents") => filter_events(logs, read(call)?),
        Some("DescribeLogGroups") => describe_groups(logs, &read(call)?),
        _ => Err(error("UnknownOperationException", "The simulator does not play this operation.")),
    }
}

fn read<'a, T: Deserialize<'a>>(call: &'a Call) -> Result<T, Reply> {
    serde_json::from_slice(&call.body).map_err(|_| error("SerializationException", "Not the JSON expected."))
}

fn error(kind: &str, message: &str) -> Reply {
    typed(400, &json!({"__type": kind, "message": message}))
}

fn typed(status: u16, body: &Value) -> Reply {
    Reply::new(status).body("application/x-amz-json-1.1", body.to_string())
}

fn invalid(message: &str) -> Reply {
    error("InvalidParameterException", message)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    limit: Option<usize>,
    next_token: Option<String>,
}

fn filter_events(logs: &Logs, request: FilterLogEvents) -> Result<Reply, Reply> {
    let group = match (request.log_group_name, request.log_group_identifier) {
        (Some(name), None) => name,
        // An identifier may be the name or the ARN.
        (None, Some(identifier)) => identifier
            .rsplit_once(":log-group:")
            .map_or(identifier.clone(), |(_, name)| name.to_owned()),
        _ => return Err(invalid("Give logGroupName or logGroupIdentifier, and not both.")),
    };
    let group = Group::parse(&group);
    let group = group.filter(|group| !logs.seen(|record| group.holds(record)).is_empty());
    let Some(group) = group else {
        return Err(error("ResourceNotFoundException", "The specified log group does not exist."));
    };
    let pattern = request.filter_pattern.unwrap_or_default();
    let term = pattern.trim_matches('"');
    if term.contains(['{', '[', '"', ' ']) {
        return Err(invalid("The simulator plays filter patterns of one term."));
    }
    let limit = request.limit.unwrap_or(MAX_EVENTS);
    if !(1..=MAX_EVENTS).contains(&limit) {
        return Err(invalid("limit must be between 1 and 10000"));
    }
    // A token is the place where the last answer ended: what comes meanwhile shifts nothing.
    let after = match request.next_token.as_deref().map(place) {
        None => None,
        Some(Some(place)) => Some(place),
        Some(None) => return Err(invalid("The specified nextToken is invalid.")),
    };
    let from = request.start_time.unwrap_or(0);
    let until = request.end_time.unwrap_or(i64::MAX);
    let matching = logs.seen(|record| {
        let at = record.at.as_millisecond();
        group.holds(record)
            && (from..=until).contains(&at)
            && after.is_none_or(|place| (at, record.number) > place)
            && (term.is_empty() || record.text().contains(term))
    });
    let has_more = matching.len() > limit;
    let shown = &matching[..limit.min(matching.len())];
    let mut answer = json!({
        "events": shown.iter().map(Record::event).collect::<Vec<_>>(),
        "searchedLogStreams": [],
    });
    if let Some(last) = shown.last().filter(|_| has_more) {
        answer["nextToken"] = json!(format!("{}/{}", last.at.as_millisecond(), last.number));
    }
    Ok(typed(200, &answer))
}

fn place(token: &str) -> Option<(i64, u64)> {
    let (at, number) = token.split_once('/')?;
    Some((at.parse().ok()?, number.parse().ok()?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    limit: Option<usize>,
    next_token: Option<String>,
}

fn describe_groups(logs: &Logs, request: &DescribeLogGroups) -> Result<Reply, Reply> {
    let limit = request.limit.unwrap_or(MAX_GROUPS);
    if !(1..=MAX_GROUPS).contains(&limit) {
        return Err(invalid("limit must be between 1 and 50"));
    }
    let prefix = request.log_group_name_prefix.as_deref().unwrap_or_default();
    let pattern = request.log_group_name_pattern.as_deref().unwrap_or_default();
    let after = request.next_token.as_deref().unwrap_or_default();
    let mut groups: BTreeMap<String, Record> = BTreeMap::new();
    for record in logs.seen(|_| true) {
        groups.entry(record.group()).or_insert(record);
    }
    let is_asked = |name: &str| name.starts_with(prefix) && name.contains(pattern) && name > after;
    let mut asked = groups.iter().filter(|(name, _)| is_asked(name));
    let shown: Vec<Value> = asked
        .by_ref()
        .take(limit)
        .map(|(name, first)| {
            json!({
                "logGroupName": name,
                "arn": format!("arn:aws:logs:{}:{ACCOUNT}:log-group:{name}:*", first.region),
                "creationTime": first.at.as_millisecond(),
                "metricFilterCount": 0,
                "storedBytes": 0,
            })
        })
        .collect();
    let mut answer = json!({"logGroups": shown});
    if asked.next().is_some()
        && let Some(last) = shown.last()
    {
        answer["nextToken"] = last["logGroupName"].clone();
    }
    Ok(typed(200, &answer))
}
