//! The OpenAPI document against what the service really takes and answers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use ums_core::Clock as _;
use ums_core::request::Disposition;
use ums_core::{
    AttemptResult, BounceKind, BreakerStateWord, Channel, Duplicates, Event, EventKind, FailureClass, HealthStatus, NoticeKind,
    NoticeState, OnExhausted, OutcomeWord, Priority, ProviderKind, Purpose, RecipientKind, RecipientResult, SendResult, SettledBy, Status,
    SuppressionOrigin, SuppressionReason, Timestamp,
};
use ums_server::{ErrorCode, openapi_document};
use ums_testkit::Reply;

use crate::client::Answer;
use crate::setup::{EMAIL, SMS, start};
use crate::webhooks::with_application;

/// Checks a value against a schema of the kinds that the document uses.
fn check(document: &Value, schema: &Value, value: &Value, path: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference}"));
        return check(document, target, value, path);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| {
            if choice["$ref"].is_string() {
                value.is_object()
            } else {
                has_type(choice, value)
            }
        };
        let choice = choices.iter().find(fits).unwrap_or_else(|| panic!("{path}: {value} fits none"));
        return check(document, choice, value, path);
    }
    assert!(has_type(schema, value), "{path}: {value} is not {}", schema["type"]);
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{path}: {value} is none of {words:?}");
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], item, &format!("{path}[{index}]"));
    }
    if let Value::Object(object) = value {
        check_object(document, schema, object, path);
    }
}

fn check_object(document: &Value, schema: &Value, object: &Map<String, Value>, path: &str) {
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(name.as_str().unwrap()), "{path}: {name} is missing");
    }
    for (name, value) in object {
        let path = format!("{path}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(property), _) => check(document, property, value, &path),
            (None, Value::Object(_)) => check(document, &schema["additionalProperties"], value, &path),
            (None, other) => assert_ne!(*other, json!(false), "{path} is not in the document"),
        }
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |word: &str| match word {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is not a type that the check knows"),
    };
    match &schema["type"] {
        Value::String(word) => is(word),
        Value::Array(words) => words.iter().any(|word| is(word.as_str().unwrap())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    }
}

/// The operations of the document: path, method, description.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, about)| (path.as_str(), method.as_str(), about))
        })
        .collect()
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = openapi_document("1.0.0");
    assert_eq!(document["info"]["version"], "1.0.0");
    let mut examples = 0;
    for (path, method, about) in operations(&document) {
        let bodies = [&about["requestBody"]]
            .into_iter()
            .chain(about["responses"].as_object().unwrap().values());
        for media in bodies.filter_map(|body| body["content"].as_object()).flat_map(Map::values) {
            if let Some(example) = media.get("example") {
                check(&document, &media["schema"], example, &format!("{method} {path}"));
                examples += 1;
            }
        }
    }
    assert!(examples > 30, "{examples}");
}

#[test]
fn every_problem_in_the_document_is_one_of_the_table() {
    let document = openapi_document("1.0.0");
    for (path, method, about) in operations(&document) {
        for (status, response) in about["responses"].as_object().unwrap() {
            let example = &response["content"]["application/problem+json"]["example"];
            if example.is_null() {
                continue;
            }
            let code = ErrorCode::ALL.iter().find(|code| example["code"] == code.as_str());
            let code = code.unwrap_or_else(|| panic!("{method} {path} {example}"));
            assert_eq!(example["title"], code.title());
            assert_eq!(example["status"].to_string(), *status);
            assert_eq!(example["type"], format!("/docs/errors/{}", code.as_str()));
        }
    }
}

