//! Providers' reports: what is genuine is kept, what is not changes nothing and learns nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{AccountId, Event, EventKind, Hook, HookFault, HookRequest, MessageId, ProviderKind};
use ums_server::{HookName, Hooks, Limits};
use ums_store::MemoryStore;
use ums_testkit::{LogCapture, Moment, Operation, StoreInHand, TestClock};

use crate::client::Answer;
use crate::setup::{Bench, EMAIL, Setup};

/// A hook that believes what a body says of itself: `genuine <message id> <kind>`, else a fault.
#[derive(Debug)]
pub(crate) struct Believer;

#[async_trait]
impl Hook for Believer {
    async fn read(&self, request: &HookRequest) -> Result<Vec<Event>, HookFault> {
        assert_eq!(request.header("x-signature").is_some(), request.path_and_query.contains('?'));
        let text = String::from_utf8_lossy(&request.body);
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["genuine", id, kind] => {
                let kind: EventKind = kind.parse().unwrap();
                let mut event = Event::new(ProviderKind::AwsSes, format!("{id}-{kind}"), kind, "Word");
                event.about.message_id = id.parse::<MessageId>().ok();
                event.recipient = Some("customer@example.com".to_owned());
                Ok(vec![event])
            }
            ["nothing"] => Ok(Vec::new()),
            ["old"] => Err(HookFault::Refused("too_old")),
            ["outage"] => Err(HookFault::Unavailable("no_certificate")),
            ["hang"] => std::future::pending().await,
            ["break"] => panic!("as the test wants it"),
            _ => Err(HookFault::Refused("forged")),
        }
    }
}

fn setup() -> Setup {
    let mut hooks = Hooks::default();
    hooks.add(HookName::Aws, AccountId::default(), Arc::new(Believer));
    hooks.add(HookName::Twilio, AccountId::new("second"), Arc::new(Believer));
    Setup {
        hooks,
        key: true,
        ..Setup::default()
    }
}

