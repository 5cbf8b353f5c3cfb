//! Recipients have fates of their own: what is reported of each, and on which connection the rest goes on.

use ums_core::{Failure, FailureClass as C, Provider, Refusal};
use ums_providers::send::smtp::Stage;

use super::server::{Act, Script, Server};
use super::{call, send, settings, smtp, to};

const FULL: &str = "452 4.5.3 Error: too many recipients";

/// The script as it is, and without PIPELINING.
fn both(script: &Script) -> [Script; 2] {
    [script.clone(), script.clone().without("PIPELINING")]
}

/// The gone is refused for good and the busy for now; everybody else is taken.
fn choosy() -> Script {
    Script {
        refused: vec![("gone", "550 5.1.1 no such user"), ("busy", "451 4.7.1 greylisted")],
        ..Script::default()
    }
}

fn fates(refusals: &[Refusal]) -> Vec<(&str, C, &str)> {
    let fate = |refusal| {
        let Refusal { address, failure, .. }: &Refusal = refusal;
        (address.local(), failure.class, failure.code.as_str())
    };
    refusals.iter().map(fate).collect()
}

fn to_three() -> ums_core::Email {
    to(&["gone@example.com", "jane@example.com", "busy@example.com"])
}

const GONE: (&str, C, &str) = ("gone", C::InvalidRecipient, "550 5.1.1");
const BUSY: (&str, C, &str) = ("busy", C::Unavailable, "451 4.7.1");

/// The verbs of the transactions, and of what stands between them.
fn verbs(server: &Server) -> String {
    let verb = |line: &String| line.split([' ', ':']).next().unwrap_or_default().to_owned();
    let verbs: Vec<_> = server.commands().iter().map(verb).collect();
    let from = verbs.iter().position(|verb| verb == "MAIL").unwrap();
    verbs[from..].join(" ")
}

#[tokio::test]
async fn a_full_transaction_is_followed_by_the_next_on_the_same_connection() {
    let script = Script {
        limit: (2, FULL),
        ..Script::default()
    };
    for script in both(&script) {
        let server = Server::start(script).await;
        let smtp = smtp(settings(server.port));
        let five = to(&["a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"]);
        let accepted = smtp.send(&five, &call()).await.unwrap();
        assert_eq!(fates(&accepted.refused).len(), 3);
        assert!(accepted.refused.iter().all(|refusal| refusal.next_transaction));

        let accepted = smtp
            .send(&to(&["c@example.com", "d@example.com", "e@example.com"]), &call())
            .await
            .unwrap();
        assert_eq!(fates(&accepted.refused), [("e", C::Unavailable, "452 4.5.3")]);
        assert!(accepted.refused[0].next_transaction);

        let accepted = smtp.send(&to(&["e@example.com"]), &call()).await.unwrap();
        assert!(accepted.refused.is_empty());
        assert_eq!((server.connections(), server.bodies()), (1, 3));
        assert_eq!(
            verbs(&server),
            "MAIL RCPT RCPT RCPT RCPT RCPT DATA MAIL RCPT RCPT RCPT DATA MAIL RCPT DATA"
        );
    }
}

#[tokio::test]
async fn a_server_that_takes_nobody_has_no_next_transaction() {
    for reply in [FULL, "452 too many recipients", "552 too many recipients", "552 5.5.3 limit"] {
        let script = Script {
            limit: (0, reply),
            ..Script::default()
        };
        for script in both(&script) {
            let server = Server::start(script).await;
            let smtp = smtp(settings(server.port));
            for _ in 0..2 {
                let failure = smtp.send(&to(&["a@example.com", "b@example.com"]), &call()).await.unwrap_err();
                assert_eq!(failure.class, C::Unavailable, "{reply}");
                assert_eq!(failure.refusals.len(), 2, "{reply}");
                assert!(failure.refusals.iter().all(|refusal| !refusal.next_transaction), "{reply}");
            }
            assert_eq!((server.connections(), server.bodies()), (1, 0), "{reply}");
            assert!(verbs(&server).contains(" RSET MAIL"), "{}", verbs(&server));
        }
    }
}

#[tokio::test]
async fn only_a_full_transaction_has_a_next_one() {
    for (reply, next) in [
        ("452 4.5.3 too many recipients", true),
        ("452-4.5.3 Your message has too many recipients, see\r\n452 4.5.3 the help", true),
        ("452 too many", true),
        ("552 5.5.3 recipient limit", true),
        ("552 Too many recipients", true),
        ("452 4.3.1 insufficient system storage", false),
        ("452 4.2.2 mailbox full", false),
        ("451 4.7.1 greylisted", false),
        ("450 4.2.0 greylisted", false),
        ("552 5.2.2 mailbox full", false),
    ] {
        let script = Script {
            refused: vec![("second", reply)],
            ..Script::default()
        };
        for script in both(&script) {
            let server = Server::start(script).await;
            let accepted = send(&server, &to(&["first@example.com", "second@example.com"])).await.unwrap();
            let [refusal] = accepted.refused.as_slice() else {
                panic!("{reply}")
            };
            assert_eq!(refusal.next_transaction, next, "{reply}");

            let accepted = send(&server, &to(&["second@example.com", "first@example.com"])).await.unwrap();
            assert!(!accepted.refused[0].next_transaction, "{reply}: nobody was taken before");
        }
    }
}

