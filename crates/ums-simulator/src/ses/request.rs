//! `SendEmail`: its JSON, its limits, and the message in it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::{bad_request, content, error};
use crate::address::{Mailbox, email_fault};
use crate::call::Call;
use crate::message::SimMessage;
use crate::recorder::Draft;
use crate::reply::Reply;
use crate::{Provider, mime};

/// Most recipients of a message, To, Cc and Bcc together.
const MAX_RECIPIENTS: usize = 50;

/// Most headers of a Simple message.
const MAX_HEADERS: usize = 15;

/// Longest message, in bytes, base64 included: 40 MiB.
const MAX_MESSAGE: usize = 41_943_040;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct SendEmail {
    from_email_address: Option<String>,
    destination: Option<Destination>,
    reply_to_addresses: Option<Vec<String>>,
    feedback_forwarding_email_address: Option<String>,
    content: Option<Content>,
    email_tags: Option<Vec<Tag>>,
    configuration_set_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Destination {
    #[serde(rename = "ToAddresses")]
    to: Option<Vec<String>>,
    #[serde(rename = "CcAddresses")]
    cc: Option<Vec<String>>,
    #[serde(rename = "BccAddresses")]
    bcc: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Content {
    simple: Option<Simple>,
    raw: Option<Raw>,
    template: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Simple {
    subject: Option<Text>,
    body: Option<Body>,
    headers: Option<Vec<Tag>>,
    attachments: Option<Vec<content::File>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Body {
    text: Option<Text>,
    html: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Text {
    data: String,
}

/// A pair, as headers and tags are given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: String,
    value: String,
}

/// Reads a call into a message, or into SES's refusal of it.
pub(super) fn read(call: &Call, id: String) -> Result<Draft, Reply> {
    if call.body.len() > MAX_MESSAGE {
        return Err(bad_request("Message length is more than 41943040 bytes long"));
    }
    let request: SendEmail =
        serde_json::from_slice(&call.body).map_err(|_| error(400, "SerializationException", "The body is not the JSON expected."))?;
    let mut message = SimMessage::new(Provider::Ses, id);
    address_it(&mut message, &request)?;
    message.tags = tags(request.email_tags.as_deref().unwrap_or_default())?;
    if let Some(name) = &request.configuration_set_name {
        let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_legal) {
            return Err(bad_request(
                "The configuration set name may hold only letters, digits, '_' and '-', at most 64 of them.",
            ));
        }
    }
    let extras = [
        ("ConfigurationSetName", &request.configuration_set_name),
        ("FeedbackForwardingEmailAddress", &request.feedback_forwarding_email_address),
    ];
    for (name, value) in extras {
        if let Some(value) = value {
            message.params.insert(name.to_owned(), value.clone());
        }
    }
    let content = request.content.unwrap_or_default();
    match (content.simple, content.raw, content.template) {
        (Some(simple), None, None) => {
            fill_simple(&mut message, simple)?;
            check_envelope(&message)?;
            Ok(Draft::plain(message, call.body.clone()))
        }
        (None, Some(raw), None) => read_raw(message, &raw),
        (None, None, Some(_)) => Err(error(404, "NotFoundException", "The template does not exist.")),
        _ => Err(bad_request("Exactly one of Simple, Raw and Template must be given in Content.")),
    }
}

fn address_it(message: &mut SimMessage, request: &SendEmail) -> Result<(), Reply> {
    if let Some(from) = &request.from_email_address {
        let from = checked(from)?;
        message.from = Some(from.address);
        message.from_name = from.name;
    }
    let many = |list: &Option<Vec<String>>| {
        list.iter()
            .flatten()
            .map(|text| checked(text).map(|mailbox| mailbox.address))
            .collect::<Result<Vec<_>, _>>()
    };
    if let Some(destination) = &request.destination {
        message.to = many(&destination.to)?;
        message.cc = many(&destination.cc)?;
        message.bcc = many(&destination.bcc)?;
    }
    message.reply_to = many(&request.reply_to_addresses)?;
    if !message.reply_to.is_empty() {
        let value = request.reply_to_addresses.iter().flatten();
        let value = value.cloned().collect::<Vec<_>>().join(", ");
        message.headers.insert("Reply-To".to_owned(), value);
    }
    Ok(())
}

fn checked(text: &str) -> Result<Mailbox, Reply> {
    if !text.is_ascii() {
        return Err(bad_request("Address contains non-ASCII characters"));
    }
    let mailbox = Mailbox::split(text);
    match email_fault(&mailbox.address) {
        Some(fault) => Err(bad_request(fault)),
        None => Ok(mailbox),
    }
}

fn check_envelope(message: &SimMessage) -> Result<(), Reply> {
    if message.from.is_none() {
        return Err(bad_request("Missing required header 'From'."));
    }
    match message.to.len() + message.cc.len() + message.bcc.len() {
        0 => Err(bad_request("Missing destination: at least one recipient is required.")),
        count if count > MAX_RECIPIENTS => Err(bad_request("Recipient count exceeds 50.")),
        _ => Ok(()),
    }
}

fn tags(tags: &[Tag]) -> Result<BTreeMap<String, String>, Reply> {
    let is_legal =
        |text: &str| (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let read = |tag: &Tag| {
        if is_legal(&tag.name) && is_legal(&tag.value) {
            Ok((tag.name.clone(), tag.value.clone()))
        } else {
            Err(bad_request(
                "Tag names and values may hold only letters, digits, '_' and '-', 1 to 256 of them.",
            ))
        }
    };
    tags.iter().map(read).collect()
}

fn fill_simple(message: &mut SimMessage, simple: Simple) -> Result<(), Reply> {
    let Some(subject) = simple.subject else {
        return Err(bad_request("Subject must not be null."));
    };
    let body = simple.body.unwrap_or_default();
    if body.text.is_none() && body.html.is_none() {
        return Err(bad_request("Body must hold Text or Html."));
    }
    message.subject = Some(subject.data);
    message.text = body.text.map(|text| text.data);
    message.html = body.html.map(|html| html.data);
    let headers = simple.headers.unwrap_or_default();
    if headers.len() > MAX_HEADERS {
        return Err(bad_request("More than 15 headers."));
    }
    content::check_once(headers.iter().map(|header| header.name.as_str()))?;
    for header in headers {
        content::check_header(&header.name, &header.value)?;
        message.headers.insert(header.name, header.value);
    }
    for file in simple.attachments.into_iter().flatten() {
        message.attachments.push(content::file(file)?);
    }
    Ok(())
}

fn read_raw(mut message: SimMessage, raw: &Raw) -> Result<Draft, Reply> {
    let mime = STANDARD
        .decode(&raw.data)
        .map_err(|_| error(400, "SerializationException", "Data is not base64."))?;
    let mime = Bytes::from(mime);
    content::check_raw(&mime)?;
    // The request may leave the envelope to the headers.
    let mut parsed = message.clone();
    mime::fill(&mut parsed, &mime);
    check_envelope(&parsed)?;
    message.to = parsed.to;
    message.cc = parsed.cc;
    message.bcc = parsed.bcc;
    message.from = parsed.from;
    Ok(Draft::mime(message, mime))
}
