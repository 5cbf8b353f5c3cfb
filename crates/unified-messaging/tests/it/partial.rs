//! Messages to several recipients of whom a provider takes some: each recipient has a fate of its own, over the real wire.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ums_simulator::{Fault, Mode, Provider, SimMessage};
use ums_testkit::TestClock;
use unified_messaging::{MessageRecord, OnExhausted, OutcomeWord, ProviderKind, Purpose, SendResult, Status, SuppressionReason};

use crate::scripted_smtp::{Answer, Cut, Script, ScriptedSmtp};
use crate::setup::{Bed, Setup, email_to, simulator};

const A: &str = "a@example.com";
const B: &str = "b@example.com";
const C: &str = "c@example.com";
const ALL: [&str; 3] = [A, B, C];

fn deferring(address: &str) -> Fault {
    Fault::new(Mode::Defer).recipients([address])
}

fn rejecting(address: &str) -> Fault {
    Fault::new(Mode::Reject).recipients([address])
}

/// SMTP alone, under a fault.
async fn smtp_under(fault: Fault) -> Bed {
    let bed = Setup::alone(Provider::Smtp).durable().start().await;
    bed.simulator.set_fault(Provider::Smtp, fault).await.unwrap();
    bed
}

/// SMTP alone, by a script.
async fn smtp_by(script: Script) -> (Bed, ScriptedSmtp) {
    let smtp = ScriptedSmtp::start(script).await;
    let setup = Setup {
        through: Some((Provider::Smtp, smtp.address)),
        ..Setup::alone(Provider::Smtp).durable()
    };
    let bed = setup.start_at(simulator().await, Arc::new(TestClock::new())).await;
    (bed, smtp)
}

fn recipients_of(messages: &[SimMessage]) -> Vec<Vec<String>> {
    messages.iter().map(|message| message.to.clone()).collect()
}

fn ends(record: &MessageRecord) -> Vec<Status> {
    record.recipients.iter().map(|recipient| recipient.status).collect()
}

fn ends_of(result: &SendResult) -> Vec<Status> {
    result.recipients.iter().map(|recipient| recipient.status).collect()
}

#[tokio::test]
async fn a_greylisted_recipient_is_tried_again_alone() {
    let bed = smtp_under(deferring(B)).await;
    let first = bed.send(email_to(&ALL)).await;
    assert_eq!((first.status, first.open_recipients), (Status::Sent, 1));
    assert_eq!(ends_of(&first), [Status::Sent, Status::Queued, Status::Sent]);
    let error = first.error_message.unwrap();
    assert!(error.contains(B) && error.contains("451 4.7.1"), "{error}");
    assert!(!error.contains(A) && !error.contains(C), "{error}");

    let still = bed.next_round(first.message_id).await;
    assert_eq!(
        (still.status, still.result().open_recipients),
        (Status::Sent, 1),
        "greylisted still"
    );
    bed.simulator.heal(Provider::Smtp).await.unwrap();
    let last = bed.next_round(first.message_id).await;
    assert!(last.has_ended());
    let result = last.result();
    assert_eq!(
        (result.status, result.open_recipients, result.error_message),
        (Status::Sent, 0, None)
    );
    assert_eq!(ends(&last), [Status::Sent; 3]);
    assert_eq!(last.sent_at, first.sent_at, "the first recipient's time stays");
    let asked: Vec<_> = result.attempts.iter().map(|attempt| attempt.recipients.clone()).collect();
    assert_eq!(asked, [vec![A, C], vec![B], vec![B]]);
    assert_eq!(recipients_of(&bed.received(Provider::Smtp)), [vec![A, C], vec![B]]);
}

#[tokio::test]
async fn a_message_whose_first_recipient_is_greylisted_is_queued_and_then_sent() {
    let bed = smtp_under(deferring(A)).await;
    let first = bed.send(email_to(&ALL)).await;
    assert_eq!((first.status, first.open_recipients), (Status::Queued, 1));
    assert_eq!(ends_of(&first), [Status::Queued, Status::Sent, Status::Sent]);
    assert!(first.error_message.unwrap().contains("451 4.7.1"));
    bed.simulator.heal(Provider::Smtp).await.unwrap();
    let last = bed.next_round(first.message_id).await;
    assert_eq!((last.status, ends(&last)), (Status::Sent, vec![Status::Sent; 3]));
    assert_eq!(last.sent_at, Some(bed.clock_now()), "when the first recipient was taken");
    assert_eq!(recipients_of(&bed.received(Provider::Smtp)), [vec![B, C], vec![A]]);
}

