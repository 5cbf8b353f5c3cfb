//! What is asked for in another way before a message fails: a name, a mechanism, parameters, a connection.

use proptest::prelude::*;
use ums_core::{BreakerEffect, FailureClass as C, HeloName, Provider};
use ums_providers::send::smtp::{SmtpSettings, Stage};

use super::server::{Act, Script, Server};
use super::{call, email, mailbox, send, settings, smtp, to};

/// A server as it mostly is, and one that takes one command at a time.
fn both() -> [Script; 2] {
    [Script::default(), Script::default().without("PIPELINING")]
}

fn count(server: &Server, start: &str) -> usize {
    server.commands().iter().filter(|command| command.starts_with(start)).count()
}

#[tokio::test]
async fn ehlo_gives_the_chosen_name_or_the_address_of_our_end() {
    let said = async |name: Option<&str>| {
        let server = Server::start(Script::default()).await;
        let helo_name = name.map(|name| HeloName::parse(name).unwrap());
        let settings = SmtpSettings {
            helo_name,
            ..settings(server.port)
        };
        smtp(settings).send(&email(), &call()).await.unwrap();
        server.commands().into_iter().find(|command| command.starts_with("EHLO")).unwrap()
    };
    for name in ["mail.example.com", "[192.0.2.5]", "[IPv6:2001:db8::5]"] {
        assert_eq!(said(Some(name)).await, format!("EHLO {name}"));
    }
    // Whatever this machine is called: a name with a dot, else the address.
    let own = said(None).await;
    let name = own.strip_prefix("EHLO ").unwrap();
    assert!(name == "[127.0.0.1]" || HeloName::of_machine(name).is_some(), "{name}");
}

#[tokio::test]
async fn the_name_is_the_same_before_and_after_starttls() {
    let server = Server::start(Script {
        tls: Some(super::server::TlsMode::Starttls("right-host")),
        ..Script::default()
    })
    .await;
    let mut settings = SmtpSettings::new("localhost", server.port, mailbox("shop@shop.example"));
    settings.tls = ums_providers::send::smtp::SmtpTls::Starttls;
    settings.extra_ca_pem = Some(super::fixture("ca.pem"));
    settings.helo_name = Some(HeloName::parse("mail.example.com").unwrap());
    smtp(settings).send(&email(), &call()).await.unwrap();
    assert_eq!(count(&server, "EHLO mail.example.com"), 2);
}

