//! Bounces as mail: delivery status notifications (RFC 3464), complaint reports (RFC 5965).
//!
//! ```text
//! message → its report part → blocks of fields → one event for each recipient
//!         ↘ the returned headers and the envelope → which attempt
//! ```
//!
//! Mail systems keep to the standards loosely, so this reads what it can: folded and repeated fields, missing types, comments, CRLF or LF, reports
//! inside of other mail. What holds no report is [`NotABounce::Unparsed`], to be looked at by somebody; it is never taken for one.
//!
//! Mail is not signed: anybody can write a bounce. What ties one to us is the attempt's id, which travelled as `ENVID`, in the return path or in the
//! Message-ID. **Invariant:** a report without it puts nobody on the suppression list, or anybody could put anybody there.

mod block;
mod origin;
mod plain;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use mail_parser::{HeaderName, Message, MessageParser, MimeHeaders as _, PartType};
use ums_core::{BounceKind, Event, EventKind, ProviderKind, SuppressionReason, Timestamp, redact};

use self::block::{Block, blocks};
use self::origin::Origin;
use self::plain::Plain;
use super::reading;
use crate::verdict;

const KIND: ProviderKind = ProviderKind::Smtp;
/// Longest message that is read, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 10 * 1024 * 1024;
/// How deep a report may lie in forwarded mail.
const MAX_DEPTH: usize = 3;
/// Most parts of a message; more is an attack on whoever reads it.
const MAX_PARTS: usize = 500;
/// Lines that begin as boundaries do; those of a returned text count, too.
const MAX_BOUNDARIES: usize = 5_000;
/// Parameters in pieces (RFC 2231 §3, `name*1=`): the parser looks for each among all that came before. Real names have a handful.
const MAX_CONTINUATIONS: usize = 5_000;
/// Most recipients of one report.
const MAX_RECIPIENTS: usize = 100;

/// Fields by which a part is known that does not say what it is.
const STATUS_FIELDS: [&str; 2] = ["Final-Recipient:", "Action:"];
const COMPLAINT_FIELDS: [&str; 2] = ["Feedback-Type:", "User-Agent:"];

/// A clock that is further ahead than this says nothing.
const MAX_AHEAD: Duration = Duration::from_hours(24);

/// Why a message gave no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotABounce {
    /// It is longer than [`MAX_MESSAGE_BYTES`].
    #[error("the message is longer than 10 MiB")]
    TooLarge,
    /// It is not mail at all.
    #[error("this is not a mail message")]
    NotMail,
    /// It is mail without a report that a machine can read; a person may.
    #[error("the message holds no report that a machine can read")]
    Unparsed,
}

impl NotABounce {
    /// A short stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotMail => "not_mail",
            Self::Unparsed => "unparsed",
        }
    }
}

/// Reads what a bounce mailbox was sent: bounces, complaint reports, disposition notices, automatic replies.
///
/// # Errors
/// [`NotABounce`]; the message should be kept for somebody to look at.
pub fn read(message: &[u8], now: Timestamp) -> Result<Vec<Event>, NotABounce> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(NotABounce::TooLarge);
    }
    // A pipe from a mailbox file puts the envelope's sender before the headers.
    let message = match message.strip_prefix(b"From ") {
        Some(rest) => rest
            .iter()
            .position(|byte| *byte == b'\n')
            .and_then(|end| rest.get(end + 1..))
            .unwrap_or_default(),
        None => message,
    };
    if is_costly(message) {
        return Err(NotABounce::Unparsed);
    }
    let mail = MessageParser::new().parse(message).filter(is_mail).ok_or(NotABounce::NotMail)?;
    let envelope = Origin::of_envelope(&mail);
    let readers: [fn(&Message<'_>, &Origin) -> Vec<Event>; 4] = [
        |mail, envelope| events(mail, envelope, 0),
        plain_bounce,
        plain_complaint,
        |mail, _| automatic_reply(mail).into_iter().collect(),
    ];
    let mut found = readers.iter().map(|read| read(&mail, &envelope));
    let events = found.find(|events| !events.is_empty()).unwrap_or_default();
    if events.is_empty() {
        return Err(NotABounce::Unparsed);
    }
    let latest = now + MAX_AHEAD;
    let believed = events.into_iter().map(|event| Event {
        at: event.at.filter(|at| *at <= latest),
        suppress: event.suppress.filter(|_| event.about.attempt_id.is_some()),
        ..event
    });
    Ok(believed.collect())
}