#[tokio::test]
async fn ten_recipients_at_three_a_transaction_go_out_at_once_on_one_connection() {
    let bed = smtp_under(Fault::new(Mode::TooMany).limit(3)).await;
    let all: Vec<String> = (0..10).map(|number| format!("r{number}@example.com")).collect();
    let result = bed.send(email_to(&all)).await;
    assert_eq!(
        (result.status, result.open_recipients, &result.error_message),
        (Status::Sent, 0, &None)
    );
    let by_three: Vec<Vec<String>> = all.chunks(3).map(<[String]>::to_vec).collect();
    let carried: Vec<_> = result.attempts.iter().map(|attempt| attempt.recipients.clone()).collect();
    assert_eq!(carried, by_three, "each transaction is an attempt of its own");
    assert!(result.attempts.iter().all(|attempt| attempt.outcome == OutcomeWord::Accepted));
    assert_eq!(recipients_of(&bed.received(Provider::Smtp)), by_three);
    let stats = bed.stats(Provider::Smtp);
    assert_eq!((stats.connections, stats.accepted), (1, 4));
    assert!(!result.possibly_duplicate);
}

#[tokio::test]
async fn transactions_of_one_round_do_not_lengthen_the_wait_for_the_next() {
    let script = Script {
        answers: [("r0@example.com".to_owned(), VecDeque::from([Answer::ForNow]))].into(),
        limit: Some(3),
        ..Script::default()
    };
    let (bed, smtp) = smtp_by(script).await;
    let all: Vec<String> = (0..10).map(|number| format!("r{number}@example.com")).collect();
    let first = bed.send(email_to(&all)).await;
    assert_eq!((first.attempts.len(), first.open_recipients), (3, 1), "three transactions for nine");
    let held = bed.at_rest(first.message_id).await;
    let wait = held.work.due_at().unwrap().since(bed.clock_now());
    assert!(wait <= Duration::from_secs(5), "the first wait of the schedule, not {wait:?}");
    let last = bed.next_round(first.message_id).await;
    assert_eq!(ends(&last), [Status::Sent; 10]);
    assert_eq!(smtp.known().connections, 1);
}

#[tokio::test]
async fn who_is_put_off_uses_up_nothing_of_the_day() {
    // Ten recipients at three a transaction are asked for 22 times.
    let bed = Setup::alone(Provider::Smtp).durable().per_day(Provider::Smtp, 10).start().await;
    let full = Fault::new(Mode::TooMany).limit(3);
    bed.simulator.set_fault(Provider::Smtp, full).await.unwrap();
    let all: Vec<String> = (0..10).map(|number| format!("r{number}@example.com")).collect();
    let result = bed.send(email_to(&all)).await;
    assert_eq!((result.status, result.open_recipients), (Status::Sent, 0));
    let over = bed.send(email_to(&[A])).await;
    assert_eq!(over.status, Status::Queued, "the day is used up by those who were sent to");
}

#[tokio::test]
async fn ses_down_and_smtp_last_takes_some() {
    let bed = Setup::default().durable().start().await;
    for provider in [Provider::Ses, Provider::SendGrid] {
        bed.simulator.set_fault(provider, Mode::Refuse).await.unwrap();
    }
    bed.simulator.set_fault(Provider::Smtp, deferring(C)).await.unwrap();
    let first = bed.send(email_to(&ALL)).await;
    assert_eq!((first.status, first.open_recipients), (Status::Sent, 1));
    assert_eq!(first.provider(), Some(ProviderKind::Smtp));

    // Whoever heals first carries the rest, and only the rest.
    bed.simulator.heal(Provider::Ses).await.unwrap();
    let last = bed.next_round(first.message_id).await;
    assert_eq!(ends(&last), [Status::Sent; 3]);
    assert_eq!(recipients_of(&bed.received(Provider::Smtp)), [[A, B]]);
    assert_eq!(recipients_of(&bed.received(Provider::Ses)), [[C]]);
}

#[tokio::test]
async fn the_provider_behind_smtp_gets_only_the_rest() {
    let bed = Setup::chain(&[Provider::Smtp, Provider::SendGrid]).durable().start().await;
    bed.simulator.set_fault(Provider::Smtp, deferring(B)).await.unwrap();
    let result = bed.send(email_to(&ALL)).await;
    assert_eq!((result.status, result.open_recipients, result.attempts.len()), (Status::Sent, 0, 2));
    assert_eq!(recipients_of(&bed.received(Provider::Smtp)), [[A, C]]);
    assert_eq!(recipients_of(&bed.received(Provider::SendGrid)), [[B]]);
    assert_eq!(result.provider(), Some(ProviderKind::Smtp), "the carrier of the first recipient");
}

