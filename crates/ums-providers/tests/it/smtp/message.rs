//! The message on the wire, read back by an independent parser.

use mail_parser::{Address, Message, MessageParser, MimeHeaders as _};
use ums_core::{Attachment, Email, FailureClass as C, Header};

use super::server::{Script, Server};
use super::{ATTEMPT, email, mailbox, send};

/// The message as the server stores it, after it was checked on the wire.
async fn delivered(email: &Email) -> Vec<u8> {
    delivered_to(Script::default(), email).await
}

async fn delivered_to(script: Script, email: &Email) -> Vec<u8> {
    let server = Server::start(script).await;
    send(&server, email).await.unwrap();
    let wire = server.body();
    assert_fit(&wire);
    unstuffed(&wire)
}

/// No CR or LF alone, no line too long, one end.
fn assert_fit(wire: &[u8]) {
    for (at, byte) in wire.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(wire.get(at + 1), Some(&b'\n'), "a lone CR at {at}"),
            b'\n' => assert_eq!(at.checked_sub(1).map(|before| wire[before]), Some(b'\r'), "a lone LF at {at}"),
            _ => {}
        }
    }
    assert!(
        wire.split(|byte| *byte == b'\n').all(|line| line.len() <= 999),
        "a line over 998 bytes"
    );
    assert!(!wire.windows(5).any(|window| window == b"\r\n.\r\n"), "an end before the end");
}

fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for line in wire.split_inclusive(|byte| *byte == b'\n') {
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    message
}

fn parse(raw: &[u8]) -> Message<'_> {
    MessageParser::default().parse(raw).unwrap()
}

fn people(address: Option<&Address<'_>>) -> Vec<(String, String)> {
    let addresses = address.map(|address| address.clone().into_list()).unwrap_or_default();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    addresses
        .iter()
        .map(|person| (text(person.name()), text(person.address())))
        .collect()
}

fn pair(name: &str, address: &str) -> (String, String) {
    (name.to_owned(), address.to_owned())
}

#[tokio::test]
async fn every_part_comes_back_as_it_was() {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let email = Email {
        from: Some(mailbox(
            "Käsehandlung \"Ümlaut\" <käse@shop.example>".replace("käse@", "kaese@").as_str(),
        )),
        to: vec![
            mailbox("Zoë Müller 🎉 <zoe@example.com>"),
            mailbox("\"Doe, John\" <john@example.com>"),
        ],
        cc: vec![mailbox("plain@example.com")],
        bcc: vec![mailbox("secret@example.com")],
        reply_to: vec![mailbox("答え <answers@shop.example>")],
        subject: "Grüße aus Köln: 你好, ваш заказ №123 – a subject long enough to be folded over several lines, and then some 🎉🎉🎉"
            .to_owned(),
        html: Some("<p>Grüße – <img src=\"cid:logo@shop.example\"></p>\n<p>.</p>\n.\n".to_owned()),
        text: Some("Grüße\n.\n..\nEnde".to_owned()),
        attachments: vec![
            file("Rechnung März 2026 – 你好.pdf", "application/pdf", &bytes, None),
            file("notes.txt", "text/plain", b"a\nb\rc\r\n.\r\nd", None),
            file("logo.png", "image/png", b"\x89PNG\r\n\x1a\n.", Some("logo@shop.example")),
        ],
        headers: vec![header("X-Order", "№ 123"), header("List-Unsubscribe", LONG_UNSUBSCRIBE)],
    };
    let raw = delivered(&email).await;
    let message = parse(&raw);
    assert_eq!(message.subject(), Some(email.subject.as_str()));
    assert_eq!(people(message.from()), [pair("Käsehandlung \"Ümlaut\"", "kaese@shop.example")]);
    assert_eq!(
        people(message.to()),
        [pair("Zoë Müller 🎉", "zoe@example.com"), pair("Doe, John", "john@example.com")]
    );
    assert_eq!(people(message.cc()), [pair("", "plain@example.com")]);
    assert_eq!(people(message.reply_to()), [pair("答え", "answers@shop.example")]);
    assert_eq!(message.message_id(), Some(format!("{ATTEMPT}@shop.example").as_str()));
    assert!(message.date().is_some());
    assert_eq!(
        message.header_raw("X-Order").map(|raw| decoded(raw, "Subject")),
        Some("№ 123".to_owned())
    );
    let same = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
    assert_eq!(message.body_text(0).map(|text| same(&text)), Some("Grüße\n.\n..\nEnde".to_owned()));
    assert_eq!(message.body_html(0).map(|html| same(&html)), email.html.as_deref().map(same));
    let files: Vec<_> = message
        .attachments()
        .map(|part| (part.attachment_name().map(str::to_owned), part.contents().to_vec()))
        .collect();
    for expected in &email.attachments {
        let found = files.iter().find(|(name, _)| name.as_deref() == Some(expected.filename.as_str()));
        assert!(
            found.is_some_and(|(_, content)| *content == *expected.content),
            "{}",
            expected.filename
        );
    }
    let logo = message.parts.iter().find(|part| part.content_id() == Some("logo@shop.example"));
    assert!(logo.is_some(), "the inline file is found by its id");
    let text = String::from_utf8(raw.clone()).unwrap();
    assert!(
        !text.contains("secret@example.com") && !text.to_ascii_lowercase().contains("\r\nbcc:"),
        "Bcc stays out"
    );
    for kind in ["multipart/mixed", "multipart/alternative", "multipart/related"] {
        assert!(text.contains(kind), "{kind}");
    }
}

