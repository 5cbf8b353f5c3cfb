//! What a caller hands in arrives at each provider as it is: names, parts, files, headers, senders.

use ums_simulator::{Provider, SimMessage};
use unified_messaging::request::{AttachmentRequest, Disposition};
use unified_messaging::{SendEmail, SendResult, SendSms, Status};

use crate::setup::{Bed, EMAIL, SMS, Setup, kind};

const SUBJECT: &str = "Ihre Bestellung – 注文 ✓ ist unterwegs, mit einem Betreff, der in keine einzelne Zeile der Kopfzeilen passt";
/// Lines that begin with a dot, are long, hold other letters than ASCII, or end in a space.
const TEXT: &str = "Grüße,\r\n.\r\n..und noch einer\r\n\r\nFrom here — 注文 🎉 \r\nende";
const HTML: &str = "<p>Grüße, <b>Jürgen</b> — <img src=\"cid:logo@shop.example\"></p>\r\n.\r\n<p>注文 🎉</p>";
/// Bytes that would break whatever is not encoded, and the same in base64.
const FILE: &[u8] = b"\x00\x01\x02\xfe\xff\r\n.\r\n\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\
    \x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f !\"#$%&'";
const FILE_BASE64: &str = "AAEC/v8NCi4NCgABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJic=";
const BCC: &str = "secretary@example.net";

fn full() -> SendEmail {
    let file = |filename: &str, content_type: &str| AttachmentRequest {
        filename: filename.to_owned(),
        content_type: Some(content_type.to_owned()),
        content: FILE.into(),
        disposition: None,
        content_id: None,
    };
    let mut email = SendEmail::new("Jürgen Müller <juergen@example.com>", SUBJECT).text(TEXT).html(HTML);
    email.from_email = Some("orders@shop.example".to_owned());
    email.from_name = Some("Bücher, Möbel".to_owned());
    email.reply_to = "Hilfe für Kunden <help@shop.example>".into();
    email.cc = vec!["李雷 <lilei@example.org>", "plain@example.org"].into();
    email.bcc = format!("Die Sekretärin <{BCC}>").into();
    email.attachments = vec![
        AttachmentRequest {
            disposition: Some(Disposition::Inline),
            content_id: Some("logo@shop.example".to_owned()),
            ..file("logo.png", "image/png")
        },
        file("Rechnung Nº 4711 – März.pdf", "application/pdf"),
    ];
    email.headers.insert("X-Order".to_owned(), "4711".to_owned());
    email.headers.insert("X-Note".to_owned(), "grün und schön".to_owned());
    email
}

async fn arrives(bed: &Bed, provider: Provider, email: SendEmail) -> (SendResult, SimMessage) {
    let result = bed.send(email.via(kind(provider))).await;
    assert_eq!((result.status, result.simulated), (Status::Sent, true), "{provider}: {result:?}");
    let mut received = bed.received(provider);
    assert_eq!(received.len(), 1, "{provider}");
    (result, received.remove(0))
}

#[tokio::test]
async fn a_full_email_arrives_equal_by_each_provider() {
    for provider in EMAIL {
        let bed = Setup::default().start().await;
        let (result, message) = arrives(&bed, provider, full()).await;
        assert_eq!(message.to, ["juergen@example.com"], "{provider}");
        assert_eq!(message.cc, ["lilei@example.org", "plain@example.org"], "{provider}");
        assert_eq!(message.bcc, [BCC], "{provider}");
        assert_eq!(message.reply_to, ["help@shop.example"], "{provider}");
        assert_eq!(message.from.as_deref(), Some("orders@shop.example"), "{provider}");
        assert_eq!(decoded(message.from_name.as_deref().unwrap()), "Bücher, Möbel", "{provider}");
        assert_eq!(message.subject.as_deref(), Some(SUBJECT), "{provider}");
        assert_eq!(message.text.as_deref().map(without_last_break), Some(TEXT), "{provider}");
        assert_eq!(message.html.as_deref().map(without_last_break), Some(HTML), "{provider}");
        assert_eq!(message.headers.get("X-Order").map(String::as_str), Some("4711"), "{provider}");
        assert_eq!(decoded(&message.headers["X-Note"]), "grün und schön", "{provider}");
        assert_files(provider, &message);
        assert_names(provider, &message);
        assert!(!result.attempts[0].from_substituted, "{provider}: its own domain");
        let accepted = result.metadata["provider_message_id"].as_str().unwrap();
        assert!(
            provider == Provider::Smtp || message.id.starts_with(accepted),
            "{provider}: {accepted}"
        );
    }
}

