//! `POST /v1/batches`: all or nothing, an id for each, one key for the whole.

use std::sync::Arc;

use serde_json::{Value, json};
use ums_store::MemoryStore;
use ums_testkit::{Moment, Operation, StoreInHand, TestClock};

use crate::client::Answer;
use crate::setup::{Bench, Setup, start, until};

fn email(to: &str) -> Value {
    json!({"channel": "email", "to": to, "subject": "News", "text_content": "We are open again."})
}

fn batch(messages: &[Value]) -> String {
    json!({"messages": messages}).to_string()
}

fn ids(answer: &Answer) -> Vec<String> {
    let answer = answer.json();
    let data = answer["data"].as_array().unwrap();
    data.iter().map(|item| item["message_id"].as_str().unwrap().to_owned()).collect()
}

async fn refused(bench: &Bench, body: &str, fields: &[&str]) {
    let answer = bench.post("/v1/batches", &[], body).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "UMS1014"), "{}", answer.body);
    assert_eq!(answer.fields(), fields);
    assert!(!answer.body.contains("canary"), "{}", answer.body);
    assert_eq!(bench.get("/v1/messages").await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_batch_of_a_thousand_gets_an_id_each_and_is_sent() {
    let bench = start().await;
    let messages: Vec<_> = (0..1_000).map(|index| email(&format!("c{index}@example.com"))).collect();
    let answer = bench.post("/v1/batches", &[], &batch(&messages)).await;
    assert_eq!(answer.status, 202, "{:.300}", answer.body);
    let data = answer.json()["data"].clone();
    let data = data.as_array().unwrap();
    assert_eq!(data.len(), 1_000);
    assert_eq!(
        (data[7]["recipient_id"].as_str(), data[7]["channel"].as_str()),
        (Some("c7@example.com"), Some("email"))
    );
    assert_eq!(data[7]["status"], "queued");
    until(|| bench.ses.calls() + bench.sendgrid.calls() == 1_000).await;
    let third = bench
        .get(&format!("/v1/messages/{}", data[2]["message_id"].as_str().unwrap()))
        .await
        .json();
    assert_eq!(third["recipient_id"], "c2@example.com");
}

#[tokio::test]
async fn both_channels_and_a_time_go_into_one_batch() {
    let bench = start().await;
    let mut later = email("a@example.com");
    later["send_at"] = "2099-12-24T18:00:00+01:00".into();
    let sms = json!({"channel": "sms", "to": "(416) 555-0123", "message_body": "Hello"});
    let answer = bench.post("/v1/batches", &[], &batch(&[later, sms])).await;
    let data = answer.json()["data"].clone();
    assert_eq!(data[0]["status"], "scheduled");
    assert_eq!(
        (data[1]["recipient_id"].as_str(), data[1]["channel"].as_str()),
        (Some("+14165550123"), Some("sms"))
    );
    until(|| bench.twilio.calls() == 1).await;
    assert_eq!(bench.ses.calls(), 0);
}

#[tokio::test]
async fn a_fault_of_one_message_names_it_and_nothing_is_accepted() {
    let bench = start().await;
    let fine = || email("a@example.com");
    let mut wrong = email("canary");
    wrong["subject"] = 5.into();
    refused(&bench, &batch(&[fine(), fine(), fine(), email("canary")]), &["messages[3].to"]).await;
    refused(
        &bench,
        &batch(&[fine(), wrong, json!("canary")]),
        &["messages[1].subject", "messages[2]"],
    )
    .await;
    refused(
        &bench,
        &batch(&[json!({"channel": "fax", "to": "canary"}), json!({})]),
        &["messages[0].channel", "messages[1].channel"],
    )
    .await;
    let mut via = fine();
    via["via"] = "smtp".into();
    refused(&bench, &batch(&[fine(), via]), &["messages[1].via"]).await;
}

#[tokio::test]
async fn a_body_that_is_no_batch_is_refused() {
    let bench = start().await;
    refused(&bench, "{}", &["messages"]).await;
    refused(&bench, r#"{"messages": {}}"#, &["messages"]).await;
    refused(&bench, r#"{"messages": []}"#, &["messages"]).await;
    refused(&bench, &batch(&vec![email("a@example.com"); 1_001]), &["messages"]).await;
    let body = json!({"messages": [email("a@example.com")], "canary@example.com": 1, "other": 1}).to_string();
    refused(&bench, &body, &["(unnamed)", "other"]).await;
    for body in ["", "{", r#"{"messages": [}"#] {
        assert_eq!(bench.post("/v1/batches", &[], body).await.code(), "UMS1001", "{body}");
    }
    refused(&bench, "[]", &[]).await;
}

#[tokio::test]
async fn a_batch_larger_than_is_set_is_refused() {
    let mut setup = Setup::default();
    setup.limits.batch_body_bytes = 1_000;
    setup.limits.batch_messages = 2;
    let bench = setup.start().await;
    let answer = bench.post("/v1/batches", &[], &batch(&vec![email("a@example.com"); 50])).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "UMS1004"));
    refused(&bench, &batch(&vec![email("a@example.com"); 3]), &["messages"]).await;
    assert_eq!(bench.post("/v1/batches", &[], &batch(&[email("a@example.com")])).await.status, 202);
}

#[tokio::test]
async fn the_same_key_gives_the_same_ids() {
    let bench = start().await;
    let key = [("idempotency-key", "order-7")];
    let both = batch(&[email("a@example.com"), email("b@example.com")]);
    let first = bench.post("/v1/batches", &key, &both).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, None));
    until(|| bench.ses.calls() == 2).await;
    let again = bench.post("/v1/batches", &key, &both).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(ids(&first), ids(&again));
    for other in [
        batch(&[email("a@example.com")]),
        batch(&[email("b@example.com"), email("a@example.com")]),
    ] {
        assert_eq!(bench.post("/v1/batches", &key, &other).await.code(), "UMS1010");
    }
    assert_eq!(bench.ses.calls(), 2);
}

