//! What a server's refusal means, whoever tells of it: a reply to an SMTP command, a bounce, an event of a provider.
//!
//! ```text
//! codes and words → topic (one of a few) → at a stage, or in a report → class of failure
//! ```
//!
//! 1. [`codes`] says what an enhanced code is about, [`words`] what a text is about; [`sentence`] whether it says that an address is dead.
//! 2. Words win over a vague code, and within a family of codes. An enhanced code wins over the reply code. A code quoted in the text is the
//!    remote server's own and wins over a report's status.
//! 3. [`CLASSES`] gives the class of a topic; [`stage`] the class of a reply code that comes without a topic.
//!
//! **Invariant:** an address is dead exactly where the class is `invalid_recipient`, and only by a positive sign: [`Topic::DeadAddress`], or
//! reply 556. Words about the sender, the client, the account, policy, content, protocol, size, quota or the system never condemn an address.
//! In doubt the message goes on or fails, and the suppression list stays as it is.
//!
//! Sources: RFC 5321 §4.2 and §4.3.2, RFC 3463 with IANA's registry of enhanced status codes, RFC 5248, 7293, 7372, 7504, 7505; Gmail
//! (support.google.com/a/answer/3726730), Exchange Online (learn.microsoft.com, "Email nondelivery reports in Exchange Online"), Amazon SES
//! ("SMTP response codes"), SendGrid ("SMTP errors"), Postfix `access(5)` and `postconf(5)`, Exim, sendmail and qmail by their sources; read
//! 2026-11-29.

mod codes;
mod sentence;
mod stage;
#[cfg(test)]
mod tests;
mod words;

use ums_core::{BounceKind, FailureClass};

pub(crate) use self::codes::Enhanced;
pub use self::stage::{Stage, UnknownStage};

use self::codes::CODES;
use self::words::{Text, WORDS};
use crate::failure_table::{ANY_CODE, Row};

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// The mailbox or its domain does not exist, or is closed for good.
    DeadAddress,
    /// The recipient, of whom nothing final is said.
    Recipient,
    /// The recipient's mailbox, which takes nothing now: full, or too much mail at a time.
    NotNow,
    /// A quota, of the recipient or of the account.
    SomeQuota,
    /// An account that is suspended, the recipient's or the sender's.
    Suspended,
    /// The account's allowance.
    Quota,
    /// The pace.
    Rate,
    /// The number of recipients.
    TooManyRecipients,
    /// The sender's address or domain, and their proof (SPF, DKIM, DMARC).
    Sender,
    /// The client's name: HELO, reverse DNS.
    Client,
    /// The login, and what is allowed without one.
    Login,
    /// The account with which the message is sent.
    Account,
    /// A rule of the server: block lists, reputation, policy.
    Policy,
    /// A refusal by a rule that the server does not name.
    Refused,
    /// The content.
    Content,
    /// The size.
    Size,
    /// The protocol: syntax, parameters, order of commands.
    Protocol,
    /// The mail system or the network: disk, pipe, loop, time.
    System,
}

/// Where something is said, as far as the class depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In reply to MAIL.
    Mail,
    /// In reply to RCPT.
    Rcpt,
    /// In reply to DATA or to the message.
    Message,
    /// In a report about a message that a server had taken.
    Report,
}

impl Place {
    /// All places, in the order of a message's way.
    pub const ALL: [Self; 4] = [Self::Mail, Self::Rcpt, Self::Message, Self::Report];
}

/// The class of a topic by where it is said.
pub(crate) struct Meaning {
    topic: Topic,
    /// One for each [`Place`].
    classes: [FailureClass; 4],
    /// Whether the first digit does not matter: waiting mends nothing, or the provider says how long.
    whatever_digit: bool,
    /// Why; for people.
    why: &'static str,
}

impl Meaning {
    const fn at(&self, place: Place) -> FailureClass {
        let [mail, rcpt, message, report] = self.classes;
        match place {
            Place::Mail => mail,
            Place::Rcpt => rcpt,
            Place::Message => message,
            Place::Report => report,
        }
    }
}

const fn meaning(topic: Topic, classes: [FailureClass; 4], why: &'static str) -> Meaning {
    Meaning {
        topic,
        classes,
        whatever_digit: false,
        why,
    }
}

const fn whatever_digit(topic: Topic, class: FailureClass, why: &'static str) -> Meaning {
    Meaning {
        whatever_digit: true,
        ..meaning(topic, [class; 4], why)
    }
}

use FailureClass as C;

