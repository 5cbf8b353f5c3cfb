//! SES's events in our words: event publishing (`eventType`) and notifications of an identity (`notificationType`).
//!
//! - Our ids come as message tags, which SES sends only with a configuration set; else by the `Message-ID` that we gave the mail.
//! - A complaint may name everybody at a domain that the mail went to, where the domain does not tell who complained. All of them are spared.
//! - **Sources**: Amazon SES developer guide, "Contents of event data that Amazon SES publishes to Amazon SNS", "Amazon SNS notification
//!   contents for Amazon SES"; the last four bounce subtypes as public programs meet them; read 2026-11-22.

use serde_json::Value;
use ums_core::{AccountId, BounceKind, Event, EventKind, EventSubject, FailureClass, ProviderKind, SuppressionReason, Timestamp, redact};

use super::reading::{clip, event_id, list, our_id, text, time};
use crate::verdict::{self, Said};

/// Types of events: SES's word, the member that tells more, the member of it that lists recipients, our word.
/// Where there is no list, the event is about all recipients of the mail.
const TYPES: &[(&str, &str, Option<&str>, EventKind)] = &[
    ("Bounce", "bounce", Some("bouncedRecipients"), EventKind::Bounced),
    ("Click", "click", None, EventKind::Clicked),
    ("Complaint", "complaint", Some("complainedRecipients"), EventKind::Complained),
    ("Delivery", "delivery", Some("recipients"), EventKind::Delivered),
    ("DeliveryDelay", "deliveryDelay", Some("delayedRecipients"), EventKind::Deferred),
    ("Open", "open", None, EventKind::Opened),
    ("Reject", "reject", None, EventKind::Rejected),
    ("Rendering Failure", "failure", None, EventKind::Failed),
    ("Send", "send", None, EventKind::Sent),
    ("Subscription", "subscription", None, EventKind::Unsubscribed),
];

/// What a report means for the recipient.
#[derive(Clone, Copy)]
struct Meaning {
    kind: EventKind,
    bounce: Option<BounceKind>,
    class: Option<FailureClass>,
    suppress: Option<SuppressionReason>,
}

impl Meaning {
    const fn of(kind: EventKind) -> Self {
        Self {
            kind,
            bounce: None,
            class: None,
            suppress: None,
        }
    }

    const fn bounced(bounce: BounceKind, class: Option<FailureClass>) -> Self {
        Self {
            bounce: Some(bounce),
            class,
            ..Self::of(EventKind::Bounced)
        }
    }
}

/// The address does not exist.
const HARD: Meaning = Meaning {
    suppress: Some(SuppressionReason::HardBounce),
    ..Meaning::bounced(BounceKind::Hard, Some(FailureClass::InvalidRecipient))
};
/// The recipient's side does not take it now; an automatic answer is reported like this too. Suppresses nobody.
const SOFT: Meaning = Meaning::bounced(BounceKind::Soft, Some(FailureClass::Unavailable));
/// The recipient's side does not take *this* mail.
const SOFT_CONTENT: Meaning = Meaning::bounced(BounceKind::Soft, Some(FailureClass::InvalidMessage));
/// SES did not send it, because of a list of its own. What put the address there was reported when it happened.
const LISTED: Meaning = Meaning {
    class: Some(FailureClass::RecipientBlocked),
    ..Meaning::of(EventKind::Rejected)
};
/// SES did not send it, because the recipient had unsubscribed from a contact list. Its suppression lists hold bounces and complaints only
/// ("Using the Amazon SES account-level suppression list").
const UNSUBSCRIBED: Meaning = Meaning {
    class: Some(FailureClass::ProviderUnsubscribed),
    suppress: Some(SuppressionReason::Unsubscribe),
    ..LISTED
};

