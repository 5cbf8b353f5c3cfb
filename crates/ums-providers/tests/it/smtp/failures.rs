//! Each refusal and each loss at each stage has the class that the table says.

use std::time::Duration;

use ums_core::{FailureClass as C, Probe, Provider};
use ums_providers::send::smtp::Stage;

use super::server::{Act, Script, Server};
use super::{PASSWORD, SHORT, USER, call, class_by, email, send_by, settings, smtp};

#[tokio::test]
async fn refusals_at_each_stage_mean_what_the_table_says() {
    for (stage, reply, class) in [
        (Stage::Connect, "421 4.3.2 service not available", C::Unavailable),
        (Stage::Connect, "421 too many connections from you", C::Throttled),
        (Stage::Connect, "554 no service", C::Misconfigured),
        (Stage::Ehlo, "421 4.3.0 later", C::Unavailable),
        (Stage::Ehlo, "550 go away", C::Misconfigured),
        (Stage::Auth, "535 5.7.8 bad credentials", C::Misconfigured),
        (
            Stage::Auth,
            "534-5.7.9 Application-specific password required.\r\n534 5.7.9 see the help",
            C::Misconfigured,
        ),
        (Stage::Auth, "454 4.7.0 Temporary authentication failure", C::Unavailable),
        (
            Stage::Auth,
            "454 4.7.0 Too many login attempts, please try again later",
            C::Throttled,
        ),
        (Stage::Mail, "451 4.3.0 try again", C::Unavailable),
        (Stage::Mail, "550 5.4.5 Daily user sending limit exceeded", C::QuotaExhausted),
        (Stage::Mail, "552 5.3.4 message too big", C::InvalidMessage),
        (Stage::Mail, "553 5.1.7 sender rejected", C::Misconfigured),
        (
            Stage::Mail,
            "454 4.7.0 Throttling failure: Maximum sending rate exceeded.",
            C::Throttled,
        ),
        (Stage::Rcpt, "550 5.1.1 no such user", C::InvalidRecipient),
        (Stage::Rcpt, "450 4.2.1 try later", C::Unavailable),
        (Stage::Rcpt, "550 5.7.1 relaying denied", C::Misconfigured),
        (Stage::Data, "451 4.3.0 later", C::Unavailable),
        (Stage::Data, "554 5.6.0 no", C::InvalidMessage),
        (Stage::Dot, "451 4.3.0 later", C::Unavailable),
        (
            Stage::Dot,
            "550-5.7.26 not authenticated\r\n550-5.7.26 more\r\n550 5.7.26 end",
            C::Misconfigured,
        ),
        (Stage::Dot, "550 5.7.1 spam", C::InvalidMessage),
        (Stage::Dot, "550 5.4.5 Daily user sending limit exceeded", C::QuotaExhausted),
        (Stage::Dot, "421 4.3.0 closing", C::Unavailable),
    ] {
        for script in [Script::default(), Script::default().without("PIPELINING")] {
            assert_eq!(class_by(script.says(stage, reply)).await, class, "{stage}: {reply}");
        }
    }
}

#[tokio::test]
async fn a_connection_lost_before_the_dot_is_surely_not_accepted_and_after_it_unknown() {
    for stage in [
        Stage::Connect,
        Stage::Ehlo,
        Stage::Auth,
        Stage::Mail,
        Stage::Rcpt,
        Stage::Data,
        Stage::Dot,
    ] {
        for script in [Script::default(), Script::default().without("PIPELINING")] {
            let failure = send_by(script.at(stage, Act::Close)).await.unwrap_err();
            let expected = if stage == Stage::Dot { C::Unknown } else { C::Unavailable };
            assert_eq!((failure.class, failure.code.as_str()), (expected, "connection_lost"), "{stage}");
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let mut stages = tokio::task::JoinSet::new();
    for stage in [
        Stage::Connect,
        Stage::Ehlo,
        Stage::Auth,
        Stage::Mail,
        Stage::Rcpt,
        Stage::Data,
        Stage::Dot,
    ] {
        stages.spawn(async move {
            let server = Server::start(Script::default().at(stage, Act::Hang)).await;
            let mut settings = settings(server.port);
            settings.timeouts = SHORT;
            (
                stage,
                tokio::time::timeout(Duration::from_secs(20), smtp(settings).send(&email(), &call())).await,
            )
        });
    }
    for (stage, sent) in stages.join_all().await {
        let failure = sent.unwrap().unwrap_err();
        let expected = if stage == Stage::Dot { C::Unknown } else { C::Unavailable };
        assert_eq!((failure.class, failure.code.as_str()), (expected, "timeout"), "{stage}");
    }
}

#[tokio::test]
async fn the_messages_own_time_ends_a_call_too() {
    let server = Server::start(Script::default().at(Stage::Mail, Act::Hang)).await;
    let mut call = call();
    call.time_left = Duration::from_millis(200);
    let failure = smtp(settings(server.port)).send(&email(), &call).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Unavailable, "timeout"));
}

