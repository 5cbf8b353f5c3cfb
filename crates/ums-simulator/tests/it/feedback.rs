//! What is reported of messages: its form, its signatures, and where it goes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use ums_simulator::{FeedbackSettings, Mode, Provider, Simulator, SimulatorConfig};

use crate::client::{Request, Smtp};
use crate::hook::{Hook, Post};
use crate::{requests, until};

async fn start(hook: &Hook) -> Simulator {
    let config = SimulatorConfig {
        feedback: at_once(hook),
        ..SimulatorConfig::any_ports()
    };
    Simulator::start(config).await.expect("free ports")
}

fn at_once(hook: &Hook) -> FeedbackSettings {
    FeedbackSettings {
        delay_ms: [0, 0],
        ..FeedbackSettings::to(&hook.url)
    }
}

async fn send(simulator: &Simulator, provider: Provider, request: &Request) {
    let reply = request.send(simulator.addr(provider)).await.expect("an answer");
    assert!((200..300).contains(&reply.status), "{}", reply.text());
}

async fn taken(simulator: &Simulator, events: u64) {
    until(|| simulator.feedback_stats().taken >= events).await;
    let stats = simulator.feedback_stats();
    assert_eq!((stats.taken, stats.waiting, stats.lost), (events, 0, 0));
}

fn email() -> Request {
    let mut body = requests::simple();
    body["EmailTags"] = json!([{"Name": "ums_message_id", "Value": "m-1"}]);
    body["ConfigurationSetName"] = json!("events");
    body["Destination"] = json!({"ToAddresses": ["zoe@example.com"], "CcAddresses": ["ann@example.com"]});
    requests::ses("POST", "/v2/email/outbound-emails", &body)
}

fn mail() -> Request {
    let mut body = requests::mail();
    body["custom_args"] = json!({"ums_message_id": "m-1", "event": "mine"});
    requests::sendgrid("POST", "/v3/mail/send", &body)
}

fn text(callback: &str) -> Request {
    let form = "To=%2B14165550123&From=%2B15005550006&Body=Hello";
    requests::twilio("POST", "/Messages.json").body(format!("{form}&StatusCallback={callback}"))
}

/// Tells whether the envelope is signed by the key of the certificate.
fn is_signed(simulator: &Simulator, envelope: &Value) -> bool {
    let field = |name: &str| envelope[name].as_str().expect("a text");
    let names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
    let text: String = names.iter().flat_map(|name| [name, "\n", field(name), "\n"]).collect();
    let pem = simulator.certificate_pem();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).expect("base64");
    // The public key inside: a sequence of 266 bytes that begins with a modulus of 257.
    let head = [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01];
    let at = der.windows(head.len()).position(|window| window == head).expect("a key");
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der[at..at + 270]);
    let signature = STANDARD.decode(field("Signature")).expect("base64");
    key.verify(text.as_bytes(), &signature).is_ok()
}

fn event_of(post: &Post) -> Value {
    let envelope = post.json();
    serde_json::from_str(envelope["Message"].as_str().expect("a text")).expect("JSON")
}

#[tokio::test]
async fn ses_reports_by_signed_notifications() {
    let hook = Hook::start().await;
    let simulator = start(&hook).await;
    send(&simulator, Provider::Ses, &email()).await;
    taken(&simulator, 3).await;
    let posts = hook.posts();
    let events: Vec<Value> = posts.iter().map(event_of).collect();
    for (post, event) in posts.iter().zip(&events) {
        assert_eq!(post.path, "/hooks/aws");
        assert_eq!(post.headers["x-amz-sns-message-type"], "Notification");
        assert_eq!(post.headers["content-type"], "text/plain; charset=UTF-8");
        let mut envelope = post.json();
        assert_eq!(envelope["TopicArn"], simulator.topic_arn());
        assert_eq!(envelope["SigningCertURL"], simulator.certificate_url());
        assert_eq!(envelope["SignatureVersion"], "2");
        assert!(is_signed(&simulator, &envelope));
        envelope["Timestamp"] = "2026-11-22T10:00:00.000Z".into();
        assert!(!is_signed(&simulator, &envelope), "a changed byte");
        assert_eq!(event["mail"]["messageId"], simulator.messages()[0].id);
        assert_eq!(event["mail"]["tags"]["ums_message_id"], json!(["m-1"]));
        assert_eq!(event["mail"]["tags"]["ses:configuration-set"], json!(["events"]));
    }
    let mut kinds: Vec<_> = events.iter().map(|event| event["eventType"].as_str().expect("a kind")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["Delivery", "Delivery", "Send"]);
    let mut to: Vec<_> = events
        .iter()
        .filter_map(|event| event["delivery"]["recipients"][0].as_str())
        .collect();
    to.sort_unstable();
    assert_eq!(to, ["ann@example.com", "zoe@example.com"]);
}