/// Whether it has a header that mail has.
fn is_mail(mail: &Message<'_>) -> bool {
    mail.headers().iter().any(|header| !matches!(header.name, HeaderName::Other(_)))
}

/// Whether the parser would take much longer over the message than over another one of its length.
fn is_costly(message: &[u8]) -> bool {
    parts(message) > MAX_PARTS || lines_like_boundaries(message) > MAX_BOUNDARIES || continuations(message) > MAX_CONTINUATIONS
}

/// How many parameters are written in pieces, at most.
fn continuations(message: &[u8]) -> usize {
    message.windows(2).filter(|text| matches!(text, [b'*', b'0'..=b'9'])).count()
}

/// How many parts say what they are. Each message within a message must, and the parser's result is nested as deep as they are.
fn parts(message: &[u8]) -> usize {
    const NAME: &[u8] = b"content-type";
    message.windows(NAME.len()).filter(|text| text.eq_ignore_ascii_case(NAME)).count()
}

/// How many lines may part something, at most.
fn lines_like_boundaries(message: &[u8]) -> usize {
    message.windows(3).filter(|text| *text == b"\n--").count()
}

/// The events of the first report in a message, or in a message that it carries.
fn events(mail: &Message<'_>, envelope: &Origin, depth: usize) -> Vec<Event> {
    let origin = Origin::of_returned(mail).or(envelope);
    for part in &mail.parts {
        let kind = part.content_type().map(|kind| (kind.ctype(), kind.subtype().unwrap_or_default()));
        let Some((kind, subtype)) = kind else { continue };
        let read: fn(&Message<'_>, &[Block], &Origin) -> Vec<Event> =
            match (kind.to_ascii_lowercase().as_str(), subtype.to_ascii_lowercase().as_str()) {
                ("message", "delivery-status" | "global-delivery-status") => delivery_status,
                ("message", "feedback-report") => complaint,
                ("message", "disposition-notification" | "global-disposition-notification") => disposition,
                // Some systems call their report plain text, and some lose the lines between the parts.
                ("text", _) | ("multipart", "report") if depth == 0 && is_report(mail) && has_fields(&text(&part.body), &STATUS_FIELDS) => {
                    delivery_status
                }
                ("text", _) if depth == 0 && is_report(mail) && has_fields(&text(&part.body), &COMPLAINT_FIELDS) => complaint,
                _ => continue,
            };
        let events = read(mail, &blocks(&text(&part.body)), &origin);
        if !events.is_empty() {
            return events;
        }
    }
    if depth == MAX_DEPTH {
        return Vec::new();
    }
    let inner = mail.parts.iter().filter_map(|part| match &part.body {
        PartType::Message(inner) => Some(inner),
        PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Multipart(_) => None,
    });
    inner
        .map(|inner| events(inner, envelope, depth + 1))
        .find(|events| !events.is_empty())
        .unwrap_or_default()
}

fn text(body: &PartType<'_>) -> String {
    match body {
        PartType::Text(text) | PartType::Html(text) => text.to_string(),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        PartType::Message(_) | PartType::Multipart(_) => String::new(),
    }
}

fn is_report(mail: &Message<'_>) -> bool {
    mail.content_type()
        .and_then(|kind| kind.subtype())
        .is_some_and(|subtype| subtype.eq_ignore_ascii_case("report"))
}

/// Whether lines of a text begin with all these names of fields.
fn has_fields(text: &str, names: &[&str]) -> bool {
    let has = |name: &&str| {
        text.lines()
            .any(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
    };
    names.iter().all(has)
}

/// When the report was made.
fn reported_at(mail: &Message<'_>) -> Option<Timestamp> {
    mail.header_raw("Date").and_then(reading::rfc5322)
}

/// What tells this report from others: the same one handed in again gives the same ids.
fn report_id(mail: &Message<'_>) -> String {
    let id = mail.message_id().map(str::to_owned);
    id.or_else(|| mail.header_raw("Date").map(|date| date.trim().to_owned()))
        .unwrap_or_default()
}

/// A delivery status notification: one block about the message, then one for each recipient.
fn delivery_status(mail: &Message<'_>, blocks: &[Block], origin: &Origin) -> Vec<Event> {
    let field = |name| blocks.iter().find_map(|block| block.get(name));
    let by_name = field("x-original-message-id").map_or_else(Origin::default, Origin::of_id);
    let origin = field("original-envelope-id")
        .map_or_else(Origin::default, Origin::of_envelope_id)
        .or(&by_name.or(origin));
    let per_recipient = blocks.iter().filter(|block| block.is_about_recipient()).take(MAX_RECIPIENTS);
    per_recipient
        .map(|block| {
            let diagnostic = block.get("diagnostic-code").unwrap_or_default();
            let found = status::read(
                block.get("action").unwrap_or_default(),
                block.get("status").unwrap_or_default(),
                diagnostic,
            );
            let recipient = block.recipient().or_else(|| origin.recipient.clone());
            let id = reading::derived_id(&[
                "dsn",
                &report_id(mail),
                &origin.key(),
                recipient.as_deref().unwrap_or_default(),
                found.action,
                &found.code,
            ]);
            let mut event = Event::new(KIND, id, found.kind, word(found.action, &found.code));
            event.bounce = found.bounce;
            event.class = found.class;
            event.suppress = (found.bounce == Some(BounceKind::Hard)).then_some(SuppressionReason::HardBounce);
            event.code = reading::word(&found.code);
            event.detail = Some(redact(diagnostic)).filter(|detail| !detail.is_empty());
            event.recipient = recipient;
            event.at = block
                .get("last-attempt-date")
                .and_then(reading::rfc5322)
                .or_else(|| reported_at(mail));
            event.about = origin.subject();
            if found.kind == EventKind::Unknown {
                event.raw = Some(reading::raw(&block.to_text()));
            }
            event
        })
        .collect()
}

/// A bounce for people, with an id of ours in it.
fn plain_bounce(mail: &Message<'_>, envelope: &Origin) -> Vec<Event> {
    let Some(plain) = Plain::read(mail) else { return Vec::new() };
    let origin = Origin::of_returned(mail).or(&plain.origin).or(envelope);
    if !origin.is_ours() {
        return Vec::new();
    }
    let events = plain.failed().into_iter().map(|failed| {
        let said = failed.said();
        let (bounce, class) = verdict::of_report(&said);
        let code = said.code().map(|code| code.to_string()).unwrap_or_default();
        let id = reading::derived_id(&["plain", &report_id(mail), &origin.key(), &failed.recipient, &code]);
        let mut event = if plain.is_delay {
            Event::new(KIND, id, EventKind::Deferred, word("delayed", &code))
        } else {
            Event {
                bounce: Some(bounce),
                class: Some(class),
                suppress: (bounce == BounceKind::Hard).then_some(SuppressionReason::HardBounce),
                ..Event::new(KIND, id, EventKind::Bounced, word("failed", &code))
            }
        };
        event.code = reading::word(&code);
        event.detail = Some(redact(&failed.reason)).filter(|detail| !detail.is_empty());
        event.recipient = reading::recipient(&failed.recipient);
        event.at = reported_at(mail);
        event.about = origin.subject();
        event
    });
    events.collect()
}

/// A complaint of Microsoft's Junk Mail Reporting Program, which has no report part: the recipient stands in the message that it brings back.
fn plain_complaint(mail: &Message<'_>, envelope: &Origin) -> Vec<Event> {
    let origin = Origin::of_returned(mail);
    if !origin.is_jmrp {
        return Vec::new();
    }
    let origin = origin.or(envelope);
    if origin.is_ours() {
        complaint(mail, &[], &origin)
    } else {
        Vec::new()
    }
}

fn word(action: &str, code: &str) -> String {
    if code.is_empty() {
        action.to_owned()
    } else {
        format!("{action}/{code}")
    }
}

/// A complaint report: somebody called a message spam.
fn complaint(mail: &Message<'_>, blocks: &[Block], origin: &Origin) -> Vec<Event> {
    let field = |name| blocks.iter().find_map(|block| block.get(name));
    let origin = field("original-envelope-id")
        .map_or_else(Origin::default, Origin::of_envelope_id)
        .or(origin);
    let word = field("feedback-type").unwrap_or("abuse").to_ascii_lowercase();
    let (kind, suppress) = match word.as_str() {
        "abuse" | "fraud" | "other" | "complaint" => (EventKind::Complained, Some(SuppressionReason::Complaint)),
        "opt-out" | "opt-out-list" | "unsubscribe" => (EventKind::Unsubscribed, Some(SuppressionReason::Unsubscribe)),
        // `not-spam` takes a complaint back; `auth-failure`, `virus` and others complain of something else.
        _ => (EventKind::Unknown, None),
    };
    let mut recipients: Vec<Option<String>> = blocks
        .iter()
        .flat_map(|block| block.all("original-rcpt-to").chain(block.all("removal-recipient")))
        .filter_map(block::address)
        .filter(|address| !is_redacted(address))
        .map(Some)
        .take(MAX_RECIPIENTS)
        .collect();
    recipients.sort();
    recipients.dedup();
    if recipients.is_empty() {
        recipients.push(origin.recipient.clone().filter(|address| !is_redacted(address)));
    }
    let events = recipients.into_iter().map(|recipient| {
        let id = reading::derived_id(&[
            "arf",
            &report_id(mail),
            &origin.key(),
            recipient.as_deref().unwrap_or_default(),
            &word,
        ]);
        let mut event = Event::new(KIND, id, kind, reading::word(&word).unwrap_or_default());
        event.suppress = suppress;
        event.recipient = recipient;
        event.at = reported_at(mail);
        event.about = origin.subject();
        if kind == EventKind::Unknown {
            event.raw = Some(reading::raw(&blocks.iter().map(Block::to_text).collect::<String>()));
        }
        event
    });
    events.collect()
}

/// Reporters hide addresses (`redacted-address@example.com`): nobody's address must not go on a list.
fn is_redacted(address: &str) -> bool {
    address.to_ascii_lowercase().starts_with("redacted")
}

/// A disposition notice (RFC 8098): a mail program says what became of the message in it.
fn disposition(mail: &Message<'_>, blocks: &[Block], origin: &Origin) -> Vec<Event> {
    let field = |name| blocks.iter().find_map(|block| block.get(name));
    let Some(disposition) = field("disposition") else {
        return Vec::new();
    };
    let origin = field("original-message-id").map_or_else(Origin::default, Origin::of_id).or(origin);
    let (mode, what) = disposition.split_once(';').unwrap_or(("", disposition));
    let what = what.split(['/', ',']).next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = if what == "displayed" {
        EventKind::Opened
    } else {
        EventKind::Unknown
    };
    let recipient = blocks.iter().find_map(Block::recipient).or_else(|| origin.recipient.clone());
    let id = reading::derived_id(&[
        "mdn",
        &report_id(mail),
        &origin.key(),
        recipient.as_deref().unwrap_or_default(),
        &what,
    ]);
    let mut event = Event::new(KIND, id, kind, reading::word(&format!("disposition/{what}")).unwrap_or_default());
    event.by_machine = mode.to_ascii_lowercase().contains("automatic-action");
    event.recipient = recipient;
    event.at = reported_at(mail);
    event.about = origin.subject();
    if kind == EventKind::Unknown {
        event.raw = Some(reading::raw(&blocks.iter().map(Block::to_text).collect::<String>()));
    }
    vec![event]
}

/// An automatic reply (RFC 3834), such as an absence notice. What a mail system sends itself is none, even when it says so.
fn automatic_reply(mail: &Message<'_>) -> Option<Event> {
    let header = |name: &'static str| mail.header_raw(name).map(|value| value.trim().to_ascii_lowercase());
    let is_automatic = header("Auto-Submitted")
        .is_some_and(|value| value.starts_with("auto-replied") || value.starts_with("auto-generated"))
        || header("X-Autoreply").is_some()
        || header("X-Autorespond").is_some()
        || header("Precedence").is_some_and(|value| value == "auto_reply" || value == "auto-reply");
    let from = mail
        .from()
        .and_then(|from| from.first())
        .and_then(|from| from.address())
        .unwrap_or_default();
    let local = from.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let is_system = matches!(local.as_str(), "mailer-daemon" | "postmaster" | "mail-daemon" | "mmdf" | "");
    if !is_automatic || is_system || is_report(mail) || header("X-Failed-Recipients").is_some() {
        return None;
    }
    let origin = Origin::of_reply(mail).or(&Origin::of_envelope(mail));
    let id = reading::derived_id(&["reply", &report_id(mail), &origin.key(), from]);
    let mut event = Event::new(KIND, id, EventKind::Autoresponded, "auto-replied");
    event.recipient = reading::recipient(from);
    event.at = reported_at(mail);
    event.about = origin.subject();
    event.by_machine = true;
    Some(event)
}
