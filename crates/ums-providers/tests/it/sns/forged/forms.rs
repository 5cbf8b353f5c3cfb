//! False in form, topic or age: no certificate is asked for.

use serde_json::{Value, json};

use super::super::bed::{Draft, TOPIC};
use super::Forgery;

/// One member at a time, signed as if SNS had.
pub(super) fn members() -> Vec<Forgery> {
    let mut forgeries: Vec<Forgery> = [
        ("SignatureVersion", json!("3"), "version"),
        ("SignatureVersion", json!("0"), "version"),
        ("SignatureVersion", json!("02"), "version"),
        ("SignatureVersion", json!("2 "), "version"),
        ("SignatureVersion", json!(""), "version"),
        ("SignatureVersion", json!(2), "version"),
        ("SignatureVersion", json!(["2"]), "version"),
        ("SignatureVersion", Value::Null, "version"),
        ("TopicArn", json!("arn:aws:sns:us-east-1:999999999999:ums-feedback"), "topic"),
        ("TopicArn", json!(format!("{TOPIC}-2")), "topic"),
        ("TopicArn", json!(format!("{TOPIC}:c9135db0")), "topic"),
        ("TopicArn", json!(TOPIC.to_uppercase()), "topic"),
        ("TopicArn", json!(TOPIC.replace("us-east-1", "us-east-2")), "topic"),
        ("TopicArn", json!(TOPIC.replace("arn:aws:", "arn:aws-cn:")), "topic"),
        ("TopicArn", json!(format!(" {TOPIC}")), "topic"),
        ("TopicArn", json!("*"), "topic"),
        ("TopicArn", json!([TOPIC]), "envelope"),
        ("TopicArn", Value::Null, "envelope"),
        ("Timestamp", json!("2026-11-22T08:00:02.000Z"), "timestamp"),
        ("Timestamp", json!("2026-11-22T10:30:02.000Z"), "timestamp"),
        ("Timestamp", json!("1970-01-01T00:00:00.000Z"), "timestamp"),
        ("Timestamp", json!("soon"), "timestamp"),
        ("Timestamp", json!(1_795_341_602), "envelope"),
        ("Type", json!("notification"), "envelope"),
        ("Type", json!("Other"), "envelope"),
        ("Type", Value::Null, "envelope"),
        ("Message", json!({"eventType": "Bounce"}), "envelope"),
        ("Message", Value::Null, "envelope"),
        ("MessageId", json!("a\nSubject\nb"), "envelope"),
        ("Subject", json!("a\nTimestamp\n2026-11-22T10:00:02.000Z"), "envelope"),
        ("Subject", json!(["a"]), "envelope"),
    ]
    .into_iter()
    .map(|(name, value, word)| {
        let title = format!("{name} = {value}");
        Forgery::without_certificate(&title, Draft::delivery().set(name, value).signed().body(), word)
    })
    .collect();
    for (name, word) in [
        ("Type", "envelope"),
        ("MessageId", "envelope"),
        ("TopicArn", "envelope"),
        ("Message", "envelope"),
        ("Timestamp", "envelope"),
        ("SignatureVersion", "version"),
        ("Signature", "signature"),
    ] {
        let body = Draft::delivery().without(name).body();
        forgeries.push(Forgery::without_certificate(&format!("no {name}"), body, word));
    }
    for value in [json!(""), json!([1]), json!("not base64!"), json!("-_-_".repeat(8)), json!("QQ=")] {
        let title = format!("Signature = {value}");
        let body = Draft::delivery().set("Signature", value).body();
        forgeries.push(Forgery::without_certificate(&title, body, "signature"));
    }
    forgeries
}

/// The body as a whole.
pub(super) fn bodies() -> Vec<Forgery> {
    let text = String::from_utf8(Draft::delivery().body()).unwrap();
    let bare = Draft::delivery().text("Message").to_owned();
    let twice = |member: &str| format!("{},{member}}}", text.trim_end_matches('}')).into_bytes();
    let broken = |byte| if byte == b'$' { 0xff } else { byte };
    let mut forgeries: Vec<Forgery> = [
        ("a second Message", twice(r#""Message":"{}""#)),
        ("a second TopicArn", twice(r#""TopicArn":"arn:aws:sns:us-east-1:999999999999:a""#)),
        ("a second certificate", twice(r#""SigningCertURL":"https://example.com/a.pem""#)),
        (
            "a second one in escapes",
            twice(r#""Signing\u0043ertURL":"https://example.com/a.pem""#),
        ),
        ("a list", format!("[{text}]").into()),
        ("something after it", format!("{text}{text}").into()),
        ("a list that is deep", "[".repeat(100_000).into()),
        ("a member that is deep", format!(r#"{{"a":{}"#, "[".repeat(100_000)).into()),
        ("half of it", text.as_bytes()[..text.len() / 2].to_vec()),
        ("not UTF-8", text.replace("customer", "$").bytes().map(broken).collect()),
        ("in UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("nothing", Vec::new()),
        ("a bare event", bare.clone().into()),
        ("a form", b"Type=Notification&Message=a".to_vec()),
    ]
    .into_iter()
    .map(|(name, body)| Forgery::without_certificate(name, body, "envelope"))
    .collect();
    let huge = Draft::delivery().set("Message", "a".repeat(2_000_000)).signed();
    forgeries.push(Forgery::without_certificate("a huge one", huge.body(), "too_large"));
    for (name, body) in [("raw delivery", bare), ("an envelope delivered raw", text)] {
        let mut forgery = Forgery::without_certificate(name, body.into(), "raw_delivery");
        forgery
            .request
            .headers
            .push(("x-amz-sns-rawdelivery".to_owned(), "true".to_owned()));
        forgeries.push(forgery);
    }
    forgeries
}
