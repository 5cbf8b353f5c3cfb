//! What operators do to providers: take one out of service, bring it back, have it asked.

use serde_json::{Value, json};
use ums_core::{Failure, FailureClass, Probe};
use ums_testkit::Reply;

use crate::client::Answer;
use crate::setup::{Bench, EMAIL, start};

const DISABLE: &str = "/v1/providers/aws_ses/disable";

async fn sent_by(bench: &Bench) -> Value {
    bench.post("/v1/emails", &[], EMAIL).await.json()["metadata"]["provider"].clone()
}

async fn health(bench: &Bench) -> Value {
    bench.get("/v1/providers/health").await.json()["email_providers"][0].clone()
}

#[tokio::test]
async fn a_provider_is_disabled_and_enabled() {
    let bench = start().await;
    let body = r#"{"reason": "a move", "for_seconds": 7200, "by": "ann"}"#;
    let done = bench.post(DISABLE, &[], body).await;
    let off = done.json()["disabled"].clone();
    assert_eq!((done.status, &off["reason"], &off["by"]), (200, &json!("a move"), &json!("ann")));
    assert_eq!(sent_by(&bench).await, "sendgrid");
    let row = health(&bench).await;
    assert_eq!(
        (&row["status"], &row["is_healthy"], &row["disabled"]),
        (&json!("down"), &json!(false), &off)
    );
    let metrics = bench.get("/metrics").await.body;
    assert!(metrics.contains("ums_provider_disabled{provider=\"aws_ses\"} 1"), "{metrics}");
    let id = bench.post("/v1/emails", &[], EMAIL).await.json()["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let story = bench.get(&format!("/v1/messages/{id}/explain")).await.body;
    assert!(
        story.contains("an operator has taken it out of service (disabled by ann"),
        "{story}"
    );

    let done = bench.call("POST /v1/providers/aws_ses/enable", &[], "").await.json();
    assert_eq!((&done["disabled"], &done["changed"]), (&Value::Null, &json!(true)));
    assert_eq!(sent_by(&bench).await, "aws_ses");
    assert_eq!(health(&bench).await.get("disabled"), None);
    let done = bench.post("/v1/providers/aws_ses/enable", &[], r#"{"by": "ann"}"#).await.json();
    assert_eq!(done["changed"], false, "it served already");
}

#[tokio::test]
async fn a_provider_is_asked_on_demand() {
    let bench = start().await;
    bench.ses.can_be_asked(true);
    bench.ses.answer_once(Reply::FailAs(FailureClass::Misconfigured));
    assert_eq!(sent_by(&bench).await, "sendgrid");
    let probe = async || bench.call("POST /v1/providers/aws_ses/probe", &[], "").await.json();
    bench
        .ses
        .answer_probe(Probe::Failed(Failure::provider(FailureClass::Misconfigured, "401", "a key")));
    let tried = probe().await;
    assert_eq!(
        (&tried["answer"], &tried["class"], &tried["code"]),
        (&json!("failed"), &json!("misconfigured"), &json!("401"))
    );
    assert_eq!(sent_by(&bench).await, "sendgrid");
    bench.ses.answer_probe(Probe::Healthy);
    assert_eq!(probe().await["answer"], "healthy");
    assert_eq!(sent_by(&bench).await, "aws_ses");

    let detail = async || probe().await["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail().await, "it answers and takes the login; the next message goes to it");
    let disable = async |body: &str| bench.post("/v1/providers/aws_ses/disable", &[], body).await.status;
    assert_eq!(disable(r#"{"reason": "a move", "until": "2099-01-01T00:00:00Z"}"#).await, 200);
    for answer in [
        Probe::Healthy,
        Probe::NoAnswer,
        Probe::Failed(Failure::provider(FailureClass::Misconfigured, "401", "")),
    ] {
        bench.ses.answer_probe(answer);
        let detail = detail().await;
        assert!(!detail.contains("the next message"), "{detail}");
        assert!(detail.contains("out of service until 2099-01-01T00:00:00"), "{detail}");
        assert!(detail.contains("`ums providers enable aws_ses`"), "{detail}");
    }
    assert_eq!(disable(r#"{"reason": "a move"}"#).await, 200);
    assert!(detail().await.contains("out of service until it is enabled"));
}

#[tokio::test]
async fn what_is_wrong_is_told_and_changes_nothing() {
    let bench = start().await;
    let code = |answer: &Answer| (answer.status, answer.json()["code"].as_str().unwrap().to_owned());
    for (path, body) in [
        ("/v1/providers/canary/disable", r#"{"reason": "x"}"#),
        ("/v1/providers/aws_sns/disable", r#"{"reason": "x"}"#),
        (DISABLE, r#"{"reason": "x", "account": "canary"}"#),
        ("/v1/providers/console/enable", "{}"),
        ("/v1/providers/aws_sns/probe", "{}"),
    ] {
        let answer = bench.post(path, &[], body).await;
        assert_eq!(code(&answer), (404, "UMS1019".to_owned()), "{path}");
        assert!(!answer.body.contains("canary"), "{}", answer.body);
    }
    for (body, field) in [
        ("{}", "reason"),
        (r#"{"reason": ""}"#, "reason"),
        (r#"{"reason": 1}"#, "reason"),
        (r#"{"reason": "x", "by": " "}"#, "by"),
        (r#"{"reason": "x", "until": "2000-01-01T00:00:00Z"}"#, "until"),
        (r#"{"reason": "x", "for_seconds": 0}"#, "for_seconds"),
        (
            r#"{"reason": "x", "for_seconds": 1, "until": "2099-01-01T00:00:00Z"}"#,
            "for_seconds",
        ),
        (r#"{"reason": "x", "why": "y"}"#, "why"),
    ] {
        let answer = bench.post(DISABLE, &[], body).await;
        assert_eq!(code(&answer), (422, "UMS1002".to_owned()), "{body}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(sent_by(&bench).await, "aws_ses");
}
