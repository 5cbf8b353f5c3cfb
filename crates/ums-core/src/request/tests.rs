use std::time::Duration;

use super::*;
use crate::message::SmsSender;

fn faults_of(email: SendEmail) -> Vec<String> {
    email
        .parse()
        .expect_err("refused")
        .faults
        .into_iter()
        .map(|fault| fault.field)
        .collect()
}

fn email() -> SendEmail {
    SendEmail::new("customer@example.com", "Your receipt").text("Thank you")
}

#[test]
fn all_faults_are_reported_together_without_values() {
    let mut request = SendEmail::new(vec!["canary@", "ok@example.com"], "a\r\nBcc: canary@example.com");
    request.cc = "canary".into();
    request.headers.insert("Bcc".into(), "canary".into());
    request.from_name = Some("canary".into());
    let invalid = request.parse().unwrap_err();
    let fields: Vec<_> = invalid.faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["from_name", "to[0]", "cc", "headers[0]", "subject", "html_content"]);
    assert!(!invalid.to_string().contains("canary"), "{invalid}");
}

#[test]
fn a_fault_of_a_header_names_it_if_its_name_is_a_word() {
    for (name, value, begin) in [
        ("X-SES-Tag", "v", "X-SES-Tag: "),
        ("X-Foo", "a\nb", "X-Foo: value "),
        ("X-Foo\r\nBcc", "v", ""),
        ("jane@example.com", "v", ""),
        ("", "v", ""),
    ] {
        let mut request = email();
        request.headers.insert(name.into(), value.into());
        let invalid = request.parse().unwrap_err();
        let fault = &invalid.faults[0];
        assert_eq!(fault.field, "headers[0]", "{name:?}");
        assert!(fault.reason.starts_with(begin), "{fault:?}");
        assert_eq!(begin.is_empty(), !fault.reason.contains(": "), "{fault:?}");
    }
}

#[test]
fn header_injection_is_refused_in_every_field() {
    for bad in ["\r", "\n", "\r\n", "\0", "\x0b", "\u{2028}"] {
        let text = format!("x{bad}Bcc: victim@example.com");
        let with = |change: &dyn Fn(&mut SendEmail)| {
            let mut request = email();
            change(&mut request);
            assert!(request.parse().is_err(), "{bad:?}");
        };
        with(&|request| request.subject = text.clone());
        with(&|request| request.to = format!("{text} <a@example.com>").into());
        with(&|request| request.reply_to = format!("a{bad}@example.com").into());
        with(&|request| request.bcc = format!("a@exa{bad}mple.com").into());
        with(&|request| {
            request.from_email = Some("a@example.com".into());
            request.from_name = Some(text.clone());
        });
        with(&|request| drop(request.headers.insert("X-Test".into(), text.clone())));
        with(&|request| drop(request.headers.insert(format!("X-Te{bad}st"), "v".into())));
        with(&|request| request.attachments.push(attachment(&text, "text/plain", None)));
        with(&|request| request.attachments.push(attachment("a.txt", &format!("text/plain{bad}X: y"), None)));
        with(&|request| request.attachments.push(attachment("a.txt", "text/plain", Some(&text))));
    }
}

#[test]
fn a_key_of_metadata_never_commands_a_terminal() {
    for bad in ["\u{1b}[2J", "\u{9b}2J", "\0", "\r\n", "\u{7f}", "\u{202e}", "\u{2069}"] {
        let key = format!("order{bad}");
        assert_eq!(faults_of(email().metadata("a", 1).metadata(&key, "x")), ["metadata[1]"], "{bad:?}");
        let sms = SendSms::new("+14165550123", "Hello").metadata(&key, "x").parse(None);
        assert_eq!(sms.unwrap_err().faults[0].field, "metadata[0]", "{bad:?}");
    }
    assert!(email().metadata("Größe (cm)", "x").parse().is_ok());
}

#[test]
fn a_file_name_that_cannot_be_carried_is_a_fault_of_its_field() {
    for name in [
        "..",
        "a/b.txt",
        "=?utf-8?b?Li4vYi50eHQ=?=",
        "a\u{1b}[2J.txt",
        "invoice\u{202e}fdp.exe",
        &"x".repeat(256),
    ] {
        let mut request = email();
        request.attachments.push(attachment(name, "text/plain", None));
        assert_eq!(faults_of(request), ["attachments[0].filename"], "{name:?}");
    }
}

fn attachment(filename: &str, content_type: &str, content_id: Option<&str>) -> AttachmentRequest {
    AttachmentRequest {
        filename: filename.into(),
        content_type: Some(content_type.into()),
        content: Arc::from(*b"abc"),
        disposition: None,
        content_id: content_id.map(Into::into),
    }
}