#[tokio::test]
async fn when_nobody_is_left_each_refusal_is_told() {
    for script in both(&choosy()) {
        let server = Server::start(script).await;
        let failure = send(&server, &to(&["gone@example.com", "busy@example.com"])).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (C::Unavailable, "451 4.7.1"));
        assert_eq!(fates(&failure.refusals), [GONE, BUSY]);
        assert_eq!(failure.of_recipient("gone@example.com").class, C::InvalidRecipient);
    }
}

#[tokio::test]
async fn the_only_recipients_refusal_is_the_failure() {
    for script in both(&choosy()) {
        let server = Server::start(script).await;
        let failure = send(&server, &to(&["gone@example.com"])).await.unwrap_err();
        assert_eq!((failure.class, failure.refusals.len()), (C::InvalidRecipient, 0));
    }
}

#[tokio::test]
async fn after_a_lost_answer_only_the_accepted_may_have_it() {
    for act in [Act::Close, Act::Say("HTTP/1.1 200 OK".to_owned())] {
        for script in both(&choosy().at(Stage::Dot, act.clone())) {
            let server = Server::start(script).await;
            let failure = send(&server, &to_three()).await.unwrap_err();
            assert_eq!(failure.class, C::Unknown, "{act:?}");
            assert_eq!(fates(&failure.refusals), [GONE, BUSY], "{act:?}");
            assert_eq!(failure.of_recipient("jane@example.com").class, C::Unknown);
        }
    }
}

/// The failure, when the server does this at a stage.
async fn failure_at(stage: Stage, act: Act) -> [Failure; 2] {
    let [with, without] = both(&choosy().at(stage, act));
    [
        send(&Server::start(with).await, &to_three()).await.unwrap_err(),
        send(&Server::start(without).await, &to_three()).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_refused_body_is_not_the_failure_of_those_who_were_refused_before() {
    let say = |reply: &str| Act::Say(reply.to_owned());
    for (stage, reply, class) in [
        (Stage::Dot, "554 5.6.0 malformed", C::InvalidMessage),
        (Stage::Dot, "451 4.3.0 later", C::Unavailable),
        (Stage::Data, "451 4.3.0 later", C::Unavailable),
    ] {
        for failure in failure_at(stage, say(reply)).await {
            assert_eq!((failure.class, fates(&failure.refusals)), (class, vec![GONE, BUSY]), "{reply}");
        }
    }
}

#[tokio::test]
async fn who_was_refused_before_the_connection_was_lost_was_refused() {
    // The server goes away instead of accepting the second recipient.
    for act in [Act::Close, Act::SayAndClose("421 4.3.2 shutting down".to_owned())] {
        for failure in failure_at(Stage::Rcpt, act).await {
            assert_eq!((failure.class, fates(&failure.refusals)), (C::Unavailable, vec![GONE]));
        }
    }
    for failure in failure_at(Stage::Data, Act::Close).await {
        assert_eq!((failure.class, fates(&failure.refusals)), (C::Unavailable, vec![GONE, BUSY]));
    }
}

#[tokio::test]
async fn the_replies_behind_a_refused_sender_are_nobodys_refusal() {
    for failure in failure_at(Stage::Mail, Act::Say("451 4.3.0 later".to_owned())).await {
        assert_eq!((failure.class, failure.refusals.len()), (C::Unavailable, 0));
    }
}

#[tokio::test]
async fn a_connection_serves_on_after_data_was_refused() {
    for script in both(&choosy().says(Stage::Data, "451 4.3.0 later")) {
        let server = Server::start(script).await;
        let smtp = smtp(settings(server.port));
        for _ in 0..2 {
            smtp.send(&to_three(), &call()).await.unwrap_err();
        }
        assert_eq!(server.connections(), 1);
        assert_eq!(verbs(&server), "MAIL RCPT RCPT RCPT DATA RSET MAIL RCPT RCPT RCPT DATA");
    }
}

#[tokio::test]
async fn a_failure_shows_nobody_that_it_lists() {
    let refused = vec![("canary", "550 5.1.1 <canary-recipient@example.com> unknown")];
    let script = Script {
        refused,
        ..Script::default().at(Stage::Dot, Act::Close)
    };
    let server = Server::start(script).await;
    let failure = send(&server, &to(&["jane@example.com", "canary-recipient@example.com"]))
        .await
        .unwrap_err();
    let shown = format!("{failure} {failure:?} {:?}", failure.refusals);
    assert!(failure.refusals.len() == 1 && !shown.contains("canary-recipient"), "{shown}");
}
