//! Every fault that a client can make.

use crate::client::Answer;
use crate::setup::{Bench, EMAIL, KEY, SMS, Setup, start};

fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{:.500}", answer.body);
    assert!(!answer.body.contains("canary"), "{:.500}", answer.body);
}

async fn check_nothing_was_sent(bench: &Bench) {
    assert_eq!((bench.ses.calls(), bench.sendgrid.calls(), bench.twilio.calls()), (0, 0, 0));
    assert_eq!(bench.get("/v1/messages").await.json()["data"], serde_json::json!([]));
}

#[tokio::test]
async fn what_is_not_json_is_told_by_its_place() {
    let bench = start().await;
    for body in [
        "",
        "canary",
        "{\"to\": \"canary",
        r#"{"to": "\ud800"}"#,
        r#"{"to": "a@example.com", "to": "canary@example.com"}"#,
        r#"{"expires_in_seconds": NaN}"#,
        &format!("{{\"metadata\": {}", "[".repeat(10_000)),
        &"{\"a\":".repeat(10_000),
    ] {
        check(&bench.post("/v1/emails", &[], body).await, 400, "UMS1001");
    }
    let answer = bench.post("/v1/sms", &[], "{\n\"to\": }").await;
    assert_eq!(answer.json()["detail"], "line 2, column 7: expected value");
    check_nothing_was_sent(&bench).await;
}

