//! The e-mail as MIME, for SMTP and for SES's raw content.
//!
//! Text and HTML are `multipart/alternative`; files that the HTML shows are `multipart/related` with it; other files are
//! `multipart/mixed` with all of that. Bcc never stands in a header.
//!
//! **Invariant:** what [`build`] gives back has no lone CR or LF, no line over 998 bytes, and no header that the e-mail does not
//! have, whatever the fields hold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Envelope;
use lettre::message::header::{ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as FilePart, Body, Mailbox as LettreMailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::{Address, Message};
use ums_core::{Attachment, Email, Failure, FailureClass, Mailbox, Timestamp, guard};

use crate::header_text;

/// Longest line, without its CRLF (RFC 5322 §2.1.1).
const MAX_LINE_BYTES: usize = 998;
/// Longest file name, in bytes.
const MAX_FILENAME_BYTES: usize = 255;

/// What a message is stamped with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids<'a> {
    /// `<id@domain>`, with its brackets.
    pub(crate) message_id: &'a str,
    /// When it was made.
    pub(crate) date: Timestamp,
}

/// Builds the message, ready for the wire but for the dots.
///
/// # Errors
/// `InvalidMessage` when a field holds what no header may hold; the parsers at the edge refuse that before.
pub(crate) fn build(email: &Email, from: &Mailbox, reply_to: &[Mailbox], ids: &Ids<'_>) -> Result<Vec<u8>, Failure> {
    check(email, from, reply_to)?;
    // The builder has been seen to panic on hostile names. The guard stands before it; this is the last belt.
    let built = catch_unwind(AssertUnwindSafe(|| assemble(email, from, reply_to, ids)));
    built
        .unwrap_or_else(|_| Err(invalid("the message cannot be built")))
        .map(normalise_lines)
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
            MAX_FILENAME_BYTES,
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

fn assemble(email: &Email, from: &Mailbox, reply_to: &[Mailbox], ids: &Ids<'_>) -> Result<Vec<u8>, Failure> {
    let builder = headers(email, from, reply_to, ids)?;
    let part = content(email)?;
    let message = match part {
        Part::Single(part) => builder.singlepart(part),
        Part::Multi(part) => builder.multipart(part),
    };
    Ok(message.map_err(|_| invalid("the message cannot be built"))?.formatted())
}

fn headers(email: &Email, from: &Mailbox, reply_to: &[Mailbox], ids: &Ids<'_>) -> Result<MessageBuilder, Failure> {
    let sender = mailbox(from)?;
    // The builder wants an envelope and would look for it in To; the real one is the adapter's.
    let envelope = Envelope::new(Some(sender.email.clone()), vec![sender.email.clone()]).map_err(|_| invalid("no recipient"))?;
    let micros = u64::try_from(ids.date.as_micros()).unwrap_or(0);
    let mut builder = Message::builder()
        .envelope(envelope)
        .date(UNIX_EPOCH + Duration::from_micros(micros))
        .message_id(Some(ids.message_id.to_owned()))
        .from(sender)
        .raw_header(subject(&email.subject)?);
    for address in reply_to {
        builder = builder.reply_to(mailbox(address)?);
    }
    for address in &email.to {
        builder = builder.to(mailbox(address)?);
    }
    for address in &email.cc {
        builder = builder.cc(mailbox(address)?);
    }
    if email.to.is_empty() && email.cc.is_empty() {
        builder = builder.raw_header(text_header("To", "undisclosed-recipients:;")?);
    }
    for header in &email.headers {
        builder = builder.raw_header(text_header(&header.name, &header.value)?);
    }
    Ok(builder)
}

/// The subject. The builder folds at spaces and encodes what is not ASCII; a word too long for a line, or one that a reader would
/// take for an encoded one, is encoded here.
fn subject(text: &str) -> Result<HeaderValue, Failure> {
    let too_long = |word: &str| word.len() > guard::MAX_HEADER_VALUE_BYTES;
    if !text.contains("=?") && !text.split(' ').any(too_long) {
        return text_header("Subject", text);
    }
    let words = header_text::encoded_words(text).replace(' ', "\r\n ");
    Ok(HeaderValue::dangerous_new_pre_encoded(
        header_name("Subject")?,
        text.to_owned(),
        words,
    ))
}

fn text_header(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    Ok(HeaderValue::new(header_name(name)?, value.to_owned()))
}

fn header_name(name: &str) -> Result<HeaderName, Failure> {
    HeaderName::new_from_ascii(name.to_owned()).map_err(|_| invalid("a header's name may not be set"))
}

fn mailbox(mailbox: &Mailbox) -> Result<LettreMailbox, Failure> {
    let address =
        Address::new(mailbox.address.local(), mailbox.address.domain()).map_err(|_| invalid("an address cannot stand in a header"))?;
    Ok(LettreMailbox::new(mailbox.name.clone(), address))
}

enum Part {
    Single(SinglePart),
    Multi(MultiPart),
}

fn content(email: &Email) -> Result<Part, Failure> {
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
            related = related.singlepart(file_part(file)?);
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
        return Ok(body);
    }
    let mut mixed = match body {
        Part::Single(part) => MultiPart::mixed().singlepart(part),
        Part::Multi(part) => MultiPart::mixed().multipart(part),
    };
    for file in attached {
        mixed = mixed.singlepart(file_part(file)?);
    }
    Ok(Part::Multi(mixed))
}

