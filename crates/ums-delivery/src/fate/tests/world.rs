//! What the tests of the decision core are made of: messages, intents, answers, reports.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    Accepted, AccountId, AttemptId, Content, Duplicates, EmailAddress, Event, EventKind, EventRecord, Failure, FailureClass, Message,
    MessageRecord, OnExhausted, ProviderKind, Purpose, RecipientSet, Refusal, SendEmail, SendSms, Status, Suppression, SuppressionOrigin,
    SuppressionReason, TenantId, Timestamp,
};

use super::super::{Answer, Intent, Search};
use crate::rules::Rules;

pub(super) const ADDRESSES: [&str; 4] = ["ada@example.com", "ben@example.net", "cleo@example.org", "dora@example.edu"];
pub(super) const CHAIN: [ProviderKind; 3] = [ProviderKind::AwsSes, ProviderKind::SendGrid, ProviderKind::Smtp];
/// When every message of the tests was accepted, and when it is given up, in seconds.
pub(super) const ACCEPTED: i64 = 0;
pub(super) const EXPIRES: i64 = 3_600;

/// That many seconds after the messages were accepted.
pub(super) fn second(second: i64) -> Timestamp {
    Timestamp::from_micros(1_795_341_600_000_000 + second * 1_000_000)
}

pub(super) fn attempt_id(number: usize) -> AttemptId {
    format!("01993c00-0000-7000-8000-{number:012x}").parse().unwrap()
}

/// How a message is to be handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    pub(super) purpose: Purpose,
    pub(super) duplicates: Duplicates,
    /// What its sender says; none to leave it to the route.
    pub(super) on_exhausted: Option<OnExhausted>,
    pub(super) via: bool,
}

impl Wishes {
    /// A receipt that is held, and may be sent twice.
    pub(super) const USUAL: Self = Self {
        purpose: Purpose::Transactional,
        duplicates: Duplicates::Allow,
        on_exhausted: Some(OnExhausted::Hold),
        via: false,
    };

    pub(super) fn never_twice(self) -> Self {
        Self {
            duplicates: Duplicates::Never,
            ..self
        }
    }

    pub(super) fn fails(self) -> Self {
        Self {
            on_exhausted: Some(OnExhausted::Fail),
            ..self
        }
    }

    /// A message to so many that was just accepted: it is worked on.
    pub(super) fn email(self, recipients: usize) -> MessageRecord {
        let copies = ADDRESSES[1..recipients].to_vec();
        let request = SendEmail::new(ADDRESSES[0], "Notice").text("Hello");
        let parsed = SendEmail {
            cc: copies.into(),
            ..request
        }
        .parse()
        .unwrap();
        self.message(parsed.content)
    }

    pub(super) fn sms(self) -> MessageRecord {
        let parsed = SendSms::new("+15550100001", "Hello").parse(None);
        self.message(parsed.unwrap().content)
    }

    fn message(self, content: Content) -> MessageRecord {
        let message = Message {
            id: "01993c00-0000-7000-8000-000000000001".parse().unwrap(),
            tenant: TenantId::default(),
            content,
            handling: ums_core::Handling {
                list: None,
                purpose: self.purpose,
                duplicates: self.duplicates,
                on_exhausted: self.on_exhausted,
                via: self.via.then_some(CHAIN[0]),
                send_at: None,
                expires_in: None,
            },
            metadata: ums_core::Metadata::new(),
            accepted_at: second(ACCEPTED),
            expires_at: second(EXPIRES),
        };
        MessageRecord::accepted(Arc::new(message), Status::Pending)
    }
}

/// What holds for all messages: they are held with a durable store.
pub(super) fn rules() -> Rules {
    Rules {
        on_exhausted: Some(OnExhausted::Hold),
        ..Rules::default()
    }
}

pub(super) fn places(places: &[usize]) -> RecipientSet {
    places.iter().copied().collect()
}

/// The next intent of a message, for those recipients.
pub(super) fn intent(record: &MessageRecord, provider: usize, recipients: RecipientSet) -> Intent {
    Intent {
        id: attempt_id(record.attempts.len()),
        provider: CHAIN[provider],
        account: AccountId::default(),
        recipients,
        price_micros: Some(100),
    }
}

/// A search that found every provider of the chain tried already.
pub(super) const ALL_TRIED: Search = Search {
    soonest: None,
    paced: false,
    providers: CHAIN.len(),
    chance: 0.5,
};

/// A search that passed over providers, of which the first may be called then.
pub(super) fn passed_over(soonest: Duration) -> Search {
    Search {
        soonest: Some(soonest),
        ..ALL_TRIED
    }
}

pub(super) fn answer(result: Result<Accepted, Failure>, at: Timestamp) -> Answer {
    Answer {
        result,
        took: Duration::from_millis(12),
        at,
    }
}

pub(super) fn failure(class: FailureClass) -> Failure {
    Failure::provider(class, format!("code-{class}"), "in words")
}

pub(super) fn refusal(place: usize, class: FailureClass) -> Refusal {
    Refusal {
        address: EmailAddress::parse(ADDRESSES[place]).unwrap(),
        failure: failure(class),
        next_transaction: false,
    }
}

/// Taken for those who are not refused.
pub(super) fn taken(refused: Vec<Refusal>) -> Accepted {
    Accepted {
        refused,
        ..Accepted::new("id")
    }
}

/// The recipient at that place opted out.
pub(super) fn opt_out(place: usize, reason: SuppressionReason) -> Suppression {
    Suppression {
        tenant: TenantId::default(),
        channel: ums_core::Channel::Email,
        address: ADDRESSES[place].to_owned(),
        reason,
        list: None,
        origin: SuppressionOrigin::Link,
        provider: None,
        account: None,
        message_id: None,
        detail: None,
        since: second(1),
        expires_at: None,
        lifted_at: None,
    }
}

/// A report about an attempt, by its number, and a recipient.
pub(super) fn report(number: i64, kind: EventKind, about: Option<usize>, recipient: Option<&str>) -> EventRecord {
    let provider = about.map_or(ProviderKind::AwsSes, |about| CHAIN[about % CHAIN.len()]);
    let mut event = Event::new(provider, format!("event-{number}"), kind, format!("word-{kind}"));
    event.recipient = recipient.map(str::to_owned);
    event.at = Some(second(number));
    event.about.provider_message_id = about.map(|about| format!("id-{about}"));
    EventRecord {
        event,
        received_at: second(10_000 + number),
        attempt_id: about.map(attempt_id),
    }
}

/// Adds those reports that the message does not have yet, and decides.
pub(super) fn with_reports(mut record: MessageRecord, reports: &[EventRecord], now: Timestamp) -> MessageRecord {
    for report in reports {
        if record.events.iter().all(|known| known.event.id != report.event.id) {
            record.events.push(report.clone());
        }
    }
    super::super::reported(&record, now)
}