fn assert_files(provider: Provider, message: &SimMessage) {
    let file = |name: &str| {
        let mut all = message.attachments.iter();
        all.find(|file| file.filename.as_deref() == Some(name))
            .unwrap_or_else(|| panic!("{provider}: {name}"))
    };
    let (logo, invoice) = (file("logo.png"), file("Rechnung Nº 4711 – März.pdf"));
    assert_eq!(message.attachments.len(), 2, "{provider}");
    assert_eq!(
        (logo.disposition.as_deref(), logo.content_id.as_deref()),
        (Some("inline"), Some("logo@shop.example")),
        "{provider}"
    );
    assert_eq!(
        (invoice.disposition.as_deref(), invoice.content_id.as_deref()),
        (Some("attachment"), None),
        "{provider}"
    );
    assert_eq!(
        (logo.content_type.as_deref(), invoice.content_type.as_deref()),
        (Some("image/png"), Some("application/pdf"))
    );
    assert_eq!((logo.size, invoice.size), (FILE.len(), FILE.len()), "{provider}");
    assert_eq!(message.raw.matches(FILE_BASE64).count(), 2, "{provider}: both with their bytes");
}

/// The simulator keeps addresses without names, so these are looked for in what came.
fn assert_names(provider: Provider, message: &SimMessage) {
    let shown = decoded(&message.raw.replace("\r\n ", " "));
    for name in ["Jürgen Müller", "李雷", "Hilfe für Kunden"] {
        assert!(shown.contains(name), "{provider}: {name} in {shown}");
    }
}

#[tokio::test]
async fn blind_copies_stand_in_no_header() {
    for provider in EMAIL {
        let bed = Setup::default().start().await;
        let (_, message) = arrives(&bed, provider, full()).await;
        // The requests to the APIs name it as a recipient, once; SMTP does so in its envelope.
        let where_it_belongs = usize::from(provider != Provider::Smtp);
        assert_eq!(message.raw.matches(BCC).count(), where_it_belongs, "{provider}");
        assert!(
            message
                .headers
                .iter()
                .all(|(name, value)| !value.contains(BCC) && !name.eq_ignore_ascii_case("bcc")),
            "{provider}"
        );
    }
}

#[tokio::test]
async fn what_needs_raw_mime_at_ses_arrives_equal_and_hides_blind_copies() {
    let bed = Setup::default().start().await;
    let mut email = full();
    let long = "grün ".repeat(150).trim_end().to_owned();
    email.headers.insert("X-Note".to_owned(), long.clone());
    let (_, message) = arrives(&bed, Provider::Ses, email).await;
    assert!(message.raw.contains("MIME-Version: 1.0"), "it went as raw MIME");
    assert_eq!((message.to.len(), message.cc.len(), &*message.bcc), (1, 2, &[BCC.to_owned()][..]));
    assert_eq!(message.raw.matches(BCC).count(), 0);
    assert_eq!(message.subject.as_deref(), Some(SUBJECT));
    assert_eq!(message.text.as_deref().map(without_last_break), Some(TEXT));
    assert_eq!(decoded(&message.headers["X-Note"]), long);
    assert_files(Provider::Ses, &message);
}

