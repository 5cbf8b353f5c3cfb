//! The body of SES's `SendEmail`. Simple content carries nearly everything; the rest goes as raw MIME.

use std::fmt;
use std::io::{self, Write as _};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use ums_core::guard::looks_encoded;
use ums_core::{Attachment, Call, Email, Failure, FailureClass, Header, Mailbox, Timestamp};

use crate::header_text;
use crate::mime::{self, Bits, Message};
use crate::sender::Chosen;

/// Recipients of one message.
const MAX_RECIPIENTS: usize = 50;
/// Bytes of one message after base64: 40 MB, less room for the headers.
const MAX_BYTES: usize = 40_000_000 - 64 * 1024;
/// Custom headers of simple content.
const MAX_HEADERS: usize = 15;
/// Bytes of a header's value, and of name and value together.
const MAX_HEADER_VALUE: usize = 995;
const MAX_HEADER: usize = 996;
/// Characters of an attachment's name.
const MAX_FILENAME: usize = 255;
const MAX_CONTENT_TYPE: usize = 78;
const MAX_CONTENT_ID: usize = 78;

/// Extensions of files that SES refuses, in simple content and in MIME (Amazon SES developer guide, "Unsupported attachment types").
const REFUSED_EXTENSIONS: &[&str] = &[
    "ade", "adp", "app", "asp", "bas", "bat", "cer", "chm", "cmd", "com", "cpl", "crt", "csh", "der", "exe", "fxp", "gadget", "hlp", "hta",
    "inf", "ins", "isp", "its", "js", "jse", "ksh", "lib", "lnk", "mad", "maf", "mag", "mam", "maq", "mar", "mas", "mat", "mau", "mav",
    "maw", "mda", "mdb", "mde", "mdt", "mdw", "mdz", "msc", "msh", "msh1", "msh1xml", "msh2", "msh2xml", "mshxml", "msi", "msp", "mst",
    "ops", "pcd", "pif", "plg", "prf", "prg", "ps1", "ps1xml", "ps2", "ps2xml", "psc1", "psc2", "reg", "scf", "scr", "sct", "shb", "shs",
    "sys", "tmp", "url", "vb", "vbe", "vbs", "vps", "vsmacros", "vss", "vst", "vsw", "vxd", "ws", "wsc", "wsf", "wsh", "xnk",
];

/// Builds the request's body.
pub(super) fn build(
    email: &Email,
    sender: &Chosen<'_>,
    configuration_set: Option<&str>,
    call: &Call,
    now: Timestamp,
) -> Result<Bytes, Failure> {
    refuse_what_cannot_be_carried(email, sender)?;
    let raw = if simple_content_carries(email) {
        None
    } else {
        Some(raw_message(email, sender, call, now)?)
    };
    let request = SendEmail {
        from_email_address: header_text::mailbox(sender.from),
        destination: Destination {
            to_addresses: mailboxes(&email.to),
            cc_addresses: mailboxes(&email.cc),
            bcc_addresses: mailboxes(&email.bcc),
        },
        reply_to_addresses: mailboxes(sender.reply_to),
        content: match &raw {
            Some(message) => Content::Raw(Raw {
                data: Base64OfMessage(message),
            }),
            None => Content::Simple(simple(email)),
        },
        email_tags: [
            Tag {
                name: "ums_message_id",
                value: call.message_id.to_string(),
            },
            Tag {
                name: "ums_attempt_id",
                value: call.attempt_id.to_string(),
            },
        ],
        configuration_set_name: configuration_set,
    };
    let mut body = Vec::with_capacity(1024 + raw.as_ref().map_or(email.content_bytes(), Message::len) * 4 / 3);
    serde_json::to_writer(&mut body, &request).map_err(|_| unsupported("not_json", "the message cannot be written as JSON"))?;
    Ok(body.into())
}

fn refuse_what_cannot_be_carried(email: &Email, sender: &Chosen<'_>) -> Result<(), Failure> {
    let addresses = email
        .recipients()
        .map(|(_, mailbox)| mailbox)
        .chain(sender.reply_to)
        .chain([sender.from]);
    if addresses.into_iter().any(|mailbox| mailbox.address.needs_smtputf8()) {
        return Err(unsupported(
            "smtputf8",
            "SES takes only ASCII letters before the at sign of an address",
        ));
    }
    if email.recipients().count() > MAX_RECIPIENTS {
        return Err(unsupported("too_many_recipients", "SES takes at most 50 recipients a message"));
    }
    if email.attachments.iter().any(is_refused) {
        return Err(unsupported("file_type", "SES refuses files with this extension"));
    }
    if email.content_bytes() / 3 * 4 > MAX_BYTES {
        return Err(unsupported("too_large", "SES takes at most 40 MB a message"));
    }
    Ok(())
}

fn unsupported(code: &str, words: &str) -> Failure {
    Failure::local(FailureClass::Unsupported, code, words)
}