/// A store in memory that accepts nothing before it is let go.
fn held(gate: &Arc<tokio::sync::Semaphore>) -> StoreInHand {
    let gate = Arc::clone(gate);
    StoreInHand::new(Arc::new(MemoryStore::new(Arc::new(TestClock::new()))), move |moment| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            if moment == Moment::Before(Operation::Accept) {
                gate.acquire_owned().await.expect("open").forget();
            }
            Ok(())
        })
    })
}

#[tokio::test]
async fn a_twin_is_in_progress_only_until_the_first_is_stored() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let mut setup = Setup::with_store(held(&gate));
    setup.limits.store_time = std::time::Duration::from_millis(50);
    let bench = setup.start().await;
    let key = [("idempotency-key", "k")];
    let body = batch(&[email("a@example.com")]);
    // The store takes too long: nobody knows, and the key stays in hand.
    let slow = bench.post("/v1/batches", &key, &body).await;
    assert_eq!((slow.status, slow.code().as_str()), (503, "UMS5005"));
    assert!(slow.header("retry-after").is_some());
    let twin = bench.post("/v1/batches", &key, &body).await;
    assert_eq!((twin.status, twin.code().as_str()), (409, "UMS1015"));
    assert!(twin.body.contains("idempotency_in_progress") && twin.header("retry-after").is_some());
    gate.add_permits(2);
    let again = loop {
        let again = bench.post("/v1/batches", &key, &body).await;
        if again.status != 409 {
            break again;
        }
        gate.add_permits(1);
    };
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(bench.get("/v1/messages").await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_backlog_is_told_with_a_time() {
    let mut setup = Setup::default();
    setup.rules.max_backlog = 2;
    let bench = setup.start().await;
    let mut later = email("a@example.com");
    later["send_at"] = "2099-12-24T18:00:00Z".into();
    let answer = bench.post("/v1/batches", &[], &batch(&vec![later; 3])).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UMS5006"));
    assert!(answer.header("retry-after").is_some());
}