#[tokio::test]
async fn a_sender_of_another_domain_moves_to_reply_to_and_the_attempt_says_so() {
    for provider in EMAIL {
        let bed = Setup::default().start().await;
        let mut email = full();
        email.from_email = Some("me@other.example".to_owned());
        email.reply_to = Vec::<String>::new().into();
        let (result, message) = arrives(&bed, provider, email).await;
        assert_eq!(message.from.as_deref(), Some("hello@shop.example"), "{provider}");
        assert_eq!(message.reply_to, ["me@other.example"], "{provider}");
        assert!(result.attempts[0].from_substituted, "{provider}");
        let record = bed.service.get_record(result.message_id).await.unwrap().unwrap();
        assert!(record.attempts[0].from_substituted, "{provider}: it is kept");
    }
}

#[tokio::test]
async fn ids_travel_where_feedback_brings_them_back() {
    for provider in EMAIL {
        let bed = Setup::default().start().await;
        let (result, message) = arrives(&bed, provider, full()).await;
        let record = bed.service.get_record(result.message_id).await.unwrap().unwrap();
        let (id, attempt) = (result.message_id.to_string(), record.attempts[0].id.to_string());
        match provider {
            Provider::Ses => assert_eq!((&message.tags["ums_message_id"], &message.tags["ums_attempt_id"]), (&id, &attempt)),
            Provider::SendGrid => {
                assert_eq!(
                    (&message.custom_args["ums_message_id"], &message.custom_args["ums_attempt_id"]),
                    (&id, &attempt)
                );
            }
            Provider::Smtp | Provider::Sns | Provider::Twilio => {
                assert_eq!(message.params["ENVID"], attempt);
                assert!(message.headers["Message-ID"].contains(&attempt));
            }
        }
    }
}

#[tokio::test]
async fn text_messages_arrive_equal_by_each_provider() {
    let bodies = [
        "Your code is 123456".to_owned(),
        "Price: 5 € [ok] {x} ~ ^ | \\ @ £ ¥ è Ω & = + % #".to_owned(),
        "Bestellung 注文 🎉👩‍👩‍👧 unterwegs\nzweite Zeile".to_owned(),
        "emoji at the seam ".to_owned() + &"🎉".repeat(100),
    ];
    for provider in SMS {
        let bed = Setup::default().start().await;
        for body in &bodies {
            let sms = SendSms::new("+14165550123", body.as_str()).via(kind(provider));
            let result = bed.service.send_sms(sms).await.unwrap();
            assert_eq!((result.status, result.simulated), (Status::Sent, true), "{provider}: {result:?}");
        }
        let received = bed.received(provider);
        assert_eq!(received.len(), bodies.len());
        for (message, body) in received.iter().zip(&bodies) {
            assert_eq!(
                (message.body.as_ref(), &*message.to),
                (Some(body), &["+14165550123".to_owned()][..]),
                "{provider}"
            );
        }
        let from = (provider == Provider::Twilio).then_some("+14155550100");
        assert_eq!(received[0].from.as_deref(), from, "{provider}");
    }
}

fn without_last_break(text: &str) -> &str {
    text.strip_suffix("\r\n").unwrap_or(text)
}

/// Decodes the encoded words of RFC 2047 in a text, base64 only; space between two of them belongs to neither.
fn decoded(text: &str) -> String {
    const START: &str = "=?utf-8?b?";
    let (mut clear, mut rest) = (String::new(), text);
    while let Some(at) = rest.to_ascii_lowercase().find(START) {
        let (before, word) = (&rest[..at], &rest[at + START.len()..]);
        if clear.is_empty() || !before.trim().is_empty() {
            clear.push_str(before);
        }
        let (word, after) = word.split_once("?=").unwrap();
        clear.push_str(&String::from_utf8(from_base64(word)).unwrap());
        rest = after;
    }
    clear + rest
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    let bytes = digits.chunks(4).flat_map(|group| {
        let bits = group.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - group.len()));
        bits.to_be_bytes().into_iter().skip(1).take(group.len() * 6 / 8)
    });
    bytes.collect()
}
