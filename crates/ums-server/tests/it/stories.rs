//! The whole story of a message: accepted, attempts, what providers reported, with the provider's times and ours.

use std::time::Duration;

use serde_json::{Value, json};
use ums_core::{
    Accepted, BounceKind, Clock as _, EmailAddress, Event, EventKind, Failure, FailureClass, MessageId, ProviderKind, Refusal,
    SuppressionReason, Timestamp,
};
use ums_testkit::Reply;

use crate::setup::{Bench, EMAIL, start};

fn report(id: MessageId, kind: EventKind, word: &str, at: Option<Timestamp>) -> Event {
    let mut event = Event::new(ProviderKind::SendGrid, format!("{id}-{kind}"), kind, word);
    event.about.message_id = Some(id);
    event.recipient = Some("customer@example.com".to_owned());
    event.at = at;
    event
}

/// Sends an e-mail that the second provider takes.
async fn sent(bench: &Bench) -> MessageId {
    bench.ses.answer_once(Reply::FailAs(FailureClass::Unavailable));
    let answer = bench.post("/v1/emails", &[], EMAIL).await.json();
    answer["message_id"].as_str().unwrap().parse().unwrap()
}

fn column(story: &Value, name: &str) -> Vec<String> {
    let steps = story.as_array().unwrap().iter();
    steps.map(|step| step[name].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn a_message_tells_its_whole_story_in_order_with_both_times() {
    let bench = start().await;
    let id = sent(&bench).await;
    let accepted_at = bench.clock.now();
    bench.clock.advance(Duration::from_secs(10));
    let (came, delivered) = (bench.clock.now(), accepted_at + Duration::from_secs(3));
    // Told in the wrong order; the deferral has a provider's time before our call: its clock is behind.
    let mut opened = report(id, EventKind::Opened, "open", Some(accepted_at + Duration::from_secs(5)));
    opened.by_machine = true;
    let deferred = report(id, EventKind::Deferred, "deferred", Some(accepted_at - Duration::from_mins(1)));
    let events = vec![opened, report(id, EventKind::Delivered, "delivered", Some(delivered)), deferred];
    bench.messaging.take_feedback(events).await.unwrap();

    let message = bench.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(message["status"], "delivered");
    assert_eq!(message["attempts"][1]["reported"], "delivered", "{message}");
    assert_eq!(
        column(&message["story"], "step"),
        ["accepted", "attempted", "attempted", "reported", "reported", "reported"]
    );
    assert_eq!(
        column(&message["story"], "event"),
        ["-", "-", "-", "deferred", "delivered", "opened"]
    );
    let step = &message["story"][4];
    assert_eq!(step["at"], delivered.to_string());
    assert_eq!(step["received_at"], came.to_string());
    assert_eq!(
        (step["word"].as_str(), step["provider"].as_str()),
        (Some("delivered"), Some("sendgrid"))
    );
    assert!(message["story"][5]["text"].as_str().unwrap().contains("by a machine"));
    let kinds: Vec<_> = message["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["opened", "delivered", "deferred"], "as they came");
    assert_eq!(message["events"][0]["recipient"], "customer@example.com");

    let explained = bench.get(&format!("/v1/messages/{id}/explain")).await;
    assert_eq!(explained.json()["steps"], message["story"]);
    assert!(!explained.body.contains("customer@example.com"), "{}", explained.body);
    let listed = bench.get("/v1/messages").await.json();
    assert!(listed["data"][0].get("story").is_none() && listed["data"][0].get("events").is_none());
}

#[tokio::test]
async fn a_hard_bounce_is_told_with_what_it_means_for_the_recipient() {
    let bench = start().await;
    let id = sent(&bench).await;
    let mut bounced = report(id, EventKind::Bounced, "bounce/bounced", None);
    bounced.bounce = Some(BounceKind::Hard);
    bounced.code = Some("5.1.1".to_owned());
    bounced.class = Some(FailureClass::InvalidRecipient);
    bounced.suppress = Some(SuppressionReason::HardBounce);
    bench.messaging.take_feedback(vec![bounced]).await.unwrap();
    let message = bench.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(message["status"], "bounced", "{message}");
    let step = message["story"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["step"] == "reported")
        .unwrap();
    assert_eq!(
        (step["code"].as_str(), step["class"].as_str()),
        (Some("5.1.1"), Some("invalid_recipient"))
    );
    assert_eq!(step["at"], step["received_at"], "the provider gave no time");
    assert!(
        step["text"].as_str().unwrap().ends_with("The recipient is not contacted again."),
        "{step}"
    );
    let on_list = message["story"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["step"] == "suppressed")
        .unwrap();
    assert_eq!(on_list["code"], "hard_bounce");
    assert!(on_list["text"].as_str().unwrap().contains("reported by sendgrid"), "{on_list}");

    let next = bench.post("/v1/emails", &[], EMAIL).await.json();
    assert_eq!(next["status"], "suppressed", "{next}");
    let next = bench
        .get(&format!("/v1/messages/{}", next["message_id"].as_str().unwrap()))
        .await
        .json();
    assert_eq!(column(&next["story"], "step"), ["accepted", "suppressed"], "{next}");
    assert_eq!(next["events"], json!([]));
}

#[tokio::test]
async fn a_recipient_who_is_refused_for_now_is_named_held_and_counted() {
    let bench = start().await;
    let refusal = |address: &str, class, code: &str, detail: &str| Refusal {
        address: EmailAddress::parse(address).unwrap(),
        failure: Failure::provider(class, code, detail),
        next_transaction: false,
    };
    bench.ses.answer_once(Reply::AcceptAs(Accepted {
        refused: vec![
            refusal(
                "b@example.com",
                FailureClass::Throttled,
                "452 4.5.3",
                "452 4.5.3 too many recipients",
            ),
            refusal(
                "c@example.com",
                FailureClass::InvalidRecipient,
                "550 5.1.1",
                "550 5.1.1 no such user",
            ),
        ],
        ..Accepted::new("ses-1")
    }));
    bench.ses.answer(Reply::FailAs(FailureClass::Unavailable));
    bench.sendgrid.answer(Reply::FailAs(FailureClass::Unavailable));
    let email = EMAIL.replace('}', r#", "cc": ["b@example.com", "c@example.com"]}"#);
    let answer = bench.post("/v1/emails", &[], &email).await;
    let result = answer.json();
    assert_eq!(
        (answer.status, &result["status"], &result["open_recipients"]),
        (200, &json!("sent"), &json!(1)),
        "{result}"
    );
    assert_eq!(result["attempts"][0]["recipients"], json!(["customer@example.com"]));
    assert_eq!(result["attempts"][1]["recipients"], json!(["b@example.com"]));
    assert!(result["error_message"].as_str().unwrap().contains("b@example.com"), "{result}");

    let told = bench.get(&format!("{}/explain", answer.header("location").unwrap())).await;
    assert!(!told.body.contains("customer@example.com"), "{}", told.body);
    let told = told.json();
    assert!(
        told["summary"]
            .as_str()
            .unwrap()
            .contains("; 1 recipient is still held: b@example.com ("),
        "{told}"
    );
    assert!(told["next"].as_str().unwrap().starts_with("It is taken up at "), "{told}");
    let text = told["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["outcome"] == "accepted")
        .unwrap()["text"]
        .clone();
    let text = text.as_str().unwrap();
    assert!(text.starts_with("aws_ses took it for 1 of 3 recipients in "), "{text}");
    assert!(
        text.contains("b@example.com was refused for now (452 4.5.3: too many recipients), so it "),
        "{text}"
    );
    assert!(
        text.contains("c@example.com was refused for good (550 5.1.1: no such user)"),
        "{text}"
    );
}