#[tokio::test]
async fn replies_that_cannot_be_read_are_unknown_after_the_dot_only() {
    for (reply, what) in [
        ("{long}", "a megabyte"),
        ("HTTP/1.1 200 OK", "garbage"),
        ("250-ok\r\n550 no", "two codes"),
        ("999 what", "no such code"),
    ] {
        assert_eq!(class_by(Script::default().says(Stage::Dot, reply)).await, C::Unknown, "{what}");
        assert_eq!(class_by(Script::default().says(Stage::Mail, reply)).await, C::Unavailable, "{what}");
        assert_eq!(class_by(Script::default().says(Stage::Ehlo, reply)).await, C::Unavailable, "{what}");
    }
}

#[tokio::test]
async fn a_reply_too_many_is_not_taken_for_the_answer_to_the_dot() {
    let script = Script::default().says(Stage::Rcpt, "250 ok\r\n354 go\r\n250 queued");
    assert_eq!(class_by(script).await, C::Unavailable);
}

#[tokio::test]
async fn odd_but_clear_acceptances_are_acceptances() {
    for reply in ["250", "250 \u{fc}bernommen", "250-two\r\n250 lines", "252 fine"] {
        let accepted = send_by(Script::default().says(Stage::Dot, reply)).await;
        assert!(accepted.is_ok(), "{reply}: {accepted:?}");
    }
}

#[tokio::test]
async fn nobody_at_the_port_is_unavailable() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let failure = smtp(settings(free)).send(&email(), &call()).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Unavailable, "connect_refused"));
}

#[tokio::test]
async fn resets_within_the_body_never_call_a_whole_message_unsent() {
    let mut email = email();
    // More than the sockets hold, so that an early reset is seen before the dot is handed over.
    email.text = Some("A line of text that is neither short nor long.\n".repeat(450_000));
    for bytes in [1, 70_000, 1_000_000] {
        let server = Server::start(Script::default().at(Stage::Dot, Act::ResetAfter(bytes))).await;
        let failure = smtp(settings(server.port)).send(&email, &call()).await.unwrap_err();
        assert_eq!(failure.class, C::Unavailable, "{bytes} bytes: {failure:?}");
        assert_eq!(server.bodies(), 0);
    }
}

#[tokio::test]
async fn a_small_message_reset_after_the_dot_was_handed_over_is_unknown() {
    let server = Server::start(Script::default().at(Stage::Dot, Act::ResetAfter(10))).await;
    let failure = smtp(settings(server.port)).send(&email(), &call()).await.unwrap_err();
    assert_eq!(failure.class, C::Unknown, "the server may have read on: {failure:?}");
}

#[tokio::test]
async fn failures_and_debug_hold_no_secret_and_no_recipient() {
    let echo = "550 5.1.1 <canary-recipient@example.com> canary-recipient@example.com unknown";
    for stage in [Stage::Auth, Stage::Mail, Stage::Rcpt, Stage::Dot] {
        let server = Server::start(Script::default().says(stage, echo)).await;
        let smtp = smtp(settings(server.port));
        let mut email = email();
        email.to = vec![super::mailbox("canary-recipient@example.com")];
        email.text = Some("canary-body".to_owned());
        let failure = smtp.send(&email, &call()).await.unwrap_err();
        let output = format!("{failure} {failure:?} {smtp:?} {:?}", settings(server.port));
        for canary in [USER, PASSWORD, "canary-recipient", "canary-body"] {
            assert!(!output.contains(canary), "{stage}: {output}");
        }
    }
}

#[tokio::test]
async fn a_probe_logs_in_and_says_noop_but_no_mail() {
    let server = Server::start(Script::default()).await;
    let smtp = smtp(settings(server.port));
    assert_eq!(smtp.probe().await, Probe::Healthy);
    let commands = server.commands();
    assert_eq!(commands.last().map(String::as_str), Some("NOOP"));
    assert!(commands.iter().all(|command| !command.starts_with("MAIL")), "{commands:?}");
    // Its connection serves the message that follows.
    smtp.send(&email(), &call()).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_probe_of_a_server_that_refuses_the_login_fails() {
    let server = Server::start(Script::default().says(Stage::Auth, "535 5.7.8 no")).await;
    let Probe::Failed(failure) = smtp(settings(server.port)).probe().await else {
        panic!("not failed")
    };
    assert_eq!(failure.class, C::Misconfigured);
    assert!(failure.detail.contains("app password"), "{}", failure.detail);
}
