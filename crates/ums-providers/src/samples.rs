//! Messages for unit tests.

use std::time::Duration;

use ums_core::{Attachment, Call, Email, Header, Mailbox, PhoneNumber, Purpose, Sms, SmsSender};

pub(crate) fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

pub(crate) fn call() -> Call {
    Call {
        message_id: "01930000-0000-7000-8000-000000000001".parse().unwrap(),
        attempt_id: "01930000-0000-7000-8000-000000000002".parse().unwrap(),
        purpose: Purpose::Transactional,
        time_left: Duration::from_mins(10),
    }
}

pub(crate) fn email_from(from: Option<&str>, reply_to: &[&str]) -> Email {
    Email {
        from: from.map(mailbox),
        to: vec![mailbox("Zoë Müller <customer@example.com>")],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: reply_to.iter().map(|text| mailbox(text)).collect(),
        subject: "Your order".to_owned(),
        html: Some("<p>Thank you</p>".to_owned()),
        text: Some("Thank you".to_owned()),
        attachments: Vec::new(),
        headers: Vec::new(),
    }
}

/// An e-mail with everything that an e-mail can have.
pub(crate) fn full_email() -> Email {
    Email {
        cc: vec![mailbox("\"Doe, Jane\" <jane@example.com>")],
        bcc: vec![mailbox("archive@example.com"), mailbox("Customer@example.com")],
        attachments: vec![
            file("Rechnung März.pdf", "application/pdf", None),
            file("logo.png", "image/png", Some("logo")),
        ],
        headers: vec![
            header("X-Order", "4711"),
            header("List-Unsubscribe", "<https://shop.example/u>"),
            header("X-Note", "Grüße"),
        ],
        ..email_from(Some("Orders <orders@shop.example>"), &["help@shop.example"])
    }
}

fn file(name: &str, kind: &str, content_id: Option<&str>) -> Attachment {
    Attachment {
        filename: name.to_owned(),
        content_type: kind.to_owned(),
        content: name.as_bytes().into(),
        inline: content_id.is_some(),
        content_id: content_id.map(str::to_owned),
    }
}

pub(crate) fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

pub(crate) fn sms(to: &str, from: Option<SmsSender>, body: &str) -> Sms {
    Sms {
        to: PhoneNumber::parse_e164(to).unwrap(),
        from,
        body: body.to_owned(),
    }
}
