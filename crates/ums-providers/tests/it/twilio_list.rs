//! Twilio's message list as a source of feedback, against the simulator and a server that lies.

use std::time::Duration;

use ums_core::{Event, EventKind, FailureClass, FeedbackSource as _, Secret, SuppressionReason, Timestamp};
use ums_providers::feedback::twilio::{TwilioList, TwilioListSettings};
use ums_simulator::{Mode, Provider, Simulator, SimulatorConfig};

use crate::bed::{self, Bed as _, transport};
use crate::fault_server::{Act, FaultServer};

const ACCOUNT: &str = "AC00000000000000000000000000000000";

fn list(url: &str) -> TwilioList {
    let settings = TwilioListSettings {
        account_sid: ACCOUNT.to_owned(),
        auth_token: Secret::new("canarytoken"),
        base_url: Some(url.to_owned()),
        ..TwilioListSettings::default()
    };
    TwilioList::new(settings, &transport()).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn now() -> Timestamp {
    at("2026-11-22T10:00:00Z")
}

fn answer(body: &str) -> Act {
    answer_with("200 OK", body)
}

fn answer_with(status: &str, body: &str) -> Act {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Act::Answer((head + body).into_bytes())
}

/// A message that was sent at so many minutes past nine.
fn message(sid: &str, status: &str, minute: u32, more: &str) -> String {
    format!(
        r#"{{"sid":"{sid}","status":"{status}","direction":"outbound-api","to":"+15555550123","from":"+15550100","body":"code 4711",
        "date_created":"Sun, 22 Nov 2026 09:{minute:02}:00 +0000","date_sent":"Sun, 22 Nov 2026 09:{minute:02}:01 +0000",
        "date_updated":"Sun, 22 Nov 2026 09:{minute:02}:09 +0000","error_code":null,"error_message":null{more}}}"#
    )
}

fn page(messages: &[String], next: Option<&str>) -> String {
    let next = serde_json::to_string(&next).unwrap();
    format!(r#"{{"messages":[{}],"next_page_uri":{next}}}"#, messages.join(","))
}

fn told(events: &[Event]) -> Vec<(&str, EventKind, String)> {
    let told = events.iter();
    told.map(|event| (event.id.as_str(), event.kind, event.at.unwrap().to_string()[11..19].to_owned()))
        .collect()
}

#[tokio::test]
async fn statuses_are_told_by_the_ids_that_callbacks_have_with_times() {
    let inbound = message("SM3", "received", 30, "")
        .replace("outbound-api", "inbound")
        .replace("code 4711", "Stop");
    let failed = message("SM2", "undelivered", 20, "").replace(r#""error_code":null"#, r#""error_code":30005"#);
    let body = page(&[inbound, failed, message("SM1", "delivered", 10, "")], None);
    let server = FaultServer::start(vec![answer(&body)]).await;
    let polled = list(&server.url()).poll(None, now()).await.unwrap();
    assert_eq!(
        told(&polled.events),
        [
            ("SM3:received", EventKind::Unsubscribed, "09:30:01".to_owned()),
            ("SM2:sent", EventKind::Sent, "09:20:01".to_owned()),
            ("SM2:undelivered", EventKind::Bounced, "09:20:09".to_owned()),
            ("SM1:sent", EventKind::Sent, "09:10:01".to_owned()),
            ("SM1:delivered", EventKind::Delivered, "09:10:09".to_owned()),
        ]
    );
    let [stop, _, bounced, ..] = polled.events.as_slice() else {
        panic!()
    };
    assert_eq!(
        (stop.suppress, stop.recipient.as_deref()),
        (Some(SuppressionReason::Stop), Some("+15550100"))
    );
    assert_eq!(
        (bounced.code.as_deref(), bounced.recipient.as_deref()),
        (Some("30005"), Some("+15555550123"))
    );
    let kept = serde_json::to_string(&polled.events).unwrap();
    assert!(!kept.contains("4711"), "texts are not kept");
    assert!(!polled.more);
}

#[tokio::test]
async fn a_sweep_goes_over_its_pages_and_the_next_begins_at_what_is_open() {
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    let next = format!("{path}?DateSent%3E=2026-11-21&PageSize=20&Page=1&PageToken=PASM2");
    let first = page(&[message("SM3", "delivered", 40, ""), message("SM2", "sent", 5, "")], Some(&next));
    let last = page(&[message("SM1", "delivered", 1, "")], None);
    let server = FaultServer::start(vec![answer(&first), answer(&last), answer(&page(&[], None))]).await;
    let source = list(&server.url());
    let one = source.poll(None, now()).await.unwrap();
    assert!(one.more);
    let two = source.poll(one.cursor.as_deref(), now() + Duration::from_secs(1)).await.unwrap();
    assert!(!two.more);
    let three = source.poll(two.cursor.as_deref(), now() + Duration::from_mins(1)).await.unwrap();
    assert!(three.events.is_empty());
    // 12 hours back is the day before; SM2 was still open at 9:05.
    let lines: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            format!("GET {path}?DateSent%3E=2026-11-21&PageSize=20 HTTP/1.1"),
            format!("GET {next} HTTP/1.1"),
            format!("GET {path}?DateSent%3E=2026-11-22&PageSize=20 HTTP/1.1"),
        ]
    );
    assert!(two.cursor.unwrap().contains("2026-11-22T09:05:01Z"), "the oldest that is open");
    // Nothing is open any more: ten minutes before the sweep began.
    assert!(three.cursor.unwrap().contains("2026-11-22T09:51:00Z"));
}