/// The extension of a file's name, as systems read it that ignore dots and spaces at its end.
fn extension(file: &Attachment) -> Option<&str> {
    let name = file.filename.trim_end_matches(['.', ' ']);
    name.rsplit_once('.').map(|(_, extension)| extension)
}

fn is_refused(file: &Attachment) -> bool {
    extension(file).is_some_and(|extension| REFUSED_EXTENSIONS.iter().any(|refused| refused.eq_ignore_ascii_case(extension)))
}

/// Whether simple content can say all of the message, by what its documentation settles; in doubt the message goes as MIME.
fn simple_content_carries(email: &Email) -> bool {
    email.headers.len() <= MAX_HEADERS
        && email.headers.iter().all(header_fits)
        && email.attachments.iter().all(file_fits)
        // SES encodes a subject only if it is not ASCII.
        && !looks_encoded(&email.subject)
}

fn header_fits(header: &Header) -> bool {
    let value = header_text::value(header).len();
    (1..=MAX_HEADER_VALUE).contains(&value) && header.name.len() + value <= MAX_HEADER
}

/// Simple content wants a file name with an extension and a bare media type, and encodes a message within the message.
fn file_fits(file: &Attachment) -> bool {
    let media_type = mime::media_type(file);
    file.filename.chars().count() <= MAX_FILENAME
        && extension(file).is_some()
        && !looks_encoded(&file.filename)
        && !media_type.has_parameters()
        && !mime::is_composite(&media_type)
        && media_type.essence().len() <= MAX_CONTENT_TYPE
        && !file.content.is_empty()
        && file.content_id.as_ref().is_none_or(|id| (1..=MAX_CONTENT_ID).contains(&id.len()))
}

/// The message as MIME, without a Bcc header: the destination names all recipients.
fn raw_message(email: &Email, sender: &Chosen<'_>, call: &Call, now: Timestamp) -> Result<Message, Failure> {
    let message_id = format!("<{}@{}>", call.attempt_id, sender.from.address.domain());
    let ids = mime::Ids {
        message_id: &message_id,
        date: now,
    };
    // SES asks for content outside ASCII to be encoded ("SendRawEmail").
    mime::compose(email, sender.from, sender.reply_to, (&ids, Bits::Seven))
}

fn simple(email: &Email) -> Simple<'_> {
    Simple {
        subject: Text::new(&email.subject),
        body: Body {
            text: email.text.as_deref().map(Text::new),
            html: email.html.as_deref().map(Text::new),
        },
        headers: email
            .headers
            .iter()
            .map(|header| HeaderField {
                name: &header.name,
                value: header_text::value(header),
            })
            .collect(),
        attachments: email.attachments.iter().map(File::new).collect(),
    }
}

fn mailboxes(list: &[Mailbox]) -> Vec<String> {
    list.iter().map(header_text::mailbox).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmail<'a> {
    from_email_address: String,
    destination: Destination,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply_to_addresses: Vec<String>,
    content: Content<'a>,
    email_tags: [Tag; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration_set_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
struct Destination {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc_addresses: Vec<String>,
}

#[derive(Serialize)]
enum Content<'a> {
    Simple(Simple<'a>),
    Raw(Raw<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Raw<'a> {
    data: Base64OfMessage<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Simple<'a> {
    subject: Text<'a>,
    body: Body<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderField<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Text<'a> {
    data: &'a str,
    charset: &'static str,
}

impl<'a> Text<'a> {
    fn new(data: &'a str) -> Self {
        Self { data, charset: "UTF-8" }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HeaderField<'a> {
    name: &'a str,
    value: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct File<'a> {
    raw_content: Base64<'a>,
    #[serde(rename = "FileName")]
    filename: &'a str,
    content_type: String,
    content_disposition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
    content_transfer_encoding: &'static str,
}

impl<'a> File<'a> {
    fn new(file: &'a Attachment) -> Self {
        Self {
            raw_content: Base64(&file.content),
            filename: &file.filename,
            content_type: mime::media_type(file).to_string(),
            content_disposition: if file.inline { "INLINE" } else { "ATTACHMENT" },
            content_id: file.content_id.as_deref(),
            content_transfer_encoding: "BASE64",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: &'static str,
    value: String,
}

/// Bytes that are written into the JSON as base64, without a copy in between.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// A message that is written into the JSON as base64, block by block.
struct Base64OfMessage<'a>(&'a Message);

impl Serialize for Base64OfMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Base64OfMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoder = EncoderWriter::new(Characters(f), &STANDARD);
        let mut bytes = Vec::new();
        for block in self.0.blocks() {
            bytes.clear();
            block.append_to(&mut bytes);
            encoder.write_all(&bytes).map_err(|_| fmt::Error)?;
        }
        encoder.finish().map(drop).map_err(|_| fmt::Error)
    }
}

/// Takes the characters of base64 as bytes.
struct Characters<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl io::Write for Characters<'_, '_> {
    fn write(&mut self, characters: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(characters).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(characters.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
