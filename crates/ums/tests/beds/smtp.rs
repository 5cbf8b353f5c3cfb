//! SMTP as aiosmtpd implements it: in clear, by STARTTLS, by TLS; what arrived is parsed by another
//! MIME library and compared.

use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::Value;

use crate::bed;
use crate::program::Place;

const SUBJECT: &str = "Grüße aus Zürich – 注文 №5 🎉, lang genug für mehr als eine Zeile im Kopf";
const TEXT: &str = "Guten Tag Zoë,\n.\n..\nFrom hier an\nIhr Code: 123456.\n";
const HTML: &str = "<p>Guten Tag <b>Zoë</b>,</p>\n<p>Ihr Code: 123456 — ✓</p>\n";

/// A place whose only provider is the listener at this address.
fn place(address: &str, tls: &str) -> Place {
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut place = Place::new();
    std::fs::write(
        place.path().join("ums.toml"),
        format!("[smtp]\nca_file = \"{}\"\n", bed("UMS_BED_CA_FILE")),
    )
    .unwrap();
    let config = place.path().join("ums.toml");
    place
        .set("SMTP_HOST", host)
        .set("SMTP_PORT", port)
        .set("SMTP_TLS", tls)
        .set("SMTP_USER", "user@example.com")
        .set("SMTP_PASSWORD", "bed-password")
        .set("SMTP_FROM_EMAIL", "shop@example.com")
        .set("SMTP_FROM_NAME", "Bäckerei Müller")
        .set("UMS_CONFIG", config.to_str().unwrap());
    place
}

/// The message that arrived for this recipient.
fn arrived(to: &str) -> Value {
    let control = bed("UMS_BED_SMTP_CONTROL");
    let all = crate::http::get(control.trim_start_matches("http://"), "/messages").json();
    let is_for = |message: &&Value| {
        message["rcpt_tos"]
            .as_array()
            .is_some_and(|recipients| recipients.iter().any(|address| address == to))
    };
    all["messages"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_for)
        .unwrap_or_else(|| panic!("nothing arrived for {to}"))
        .clone()
}

fn send_and_compare(place: &Place, to: &str, is_tls: bool) {
    let file: Vec<u8> = (0..=255_u8).cycle().take(70_000).chain(*b"\r\n.\r\n\r\r\n\n").collect();
    std::fs::write(place.path().join("Rechnung für Zoë.bin"), &file).unwrap();
    std::fs::write(place.path().join("body.html"), HTML).unwrap();
    std::fs::write(place.path().join("body.txt"), TEXT).unwrap();
    let recipient = format!("\"Zoë Müller, Inh.\" <{to}>");
    place
        .run(&[
            "send",
            "email",
            "--to",
            &recipient,
            "--bcc",
            "hidden@example.com",
            "--subject",
            SUBJECT,
            "--html-file",
            "body.html",
            "--text-file",
            "body.txt",
            "--attach",
            "Rechnung für Zoë.bin",
            "--header",
            "X-Order: 17",
            "--json",
        ])
        .expect(0);
    let letter = arrived(to);
    assert_eq!(letter["mail_from"], "shop@example.com");
    assert_eq!(letter["tls"], is_tls);
    assert_eq!(
        letter["login"],
        if is_tls {
            "user@example.com".into()
        } else {
            letter["login"].clone()
        }
    );
    assert!(letter["rcpt_tos"].to_string().contains("hidden@example.com"));
    let raw = decode_base64(letter["raw_base64"].as_str().unwrap());
    check_line_ends(&raw);
    check_parts(&raw, to, &file);
}

