//! Records of messages, without a store.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    AccountId, ActKind, ActRecord, AttemptId, AttemptOutcome, AttemptRecord, Failure, FailureClass, Message, MessageId, MessageRecord,
    ProviderKind, RecipientSet, RefusedRecipient, SendEmail, Skip, SkipReason, Status, TenantId, Timestamp, Work,
};
use ums_testkit::{SeededRandom, TestClock};

/// So many milliseconds after the message was accepted.
pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap() + Duration::from_millis(millis)
}

/// A receipt to these addresses, which nothing happened to yet.
pub(crate) fn record(to: &[&str]) -> MessageRecord {
    let first = SendEmail::new(to.first().copied().unwrap(), "Your receipt").text("Thank you.");
    let parsed = SendEmail {
        cc: to.iter().skip(1).copied().collect::<Vec<_>>().into(),
        ..first
    }
    .parse()
    .unwrap();
    let message = Message {
        id: "01a203d6-f1c2-7e55-9d0b-3a1f6f0c9a77".parse::<MessageId>().unwrap(),
        tenant: TenantId::default(),
        content: parsed.content,
        handling: parsed.handling,
        metadata: parsed.metadata,
        accepted_at: at(0),
        expires_at: at(259_200_000),
    };
    MessageRecord::accepted(Arc::new(message), Status::Pending)
}

/// The record of a message to one recipient.
pub(crate) fn receipt() -> MessageRecord {
    record(&["a@example.com"])
}

/// Where the message stands with all its recipients; a final word leaves nothing to be done.
pub(crate) fn stand(record: &mut MessageRecord, status: Status) {
    record.status = status;
    record.work = if status.is_final() { Work::Ended } else { Work::Due(at(60_000)) };
    for recipient in &mut record.recipients {
        recipient.status = status;
    }
}

/// Where one recipient stands, and why.
pub(crate) fn stands(record: &mut MessageRecord, place: usize, status: Status, reason: Option<&str>) {
    record.recipients[place].status = status;
    record.recipients[place].reason = reason.map(str::to_owned);
}

/// A call for the recipients at these places.
pub(crate) fn call(provider: ProviderKind, millis: u64, places: &[usize]) -> AttemptRecord {
    let id = AttemptId::new(&TestClock::new(), &SeededRandom::new(millis));
    let recipients: RecipientSet = places.iter().copied().collect();
    AttemptRecord::intent(id, provider, AccountId::default(), at(millis), recipients)
}

/// A call that a provider took.
pub(crate) fn taken(provider: ProviderKind, millis: u64, places: &[usize]) -> AttemptRecord {
    AttemptRecord {
        outcome: AttemptOutcome::Accepted,
        duration_ms: Some(12),
        ..call(provider, millis, places)
    }
}

/// A call that failed.
pub(crate) fn failed(provider: ProviderKind, millis: u64, class: FailureClass, code: &str) -> AttemptRecord {
    AttemptRecord {
        outcome: if class.may_have_been_accepted() {
            AttemptOutcome::Unknown
        } else {
            AttemptOutcome::Failed
        },
        class: Some(class),
        code: Some(code.to_owned()),
        duration_ms: Some(12),
        ..call(provider, millis, &[0])
    }
}

/// A recipient whom the provider refused with an SMTP reply.
pub(crate) fn refused(place: usize, class: FailureClass, code: &str, detail: &str) -> RefusedRecipient {
    RefusedRecipient {
        place,
        failure: Failure::provider(class, code, detail),
    }
}

/// A provider that was passed over.
pub(crate) fn skip(provider: ProviderKind, millis: u64, reason: SkipReason, detail: &str) -> Skip {
    Skip {
        provider,
        account: AccountId::default(),
        at: at(millis),
        reason,
        detail: detail.to_owned(),
    }
}

/// Something that was done to the message.
pub(crate) fn act(millis: u64, kind: ActKind, detail: &str) -> ActRecord {
    ActRecord {
        at: at(millis),
        kind,
        detail: detail.to_owned(),
    }
}
