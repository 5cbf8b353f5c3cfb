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
        .subject(email.subject.clone());
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
        builder = builder.raw_header(plain_header("To", "undisclosed-recipients:;")?);
    }
    for header in &email.headers {
        builder = builder.raw_header(plain_header(&header.name, &header.value)?);
    }
    Ok(builder)
}

fn plain_header(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| invalid("a header's name may not be set"))?;
    Ok(HeaderValue::new(name, value.to_owned()))
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

/// Breaks lines that are too long, never within a character.
fn break_lines(normal: &[u8]) -> Vec<u8> {
    let mut broken = Vec::with_capacity(normal.len() + normal.len() / 400);
    let mut column = 0;
    for chunk in normal.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            if matches!(character, '\r' | '\n') {
                column = 0;
            } else if column + bytes.len() > MAX_LINE_BYTES {
                broken.extend_from_slice(b"\r\n");
                column = 0;
            }
            if !matches!(character, '\r' | '\n') {
                column += bytes.len();
            }
            broken.extend_from_slice(bytes);
        }
        for byte in chunk.invalid() {
            if column >= MAX_LINE_BYTES {
                broken.extend_from_slice(b"\r\n");
                column = 0;
            }
            broken.push(*byte);
            column += 1;
        }
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
        check(&"x".repeat(1_000), &format!("{}\r\nxx\r\n", "x".repeat(998)));
        check(&"é".repeat(500), &format!("{}\r\né\r\n", "é".repeat(499)));
    }

    proptest! {
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
