//! Webhook endpoints over HTTP: made, changed, tested, told, posted again.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use ums_core::{Secret, WebhookCall, WebhookFault, WebhookPost};
use ums_delivery::Aftermath;

use crate::setup::{Bench, EMAIL, Setup, start};

/// An application that answers as it is told.
#[derive(Debug)]
pub(crate) struct Application {
    calls: Mutex<Vec<WebhookCall>>,
    status: Mutex<u16>,
}

#[async_trait]
impl WebhookPost for Application {
    fn check_url(&self, url: &str) -> Result<(), String> {
        url.starts_with("https://").then_some(()).ok_or_else(|| "must be https".to_owned())
    }

    async fn post(&self, call: WebhookCall) -> Result<u16, WebhookFault> {
        self.calls.lock().unwrap().push(call);
        Ok(*self.status.lock().unwrap())
    }
}

/// A service that may post to an application.
pub(crate) async fn with_application() -> (Bench, Arc<Application>) {
    let application = Arc::new(Application {
        calls: Mutex::default(),
        status: Mutex::new(200),
    });
    let bench = Setup {
        aftermath: Aftermath {
            webhooks: Some(application.clone()),
            keys: vec![Secret::new("key-of-the-service-1")],
            ..Aftermath::default()
        },
        ..Setup::default()
    };
    (bench.start().await, application)
}

async fn create(bench: &Bench, body: Value) -> Value {
    let answer = bench.post("/v1/webhooks", &[], &body.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let endpoint = answer.json();
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/webhooks/{}", endpoint["id"].as_str().unwrap()).as_str())
    );
    endpoint
}

async fn patch(bench: &Bench, path: &str, body: Value) -> crate::client::Answer {
    let json = ("content-type", "application/json");
    bench.call(&format!("PATCH {path}"), &[json], &body.to_string()).await
}

#[tokio::test]
async fn an_endpoint_is_made_shown_changed_and_deleted() {
    let (bench, _) = with_application().await;
    let made = create(
        &bench,
        json!({"url": "https://app.example.com/ums", "events": ["message.bounced", "message.sent", "message.sent"]}),
    )
    .await;
    let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
    assert!(made["secrets"][0].as_str().unwrap().starts_with("whsec_"), "{made}");
    assert_eq!(made["events"], json!(["message.sent", "message.bounced"]));

    let shown = bench.get(&path).await.json();
    assert!(shown.get("secrets").is_none() && shown["enabled"] == true, "{shown}");
    assert_eq!(bench.get(&format!("{path}?secrets=true")).await.json()["secrets"], made["secrets"]);
    let list = bench.get("/v1/webhooks").await.json();
    assert_eq!(list["data"], json!([shown]));

    let changed = patch(&bench, &path, json!({"enabled": false, "description": "mine"})).await.json();
    assert_eq!(
        (changed["enabled"].as_bool(), changed["description"].as_str()),
        (Some(false), Some("mine"))
    );
    assert!(changed["disabled_at"].is_string() && changed["url"] == made["url"], "{changed}");
    let changed = patch(&bench, &path, json!({"enabled": true, "events": []})).await.json();
    assert_eq!((changed["enabled"].as_bool(), &changed["events"]), (Some(true), &json!([])));

    let rotated = bench.call(&format!("POST {path}/rotate"), &[], "").await.json();
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 2, "{rotated}");
    assert_eq!(rotated["secrets"][1], made["secrets"][0]);
    let rotated = bench.post(&format!("{path}/rotate"), &[], r#"{"overlap_seconds": 0}"#).await.json();
    assert_ne!(rotated["secrets"][0], made["secrets"][0], "{rotated}");

    assert_eq!(bench.call(&format!("DELETE {path}"), &[], "").await.status, 204);
    for answer in [
        bench.get(&path).await,
        bench.call(&format!("DELETE {path}"), &[], "").await,
        bench.call(&format!("POST {path}/test"), &[], "").await,
        bench.call(&format!("POST {path}/rotate"), &[], "").await,
        patch(&bench, &path, json!({})).await,
        bench.get("/v1/webhooks/x").await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (404, "UMS1017"));
    }
}

