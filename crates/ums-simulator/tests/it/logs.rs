//! SNS's delivery reports, read from CloudWatch Logs.

use serde_json::{Value, json};
use ums_simulator::{FeedbackSettings, Mode, Provider, Simulator};

use crate::client::Reply;
use crate::requests;
use crate::start;

const GROUP: &str = "sns/eu-central-1/000000000000/DirectPublishToPhoneNumber";

async fn ask(simulator: &Simulator, operation: &str, body: &Value) -> Reply {
    let request = requests::logs(operation, body);
    request.send(simulator.addr(Provider::Sns)).await.expect("an answer")
}

async fn events(simulator: &Simulator, body: &Value) -> Vec<Value> {
    let reply = ask(simulator, "FilterLogEvents", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["events"].as_array().expect("a list").clone()
}

async fn publish(simulator: &Simulator) {
    let sent = requests::send(Provider::Sns).send(simulator.addr(Provider::Sns)).await;
    assert_eq!(sent.expect("an answer").status, 200);
}

async fn start_at_once(duplicates: u32) -> Simulator {
    let simulator = start().await;
    let settings = FeedbackSettings {
        delay_ms: [0, 0],
        duplicates: [duplicates, duplicates],
        ..FeedbackSettings::default()
    };
    simulator.set_feedback(settings).expect("sound");
    simulator
}

#[tokio::test]
async fn the_end_of_a_text_is_written_down() {
    let simulator = start_at_once(1).await;
    let missing = ask(&simulator, "FilterLogEvents", &json!({"logGroupName": GROUP})).await;
    assert_eq!(
        (missing.status, &missing.json()["__type"]),
        (400, &"ResourceNotFoundException".into())
    );
    publish(&simulator).await;
    simulator.set_fault(Provider::Sns, Mode::Bounce).await.expect("possible");
    publish(&simulator).await;
    simulator.set_fault(Provider::Sns, Mode::NeverDeliver).await.expect("possible");
    publish(&simulator).await;
    // The logs are another service: SNS's outage is not theirs.
    simulator.set_fault(Provider::Sns, Mode::Error).await.expect("possible");

    let failures = format!("{GROUP}/Failure");
    for (group, place, status, says) in [
        (GROUP, 0, "SUCCESS", "Message has been accepted by phone carrier"),
        (failures.as_str(), 1, "FAILURE", "Invalid phone number"),
    ] {
        let events = events(&simulator, &json!({"logGroupName": group})).await;
        assert_eq!(events.len(), 1, "{group}");
        let text = events[0]["message"].as_str().expect("a text");
        let record: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(record["status"], status);
        assert_eq!(record["delivery"]["providerResponse"], says);
        assert_eq!(record["delivery"]["destination"], "+14165550123");
        assert_eq!(record["notification"]["messageId"], simulator.messages()[place].id);
    }
    let groups = ask(&simulator, "DescribeLogGroups", &json!({"logGroupNamePrefix": "sns/"}))
        .await
        .json();
    let names: Vec<_> = groups["logGroups"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["logGroupName"])
        .collect();
    assert_eq!(names, [GROUP, &failures]);
    let none = ask(&simulator, "DescribeLogGroups", &json!({"logGroupNamePrefix": "x"}))
        .await
        .json();
    assert_eq!(none["logGroups"], json!([]));
}

#[tokio::test]
async fn records_come_in_pages_and_by_time() {
    let simulator = start_at_once(5).await;
    publish(&simulator).await;
    let mut seen = Vec::new();
    let mut body = json!({"logGroupName": GROUP, "limit": 2});
    loop {
        let page = ask(&simulator, "FilterLogEvents", &body).await.json();
        seen.extend(page["events"].as_array().expect("a list").clone());
        if page["nextToken"].is_null() {
            break;
        }
        body["nextToken"] = page["nextToken"].clone();
    }
    let ids: std::collections::HashSet<_> = seen.iter().map(|event| event["eventId"].to_string()).collect();
    assert_eq!((seen.len(), ids.len()), (5, 5));
    let at = seen[0]["timestamp"].as_i64().expect("a time");
    let between = |from: i64, until: i64| json!({"logGroupName": GROUP, "startTime": from, "endTime": until});
    assert_eq!(events(&simulator, &between(at, at)).await.len(), 5);
    assert_eq!(events(&simulator, &between(at + 1, at + 9)).await.len(), 0);
    assert_eq!(
        events(&simulator, &json!({"logGroupName": GROUP, "filterPattern": "SUCCESS"}))
            .await
            .len(),
        5
    );
    assert_eq!(
        events(&simulator, &json!({"logGroupName": GROUP, "filterPattern": "FAILURE"}))
            .await
            .len(),
        0
    );
    for wrong in [
        json!({}),
        json!({"logGroupName": GROUP, "limit": 0}),
        json!({"logGroupName": GROUP, "nextToken": "x"}),
        json!({"logGroupName": GROUP, "filterPattern": "{ $.status = 1 }"}),
    ] {
        assert_eq!(ask(&simulator, "FilterLogEvents", &wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_record_is_not_seen_before_its_time() {
    let simulator = start().await;
    let settings = FeedbackSettings {
        delay_ms: [3_600_000, 3_600_000],
        ..FeedbackSettings::default()
    };
    simulator.set_feedback(settings).expect("sound");
    publish(&simulator).await;
    assert_eq!(
        ask(&simulator, "FilterLogEvents", &json!({"logGroupName": GROUP})).await.status,
        400
    );
    let unsigned = requests::logs("FilterLogEvents", &json!({})).without("Authorization");
    let reply = unsigned.send(simulator.addr(Provider::Sns)).await.expect("an answer");
    assert_eq!(reply.json()["__type"], "MissingAuthenticationTokenException");
}