#[test]
fn every_set_of_words_is_the_one_of_the_code() {
    let document = openapi_document("1.0.0");
    let check = |schema: &str, field: &str, words: &[&str]| {
        let property = &document["components"]["schemas"][schema]["properties"][field];
        let found: Vec<_> = property["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(found, words, "{schema}.{field}");
    };
    for request in ["SendEmail", "SendSms"] {
        check(request, "purpose", Purpose::WORDS);
        check(request, "duplicates", Duplicates::WORDS);
        check(request, "on_exhausted", OnExhausted::WORDS);
        check(request, "via", ProviderKind::WORDS);
    }
    check("Replay", "provider", ProviderKind::WORDS);
    check("Replay", "purpose", Purpose::WORDS);
    for schema in ["BatchMessage", "BatchItem", "Replay"] {
        check(schema, "channel", Channel::WORDS);
    }
    check("BatchItem", "status", Status::WORDS);
    check("Attachment", "disposition", Disposition::WORDS);
    for result in ["SendResult", "RecipientResult", "Explanation"] {
        check(result, "status", Status::WORDS);
    }
    check("SendResult", "channel", Channel::WORDS);
    check("RecipientResult", "kind", RecipientKind::WORDS);
    check("ReportedEvent", "kind", EventKind::WORDS);
    check("ReportedEvent", "bounce", BounceKind::WORDS);
    check("ReportedEvent", "class", FailureClass::WORDS);
    check("ReportedEvent", "provider", ProviderKind::WORDS);
    check("StoryStep", "event", EventKind::WORDS);
    check("MessageStory", "status", Status::WORDS);
    check("MessageStory", "channel", Channel::WORDS);
    check("AttemptResult", "reported", Status::WORDS);
    check("AttemptResult", "settled_by", SettledBy::WORDS);
    for schema in ["SuppressionEntry", "NewSuppression", "AddSuppressions", "SuppressionAdded"] {
        check(schema, "channel", Channel::WORDS);
        check(schema, "reason", SuppressionReason::WORDS);
    }
    check("SuppressionEntry", "origin", SuppressionOrigin::WORDS);
    check("SuppressionEntry", "provider", ProviderKind::WORDS);
    for schema in ["WebhookDelivery", "ReplayWebhooks"] {
        check(schema, "state", NoticeState::WORDS);
    }
    check("WebhookDelivery", "type", NoticeKind::WORDS);
    for schema in ["WebhookEndpoint", "NewWebhook", "ChangeWebhook"] {
        let words = &document["components"]["schemas"][schema]["properties"]["events"]["items"]["enum"];
        assert_eq!(*words, json!(NoticeKind::WORDS), "{schema}.events");
    }
    for attempt in ["AttemptResult", "StoryStep"] {
        check(attempt, "provider", ProviderKind::WORDS);
        check(attempt, "outcome", OutcomeWord::WORDS);
        check(attempt, "class", FailureClass::WORDS);
    }
    check("ProviderHealth", "circuit_breaker", BreakerStateWord::WORDS);
    check("ProviderHealth", "status", HealthStatus::WORDS);
    check("ProviderHealth", "priority", Priority::WORDS);
    let names: Vec<_> = ProviderKind::ALL.iter().map(|kind| kind.guide_name()).collect();
    check("ProviderHealth", "name", &names);
}

fn fields(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

fn documented(schema: &str) -> BTreeSet<String> {
    fields(&openapi_document("1.0.0")["components"]["schemas"][schema]["properties"])
}

#[test]
fn the_fields_of_requests_are_the_ones_of_the_code() {
    let handling = r#""purpose": "otp", "duplicates": "allow", "on_exhausted": "hold", "send_at": "2026-11-22T10:00:00Z",
        "expires_in_seconds": 1, "via": "smtp", "list": "weekly""#;
    let email = format!(r#"{{"html_content": "", "text_content": "", "from_email": "", "from_name": "", {handling}}}"#);
    let email: ums_core::SendEmail = serde_json::from_str(&email).unwrap();
    let sms: ums_core::SendSms = serde_json::from_str(&format!(r#"{{"from_number": "", {handling}}}"#)).unwrap();
    assert_eq!(fields(&json!(email)), documented("SendEmail"));
    assert_eq!(fields(&json!(sms)), documented("SendSms"));
}

/// Every field has a value, since some are left out of the answer without one.
#[test]
fn the_fields_of_results_are_the_ones_of_the_code() {
    let attempt = AttemptResult {
        provider: ProviderKind::Smtp,
        outcome: OutcomeWord::Accepted,
        class: None,
        code: None,
        duration_ms: None,
        from_substituted: true,
        reported: Some(Status::Delivered),
        called_at: Some(Timestamp::from_micros(0)),
        settled_by: Some(SettledBy::Feedback),
        unknown_until: Some(Timestamp::from_micros(1)),
        recipients: Vec::new(),
    };
    let recipient = RecipientResult {
        address: "customer@example.com".to_owned(),
        kind: RecipientKind::To,
        status: Status::Sent,
        reason: Some("450".to_owned()),
    };
    let result = SendResult {
        message_id: "01993c00-0000-7000-8000-000000000001".parse().unwrap(),
        recipient_id: recipient.address.clone(),
        status: Status::Sent,
        channel: Channel::Email,
        sent_at: None,
        delivered_at: None,
        error_message: None,
        cost: None,
        currency: "USD".to_owned(),
        possibly_duplicate: false,
        simulated: false,
        open_recipients: 0,
        recipients: Vec::new(),
        metadata: Map::new(),
        attempts: Vec::new(),
        under_way: false,
    };
    assert_eq!(fields(&json!(attempt)), documented("AttemptResult"));
    assert_eq!(fields(&json!(recipient)), documented("RecipientResult"));
    assert_eq!(fields(&json!(result)), documented("SendResult"));
}

/// Checks an answer against what the document says of its call.
fn fits(document: &Value, method: &str, path: &str, answer: &Answer) {
    let response = &document["paths"][path][method]["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{method} {path} {} is not in the document", answer.status);
    let Some(media) = response["content"].as_object() else {
        assert_eq!(answer.body, "", "{method} {path}");
        return;
    };
    let schema = &media.values().next().unwrap()["schema"];
    check(document, schema, &answer.json(), &format!("{method} {path}"));
}

#[tokio::test]
async fn real_answers_of_suppressions_and_reports_are_what_the_document_says() {
    let bench = start().await;
    let document = bench.get("/openapi.json").await.json();
    let list = "/v1/suppressions";
    let entry = r#"{"address": "other@example.com", "detail": "asked", "expires_at": "2099-01-01T00:00:00Z"}"#;
    for (method, answer) in [
        ("post", bench.post(list, &[], entry).await),
        ("post", bench.post(list, &[], "{}").await),
        ("post", bench.post(list, &[], "{").await),
        ("get", bench.get("/v1/suppressions?limit=1").await),
        ("get", bench.get("/v1/suppressions?limit=0").await),
        ("delete", bench.call("DELETE /v1/suppressions", &[], "").await),
        (
            "delete",
            bench.call("DELETE /v1/suppressions?address=other%40example.com", &[], "").await,
        ),
    ] {
        fits(&document, method, list, &answer);
    }
    fits(&document, "post", "/hooks/{hook}", &bench.call("POST /hooks/aws", &[], "x").await);
    fits(
        &document,
        "post",
        "/hooks/{hook}/{account}",
        &bench.call("POST /hooks/aws/x", &[], "x").await,
    );

    let sent = bench.post("/v1/emails", &[], EMAIL).await;
    let id = sent.json()["message_id"].as_str().unwrap().to_owned();
    let mut event = Event::new(ProviderKind::AwsSes, "1", EventKind::Bounced, "Bounce/Permanent/General");
    event.about.message_id = Some(id.parse().unwrap());
    event.bounce = Some(BounceKind::Hard);
    event.suppress = Some(SuppressionReason::HardBounce);
    event.recipient = Some("customer@example.com".to_owned());
    event.at = Some(bench.clock.now());
    bench.messaging.take_feedback(vec![event]).await.unwrap();
    let shown = bench.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(shown.json()["events"].as_array().unwrap().len(), 1, "{}", shown.body);
    fits(&document, "get", "/v1/messages/{id}", &shown);
    fits(
        &document,
        "get",
        "/v1/messages/{id}/explain",
        &bench.get(&format!("/v1/messages/{id}/explain")).await,
    );
    fits(&document, "get", "/v1/messages", &bench.get("/v1/messages").await);
}

#[tokio::test]
async fn real_answers_of_webhooks_are_what_the_document_says() {
    let (bench, _application) = with_application().await;
    let document = bench.get("/openapi.json").await.json();
    let made = bench.post("/v1/webhooks", &[], r#"{"url": "https://app.example.com/ums"}"#).await;
    let path = format!("/v1/webhooks/{}", made.json()["id"].as_str().unwrap());
    let json = [("content-type", "application/json")];
    bench.post("/v1/emails", &[], EMAIL).await;
    for (method, documented, answer) in [
        ("post", "/v1/webhooks", made),
        ("post", "/v1/webhooks", bench.post("/v1/webhooks", &[], "{}").await),
        ("get", "/v1/webhooks", bench.get("/v1/webhooks").await),
        ("get", "/v1/webhooks/{id}", bench.get(&path).await),
        ("get", "/v1/webhooks/{id}", bench.get(&format!("{path}?secrets=true")).await),
        ("get", "/v1/webhooks/{id}", bench.get(&format!("{path}?secrets=x")).await),
        ("get", "/v1/webhooks/{id}", bench.get("/v1/webhooks/x").await),
        (
            "patch",
            "/v1/webhooks/{id}",
            bench.call(&format!("PATCH {path}"), &json, r#"{"enabled": false}"#).await,
        ),
        (
            "patch",
            "/v1/webhooks/{id}",
            bench.call(&format!("PATCH {path}"), &json, r#"{"enabled": 1}"#).await,
        ),
        (
            "post",
            "/v1/webhooks/{id}/rotate",
            bench.call(&format!("POST {path}/rotate"), &[], "").await,
        ),
        (
            "post",
            "/v1/webhooks/{id}/test",
            bench.call(&format!("POST {path}/test"), &[], "").await,
        ),
        ("get", "/v1/webhooks/deliveries", bench.get("/v1/webhooks/deliveries").await),
        ("get", "/v1/webhooks/deliveries", bench.get("/v1/webhooks/deliveries?limit=0").await),
        ("post", "/v1/webhooks/replay", bench.post("/v1/webhooks/replay", &[], "{}").await),
        (
            "post",
            "/v1/webhooks/replay",
            bench.post("/v1/webhooks/replay", &[], r#"{"state": 1}"#).await,
        ),
        ("delete", "/v1/webhooks/{id}", bench.call(&format!("DELETE {path}"), &[], "").await),
        ("delete", "/v1/webhooks/{id}", bench.call(&format!("DELETE {path}"), &[], "").await),
    ] {
        fits(&document, method, documented, &answer);
    }
}

#[tokio::test]
async fn real_answers_about_providers_are_what_the_document_says() {
    let bench = start().await;
    let document = bench.get("/openapi.json").await.json();
    let path = |act: &str| format!("/v1/providers/aws_ses/{act}");
    let off = r#"{"reason": "a move", "until": "2099-01-01T00:00:00Z"}"#;
    for (act, answer) in [
        ("disable", bench.post(&path("disable"), &[], off).await),
        ("disable", bench.post(&path("disable"), &[], "{}").await),
        ("disable", bench.post(&path("disable"), &[], "{").await),
        ("disable", bench.post("/v1/providers/x/disable", &[], off).await),
        ("probe", bench.call(&format!("POST {}", path("probe")), &[], "").await),
    ] {
        fits(&document, "post", &format!("/v1/providers/{{provider}}/{act}"), &answer);
    }
    fits(&document, "get", "/v1/providers/health", &bench.get("/v1/providers/health").await);
    let enabled = bench.call(&format!("POST {}", path("enable")), &[], "").await;
    fits(&document, "post", "/v1/providers/{provider}/enable", &enabled);
}

#[tokio::test]
async fn real_answers_about_the_clock_are_what_the_document_says() {
    let bench = start().await;
    let document = bench.get("/openapi.json").await.json();
    fits(&document, "get", "/v1/clock", &bench.get("/v1/clock").await);
    for answer in [
        bench.call("POST /v1/clock/trust", &[], "").await,
        bench.post("/v1/clock/trust", &[], r#"{"by": "ann"}"#).await,
        bench.post("/v1/clock/trust", &[], r#"{"by": ""}"#).await,
        bench.post("/v1/clock/trust", &[], "{").await,
    ] {
        fits(&document, "post", "/v1/clock/trust", &answer);
    }
}

#[tokio::test]
async fn real_answers_are_what_the_document_says() {
    let bench = start().await;
    let document = bench.get("/openapi.json").await.json();
    let fits = |method: &str, path: &str, status: u16, body: &Value| {
        let response = &document["paths"][path][method]["responses"][status.to_string()];
        let media = response["content"]
            .as_object()
            .unwrap_or_else(|| panic!("{method} {path} {status} is not in the document"));
        check(
            &document,
            &media.values().next().unwrap()["schema"],
            body,
            &format!("{method} {path}"),
        );
    };
    bench.ses.answer_once(Reply::FailAs(FailureClass::Unavailable));
    let batch = |to: &str| {
        EMAIL
            .replace("customer@example.com", to)
            .replace('{', r#"{"messages": [{"channel": "email", "#)
            + "]}"
    };
    let replay = r#"{"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z", "dry_run": true}"#;
    let calls = [
        ("post", "/v1/emails", bench.post("/v1/emails", &[], EMAIL).await),
        ("post", "/v1/sms", bench.post("/v1/sms", &[], SMS).await),
        (
            "post",
            "/v1/emails",
            bench.post("/v1/emails", &[("prefer", "respond-async")], EMAIL).await,
        ),
        ("post", "/v1/emails", bench.post("/v1/emails", &[], "{}").await),
        ("post", "/v1/sms", bench.post("/v1/sms", &[], "{").await),
        ("post", "/v1/sms", bench.call("POST /v1/sms", &[], SMS).await),
        ("post", "/v1/batches", bench.post("/v1/batches", &[], &batch("a@example.com")).await),
        ("post", "/v1/batches", bench.post("/v1/batches", &[], &batch("a")).await),
        ("post", "/v1/messages/replay", bench.post("/v1/messages/replay", &[], replay).await),
        ("post", "/v1/messages/replay", bench.post("/v1/messages/replay", &[], "{}").await),
        ("get", "/v1/messages", bench.get("/v1/messages").await),
        ("get", "/v1/messages", bench.get("/v1/messages?limit=0").await),
        ("get", "/v1/messages/{id}", bench.get("/v1/messages/x").await),
        ("get", "/v1/providers/health", bench.get("/v1/providers/health").await),
        ("get", "/livez", bench.get("/livez").await),
        ("get", "/readyz", bench.get("/readyz").await),
    ];
    for (method, path, answer) in &calls {
        fits(method, path, answer.status, &answer.json());
    }
    let location = calls[0].2.header("location").unwrap();
    fits("get", "/v1/messages/{id}", 200, &bench.get(location).await.json());
    fits(
        "get",
        "/v1/messages/{id}/explain",
        200,
        &bench.get(&format!("{location}/explain")).await.json(),
    );
    let later = EMAIL.replace('}', r#", "send_at": "2099-01-01T00:00:00Z"}"#);
    let later = bench.post("/v1/emails", &[], &later).await;
    let later = later.header("location").unwrap();
    for (act, body) in [
        ("mark", r#"{"as": "sent"}"#),
        ("mark", "{}"),
        ("resend", ""),
        ("cancel", ""),
        ("cancel", ""),
    ] {
        let answer = bench.post(&format!("{later}/{act}"), &[], body).await;
        fits("post", &format!("/v1/messages/{{id}}/{act}"), answer.status, &answer.json());
    }
    fits(
        "get",
        "/v1/messages/{id}/explain",
        200,
        &bench.get(&format!("{later}/explain")).await.json(),
    );
}
