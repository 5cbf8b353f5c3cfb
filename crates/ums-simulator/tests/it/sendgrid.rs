use serde_json::{Value, json};
use ums_simulator::{Mode, Provider, Simulator};

use crate::client::{Reply, Request};
use crate::requests::{self, mail};
use crate::start;

async fn post(simulator: &Simulator, body: &Value) -> Reply {
    send(simulator, requests::sendgrid("POST", "/v3/mail/send", body)).await
}

async fn send(simulator: &Simulator, request: Request) -> Reply {
    request.send(simulator.addr(Provider::SendGrid)).await.expect("an answer")
}

#[tokio::test]
async fn a_mail_is_recorded_for_each_personalization() {
    let simulator = start().await;
    let body = json!({
        "personalizations": [
            {
                "to": [{"email": "zoe@example.com", "name": "Zoë"}],
                "cc": [{"email": "cc@example.com"}],
                "bcc": [{"email": "bcc@example.com"}],
                "custom_args": {"ums_message": "0199-a", "n": 5},
                "headers": {"X-Order": "5"},
            },
            {"to": [{"email": "yann@example.org"}], "subject": "Other"},
        ],
        "from": {"email": "shop@example.com", "name": "Shop"},
        "reply_to": {"email": "help@example.com"},
        "subject": "Grüße",
        "content": [
            {"type": "text/plain", "value": "Text"},
            {"type": "text/html", "value": "<p>Text</p>"},
        ],
        "attachments": [{"content": "MDEyMw==", "filename": "bill.pdf", "type": "application/pdf"}],
        "categories": ["receipt"],
    });
    let reply = post(&simulator, &body).await;
    assert_eq!(reply.status, 202);
    assert!(reply.body.is_empty());
    assert!(reply.header("x-ratelimit-remaining").is_some());

    let messages = simulator.messages();
    let [first, second] = messages.as_slice() else {
        panic!("two messages: {messages:?}");
    };
    assert_eq!(reply.header("x-message-id"), Some(first.id.as_str()));
    assert_eq!(first.to, ["zoe@example.com"]);
    assert_eq!(first.cc, ["cc@example.com"]);
    assert_eq!(first.bcc, ["bcc@example.com"]);
    assert_eq!(first.from.as_deref(), Some("shop@example.com"));
    assert_eq!(first.from_name.as_deref(), Some("Shop"));
    assert_eq!(first.reply_to, ["help@example.com"]);
    assert_eq!(first.subject.as_deref(), Some("Grüße"));
    assert_eq!(first.text.as_deref(), Some("Text"));
    assert_eq!(first.html.as_deref(), Some("<p>Text</p>"));
    assert_eq!(first.headers["X-Order"], "5");
    assert_eq!(first.custom_args["ums_message"], "0199-a");
    assert_eq!(first.custom_args["n"], "5");
    assert!(first.tags.contains_key("receipt"));
    assert_eq!(first.attachments[0].size, 4);
    assert_eq!(second.to, ["yann@example.org"]);
    assert_eq!(second.subject.as_deref(), Some("Other"));
}

#[tokio::test]
async fn mistakes_are_told_by_field() {
    let simulator = start().await;
    let check = async |pointer: &str, value: Value, field: &str| {
        let mut body = mail();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        body.pointer_mut(parent).expect("a parent")[key] = value;
        let reply = post(&simulator, &body).await;
        assert_eq!(reply.status, 400, "{pointer}");
        let error = reply.json()["errors"][0].clone();
        assert_eq!(error["field"], field, "{error}");
        assert!(error["message"].is_string());
    };
    check("/personalizations", json!([]), "personalizations").await;
    check("/personalizations", json!([{"to": []}]), "personalizations.0.to").await;
    let wrong = json!([{"to": [{"email": "nobody"}]}]);
    check("/personalizations", wrong, "personalizations.0.to.0.email").await;
    let twice = json!([{"to": [{"email": "a@b.example"}], "cc": [{"email": "A@b.example"}]}]);
    check("/personalizations", twice, "personalizations.0.cc").await;
    check("/from", Value::Null, "from.email").await;
    check("/subject", json!(""), "subject").await;
    check("/content", json!([]), "content").await;
    check("/content", json!([{"type": "text/plain", "value": ""}]), "content.0.value").await;
    let order = json!([{"type": "text/html", "value": "a"}, {"type": "text/plain", "value": "a"}]);
    check("/content", order, "content").await;
    let file = json!([{"content": "%", "filename": "a"}]);
    check("/attachments", file, "attachments.0.content").await;
    let good = json!({"content": "MDEyMw==", "filename": "a.txt", "type": "text/plain"});
    for (key, value) in [
        ("content", ""),
        ("filename", ""),
        ("filename", "a;b.txt"),
        ("filename", "a\r\nb.txt"),
        ("type", ""),
        ("type", "text/calendar; method=REQUEST"),
        ("disposition", "beside"),
        ("content_id", "a;b"),
    ] {
        let mut file = good.clone();
        file[key] = json!(value);
        check("/attachments", json!([file]), &format!("attachments.0.{key}")).await;
    }
    let order = json!([{"type": "text/calendar", "value": "a"}, {"type": "text/html", "value": "a"}]);
    check("/content", order, "content").await;
    check("/headers", json!({"Subject": "x"}), "headers").await;
    check("/headers", json!({"X-A": "x", "x-a": "y"}), "headers").await;
    check("/headers", json!({"X A": "x"}), "headers").await;
    check("/categories", json!(["a", "a"]), "categories").await;
    check("/custom_args", json!({"a": "x".repeat(10_001)}), "custom_args").await;
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn keys_must_have_their_form() {
    let simulator = start().await;
    let good = requests::send(Provider::SendGrid);
    for header in ["Bearer key", "Basic SG.a.b", "Bearer SG.", "SG.a.b"] {
        let reply = send(&simulator, good.clone().header("Authorization", header)).await;
        assert_eq!(reply.status, 401, "{header}");
        let text = reply.json()["errors"][0]["message"].clone();
        assert_eq!(text, "The provided authorization grant is invalid, expired, or revoked");
    }
    let reply = send(&simulator, good.without("Authorization")).await;
    assert_eq!(reply.json()["errors"][0]["message"], "authorization required");
}

#[tokio::test]
async fn the_sandbox_validates_and_keeps_nothing() {
    let simulator = start().await;
    let mut body = mail();
    body["mail_settings"] = json!({"sandbox_mode": {"enable": true}});
    let reply = post(&simulator, &body).await;
    assert_eq!((reply.status, reply.header("x-message-id")), (200, None));
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn scopes_and_credits_can_be_asked() {
    let simulator = start().await;
    let get = |path: &str| requests::sendgrid("GET", path, &Value::Null);
    let scopes = send(&simulator, get("/v3/scopes")).await.json();
    assert!(scopes["scopes"].as_array().expect("a list").contains(&json!("mail.send")));
    let credits = send(&simulator, get("/v3/user/credits")).await.json();
    assert_eq!(credits["used"], 0);
    simulator.set_fault(Provider::SendGrid, Mode::Quota).await.expect("possible");
    let credits = send(&simulator, get("/v3/user/credits")).await.json();
    assert_eq!(credits["remain"], 0);
    assert_eq!(send(&simulator, get("/v3/mail/send")).await.status, 405);
    assert_eq!(send(&simulator, get("/v3/else")).await.status, 404);
}