#[tokio::test]
async fn sendgrid_reports_by_signed_batches() {
    let hook = Hook::start().await;
    let simulator = start(&hook).await;
    send(&simulator, Provider::SendGrid, &mail()).await;
    taken(&simulator, 2).await;
    let spki = STANDARD.decode(simulator.sendgrid_public_key()).expect("base64");
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &spki[26..]);
    let mut kinds = Vec::new();
    for post in hook.posts() {
        assert_eq!(post.path, "/hooks/sendgrid");
        assert!(post.body.ends_with("]\r\n"));
        let signature = STANDARD
            .decode(&post.headers["x-twilio-email-event-webhook-signature"])
            .expect("base64");
        let at = &post.headers["x-twilio-email-event-webhook-timestamp"];
        assert!(key.verify(format!("{at}{}", post.body).as_bytes(), &signature).is_ok());
        assert!(key.verify(format!("{at}{}", post.body.trim_end()).as_bytes(), &signature).is_err());
        for event in post.json().as_array().expect("a list") {
            assert_eq!(event["ums_message_id"], "m-1");
            assert_eq!(event["email"], "zoe@example.com");
            let id = event["sg_message_id"].as_str().expect("an id");
            assert!(id.starts_with(&simulator.messages()[0].id));
            kinds.push(event["event"].as_str().expect("a kind").to_owned());
        }
    }
    kinds.sort_unstable();
    assert_eq!(kinds, ["delivered", "processed"], "its own fields win over arguments of their name");
}

#[tokio::test]
async fn twilio_calls_back_below_the_service_only() {
    let hook = Hook::start().await;
    let simulator = start(&hook).await;
    let url = format!("{}/hooks/twilio?ums_message_id=m-1&x=a%20b", hook.url);
    let escaped = url.replace('%', "%25").replace('&', "%26").replace('?', "%3F");
    send(&simulator, Provider::Twilio, &text(&format!("{escaped}%23fragment"))).await;
    taken(&simulator, 2).await;
    for post in hook.posts() {
        assert_eq!(post.path, "/hooks/twilio?ums_message_id=m-1&x=a%20b");
        let decode = |text: &str| text.replace("%2B", "+").replace("%3D", "=");
        let mut pairs: Vec<_> = post.body.split('&').map(|pair| decode(&pair.replacen('=', "", 1))).collect();
        pairs.sort_unstable();
        let signed = format!("{url}{}", pairs.concat());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"any");
        let signature = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        assert_eq!(post.headers["x-twilio-signature"], signature);
    }
    let elsewhere = ["http://127.0.0.1:9/hooks/twilio", "https://example.com/hooks", ""];
    for callback in elsewhere {
        send(&simulator, Provider::Twilio, &text(callback)).await;
    }
    let stats = simulator.feedback_stats();
    assert_eq!((stats.withheld, stats.taken, stats.waiting), (3, 2, 0));
}

