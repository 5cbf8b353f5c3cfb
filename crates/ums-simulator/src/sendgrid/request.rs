//! `mail/send`: its JSON, its limits, and the messages in it.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::mail::{Mail, Person, Personalization};
use super::{error, files};
use crate::address::email_fault;
use crate::call::Call;
use crate::message::SimMessage;
use crate::recorder::Draft;
use crate::reply::Reply;
use crate::{Provider, clock};

/// Most personalizations of a request, and most recipients of all of them.
const MAX_RECIPIENTS: usize = 1_000;

/// Most bytes of `custom_args`.
const MAX_CUSTOM_ARGS: usize = 10_000;

/// Most categories.
const MAX_CATEGORIES: usize = 10;

/// Furthest `send_at`, in seconds from now: 72 hours.
const MAX_AHEAD: i64 = 72 * 3_600;

/// Headers that the caller may not set.
const RESERVED: [&str; 13] = [
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
    "date",
];

/// The order of the content blocks that have a place; others follow.
const CONTENT_ORDER: [&str; 2] = ["text/plain", "text/html"];

const WRONG_ORDER: &str = "Following RFC 1341, section 7.2, if either text/html or text/plain are to be sent in your email: text/plain \
                           needs to be first, followed by text/html, followed by any other content.";

/// A request that passed.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) drafts: Vec<Draft>,
    /// Validated only; nothing is to be kept.
    pub(super) is_sandboxed: bool,
}

/// Reads a call into its messages, or into SendGrid's refusal of it.
pub(super) fn read(call: &Call, id: &str) -> Result<Accepted, Reply> {
    let mail: Mail = serde_json::from_slice(&call.body).map_err(|_| error(400, "Bad Request", None))?;
    let base = common(&mail, id)?;
    let personalizations = mail.personalizations.as_deref().unwrap_or_default();
    if personalizations.is_empty() {
        return Err(error(
            400,
            "The personalizations field is required and must have at least one personalization.",
            Some("personalizations"),
        ));
    }
    let mut drafts = Vec::with_capacity(personalizations.len().min(MAX_RECIPIENTS));
    let mut recipients = 0;
    for (number, personalization) in personalizations.iter().enumerate() {
        let message = personalize(&mail, &base, personalization, number)?;
        recipients += message.to.len() + message.cc.len() + message.bcc.len();
        if recipients > MAX_RECIPIENTS {
            return Err(error(
                400,
                "You cannot send to more than 1000 recipients at a time.",
                Some("personalizations"),
            ));
        }
        drafts.push(Draft::plain(message, call.body.clone()));
    }
    let settings = mail.settings.unwrap_or_default();
    Ok(Accepted {
        drafts,
        is_sandboxed: settings.sandbox_mode.is_some_and(|mode| mode.enable),
    })
}

/// What all personalizations share.
fn common(mail: &Mail, id: &str) -> Result<SimMessage, Reply> {
    let mut message = SimMessage::new(Provider::SendGrid, id.to_owned());
    let Some(from) = &mail.from else {
        return Err(error(
            400,
            "The from object must be provided for every email send.",
            Some("from.email"),
        ));
    };
    message.from = Some(address(from, "from.email")?);
    message.from_name.clone_from(&from.name);
    fill_reply_to(&mut message, mail)?;
    message.subject = mail.subject.clone().filter(|subject| !subject.is_empty());
    fill_content(&mut message, mail)?;
    for (number, file) in mail.attachments.iter().flatten().enumerate() {
        message.attachments.push(files::read(file, number)?);
    }
    add_headers(&mut message, mail.headers.as_ref(), "headers")?;
    fill_categories(&mut message, mail)?;
    if let Some(at) = mail.send_at {
        if at > clock::now().as_second() + MAX_AHEAD {
            let text = "The send_at parameter cannot be more than 72 hours in the future.";
            return Err(error(400, text, Some("send_at")));
        }
        message.params.insert("send_at".to_owned(), at.to_string());
    }
    if let Some(template) = &mail.template_id {
        message.params.insert("template_id".to_owned(), template.clone());
    }
    Ok(message)
}

fn address(person: &Person, field: &str) -> Result<String, Reply> {
    let email = person.email.as_deref().unwrap_or_default().trim();
    if email_fault(email).is_some() {
        return Err(error(400, "Does not contain a valid address.", Some(field)));
    }
    Ok(email.to_owned())
}

fn fill_reply_to(message: &mut SimMessage, mail: &Mail) -> Result<(), Reply> {
    if mail.reply_to.is_some() && mail.reply_to_list.is_some() {
        return Err(error(
            400,
            "The reply_to and reply_to_list parameters are mutually exclusive.",
            Some("reply_to"),
        ));
    }
    let one = mail.reply_to.iter();
    for person in one.chain(mail.reply_to_list.iter().flatten()) {
        let address = address(person, "reply_to.email")?;
        if message.reply_to.contains(&address) {
            return Err(error(400, "The reply_to_list must hold unique items.", Some("reply_to_list")));
        }
        message.reply_to.push(address);
    }
    if !message.reply_to.is_empty() {
        let value = message.reply_to.join(", ");
        message.headers.insert("Reply-To".to_owned(), value);
    }
    Ok(())
}