/// Bounces by type and subtype. Others mean what their type does: [`bounce_of_type`]. What the recipient's server said may absolve the address:
/// [`Report::looked_at`].
const BOUNCES: &[(&str, &str, Meaning)] = &[
    ("Permanent", "EmailValidationSuppressed", LISTED),
    ("Permanent", "General", HARD),
    ("Permanent", "NoEmail", HARD),
    ("Permanent", "OnAccountSuppressionList", LISTED),
    ("Permanent", "OnTenantSuppressionList", LISTED),
    ("Permanent", "Suppressed", LISTED),
    ("Permanent", "UnsubscribedRecipient", UNSUBSCRIBED),
    ("Transient", "AttachmentRejected", SOFT_CONTENT),
    ("Transient", "ContentRejected", SOFT_CONTENT),
    ("Transient", "CustomTimeoutExceeded", SOFT),
    ("Transient", "General", SOFT),
    ("Transient", "MailboxFull", SOFT),
    ("Transient", "MessageTooLarge", SOFT_CONTENT),
    ("Undetermined", "Undetermined", SOFT),
];

/// A subtype that is not in the table suppresses nobody: what we cannot read we do not act on for good.
fn bounce_of_type(kind: &str) -> Option<Meaning> {
    match kind {
        "Permanent" => Some(Meaning { suppress: None, ..HARD }),
        "Transient" | "Undetermined" => Some(SOFT),
        _ => None,
    }
}

/// Reads one event; nothing when the payload is none of SES's.
pub(super) fn read(payload: &Value, account: &AccountId) -> Option<Vec<Event>> {
    let word = text(payload, "eventType").or_else(|| text(payload, "notificationType"))?;
    if word == "AmazonSnsSubscriptionSucceeded" {
        return Some(Vec::new());
    }
    let mail = &payload["mail"];
    let row = TYPES.iter().find(|(known, ..)| *known == word);
    let Some((_, member, recipients, kind)) = row.filter(|(_, member, ..)| payload[*member].is_object()) else {
        return Some(vec![unknown(payload, word, account)]);
    };
    let report = Report {
        payload,
        word,
        mail,
        body: &payload[*member],
        account,
    };
    let people = report.people(*recipients);
    let events = people.iter().flat_map(|person| report.events(*kind, person)).collect();
    Some(events)
}

/// One payload of a type that we know.
struct Report<'a> {
    payload: &'a Value,
    word: &'a str,
    mail: &'a Value,
    body: &'a Value,
    account: &'a AccountId,
}

/// A recipient, and what the payload says of them.
struct Person<'a> {
    address: Option<&'a str>,
    said: &'a Value,
}

