//! The body of `SendGrid`'s mail/send.

use std::collections::BTreeMap;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use ums_core::guard::looks_encoded;
use ums_core::{Attachment, Call, Email, Failure, FailureClass, Mailbox, MediaType};

use crate::header_text;
use crate::mime;
use crate::sender::Chosen;

/// Bytes of one request.
const MAX_BYTES: usize = 30_000_000;

/// Builds the request's body.
pub(super) fn build(email: &Email, sender: &Chosen<'_>, call: &Call) -> Result<Bytes, Failure> {
    refuse_what_cannot_be_carried(email, sender)?;
    let mut body = Vec::with_capacity(1024 + email.content_bytes() * 4 / 3);
    serde_json::to_writer(&mut body, &request(email, sender, call))
        .map_err(|_| unsupported("not_json", "the message cannot be written as JSON"))?;
    if body.len() > MAX_BYTES {
        return Err(unsupported("too_large", "SendGrid takes at most 30 MB a request"));
    }
    Ok(body.into())
}

fn refuse_what_cannot_be_carried(email: &Email, sender: &Chosen<'_>) -> Result<(), Failure> {
    let mailboxes = || {
        let recipients = email.recipients().map(|(_, mailbox)| mailbox);
        recipients.chain(sender.reply_to).chain([sender.from])
    };
    if mailboxes().any(|mailbox| mailbox.address.needs_smtputf8()) {
        return Err(unsupported(
            "smtputf8",
            "SendGrid takes only ASCII letters before the at sign of an address",
        ));
    }
    if email.to.is_empty() {
        return Err(unsupported("no_to", "SendGrid takes no message without a main recipient"));
    }
    // SendGrid makes these headers itself, and nothing tells it that the text is not encoded.
    let texts = mailboxes()
        .filter_map(|mailbox| mailbox.name.as_deref())
        .chain([email.subject.as_str()])
        .chain(email.attachments.iter().map(|file| file.filename.as_str()));
    if texts.into_iter().any(looks_encoded) {
        return Err(unsupported(
            "encoded_word",
            "by SendGrid, mail programs would decode a part of the subject, of a name or of a file's name",
        ));
    }
    email.attachments.iter().try_for_each(refuse_file)
}

/// What "Attachment errors" of `SendGrid`'s documentation refuses.
fn refuse_file(file: &Attachment) -> Result<(), Failure> {
    if file.content.is_empty() {
        return Err(unsupported("empty_file", "SendGrid takes no empty file"));
    }
    if file.filename.contains([';', ',']) {
        return Err(unsupported("file_name", "SendGrid takes no file name with a semicolon or a comma"));
    }
    if file.content_id.as_ref().is_some_and(|id| id.contains([';', '\\'])) {
        return Err(unsupported(
            "content_id",
            "SendGrid takes no content id with a semicolon or a backslash",
        ));
    }
    let media_type = mime::media_type(file);
    match media_type.parameter("method") {
        Some(method) if media_type.essence() == "text/calendar" && !calendar_says(&file.content, method) => Err(unsupported(
            "calendar_method",
            "SendGrid takes no method beside text/calendar, and the calendar itself does not say it",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Whether an iCalendar object has the method, as it must (RFC 6047 §2.4; RFC 5545 §3.7.2).
fn calendar_says(content: &[u8], method: &str) -> bool {
    content.split(|byte| *byte == b'\n').any(|line| {
        let line = String::from_utf8_lossy(line);
        let property = line.trim().split_once(':');
        property.is_some_and(|(name, value)| name.eq_ignore_ascii_case("METHOD") && value.trim().eq_ignore_ascii_case(method))
    })
}

fn unsupported(code: &str, words: &str) -> Failure {
    Failure::local(FailureClass::Unsupported, code, words)
}

fn request<'a>(email: &'a Email, sender: &Chosen<'a>, call: &Call) -> MailSend<'a> {
    let mut seen = Vec::new();
    let parts = [("text/plain", &email.text), ("text/html", &email.html)];
    MailSend {
        personalizations: [Personalization {
            to: once_each(&email.to, &mut seen),
            cc: once_each(&email.cc, &mut seen),
            bcc: once_each(&email.bcc, &mut seen),
            custom_args: CustomArgs {
                ums_message_id: call.message_id.to_string(),
                ums_attempt_id: call.attempt_id.to_string(),
            },
        }],
        from: Address::of(sender.from),
        reply_to_list: once_each(sender.reply_to, &mut Vec::new()),
        subject: &email.subject,
        // SendGrid refuses a text part that comes after the HTML part.
        content: parts
            .into_iter()
            .filter_map(|(kind, value)| {
                Some(Part {
                    kind,
                    value: value.as_deref()?,
                })
            })
            .collect(),
        attachments: email.attachments.iter().map(File::of).collect(),
        headers: email
            .headers
            .iter()
            .map(|header| (header.name.as_str(), header_text::value(header)))
            .collect(),
    }
}

/// Each address once: `SendGrid` refuses a message that names one twice, on whichever line.
fn once_each<'a>(list: &'a [Mailbox], seen: &mut Vec<&'a str>) -> Vec<Address<'a>> {
    let mut addresses = Vec::with_capacity(list.len());
    for mailbox in list {
        let address = mailbox.address.expose();
        if !seen.iter().any(|known| known.eq_ignore_ascii_case(address)) {
            seen.push(address);
            addresses.push(Address::of(mailbox));
        }
    }
    addresses
}

#[derive(Serialize)]
struct MailSend<'a> {
    personalizations: [Personalization<'a>; 1],
    from: Address<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply_to_list: Vec<Address<'a>>,
    subject: &'a str,
    content: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, std::borrow::Cow<'a, str>>,
}

#[derive(Serialize)]
struct Personalization<'a> {
    to: Vec<Address<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<Address<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<Address<'a>>,
    custom_args: CustomArgs,
}

/// Events carry these flat among `SendGrid`'s own fields, hence the prefix.
#[derive(Serialize)]
struct CustomArgs {
    ums_message_id: String,
    ums_attempt_id: String,
}

#[derive(Serialize)]
struct Address<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> Address<'a> {
    fn of(mailbox: &'a Mailbox) -> Self {
        Self {
            email: mailbox.address.expose(),
            name: mailbox.name.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    content: Base64<'a>,
    filename: &'a str,
    #[serde(rename = "type")]
    kind: String,
    disposition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

impl<'a> File<'a> {
    fn of(file: &'a Attachment) -> Self {
        Self {
            content: Base64(&file.content),
            filename: &file.filename,
            kind: bare_type(file),
            disposition: if file.inline { "inline" } else { "attachment" },
            content_id: file.content_id.as_deref(),
        }
    }
}

/// The type without its parameters: `SendGrid` refuses a semicolon. It encodes every file as base64, so what must not be is a file of bytes.
fn bare_type(file: &Attachment) -> String {
    let media_type = mime::media_type(file);
    let carried = if mime::is_composite(&media_type) {
        MediaType::octets()
    } else {
        media_type
    };
    carried.essence().to_owned()
}

/// Bytes that are written into the JSON as base64, without a copy in between.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}
