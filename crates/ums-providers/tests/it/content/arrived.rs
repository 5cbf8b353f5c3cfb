//! What arrived of an e-mail, read by a parser that is not ours.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{Address, Encoding, Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use serde_json::Value;
use ums_core::guard::{HeaderForm, header_form};
use ums_core::{Email, MediaType};
use ums_simulator::{Provider, SimMessage};

/// The content of an e-mail, in a form in which the ways of two providers may be compared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    recipients: BTreeSet<String>,
    /// Display names of the recipients whom the message shows.
    names: Vec<String>,
    subject: String,
    text: Option<String>,
    html: Option<String>,
    /// Name, bytes, media type, content id; a composite type may have become one of plain bytes.
    files: BTreeSet<(String, Vec<u8>, String, Option<String>)>,
    /// Custom headers: structured ones byte for byte, text as it is read.
    headers: BTreeMap<String, String>,
}

impl Arrived {
    /// What should arrive.
    pub(crate) fn of(email: &Email) -> Self {
        let files = email.attachments.iter().map(|file| {
            let kind = MediaType::parse(&file.content_type).unwrap();
            (
                file.filename.clone(),
                file.content.to_vec(),
                plain(kind.essence()),
                file.content_id.clone(),
            )
        });
        let headers = email.headers.iter().map(|header| {
            let value = if header_form(&header.name) == HeaderForm::Phrases {
                phrases(&header.value)
            } else {
                header.value.clone()
            };
            (header.name.to_ascii_lowercase(), value)
        });
        Self {
            recipients: email.recipients().map(|(_, it)| it.address.expose().to_lowercase()).collect(),
            names: email
                .to
                .iter()
                .chain(&email.cc)
                .map(|it| words(it.name.as_deref().unwrap_or_default()))
                .collect(),
            subject: email.subject.trim().to_owned(),
            text: email.text.as_deref().map(lines),
            html: email.html.as_deref().map(lines),
            files: files.collect(),
            headers: headers.collect(),
        }
    }

    /// The first field that is not as it should be, without much of its text.
    pub(crate) fn difference(&self, arrived: &Self) -> Option<String> {
        fn differ<T: PartialEq + std::fmt::Debug>(field: &str, sent: &T, arrived: &T) -> Option<String> {
            let short = |value: &T| format!("{value:?}").chars().take(600).collect::<String>();
            (sent != arrived).then(|| format!("{field}: sent {}\narrived {}", short(sent), short(arrived)))
        }
        differ("recipients", &self.recipients, &arrived.recipients)
            .or_else(|| differ("names", &self.names, &arrived.names))
            .or_else(|| differ("subject", &self.subject, &arrived.subject))
            .or_else(|| differ("text", &self.text, &arrived.text))
            .or_else(|| differ("html", &self.html, &arrived.html))
            .or_else(|| differ("headers", &self.headers, &arrived.headers))
            .or_else(|| differ("names, lengths and types of files", &self.labels(), &arrived.labels()))
            .or_else(|| differ("files", &self.texts(), &arrived.texts()))
    }

    /// What a provider's simulator holds.
    pub(crate) fn read(message: &SimMessage, email: &Email) -> Self {
        let all = [&message.to, &message.cc, &message.bcc];
        let recipients = all.into_iter().flatten().map(|address| address.to_lowercase()).collect();
        let json: Option<Value> = serde_json::from_str(&message.raw).ok();
        let arrived = match (message.provider, json) {
            (Provider::Ses, Some(json)) => Self::from_ses(&json),
            (Provider::SendGrid, Some(json)) => Self::from_sendgrid(&json),
            (_, _) => Self::from_mime(&message.raw, email),
        };
        Self { recipients, ..arrived }
    }

    fn labels(&self) -> Vec<(&str, &str, Option<&str>)> {
        let files = self.files.iter();
        files
            .map(|(name, _, kind, id)| (name.as_str(), kind.as_str(), id.as_deref()))
            .collect()
    }

