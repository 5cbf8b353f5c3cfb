//! The e-mail as MIME, for SMTP and for SES's raw content.
//!
//! Text and HTML are `multipart/alternative`; files that the HTML shows are `multipart/related` with it; other files are
//! `multipart/mixed` with all of that. Bcc never stands in a header.
//!
//! **Invariant:** what [`compose`] gives back has no lone CR or LF, no line over 998 bytes, and no header that the e-mail does not
//! have, whatever the fields hold.

mod file;
mod lines;
mod pieces;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{Date, Headers};
use lettre::message::{MultiPart, SinglePart};
use ums_core::{Email, Failure, FailureClass, Mailbox, Timestamp, guard};

pub(crate) use self::file::{Bits, is_composite, media_type, needs_eight_bits};
use self::lines::normalise_line_ends;
pub(crate) use self::pieces::Message;
use crate::header_text;

/// Longest name of a file, and longest id, in bytes.
const MAX_FILENAME_BYTES: usize = 255;
/// Longest content type of a file, in bytes.
const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// What a message is stamped with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids<'a> {
    /// `<id@domain>`, with its brackets.
    pub(crate) message_id: &'a str,
    /// When it was made.
    pub(crate) date: Timestamp,
}

/// Composes the message, ready for the wire but for the dots.
///
/// # Errors
/// `InvalidMessage` when a field holds what no header may hold; the parsers at the edge refuse that before.
pub(crate) fn compose(email: &Email, from: &Mailbox, reply_to: &[Mailbox], (ids, bits): (&Ids<'_>, Bits)) -> Result<Message, Failure> {
    check(email, from, reply_to)?;
    // The builder has been seen to panic on hostile names. The guard stands before it; this is the last belt.
    let assembled = catch_unwind(AssertUnwindSafe(|| assemble(email, from, reply_to, (ids, bits))));
    let (text, files) = assembled.map_err(|_| invalid("the message cannot be built"))?;
    Message::new(text, files)
}

fn invalid(detail: &str) -> Failure {
    Failure::local(FailureClass::InvalidMessage, "invalid_content", detail)
}

/// Asserts what the edge has checked already, because a line break here would be somebody else's header.
fn check(email: &Email, from: &Mailbox, reply_to: &[Mailbox]) -> Result<(), Failure> {
    let text = |text: &str, max: usize, detail: &str| guard::header_text(text, max).map_err(|_| invalid(detail));
    text(&email.subject, guard::MAX_SUBJECT_BYTES, "the subject cannot stand in a header")?;
    for mailbox in [from].into_iter().chain(reply_to).chain(&email.to).chain(&email.cc) {
        text(
            mailbox.name.as_deref().unwrap_or_default(),
            ums_core::email_address::MAX_NAME_BYTES,
            "a name cannot stand in a header",
        )?;
    }
    for header in &email.headers {
        guard::header_name(&header.name).map_err(|_| invalid("a header's name may not be set"))?;
        text(
            &header.value,
            guard::MAX_HEADER_VALUE_BYTES,
            "a header's value cannot stand in a header",
        )?;
    }
    for file in &email.attachments {
        text(&file.filename, MAX_FILENAME_BYTES, "a file's name cannot stand in a header")?;
        text(
            &file.content_type,
            MAX_CONTENT_TYPE_BYTES,
            "a file's content type cannot stand in a header",
        )?;
        let id = file.content_id.as_deref().unwrap_or_default();
        let fine = id.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>')) && id.len() <= MAX_FILENAME_BYTES;
        if !fine {
            return Err(invalid("a file's content id cannot stand in a header"));
        }
    }
    Ok(())
}

/// The message with places for its files, and the files in order.
fn assemble(email: &Email, from: &Mailbox, reply_to: &[Mailbox], (ids, bits): (&Ids<'_>, Bits)) -> (Vec<u8>, Vec<Arc<[u8]>>) {
    let mut files = Vec::new();
    let mut message = headers(email, from, reply_to, ids).into_bytes();
    message.extend_from_slice(&match content(email, bits, &mut files) {
        Part::Single(part) => part.formatted(),
        Part::Multi(part) => part.formatted(),
    });
    (message, files)
}

/// The header of the message, up to what belongs to its first part.
fn headers(email: &Email, from: &Mailbox, reply_to: &[Mailbox], ids: &Ids<'_>) -> String {
    let addresses = |name: &str, list: &[Mailbox]| {
        let list: Vec<_> = list.iter().map(header_text::mailbox).collect();
        if list.is_empty() {
            String::new()
        } else {
            header_text::folded(name, &list.join(", "))
        }
    };
    let micros = u64::try_from(ids.date.as_micros()).unwrap_or(0);
    let mut date = Headers::new();
    date.set(Date::from(UNIX_EPOCH + Duration::from_micros(micros)));
    let mut text = date.to_string();
    text += &header_text::folded("Message-ID", ids.message_id);
    text += &addresses("From", std::slice::from_ref(from));
    text += &header_text::text_field("Subject", &email.subject);
    text += &addresses("Reply-To", reply_to);
    text += &addresses("To", &email.to);
    text += &addresses("Cc", &email.cc);
    if email.to.is_empty() && email.cc.is_empty() {
        text += "To: undisclosed-recipients:;\r\n";
    }
    for header in &email.headers {
        text += &header_text::field(header);
    }
    text += "MIME-Version: 1.0\r\n";
    text
}

enum Part {
    Single(SinglePart),
    Multi(MultiPart),
}

fn content(email: &Email, bits: Bits, files: &mut Vec<Arc<[u8]>>) -> Part {
    let (shown, attached): (Vec<_>, Vec<_>) = email
        .attachments
        .iter()
        .partition(|file| file.inline && file.content_id.is_some() && email.html.is_some());
    let mut html = email.html.as_deref().map(|html| Part::Single(SinglePart::html(crlf(html))));
    if !shown.is_empty()
        && let Some(Part::Single(page)) = html
    {
        let mut related = MultiPart::related().singlepart(page);
        for file in shown {
            related = related.singlepart(file::part(file, bits, files));
        }
        html = Some(Part::Multi(related));
    }
    let text = email.text.as_deref().map(|text| SinglePart::plain(crlf(text)));
    let body = match (text, html) {
        (Some(text), Some(Part::Single(html))) => Part::Multi(MultiPart::alternative().singlepart(text).singlepart(html)),
        (Some(text), Some(Part::Multi(html))) => Part::Multi(MultiPart::alternative().singlepart(text).multipart(html)),
        (Some(text), None) => Part::Single(text),
        (None, Some(html)) => html,
        (None, None) => Part::Single(SinglePart::plain(String::new())),
    };
    if attached.is_empty() {
        return body;
    }
    let mut mixed = match body {
        Part::Single(part) => MultiPart::mixed().singlepart(part),
        Part::Multi(part) => MultiPart::mixed().multipart(part),
    };
    for file in attached {
        mixed = mixed.singlepart(file::part(file, bits, files));
    }
    Part::Multi(mixed)
}

/// Line ends as mail has them. The builder does this too, but in quadratic time.
fn crlf(text: &str) -> String {
    let normal = normalise_line_ends(text.as_bytes());
    String::from_utf8(normal).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::lines::tests::is_fit;
    use super::*;
    use proptest::prelude::*;

    fn email(subject: &str, name: Option<&str>, value: &str) -> Email {
        let address = ums_core::EmailAddress::parse("jane@example.com").unwrap();
        Email {
            from: None,
            to: vec![Mailbox {
                name: name.map(str::to_owned),
                address,
            }],
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: Vec::new(),
            subject: subject.to_owned(),
            html: None,
            text: Some("Hello".to_owned()),
            attachments: Vec::new(),
            headers: vec![ums_core::Header {
                name: "X-Note".to_owned(),
                value: value.to_owned(),
            }],
        }
    }

    fn built(email: &Email) -> Result<Vec<u8>, Failure> {
        let ids = Ids {
            message_id: "<1@shop.example>",
            date: Timestamp::from_micros(1_795_341_600_000_000),
        };
        let message = compose(email, &Mailbox::parse("shop@shop.example").unwrap(), &[], (&ids, Bits::Seven))?;
        Ok(pieces::tests::whole(&message))
    }

    /// Names of the headers, and the subject, as a reader finds them.
    fn read(message: &[u8]) -> (Vec<String>, String) {
        let parsed = mail_parser::MessageParser::default().parse(message).unwrap();
        let names = parsed.headers().iter().map(|header| header.name.as_str().to_owned()).collect();
        (names, parsed.subject().unwrap_or_default().to_owned())
    }

    const HEADERS: [&str; 9] = [
        "Message-ID",
        "From",
        "Subject",
        "To",
        "X-Note",
        "MIME-Version",
        "Date",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];

    fn assert_same_headers(message: &[u8]) {
        let (mut names, _) = read(message);
        let mut expected = HEADERS.map(str::to_owned);
        names.sort();
        expected.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn subjects_are_read_as_they_were_written() {
        let wordless = format!("{}Bcc:victim@example.com{}", "a".repeat(985), "b".repeat(900));
        for subject in [
            "Hello",
            "Grüße aus Köln",
            "=?utf-8?b?eA==?=",
            "a =?b",
            &wordless,
            &"🎉".repeat(500),
            "word ".repeat(300).trim_end(),
        ] {
            let message = built(&email(subject, None, "a")).unwrap();
            assert_same_headers(&message);
            assert_eq!(read(&message).1, *subject);
        }
    }

    proptest! {
        #[test]
        fn no_field_makes_a_header_of_its_own(subject in "(\\PC|[\\r\\n: ]){0,120}", name in "(\\PC|[\\r\\n\"<>]){0,60}", value in "(\\PC|[\\r\\n: ]){0,120}") {
            if let Ok(message) = built(&email(&subject, Some(&name), &value)) {
                prop_assert!(is_fit(&message));
                assert_same_headers(&message);
            }
        }
    }
}