impl<'a> Report<'a> {
    /// Whom the report is about. Who opened a mail to several is not told; what became of such a mail as a whole is told of each.
    fn people(&self, member: Option<&str>) -> Vec<Person<'a>> {
        let named: Vec<Person<'a>> = match member {
            Some(member) => list(self.body, member)
                .map(|said| Person {
                    address: bare(said.as_str().or_else(|| text(said, "emailAddress"))),
                    said,
                })
                .collect(),
            None => list(self.mail, "destination")
                .map(|said| Person {
                    address: bare(said.as_str()),
                    said,
                })
                .collect(),
        };
        let nobody = Person {
            address: None,
            said: &Value::Null,
        };
        let one_of_them = matches!(self.word, "Open" | "Click" | "Subscription");
        if named.is_empty() || (one_of_them && named.len() > 1) {
            vec![nobody]
        } else {
            named
        }
    }

    fn events(&self, kind: EventKind, person: &Person<'_>) -> Vec<Event> {
        let body = self.body;
        let (word, meaning) = match self.word {
            "Bounce" => self.bounce(person),
            "Complaint" => self.complaint(),
            "DeliveryDelay" => (self.with(&[text(body, "delayType")]), Some(Meaning::of(kind))),
            "Reject" | "Rendering Failure" => {
                let class = Some(FailureClass::InvalidMessage);
                (
                    self.word.to_owned(),
                    Some(Meaning {
                        class,
                        ..Meaning::of(kind)
                    }),
                )
            }
            "Subscription" => (self.word.to_owned(), Some(self.subscription())),
            _ => (self.word.to_owned(), Some(Meaning::of(kind))),
        };
        let Some(meaning) = meaning else {
            return vec![Event {
                word,
                ..self.event(EventKind::Unknown, person, Some(self.payload))
            }];
        };
        let event = Event {
            word,
            bounce: meaning.bounce,
            class: meaning.class,
            suppress: meaning.suppress,
            ..self.event(meaning.kind, person, None)
        };
        // A mail that was not sent because its recipient had unsubscribed is two reports: they do not want more, and it did not go out.
        if event.kind == EventKind::Rejected && event.suppress.is_some() {
            let opted_out = Event {
                class: None,
                ..self.with_word(event.word.clone(), EventKind::Unsubscribed, person, event.suppress)
            };
            let rejected = Event { suppress: None, ..event };
            return vec![opted_out, rejected];
        }
        vec![event]
    }

    fn with_word(&self, word: String, kind: EventKind, person: &Person<'_>, suppress: Option<SuppressionReason>) -> Event {
        let mut event = self.event(kind, person, None);
        event.id = event_id(&[&event.id, kind.as_str()]);
        Event { word, suppress, ..event }
    }

    fn bounce(&self, person: &Person<'_>) -> (String, Option<Meaning>) {
        let kind = text(self.body, "bounceType").unwrap_or_default();
        let subtype = text(self.body, "bounceSubType").unwrap_or_default();
        let word = self.with(&[Some(kind), Some(subtype)]);
        let row = BOUNCES.iter().find(|(a, b, _)| (*a, *b) == (kind, subtype));
        let meaning = row.map(|(.., meaning)| *meaning).or_else(|| bounce_of_type(kind));
        let meaning = meaning.map(|meaning| Self::looked_at(meaning, subtype, person));
        // Some of several recipients may still be tried.
        let goes_on = kind != "Permanent" && text(person.said, "action") == Some("delayed");
        let meaning = if goes_on { Some(Meaning::of(EventKind::Deferred)) } else { meaning };
        (word, meaning)
    }

    /// A bounce that condemns the address, after a look at the server's own words. `General` is what SES calls a refusal for good without a
    /// closer look, for policy as well as for a mailbox that does not exist; `NoEmail` says that there is none. Without any word of the server
    /// SES's own advice holds: "remove the recipient's email address from your mailing list" (developer guide, bounce types).
    fn looked_at(meaning: Meaning, subtype: &str, person: &Person<'_>) -> Meaning {
        if meaning.suppress != Some(SuppressionReason::HardBounce) {
            return meaning;
        }
        let status = text(person.said, "status").unwrap_or_default();
        let diagnostic = text(person.said, "diagnosticCode").unwrap_or_default();
        let said = Said::of_fields(status, diagnostic);
        let says_nothing = status.is_empty() && diagnostic.is_empty();
        if says_nothing || (subtype == "NoEmail" && said.topic().is_none()) {
            return meaning;
        }
        let (bounce, class) = verdict::of_report(&said);
        if bounce == BounceKind::Hard {
            meaning
        } else {
            Meaning::bounced(bounce, Some(class))
        }
    }

    fn complaint(&self) -> (String, Option<Meaning>) {
        let subtype = text(self.body, "complaintSubType");
        let kind = text(self.body, "complaintFeedbackType");
        let meaning = match (subtype, kind) {
            // The recipient complained about an earlier mail; this one was not sent.
            (Some("OnAccountSuppressionList" | "OnTenantSuppressionList"), _) => Some(LISTED),
            // Somebody took the mail out of the spam folder, or complains of something else than unwanted mail (RFC 5965 §7.3, RFC 6591).
            (_, Some("auth-failure" | "not-spam" | "virus")) => None,
            (_, _) => Some(Meaning {
                suppress: Some(SuppressionReason::Complaint),
                ..Meaning::of(EventKind::Complained)
            }),
        };
        (self.with(&[subtype, kind]), meaning)
    }

    /// An opt-out from any topic is one from all: it is the smaller fault.
    fn subscription(&self) -> Meaning {
        let wishes = &self.body["newTopicPreferences"];
        let leaves_one = list(wishes, "topicSubscriptionStatus")
            .any(|topic| text(topic, "subscriptionStatus").is_some_and(|status| status.eq_ignore_ascii_case("OptOut")));
        if leaves_one || wishes["unsubscribeAll"].as_bool() == Some(true) {
            Meaning {
                suppress: Some(SuppressionReason::Unsubscribe),
                ..Meaning::of(EventKind::Unsubscribed)
            }
        } else if wishes["unsubscribeAll"].as_bool() == Some(false) {
            Meaning::of(EventKind::Subscribed)
        } else {
            // What cannot be read takes nobody's wish back.
            Meaning::of(EventKind::Unknown)
        }
    }

    /// What all events of the payload have in common. The id is made of what the event says, so that two ways to us tell one event.
    fn event(&self, kind: EventKind, person: &Person<'_>, raw: Option<&Value>) -> Event {
        let (mail, body) = (self.mail, self.body);
        let message_id = text(mail, "messageId");
        let stamp = text(body, "timestamp").or_else(|| text(mail, "timestamp"));
        let what = text(body, "feedbackId").or(stamp).unwrap_or_default();
        let address = person.address.unwrap_or_default().to_lowercase();
        let id = event_id(&[message_id.unwrap_or_default(), self.word, what, &address]);
        let code = text(person.said, "status").or_else(|| text(body, "complaintFeedbackType"));
        let detail = text(person.said, "diagnosticCode")
            .or_else(|| text(body, "smtpResponse"))
            .or_else(|| text(body, "reason"))
            .or_else(|| text(body, "errorMessage"));
        Event {
            account: self.account.clone(),
            recipient: person.address.map(str::to_owned),
            at: stamp.and_then(time),
            about: subject(mail),
            code: code.map(|code| redact(&clip(code, 64))),
            detail: detail.map(redact),
            raw: raw.map(|raw| clip(&raw.to_string(), 4096)),
            ..Event::new(ProviderKind::AwsSes, id, kind, self.word)
        }
    }

    /// `Bounce/Permanent/General`.
    fn with(&self, parts: &[Option<&str>]) -> String {
        let mut word = self.word.to_owned();
        for part in parts.iter().flatten().filter(|part| !part.is_empty()) {
            word.push('/');
            word.push_str(&clip(part, 64));
        }
        word
    }
}