fn check_parts(raw: &[u8], to: &str, file: &[u8]) {
    let message = MessageParser::default().parse(raw).unwrap();
    assert_eq!(message.subject(), Some(SUBJECT));
    let sender = message.from().unwrap().first().unwrap();
    assert_eq!(
        (sender.name(), sender.address()),
        (Some("Bäckerei Müller"), Some("shop@example.com"))
    );
    let recipient = message.to().unwrap().first().unwrap();
    assert_eq!((recipient.name(), recipient.address()), (Some("Zoë Müller, Inh."), Some(to)));
    assert!(message.bcc().is_none(), "a blind copy is not told in the header");
    let same = |part: Option<std::borrow::Cow<'_, str>>, wanted: &str| {
        assert_eq!(part.unwrap().replace("\r\n", "\n").trim_end(), wanted.trim_end());
    };
    same(message.body_text(0), TEXT);
    same(message.body_html(0), HTML);
    let attachment = message.attachment(0).unwrap();
    assert_eq!(attachment.attachment_name(), Some("Rechnung für Zoë.bin"));
    assert_eq!(attachment.contents(), file);
    assert_eq!(message.header_raw("X-Order").map(str::trim), Some("17"));
    assert!(message.date().is_some() && message.message_id().is_some());
}

/// Each CR is followed by a LF, each LF comes after a CR, and no line is longer than SMTP allows.
fn check_line_ends(raw: &[u8]) {
    for (index, byte) in raw.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(raw.get(index + 1), Some(&b'\n'), "a lone CR at {index}"),
            b'\n' => assert_eq!(
                index.checked_sub(1).and_then(|before| raw.get(before)),
                Some(&b'\r'),
                "a lone LF at {index}"
            ),
            _ => {}
        }
    }
    assert!(
        raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 999),
        "a line is longer than 998 octets"
    );
}

fn decode_base64(text: &str) -> Vec<u8> {
    mail_parser::decoders::base64::base64_decode(text.as_bytes()).unwrap()
}

#[test]
fn a_message_arrives_whole_in_clear_by_starttls_and_by_tls() {
    send_and_compare(&place(&bed("UMS_BED_SMTP_ADDR"), "none"), "clear@example.com", false);
    send_and_compare(&place(&bed("UMS_BED_SMTP_STARTTLS_ADDR"), "starttls"), "starttls@example.com", true);
    send_and_compare(&place(&bed("UMS_BED_SMTP_TLS_ADDR"), "implicit"), "tls@example.com", true);
}

fn refused(place: &Place, to: &str) -> Value {
    let words = [
        "send",
        "email",
        "--to",
        to,
        "--subject",
        "x",
        "--text",
        "x",
        "--on-exhausted",
        "fail",
        "--json",
    ];
    place.run(&words).json()
}

#[test]
fn a_certificate_for_another_name_gets_nothing() {
    let result = refused(&place(&bed("UMS_BED_SMTP_WRONG_NAME_ADDR"), "implicit"), "wrong-name@example.com");
    assert_ne!(result["status"], "sent");
    assert_eq!(result["attempts"][0]["outcome"], "failed", "{result}");
}

#[test]
fn a_server_without_starttls_gets_nothing() {
    let result = refused(&place(&bed("UMS_BED_SMTP_ADDR"), "starttls"), "no-starttls@example.com");
    assert_ne!(result["status"], "sent");
}

#[test]
fn a_wrong_password_is_a_matter_of_settings() {
    let mut place = place(&bed("UMS_BED_SMTP_TLS_ADDR"), "implicit");
    place.set("SMTP_PASSWORD", "wrong");
    let result = refused(&place, "wrong-password@example.com");
    assert_eq!(result["attempts"][0]["class"], "misconfigured");
}

#[test]
fn refusals_of_the_recipient_and_losses_after_the_dot_are_told_apart() {
    let place = place(&bed("UMS_BED_SMTP_TLS_ADDR"), "implicit");
    assert_eq!(
        refused(&place, "rcpt-550-5-1-1@example.com")["attempts"][0]["class"],
        "invalid_recipient"
    );
    assert_eq!(refused(&place, "drop-at-rcpt@example.com")["attempts"][0]["class"], "unavailable");
    assert_eq!(refused(&place, "drop-after-dot@example.com")["attempts"][0]["class"], "unknown");
}
