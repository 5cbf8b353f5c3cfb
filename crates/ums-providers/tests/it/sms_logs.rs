//! SNS's delivery logs of text messages: read, handed in, and asked for. The log entries are those of the Amazon SNS developer guide
//! ("SMS delivery monitoring"), cut to what is read.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use ums_core::{AccountId, Event, EventKind, FailureClass, FeedbackSource as _, SuppressionReason, SystemClock, Timestamp};
use ums_providers::feedback::aws::{SmsLogs, SmsLogsSettings, check};
use ums_providers::{Transport, TransportSettings};

use crate::bed;
use crate::fault_server::{Act, FaultServer, answer};

fn entry(status: &str, response: &str) -> Value {
    json!({
        "notification": {"messageId": "34d9b400-c6dd-5444-820d-fbeb0f1f54cf", "timestamp": "2016-06-28 00:40:34.558"},
        "delivery": {
            "phoneCarrier": "My Phone Carrier", "mnc": 270, "numberOfMessageParts": 1, "destination": "+15555550100", "priceInUSD": 0.00645,
            "smsType": "Transactional", "mcc": 310, "providerResponse": response, "dwellTimeMs": 599, "dwellTimeMsUntilDeviceAck": 1344,
        },
        "status": status,
    })
}

fn events(payload: &str) -> Vec<Event> {
    check(payload.as_bytes(), None, Timestamp::default()).1
}

#[test]
fn a_success_is_delivered_as_far_as_the_carrier_says() {
    let events = events(&entry("SUCCESS", "Message has been accepted by phone carrier").to_string());
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(
        (event.kind, event.class, event.word.as_str()),
        (EventKind::Delivered, None, "SUCCESS")
    );
    assert_eq!(event.recipient.as_deref(), Some("+15555550100"));
    assert_eq!(event.at.unwrap().to_string(), "2016-06-28T00:40:34.558Z");
    assert_eq!(
        event.about.provider_message_id.as_deref(),
        Some("34d9b400-c6dd-5444-820d-fbeb0f1f54cf")
    );
    assert!(event.detail.as_deref().unwrap().contains("USD 0.00645"));
}

#[test]
fn failures_mean_what_their_words_say() {
    use {EventKind as K, FailureClass as C};
    for (response, kind, class) in [
        ("Blocked as spam by phone carrier", K::Rejected, Some(C::InvalidMessage)),
        ("Destination is blacklisted", K::Rejected, Some(C::RecipientBlocked)),
        ("Destination is on a blocked list", K::Rejected, Some(C::RecipientBlocked)),
        ("Invalid phone number", K::Failed, Some(C::InvalidRecipient)),
        ("Message body is invalid", K::Failed, Some(C::InvalidMessage)),
        ("No quota left for account", K::Failed, Some(C::QuotaExhausted)),
        ("Phone carrier has blocked this message", K::Rejected, Some(C::InvalidMessage)),
        (
            "Phone carrier is currently unreachable/unavailable",
            K::Failed,
            Some(C::Unavailable),
        ),
        ("Phone has blocked SMS", K::Rejected, Some(C::RecipientBlocked)),
        ("Phone is blacklisted", K::Rejected, Some(C::RecipientBlocked)),
        ("Phone is on a blocked list", K::Rejected, Some(C::RecipientBlocked)),
        ("Phone is currently unreachable/unavailable", K::Failed, Some(C::Unavailable)),
        ("This delivery would exceed max price", K::Failed, Some(C::Unsupported)),
        ("Unknown error attempting to reach phone", K::Failed, Some(C::Unavailable)),
        ("Account requires additional review", K::Failed, Some(C::Misconfigured)),
        ("account requires additional review", K::Failed, Some(C::Misconfigured)),
        ("Monthly spend limit reached", K::Failed, Some(C::QuotaExhausted)),
        (
            "Destination phone number not verified in sandbox",
            K::Failed,
            Some(C::Misconfigured),
        ),
        ("Origination identity is not registered", K::Failed, Some(C::Misconfigured)),
        ("Rate exceeded", K::Failed, Some(C::Throttled)),
        ("Unknown carrier", K::Failed, Some(C::Unavailable)),
        ("Something new", K::Failed, None),
    ] {
        let events = events(&entry("FAILURE", response).to_string());
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].kind, events[0].class, events[0].suppress),
            (kind, class, None),
            "{response}"
        );
        assert_eq!(events[0].word, format!("FAILURE/{response}"));
        assert_eq!(events[0].raw.is_some(), class.is_none(), "{response}");
    }
    assert_eq!(events(&entry("PENDING", "").to_string())[0].kind, EventKind::Unknown);
}