/// An event of a type that is not in our tables.
fn unknown(payload: &Value, word: &str, account: &AccountId) -> Event {
    let mail = &payload["mail"];
    let whole = payload.to_string();
    let people: Vec<&str> = list(mail, "destination").filter_map(Value::as_str).collect();
    let stamp: Option<Timestamp> = text(mail, "timestamp").and_then(time);
    Event {
        account: account.clone(),
        recipient: match people[..] {
            [one] => bare(Some(one)).map(str::to_owned),
            _ => None,
        },
        at: stamp,
        about: subject(mail),
        raw: Some(clip(&whole, 4096)),
        ..Event::new(
            ProviderKind::AwsSes,
            event_id(&[text(mail, "messageId").unwrap_or_default(), word, &whole]),
            EventKind::Unknown,
            clip(word, 64),
        )
    }
}

/// Which message a mail is: by tags, else by the id that we wrote into it.
fn subject(mail: &Value) -> EventSubject {
    let tag = |name: &str| list(&mail["tags"], name).next().and_then(Value::as_str);
    let in_header = || {
        list(mail, "headers")
            .find(|header| text(header, "name").is_some_and(|name| name.eq_ignore_ascii_case("Message-ID")))
            .and_then(|header| text(header, "value"))
            .or_else(|| text(&mail["commonHeaders"], "messageId"))
            .and_then(|value| value.trim().trim_start_matches('<').split('@').next())
    };
    EventSubject {
        attempt_id: tag("ums_attempt_id").or_else(in_header).and_then(our_id),
        message_id: tag("ums_message_id").and_then(our_id),
        provider_message_id: text(mail, "messageId").map(|id| clip(id, 255)),
    }
}

/// The address of `Name <address>`.
fn bare(address: Option<&str>) -> Option<&str> {
    let address = address?.trim();
    let inner = address
        .strip_suffix('>')
        .and_then(|rest| rest.rsplit_once('<'))
        .map_or(address, |(_, inner)| inner);
    (!inner.is_empty() && inner.len() <= 320).then_some(inner)
}