#[test]
fn a_misspelt_field_is_refused() {
    let request: SendEmail =
        serde_json::from_str(r#"{"to": "a@example.com", "subject": "s", "text_content": "t", "html": "<p>", "purpose": "otp"}"#).unwrap();
    assert_eq!(request.handling.purpose, Some(Purpose::Otp));
    assert_eq!(faults_of(request), ["html"]);
}

#[test]
fn json_of_the_contract_is_read() {
    let request: SendEmail = serde_json::from_str(
        r#"{"to": ["Jane <a@example.com>"], "subject": "s", "html_content": "<p>x", "attachments":
           [{"filename": "a.pdf", "content_type": "application/pdf", "content_base64": "YWJj"}], "metadata": {"order": 1},
           "send_at": "2026-11-22T12:00:00+02:00", "expires_in_seconds": 60, "duplicates": "never", "via": "smtp"}"#,
    )
    .unwrap();
    let parsed = request.parse().unwrap();
    let Content::Email(email) = &parsed.content else {
        panic!("an e-mail")
    };
    assert_eq!(&*email.attachments[0].content, b"abc");
    assert_eq!(parsed.handling.send_at.unwrap().to_string(), "2026-11-22T10:00:00Z");
    assert_eq!(parsed.handling.expires_in, Some(Duration::from_mins(1)));
    assert_eq!(parsed.handling.duplicates, Duplicates::Never);
}

#[test]
fn purpose_may_come_from_metadata_but_the_field_wins() {
    let parsed = email().metadata("purpose", "bulk").parse().unwrap();
    assert_eq!(
        (parsed.handling.purpose, parsed.handling.duplicates),
        (Purpose::Bulk, Duplicates::Never)
    );
    let parsed = email().metadata("purpose", "login").purpose(Purpose::Otp).parse().unwrap();
    assert_eq!(
        (parsed.handling.purpose, parsed.handling.duplicates),
        (Purpose::Otp, Duplicates::Allow)
    );
}

#[test]
fn limits_hold() {
    let many: Vec<String> = (0..=MAX_RECIPIENTS).map(|n| format!("a{n}@example.com")).collect();
    assert_eq!(
        faults_of(SendEmail {
            to: many.into(),
            ..email()
        }),
        ["to"]
    );
    assert_eq!(
        faults_of(SendEmail {
            cc: "Customer@example.com".into(),
            ..email()
        }),
        ["cc"]
    );
    assert_eq!(
        faults_of(SendEmail {
            subject: "x".repeat(10 << 20),
            ..email()
        }),
        ["subject"]
    );
    assert_eq!(faults_of(email().via(ProviderKind::Twilio)), ["via"]);
    assert_eq!(faults_of(email().metadata("a", serde_json::json!([1]))), ["metadata"]);
    assert_eq!(faults_of(email().metadata("a", "x".repeat(MAX_METADATA_BYTES))), ["metadata"]);
    assert_eq!(
        faults_of(SendEmail {
            cc: "b@example.com".into(),
            ..email().purpose(Purpose::Otp)
        }),
        ["to"]
    );
}

#[test]
fn text_messages_are_composed_and_checked() {
    let region = Some("US".parse().unwrap());
    let parsed = SendSms::new("(416) 555-0123", "cafe\u{301}").parse(region).unwrap();
    let Content::Sms(sms) = parsed.content else {
        panic!("a text message")
    };
    assert_eq!((sms.to.expose(), sms.body.as_str()), ("+14165550123", "café"));

    let invalid = SendSms::new("canary", " ").via(ProviderKind::AwsSes).parse(region).unwrap_err();
    let fields: Vec<_> = invalid.faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["to", "message_body", "via"]);
}

#[test]
fn senders_of_text_messages_keep_their_form() {
    let sender = |text: &str| sms_sender(text, Some("US".parse().unwrap()));
    assert!(matches!(sender("+14165550123"), Ok(SmsSender::Number(_))));
    assert!(matches!(sender("4165550123"), Ok(SmsSender::Number(_))));
    assert!(matches!(sender("12345"), Ok(SmsSender::ShortCode(_))));
    assert!(matches!(sender("Acme Shop"), Ok(SmsSender::Alphanumeric(_))));
    for bad in ["", "A name too long", "Ac\r\nme", "****"] {
        assert!(sender(bad).is_err(), "{bad}");
    }
}

#[test]
fn debug_shows_no_recipient() {
    let shown = format!("{:?} {:?}", email(), SendSms::new("+14165550123", "code 123456"));
    assert!(
        !shown.contains("customer@") && !shown.contains("4165550123") && !shown.contains("123456"),
        "{shown}"
    );
}
