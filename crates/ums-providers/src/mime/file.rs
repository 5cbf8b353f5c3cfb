//! A file as a part of a message: its type, its encoding, its names.

use std::sync::Arc;

use lettre::message::header::{ContentDisposition, ContentId, ContentTransferEncoding, Header, HeaderName, HeaderValue};
use lettre::message::{Body, SinglePart};
use ums_core::guard::MAX_LINE_BYTES;
use ums_core::{Attachment, MediaType};

use super::pieces::PLACE_OF_FILE;
use crate::header_text;

/// Which bytes the way of a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    /// ASCII only.
    Seven,
    /// UTF-8 in lines: a server that offers 8BITMIME (RFC 6152). The protocol's client writes text, so other bytes do not pass.
    Eight,
}

/// Types of which a part is 7bit whatever the way carries (RFC 2046 §5.2.2, §5.2.3).
const SEVEN_BIT_ONLY: [&str; 2] = ["message/partial", "message/external-body"];

/// The type of a file; of an unreadable one nothing is said.
pub(crate) fn media_type(file: &Attachment) -> MediaType {
    MediaType::parse(&file.content_type).unwrap_or_else(|_| MediaType::octets())
}

/// Whether a type is one that no base64 may hide: a message within the message, or several parts (RFC 2046 §5.1, §5.2).
pub(crate) fn is_composite(media_type: &MediaType) -> bool {
    matches!(media_type.kind(), "message" | "multipart")
}

/// Whether a file makes a message that only [`Bits::Eight`] carries as it is.
pub(crate) fn needs_eight_bits(file: &Attachment) -> bool {
    transfer(file, Bits::Eight).1 == ContentTransferEncoding::EightBit
}

/// Type and encoding of a file. Base64 whatever the bytes are, since a text must not have its line ends changed. A message within the
/// message travels as it is; where that cannot be, it is a file of bytes.
fn transfer(file: &Attachment, bits: Bits) -> (MediaType, ContentTransferEncoding) {
    let media_type = media_type(file);
    if !is_composite(&media_type) {
        return (media_type, ContentTransferEncoding::Base64);
    }
    let is_ascii = file.content.is_ascii();
    let is_text = std::str::from_utf8(&file.content).is_ok();
    let may_be_eight = bits == Bits::Eight && is_text && !SEVEN_BIT_ONLY.contains(&media_type.essence());
    let is_message = media_type.kind() == "message" && has_header(&file.content) && is_in_lines(&file.content);
    if !is_message || !(is_ascii || may_be_eight) {
        return (MediaType::octets(), ContentTransferEncoding::Base64);
    }
    let encoding = if is_ascii {
        ContentTransferEncoding::SevenBit
    } else {
        ContentTransferEncoding::EightBit
    };
    (media_type, encoding)
}

/// Whether bytes begin as a message does: with a field, and an empty line behind the last one. A reader would look for that line in what
/// follows the part.
fn has_header(content: &[u8]) -> bool {
    let name = content.iter().take_while(|byte| byte.is_ascii_graphic() && **byte != b':').count();
    name > 0 && content.get(name) == Some(&b':') && content.windows(4).any(|end| end == b"\r\n\r\n")
}

/// Whether bytes may stand in a message as they are: lines with CRLF, none too long, no NUL (RFC 2045 §2.7, §2.8).
fn is_in_lines(content: &[u8]) -> bool {
    let mut lines = content.split(|byte| *byte == b'\n').peekable();
    let mut fine = !content.contains(&0);
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        let text = if is_last { Some(line) } else { line.strip_suffix(b"\r") };
        fine &= text.is_some_and(|text| text.len() <= MAX_LINE_BYTES && !text.contains(&b'\r'));
    }
    fine
}

/// A file as a part. A file that travels as base64 is added to `files`, and its place is kept.
pub(super) fn part(file: &Attachment, bits: Bits, files: &mut Vec<Arc<[u8]>>) -> SinglePart {
    let (media_type, encoding) = transfer(file, bits);
    let content = if encoding == ContentTransferEncoding::Base64 {
        files.push(Arc::clone(&file.content));
        vec![PLACE_OF_FILE]
    } else {
        file.content.to_vec()
    };
    let body = Body::dangerous_pre_encoded(content, encoding);
    let mut part = SinglePart::builder();
    if let Some(id) = &file.content_id {
        part = part.header(ContentId::from(format!("<{id}>")));
    }
    part = match (header_text::looks_encoded(&file.filename), file.inline) {
        (true, _) => part.header(EncodedName(disposition_with_encoded_name(file))),
        (false, true) => part.header(ContentDisposition::inline_with_name(&file.filename)),
        (false, false) => part.header(ContentDisposition::attachment(&file.filename)),
    };
    part.header(FileType(media_type.to_string())).body(body)
}

