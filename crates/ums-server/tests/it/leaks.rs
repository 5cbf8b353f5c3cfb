//! Nothing that a caller hands in, and no key, is in a log, a problem or a count.

use ums_core::{Failure, FailureClass};
use ums_testkit::{LogCapture, Reply};

use crate::setup::{KEY, Setup, impatient};

/// Values that a caller hands in; none may come out but in the caller's own results.
const CANARIES: [&str; 12] = [
    "canary-customer",
    "4165559876",
    "canary-subject",
    "canary-html",
    "canary-text",
    "canary-name",
    "canary-meta",
    "canary-file",
    "Y2FuYXJ5",
    "canary-query",
    "canary-idempotency",
    KEY,
];

fn check(place: &str, text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} in {place}:\n{text:.2000}");
    }
}

const EMAIL: &str = r#"{"to": "canary-name <canary-customer@example.com>", "subject": "canary-subject", "html_content": "canary-html",
    "text_content": "canary-text", "metadata": {"a": "canary-meta"},
    "attachments": [{"filename": "canary-file.txt", "content_base64": "Y2FuYXJ5"}]}"#;
const SMS: &str = r#"{"to": "+14165559876", "message_body": "canary-text 123456", "purpose": "otp"}"#;

#[tokio::test]
async fn no_output_but_the_callers_own_results_holds_what_was_handed_in() {
    // With one subscriber in the process, tracing keeps what other tests' threads, which have none, think of a place in the code.
    let (_outer, _outer_guard) = LogCapture::start();
    let (log, _guard) = LogCapture::start();
    let bench = Setup {
        key: true,
        limits: impatient(),
        ..Setup::default()
    }
    .start()
    .await;
    let detail = "canary-customer@example.com refused, call +14165559876";
    bench
        .ses
        .answer(Reply::Fail(Failure::provider(FailureClass::Misconfigured, "535", detail)));
    let key = [("idempotency-key", "canary-idempotency")];

    // What is fine.
    assert_eq!(bench.post("/v1/emails", &key, EMAIL).await.status, 200);
    assert_eq!(bench.post("/v1/emails", &key, EMAIL).await.status, 200);
    let sms = bench.post("/v1/sms?x=canary-query", &[], SMS).await;
    assert_eq!(sms.status, 200);
    bench.get("/v1/messages?to=canary-customer%40example.com").await;
    bench.get("/v1/messages?to=%2B14165559876").await;
    bench
        .post("/v1/suppressions", &[], r#"{"address": "+14165559876", "detail": "canary-text"}"#)
        .await;
    bench.get("/v1/suppressions?address=%2B14165559876").await;
    bench.call("DELETE /v1/suppressions?address=%2B14165559876", &[], "").await;

    // What is not.
    let mut problems = vec![
        bench.post("/v1/emails", &key, &EMAIL.replace("canary-text", "other")).await,
        bench
            .post("/v1/emails", &[], &EMAIL.replace("\"subject\"", "\"canary-subject@x\""))
            .await,
        bench.post("/v1/emails", &[], &EMAIL.replace("@example.com", "")).await,
        bench.post("/v1/emails", &[], &EMAIL.replace('}', "")).await,
        bench.post("/v1/emails", &[], &EMAIL.replace("Y2FuYXJ5", "Y2FuYXJ5*")).await,
        bench.post("/v1/sms", &[], &SMS.replace("otp", "canary-text")).await,
        bench.post("/v1/sms", &[], &SMS.replace("+1", "canary-customer")).await,
        bench.call("DELETE /v1/suppressions?address=canary-query%40", &[], "").await,
        bench.post("/v1/suppressions", &[], r#"{"address": "canary-customer"}"#).await,
        bench.post("/v1/webhooks", &[], r#"{"url": "https://canary-query.example"}"#).await,
        bench
            .get("/v1/messages?to=canary-query&nosuch=canary-query&status=canary-query")
            .await,
        bench.get("/canary-query?canary-query=1").await,
        bench
            .call("GET /v1/messages", &[("authorization", "Bearer canary-query")], "")
            .await,
    ];
    let mut slow = bench.connect().await;
    let head = bench.request("POST /v1/emails", &[("content-type", "application/json")], EMAIL);
    slow.write(&head[..head.len() - 10]).await;
    problems.extend(slow.answer().await);
    for problem in &problems {
        assert!(problem.status >= 400, "{problem:?}");
        check("a problem", &format!("{}{}", problem.head, problem.body));
    }

    check("the health report", &bench.get("/v1/providers/health").await.body);
    check("the counts", &bench.get("/metrics").await.body);
    let explain = bench.get(&format!("{}/explain", sms.header("location").unwrap())).await;
    check("a story", &explain.body);
    let text = log.text();
    assert!(
        text.contains("ums_server::access") && text.contains("route=/v1/emails"),
        "{text:.500}"
    );
    check("the log", &text);
}