const LONG_UNSUBSCRIBE: &str = "<https://shop.example/unsubscribe/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef>, <mailto:unsubscribe@shop.example?subject=stop>";

fn decoded(raw: &str, _as: &str) -> String {
    let wrapped = format!("Subject:{raw}\r\n\r\n");
    parse(wrapped.as_bytes()).subject().unwrap_or_default().to_owned()
}

fn file(name: &str, content_type: &str, content: &[u8], content_id: Option<&str>) -> Attachment {
    Attachment {
        filename: name.to_owned(),
        content_type: content_type.to_owned(),
        content: content.into(),
        inline: content_id.is_some(),
        content_id: content_id.map(str::to_owned),
    }
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

#[tokio::test]
async fn unsubscribe_headers_are_folded_but_not_encoded() {
    let mut email = email();
    email.headers = vec![
        header("List-Unsubscribe", LONG_UNSUBSCRIBE),
        header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ];
    let text = String::from_utf8(delivered(&email).await).unwrap();
    let unfolded = text.replace("\r\n ", " ");
    assert!(
        unfolded.contains(&format!("\r\nList-Unsubscribe: {LONG_UNSUBSCRIBE}\r\n")),
        "{text}"
    );
    assert!(unfolded.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
}

#[tokio::test]
async fn text_alone_html_alone_and_files_alone_are_messages() {
    let mut only_text = email();
    only_text.html = None;
    let raw = delivered(&only_text).await;
    assert!(parse(&raw).body_text(0).is_some_and(|text| text.trim_end() == "Hello"));
    assert!(!String::from_utf8(raw).unwrap().contains("multipart"));

    let mut only_html = email();
    only_html.text = None;
    let raw = delivered(&only_html).await;
    assert!(parse(&raw).body_html(0).is_some_and(|html| html.trim_end() == "<p>Hello</p>"));

    let mut with_file = only_text;
    with_file.attachments = vec![
        file("a.bin", "application/octet-stream", b"", None),
        file("b", "application/x-b", b"b", Some("b")),
    ];
    let raw = delivered(&with_file).await;
    assert_eq!(parse(&raw).attachments().count(), 2);
}

#[tokio::test]
async fn a_message_within_the_message_travels_as_it_is_or_as_bytes() {
    let inner = "Subject: Hi\r\n\r\nGrüße\r\n.\r\nEnde\r\n";
    let mut email = email();
    email.attachments = vec![file("mail.eml", "message/rfc822", inner.as_bytes(), None)];
    let mut narrow = Script::default();
    narrow.offers.retain(|offer| *offer != "8BITMIME");
    for (script, kind, encoding) in [
        (Script::default(), "message/rfc822", "8bit"),
        (narrow, "application/octet-stream", "base64"),
    ] {
        let raw = delivered_to(script, &email).await;
        let message = parse(&raw);
        let part = message
            .parts
            .iter()
            .find(|part| part.attachment_name() == Some("mail.eml"))
            .unwrap();
        let found = part
            .content_type()
            .map(|found| format!("{}/{}", found.ctype(), found.subtype().unwrap()));
        assert_eq!(found.as_deref(), Some(kind));
        assert_eq!(part.content_transfer_encoding(), Some(encoding));
        assert_eq!(part.contents(), inner.as_bytes());
    }
}

#[tokio::test]
async fn a_reply_address_with_other_letters_needs_smtputf8() {
    let mut email = email();
    email.reply_to = vec![mailbox("jürgen@example.com")];
    let failure = send(&Server::start(Script::default()).await, &email).await.unwrap_err();
    assert_eq!((failure.class, &*failure.code), (C::Unsupported, "smtputf8_not_offered"));
    assert!(failure.detail.contains("before the at sign"), "our own words: {}", failure.detail);
}

#[tokio::test]
async fn blind_copies_alone_have_a_header_that_names_nobody() {
    let mut email = email();
    email.bcc = std::mem::take(&mut email.to);
    let text = String::from_utf8(delivered(&email).await).unwrap();
    assert!(text.contains("\r\nTo: undisclosed-recipients:;\r\n"), "{text}");
    assert!(!text.contains("jane@example.com"));
}

#[tokio::test]
async fn bodies_that_would_smuggle_a_second_message_arrive_as_one() {
    let smuggled = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nSubject: evil\r\n\r\nevil";
    for end in [
        "\n.\n",
        "\r.\r",
        "\n.\r\n",
        "\r\n.\n",
        "\r\n.\r\n",
        "\r\r\n.\r\r\n",
        "\r\n.\r",
        "\r.\r\n",
        "\0\r\n.\r\n",
    ] {
        let mut email = email();
        email.text = Some(format!("first{end}{smuggled}{end}"));
        email.html = None;
        let raw = delivered(&email).await;
        let text = parse(&raw).body_text(0).unwrap().into_owned();
        assert!(text.contains("first") && text.contains("evil"), "{end:?}");
    }
}

#[tokio::test]
async fn long_lines_are_encoded_not_cut() {
    let mut email = email();
    let long = "0123456789".repeat(1_000);
    email.text = Some(long.clone());
    email.html = Some(format!("<p>{long}</p>"));
    let raw = delivered(&email).await;
    let message = parse(&raw);
    assert_eq!(message.body_text(0).map(|text| text.trim_end().to_owned()), Some(long.clone()));
    assert_eq!(
        message.body_html(0).map(|html| html.trim_end().to_owned()),
        Some(format!("<p>{long}</p>"))
    );
}

#[tokio::test]
async fn fifty_recipients_with_long_names_are_folded() {
    let mut email = email();
    email.to = (0..50)
        .map(|number| mailbox(&format!("Häns {} <person{number}@example.com>", "Ö".repeat(60))))
        .collect();
    let raw = delivered(&email).await;
    assert_eq!(people(parse(&raw).to()).len(), 50);
}

#[tokio::test]
async fn what_would_break_a_header_is_refused_before_it_is_written() {
    let bad = |change: fn(&mut Email)| {
        let mut email = email();
        change(&mut email);
        email
    };
    let emails = [
        bad(|email| email.subject = "a\r\nBcc: victim@example.com".to_owned()),
        bad(|email| email.subject = "a\nb".to_owned()),
        bad(|email| email.to[0].name = Some("a\r\nBcc: victim@example.com".to_owned())),
        bad(|email| email.to[0].name = Some("a\0b".to_owned())),
        bad(|email| email.headers = vec![header("X-Bad\r\nBcc", "a")]),
        bad(|email| email.headers = vec![header("Bcc", "victim@example.com")]),
        bad(|email| email.headers = vec![header("X-A", "a\r\nBcc: victim@example.com")]),
        bad(|email| email.attachments = vec![file("a\r\nX: y", "text/plain", b"a", None)]),
        bad(|email| email.attachments = vec![file("a", "text/plain\r\nX: y", b"a", None)]),
        bad(|email| email.attachments = vec![file("a", "text/plain", b"a", Some("a>\r\nX: y"))]),
    ];
    for email in emails {
        let server = Server::start(Script::default()).await;
        let failure = send(&server, &email).await.unwrap_err();
        assert_eq!(failure.class, C::InvalidMessage);
        assert_eq!(server.connections(), 0, "nothing was said");
    }
}