#[tokio::test]
async fn a_sweep_ends_where_its_time_does_not_where_the_list_does() {
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1");
    let old = message("SM1", "delivered", 10, "").replace("22 Nov 2026", "20 Nov 2026");
    let server = FaultServer::start(vec![answer(&page(&[old], Some(&path)))]).await;
    let polled = list(&server.url()).poll(None, now()).await.unwrap();
    assert!(!polled.more, "what comes next is older still");
}

#[tokio::test]
async fn the_token_goes_nowhere_else() {
    let evil = FaultServer::start(vec![answer(&page(&[], None))]).await;
    for next in [
        format!("{}/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1", evil.url()),
        "https://evil.example/2010-04-01/x?Page=1".to_owned(),
        "//evil.example/2010-04-01/x?Page=1".to_owned(),
        format!("/2010-04-01/Accounts/{ACCOUNT}/Balance.json?Page=1"),
        "/2010-04-01/Accounts/AC1/Messages.json?Page=1".to_owned(),
        format!("@evil.example/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1"),
        format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"),
        format!("/2010-04-01/Accounts/{ACCOUNT}/../x?Page=1"),
    ] {
        let server = FaultServer::start(vec![answer(&page(&[message("SM1", "sent", 50, "")], Some(&next)))]).await;
        let failure = list(&server.url()).poll(None, now()).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Unavailable, "next_page"),
            "{next}"
        );
    }
    // Its own address in full is its own place.
    let server = FaultServer::start(vec![answer(&page(&[], None))]).await;
    let own = format!("{}/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1", server.url());
    let pages = FaultServer::start(vec![answer(&page(&[], Some(&own)))]).await;
    assert!(list(&pages.url()).poll(None, now()).await.is_err(), "another port is another place");
    // A cursor that somebody changed leads to the same place only, too.
    let cursor = r#"{"since":"2026-11-22T09:00:00Z","sweep":{"began":"2026-11-22T09:00:00Z","query":"Page=1\r\nHost: evil.example","pages":1,"open":null}}"#;
    assert!(list(&server.url()).poll(Some(cursor), now()).await.is_err());
    assert_eq!(evil.connections(), 0);
}

#[tokio::test]
async fn what_is_no_list_is_a_failure_and_never_an_end() {
    for (act, class) in [
        (
            answer_with("401 Unauthorized", r#"{"code":20003,"message":"Authenticate","status":401}"#),
            FailureClass::Misconfigured,
        ),
        (
            answer_with("429 Too Many Requests", r#"{"code":20429,"message":"slow","status":429}"#),
            FailureClass::Throttled,
        ),
        (answer_with("503 Service Unavailable", "<html>"), FailureClass::Unavailable),
        (answer("<html>"), FailureClass::Unavailable),
        (
            Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}".to_vec()),
            FailureClass::Unknown,
        ),
    ] {
        let server = FaultServer::start(vec![act]).await;
        let failure = list(&server.url()).poll(None, now()).await.unwrap_err();
        assert_eq!(failure.class, class, "{failure:?}");
    }
    let polled = {
        let server = FaultServer::start(vec![answer(&page(&[], None))]).await;
        list(&server.url()).poll(Some("no cursor"), now()).await.unwrap()
    };
    assert!(polled.cursor.is_some(), "a cursor that cannot be read is none");
}

#[tokio::test]
async fn the_simulators_messages_are_read_page_by_page() {
    let simulator = Simulator::start(SimulatorConfig::any_ports()).await.unwrap();
    let url = simulator.twilio_url();
    let twilio = bed::twilio(&url, &transport());
    for _ in 0..45 {
        twilio.send_one().await.unwrap();
    }
    simulator.set_fault(Provider::Twilio, Mode::Bounce).await.unwrap();
    let bounced = twilio.send_one().await.unwrap().provider_message_id;
    let source = list(&url);
    let now = simulator.messages()[0].received_at.to_string();
    let now = Timestamp::parse_rfc3339(&now).unwrap() + Duration::from_secs(5);
    let (mut events, mut cursor, mut polls) = (Vec::new(), None, 0);
    loop {
        let polled = source.poll(cursor.as_deref(), now).await.unwrap();
        events.extend(polled.events);
        cursor = polled.cursor;
        polls += 1;
        if !polled.more {
            break;
        }
    }
    assert_eq!(polls, 3, "20 in a page");
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::Delivered).count(), 45);
    let bounce = events.iter().find(|event| event.kind == EventKind::Bounced).unwrap();
    assert_eq!(bounce.about.provider_message_id.as_deref(), Some(bounced.as_str()));
    assert_eq!(bounce.suppress, Some(SuppressionReason::HardBounce));
}