fn fill_content(message: &mut SimMessage, mail: &Mail) -> Result<(), Reply> {
    let content = mail.content.as_deref().unwrap_or_default();
    if content.is_empty() && mail.template_id.is_none() {
        let text = "Unless a valid template_id is provided, the content parameter is required. \
                    There must be at least one defined content block.";
        return Err(error(400, text, Some("content")));
    }
    let mut before = 0;
    for (number, part) in content.iter().enumerate() {
        let value = part.value.clone().unwrap_or_default();
        if value.is_empty() {
            return Err(error(
                400,
                "The content value must be a string at least one character in length.",
                Some(&format!("content.{number}.value")),
            ));
        }
        let kind = part.r#type.as_deref().unwrap_or_default();
        files::check_type(kind, "The content type", &format!("content.{number}.type"))?;
        let place = CONTENT_ORDER.iter().position(|first| *first == kind).unwrap_or(CONTENT_ORDER.len());
        if place < before {
            return Err(error(400, WRONG_ORDER, Some("content")));
        }
        before = place;
        match kind {
            "text/plain" => message.text = Some(value),
            "text/html" => message.html = Some(value),
            other => {
                message.params.insert(format!("content.{other}"), value);
            }
        }
    }
    Ok(())
}

fn add_headers(message: &mut SimMessage, headers: Option<&BTreeMap<String, String>>, field: &str) -> Result<(), Reply> {
    let mut seen = HashSet::new();
    for (name, value) in headers.into_iter().flatten() {
        let lower = name.to_ascii_lowercase();
        let is_legal = |b: u8| b.is_ascii_graphic() && b != b':';
        let fault = if RESERVED.contains(&lower.as_str()) {
            "Header can not be one of the reserved keys."
        } else if name.is_empty() || !name.bytes().all(is_legal) {
            "Header keys can't contain non-ASCII characters and empty spaces."
        } else if !seen.insert(lower) {
            "The headers can't contain duplicate keys."
        } else {
            message.headers.insert(name.clone(), value.clone());
            continue;
        };
        return Err(error(400, fault, Some(field)));
    }
    Ok(())
}

fn fill_categories(message: &mut SimMessage, mail: &Mail) -> Result<(), Reply> {
    let categories = mail.categories.as_deref().unwrap_or_default();
    let is_legal = |category: &String| (1..=255).contains(&category.len()) && category.is_ascii();
    let distinct: HashSet<_> = categories.iter().collect();
    if categories.len() > MAX_CATEGORIES || distinct.len() < categories.len() || !categories.iter().all(is_legal) {
        return Err(error(
            400,
            "There may be at most 10 categories, each unique, in ASCII and at most 255 characters long.",
            Some("categories"),
        ));
    }
    for category in categories {
        message.tags.insert(category.clone(), String::new());
    }
    Ok(())
}

fn personalize(mail: &Mail, base: &SimMessage, personalization: &Personalization, number: usize) -> Result<SimMessage, Reply> {
    let field = |name: &str| format!("personalizations.{number}.{name}");
    let mut message = base.clone();
    if personalization.to.as_ref().is_none_or(Vec::is_empty) {
        return Err(error(
            400,
            "The to array is required for all personalization objects, and must have at least \
             one email object with a valid email address.",
            Some(&field("to")),
        ));
    }
    let mut seen = HashSet::new();
    let mut read = |people: &Option<Vec<Person>>, kind: &str| {
        let mut addresses = Vec::new();
        for (place, person) in people.iter().flatten().enumerate() {
            let address = address(person, &field(&format!("{kind}.{place}.email")))?;
            if !seen.insert(address.to_ascii_lowercase()) {
                let text = "Each email address in the personalization block should be unique \
                            between to, cc, and bcc.";
                return Err(error(400, text, Some(&field(kind))));
            }
            addresses.push(address);
        }
        Ok(addresses)
    };
    message.to = read(&personalization.to, "to")?;
    message.cc = read(&personalization.cc, "cc")?;
    message.bcc = read(&personalization.bcc, "bcc")?;
    if let Some(subject) = personalization.subject.as_ref().filter(|it| !it.is_empty()) {
        message.subject = Some(subject.clone());
    }
    if message.subject.is_none() && mail.template_id.is_none() {
        return Err(error(400, "The subject is required.", Some("subject")));
    }
    let headers = personalization.headers.as_ref();
    add_headers(&mut message, headers, &field("headers"))?;
    let own = personalization.custom_args.as_ref();
    fill_custom_args(&mut message, mail.custom_args.as_ref())?;
    fill_custom_args(&mut message, own)?;
    Ok(message)
}

fn fill_custom_args(message: &mut SimMessage, args: Option<&BTreeMap<String, Value>>) -> Result<(), Reply> {
    for (name, value) in args.into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        message.custom_args.insert(name.clone(), value);
    }
    let bytes: usize = message.custom_args.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_CUSTOM_ARGS {
        return Err(error(
            400,
            "The custom_args must not be longer than 10000 bytes.",
            Some("custom_args"),
        ));
    }
    Ok(())
}
