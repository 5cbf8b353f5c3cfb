//! Delivery logs of text messages, read from CloudWatch Logs as moto implements it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use ums_core::{AccountId, Clock as _, FeedbackSource as _, Secret, SystemClock};
use ums_providers::feedback::aws::{SmsLogs, SmsLogsSettings};
use ums_providers::{AwsCredentials, Transport, TransportSettings};

use crate::bed;

const GROUP: &str = "sns/us-east-1/123456789012/DirectPublishToPhoneNumber";

/// Moto does not check signatures, so that the filling needs none; that ours are right is shown by tests of the transport.
fn fill(operation: &str, body: &Value) {
    let target = format!("x-amz-target: Logs_20140328.{operation}");
    let headers = [
        "authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/logs/aws4_request, SignedHeaders=host, Signature=0",
        target.as_str(),
    ];
    let url = bed("UMS_BED_MOTO_URL");
    let answer = crate::http::request(
        url.trim_start_matches("http://"),
        "POST",
        "/",
        &headers,
        body.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 200, "{operation}");
}

fn log(group: &str, status: &str, response: &str, count: i64) {
    let now = SystemClock::new().now().as_micros() / 1_000;
    let line = |number: i64| {
        let entry = json!({
            "notification": {"messageId": format!("{status}-{number}"), "timestamp": "2026-11-22 10:00:00.000"},
            "delivery": {"destination": "+15555550100", "providerResponse": response},
            "status": status,
        });
        json!({"timestamp": now - 60_000 + number, "message": entry.to_string()})
    };
    let lines: Vec<Value> = (0..count).map(line).collect();
    fill("CreateLogGroup", &json!({"logGroupName": group}));
    fill("CreateLogStream", &json!({"logGroupName": group, "logStreamName": "a"}));
    fill(
        "PutLogEvents",
        &json!({"logGroupName": group, "logStreamName": "a", "logEvents": lines}),
    );
}

#[tokio::test]
async fn delivery_logs_are_read_page_by_page() {
    log(GROUP, "SUCCESS", "Message has been accepted by phone carrier", 250);
    log(&format!("{GROUP}/Failure"), "FAILURE", "Phone number is opted out", 120);
    let transport = Transport::new(TransportSettings::default(), Arc::new(SystemClock::new()));
    let settings = SmsLogsSettings {
        account: AccountId::default(),
        region: Some("us-east-1".to_owned()),
        base_url: Some(bed("UMS_BED_MOTO_URL")),
        credentials: AwsCredentials::given("AKIAEXAMPLEEXAMPLE00", &Secret::new("secret"), None),
        every: Duration::from_mins(1),
    };
    let logs = SmsLogs::new(settings, &transport).unwrap();
    let now = SystemClock::new().now();
    let (mut cursor, mut kinds) = (None, BTreeMap::new());
    loop {
        let polled = logs.poll(cursor.as_deref(), now).await.unwrap();
        for event in &polled.events {
            *kinds.entry(event.kind.as_str()).or_insert(0) += 1;
        }
        cursor = polled.cursor;
        if !polled.more {
            break;
        }
    }
    assert_eq!(
        kinds,
        BTreeMap::from([("delivered", 250), ("rejected", 120), ("unsubscribed", 120)])
    );
}
