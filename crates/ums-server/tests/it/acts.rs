//! What callers and operators do to messages: cancel, resend, mark, replay; and how it is told.

use serde_json::json;
use ums_core::FailureClass;
use ums_testkit::Reply;

use crate::setup::{Bench, EMAIL, start, until};

/// Posts an e-mail that waits for a time in the future; gives its path.
async fn scheduled(bench: &Bench) -> String {
    let body = EMAIL.replace('}', r#", "send_at": "2099-12-24T18:00:00Z"}"#);
    let answer = bench.post("/v1/emails", &[], &body).await;
    answer.header("location").unwrap().to_owned()
}

/// Posts an e-mail that no provider takes; gives its path.
async fn failed(bench: &Bench, to: &str) -> String {
    for provider in [&bench.ses, &bench.sendgrid] {
        provider.answer_once(Reply::FailAs(FailureClass::Unavailable));
    }
    let body = json!({"to": to, "subject": "s", "text_content": "t", "on_exhausted": "fail"}).to_string();
    let answer = bench.post("/v1/emails", &[], &body).await;
    assert_eq!(answer.json()["status"], "failed", "{}", answer.body);
    answer.header("location").unwrap().to_owned()
}

/// Posts an e-mail whose outcome nobody knows and that must not be sent twice; gives its path.
async fn unknown(bench: &Bench) -> String {
    bench.ses.answer_once(Reply::FailAs(FailureClass::Unknown));
    let body = EMAIL.replace('}', r#", "duplicates": "never"}"#);
    let path = bench.post("/v1/emails", &[], &body).await.header("location").unwrap().to_owned();
    let answer = bench.post(&format!("{path}/cancel"), &[], "").await;
    assert_eq!(answer.json()["status"], "unknown", "{}", answer.body);
    path
}

#[tokio::test]
async fn a_scheduled_message_is_cancelled_once() {
    let bench = start().await;
    let path = scheduled(&bench).await;
    let answer = bench.call(&format!("POST {path}/cancel"), &[], "").await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("cancelled")));
    assert_eq!(bench.get(&path).await.json()["status"], "cancelled");
    let again = bench.call(&format!("POST {path}/cancel"), &[], "").await;
    assert_eq!((again.status, again.code().as_str()), (409, "UMS1016"));
    let story = bench.get(&format!("{path}/explain")).await.json();
    let last = story["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((last["step"].as_str(), last["code"].as_str()), (Some("acted"), Some("cancelled")));
}

#[tokio::test]
async fn a_sent_message_cannot_be_cancelled_resent_or_marked() {
    let bench = start().await;
    let path = bench.post("/v1/emails", &[], EMAIL).await.header("location").unwrap().to_owned();
    for answer in [
        bench.post(&format!("{path}/cancel"), &[], "").await,
        bench.post(&format!("{path}/resend"), &[], "").await,
        bench.post(&format!("{path}/mark"), &[], r#"{"as": "failed"}"#).await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (409, "UMS1016"), "{}", answer.body);
        assert!(answer.json()["detail"].as_str().unwrap().contains("sent"));
    }
}

#[tokio::test]
async fn a_failed_message_is_sent_again() {
    let bench = start().await;
    let path = failed(&bench, "customer@example.com").await;
    let answer = bench.post(&format!("{path}/resend"), &[], "").await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("queued")));
    while bench.get(&path).await.json()["status"] != "sent" {}
    let story = bench.get(&format!("{path}/explain")).await.json();
    let codes: Vec<_> = story["steps"].as_array().unwrap().iter().map(|step| step["code"].clone()).collect();
    assert!(codes.contains(&"resent".into()), "{story}");
}

#[tokio::test]
async fn an_unknown_message_is_listed_and_marked() {
    let bench = start().await;
    let path = unknown(&bench).await;
    let listed = bench.get("/v1/messages?status=unknown").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    for (body, code) in [
        ("{}", "UMS1002"),
        (r#"{"as": "canary"}"#, "UMS1002"),
        (r#"{"as": "sent", "x": 1}"#, "UMS1002"),
        ("{", "UMS1001"),
    ] {
        let answer = bench.post(&format!("{path}/mark"), &[], body).await;
        assert_eq!(answer.code(), code);
        assert!(!answer.body.contains("canary"));
    }
    let answer = bench.post(&format!("{path}/mark"), &[], r#"{"as": "delivered"}"#).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("delivered")));
    assert_eq!(bench.get("/v1/messages?status=unknown").await.json()["data"], json!([]));
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let bench = start().await;
    for id in ["0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", "x"] {
        for (act, body) in [("cancel", ""), ("resend", ""), ("mark", r#"{"as": "sent"}"#)] {
            let answer = bench.post(&format!("/v1/messages/{id}/{act}"), &[], body).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "UMS1012"), "{id} {act}");
        }
    }
}

#[tokio::test]
async fn failed_messages_are_replayed_slice_by_slice() {
    let bench = start().await;
    for to in ["a@example.com", "b@example.com", "c@example.com"] {
        failed(&bench, to).await;
    }
    let ask = async |more: &str| {
        let body = format!(r#"{{"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"{more}}}"#);
        let answer = bench.post("/v1/messages/replay", &[], &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    let preview = ask(r#", "dry_run": true, "provider": "aws_ses", "channel": "email""#).await;
    assert_eq!((preview["examined"].as_u64(), preview["replayed"].as_u64()), (Some(3), Some(3)));
    assert_eq!(preview["next_cursor"], json!(null));
    assert_eq!(
        bench.get("/v1/messages?status=failed").await.json()["data"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let only = ask(r#", "dry_run": true, "to": "b@EXAMPLE.com""#).await;
    assert_eq!(only["examined"], 1, "{only}");

    let first = ask(r#", "limit": 2"#).await;
    assert_eq!(first["replayed"], 2);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = ask(&format!(r#", "limit": 2, "cursor": "{cursor}""#)).await;
    assert_eq!((second["replayed"].as_u64(), second["next_cursor"].clone()), (Some(1), json!(null)));
    until(|| bench.ses.calls() + bench.sendgrid.calls() == 9).await;
}

#[tokio::test]
async fn a_replay_needs_its_times() {
    let bench = start().await;
    let fields = async |body: &str| {
        let answer = bench.post("/v1/messages/replay", &[], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "UMS1002"), "{}", answer.body);
        answer.fields()
    };
    assert_eq!(fields("{}").await, ["since", "until"]);
    let times = r#""since": "2026-11-22T10:00:00Z", "until": "2026-11-22T10:00:00Z""#;
    assert_eq!(
        fields(&format!(r#"{{{times}, "limit": 501, "cursor": "canary", "to": "canary@"}}"#)).await,
        ["until", "to", "cursor", "limit"]
    );
    assert_eq!(fields(r#"{"status": "failed", "dry_run": "yes"}"#).await, ["dry_run", "status"]);
}
