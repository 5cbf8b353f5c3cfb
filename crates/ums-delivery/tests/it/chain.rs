//! Every failure class at every position of the chain does what the table says.

use ums_core::{BreakerStateWord, Duplicates, FailureClass, OutcomeWord, ProviderKind, Status};
use ums_testkit::Reply;

use crate::setup::{email, start};

const CHAIN: [ProviderKind; 3] = [ProviderKind::AwsSes, ProviderKind::SendGrid, ProviderKind::Smtp];

/// The row of one class in the table of consequences, written once more by hand.
struct Row {
    class: FailureClass,
    goes_on: bool,
    ends_as: Status,
    opens: bool,
}

fn rows(duplicates: Duplicates) -> [Row; 9] {
    use FailureClass as C;
    let row = |class, goes_on, ends_as, opens| Row {
        class,
        goes_on,
        ends_as,
        opens,
    };
    let again = duplicates == Duplicates::Allow;
    [
        row(C::InvalidMessage, false, Status::Failed, false),
        row(C::InvalidRecipient, false, Status::Failed, false),
        row(C::RecipientBlocked, false, Status::Suppressed, false),
        row(C::Unsupported, true, Status::Failed, false),
        row(C::Misconfigured, true, Status::Failed, true),
        row(C::QuotaExhausted, true, Status::Failed, true),
        row(C::Throttled, true, Status::Failed, false),
        row(C::Unavailable, true, Status::Failed, false),
        row(C::Unknown, again, Status::Unknown, false),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_class_at_every_position() {
    for duplicates in [Duplicates::Allow, Duplicates::Never] {
        for row in rows(duplicates) {
            for position in 0..CHAIN.len() {
                check(&row, position, duplicates).await;
            }
        }
    }
}

/// The providers before `position` refuse plainly, the one there fails with the class, the rest accept.
async fn check(row: &Row, position: usize, duplicates: Duplicates) {
    let bench = start().await;
    for (index, provider) in bench.providers().into_iter().enumerate() {
        if index < position {
            provider.answer(Reply::FailAs(FailureClass::Unavailable));
        } else if index == position {
            provider.answer(Reply::FailAs(row.class));
        }
    }
    let mut request = email();
    request.handling.duplicates = Some(duplicates);
    let result = bench.send(request).await;
    let what = format!("{} at {position} with duplicates {duplicates}", row.class);

    let taken_by_next = row.goes_on && position + 1 < CHAIN.len();
    let expected = if taken_by_next { Status::Sent } else { row.ends_as };
    assert_eq!(result.status, expected, "{what}");
    assert_eq!(result.attempts.len(), position + 1 + usize::from(taken_by_next), "{what}");
    assert_eq!(result.attempts[position].class, Some(row.class), "{what}");
    let unknown = row.class == FailureClass::Unknown;
    let outcome = if unknown { OutcomeWord::Unknown } else { OutcomeWord::Failed };
    assert_eq!(result.attempts[position].outcome, outcome, "{what}");
    assert_eq!(result.possibly_duplicate, unknown && taken_by_next, "{what}");
    assert_eq!(result.error_message.is_none(), taken_by_next, "{what}");
    assert_eq!(result.provider(), taken_by_next.then(|| CHAIN[position + 1]), "{what}");

    let health = bench.engine.health().email_providers;
    let state = health[position].circuit_breaker;
    assert_eq!(state == BreakerStateWord::Open, row.opens, "{what}");
    assert_eq!(
        health[position].failure_count > 0,
        matches!(row.class, FailureClass::Unavailable | FailureClass::Unknown),
        "{what}"
    );
    for provider in bench.providers().into_iter().skip(position + 1 + usize::from(taken_by_next)) {
        assert_eq!(provider.calls(), 0, "{what}: nobody else was contacted");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_two_attempts_may_have_been_accepted() {
    let bench = start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unknown));
    }
    let result = bench.send(email()).await;
    assert_eq!((result.status, result.attempts.len()), (Status::Unknown, 2));
    assert_eq!(bench.smtp.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_unknown_attempt_ends_unknown_not_failed() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unknown));
    bench.sendgrid.answer(Reply::FailAs(FailureClass::InvalidRecipient));
    assert_eq!(bench.send(email()).await.status, Status::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_adapter_is_an_unknown_outcome_and_the_next_provider_sends() {
    let bench = start().await;
    bench.ses.answer_once(Reply::Panic);
    let result = bench.send(email()).await;
    assert_eq!((result.status, result.provider()), (Status::Sent, Some(ProviderKind::SendGrid)));
    assert_eq!(result.attempts[0].code.as_deref(), Some("panic"));
    assert_eq!(bench.send(email()).await.provider(), Some(ProviderKind::AwsSes));
}

#[tokio::test(start_paused = true)]
async fn an_acceptance_without_an_id_is_unknown() {
    let bench = start().await;
    bench.ses.answer_once(Reply::AcceptAs(ums_core::Accepted::new("")));
    let result = bench.send(email()).await;
    assert_eq!(result.attempts[0].outcome, OutcomeWord::Unknown);
    assert!(result.possibly_duplicate);
}
