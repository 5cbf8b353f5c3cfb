//! The dialogue: what is said, in which pieces, on which connection.

use ums_core::{FailureClass as C, Provider};
use ums_providers::send::smtp::Stage;

use super::server::{Act, Script, Server};
use super::{ATTEMPT, call, email, mailbox, send, settings, smtp, to};

#[tokio::test]
async fn an_accepted_message_has_our_message_id_and_says_whose_it_is() {
    let server = Server::start(Script::default()).await;
    let accepted = send(&server, &email()).await.unwrap();
    assert_eq!(accepted.provider_message_id, format!("<{ATTEMPT}@shop.example>"));
    assert!(!accepted.simulated && !accepted.from_substituted && accepted.refused.is_empty());
    let commands = server.commands();
    let mail = commands.iter().find(|command| command.starts_with("MAIL")).unwrap();
    let body = server.body();
    assert_eq!(
        *mail,
        format!(
            "MAIL FROM:<shop@shop.example> SIZE={} BODY=8BITMIME RET=HDRS ENVID={ATTEMPT}",
            body.len()
        )
    );
    assert!(
        commands.contains(&"RCPT TO:<jane@example.com> NOTIFY=FAILURE,DELAY".to_owned()),
        "{commands:?}"
    );
}

#[tokio::test]
async fn the_simulators_banner_marks_the_result() {
    let script = Script {
        banner: "220 localhost ESMTP UMS-Simulator".to_owned(),
        ..Script::default()
    };
    assert!(send(&Server::start(script).await, &email()).await.unwrap().simulated);
}

#[tokio::test]
async fn the_envelope_goes_out_in_one_piece_where_the_server_takes_it_so() {
    let email = to(&["a@example.com", "b@example.com"]);
    let server = Server::start(Script::default()).await;
    send(&server, &email).await.unwrap();
    assert_eq!(server.most_commands_at_once(), 4, "MAIL, two RCPT and DATA");

    let server = Server::start(Script::default().without("PIPELINING")).await;
    send(&server, &email).await.unwrap();
    // The body arrives in one piece too, but is not read as a command.
    assert_eq!(server.most_commands_at_once(), 1);
    assert_eq!(server.bodies(), 1);
}

#[tokio::test]
async fn nothing_is_asked_for_that_is_not_offered() {
    let server = Server::start(Script {
        offers: vec!["AUTH PLAIN"],
        ..Script::default()
    })
    .await;
    send(&server, &email()).await.unwrap();
    assert!(server.commands().contains(&"MAIL FROM:<shop@shop.example>".to_owned()));
    assert!(server.commands().contains(&"RCPT TO:<jane@example.com>".to_owned()));
}

#[tokio::test]
async fn login_is_spoken_where_plain_is_not() {
    let server = Server::start(Script::default().without("AUTH").offering("AUTH LOGIN")).await;
    send(&server, &email()).await.unwrap();
    assert!(server.commands().contains(&"AUTH LOGIN".to_owned()));
    let server = Server::start(Script::default().without("AUTH").offering("AUTH CRAM-MD5")).await;
    let failure = send(&server, &email()).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Misconfigured, "auth_not_offered"));
}

#[tokio::test]
async fn some_recipients_refused_are_reported_and_the_others_served() {
    for script in [Script::default(), Script::default().without("PIPELINING")] {
        let refused = vec![("nobody", "550 5.1.1 no such user"), ("full", "452 4.2.2 full")];
        let server = Server::start(Script { refused, ..script }).await;
        let accepted = send(&server, &to(&["nobody@example.com", "jane@example.com", "full@example.com"]))
            .await
            .unwrap();
        let refused: Vec<_> = accepted
            .refused
            .iter()
            .map(|refusal| (refusal.address.local(), refusal.failure.class))
            .collect();
        assert_eq!(refused, [("nobody", C::InvalidRecipient), ("full", C::Unavailable)]);
        assert_eq!(server.bodies(), 1);
    }
}

#[tokio::test]
async fn all_recipients_refused_hands_over_no_body_and_the_connection_serves_on() {
    for script in [Script::default(), Script::default().without("PIPELINING")] {
        let server = Server::start(Script {
            refused: vec![("nobody", "550 5.1.1 no such user")],
            ..script
        })
        .await;
        let smtp = smtp(settings(server.port));
        let failure = smtp.send(&to(&["nobody@example.com"]), &call()).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (C::InvalidRecipient, "550 5.1.1"));
        smtp.send(&email(), &call()).await.unwrap();
        assert_eq!((server.bodies(), server.connections()), (1, 1));
        assert!(
            server.commands().contains(&"RSET".to_owned()),
            "the open transaction is ended first"
        );
    }
}