/// A name that a reader would take for an encoded word, although it stands in quotes, as RFC 2231 writes any text (§4).
fn disposition_with_encoded_name(file: &Attachment) -> String {
    let kind = if file.inline { "inline" } else { "attachment" };
    let name = file.filename.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    format!("{kind}; filename*=utf-8''{}", name.collect::<String>())
}

/// `Content-Disposition` as it was written here.
#[derive(Clone)]
struct EncodedName(String);

impl Header for EncodedName {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Content-Disposition")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        as_written(Self::name(), &self.0)
    }
}

/// A header that is folded, and neither encoded nor read again.
fn as_written(name: HeaderName, text: &str) -> HeaderValue {
    let field = header_text::folded(&name, text);
    let value = field.split_once(": ").map_or("", |(_, value)| value.trim_end()).to_owned();
    HeaderValue::dangerous_new_pre_encoded(name, text.to_owned(), value)
}

/// `Content-Type` as it was read, without a second grammar over it.
#[derive(Clone)]
struct FileType(String);

impl Header for FileType {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Content-Type")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(MediaType::parse(text)?.to_string()))
    }

    fn display(&self) -> HeaderValue {
        as_written(Self::name(), &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content_type: &str, content: &[u8]) -> Attachment {
        Attachment {
            filename: "a.eml".to_owned(),
            content_type: content_type.to_owned(),
            content: content.into(),
            inline: false,
            content_id: None,
        }
    }

    #[test]
    fn a_message_within_the_message_is_never_base64() {
        use ContentTransferEncoding::{Base64, EightBit, SevenBit};
        const OCTETS: &str = "application/octet-stream";
        let long = [b"Subject: a\r\n\r\n".as_slice(), &[b'x'; 999]].concat();
        for (kind, content, bits, expected) in [
            (
                "message/rfc822",
                &b"Subject: a\r\n\r\nb"[..],
                Bits::Seven,
                ("message/rfc822", SevenBit),
            ),
            (
                "Message/RFC822",
                b"Subject: a\r\n\r\nb\r\n",
                Bits::Eight,
                ("message/rfc822", SevenBit),
            ),
            (
                "message/rfc822",
                "Subject: a\r\n\r\nü".as_bytes(),
                Bits::Eight,
                ("message/rfc822", EightBit),
            ),
            ("message/rfc822", b"Subject: a\r\n\r\n\xfc", Bits::Eight, (OCTETS, Base64)),
            ("message/rfc822", "Subject: a\r\n\r\nü".as_bytes(), Bits::Seven, (OCTETS, Base64)),
            ("message/rfc822", b"Subject: a\n\nb", Bits::Eight, (OCTETS, Base64)),
            ("message/rfc822", b"Subject: a\r\rb", Bits::Eight, (OCTETS, Base64)),
            ("message/rfc822", b"Subject: a\r\n\r\nb\r", Bits::Eight, (OCTETS, Base64)),
            ("message/rfc822", b"Subject: a\r\n\r\n\0", Bits::Eight, (OCTETS, Base64)),
            ("message/rfc822", &long, Bits::Eight, (OCTETS, Base64)),
            ("message/rfc822", b"", Bits::Eight, (OCTETS, Base64)),
            ("message/rfc822", b"Subject: a\r\n", Bits::Eight, (OCTETS, Base64)),
            ("message/rfc822", b"a b\r\n\r\nc", Bits::Eight, (OCTETS, Base64)),
            ("message/partial", "a: b\r\n\r\nü".as_bytes(), Bits::Eight, (OCTETS, Base64)),
            ("multipart/mixed; boundary=b", b"--b--", Bits::Eight, (OCTETS, Base64)),
            (
                "text/plain; charset=utf-8",
                b"a",
                Bits::Eight,
                ("text/plain; charset=utf-8", Base64),
            ),
            ("not a type", b"a", Bits::Eight, (OCTETS, Base64)),
        ] {
            let (media_type, encoding) = transfer(&file(kind, content), bits);
            assert_eq!((media_type.to_string().as_str(), encoding), expected, "{kind} {content:?} {bits:?}");
        }
    }
}
