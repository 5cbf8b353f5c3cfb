//! The dialogue.

use ums_simulator::Provider;

use crate::client::Smtp;
use crate::start;

#[tokio::test]
async fn a_dialogue_from_banner_to_bye() {
    let simulator = start().await;
    let mut smtp = Smtp::connect(simulator.smtp_addr()).await.expect("open");
    smtp.expect("MAIL FROM:<shop@example.com>", "503 5.5.1").await.expect("open");
    let hello = smtp.expect("EHLO test.example", "250-").await.expect("open");
    for extension in [
        "PIPELINING",
        "SIZE 40000000",
        "8BITMIME",
        "ENHANCEDSTATUSCODES",
        "DSN",
        "AUTH PLAIN LOGIN",
    ] {
        assert!(hello.contains(extension), "{extension}");
    }
    smtp.expect("NOOP", "250").await.expect("open");
    smtp.expect("VRFY zoe", "252").await.expect("open");
    smtp.expect("HELP", "214").await.expect("open");
    smtp.expect("STARTTLS", "502").await.expect("open");
    smtp.expect("NONSENSE", "500").await.expect("open");
    smtp.expect("AUTH PLAIN AHUAcA==", "235").await.expect("open");
    smtp.expect("AUTH PLAIN AHUAcA==", "503").await.expect("open");
    smtp.expect("RCPT TO:<zoe@example.com>", "503").await.expect("open");
    smtp.expect("MAIL FROM:<shop@example.com> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=m1", "250")
        .await
        .expect("open");
    smtp.expect("MAIL FROM:<shop@example.com>", "503").await.expect("open");
    smtp.expect("DATA", "554").await.expect("open");
    smtp.expect("RCPT TO:<nobody>", "553").await.expect("open");
    smtp.expect("RCPT TO:<zoe@example.com> NOTIFY=FAILURE ORCPT=rfc822;zoe@example.com", "250")
        .await
        .expect("open");
    smtp.expect("RCPT TO:<cc@example.com>", "250").await.expect("open");
    smtp.expect("RCPT TO:<hidden@example.com>", "250").await.expect("open");
    smtp.expect("DATA", "354").await.expect("open");
    let queued = smtp
        .command(
            "From: Shop <shop@example.com>\r\nTo: Zoe <zoe@example.com>\r\nCc: cc@example.com\r\n\
             Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\nX-Order: 5\r\n\r\n..dots\r\n...\r\nEnd\r\n.",
        )
        .await
        .expect("open");
    assert!(queued.starts_with("250 2.0.0 Ok: queued as "), "{queued}");
    smtp.expect("QUIT", "221").await.expect("open");
    assert_eq!(smtp.rest().await.expect("an end"), "");

    let messages = simulator.messages();
    let [message] = messages.as_slice() else {
        panic!("one message");
    };
    assert!(queued.ends_with(&message.id));
    assert_eq!(message.to, ["zoe@example.com"]);
    assert_eq!(message.cc, ["cc@example.com"]);
    assert_eq!(message.bcc, ["hidden@example.com"]);
    assert_eq!(message.from.as_deref(), Some("shop@example.com"));
    assert_eq!(message.from_name.as_deref(), Some("Shop"));
    assert_eq!(message.subject.as_deref(), Some("Grüße"));
    assert_eq!(message.text.as_deref(), Some(".dots\r\n..\r\nEnd\r\n"));
    assert_eq!(message.headers["X-Order"], "5");
    assert!(message.raw.ends_with("\r\n\r\n.dots\r\n..\r\nEnd\r\n"));
    assert_eq!(message.params["ENVID"], "m1");
    assert_eq!(message.params["NOTIFY zoe@example.com"], "FAILURE");
}

#[tokio::test]
async fn commands_may_come_all_at_once() {
    let simulator = start().await;
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    let mut all = String::new();
    for number in 0..3 {
        use std::fmt::Write as _;
        write!(
            all,
            "MAIL FROM:<shop@example.com>\r\nRCPT TO:<zoe@example.com>\r\nDATA\r\n\
             Subject: {number}\r\n\r\n.\r\n"
        )
        .expect("a string");
    }
    smtp.write(&format!("{all}NOOP\r\nQUIT\r\n")).await.expect("open");
    let replies = smtp.rest().await.expect("an end");
    let codes: Vec<_> = replies.lines().map(|line| &line[..3]).collect();
    let one = ["250", "250", "354", "250"];
    assert_eq!(codes, [&one[..], &one, &one, &["250", "221"]].concat());
    let subjects: Vec<_> = simulator.messages().into_iter().filter_map(|it| it.subject).collect();
    assert_eq!(subjects, ["0", "1", "2"]);
    assert_eq!(simulator.stats(Provider::Smtp).connections, 1);
    assert_eq!(simulator.stats(Provider::Smtp).requests, 3);
}