    /// The bytes of each file as text, the first time that one byte follows itself.
    fn texts(&self) -> Vec<String> {
        let shown = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.dedup();
            bytes.escape_ascii().to_string()
        };
        self.files.iter().map(|(_, bytes, ..)| shown(bytes)).collect()
    }

    fn from_ses(json: &Value) -> Self {
        let simple = &json["Content"]["Simple"];
        let names = |list: &str| {
            let list = json["Destination"][list].as_array().into_iter().flatten();
            let list: Vec<_> = list.map(text).collect();
            let header = format!("To: {}\r\n\r\nx", list.join(", "));
            let parsed = MessageParser::default().parse(header.as_bytes()).unwrap();
            names_of(parsed.to())
        };
        let file = |file: &Value| {
            (
                text(&file["FileName"]),
                bytes(&file["RawContent"]),
                plain(&text(&file["ContentType"])),
                file["ContentId"].as_str().map(str::to_owned),
            )
        };
        let header = |header: &Value| custom(&text(&header["Name"]), &text(&header["Value"]));
        Self {
            recipients: BTreeSet::new(),
            names: [names("ToAddresses"), names("CcAddresses")].concat(),
            subject: text(&simple["Subject"]["Data"]).trim().to_owned(),
            text: simple["Body"]["Text"]["Data"].as_str().map(lines),
            html: simple["Body"]["Html"]["Data"].as_str().map(lines),
            files: simple["Attachments"].as_array().into_iter().flatten().map(file).collect(),
            headers: simple["Headers"].as_array().into_iter().flatten().map(header).collect(),
        }
    }

    fn from_sendgrid(mail: &Value) -> Self {
        let file = |file: &Value| {
            (
                text(&file["filename"]),
                bytes(&file["content"]),
                plain(&text(&file["type"])),
                file["content_id"].as_str().map(str::to_owned),
            )
        };
        let part = |kind: &str| {
            let parts = mail["content"].as_array().into_iter().flatten();
            parts
                .filter(|part| part["type"] == kind)
                .find_map(|part| part["value"].as_str().map(lines))
        };
        let headers = mail["headers"].as_object().into_iter().flatten();
        let people = |line: &str| mail["personalizations"][0][line].as_array().cloned().unwrap_or_default();
        let people = [people("to"), people("cc")].concat();
        Self {
            recipients: BTreeSet::new(),
            names: people.iter().map(|person| words(&text(&person["name"]))).collect(),
            subject: text(&mail["subject"]).trim().to_owned(),
            text: part("text/plain"),
            html: part("text/html"),
            files: mail["attachments"].as_array().into_iter().flatten().map(file).collect(),
            headers: headers.map(|(name, value)| custom(name, &text(value))).collect(),
        }
    }

    fn from_mime(raw: &str, email: &Email) -> Self {
        let parsed = MessageParser::default().parse(raw.as_bytes()).unwrap();
        let custom_headers = email.headers.iter().map(|header| {
            let value = parsed.header_raw(header.name.as_str()).unwrap_or_default();
            custom(&header.name, value.replace("\r\n", "").trim())
        });
        let is_body = |part: &&MessagePart<'_>| part.attachment_name().is_none();
        Self {
            recipients: BTreeSet::new(),
            names: [names_of(parsed.to()), names_of(parsed.cc())].concat(),
            subject: parsed.subject().unwrap_or_default().trim().to_owned(),
            text: parsed.parts.iter().filter(is_body).find_map(|part| {
                if let PartType::Text(text) = &part.body {
                    Some(lines(text))
                } else {
                    None
                }
            }),
            html: parsed.parts.iter().filter(is_body).find_map(|part| {
                if let PartType::Html(html) = &part.body {
                    Some(lines(html))
                } else {
                    None
                }
            }),
            files: parsed.parts.iter().filter_map(|part| file_of(&parsed, part)).collect(),
            headers: custom_headers.collect(),
        }
    }
}

/// A file, its bytes as they stand in the message, decoded by its own encoding and no other rule.
fn file_of(message: &Message<'_>, part: &MessagePart<'_>) -> Option<(String, Vec<u8>, String, Option<String>)> {
    let name = part.attachment_name()?.to_owned();
    let kind = part.content_type().unwrap();
    let essence = format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default());
    let body = &message.raw_message[part.offset_body as usize..part.offset_end as usize];
    let content = if part.encoding == Encoding::Base64 {
        assert!(
            !essence.starts_with("message/") && !essence.starts_with("multipart/"),
            "{essence} in base64"
        );
        let letters: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        STANDARD.decode(letters).unwrap()
    } else {
        body.to_vec()
    };
    Some((name, content, plain(&essence), part.content_id().map(str::to_owned)))
}

/// A custom header as its readers read it.
fn custom(name: &str, value: &str) -> (String, String) {
    let read = || {
        let message = format!("Subject: {value}\r\n\r\nx");
        let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
        parsed.subject().unwrap_or_default().to_owned()
    };
    let value = match header_form(name) {
        HeaderForm::Structured => value.to_owned(),
        HeaderForm::Phrases => phrases(&read()),
        HeaderForm::Text => read(),
    };
    (name.to_ascii_lowercase(), value)
}

fn names_of(list: Option<&Address<'_>>) -> Vec<String> {
    let people = list.into_iter().flat_map(Address::iter);
    people.map(|person| words(person.name().unwrap_or_default())).collect()
}

/// White space between the words of a name is one space.
fn words(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn phrases(text: &str) -> String {
    text.split(',').map(str::trim).collect::<Vec<_>>().join(", ")
}

/// The media type without its parameters. A composite one that could not travel as it is arrives as plain bytes.
fn plain(kind: &str) -> String {
    let essence = kind.split(';').next().unwrap_or_default().to_ascii_lowercase();
    if essence.starts_with("message/") || essence.starts_with("multipart/") {
        "application/octet-stream".to_owned()
    } else {
        essence
    }
}

/// Line ends differ on the ways, and the last one is the message's own.
fn lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.trim_end_matches('\n').to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()
}
