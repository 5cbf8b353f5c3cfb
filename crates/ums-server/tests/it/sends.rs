//! `POST /v1/emails`, `POST /v1/sms`: outcomes, waiting, repeating.

use serde_json::json;
use ums_core::FailureClass;
use ums_testkit::Reply;

use crate::setup::{EMAIL, SMS, start, until};

#[tokio::test]
async fn an_email_is_sent_and_the_result_is_the_contract() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unavailable));
    let body =
        r#"{"to": ["Jane <customer@example.com>"], "subject": "s", "html_content": "<p>x</p>", "metadata": {"order": 7}, "cc": null}"#;
    let answer = bench.post("/v1/emails", &[], body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let result = answer.json();
    assert_eq!(result["status"], "sent");
    assert_eq!(result["recipient_id"], "customer@example.com");
    assert_eq!(
        result["metadata"],
        json!({"order": 7, "provider": "sendgrid", "provider_message_id": "sendgrid-1"})
    );
    assert_eq!(result["attempts"][0]["provider"], "aws_ses");
    assert_eq!(result["attempts"][0]["class"], "unavailable");
    assert_eq!(result["attempts"][1]["outcome"], "accepted");
    let location = answer.header("location").unwrap();
    assert_eq!(location, format!("/v1/messages/{}", result["message_id"].as_str().unwrap()));
    // Looked up, it has its story as well.
    let mut shown = bench.get(location).await.json();
    let more = ["events", "story"].map(|name| shown.as_object_mut().unwrap().remove(name));
    assert!(more.iter().all(|list| list.as_ref().is_some_and(serde_json::Value::is_array)));
    assert_eq!(shown, result);
}

#[tokio::test]
async fn a_national_number_is_read_in_the_default_region() {
    let bench = start().await;
    let answer = bench
        .post(
            "/v1/sms",
            &[("x-request-id", "my-id")],
            r#"{"to": "(416) 555-0123", "message_body": "Hello"}"#,
        )
        .await;
    assert_eq!((answer.status, answer.json()["recipient_id"].as_str()), (200, Some("+14165550123")));
    assert_eq!(answer.header("x-request-id"), Some("my-id"));
    assert_eq!(bench.twilio.seen()[0].0.body, "Hello");
}

#[tokio::test]
async fn a_refused_message_is_200_with_its_status() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::InvalidRecipient));
    let answer = bench.post("/v1/emails", &[], EMAIL).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("failed")));
    assert!(answer.json()["error_message"].is_string());
}

#[tokio::test]
async fn a_held_message_is_200_and_queued() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unavailable));
    bench.sendgrid.answer(Reply::FailAs(FailureClass::Unavailable));
    let answer = bench.post("/v1/emails", &[], EMAIL).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("queued")));
}

#[tokio::test]
async fn who_does_not_wait_gets_202_and_the_message_is_sent_all_the_same() {
    let bench = start().await;
    bench.ses.hold();
    let answer = bench.post("/v1/emails", &[("prefer", "respond-async")], EMAIL).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, Some("respond-async")));
    assert_eq!(answer.json()["status"], "sending");
    let second = bench.post("/v1/emails", &[("prefer", "wait=0")], EMAIL).await;
    assert_eq!((second.status, second.header("preference-applied")), (202, Some("wait=0")));
    bench.ses.release(2);
    let location = answer.header("location").unwrap();
    let mut status = bench.get(location).await.json()["status"].clone();
    while status != "sent" {
        status = bench.get(location).await.json()["status"].clone();
    }
}

#[tokio::test]
async fn a_scheduled_message_is_202() {
    let bench = start().await;
    let body = EMAIL.replace('}', r#", "send_at": "2026-12-24T18:00:00+01:00"}"#);
    let answer = bench.post("/v1/emails", &[], &body).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("scheduled")));
    assert_eq!(bench.ses.calls(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_nothing() {
    let bench = start().await;
    bench.ses.hold();
    let mut client = bench.connect().await;
    client
        .write(bench.request("POST /v1/emails", &[("content-type", "application/json")], EMAIL))
        .await;
    until(|| bench.ses.running() == 1).await;
    drop(client);
    // The service notices that it is alone before the provider answers.
    loop {
        let text = bench.get("/metrics").await.body;
        if text.contains(r#"ums_http_requests_total{route="/v1/emails",method="POST",status="499"} 1"#) {
            break;
        }
    }
    bench.ses.release(1);
    loop {
        let page = bench.get("/v1/messages").await.json();
        if page["data"][0]["status"] == "sent" {
            break;
        }
    }
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let bench = start().await;
    let key = [("idempotency-key", "order-1001/receipt")];
    let first = bench.post("/v1/emails", &key, EMAIL).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None));
    let same = r#"{ "text_content":"Thank you", "subject":"Your receipt", "to":["customer@example.com"], "bcc": null }"#;
    let again = bench.post("/v1/emails", &key, same).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.json(), first.json());
    let other = bench.post("/v1/emails", &key, &EMAIL.replace("Thank", "No thank")).await;
    assert_eq!((other.status, other.code().as_str()), (422, "UMS1010"));
    let elsewhere = bench.post("/v1/sms", &key, SMS).await;
    assert_eq!((elsewhere.status, elsewhere.code().as_str()), (422, "UMS1010"));
    assert_eq!((bench.ses.calls(), bench.twilio.calls()), (1, 0));
}

#[tokio::test]
async fn the_same_key_at_the_same_time_sends_once() {
    let bench = start().await;
    let key = [("idempotency-key", "k")];
    let pair = async || tokio::join!(bench.post("/v1/emails", &key, EMAIL), bench.post("/v1/emails", &key, EMAIL));
    let ((one, two), (three, four), (five, six)) = tokio::join!(pair(), pair(), pair());
    let answers = [one, two, three, four, five, six];
    // Who came before the first was stored is asked to come again.
    let (taken, early): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(early.iter().all(|answer| answer.code() == "UMS1015"), "{early:?}");
    let ids: std::collections::BTreeSet<_> = taken.iter().map(|answer| answer.json()["message_id"].to_string()).collect();
    assert_eq!((ids.len(), bench.ses.calls()), (1, 1), "{answers:?}");
    assert_eq!(
        taken
            .iter()
            .filter(|answer| answer.header("idempotency-replayed").is_none())
            .count(),
        1
    );
}

#[tokio::test]
async fn a_provider_that_panics_leaves_the_service_standing() {
    let bench = start().await;
    bench.ses.answer(Reply::Panic);
    let answer = bench.post("/v1/emails", &[], EMAIL).await;
    assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    assert_eq!(bench.get("/livez").await.status, 200);
}

#[tokio::test]
async fn an_attachment_of_megabytes_is_taken() {
    let bench = start().await;
    let content = "QUJD".repeat(4 << 20);
    let file = format!(r#", "attachments": [{{"filename": "a.bin", "content_base64": "{content}"}}]}}"#);
    let answer = bench.post("/v1/emails", &[], &EMAIL.replace('}', &file)).await;
    assert_eq!(answer.status, 200, "{:.300}", answer.body);
    assert_eq!(bench.ses.seen()[0].0.attachments[0].content.len(), 12 << 20);
}