/// A report as a provider posts it: with no key.
async fn report(bench: &Bench, path: &str, body: &str) -> Answer {
    let mut client = bench.connect().await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: ums.example.com\r\ncontent-type: text/plain");
    client
        .write(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
        .await;
    client.answer().await.unwrap()
}

/// All of an answer but the id of its request.
fn without_id(answer: &Answer) -> (String, String) {
    let head = answer
        .head
        .lines()
        .filter(|line| !line.starts_with("x-request-id") && !line.starts_with("date"));
    (head.collect::<Vec<_>>().join("\n"), answer.body.clone())
}

#[tokio::test]
async fn a_genuine_report_is_in_the_messages_story() {
    let bench = setup().start().await;
    let sent = bench.post("/v1/emails", &[], EMAIL).await.json();
    let id = sent["message_id"].as_str().unwrap();
    for _ in 0..3 {
        let answer = report(&bench, "/hooks/aws", &format!("genuine {id} delivered")).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{answer:?}");
    }
    let message = bench.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(message["status"], "delivered", "{message}");
    assert_eq!(message["events"].as_array().unwrap().len(), 1, "{message}");
    let answer = report(&bench, "/hooks/twilio/second", "nothing").await;
    assert_eq!(answer.status, 204);
    let counts = bench.get("/metrics").await.body;
    for line in [
        r#"ums_feedback_events_total{provider="aws_ses",kind="delivered",end="applied"} 1"#,
        r#"ums_feedback_events_total{provider="aws_ses",kind="delivered",end="known"} 2"#,
        r#"ums_hook_requests_total{hook="aws",result="ok"} 3"#,
        r#"ums_hook_requests_total{hook="twilio",result="ok"} 1"#,
    ] {
        assert!(counts.contains(line), "{line} in\n{counts}");
    }
}

#[tokio::test]
async fn every_fault_has_the_same_answer_and_no_effect() {
    let limits = Limits {
        hook_body_bytes: 1_000,
        body_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let bench = Setup { limits, ..setup() }.start().await;
    let sent = bench.post("/v1/emails", &[], EMAIL).await.json();
    let id = sent["message_id"].as_str().unwrap();
    let genuine = format!("genuine {id} bounced");
    let large = format!("{genuine}{}", " ".repeat(1_000));
    let mut answers = Vec::new();
    for (path, body) in [
        ("/hooks/aws", "forged"),
        ("/hooks/aws", "old"),
        ("/hooks/aws", "break"),
        ("/hooks/aws", ""),
        ("/hooks/aws", large.as_str()),
        ("/hooks/aws/other", &genuine),
        ("/hooks/aws/%FF", &genuine),
        ("/hooks/twilio", &genuine),
        ("/hooks/sendgrid", &genuine),
        ("/hooks/nosuch", &genuine),
        ("/hooks/nosuch/second", &genuine),
    ] {
        let begun = tokio::time::Instant::now();
        answers.push((path, report(&bench, path, body).await));
        let time = begun.elapsed();
        assert!(
            time >= Duration::from_millis(20),
            "{path} was answered after {time:?}: a check takes longer"
        );
    }
    // A body that does not end, and one that breaks off.
    let mut slow = bench.connect().await;
    slow.write("POST /hooks/aws HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ngenuine")
        .await;
    answers.push(("slow", slow.answer().await.unwrap()));
    let mut broken = bench.connect().await;
    broken
        .write("POST /hooks/aws HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n\r\n")
        .await;
    answers.extend(broken.answer().await.map(|answer| ("broken", answer)));

    let first = without_id(&answers[0].1);
    assert_eq!((answers[0].1.status, answers[0].1.code().as_str()), (403, "UMS2003"));
    for (path, answer) in &answers {
        assert_eq!(without_id(answer), first, "{path}");
    }
    let message = bench.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(
        (message["status"].as_str(), message["events"].as_array().unwrap().len()),
        (Some("sent"), 0)
    );
    let counts = bench.get("/metrics").await.body;
    for line in [
        r#"ums_hook_requests_total{hook="aws",result="forged"} 2"#,
        r#"ums_hook_requests_total{hook="aws",result="too_old"} 1"#,
        r#"ums_hook_requests_total{hook="aws",result="too_large"} 1"#,
        r#"ums_hook_requests_total{hook="aws",result="too_slow"} 1"#,
        r#"ums_hook_requests_total{hook="sendgrid",result="no_such_hook"} 1"#,
        r#"ums_hook_requests_total{hook="other",result="no_such_hook"} 3"#,
    ] {
        assert!(counts.contains(line), "{line} in\n{counts}");
    }
}

#[tokio::test]
async fn our_own_outage_asks_the_provider_to_try_again() {
    let inner = MemoryStore::new(Arc::new(TestClock::new()));
    let is_away = Arc::new(AtomicBool::new(false));
    let look = is_away.clone();
    let store = StoreInHand::new(Arc::new(inner), move |moment| {
        let fault = match moment {
            Moment::Before(Operation::Aftermath) if look.load(Ordering::SeqCst) => Err(ums_core::StoreError::Unavailable("canary".into())),
            Moment::Before(_) | Moment::After(_) => Ok(()),
        };
        Box::pin(async move { fault })
    });
    let limits = Limits {
        hook_time: Duration::from_millis(100),
        ..Limits::default()
    };
    let bench = Setup {
        limits,
        store: Some(Arc::new(store)),
        ..setup()
    }
    .start()
    .await;
    is_away.store(true, Ordering::SeqCst);
    let id = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
    for body in ["outage", "hang", &format!("genuine {id} delivered")] {
        let answer = report(&bench, "/hooks/aws", body).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "UMS5004"), "{body}");
        assert!(answer.header("retry-after").is_some());
        assert!(!answer.body.contains("canary"));
    }
}

#[tokio::test]
async fn more_reports_than_there_is_room_for_leave_the_rest_of_the_service_alone() {
    let limits = Limits {
        hook_requests: 1,
        ..Limits::default()
    };
    let bench = Setup { limits, ..setup() }.start().await;
    let mut drips = bench.connect().await;
    drips
        .write("POST /hooks/aws HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n")
        .await;
    // Whoever has not sent its report takes no place from one who has.
    assert_eq!(report(&bench, "/hooks/aws", "nothing").await.status, 204);
    let mut held = bench.connect().await;
    held.write("POST /hooks/aws HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nhang")
        .await;
    // The first may not have its place yet.
    while report(&bench, "/hooks/aws", "nothing").await.status != 503 {}
    assert_eq!(bench.post("/v1/emails", &[], EMAIL).await.status, 200);
    drop(held);
    while report(&bench, "/hooks/aws", "nothing").await.status != 204 {}
}

#[tokio::test]
async fn nothing_of_a_report_is_in_a_log_or_a_count() {
    let (_outer, _outer_guard) = LogCapture::start();
    let (log, _guard) = LogCapture::start();
    let bench = setup().start().await;
    let mut client = bench.connect().await;
    let body = "canary-body customer@canary.example";
    client
        .write(format!(
            "POST /hooks/aws?canary-query=1 HTTP/1.1\r\nhost: x\r\nx-signature: canary-signature\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 403);
    report(&bench, "/hooks/canary-name/canary-account", body).await;
    let text = log.text();
    assert!(text.contains("route=/hooks/{hook}") && text.contains("forged"), "{text}");
    for place in [text, bench.get("/metrics").await.body] {
        assert!(!place.contains("canary"), "{place}");
    }
}
