//! The checks of a request, one for each field or group of fields.

use std::fmt;
use std::time::Duration;

use super::{
    AttachmentRequest, Disposition, FieldFault, HandlingRequest, InvalidRequest, MAX_ATTACHMENTS, MAX_EMAIL_BYTES, MAX_EXPIRES_IN_SECONDS,
    MAX_HEADERS, MAX_METADATA_BYTES, MAX_METADATA_KEYS, MAX_RECIPIENTS, OneOrMany,
};
use crate::email_address::Mailbox;
use crate::file_name;
use crate::guard::{self, header_name, header_text, header_value};
use crate::media_type::MediaType;
use crate::message::{Attachment, Email, Handling, Header, Metadata, SmsSender};
use crate::phone::{PhoneNumber, Region};
use crate::{Channel, ListName, Purpose, subscriber_key};

/// Collects the faults of a request.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<FieldFault>);

impl Faults {
    pub(super) fn add(&mut self, field: impl Into<String>, reason: impl fmt::Display) {
        self.0.push(FieldFault {
            field: field.into(),
            reason: format!("{reason}"),
        });
    }

    pub(super) fn into_result<T>(self, value: T) -> Result<T, InvalidRequest> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(InvalidRequest { faults: self.0 })
        }
    }
}

pub(super) fn check_unknown(unknown: &Metadata, faults: &mut Faults) {
    for name in unknown.keys().take(10) {
        let shown: String = name.chars().filter(|c| !guard::is_forbidden(*c)).take(60).collect();
        faults.add(shown, "is not a field of this request");
    }
}

pub(super) fn sender(address: Option<&str>, name: Option<&str>, faults: &mut Faults) -> Option<Mailbox> {
    let Some(address) = address else {
        if name.is_some() {
            faults.add("from_name", "needs from_email beside it");
        }
        return None;
    };
    let parsed = Mailbox::parse(address).map_err(|fault| faults.add("from_email", fault)).ok()?;
    let Some(name) = name else { return Some(parsed) };
    Mailbox::new(Some(name), parsed.address)
        .map_err(|fault| faults.add("from_name", fault))
        .ok()
}

pub(super) fn mailboxes(field: &str, list: &OneOrMany, faults: &mut Faults) -> Vec<Mailbox> {
    let mut mailboxes = Vec::new();
    for (index, text) in list.as_slice().iter().enumerate().take(MAX_RECIPIENTS + 1) {
        match Mailbox::parse(text) {
            Ok(mailbox) => mailboxes.push(mailbox),
            Err(fault) if matches!(list, OneOrMany::One(_)) => faults.add(field, fault),
            Err(fault) => faults.add(format!("{field}[{index}]"), fault),
        }
    }
    mailboxes
}