#[tokio::test]
async fn a_session_that_ended_while_it_lay_idle_is_replaced_silently() {
    let say = |reply: &str| Act::Say(reply.to_owned());
    let say_and_close = |reply: &str| Act::SayAndClose(reply.to_owned());
    for act in [
        Act::Close,
        say_and_close("421 4.4.2 mx.example.com Error: timeout exceeded"),
        say_and_close("451 4.4.2 Timeout waiting for client input"),
        say("451 4.4.2 Timeout waiting for data from client."),
        say("450 4.4.2 Timeout"),
        say("421 4.7.0 Too many messages in this session"),
        say("452 4.5.3 Too many messages in this session"),
        say("503 5.5.1 Error: nested MAIL command"),
        say("530 5.7.0 Authentication required"),
    ] {
        for script in both() {
            let server = Server::start(script.later(Stage::Mail, act.clone())).await;
            let smtp = smtp(settings(server.port));
            for _ in 0..4 {
                smtp.send(&email(), &call())
                    .await
                    .unwrap_or_else(|failure| panic!("{act:?}: {failure:?}"));
            }
            assert_eq!((server.connections(), server.bodies()), (4, 4), "{act:?}");
        }
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_reset_is_replaced_silently() {
    for reset in ["451 4.4.2 Timeout waiting for client input", "421 4.4.2 bye", "500 5.5.1 what"] {
        for script in both() {
            let server = Server::start(Script {
                reset,
                refused: vec![("nobody", "550 5.1.1 no such user")],
                ..script
            })
            .await;
            let smtp = smtp(settings(server.port));
            smtp.send(&to(&["nobody@example.com"]), &call()).await.unwrap_err();
            smtp.send(&email(), &call()).await.unwrap();
            assert_eq!((server.connections(), server.bodies()), (2, 1), "{reset}");
        }
    }
}

#[tokio::test]
async fn a_fresh_connection_is_asked_once() {
    for reply in ["451 4.4.2 Timeout waiting for client input", "421 4.4.2 timeout exceeded"] {
        let server = Server::start(Script::default().says(Stage::Mail, reply)).await;
        assert_eq!(send(&server, &email()).await.unwrap_err().class, C::Unavailable);
        assert_eq!((server.connections(), count(&server, "MAIL")), (1, 1), "{reply}");
    }
}

#[tokio::test]
async fn who_is_throttled_does_not_come_back_by_another_door() {
    let server = Server::start(Script::default().later(Stage::Mail, Act::Say("454 4.7.0 Throttling failure".to_owned()))).await;
    let smtp = smtp(settings(server.port));
    smtp.send(&email(), &call()).await.unwrap();
    assert_eq!(smtp.send(&email(), &call()).await.unwrap_err().class, C::Throttled);
    assert_eq!(server.connections(), 1);
}

const NO_MECHANISM: &str = "504 5.7.4 Unrecognized authentication type";

#[tokio::test]
async fn the_next_mechanism_is_tried_when_one_is_not_taken_and_remembered() {
    let server = Server::start(Script {
        messages_per_connection: 1,
        ..Script::default().refusing("AUTH PLAIN", NO_MECHANISM)
    })
    .await;
    let smtp = smtp(settings(server.port));
    for _ in 0..3 {
        smtp.send(&email(), &call()).await.unwrap();
    }
    assert_eq!(server.connections(), 3);
    assert_eq!((count(&server, "AUTH PLAIN"), count(&server, "AUTH LOGIN")), (1, 3));
}

#[tokio::test]
async fn a_server_that_hangs_up_after_a_mechanism_hears_the_other_one_next_time() {
    let script = Script::default().at(Stage::Auth, Act::SayAndClose(NO_MECHANISM.to_owned()));
    let server = Server::start(script).await;
    let smtp = smtp(settings(server.port));
    for _ in 0..2 {
        smtp.send(&email(), &call()).await.unwrap_err();
    }
    let asked: Vec<_> = server
        .commands()
        .into_iter()
        .filter(|command| command.starts_with("AUTH"))
        .collect();
    assert!(asked[0].starts_with("AUTH PLAIN") && asked[1] == "AUTH LOGIN", "{}", asked.len());
}

#[tokio::test]
async fn wrong_credentials_are_not_tried_twice() {
    for reply in [
        "535 5.7.8 no",
        "535 5.7.8 Invalid authentication mechanism",
        "534 5.7.9 Application-specific password required",
    ] {
        let server = Server::start(Script::default().says(Stage::Auth, reply)).await;
        assert_eq!(send(&server, &email()).await.unwrap_err().class, C::Misconfigured);
        assert_eq!((count(&server, "AUTH"), server.connections()), (1, 1), "{reply}");
    }
}

#[tokio::test]
async fn a_login_that_nothing_fits_says_what_was_offered() {
    let script = Script::default().without("AUTH").offering("AUTH CRAM-MD5 XOAUTH2");
    let failure = send(&Server::start(script).await, &email()).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Misconfigured, "auth_not_offered"));
    assert!(failure.detail.contains("CRAM-MD5, XOAUTH2"), "{}", failure.detail);

    let failure = send(&Server::start(Script::default().without("AUTH")).await, &email())
        .await
        .unwrap_err();
    assert!(failure.detail.contains("offers no login"), "{}", failure.detail);

    let server = Server::start(Script::default().refusing("AUTH", NO_MECHANISM)).await;
    let failure = send(&server, &email()).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Misconfigured, "504 5.7.4"));
    assert!(
        failure.detail.contains("LOGIN, PLAIN") && failure.detail.contains("Unrecognized"),
        "{}",
        failure.detail
    );
    assert_eq!(count(&server, "AUTH"), 2);
}

#[tokio::test]
async fn a_server_that_refuses_dsn_gets_none_and_everybody_has_the_message_once() {
    let group = to(&["a@example.com", "b@example.com", "c@example.com"]);
    for (words, reply) in [
        (" NOTIFY=", "555 5.5.4 Unsupported option: NOTIFY=FAILURE,DELAY"),
        (" NOTIFY=", "501 5.7.1 DSN support is disabled"),
        (" NOTIFY=", "500 5.5.2 bad syntax"),
        ("<b@example.com> NOTIFY=", "555 5.5.4 Unsupported option: NOTIFY=FAILURE,DELAY"),
        (" ENVID=", "555 MAIL FROM parameters not recognized or not implemented"),
        (" RET=", "504 5.5.4 RET not supported"),
    ] {
        for script in both() {
            let server = Server::start(script.refusing(words, reply)).await;
            let smtp = smtp(settings(server.port));
            for _ in 0..3 {
                let accepted = smtp
                    .send(&group, &call())
                    .await
                    .unwrap_or_else(|failure| panic!("{reply}: {failure:?}"));
                assert!(accepted.refused.is_empty(), "{reply}: {:?}", accepted.refused);
            }
            assert_eq!(server.bodies(), 3, "{reply}");
            assert!(server.connections() <= 2, "{reply}: {} connections", server.connections());
            let asked = server.commands().iter().filter(|command| command.contains(words)).count();
            assert!(asked <= 3, "{reply}: asked {asked} times for three messages");
        }
    }
}