#[test]
fn an_opted_out_phone_is_a_stop_and_a_message_that_did_not_go_out() {
    let events = events(&entry("FAILURE", "Phone number is opted out").to_string());
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.class, event.suppress)).collect();
    assert_eq!(
        told,
        [
            (EventKind::Unsubscribed, None, Some(SuppressionReason::Stop)),
            (EventKind::Rejected, Some(FailureClass::RecipientBlocked), None),
        ]
    );
    assert_ne!(events[0].id, events[1].id);
}

#[test]
fn what_a_log_subscription_hands_in_is_the_same() {
    let log = json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "sns/us-east-1/123456789012/DirectPublishToPhoneNumber",
        "logStream": "a", "subscriptionFilters": ["ums"],
        "logEvents": [
            {"id": "1", "timestamp": 1_467_074_434_558_u64, "message": entry("SUCCESS", "Message has been accepted by phone carrier").to_string()},
            {"id": "2", "timestamp": 1_467_074_434_559_u64, "message": "not JSON"},
        ],
    });
    let pack = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        BASE64_STANDARD.encode(encoder.finish().unwrap())
    };
    let direct = events(&entry("SUCCESS", "Message has been accepted by phone carrier").to_string());
    let packed = pack(&log.to_string());
    for payload in [log.to_string(), packed.clone(), json!({"awslogs": {"data": packed}}).to_string()] {
        assert_eq!(events(&payload), direct);
    }
    let control = json!({"messageType": "CONTROL_MESSAGE", "logEvents": []}).to_string();
    assert_eq!(events(&json!({"awslogs": {"data": pack(&control)}}).to_string()), []);
    // 100 MB of nothing in a small parcel.
    let bomb = pack(&" ".repeat(100_000_000));
    assert_eq!(events(&json!({"awslogs": {"data": bomb}}).to_string()), []);
}

fn logs(url: &str) -> SmsLogs {
    let transport = Transport::new(TransportSettings::default(), Arc::new(SystemClock::new()));
    let settings = SmsLogsSettings {
        account: AccountId::default(),
        region: Some("us-east-1".to_owned()),
        base_url: Some(url.to_owned()),
        credentials: bed::credentials(),
        every: Duration::from_mins(1),
    };
    SmsLogs::new(settings, &transport).unwrap()
}

const GROUP: &str = "sns/us-east-1/123456789012/DirectPublishToPhoneNumber";

fn json_answer(body: &Value) -> Act {
    Act::Answer(answer("200 OK", &["content-type: application/x-amz-json-1.1"], &body.to_string()))
}

fn groups() -> Act {
    let names = [
        GROUP,
        "sns/us-east-1/123456789012/DirectPublishToPhoneNumber/Failure",
        "sns/us-east-1/123456789012/a-topic",
    ];
    let groups: Vec<Value> = names.iter().map(|name| json!({"logGroupName": name, "storedBytes": 1})).collect();
    json_answer(&json!({ "logGroups": groups }))
}

fn page(status: &str, response: &str, timestamp: u64, token: Option<&str>) -> Act {
    let line = json!({"logStreamName": "a", "timestamp": timestamp, "message": entry(status, response).to_string(), "ingestionTime": 1, "eventId": "1"});
    let mut page = json!({"events": [line], "searchedLogStreams": []});
    if let Some(token) = token {
        page["nextToken"] = json!(token);
    }
    json_answer(&page)
}