#[tokio::test]
async fn a_marked_message_bounces_or_is_never_delivered() {
    let hook = Hook::start().await;
    let simulator = start(&hook).await;
    let callback = format!("{}/hooks/twilio", hook.url);
    let all = [
        (Provider::Ses, email()),
        (Provider::SendGrid, mail()),
        (Provider::Twilio, text(&callback)),
    ];
    for (mode, events, words) in [
        (Mode::Bounce, 7, ["Bounce", "\"bounce\"", "undelivered"]),
        (Mode::NeverDeliver, 3, ["Send", "processed", "MessageStatus=sent"]),
    ] {
        let before = simulator.feedback_stats().taken;
        let posted = hook.posts().len();
        for (provider, request) in &all {
            simulator.set_fault(*provider, mode).await.expect("possible");
            send(&simulator, *provider, request).await;
        }
        taken(&simulator, before + events).await;
        let bodies: Vec<_> = hook.posts().split_off(posted).into_iter().map(|post| post.body).collect();
        for word in words {
            assert!(bodies.iter().any(|body| body.contains(word)), "{mode}: no {word}");
        }
        for word in ["Delivery", "\"delivered\"", "=delivered"] {
            assert!(!bodies.iter().any(|body| body.contains(word)), "{mode}: {word}");
        }
    }
}

#[tokio::test]
async fn copies_are_the_same_event_and_come_before_the_reply_if_told() {
    let hook = Hook::start().await;
    let simulator = start(&hook).await;
    let settings = FeedbackSettings {
        duplicates: [3, 3],
        shuffle: true,
        before_reply: true,
        ..at_once(&hook)
    };
    simulator.set_feedback(settings).expect("sound");
    send(&simulator, Provider::SendGrid, &mail()).await;
    // No wait: they were there before the answer.
    assert_eq!(hook.posts().len(), 6);
    let ids: Vec<String> = hook.posts().iter().map(|post| post.json()[0]["sg_event_id"].to_string()).collect();
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 2);
    send(&simulator, Provider::Ses, &email()).await;
    let notifications: std::collections::HashSet<_> = hook.posts()[6..].iter().map(|post| post.body.clone()).collect();
    assert_eq!((hook.posts().len(), notifications.len()), (6 + 9, 3));
}

#[tokio::test]
async fn what_is_not_taken_is_repeated_as_the_provider_would() {
    let hook = Hook::start().await;
    let simulator = start(&hook).await;
    hook.answer(503);
    send(&simulator, Provider::SendGrid, &mail()).await;
    until(|| simulator.feedback_stats().repeated >= 1).await;
    hook.answer(204);
    until(|| simulator.feedback_stats().waiting == 0).await;
    assert_eq!((simulator.feedback_stats().taken, simulator.feedback_stats().lost), (2, 0));
    // Amazon takes 4xx for good.
    hook.answer(403);
    send(&simulator, Provider::Ses, &email()).await;
    until(|| simulator.feedback_stats().lost >= 3).await;
    assert_eq!(simulator.feedback_stats().waiting, 0);
}

#[tokio::test]
async fn feedback_is_controlled_over_the_wire_within_this_machine() {
    let hook = Hook::start().await;
    let simulator = crate::start().await;
    let put = async |body: &Value| {
        let request = Request::new("PUT", "/_sim/feedback").body(body.to_string());
        request.send(simulator.http_addr()).await.expect("an answer")
    };
    send(&simulator, Provider::SendGrid, &mail()).await;
    assert_eq!(simulator.feedback_stats().waiting, 0, "nothing goes anywhere unless told");
    for wrong in [
        json!({"to": "http://192.0.2.1"}),
        json!({"to": "https://127.0.0.1"}),
        json!({"delay_ms": [2, 1]}),
        json!({"duplicates": [0, 1]}),
        json!({"unknown": 1}),
        json!([]),
    ] {
        assert_eq!(put(&wrong).await.status, 400, "{wrong}");
    }
    let reply = put(&json!({"to": hook.url, "delay_ms": [0, 1]})).await;
    assert_eq!((reply.status, &reply.json()["feedback"]["to"]), (200, &json!(hook.url)));
    let reply = put(&json!({"delay_ms": [0, 0]})).await;
    assert_eq!(reply.json()["feedback"]["to"], json!(hook.url), "it stays");
    send(&simulator, Provider::SendGrid, &mail()).await;
    taken(&simulator, 2).await;
    let keys = Request::new("GET", "/_sim/keys")
        .send(simulator.http_addr())
        .await
        .expect("an answer")
        .json();
    assert_eq!(keys["sendgrid_public_key"], simulator.sendgrid_public_key());
    assert_eq!(keys["topic_arn"], simulator.topic_arn());
    let stats = Request::new("GET", "/_sim/stats")
        .send(simulator.http_addr())
        .await
        .expect("an answer")
        .json();
    assert_eq!(stats["feedback"]["taken"], 2);
}