#[tokio::test]
async fn a_full_transaction_is_followed_by_the_next_and_not_by_the_next_provider() {
    let bed = Setup::chain(&[Provider::Smtp, Provider::SendGrid]).durable().start().await;
    bed.simulator
        .set_fault(Provider::Smtp, Fault::new(Mode::TooMany).limit(2))
        .await
        .unwrap();
    let result = bed.send(email_to(&ALL)).await;
    assert_eq!((result.status, result.open_recipients), (Status::Sent, 0));
    assert_eq!(recipients_of(&bed.received(Provider::Smtp)), [vec![A, B], vec![C]]);
    assert_eq!(bed.stats(Provider::SendGrid).requests, 0);
}

#[tokio::test]
async fn the_rest_fails_at_once_when_its_sender_says_so() {
    let bed = smtp_under(deferring(B)).await;
    let mut email = email_to(&ALL);
    email.handling.on_exhausted = Some(OnExhausted::Fail);
    let result = bed.send(email).await;
    assert_eq!((result.status, result.open_recipients), (Status::Sent, 0));
    assert_eq!(ends_of(&result), [Status::Sent, Status::Failed, Status::Sent]);
    assert_eq!(result.recipients[1].reason.as_deref(), Some("451 4.7.1"));
    let record = bed.service.get_record(result.message_id).await.unwrap().unwrap();
    assert!(record.has_ended());
    assert!(
        bed.service.suppressions_of(B).await.unwrap().is_empty(),
        "refused for now says nothing of the address"
    );
}

#[tokio::test]
async fn who_is_refused_for_good_by_name_fails_alone_and_comes_onto_the_list() {
    let bed = smtp_under(rejecting(B)).await;
    let result = bed.send(email_to(&ALL)).await;
    assert_eq!(
        (result.status, result.open_recipients, &result.error_message),
        (Status::Sent, 0, &None)
    );
    assert_eq!(ends_of(&result), [Status::Sent, Status::Failed, Status::Sent]);
    let listed = bed.service.suppressions_of(B).await.unwrap();
    assert_eq!(
        listed.iter().map(|entry| entry.reason).collect::<Vec<_>>(),
        [SuppressionReason::HardBounce]
    );
    for address in [A, C] {
        assert!(bed.service.suppressions_of(address).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_word_of_a_message_whose_first_recipient_is_refused_for_good_is_failed() {
    let bed = smtp_under(rejecting(A)).await;
    let result = bed.send(email_to(&ALL)).await;
    assert_eq!((result.status, result.open_recipients), (Status::Failed, 0));
    assert_eq!(ends_of(&result), [Status::Failed, Status::Sent, Status::Sent]);
    assert!(result.error_message.unwrap().contains("550 5.1.1"));
    assert_eq!(recipients_of(&bed.received(Provider::Smtp)), [[B, C]]);
}

#[tokio::test]
async fn a_connection_lost_after_the_dot_leaves_who_was_refused_by_name_out_of_the_doubt() {
    let script = Script {
        answers: [(B.to_owned(), VecDeque::from([Answer::ForGood]))].into(),
        cuts: [Cut::Bodies(1)].into(),
        ..Script::default()
    };
    let (bed, smtp) = smtp_by(script).await;
    let mut email = email_to(&ALL);
    email.handling.purpose = Some(Purpose::Bulk);
    let first = bed.send(email).await;
    assert_eq!(first.status, Status::Queued, "feedback may still say what became of it");
    assert_eq!(ends_of(&first), [Status::Queued, Status::Failed, Status::Queued]);
    assert_eq!(first.attempts[0].outcome, OutcomeWord::Unknown);
    assert_eq!(first.attempts[0].recipients, [A, C]);
    let held = bed.at_rest(first.message_id).await;
    assert_eq!(held.work.due_at(), Some(held.message.expires_at), "it must not arrive twice");

    let last = bed.next_round(first.message_id).await;
    assert_eq!((last.status, last.has_ended()), (Status::Unknown, true));
    assert_eq!(ends(&last), [Status::Unknown, Status::Failed, Status::Unknown]);
    assert_eq!(smtp.known().transactions.len(), 1, "nothing is sent again");
}
