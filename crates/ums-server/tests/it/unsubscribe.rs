//! The link in mail to many: in which mail it stands, and what it does.

use std::time::Duration;

use serde_json::json;
use ums_core::{Clock as _, Email, Event, EventKind, ProviderKind, Secret, SuppressionReason};
use ums_delivery::Aftermath;
use ums_testkit::LogCapture;

use crate::client::Answer;
use crate::setup::{Bench, Setup, start, until};

const PUBLIC: &str = "https://ums.example.com";

fn setup(public_url: &str) -> Setup {
    Setup {
        aftermath: Aftermath {
            keys: vec![Secret::new("newest-key-0123456789"), Secret::new("older-key-0123456789")],
            public_url: Some(public_url.to_owned()),
            ..Aftermath::default()
        },
        key: true,
        ..Setup::default()
    }
}

/// Sends an e-mail; gives it as the provider got it.
async fn send(bench: &Bench, more: serde_json::Value) -> Email {
    let mut body = json!({"to": "customer@example.com", "subject": "News", "text_content": "Hello", "purpose": "bulk"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = bench.post("/v1/emails", &[], &body.to_string()).await;
    assert!(answer.status < 300, "{}", answer.body);
    bench.ses.seen().pop().unwrap().0
}

fn header<'a>(email: &'a Email, name: &str) -> Option<&'a str> {
    let found = email.headers.iter().find(|header| header.name == name);
    found.map(|header| header.value.as_str())
}

/// The path of the link in a mail.
fn path(email: &Email) -> String {
    let link = header(email, "List-Unsubscribe").unwrap();
    let path = link.strip_prefix(&format!("<{PUBLIC}")).and_then(|rest| rest.strip_suffix('>'));
    path.unwrap().to_owned()
}