/// The table: what follows from each topic, in reply to MAIL, RCPT, the message, and in a report.
pub(crate) const CLASSES: &[Meaning] = &[
    meaning(
        Topic::DeadAddress,
        [C::Misconfigured, C::InvalidRecipient, C::Unsupported, C::InvalidRecipient],
        "the mailbox or its domain does not exist or is closed; a reply to MAIL means the sender's, one to the message names nobody",
    ),
    meaning(
        Topic::Recipient,
        [C::Misconfigured, C::Unsupported, C::Unsupported, C::Unavailable],
        "the recipient is refused, and nothing says that there is none: another provider may get through",
    ),
    meaning(
        Topic::NotNow,
        [C::QuotaExhausted, C::Unavailable, C::Unavailable, C::Unavailable],
        "the mailbox takes nothing now: a persistent transient failure",
    ),
    meaning(
        Topic::SomeQuota,
        [C::QuotaExhausted, C::Unavailable, C::QuotaExhausted, C::Unavailable],
        "a recipient's quota in reply to RCPT, else the account's",
    ),
    meaning(
        Topic::Suspended,
        [C::Misconfigured, C::Unsupported, C::Misconfigured, C::Unavailable],
        "the recipient's account in reply to RCPT, else the sender's",
    ),
    whatever_digit(Topic::Quota, C::QuotaExhausted, "the account's allowance is used up"),
    whatever_digit(Topic::Rate, C::Throttled, "too fast"),
    meaning(
        Topic::TooManyRecipients,
        [C::Unavailable, C::Unavailable, C::Unsupported, C::Unavailable],
        "the rest goes in another transaction",
    ),
    whatever_digit(
        Topic::Sender,
        C::Misconfigured,
        "the sender is refused, or is not proven to be the sender",
    ),
    whatever_digit(Topic::Client, C::Misconfigured, "the client's own name is refused"),
    whatever_digit(
        Topic::Login,
        C::Misconfigured,
        "the server wants a login, or does not relay for this account",
    ),
    whatever_digit(Topic::Account, C::Misconfigured, "the account is stopped or restricted"),
    meaning(
        Topic::Policy,
        [C::Misconfigured, C::Misconfigured, C::Misconfigured, C::Unavailable],
        "a rule of the server about who sends, not about this message or recipient",
    ),
    meaning(
        Topic::Refused,
        [C::Misconfigured, C::Misconfigured, C::Unsupported, C::Unavailable],
        "a rule that the server does not name; of a message, another provider may take it",
    ),
    meaning(
        Topic::Content,
        [C::Misconfigured, C::Misconfigured, C::InvalidMessage, C::InvalidMessage],
        "the content; before the server has it, the sender's repute",
    ),
    meaning(Topic::Size, [C::InvalidMessage; 4], "the message is too large"),
    meaning(
        Topic::Protocol,
        [C::Misconfigured, C::Misconfigured, C::InvalidMessage, C::Unavailable],
        "the server does not understand what it was told",
    ),
    meaning(Topic::System, [C::Unavailable; 4], "the mail system or the network is in trouble"),
];

impl Topic {
    /// The topic's row.
    pub(crate) fn meaning(self) -> &'static Meaning {
        let row = &CLASSES[self as usize];
        debug_assert_eq!(row.topic, self, "the rows stand in the order of the topics");
        row
    }

    /// Whether words on the topic win over a sign that the address is dead: a server that verifies the sender says that *that* one is unknown,
    /// one that counts bad recipients names them in the plural, and a mailbox that is over its quota is there.
    const fn wins_over_dead_address(self) -> bool {
        matches!(
            self,
            Self::Sender | Self::Client | Self::Login | Self::NotNow | Self::SomeQuota | Self::Quota | Self::Rate
        )
    }

    /// Whether a text may hold words on the topic by the way, and be about a recipient who does not exist.
    const fn may_hide_dead_address(self) -> bool {
        matches!(self, Self::Account | Self::Policy | Self::Content | Self::Protocol | Self::System)
    }
}

/// What was said of a message or a recipient.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said<'a> {
    /// The reply code; none where only words were passed on.
    pub(crate) reply: Option<u16>,
    /// The code of a report, which whoever wrote the report chose.
    pub(crate) status: Option<Enhanced>,
    /// The server's own words, with the enhanced codes that stand in them.
    pub(crate) text: &'a str,
}

impl<'a> Said<'a> {
    /// What a report says in two fields: a status and a server's reply (`550 5.1.1 …`, perhaps behind `smtp;` and the server's name).
    pub(crate) fn of_fields(status: &str, reply: &'a str) -> Self {
        Self {
            reply: codes::reply_in(reply),
            status: Enhanced::find(status),
            text: reply,
        }
    }

    /// The topic; none where codes and words say nothing that is known.
    pub(crate) fn topic(&self) -> Option<Topic> {
        let text = Text::read(self.text);
        let (code, words) = (self.code(), text.topic());
        if code.is_some_and(|code| text.condemns_by_vendor(code)) {
            return Some(Topic::DeadAddress);
        }
        let code = code.and_then(Enhanced::topic);
        let is_dead = text.speaks_of_dead_address();
        match (code, words) {
            (_, Some(words)) if words.wins_over_dead_address() => Some(words),
            // Somebody's account is stopped; where the text says that there is no such mailbox, too, it is the recipient's.
            (None, Some(Topic::Suspended)) if text.speaks_of_missing_address() => Some(Topic::DeadAddress),
            (Some(Topic::DeadAddress), words) if is_dead || words.is_none() => Some(Topic::DeadAddress),
            (None, None) => (is_dead && (self.reply == Some(552) || !self.reply_is_of_something_else())).then_some(Topic::DeadAddress),
            // Code and words disagree, or words and words: somebody's rule, or somebody who is not there.
            (_, None) if is_dead => Some(Topic::Recipient),
            (_, Some(words)) if is_dead && words.may_hide_dead_address() => Some(Topic::Recipient),
            (code, words) => words.or(code),
        }
    }