#[tokio::test]
async fn wrong_fields_are_told_by_name() {
    let bench = start().await;
    let fields = |answer: Answer| {
        check(&answer, 422, "UMS1002");
        answer.fields()
    };
    assert_eq!(fields(bench.post("/v1/emails", &[], "{}").await), ["to", "subject", "html_content"]);
    let body = r#"{"to": 5, "subject": "canary", "purpose": "canary", "headers": {"X-A": 1}, "send_at": "canary", "Subject": "canary"}"#;
    assert_eq!(
        fields(bench.post("/v1/emails", &[], body).await),
        ["Subject", "headers", "purpose", "send_at", "to"]
    );
    let body = r#"{"to": "canary", "message_body": ""}"#;
    assert_eq!(fields(bench.post("/v1/sms", &[], body).await), ["to", "message_body"]);
    let body = EMAIL.replace('}', r#", "attachments": [{"filename": "a", "content_base64": "canary!"}]}"#);
    assert_eq!(
        fields(bench.post("/v1/emails", &[], &body).await),
        ["attachments[0].content_base64"]
    );
    let huge = EMAIL.replace("Your receipt", &"canary".repeat(10 << 20).split_off(50 << 20));
    assert_eq!(fields(bench.post("/v1/emails", &[], &huge).await), ["subject"]);
    let body = EMAIL.replace("Your receipt", r"a\r\nBcc: canary@example.com");
    assert_eq!(fields(bench.post("/v1/emails", &[], &body).await), ["subject"]);
    check(&bench.post("/v1/emails", &[], "[]").await, 422, "UMS1002");
    check_nothing_was_sent(&bench).await;
}

#[tokio::test]
async fn mistyped_recipients_leave_the_providers_healthy() {
    let bench = start().await;
    for _ in 0..10 {
        check(
            &bench.post("/v1/emails", &[], &EMAIL.replace("customer@", "canary")).await,
            422,
            "UMS1002",
        );
    }
    let report = bench.get("/v1/providers/health").await.json();
    assert_eq!(report["email_providers"][0]["circuit_breaker"], "closed");
    check_nothing_was_sent(&bench).await;
}

#[tokio::test]
async fn only_json_in_utf_8_is_taken() {
    let bench = start().await;
    for content_type in [
        "text/plain",
        "application/jsonx",
        "application/json; charset=latin1",
        "multipart/form-data",
        "",
    ] {
        check(
            &bench.call("POST /v1/emails", &[("content-type", content_type)], EMAIL).await,
            415,
            "UMS1003",
        );
    }
    check(&bench.call("POST /v1/emails", &[], EMAIL).await, 415, "UMS1003");
    check(
        &bench.post("/v1/emails", &[("content-encoding", "gzip")], EMAIL).await,
        415,
        "UMS1003",
    );
    check_nothing_was_sent(&bench).await;
    for content_type in [
        "application/json; charset=UTF-8",
        "Application/JSON;charset=\"utf-8\"",
        "application/json; profile=x",
    ] {
        assert_eq!(
            bench.call("POST /v1/sms", &[("content-type", content_type)], SMS).await.status,
            200,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn a_bad_idempotency_key_is_refused() {
    let bench = start().await;
    for key in ["", "has space", &"x".repeat(256)] {
        let answer = bench.post("/v1/emails", &[("idempotency-key", key)], EMAIL).await;
        check(&answer, 400, "UMS1008");
        assert_eq!(answer.fields(), ["Idempotency-Key"]);
    }
    check(
        &bench
            .post("/v1/emails", &[("idempotency-key", "a"), ("idempotency-key", "b")], EMAIL)
            .await,
        400,
        "UMS1008",
    );
    check_nothing_was_sent(&bench).await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let bench = start().await;
    for line in [
        "GET /canary",
        "POST /v1/email",
        "GET /v1/messages/",
        "GET //",
        "DELETE /docs/canary",
        "OPTIONS *",
    ] {
        check(&bench.call(line, &[], "").await, 404, "UMS1011");
    }
    let answer = bench.call("GET /v1/emails", &[], "").await;
    check(&answer, 405, "UMS1013");
    assert_eq!(answer.header("allow"), Some("POST"));
    let answer = bench.call("DELETE /v1/messages", &[], "").await;
    check(&answer, 405, "UMS1013");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    check(&bench.call("POST /livez", &[], EMAIL).await, 405, "UMS1013");
}

#[tokio::test]
async fn a_channel_without_a_provider_is_told() {
    let bench = Setup {
        without_sms: true,
        ..Setup::default()
    }
    .start()
    .await;
    check(&bench.post("/v1/sms", &[], SMS).await, 503, "UMS3001");
}

/// Every call that needs the key.
const KEYED: &[&str] = &[
    "POST /v1/emails",
    "POST /v1/sms",
    "POST /v1/batches",
    "POST /v1/messages/x/cancel",
    "POST /v1/messages/x/resend",
    "POST /v1/messages/x/mark",
    "POST /v1/messages/replay",
    "GET /v1/messages",
    "GET /v1/messages/x",
    "GET /v1/messages/x/explain",
    "GET /v1/providers/health",
    "POST /v1/providers/aws_ses/disable",
    "POST /v1/providers/aws_ses/enable",
    "POST /v1/providers/aws_ses/probe",
    "GET /v1/suppressions",
    "POST /v1/suppressions",
    "DELETE /v1/suppressions?address=a%40example.com",
    "GET /v1/webhooks",
    "POST /v1/webhooks",
    "GET /v1/webhooks/deliveries",
    "POST /v1/webhooks/replay",
    "GET /v1/webhooks/x",
    "PATCH /v1/webhooks/x",
    "DELETE /v1/webhooks/x",
    "POST /v1/webhooks/x/rotate",
    "POST /v1/webhooks/x/test",
];

#[tokio::test]
async fn a_key_is_needed_where_there_is_one() {
    let bench = Setup {
        key: true,
        ..Setup::default()
    }
    .start()
    .await;
    let prefix = &KEY[..KEY.len() - 1];
    let upper = KEY.to_ascii_uppercase();
    // Each from an address of its own: refusals of one peer are slowed.
    for (line, last) in KEYED.iter().zip(1_u8..) {
        for header in [
            "",
            "Bearer canary",
            &format!("Bearer {prefix}"),
            &format!("Bearer {upper}"),
            &format!("Basic {KEY}"),
            KEY,
        ] {
            let mut client = bench.connect_from([127, 0, 1, last]).await;
            client
                .write(format!(
                    "{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: {header}\r\ncontent-length: 0\r\n\r\n"
                ))
                .await;
            let answer = client.answer().await.unwrap();
            check(&answer, 401, "UMS2001");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    let mut client = bench.connect().await;
    let body = "canary".repeat(1 << 18);
    client
        .write(format!(
            "POST /v1/emails HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    check(&client.answer().await.unwrap(), 401, "UMS2001");
    for open in [
        "/",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/errors",
        "/docs/errors/UMS1001",
        "/docs/style.css",
        "/metrics",
    ] {
        let mut client = bench.connect().await;
        client.write(format!("GET {open} HTTP/1.1\r\nhost: anything\r\n\r\n")).await;
        assert_eq!(client.answer().await.unwrap().status, 200, "{open}");
    }
    let mut client = bench.connect().await;
    client
        .write("GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 203.0.113.9\r\n\r\n")
        .await;
    check(&client.answer().await.unwrap(), 401, "UMS2001");
    check_nothing_was_sent(&bench).await;
    assert_eq!(bench.post("/v1/sms", &[], SMS).await.status, 200);
}

#[tokio::test]
async fn without_a_key_a_foreign_name_is_refused() {
    let bench = start().await;
    let mut client = bench.connect().await;
    client.write("GET /v1/messages HTTP/1.1\r\nhost: canary.example\r\n\r\n").await;
    check(&client.answer().await.unwrap(), 403, "UMS2002");
}

#[tokio::test]
async fn faults_carry_the_safe_headers() {
    let bench = start().await;
    for answer in [
        bench.get("/nowhere").await,
        bench.get("/docs").await,
        bench.post("/v1/sms", &[], SMS).await,
    ] {
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert!(answer.header("x-request-id").is_some() && answer.header("server").is_none());
    }
}