#[tokio::test]
async fn one_command_at_a_time_repeats_only_what_was_refused() {
    let script = Script::default()
        .without("PIPELINING")
        .refusing("<b@example.com> NOTIFY=", "555 5.5.4 Unsupported option");
    let server = Server::start(script).await;
    send(&server, &to(&["a@example.com", "b@example.com", "c@example.com"]))
        .await
        .unwrap();
    let envelope: Vec<_> = server
        .commands()
        .into_iter()
        .filter(|command| command.starts_with("RCPT"))
        .collect();
    assert_eq!(
        envelope,
        [
            "RCPT TO:<a@example.com> NOTIFY=FAILURE,DELAY",
            "RCPT TO:<b@example.com> NOTIFY=FAILURE,DELAY",
            "RCPT TO:<b@example.com>",
            "RCPT TO:<c@example.com>",
        ]
    );
    assert_eq!((count(&server, "MAIL"), count(&server, "RSET"), server.connections()), (1, 0, 1));
}

#[tokio::test]
async fn a_refusal_that_stays_without_dsn_is_the_recipients_own_and_dsn_goes_on() {
    for script in both() {
        let script = Script {
            refused: vec![("nobody", "550 5.1.1 no such user, DSN or not")],
            ..script
        };
        let server = Server::start(script).await;
        let smtp = smtp(settings(server.port));
        let failure = smtp.send(&to(&["nobody@example.com"]), &call()).await.unwrap_err();
        assert_eq!(failure.class, C::InvalidRecipient);
        smtp.send(&email(), &call()).await.unwrap();
        assert!(
            server
                .commands()
                .contains(&"RCPT TO:<jane@example.com> NOTIFY=FAILURE,DELAY".to_owned())
        );
    }
}

const STAGES: [Stage; 4] = [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot];

fn replies() -> impl Strategy<Value = String> {
    let enhanced = prop_oneof![
        Just(String::new()),
        (0_u8..8, 0_u8..30).prop_map(|(subject, detail)| format!("{subject}.{detail}"))
    ];
    let words = prop_oneof![
        Just("Timeout waiting for client input"),
        Just("too many messages in this session"),
        Just("Unsupported option: NOTIFY=FAILURE"),
        Just("Syntax error in parameters"),
        Just("no such user"),
        Just("try again later"),
    ];
    (400_u16..560, enhanced, words).prop_map(|(code, enhanced, words)| {
        let enhanced = if enhanced.is_empty() {
            enhanced
        } else {
            format!("{}.{enhanced} ", code / 100)
        };
        format!("{code} {enhanced}{words}")
    })
}

/// What a call did, of a server that gives this answer on connections that are used again: the class of its failure, bodies taken of the
/// second message, connections.
fn second_call(stage: Stage, act: Act, script: Script) -> (Option<C>, usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(script.later(stage, act)).await;
        let smtp = smtp(settings(server.port));
        smtp.send(&email(), &call()).await.unwrap();
        let second = smtp.send(&email(), &call()).await;
        (second.err().map(|failure| failure.class), server.bodies() - 1, server.connections())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a connection that is used again answers: the message is handed over at most once, and the breaker sees a failure only
    /// from a fresh connection or after MAIL was taken.
    #[test]
    fn a_used_connection_neither_doubles_a_message_nor_blames_the_server(
        stage in proptest::sample::select(&STAGES[..]),
        reply in replies(),
        closes in any::<bool>(),
        pipelining in any::<bool>(),
    ) {
        let act = if closes { Act::SayAndClose(reply.clone()) } else { Act::Say(reply.clone()) };
        let script = if pipelining { Script::default() } else { Script::default().without("PIPELINING") };
        let (class, bodies, connections) = second_call(stage, act, script);
        prop_assert!(bodies <= 1, "{} at {}: taken {} times", reply, stage, bodies);
        let counts = |class: C| !matches!(class.consequence().breaker, BreakerEffect::NotCounted | BreakerEffect::Pauses);
        if stage == Stage::Mail {
            // The fresh connection takes everything.
            prop_assert!(class.is_none_or(|class| !counts(class)), "{} at {}: {:?}", reply, stage, class);
        }
        prop_assert!(connections <= 2, "{} at {}: {} connections", reply, stage, connections);
        if class.is_none() {
            prop_assert_eq!(bodies, 1);
        }
    }
}