fn question(request: &str) -> (String, Value) {
    let target = request.lines().find_map(|line| line.strip_prefix("x-amz-target: ")).unwrap();
    let body = request.split_once("\r\n\r\n").unwrap().1;
    (target.to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn both_logs_are_read_page_by_page_and_the_next_round_overlaps() {
    let newest = 1_795_341_000_000_u64;
    let server = FaultServer::start(vec![
        groups(),
        page("SUCCESS", "Message has been accepted by phone carrier", newest, Some("more")),
        page("SUCCESS", "Message has been accepted by phone carrier", newest - 5_000, None),
        page("FAILURE", "Invalid phone number", newest - 1_000, None),
        json_answer(&json!({"events": []})),
    ])
    .await;
    let logs = logs(&server.url());
    assert_eq!((logs.name(), logs.every()), ("aws_sns.default", Duration::from_mins(1)));
    let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
    let (mut cursor, mut kinds) = (None, Vec::new());
    loop {
        let polled = logs.poll(cursor.as_deref(), now).await.unwrap();
        kinds.extend(polled.events.iter().map(|event| event.kind));
        cursor = polled.cursor;
        if !polled.more {
            break;
        }
    }
    assert_eq!(kinds, [EventKind::Delivered, EventKind::Delivered, EventKind::Failed]);
    let again = logs.poll(cursor.as_deref(), now).await.unwrap();
    assert!(again.more && again.events.is_empty());
    let asked: Vec<(String, Value)> = server.requests().iter().map(|request| question(request)).collect();
    let first = 1_795_341_600_000_u64 - 72 * 3_600_000;
    assert_eq!(
        asked[0],
        ("Logs_20140328.DescribeLogGroups".to_owned(), json!({"logGroupNamePrefix": "sns/"}))
    );
    assert_eq!(
        asked[1],
        (
            "Logs_20140328.FilterLogEvents".to_owned(),
            json!({"logGroupName": GROUP, "startTime": first, "limit": 100})
        )
    );
    assert_eq!(
        asked[2].1,
        json!({"logGroupName": GROUP, "startTime": first, "limit": 100, "nextToken": "more"})
    );
    assert_eq!(
        asked[3].1,
        json!({"logGroupName": format!("{GROUP}/Failure"), "startTime": first, "limit": 100})
    );
    assert_eq!(
        asked[4].1["startTime"],
        json!(newest - 15 * 60_000),
        "logs that come late are not missed"
    );
    let authorization = server.requests()[1]
        .lines()
        .find_map(|line| line.strip_prefix("authorization: "))
        .unwrap()
        .to_owned();
    assert!(
        authorization
            .contains("/us-east-1/logs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,"),
        "{authorization}"
    );
}

#[tokio::test]
async fn once_in_six_hours_a_round_goes_back_as_far_as_logs_may_be_late() {
    let server = FaultServer::start(vec![groups(), json_answer(&json!({"events": []}))]).await;
    let logs = logs(&server.url());
    let mut now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
    let start = |cursor: &str| serde_json::from_str::<Value>(cursor).unwrap()["since"].as_i64().unwrap();
    let recent = json!({"since": 1_795_341_000_000_u64, "newest": 1_795_341_500_000_u64, "deep": 1_795_341_500_000_u64}).to_string();
    let mut cursor = Some(recent);
    let mut starts = Vec::new();
    for hours in [0, 5, 2] {
        now = now + Duration::from_hours(hours);
        for _ in 0..2 {
            cursor = logs.poll(cursor.as_deref(), now).await.unwrap().cursor;
        }
        starts.push(start(cursor.as_deref().unwrap()));
    }
    let overlap = 1_795_341_500_000 - 15 * 60_000;
    let deep = now.as_micros() / 1_000 - 72 * 3_600_000;
    assert_eq!(starts, [overlap, overlap, deep]);
}

#[tokio::test]
async fn without_logs_there_are_no_events_and_a_lost_place_is_found_again() {
    let server = FaultServer::start(vec![json_answer(&json!({"logGroups": []}))]).await;
    let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
    let polled = logs(&server.url()).poll(Some("not a cursor"), now).await.unwrap();
    assert!(polled.events.is_empty() && !polled.more);

    let expired = answer(
        "400 Bad Request",
        &[],
        r#"{"__type":"InvalidParameterException","message":"The specified nextToken is invalid."}"#,
    );
    let denied = answer(
        "400 Bad Request",
        &[],
        r#"{"__type":"AccessDeniedException","message":"not authorized to perform: logs:FilterLogEvents"}"#,
    );
    let server = FaultServer::start(vec![groups(), Act::Answer(expired), Act::Answer(denied)]).await;
    let logs = logs(&server.url());
    let place = json!({"since": 1, "newest": 1, "deep": now.as_micros() / 1_000, "group": 1, "token": "old"}).to_string();
    let polled = logs.poll(Some(&place), now).await.unwrap();
    assert!(polled.more);
    assert_eq!(
        serde_json::from_str::<Value>(polled.cursor.as_deref().unwrap()).unwrap(),
        json!({"since": 1, "newest": 1, "deep": now.as_micros() / 1_000, "group": 1})
    );
    let failure = logs.poll(polled.cursor.as_deref(), now).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Misconfigured);
}
