//! `GET /v1/messages`, `…/{id}`, `…/explain`, `GET /v1/providers/health`.

use ums_core::FailureClass;
use ums_testkit::Reply;

use crate::setup::{EMAIL, SMS, start};

#[tokio::test]
async fn messages_are_listed_page_by_page_and_filtered() {
    let bench = start().await;
    for number in 0..3 {
        bench
            .post("/v1/emails", &[], &EMAIL.replace("receipt", &format!("receipt {number}")))
            .await;
    }
    bench.post("/v1/sms", &[], &SMS.replace('}', r#", "purpose": "otp"}"#)).await;

    let first = bench.get("/v1/messages?limit=3").await.json();
    assert_eq!(first["data"].as_array().unwrap().len(), 3);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = bench.get(&format!("/v1/messages?limit=3&cursor={cursor}")).await.json();
    assert_eq!(second["data"].as_array().unwrap().len(), 1);
    assert!(second["next_cursor"].is_null());

    for (query, count) in [
        ("channel=sms", 1),
        ("to=%2B14165550123", 1),
        ("to=+14165550123", 1),
        ("to=customer%40example.com", 3),
        ("to=nobody%40example.com", 0),
        ("status=sent", 4),
        ("status=failed", 0),
        ("provider=twilio", 1),
        ("purpose=otp&channel=sms", 1),
        ("purpose=otp&channel=email", 0),
        ("since=2026-11-22T10:00:00Z", 4),
        ("until=2026-11-22T10:00:00Z", 0),
    ] {
        let page = bench.get(&format!("/v1/messages?{query}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(page.json()["data"].as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test]
async fn a_wrong_query_names_its_parameters() {
    let bench = start().await;
    let answer = bench.get("/v1/messages?limit=canary&staus=sent&to=canary%40").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "UMS1007"));
    assert_eq!(answer.fields(), ["limit", "staus", "to"]);
    assert!(!answer.body.contains("canary"), "{answer:?}");
}

#[tokio::test]
async fn a_message_that_is_not_there_is_404() {
    let bench = start().await;
    for id in ["0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", "canary", "%2e%2e", "%ff"] {
        for path in [format!("/v1/messages/{id}"), format!("/v1/messages/{id}/explain")] {
            let answer = bench.get(&path).await;
            assert_eq!(answer.status, 404, "{answer:?}");
            assert_eq!(answer.code(), "UMS1012", "{path}");
            assert!(!answer.body.contains("canary"));
        }
    }
}

#[tokio::test]
async fn the_story_names_each_provider_and_what_its_answer_meant() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Misconfigured));
    let sent = bench.post("/v1/emails", &[], EMAIL).await;
    let story = bench.get(&format!("{}/explain", sent.header("location").unwrap())).await.json();
    assert_eq!(story["summary"], "Sent by sendgrid after 1 failed attempt(s).");
    assert_eq!(story["next"], serde_json::Value::Null);
    let steps = story["steps"].as_array().unwrap();
    let kinds: Vec<_> = steps
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["provider"].as_str()))
        .collect();
    assert_eq!(
        kinds,
        [("accepted", None), ("attempted", Some("aws_ses")), ("attempted", Some("sendgrid"))]
    );
    let text = steps[1]["text"].as_str().unwrap();
    assert!(
        text.contains("misconfigured") && text.contains("the next provider was tried") && text.contains("breaker opens"),
        "{text}"
    );

    let sent = bench.post("/v1/emails", &[], EMAIL).await;
    let story = bench.get(&format!("{}/explain", sent.header("location").unwrap())).await.json();
    let skipped = &story["steps"][1];
    assert_eq!(
        (skipped["step"].as_str(), skipped["code"].as_str()),
        (Some("skipped"), Some("misconfigured")),
        "{story}"
    );
}

#[tokio::test]
async fn a_held_message_says_what_happens_next() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unavailable));
    bench.sendgrid.answer(Reply::FailAs(FailureClass::Unavailable));
    let sent = bench.post("/v1/emails", &[], EMAIL).await;
    let story = bench.get(&format!("{}/explain", sent.header("location").unwrap())).await.json();
    assert_eq!(story["status"], "queued");
    assert!(story["next"].as_str().unwrap().starts_with("It is taken up at "), "{story}");
}

#[tokio::test]
async fn health_is_the_guides_report() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Misconfigured));
    bench.post("/v1/emails", &[], EMAIL).await;
    let report = bench.get("/v1/providers/health").await.json();
    let ses = &report["email_providers"][0];
    assert_eq!(
        (ses["name"].as_str(), ses["priority"].as_str()),
        (Some("AWSSESProvider"), Some("PRIMARY"))
    );
    assert_eq!(
        (ses["circuit_breaker"].as_str(), ses["is_healthy"].as_bool()),
        (Some("open"), Some(false))
    );
    assert_eq!(report["email_providers"][1]["status"], "healthy");
    assert_eq!(report["sms_providers"][0]["status"], "unknown");
    assert_eq!(report["not_configured"][0]["missing"][0], "AWS_REGION");
}