pub(super) fn attachments(requests: Vec<AttachmentRequest>, faults: &mut Faults) -> Vec<Attachment> {
    if requests.len() > MAX_ATTACHMENTS {
        faults.add("attachments", format!("must be at most {MAX_ATTACHMENTS}"));
    }
    let mut files = Vec::new();
    for (index, request) in requests.into_iter().enumerate().take(MAX_ATTACHMENTS) {
        let field = |name: &str| format!("attachments[{index}].{name}");
        let content_type = match request.content_type.as_deref().map(MediaType::parse) {
            Some(Err(fault)) => {
                faults.add(field("content_type"), fault);
                MediaType::octets()
            }
            Some(Ok(media_type)) => media_type,
            None => MediaType::octets(),
        };
        if let Err(fault) = file_name::check(&request.filename) {
            faults.add(field("filename"), fault);
        }
        if let Some(id) = &request.content_id
            && (id.is_empty() || id.len() > 78 || !id.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>')))
        {
            faults.add(field("content_id"), "must be 1 to 78 visible ASCII characters without < and >");
        }
        files.push(Attachment {
            filename: request.filename,
            content_type: content_type.to_string(),
            content: request.content,
            inline: request.disposition == Some(Disposition::Inline),
            content_id: request.content_id,
        });
    }
    files
}

/// What stands before the reason of a header's fault: its name if that is a word, since no caller sees the order of places.
fn named(name: &str) -> String {
    let is_word = (1..=guard::MAX_HEADER_NAME_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if is_word { format!("{name}: ") } else { String::new() }
}

pub(super) fn headers(requests: std::collections::BTreeMap<String, String>, faults: &mut Faults) -> Vec<Header> {
    if requests.len() > MAX_HEADERS {
        faults.add("headers", format!("must be at most {MAX_HEADERS}"));
    }
    let mut headers: Vec<Header> = Vec::new();
    for (index, (name, value)) in requests.into_iter().enumerate() {
        let (field, named) = (format!("headers[{index}]"), named(&name));
        if let Err(fault) = header_name(&name) {
            faults.add(&field, format!("{named}{fault}"));
        } else if let Err(fault) = header_value(&name, value.trim_matches(' ')) {
            faults.add(&field, format!("{named}value {fault}"));
        } else if headers.iter().any(|header| header.name.eq_ignore_ascii_case(&name)) {
            faults.add(&field, format!("{named}is given twice"));
        } else {
            // White space around a value belongs to no value (RFC 5322 §2.2).
            let value = value.trim_matches(' ').to_owned();
            headers.push(Header { name, value });
        }
    }
    headers
}

pub(super) fn check_email(email: &Email, no_to: bool, faults: &mut Faults) {
    if no_to {
        faults.add("to", "must name at least one recipient");
    }
    if email.recipients().count() > MAX_RECIPIENTS {
        faults.add("to", format!("with cc and bcc must be at most {MAX_RECIPIENTS} recipients"));
    }
    if email.reply_to.len() > MAX_RECIPIENTS {
        faults.add("reply_to", format!("must be at most {MAX_RECIPIENTS} addresses"));
    }
    if email.subject.trim().is_empty() {
        faults.add("subject", "must not be empty");
    }
    if let Err(fault) = header_text(&email.subject, guard::MAX_SUBJECT_BYTES) {
        faults.add("subject", fault);
    }
    if email.html.is_none() && email.text.is_none() {
        faults.add("html_content", "or text_content must be there");
    }
    for (field, body) in [("html_content", &email.html), ("text_content", &email.text)] {
        if body.as_ref().is_some_and(|body| body.contains('\0')) {
            faults.add(field, "must not contain NUL");
        }
    }
    if email.content_bytes() > MAX_EMAIL_BYTES {
        faults.add(
            "attachments",
            format!("bodies and attachments together must be at most {MAX_EMAIL_BYTES} bytes"),
        );
    }
    let mut seen = std::collections::HashSet::new();
    if let Some((kind, _)) = email
        .recipients()
        .find(|(_, mailbox)| !seen.insert(subscriber_key(Channel::Email, mailbox.address.expose())))
    {
        faults.add(kind.as_str(), "names a recipient that is already there");
    }
}

pub(super) fn sms_sender(text: &str, region: Option<Region>) -> Result<SmsSender, String> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits && (3..=8).contains(&text.len()) {
        return Ok(SmsSender::ShortCode(text.to_owned()));
    }
    if text.starts_with('+') || digits {
        return PhoneNumber::parse(text, region)
            .map(SmsSender::Number)
            .map_err(|fault| fault.to_string());
    }
    let fine = text.len() <= 11
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-'))
        && text.bytes().any(|b| b.is_ascii_alphabetic());
    if fine {
        Ok(SmsSender::Alphanumeric(text.to_owned()))
    } else {
        Err("must be a number in E.164, a short code, or 1 to 11 letters and digits with at least one letter".to_owned())
    }
}

pub(super) fn handling(request: &HandlingRequest, metadata: &Metadata, channel: Channel, faults: &mut Faults) -> Handling {
    let from_metadata = metadata
        .get("purpose")
        .and_then(|value| value.as_str())
        .and_then(|word| word.parse().ok());
    let purpose = request.purpose.or(from_metadata).unwrap_or(Purpose::Transactional);
    if let Some(via) = request.via
        && via.channel() != channel
    {
        faults.add("via", format!("must be a provider of {channel}"));
    }
    if let Some(seconds) = request.expires_in_seconds
        && !(1..=MAX_EXPIRES_IN_SECONDS).contains(&seconds)
    {
        faults.add("expires_in_seconds", format!("must be 1 to {MAX_EXPIRES_IN_SECONDS}"));
    }
    Handling {
        purpose,
        duplicates: request.duplicates.unwrap_or(purpose.default_duplicates()),
        on_exhausted: request.on_exhausted,
        via: request.via,
        send_at: request.send_at,
        expires_in: request.expires_in_seconds.map(Duration::from_secs),
        list: request.list.as_deref().and_then(|name| list(name, purpose, faults)),
    }
}

/// The mailing list of a message. Only mail to many has one: nobody is kept from a receipt or a code by having left a list.
fn list(name: &str, purpose: Purpose, faults: &mut Faults) -> Option<ListName> {
    if purpose != Purpose::Bulk {
        faults.add("list", "is for messages of purpose bulk only");
    }
    let list = ListName::parse(name);
    if let Err(error) = &list {
        faults.add("list", error.to_string());
    }
    list.ok()
}

pub(super) fn check_metadata(metadata: &Metadata, faults: &mut Faults) {
    if metadata.len() > MAX_METADATA_KEYS {
        faults.add("metadata", format!("must have at most {MAX_METADATA_KEYS} keys"));
    }
    for (index, key) in metadata.keys().enumerate().take(MAX_METADATA_KEYS) {
        // Tables, logs and pages of others show keys as they are.
        if let Err(fault) = guard::shown_text(key, MAX_METADATA_BYTES) {
            faults.add(format!("metadata[{index}]"), format!("key {fault}"));
        }
    }
    if metadata.values().any(|value| value.is_object() || value.is_array()) {
        faults.add("metadata", "may hold strings, numbers, booleans and null only");
    }
    if !metadata.is_empty() && serde_json::to_string(metadata).map_or(usize::MAX, |json| json.len()) > MAX_METADATA_BYTES {
        faults.add("metadata", format!("must be at most {MAX_METADATA_BYTES} bytes as JSON"));
    }
}