/// A call without a key, under the public name.
async fn call(bench: &Bench, line: &str, body: &str) -> Answer {
    let mut client = bench.connect().await;
    let head = format!("{line} HTTP/1.1\r\nhost: ums.example.com\r\ncontent-type: application/x-www-form-urlencoded");
    client
        .write(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
        .await;
    client.answer().await.unwrap()
}

#[tokio::test]
async fn mail_to_many_with_one_recipient_has_the_link() {
    let bench = setup(PUBLIC).start().await;
    let email = send(&bench, json!({})).await;
    assert!(path(&email).starts_with("/unsubscribe/"));
    assert_eq!(header(&email, "List-Unsubscribe-Post"), Some("List-Unsubscribe=One-Click"));
    let other = send(&bench, json!({})).await;
    assert_ne!(path(&email), path(&other), "each message has its own");

    let item = json!({"channel": "email", "to": "b@example.com", "subject": "News", "text_content": "Hello", "purpose": "bulk"});
    let calls = bench.ses.calls();
    let batch = json!({"messages": [item.clone(), item]}).to_string();
    assert_eq!(bench.post("/v1/batches", &[], &batch).await.status, 202);
    until(|| bench.ses.calls() == calls + 2).await;
    let links: std::collections::BTreeSet<_> = bench.ses.seen().iter().map(|(email, _)| self::path(email)).collect();
    assert_eq!(links.len(), 4, "of a batch, too");

    for more in [
        json!({"purpose": "transactional"}),
        json!({"purpose": "otp"}),
        json!({"cc": "other@example.com"}),
        json!({"headers": {"List-Unsubscribe": "<mailto:leave@example.com>"}}),
        json!({"headers": {"list-unsubscribe-post": "List-Unsubscribe=One-Click"}}),
    ] {
        let email = send(&bench, more.clone()).await;
        let own = email.headers.iter().any(|header| header.value.contains("/unsubscribe/"));
        assert!(!own, "{more}");
    }
}

#[tokio::test]
async fn without_a_key_or_a_safe_address_there_is_no_link() {
    for setup in [
        Setup::default(),
        setup("http://ums.example.com"),
        Setup {
            aftermath: Aftermath {
                public_url: Some(PUBLIC.to_owned()),
                ..Aftermath::default()
            },
            ..Setup::default()
        },
    ] {
        let bench = setup.start().await;
        assert_eq!(send(&bench, json!({})).await.headers, []);
    }
}

#[tokio::test]
async fn looking_changes_nothing_and_a_click_unsubscribes_for_good() {
    let bench = setup(PUBLIC).start().await;
    let path = path(&send(&bench, json!({})).await);
    call(&bench, &format!("GET {path}"), "").await;
    let page = call(&bench, &format!("GET {path}"), "").await;
    assert!(
        page.body.contains("<form method=post>") && page.body.contains("c•••@example.com"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("customer") && !page.body.contains("<script"));
    assert!(page.body.contains("href=style.css>"), "beside the page, wherever that is");
    assert!(page.header("content-security-policy").unwrap().contains("form-action 'self'"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("x-robots-tag"), Some("noindex, nofollow"));
    assert_eq!(bench.get("/v1/suppressions").await.json()["data"], json!([]));

    for body in ["List-Unsubscribe=One-Click", "", "List-Unsubscribe=One-Click"] {
        let answer = call(&bench, &format!("POST {path}"), body).await;
        assert!(answer.status == 200 && answer.body.contains("You are unsubscribed"), "{answer:?}");
    }
    let list = bench.get("/v1/suppressions").await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    let entry = &list["data"][0];
    assert_eq!(
        (entry["reason"].as_str(), entry["origin"].as_str()),
        (Some("unsubscribe"), Some("link"))
    );
    assert_eq!(
        (entry["address"].as_str(), entry["in_force"].as_bool()),
        (Some("customer@example.com"), Some(true))
    );
    let page = call(&bench, &format!("GET {path}"), "").await;
    assert!(page.body.contains("You are unsubscribed"), "{}", page.body);

    let id = entry["message_id"].as_str().unwrap();
    let story = bench.get(&format!("/v1/messages/{id}")).await.json()["story"].clone();
    let step = story.as_array().unwrap().last().unwrap();
    assert_eq!(
        (step["step"].as_str(), step["code"].as_str()),
        (Some("suppressed"), Some("unsubscribe")),
        "{story}"
    );
}

#[tokio::test]
async fn the_page_offers_the_list_alone_and_to_take_it_back() {
    let bench = setup(PUBLIC).start().await;
    let path = path(&send(&bench, json!({"list": "<Weekly>"})).await);
    let listed = async || {
        let list = bench.get("/v1/suppressions").await.json();
        let entries = list["data"].as_array().unwrap().iter();
        entries.map(|entry| entry["list"].clone()).collect::<Vec<_>>()
    };
    let still = "Receipts, codes and other messages that you ask for still come.";
    let page = call(&bench, &format!("GET {path}"), "").await.body;
    assert!(page.contains("Only from &lt;weekly&gt;") && page.contains(still), "{page}");

    // A mail program's one click is for everything, whatever it posts; a query of others is no choice.
    let page = call(&bench, &format!("POST {path}?choice=list"), "").await.body;
    assert!(page.contains("No more mail of") && page.contains(still), "{page}");
    assert_eq!(listed().await, [json!("<weekly>")]);
    let page = call(&bench, &format!("GET {path}"), "").await.body;
    assert!(
        page.contains("Unsubscribe from all newsletters and offers") && page.contains("?choice=undo"),
        "{page}"
    );
    let page = call(&bench, &format!("POST {path}?utm=1"), "List-Unsubscribe=One-Click&choice=undo")
        .await
        .body;
    assert!(page.contains("No more newsletters and offers") && page.contains(still), "{page}");
    assert_eq!(listed().await, [json!(null), json!("<weekly>")]);

    let page = call(&bench, &format!("POST {path}?choice=undo"), "").await.body;
    assert!(page.contains("subscribed again"), "{page}");
    assert!(listed().await.is_empty());
    assert_eq!(call(&bench, &format!("GET {path}?choice=list"), "").await.status, 200);
    assert!(listed().await.is_empty(), "looking changes nothing");
}

#[tokio::test]
async fn taking_back_promises_no_mail_that_something_else_still_bars() {
    let undo = async |bench: &Bench, path: &str| call(bench, &format!("POST {path}?choice=undo"), "").await.body;
    for (other, title, told) in [
        (
            json!({"reason": "manual"}),
            "<h1>Mail still does not come</h1>",
            "stopped for another reason",
        ),
        (
            json!({"reason": "complaint"}),
            "<h1>Mail still does not come</h1>",
            "stopped for another reason",
        ),
        (
            json!({"reason": "hard_bounce"}),
            "<h1>Mail still does not come</h1>",
            "stopped for another reason",
        ),
        (
            json!({"reason": "unsubscribe", "list": "monthly"}),
            "<h1>Your unsubscribe is taken back</h1>",
            "Mail of other lists that you left still does not come",
        ),
    ] {
        let bench = setup(PUBLIC).start().await;
        let path = path(&send(&bench, json!({"list": "weekly"})).await);
        let nothing = undo(&bench, &path).await;
        assert!(nothing.contains("<h1>There was nothing to take back</h1>"), "{nothing}");
        let mut entry = json!({"address": "customer@example.com"});
        entry.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        assert_eq!(bench.post("/v1/suppressions", &[], &entry.to_string()).await.status, 200);
        assert_eq!(call(&bench, &format!("POST {path}"), "").await.status, 200);

        let page = undo(&bench, &path).await;
        assert!(page.contains(title) && page.contains(told), "{other}: {page}");
        assert!(page.contains("is taken back") && page.contains("ask its sender"), "{other}: {page}");
        let again = undo(&bench, &path).await;
        assert!(again.contains("There was nothing to take back") && again.contains("still does not come"));
        for page in [nothing, page, again] {
            assert!(!page.contains("subscribed again") && !page.contains("customer"), "{other}: {page}");
        }
        let list = bench.get("/v1/suppressions").await.json();
        assert_eq!(list["data"].as_array().unwrap().len(), 1, "the other entry stays: {list}");
    }
}

#[tokio::test]
async fn a_click_holds_whatever_a_provider_with_another_clock_said_before() {
    let bench = setup(PUBLIC).start().await;
    let path = path(&send(&bench, json!({})).await);
    let mut event = Event::new(ProviderKind::AwsSes, "1", EventKind::Unsubscribed, "Subscription");
    event.recipient = Some("customer@example.com".to_owned());
    event.suppress = Some(SuppressionReason::Unsubscribe);
    event.at = Some(bench.clock.now() + Duration::from_mins(10));
    bench.messaging.take_feedback(vec![event]).await.unwrap();
    let lifted = bench.call("DELETE /v1/suppressions?address=customer%40example.com", &[], "").await;
    assert_eq!(lifted.json(), json!({"lifted": 1}));
    assert_eq!(call(&bench, &format!("POST {path}"), "").await.status, 200);
    let list = bench.get("/v1/suppressions").await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn a_click_holds_for_good_where_an_entry_was_to_end() {
    let bench = setup(PUBLIC).start().await;
    let path = path(&send(&bench, json!({})).await);
    let entry = json!({"address": "customer@example.com", "reason": "unsubscribe", "expires_at": "2099-01-01T00:00:00Z"});
    assert_eq!(bench.post("/v1/suppressions", &[], &entry.to_string()).await.status, 200);
    assert_eq!(call(&bench, &format!("POST {path}"), "").await.status, 200);
    let list = bench.get("/v1/suppressions").await.json();
    assert_eq!(list["data"][0]["expires_at"], json!(null), "{list}");
}

#[tokio::test]
async fn a_link_that_is_not_ours_has_one_answer_and_no_effect() {
    let bench = setup(PUBLIC).start().await;
    let path = path(&send(&bench, json!({})).await);
    let stranger = Setup {
        aftermath: Aftermath {
            keys: vec![Secret::new("somebody-elses-key")],
            public_url: Some(PUBLIC.to_owned()),
            ..Aftermath::default()
        },
        ..Setup::default()
    };
    let foreign = self::path(&send(&stranger.start().await, json!({})).await);
    let changed = format!("{}A", &path[..path.len() - 1]);
    let changed = if changed == path {
        format!("{}B", &path[..path.len() - 1])
    } else {
        changed
    };
    let mut answers = Vec::new();
    for bad in [
        foreign.as_str(),
        &changed,
        &path[..path.len() - 4],
        "/unsubscribe/x",
        "/unsubscribe/%FF",
    ] {
        for line in [format!("GET {bad}"), format!("POST {bad}")] {
            let answer = call(&bench, &line, "").await;
            assert_eq!(answer.status, 404, "{line}");
            assert!(answer.body.contains("This link does not work"));
            answers.push(answer.body);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(bench.get("/v1/suppressions").await.json()["data"], json!([]));
}

#[tokio::test]
async fn no_token_is_in_a_log() {
    let (_outer, _outer_guard) = LogCapture::start();
    let (log, _guard) = LogCapture::start();
    let bench = setup(PUBLIC).start().await;
    let path = path(&send(&bench, json!({})).await);
    call(&bench, &format!("GET {path}"), "").await;
    call(&bench, &format!("POST {path}"), "").await;
    let text = log.text();
    assert!(text.contains("route=/unsubscribe/{token}"), "{text}");
    assert!(
        !text.contains(path.rsplit('/').next().unwrap()) && !text.contains("customer@example.com"),
        "{text}"
    );
}

#[tokio::test]
async fn the_style_of_the_page_is_its_own() {
    let bench = start().await;
    let style = bench.get("/unsubscribe/style.css").await;
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
}
