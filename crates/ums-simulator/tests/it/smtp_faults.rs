//! Every fault that SMTP can have.

use std::io::ErrorKind;
use std::time::Duration;

use ums_simulator::{Fault, Mode, Provider, Simulator};

use crate::client::Smtp;
use crate::{start, until};

const SILENCE: Duration = Duration::from_millis(60);
const MAIL: &str = "MAIL FROM:<shop@example.com>";

async fn with(fault: impl Into<Fault>) -> Simulator {
    let simulator = start().await;
    simulator.set_fault(Provider::Smtp, fault).await.expect("possible");
    simulator
}

async fn greet(simulator: &Simulator) -> Smtp {
    Smtp::greet(simulator.smtp_addr()).await.expect("open")
}

/// Goes as far as the message and its final dot.
async fn send(smtp: &mut Smtp) -> std::io::Result<()> {
    smtp.expect(MAIL, "250").await?;
    smtp.expect("RCPT TO:<zoe@example.com>", "250").await?;
    smtp.expect("DATA", "354").await?;
    smtp.write("Subject: Hello\r\n\r\nHello\r\n.\r\n").await
}

#[tokio::test]
async fn refusals_come_at_mail_and_the_session_lives_on() {
    for (mode, reply) in [
        (Mode::Error, "451 4.3.0"),
        (Mode::Throttle, "454 4.7.0"),
        (Mode::Suspended, "550 5.7.0"),
        (Mode::Quota, "550 5.4.5"),
    ] {
        let simulator = with(mode).await;
        let mut smtp = greet(&simulator).await;
        smtp.expect(MAIL, reply).await.expect("open");
        smtp.expect("NOOP", "250").await.expect("open");
        assert!(simulator.messages().is_empty());
        simulator.heal(Provider::Smtp).await.expect("healed");
        assert!(smtp.mail("Hello").await.expect("open").starts_with("250"));
        let stats = simulator.stats(Provider::Smtp);
        assert_eq!((stats.requests, stats.accepted, stats.faulted), (2, 1, 1));
    }
}