#[tokio::test]
async fn what_follows_later_is_told_by_hand() {
    let hook = Hook::start().await;
    let simulator = start(&hook).await;
    let all = [
        (Provider::Ses, email(), 3),
        (Provider::SendGrid, mail(), 2),
        (Provider::Twilio, text(&format!("{}/hooks/twilio", hook.url)), 2),
    ];
    let mut events = 0;
    for (provider, request, reports) in &all {
        send(&simulator, *provider, request).await;
        events += reports;
        taken(&simulator, events).await;
    }
    let tell = async |seq: u64, body: Value| {
        let request = Request::new("POST", format!("/_sim/messages/{seq}/events")).body(body.to_string());
        request.send(simulator.http_addr()).await.expect("an answer").status
    };
    for (seq, event, says) in [
        (1, "complaint", "complainedRecipients"),
        (1, "delay", "DeliveryDelay"),
        (1, "soft_bounce", "Transient"),
        (1, "open", "Open"),
        (1, "click", "linkTags"),
        (2, "complaint", "spamreport"),
        (2, "unsubscribe", "\"unsubscribe\""),
        (2, "soft_bounce", "blocked"),
        (2, "delay", "deferred"),
        (3, "reply", "OptOutType=STOP"),
    ] {
        assert_eq!(tell(seq, json!({"event": event})).await, 202, "{seq} {event}");
        events += 1;
        taken(&simulator, events).await;
        let last = hook.posts().pop().expect("a post");
        assert!(last.body.contains(says), "{seq} {event}: {}", last.body);
    }
    let reply = hook.posts().pop().expect("a post");
    assert_eq!(reply.path, "/hooks/twilio");
    assert!(reply.body.contains("From=%2B14165550123&") && reply.body.contains("To=%2B15005550006"));
    let stranger = json!({"event": "open", "recipient": "bob@example.com"});
    for (seq, body, status) in [
        (1, json!({"event": "reply"}), 400),
        (3, json!({"event": "open"}), 400),
        (1, stranger, 400),
        (1, json!({"event": "other"}), 400),
        (0, json!({"event": "open"}), 404),
        (9, json!({"event": "open"}), 404),
    ] {
        assert_eq!(tell(seq, body.clone()).await, status, "{seq} {body}");
    }
}

#[tokio::test]
async fn a_bounced_mail_has_its_report() {
    let simulator = crate::start().await;
    simulator.set_fault(Provider::Smtp, Mode::Bounce).await.expect("possible");
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.expect("MAIL FROM:<shop@example.com> ENVID=attempt-1", "250")
        .await
        .expect("open");
    smtp.expect("RCPT TO:<zoe@example.com> ORCPT=rfc822;zoe@example.com", "250")
        .await
        .expect("open");
    smtp.expect("RCPT TO:<ann@example.com>", "250").await.expect("open");
    smtp.expect("DATA", "354").await.expect("open");
    let mail = "Message-ID: <attempt-1@example.com>\r\nSubject: Hello\r\n\r\nHello\r\n.";
    assert!(smtp.command(mail).await.expect("open").starts_with("250"));
    simulator.heal(Provider::Smtp).await.expect("healed");
    assert!(smtp.mail("Delivered").await.expect("open").starts_with("250"));

    let bounces = Request::new("GET", "/_sim/bounces")
        .send(simulator.http_addr())
        .await
        .expect("an answer")
        .json();
    assert_eq!(bounces["bounces"].as_array().expect("a list").len(), 1);
    let report = bounces["bounces"][0]["dsn"].as_str().expect("a text");
    for line in [
        "Return-Path: <>",
        "To: shop@example.com",
        "Original-Envelope-Id: attempt-1",
        "Original-Recipient: rfc822;zoe@example.com",
        "Final-Recipient: rfc822; zoe@example.com",
        "Final-Recipient: rfc822; ann@example.com",
        "Action: failed",
        "Status: 5.1.1",
        "Message-ID: <attempt-1@example.com>",
    ] {
        assert!(report.contains(&format!("{line}\r\n")), "no {line} in\n{report}");
    }
}