#[tokio::test]
async fn of_several_refusals_one_that_leaves_hope_is_reported() {
    let refused = vec![("nobody", "550 5.1.1 no such user"), ("full", "452 4.2.2 full")];
    let server = Server::start(Script {
        refused,
        ..Script::default()
    })
    .await;
    let failure = send(&server, &to(&["nobody@example.com", "full@example.com"])).await.unwrap_err();
    assert_eq!(failure.class, C::Unavailable);
}

#[tokio::test]
async fn a_server_that_wants_a_body_for_nobody_gets_none() {
    let server = Server::start(Script {
        refused: vec![("nobody", "550 5.1.1 no")],
        data_anyway: true,
        ..Script::default()
    })
    .await;
    let smtp = smtp(settings(server.port));
    let failure = smtp.send(&to(&["nobody@example.com"]), &call()).await.unwrap_err();
    assert_eq!(failure.class, C::InvalidRecipient);
    smtp.send(&email(), &call()).await.unwrap();
    assert_eq!((server.bodies(), server.connections()), (1, 2));
}

#[tokio::test]
async fn connections_are_used_again_without_asking_first() {
    let server = Server::start(Script::default()).await;
    let smtp = smtp(settings(server.port));
    for _ in 0..5 {
        smtp.send(&email(), &call()).await.unwrap();
    }
    assert_eq!((server.connections(), server.bodies()), (1, 5));
    assert!(server.commands().iter().all(|command| command != "NOOP" && command != "RSET"));
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_replaced_silently() {
    let server = Server::start(Script {
        messages_per_connection: 1,
        ..Script::default()
    })
    .await;
    let smtp = smtp(settings(server.port));
    for _ in 0..20 {
        smtp.send(&email(), &call()).await.unwrap();
    }
    assert_eq!((server.connections(), server.bodies()), (20, 20));
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_not_tried_again() {
    let server = Server::start(Script::default().at(Stage::Mail, Act::SayAndClose("421 4.3.0 bye".to_owned()))).await;
    assert_eq!(send(&server, &email()).await.unwrap_err().class, C::Unavailable);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn many_at_once_share_few_connections() {
    let server = Server::start(Script::default()).await;
    let smtp = std::sync::Arc::new(smtp(settings(server.port)));
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let smtp = std::sync::Arc::clone(&smtp);
        sends.spawn(async move { smtp.send(&email(), &call()).await });
    }
    for sent in sends.join_all().await {
        sent.unwrap();
    }
    assert_eq!(server.bodies(), 64);
    assert!(server.connections() <= 4, "{}", server.connections());
}

#[tokio::test]
async fn a_message_over_the_servers_size_is_not_begun() {
    let server = Server::start(Script::default().without("SIZE").offering("SIZE 1000")).await;
    let mut email = email();
    email.text = Some("line\n".repeat(500));
    let failure = send(&server, &email).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Unsupported, "message_too_large"));
    assert!(server.commands().iter().all(|command| !command.starts_with("MAIL")));
}

#[tokio::test]
async fn letters_beyond_ascii_before_the_at_need_a_server_that_takes_them() {
    let email = to(&["jürgen@example.com"]);
    let server = Server::start(Script::default()).await;
    assert_eq!(send(&server, &email).await.unwrap_err().class, C::Unsupported);
    let server = Server::start(Script::default().offering("SMTPUTF8")).await;
    send(&server, &email).await.unwrap();
    assert!(
        server
            .commands()
            .iter()
            .any(|command| command.starts_with("MAIL") && command.contains(" SMTPUTF8"))
    );
    let server = Server::start(Script::default().offering("SMTPUTF8")).await;
    send(&server, &to(&["jane@example.com"])).await.unwrap();
    assert!(
        server.commands().iter().all(|command| !command.contains("SMTPUTF8")),
        "only where it is needed"
    );
}

#[tokio::test]
async fn a_sender_that_is_not_covered_moves_to_reply_to() {
    let mut email = email();
    email.from = Some(mailbox("Me <me@elsewhere.example>"));
    let server = Server::start(Script::default()).await;
    assert!(send(&server, &email).await.unwrap().from_substituted);
    let body = String::from_utf8(server.body()).unwrap();
    assert!(
        body.contains("\r\nReply-To: ") && body.contains("me@elsewhere.example") && body.contains("shop@shop.example"),
        "{body}"
    );
}

#[tokio::test]
async fn a_sender_that_the_caller_chose_and_the_server_refuses_is_not_our_configuration() {
    let mut email = email();
    email.from = Some(mailbox("other@shop.example"));
    let server = Server::start(Script::default().says(Stage::Mail, "553 5.7.1 not yours")).await;
    assert_eq!(send(&server, &email).await.unwrap_err().class, C::Unsupported);
}