#[tokio::test]
async fn a_test_says_how_it_ended_and_what_failed_is_posted_again() {
    let (bench, application) = with_application().await;
    let made = create(&bench, json!({"url": "https://app.example.com/ums"})).await;
    let (id, path) = (
        made["id"].as_str().unwrap(),
        format!("/v1/webhooks/{}", made["id"].as_str().unwrap()),
    );
    let tested = bench.call(&format!("POST {path}/test"), &[], "").await;
    assert_eq!(tested.status, 200, "{}", tested.body);
    let tested = tested.json();
    assert_eq!(
        (tested["type"].as_str(), tested["state"].as_str()),
        (Some("test.ping"), Some("delivered")),
        "{tested}"
    );
    assert_eq!(application.calls.lock().unwrap().len(), 1);

    let sent = bench.post("/v1/emails", &[], EMAIL).await.json();
    let query = format!(
        "/v1/webhooks/deliveries?endpoint_id={id}&message_id={}",
        sent["message_id"].as_str().unwrap()
    );
    let delivery = loop {
        let deliveries = bench.get(&query).await.json();
        let first = deliveries["data"][0].clone();
        if first["state"] == "delivered" {
            break first;
        }
    };
    assert_eq!(delivery["payload"]["data"]["status"], "sent", "{delivery}");
    assert_eq!(
        (delivery["tries"].as_u64(), delivery["last_result"].as_str()),
        (Some(1), Some("200"))
    );
    let before = application.calls.lock().unwrap().len();
    let none = bench.call("POST /v1/webhooks/replay", &[], "").await;
    assert_eq!((none.status, none.json()), (200, json!({"replayed": 0})));
    let again = bench.post("/v1/webhooks/replay", &[], r#"{"state": "delivered"}"#).await.json();
    assert!(again["replayed"].as_u64().unwrap() >= 1, "{again}");
    crate::setup::until(|| application.calls.lock().unwrap().len() > before).await;
}

#[tokio::test]
async fn what_is_wrong_is_told_by_name() {
    let (bench, application) = with_application().await;
    let fields = async |body: &str| {
        let answer = bench.post("/v1/webhooks", &[], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "UMS1002"), "{}", answer.body);
        assert!(!answer.body.contains("canary"), "{}", answer.body);
        answer.fields()
    };
    assert_eq!(fields("{}").await, ["url"]);
    assert_eq!(fields(r#"{"url": "http://canary.example"}"#).await, ["url"]);
    assert_eq!(fields(r#"{"url": "https://a.example", "events": ["canary"]}"#).await, ["events"]);
    assert_eq!(
        fields(r#"{"url": "https://a.example", "description": "canary\u0000"}"#).await,
        ["description"]
    );
    assert_eq!(fields(r#"{"url": "https://a.example", "enabled": true}"#).await, ["enabled"]);
    for query in [
        "state=canary",
        "endpoint_id=canary",
        "message_id=canary",
        "cursor=canary",
        "since=canary",
        "limit=0",
        "x=1",
    ] {
        let answer = bench.get(&format!("/v1/webhooks/deliveries?{query}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "UMS1007"), "{query}");
        assert!(!answer.body.contains("canary"));
    }
    let answer = bench.post("/v1/webhooks/replay", &[], r#"{"endpoint_id": "canary"}"#).await;
    assert_eq!(answer.fields(), ["endpoint_id"]);
    assert_eq!(bench.get("/v1/webhooks").await.json()["data"], json!([]));
    assert_eq!(application.calls.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn without_a_key_of_the_service_nothing_is_signed_and_no_endpoint_made() {
    let bench = start().await;
    let answer = bench.post("/v1/webhooks", &[], r#"{"url": "https://app.example.com"}"#).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UMS3002"), "{}", answer.body);
}