#[tokio::test]
async fn logins_are_taken_in_both_ways() {
    let simulator = start().await;
    for lines in [
        &["AUTH PLAIN", "AHUAcA=="][..],
        &["AUTH LOGIN", "dQ==", "cA=="],
        &["AUTH LOGIN dQ==", "cA=="],
    ] {
        let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
        let (last, first) = lines.split_last().expect("lines");
        for line in first {
            smtp.expect(line, "334").await.expect("open");
        }
        smtp.expect(last, "235 2.7.0").await.expect("open");
        assert!(smtp.mail("Hello").await.expect("open").starts_with("250"));
    }
}

#[tokio::test]
async fn bad_logins_do_not_pass() {
    let simulator = start().await;
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.expect("AUTH PLAIN !!", "501").await.expect("open");
    smtp.expect("AUTH PLAIN AHUA", "535 5.7.8").await.expect("open");
    smtp.expect("AUTH CRAM-MD5", "504").await.expect("open");
    smtp.expect("AUTH LOGIN", "334").await.expect("open");
    smtp.expect("*", "501").await.expect("open");
    smtp.expect("NOOP", "250").await.expect("open");
}

#[tokio::test]
async fn a_false_end_is_content_that_is_refused() {
    let simulator = start().await;
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.expect("MAIL FROM:<shop@example.com>", "250").await.expect("open");
    smtp.expect("RCPT TO:<zoe@example.com>", "250").await.expect("open");
    smtp.expect("DATA", "354").await.expect("open");
    smtp.write("Subject: a\r\n\r\nx\n.\nMAIL FROM:<evil@example.com>\n.\r\ny\r\n")
        .await
        .expect("open");
    smtp.expect(".", "554 5.6.0").await.expect("open");
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn content_that_smtp_does_not_carry_is_refused() {
    let simulator = start().await;
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    let long = "x".repeat(999);
    for (body, content, reply) in [
        ("", "Subject: a\r\n\r\nb\r\n".to_owned(), "250"),
        ("", format!("Subject: a\r\n\r\n{}\r\n", &long[1..]), "250"),
        ("", format!("Subject: a\r\n\r\n{long}\r\n"), "554 5.6.0"),
        ("", "Subject: a\r\n\r\nb\rc\r\n".to_owned(), "554 5.6.0"),
        ("", "Subject: a\r\n\r\nü\r\n".to_owned(), "250"),
        (" BODY=8BITMIME", "Subject: a\r\n\r\nü\r\n".to_owned(), "250"),
        (" BODY=8BITMIME", "Subject: ü\r\n\r\nb\r\n".to_owned(), "554 5.6.9"),
    ] {
        smtp.expect(&format!("MAIL FROM:<shop@example.com>{body}"), "250")
            .await
            .expect("open");
        smtp.expect("RCPT TO:<zoe@example.com>", "250").await.expect("open");
        smtp.expect("DATA", "354").await.expect("open");
        smtp.write(&content).await.expect("open");
        smtp.expect(".", reply).await.expect("open");
    }
    assert_eq!(simulator.messages().len(), 4);
}

#[tokio::test]
async fn what_is_too_big_is_refused() {
    let simulator = start().await;
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.expect("MAIL FROM:<shop@example.com> SIZE=40000001", "552 5.3.4")
        .await
        .expect("open");
    smtp.expect("MAIL FROM:<shop@example.com> SMTPUTF8", "555").await.expect("open");
    smtp.expect("MAIL FROM:<shop@example.com>", "250").await.expect("open");
    smtp.expect("RCPT TO:<zoe@example.com>", "250").await.expect("open");
    smtp.expect("DATA", "354").await.expect("open");
    let block = format!("{}\r\n", "x".repeat(998)).repeat(1_000);
    for _ in 0..41 {
        smtp.write(&block).await.expect("open");
    }
    smtp.expect(".", "552 5.3.4").await.expect("open");
    assert!(simulator.messages().is_empty());
    assert!(smtp.mail("Hello").await.expect("open").starts_with("250"));

    smtp.write(&"x".repeat(20_000)).await.expect("open");
    assert!(smtp.reply().await.expect("open").starts_with("500"));
}

#[tokio::test]
async fn hundred_recipients_are_the_most() {
    let simulator = start().await;
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.expect("MAIL FROM:<>", "250").await.expect("open");
    for number in 0..100 {
        smtp.expect(&format!("RCPT TO:<r{number}@example.com>"), "250").await.expect("open");
    }
    smtp.expect("RCPT TO:<more@example.com>", "452 4.5.3").await.expect("open");
    smtp.expect("RSET", "250").await.expect("open");
    smtp.expect("DATA", "503").await.expect("open");
}

#[tokio::test]
async fn a_message_that_breaks_off_is_not_recorded() {
    let simulator = start().await;
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.expect("MAIL FROM:<shop@example.com>", "250").await.expect("open");
    smtp.expect("RCPT TO:<zoe@example.com>", "250").await.expect("open");
    smtp.expect("DATA", "354").await.expect("open");
    smtp.write("Subject: half\r\n\r\nand").await.expect("open");
    drop(smtp);
    crate::until(|| simulator.stats(Provider::Smtp).in_flight == 0).await;
    assert!(simulator.messages().is_empty());
}