    /// The code that counts: one in the text, else the report's. Of several the first that is about something other than a dead address: a
    /// server that passes on another's reply may put its own code in front. A code of another class than the reply's is no code, unless it is
    /// about a full mailbox or the mail system: whoever gave up in the end made the reply.
    pub(crate) fn code(&self) -> Option<Enhanced> {
        let is_passing = |code: &Enhanced| matches!((code.class, code.subject, code.detail), (4, 2, 2) | (4, 3, _));
        let quoted =
            || Enhanced::all(self.text).filter(|code| self.reply.is_none_or(|reply| reply / 100 == code.class) || is_passing(code));
        let absolves = |code: &Enhanced| code.topic().is_some_and(|topic| topic != Topic::DeadAddress);
        let status = self.status.filter(|status| absolves(status) || !self.reply_is_of_something_else());
        quoted()
            .find(absolves)
            .or_else(|| quoted().find(|code| code.topic().is_some()))
            .or_else(|| status.filter(|status| absolves(status) || quoted().next().is_none()))
            .or_else(|| quoted().next())
    }

    /// Whether the reply code is about syntax, a login, storage: whoever wrote another status beside it did not look.
    fn reply_is_of_something_else(&self) -> bool {
        matches!(self.reply, Some(501..=504 | 530..=538 | 552 | 555))
    }

    /// Whether the refusal is for good: a quoted code says so, else the reply code, else the status.
    fn is_for_good(&self) -> bool {
        let quoted = Enhanced::find(self.text).map(|code| code.class);
        let class = self
            .reply
            .map(|reply| reply / 100)
            .or(quoted)
            .or(self.status.map(|status| status.class));
        class == Some(5)
    }
}

/// What a reply at a stage means, and what it is about. `enhanced` is the code that the text begins with.
pub(crate) fn of_reply(stage: Stage, code: u16, enhanced: Option<&str>, text: &str) -> (FailureClass, Option<Topic>) {
    let said = Said {
        reply: Some(code),
        status: None,
        text,
    };
    let topic = said.topic();
    let by_topic = topic.and_then(|topic| class_at(stage, code, topic, text));
    let class = by_topic.unwrap_or_else(|| stage::class_of_code(stage, code, enhanced));
    (class, topic)
}

/// The class of a topic at a stage; none where the code's own row holds.
fn class_at(stage: Stage, code: u16, topic: Topic, text: &str) -> Option<FailureClass> {
    let row = topic.meaning();
    let is_pace = matches!(topic, Topic::Quota | Topic::Rate);
    // Before a message has begun everything else is the connection's.
    if !stage.is_of_message() {
        return is_pace.then_some(row.at(Place::Message));
    }
    // 421 ends the connection, whatever it says. A bad sequence of commands is begun anew, unless the server waits for a login.
    let is_of_moment = code < 500 || code == 503;
    let waits = !row.whatever_digit || (!is_pace && Text::read(text).says_not_yet());
    if code == 421 || (is_of_moment && waits) {
        return None;
    }
    Some(row.at(match stage {
        Stage::Rcpt => Place::Rcpt,
        Stage::Data | Stage::Dot => Place::Message,
        Stage::Mail | Stage::Connect | Stage::Ehlo | Stage::Starttls | Stage::Auth => Place::Mail,
    }))
}

/// The tables as rows, for people: enhanced codes, words (`|` between two), and reply codes that come without either.
pub fn rows(place: Place) -> Vec<Row> {
    let of_topic = |code, topic: Topic, source| Row::of_code(code, topic.meaning().at(place), topic.meaning().why, source);
    let codes = CODES.iter().map(|(code, _, topic, source)| of_topic(*code, *topic, *source));
    let words = WORDS
        .iter()
        .map(|(topic, words, source)| of_topic(ANY_CODE, *topic, *source).saying(words));
    codes.chain(words).chain(stage::rows(place)).collect()
}

/// What a report about a message that did not arrive means.
pub(crate) fn of_report(said: &Said<'_>) -> (BounceKind, FailureClass) {
    let class = match said.topic() {
        // Not now, says the server, and somebody gave up.
        _ if !said.is_for_good() => FailureClass::Unavailable,
        Some(topic) => topic.meaning().at(Place::Report),
        None if said.reply == Some(556) => FailureClass::InvalidRecipient,
        None => FailureClass::Unavailable,
    };
    if class == FailureClass::InvalidRecipient {
        (BounceKind::Hard, class)
    } else {
        (BounceKind::Soft, class)
    }
}