#[tokio::test]
async fn refused_credentials_are_535_and_nobody_else_sends() {
    let simulator = with(Mode::Unauthorized).await;
    let mut smtp = greet(&simulator).await;
    smtp.expect("AUTH PLAIN AHUAcA==", "535 5.7.8").await.expect("open");
    smtp.expect(MAIL, "530 5.7.0").await.expect("open");
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn a_refused_recipient_is_550() {
    let simulator = with(Mode::Reject).await;
    let mut smtp = greet(&simulator).await;
    smtp.expect(MAIL, "250").await.expect("open");
    smtp.expect("RCPT TO:<zoe@example.com>", "550 5.1.1").await.expect("open");
    smtp.expect("DATA", "554").await.expect("open");
    assert!(simulator.messages().is_empty());
}

/// Sends to these; returns the replies to RCPT, and the reply to the final dot where somebody was taken.
async fn send_to(smtp: &mut Smtp, recipients: &[&str]) -> (Vec<String>, Option<String>) {
    smtp.expect(MAIL, "250").await.expect("open");
    let mut replies = Vec::new();
    for address in recipients {
        replies.push(smtp.command(&format!("RCPT TO:<{address}>")).await.expect("open"));
    }
    if replies.iter().all(|reply| !reply.starts_with("250")) {
        smtp.expect("DATA", "554").await.expect("open");
        smtp.expect("RSET", "250").await.expect("open");
        return (replies, None);
    }
    smtp.expect("DATA", "354").await.expect("open");
    let reply = smtp.command("Subject: Hello\r\n\r\nHello\r\n.").await.expect("open");
    (replies, Some(reply))
}

fn begin_with(replies: &[String], beginnings: &[&str]) -> bool {
    replies.len() == beginnings.len() && replies.iter().zip(beginnings).all(|(reply, begins)| reply.starts_with(begins))
}

#[tokio::test]
async fn a_deferred_recipient_is_451_until_healed() {
    let simulator = with(Mode::Defer).await;
    let mut smtp = greet(&simulator).await;
    let (replies, end) = send_to(&mut smtp, &["zoe@example.com", "amy@example.com"]).await;
    assert!(begin_with(&replies, &["451 4.7.1", "451 4.7.1"]), "{replies:?}");
    assert!(end.is_none() && simulator.messages().is_empty());
    simulator.heal(Provider::Smtp).await.expect("healed");
    assert!(smtp.mail("Hello").await.expect("open").starts_with("250"));
}

#[tokio::test]
async fn only_the_named_recipients_are_refused_and_the_others_get_the_message() {
    for (mode, code) in [(Mode::Defer, "451 4.7.1"), (Mode::Reject, "550 5.1.1")] {
        let simulator = with(Fault::new(mode).recipients(["ZOE@example.com", "bob@example.com"])).await;
        let mut smtp = greet(&simulator).await;
        let (replies, end) = send_to(&mut smtp, &["zoe@example.com", "amy@example.com", "bob@example.com"]).await;
        assert!(begin_with(&replies, &[code, "250", code]), "{replies:?}");
        assert!(end.is_some_and(|reply| reply.starts_with("250")));
        let (replies, _) = send_to(&mut smtp, &["amy@example.com"]).await;
        assert!(begin_with(&replies, &["250"]), "{replies:?}");
        let (replies, end) = send_to(&mut smtp, &["zoe@example.com"]).await;
        assert!(begin_with(&replies, &[code]) && end.is_none(), "{replies:?}");

        let messages = simulator.messages();
        let seen: Vec<_> = messages.iter().map(|message| (message.to.as_slice(), message.fault)).collect();
        let amy = ["amy@example.com".to_owned()];
        assert_eq!(seen, [(amy.as_slice(), Some(mode)), (amy.as_slice(), None)]);
    }
}

#[tokio::test]
async fn a_transaction_takes_as_many_as_the_limit_says_and_the_next_one_too() {
    let simulator = with(Fault::new(Mode::TooMany).limit(2)).await;
    let mut smtp = greet(&simulator).await;
    let (replies, _) = send_to(&mut smtp, &["a@example.com", "b@example.com", "c@example.com", "d@example.com"]).await;
    assert!(begin_with(&replies, &["250", "250", "452 4.5.3", "452 4.5.3"]), "{replies:?}");
    let (replies, _) = send_to(&mut smtp, &["c@example.com", "d@example.com"]).await;
    assert!(begin_with(&replies, &["250", "250"]), "{replies:?}");
    let seen: Vec<_> = simulator
        .messages()
        .iter()
        .map(|message| (message.to.len(), message.fault))
        .collect();
    assert_eq!(seen, [(2, Some(Mode::TooMany)), (2, None)]);

    simulator
        .set_fault(Provider::Smtp, Fault::new(Mode::TooMany).limit(0))
        .await
        .expect("possible");
    let (replies, end) = send_to(&mut smtp, &["a@example.com"]).await;
    assert!(begin_with(&replies, &["452 4.5.3"]) && end.is_none(), "{replies:?}");
}

#[tokio::test]
async fn a_refusing_port_is_closed_and_comes_back_with_its_number() {
    let simulator = start().await;
    let address = simulator.smtp_addr();
    let mut kept = greet(&simulator).await;
    simulator.set_fault(Provider::Smtp, Mode::Refuse).await.expect("possible");
    let refused = Smtp::connect(address).await.expect_err("closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    kept.command("NOOP").await.expect_err("cut");
    simulator.heal(Provider::Smtp).await.expect("the port is free");
    assert_eq!(simulator.smtp_addr(), address);
    assert!(greet(&simulator).await.mail("Hello").await.expect("open").starts_with("250"));
}

#[tokio::test]
async fn a_hanging_mail_goes_on_when_healed() {
    let simulator = with(Mode::Hang).await;
    let mut smtp = greet(&simulator).await;
    smtp.write("MAIL FROM:<shop@example.com>\r\n").await.expect("open");
    assert!(tokio::time::timeout(SILENCE, smtp.reply()).await.is_err());
    simulator.heal(Provider::Smtp).await.expect("healed");
    assert!(smtp.reply().await.expect("open").starts_with("250"));
}

#[tokio::test]
async fn a_peer_that_leaves_while_it_hangs_frees_the_session() {
    let simulator = with(Mode::Hang).await;
    let mut smtp = greet(&simulator).await;
    smtp.write("MAIL FROM:<shop@example.com>\r\n").await.expect("open");
    until(|| simulator.stats(Provider::Smtp).faulted == 1).await;
    drop(smtp);
    until(|| simulator.stats(Provider::Smtp).in_flight == 0).await;
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn silence_after_the_dot_is_recorded() {
    let simulator = with(Mode::HangAfter).await;
    let mut smtp = greet(&simulator).await;
    send(&mut smtp).await.expect("written");
    until(|| simulator.messages().len() == 1).await;
    assert!(tokio::time::timeout(SILENCE, smtp.reply()).await.is_err());
    simulator.heal(Provider::Smtp).await.expect("healed");
    assert!(smtp.reply().await.expect("open").starts_with("250"));
}

#[tokio::test]
async fn resets_are_real_and_before_or_after_the_record() {
    let simulator = with(Mode::ResetBefore).await;
    let reset = Smtp::connect(simulator.smtp_addr()).await.expect_err("reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);

    simulator.set_fault(Provider::Smtp, Mode::ResetAfter).await.expect("possible");
    let mut smtp = greet(&simulator).await;
    send(&mut smtp).await.expect("written");
    let reset = smtp.reply().await.expect_err("reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert_eq!(simulator.messages().len(), 1);
}

#[tokio::test]
async fn a_reset_also_hits_a_session_that_was_open() {
    let simulator = start().await;
    let mut smtp = greet(&simulator).await;
    simulator.set_fault(Provider::Smtp, Mode::ResetBefore).await.expect("possible");
    let reset = smtp.command(MAIL).await.expect_err("reset");
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_and_its_first_mail_are_one_request() {
    let simulator = with(Fault::new(Mode::ResetBefore).rate(0.5)).await;
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let outcome = match Smtp::greet(simulator.smtp_addr()).await {
            Ok(mut smtp) => smtp.mail("Hello").await.is_ok(),
            Err(_) => false,
        };
        outcomes.push(outcome);
    }
    assert_eq!(outcomes, [true, false, true, false]);
}

#[tokio::test]
async fn a_slow_answer_is_recorded_at_once() {
    let simulator = with(Fault::new(Mode::Slow).delay_ms(3_600_000)).await;
    let mut smtp = greet(&simulator).await;
    send(&mut smtp).await.expect("written");
    until(|| simulator.messages().len() == 1).await;
    assert!(tokio::time::timeout(SILENCE, smtp.reply()).await.is_err());
}

#[tokio::test]
async fn spoilt_replies_are_recorded() {
    let simulator = with(Mode::Garbage).await;
    let mut smtp = greet(&simulator).await;
    send(&mut smtp).await.expect("written");
    let reply = smtp.reply().await.expect("open");
    assert!(!reply.starts_with(|c: char| c.is_ascii_digit()), "{reply}");

    simulator.set_fault(Provider::Smtp, Mode::Empty).await.expect("possible");
    send(&mut smtp).await.expect("written");
    assert_eq!(smtp.reply().await.expect("open"), "250");

    simulator.set_fault(Provider::Smtp, Mode::Truncate).await.expect("possible");
    send(&mut smtp).await.expect("written");
    let rest = smtp.rest().await.expect("an end");
    assert!(rest.starts_with("250") && !rest.ends_with('\n'), "{rest}");
    assert_eq!(simulator.messages().len(), 3);
}

#[tokio::test]
async fn a_huge_reply_goes_on_and_on() {
    let simulator = with(Mode::Huge).await;
    let mut smtp = greet(&simulator).await;
    send(&mut smtp).await.expect("written");
    assert_eq!(smtp.skip(32 << 20).await.expect("more"), 32 << 20);
    drop(smtp);
    until(|| simulator.stats(Provider::Smtp).in_flight == 0).await;
    assert_eq!(simulator.messages().len(), 1);
}

#[tokio::test]
async fn fates_are_marked_on_what_was_accepted() {
    for mode in [Mode::Bounce, Mode::NeverDeliver] {
        let simulator = with(mode).await;
        assert!(greet(&simulator).await.mail("Hello").await.expect("open").starts_with("250"));
        assert_eq!(simulator.messages()[0].fault, Some(mode));
    }
}

#[tokio::test]
async fn a_share_of_the_mails_is_hit() {
    let simulator = with(Fault::new(Mode::Error).rate(0.25)).await;
    let mut smtp = greet(&simulator).await;
    let mut refused = Vec::new();
    for number in 1..=8 {
        if smtp.command(MAIL).await.expect("open").starts_with("451") {
            refused.push(number);
        } else {
            smtp.expect("RSET", "250").await.expect("open");
        }
    }
    assert_eq!(refused, [4, 8]);
}