fn file_part(file: &Attachment) -> Result<SinglePart, Failure> {
    let content_type = ContentType::parse(&file.content_type).map_err(|_| invalid("a file's content type is not a media type"))?;
    // Base64 whatever the bytes are: a text file must not have its line ends changed.
    let body =
        Body::new_with_encoding(file.content.to_vec(), ContentTransferEncoding::Base64).map_err(|_| invalid("a file cannot be encoded"))?;
    let part = match (&file.content_id, file.inline) {
        (Some(id), true) => FilePart::new_inline_with_name(id.clone(), file.filename.clone()).body(body, content_type),
        (None, true) => SinglePart::builder()
            .header(ContentDisposition::inline_with_name(&file.filename))
            .header(content_type)
            .body(body),
        (_, false) => FilePart::new(file.filename.clone()).body(body, content_type),
    };
    Ok(part)
}

/// Line ends as mail has them. The builder does this too, but in quadratic time.
fn crlf(text: &str) -> String {
    let normal = normalise_line_ends(text.as_bytes());
    String::from_utf8(normal).unwrap_or_default()
}

/// Makes every line end a CRLF: no lone CR or LF is left.
fn normalise_line_ends(bytes: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(bytes.len() + bytes.len() / 32 + 2);
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let (line, end) = rest.split_at(at);
        normal.extend_from_slice(line);
        normal.extend_from_slice(b"\r\n");
        let taken = if end.starts_with(b"\r\n") { 2 } else { 1 };
        rest = end.get(taken..).unwrap_or_default();
    }
    normal.extend_from_slice(rest);
    normal
}

/// Makes a message fit for the wire: every line ends in CRLF, no CR or LF stands alone, and no line is over 998 bytes (a longer one,
/// which the builder does not make, is broken).
pub(crate) fn normalise_lines(message: Vec<u8>) -> Vec<u8> {
    let mut normal = if is_normal(&message) {
        message
    } else {
        normalise_line_ends(&message)
    };
    if !normal.is_empty() && !normal.ends_with(b"\r\n") {
        normal.extend_from_slice(b"\r\n");
    }
    let too_long = |line: &[u8]| line.len() > MAX_LINE_BYTES + 1;
    if normal.split(|byte| *byte == b'\n').any(too_long) {
        break_lines(&normal)
    } else {
        normal
    }
}

fn is_normal(message: &[u8]) -> bool {
    let mut before = 0;
    for &byte in message {
        if (before == b'\r') != (byte == b'\n') {
            return false;
        }
        before = byte;
    }
    before != b'\r'
}

/// Breaks lines that are too long, never within a character. In the header a broken line goes on as a folded one, so that no text
/// becomes a header of its own.
fn break_lines(normal: &[u8]) -> Vec<u8> {
    let mut broken = Vec::with_capacity(normal.len() + normal.len() / 400);
    let mut rest = normal;
    let mut folding = true;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (mut line, after) = rest.split_at(end);
        rest = after.get(2..).unwrap_or_default();
        folding &= !line.is_empty();
        let mut room = MAX_LINE_BYTES;
        while line.len() > room {
            let is_within = |at: usize| line.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
            let cut = (room - 3..=room).rev().find(|at| !is_within(*at)).unwrap_or(room);
            let (head, tail) = line.split_at(cut);
            broken.extend_from_slice(head);
            broken.extend_from_slice(if folding { b"\r\n " } else { b"\r\n" });
            line = tail;
            room = MAX_LINE_BYTES - usize::from(folding);
        }
        broken.extend_from_slice(line);
        broken.extend_from_slice(b"\r\n");
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_fit(message: &[u8]) -> bool {
        is_normal(message)
            && message.split(|byte| *byte == b'\n').all(|line| line.len() <= MAX_LINE_BYTES + 1)
            && (message.is_empty() || message.ends_with(b"\r\n"))
    }

    #[test]
    fn lines_end_in_crlf() {
        let check = |raw: &str, expected: &str| assert_eq!(String::from_utf8(normalise_lines(raw.into())).unwrap(), expected, "{raw:?}");
        check("", "");
        check("a", "a\r\n");
        check("a\nb\rc\r\nd", "a\r\nb\r\nc\r\nd\r\n");
        check("\n.\n", "\r\n.\r\n");
        check("\r.\r", "\r\n.\r\n");
        check("\r\r\n.\r\r\n", "\r\n\r\n.\r\n\r\n");
        let (x, e) = ("x".repeat(998), "é".repeat(499));
        check(&format!("{x}yy: z"), &format!("{x}\r\n yy: z\r\n"));
        check(&format!("\n{x}yy: z"), &format!("\r\n{x}\r\nyy: z\r\n"));
        check(&format!("\n{e}é"), &format!("\r\n{e}\r\né\r\n"));
    }

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
        build(email, &Mailbox::parse("shop@shop.example").unwrap(), &[], &ids)
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

        #[test]
        fn whatever_comes_is_made_fit(raw in "([\\r\\n.]|\\PC){0,300}", long in 0_usize..3_000) {
            let raw = format!("{raw}{}{raw}", "é".repeat(long)).into_bytes();
            prop_assert!(is_fit(&normalise_lines(raw)));
        }

        #[test]
        fn bytes_are_made_fit_too(raw in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            prop_assert!(is_fit(&normalise_lines(raw)));
        }

        #[test]
        fn a_fit_message_is_left_alone(lines in proptest::collection::vec("[ -~]{0,80}", 1..20)) {
            let message = lines.join("\r\n").into_bytes();
            let mut expected = message.clone();
            expected.extend_from_slice(b"\r\n");
            let normal = normalise_lines(message);
            prop_assert!(normal == expected || expected.starts_with(&normal));
        }
    }
}
