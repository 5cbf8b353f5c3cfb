//! What a server's words cost: who sends the message, who is barred, what the caller sees. Over the real wire.

use std::sync::Arc;

use ums_simulator::Provider;
use ums_testkit::TestClock;
use unified_messaging::{FailureClass, OutcomeWord, ProviderKind, SendResult, Status, SuppressionReason};

use crate::scripted_smtp::{Answer, Script, ScriptedSmtp, Verdict};
use crate::setup::{Bed, Setup, email_to, simulator};

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const CY: &str = "cy@example.com";

/// SMTP by a script, and perhaps SendGrid behind it.
async fn bed(setup: Setup, script: Script) -> (Bed, ScriptedSmtp) {
    let smtp = ScriptedSmtp::start(script).await;
    let setup = Setup {
        through: Some((Provider::Smtp, smtp.address)),
        ..setup.durable()
    };
    (setup.start_at(simulator().await, Arc::new(TestClock::new())).await, smtp)
}

fn refusing(words: &[(&str, &'static str)]) -> Script {
    let answers = words
        .iter()
        .map(|(address, words)| ((*address).to_owned(), [Answer::Says(words)].into()));
    Script {
        answers: answers.collect(),
        ..Script::default()
    }
}

/// The class and the code of each attempt that failed.
fn failed(result: &SendResult) -> Vec<(FailureClass, String)> {
    let failed = result.attempts.iter().filter(|attempt| attempt.outcome == OutcomeWord::Failed);
    failed.filter_map(|attempt| Some((attempt.class?, attempt.code.clone()?))).collect()
}

async fn is_listed(bed: &Bed, address: &str) -> bool {
    !bed.service.suppressions_of(address).await.unwrap().is_empty()
}

/// What is not about the recipient: the next provider sends, and nobody is barred.
#[tokio::test]
async fn words_about_something_else_pass_the_message_on_and_bar_nobody() {
    use FailureClass as C;
    for (words, class) in [
        (
            "550 5.1.8 <noreply@example.com>: Sender address rejected: Domain not found",
            C::Misconfigured,
        ),
        (
            "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname",
            C::Misconfigured,
        ),
        ("454 4.7.1 <ann@example.com>: Relay access denied", C::Misconfigured),
        ("554 blocked using a block list", C::Misconfigured),
        ("550 SPF check failed", C::Misconfigured),
        ("555 5.5.4 Unsupported option: NOTIFY=SUCCESS", C::Misconfigured),
        (
            "550 5.1.90 You've reached your daily limit for message recipients",
            C::QuotaExhausted,
        ),
        ("550 Requested action not taken: mailbox unavailable", C::Unsupported),
        ("550 5.1.0 Address rejected", C::Unsupported),
        ("552 5.2.2 Mailbox full", C::Unavailable),
    ] {
        let (bed, smtp) = bed(Setup::chain(&[Provider::Smtp, Provider::SendGrid]), refusing(&[(ANN, words)])).await;
        let result = bed.send(email_to(&[ANN])).await;
        assert_eq!(
            (result.status, result.provider()),
            (Status::Sent, Some(ProviderKind::SendGrid)),
            "{words}"
        );
        assert_eq!(
            failed(&result).iter().map(|(class, _)| *class).collect::<Vec<_>>(),
            [class],
            "{words}"
        );
        assert!(!is_listed(&bed, ANN).await, "{words}");
        assert_eq!(bed.received(Provider::SendGrid).len(), 1, "{words}");
        assert!(smtp.known().transactions.iter().all(|transaction| !transaction.has(ANN)), "{words}");
    }
}

/// A positive sign: the message ends at once, and the list keeps the server's very words.
#[tokio::test]
async fn a_dead_address_comes_onto_the_list_with_the_servers_words() {
    let words = "550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown in virtual mailbox table";
    let (bed, _smtp) = bed(Setup::chain(&[Provider::Smtp, Provider::SendGrid]), refusing(&[(ANN, words)])).await;
    let result = bed.send(email_to(&[ANN])).await;
    assert_eq!((result.status, result.attempts.len()), (Status::Failed, 1));
    assert!(result.error_message.unwrap().contains("User unknown in virtual mailbox table"));
    let listed = bed.service.suppressions_of(ANN).await.unwrap();
    assert_eq!(listed[0].reason, SuppressionReason::HardBounce);
    let detail = listed[0].detail.as_deref().unwrap();
    assert!(
        detail.contains("550 5.1.1") && detail.contains("Recipient address rejected: User unknown in virtual mailbox table"),
        "{detail}"
    );
    assert!(!detail.contains(ANN), "{detail}");

    let next = bed.send(email_to(&[ANN])).await;
    assert_eq!((next.status, next.attempts.len()), (Status::Suppressed, 0));
}

/// In doubt the message fails where nobody else can send it, and the next one is tried.
#[tokio::test]
async fn an_unclear_refusal_fails_the_message_and_not_the_next_one() {
    let words = "550 Requested action not taken: mailbox unavailable";
    let (bed, smtp) = bed(Setup::alone(Provider::Smtp), refusing(&[(ANN, words)])).await;
    let result = bed.send(email_to(&[ANN])).await;
    assert_eq!((result.status, result.open_recipients), (Status::Failed, 0));
    assert!(result.error_message.unwrap().contains("550"));
    assert!(!is_listed(&bed, ANN).await);

    let next = bed.send(email_to(&[ANN])).await;
    assert_eq!(next.status, Status::Sent);
    assert!(smtp.known().transactions.last().unwrap().has(ANN));
}

#[tokio::test]
async fn of_several_recipients_each_has_what_was_said_of_them() {
    let script = refusing(&[(ANN, "550 No such user here"), (BOB, "550 5.7.1 Recipient refused")]);
    let (bed, smtp) = bed(Setup::chain(&[Provider::Smtp, Provider::SendGrid]), script).await;
    let result = bed.send(email_to(&[CY, ANN, BOB])).await;
    let ends: Vec<Status> = result.recipients.iter().map(|recipient| recipient.status).collect();
    assert_eq!(ends, [Status::Sent, Status::Failed, Status::Sent]);
    assert!(is_listed(&bed, ANN).await && !is_listed(&bed, BOB).await && !is_listed(&bed, CY).await);
    assert!(smtp.known().transactions[0].has(CY));
    let by_sendgrid = bed.received(Provider::SendGrid);
    assert_eq!(by_sendgrid.iter().map(|message| message.to.clone()).collect::<Vec<_>>(), [[BOB]]);
}

/// An account that is stopped takes no message: each goes by the next provider, and none fails.
#[tokio::test]
async fn a_stopped_account_fails_no_message() {
    let words = "554 Message rejected: Sending paused for this account. For more information, please check the inbox.";
    let script = Script {
        bodies: vec![Verdict::Says(words); 40].into(),
        ..Script::default()
    };
    let (bed, smtp) = bed(Setup::chain(&[Provider::Smtp, Provider::SendGrid]), script).await;
    for number in 0..30 {
        let to = format!("r{number}@d{}.example.com", number % 5);
        let result = bed.send(email_to(&[to.as_str()])).await;
        assert_eq!(
            (result.status, result.provider()),
            (Status::Sent, Some(ProviderKind::SendGrid)),
            "{number}"
        );
        assert!(!is_listed(&bed, &to).await);
        if number == 0 {
            assert_eq!(failed(&result), [(FailureClass::Misconfigured, "554".to_owned())]);
        }
    }
    assert_eq!(bed.received(Provider::SendGrid).len(), 30);
    assert_eq!(smtp.known().transactions.len(), 1, "the breaker opened at once");
}
