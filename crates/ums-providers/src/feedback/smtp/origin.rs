//! Which of our messages a report is about.

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use ums_core::{AttemptId, EventSubject};

use super::block::address;
use crate::feedback::reading;

/// Headers in which a mailbox keeps the address that a message was sent to: the return path of ours, when it bounced.
const SENT_TO: [&str; 6] = ["delivered-to", "envelope-to", "to", "x-envelope-to", "x-original-to", "x-rcpt-to"];
/// Headers of the returned message that hold its return path.
const RETURN_PATH: [&str; 4] = ["errors-to", "return-path", "sender", "x-envelope-from"];

/// What is known of the message that a report is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    attempt_id: Option<AttemptId>,
    /// Its Message-ID, with its brackets: this is how we know it.
    message_id: Option<String>,
    /// To whom it was, if to one only.
    pub(super) recipient: Option<String>,
    /// Whether Microsoft's Junk Mail Reporting Program put the recipient into the returned message: it does so in complaints only.
    pub(super) is_jmrp: bool,
}

impl Origin {
    /// By an envelope id (RFC 3461).
    pub(super) fn of_envelope_id(text: &str) -> Self {
        Self {
            attempt_id: ours(text.trim().trim_matches(['<', '>'])),
            ..Self::default()
        }
    }

    /// By a Message-ID.
    pub(super) fn of_id(text: &str) -> Self {
        let id = text.trim().trim_start_matches('<').trim_end_matches('>');
        Self {
            attempt_id: id.split('@').next().and_then(ours),
            message_id: id.contains('@').then(|| format!("<{id}>")).as_deref().and_then(reading::message_id),
            ..Self::default()
        }
    }

    /// By the return path that the report was sent to: `bounce+<attempt id>@…`.
    pub(super) fn of_envelope(mail: &Message<'_>) -> Self {
        Self {
            attempt_id: headers(mail, &SENT_TO).find_map(|value| in_return_path(&value)),
            ..Self::default()
        }
        .or(&Self::of_reply(mail))
    }

    /// By what the report says it answers.
    pub(super) fn of_reply(mail: &Message<'_>) -> Self {
        let ids = headers(mail, &["in-reply-to", "references", "x-original-message-id"]);
        let found = ids.flat_map(|value| value.split_whitespace().map(Self::of_id).collect::<Vec<_>>());
        found.filter(|origin| origin.attempt_id.is_some()).last().unwrap_or_default()
    }

    /// By the message, or its headers, that the report brings back.
    pub(super) fn of_returned(mail: &Message<'_>) -> Self {
        let returned = mail.parts.iter().find_map(|part| match &part.body {
            PartType::Message(inner) => Some(Self::of_message(inner)),
            PartType::Text(text) | PartType::Html(text) => {
                let subtype = part.content_type().and_then(|kind| kind.subtype()).unwrap_or_default();
                let are_headers = subtype.eq_ignore_ascii_case("rfc822-headers") || subtype.eq_ignore_ascii_case("global-headers");
                are_headers.then(|| Self::of_headers(text.trim_start().as_bytes()))
            }
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                let kind = part.content_type().filter(|kind| kind.ctype().eq_ignore_ascii_case("message"))?;
                let subtype = kind.subtype().unwrap_or_default().to_ascii_lowercase();
                matches!(subtype.as_str(), "rfc822" | "global" | "rfc822-headers" | "global-headers").then(|| Self::of_headers(bytes))
            }
            PartType::Multipart(_) => None,
        });
        returned.unwrap_or_default()
    }

    /// By the headers of a message.
    pub(super) fn of_headers(bytes: &[u8]) -> Self {
        MessageParser::new()
            .parse_headers(bytes)
            .map(|mail| Self::of_message(&mail))
            .unwrap_or_default()
    }

    fn of_message(mail: &Message<'_>) -> Self {
        let by_id = mail.message_id().map(|id| Self::of_id(&format!("<{id}>"))).unwrap_or_default();
        let by_path = headers(mail, &RETURN_PATH).find_map(|value| in_return_path(&value));
        let to: Vec<&str> = mail
            .to()
            .into_iter()
            .flat_map(|to| to.iter())
            .filter_map(|to| to.address())
            .collect();
        let named = headers(mail, &["x-hmxmroriginalrecipient"]).find_map(|value| address(&value));
        Self {
            attempt_id: by_id.attempt_id.or(by_path),
            message_id: by_id.message_id,
            is_jmrp: named.is_some(),
            recipient: named.or_else(|| match to.as_slice() {
                [only] => reading::recipient(only),
                _ => None,
            }),
        }
    }

    /// This, and what it does not know from the other.
    #[must_use]
    pub(super) fn or(self, other: &Self) -> Self {
        // A relay may have given the message another Message-ID: the one that tells the attempt is ours.
        let is_foreign = self.attempt_id.is_none() && other.attempt_id.is_some();
        let (first, second) = if is_foreign {
            (other.message_id.clone(), self.message_id)
        } else {
            (self.message_id, other.message_id.clone())
        };
        Self {
            attempt_id: self.attempt_id.or(other.attempt_id),
            message_id: first.or(second),
            recipient: self.recipient.or_else(|| other.recipient.clone()),
            is_jmrp: self.is_jmrp || other.is_jmrp,
        }
    }

    /// Whether it names an attempt of ours.
    pub(super) fn is_ours(&self) -> bool {
        self.attempt_id.is_some()
    }

    /// What the event belongs to.
    pub(super) fn subject(&self) -> EventSubject {
        EventSubject {
            attempt_id: self.attempt_id,
            message_id: None,
            provider_message_id: self.message_id.clone(),
        }
    }

    /// What tells it from others.
    pub(super) fn key(&self) -> String {
        let attempt = self.attempt_id.map(|id| id.to_string());
        attempt.or_else(|| self.message_id.clone()).unwrap_or_default()
    }
}

fn headers<'a>(mail: &'a Message<'_>, names: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let all = mail.headers_raw();
    all.filter(|(name, _)| names.iter().any(|other| name.eq_ignore_ascii_case(other)))
        .map(|(_, value)| value.trim().to_owned())
}

/// The id in a return path that was made for one attempt: what stands behind a `+` or `=`, before the next or the `@`.
fn in_return_path(value: &str) -> Option<AttemptId> {
    let addresses = value.split(['<', '>', ',', ' ', '\t', '\r', '\n', '@']);
    addresses.flat_map(|local| local.split(['+', '=']).skip(1)).find_map(ours)
}

/// An id of ours: 32 hexadecimal digits of another version are somebody else's.
fn ours(text: &str) -> Option<AttemptId> {
    let id: AttemptId = text.trim().parse().ok()?;
    (id.as_uuid().get_version_num() == 7).then_some(id)
}
