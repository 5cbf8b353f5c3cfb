//! The suppression list over HTTP.

use serde_json::{Value, json};
use ums_core::{Clock as _, Timestamp};

use crate::setup::{Bench, EMAIL, SMS, start};

async fn add(bench: &Bench, body: Value) -> Value {
    let answer = bench.post("/v1/suppressions", &[], &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

async fn listed(bench: &Bench, query: &str) -> Vec<(String, String)> {
    let answer = bench.get(&format!("/v1/suppressions{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let answer = answer.json();
    let entries = answer["data"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| (text(&entry["address"]), text(&entry["reason"])))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[tokio::test]
async fn who_is_on_the_list_is_not_written_to_until_taken_off() {
    let bench = start().await;
    let added = add(&bench, json!({"address": "Customer@EXAMPLE.com", "detail": "asked by telephone"})).await;
    assert_eq!((added["added"].as_u64(), added["known"].as_u64()), (Some(1), Some(0)), "{added}");
    assert_eq!(added["entries"][0]["address"], "customer@example.com");
    let again = add(&bench, json!({"address": "customer@example.com"})).await;
    assert_eq!((again["added"].as_u64(), again["known"].as_u64()), (Some(0), Some(1)), "{again}");

    let refused = bench.post("/v1/emails", &[], EMAIL).await.json();
    assert_eq!(refused["status"], "suppressed", "{refused}");
    assert_eq!(bench.ses.calls() + bench.sendgrid.calls(), 0);
    let id = refused["message_id"].as_str().unwrap();
    let story = bench.get(&format!("/v1/messages/{id}/explain")).await.json();
    let step = story["steps"].as_array().unwrap().iter().find(|step| step["step"] == "suppressed");
    assert!(
        step.unwrap()["text"].as_str().unwrap().contains("was put on the suppression list"),
        "{story}"
    );

    let lifted = bench.call("DELETE /v1/suppressions?address=CUSTOMER%40example.com", &[], "").await;
    assert_eq!((lifted.status, lifted.json()), (200, json!({"lifted": 1})));
    let lifted = bench.call("DELETE /v1/suppressions?address=customer%40example.com", &[], "").await;
    assert_eq!((lifted.status, lifted.json()), (200, json!({"lifted": 0})));
    assert_eq!(bench.post("/v1/emails", &[], EMAIL).await.json()["status"], "sent");
}

#[tokio::test]
async fn many_are_added_as_one_and_listed_page_by_page() {
    let bench = start().await;
    let entries = json!({"entries": [
        {"address": "b@example.com", "reason": "complaint"},
        {"address": "4165550123", "channel": "sms", "reason": "stop", "origin": "import", "since": "2026-01-01T00:00:00Z"},
        {"address": "a@example.com", "reason": "hard_bounce", "expires_at": "2099-01-01T00:00:00Z"},
    ]});
    assert_eq!(add(&bench, entries).await["added"], 3);
    let all = [
        ("a@example.com", "hard_bounce"),
        ("b@example.com", "complaint"),
        ("+14165550123", "stop"),
    ];
    assert_eq!(listed(&bench, "").await, pairs(&all));
    assert_eq!(listed(&bench, "?channel=sms").await, pairs(&all[2..]));
    assert_eq!(listed(&bench, "?reason=complaint").await, pairs(&all[1..2]));
    assert_eq!(listed(&bench, "?address=+14165550123").await, pairs(&all[2..]));
    assert_eq!(bench.post("/v1/sms", &[], SMS).await.json()["status"], "unsubscribed");

    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = bench.get(&format!("/v1/suppressions?limit=1{cursor}")).await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|entry| entry["address"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a@example.com", "b@example.com", "+14165550123"]);

    let only = bench
        .call("DELETE /v1/suppressions?address=b%40example.com&reason=manual", &[], "")
        .await;
    assert_eq!(only.json(), json!({"lifted": 0}));
    let only = bench
        .call("DELETE /v1/suppressions?address=b%40example.com&reason=complaint", &[], "")
        .await;
    assert_eq!(only.json(), json!({"lifted": 1}));
    assert_eq!(listed(&bench, "").await.len(), 2);
    assert_eq!(listed(&bench, "?with_lifted=true").await, pairs(&all));
}

#[tokio::test]
async fn what_is_wrong_is_told_by_place_and_nothing_is_added() {
    let bench = start().await;
    let fields = async |body: Value| {
        let answer = bench.post("/v1/suppressions", &[], &body.to_string()).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "UMS1002"), "{}", answer.body);
        assert!(!answer.body.contains("canary"), "{}", answer.body);
        answer.fields()
    };
    assert_eq!(fields(json!({})).await, ["address"]);
    assert_eq!(fields(json!({"address": "canary@"})).await, ["address"]);
    assert_eq!(fields(json!({"address": "a@example.com", "channel": "sms"})).await, ["address"]);
    assert_eq!(fields(json!({"address": "a@example.com", "origin": "feedback"})).await, ["origin"]);
    assert_eq!(
        fields(json!({"address": "a@example.com", "detail": "canary\nline"})).await,
        ["detail"]
    );
    for past in [Timestamp::default(), bench.clock.now()] {
        let entry = json!({"address": "a@example.com", "expires_at": past.to_string()});
        assert_eq!(fields(entry.clone()).await, ["expires_at"]);
        let many = json!({"entries": [{"address": "b@example.com"}, entry]});
        assert_eq!(fields(many).await, ["entries[1].expires_at"]);
    }
    assert_eq!(fields(json!({"address": "a@example.com", "entries": []})).await, ["entries"]);
    assert_eq!(fields(json!({"entries": []})).await, ["entries"]);
    let many: Vec<_> = (0..1_001)
        .map(|number| json!({"address": format!("a{number}@example.com")}))
        .collect();
    assert_eq!(fields(json!({"entries": many})).await, ["entries"]);
    let mixed = json!({"entries": [{"address": "a@example.com"}, {"address": "canary"}, {"reason": "manual"}]});
    assert_eq!(fields(mixed).await, ["entries[2].address"]);
    let mixed = json!({"entries": [{"address": "a@example.com"}, {"address": "canary"}]});
    assert_eq!(fields(mixed).await, ["entries[1].address"]);
    assert_eq!(listed(&bench, "").await, []);

    let answer = bench.call("DELETE /v1/suppressions", &[], "").await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.fields()),
        (400, "UMS1007", vec!["address".to_owned()])
    );
    let answer = bench.get("/v1/suppressions?address=canary%40&limit=0").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "UMS1007"));
    assert!(!answer.body.contains("canary"));
}
