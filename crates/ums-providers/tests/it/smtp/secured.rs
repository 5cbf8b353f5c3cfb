//! TLS: never left out, and only with a server that proves who it is.

use ums_core::{Failure, FailureClass as C, Provider};
use ums_providers::send::smtp::{SmtpTls, Stage};

use super::server::{Act, Script, Server, TlsMode};
use super::{SHORT, call, email, fixture, settings, smtp};

async fn send_with(script: Script, tls: SmtpTls) -> (Result<(), Failure>, Vec<String>) {
    let server = Server::start(script).await;
    let mut settings = settings(server.port);
    "localhost".clone_into(&mut settings.host);
    settings.tls = tls;
    settings.extra_ca_pem = Some(fixture("ca.pem"));
    settings.timeouts = SHORT;
    let sent = smtp(settings).send(&email(), &call()).await.map(drop);
    (sent, server.commands())
}

fn tls(mode: TlsMode) -> Script {
    Script {
        tls: Some(mode),
        ..Script::default()
    }
}

#[tokio::test]
async fn starttls_and_implicit_tls_carry_a_message() {
    for (mode, setting) in [
        (TlsMode::Starttls("right-host"), SmtpTls::Starttls),
        (TlsMode::Implicit("right-host"), SmtpTls::Implicit),
    ] {
        let (sent, commands) = send_with(tls(mode), setting).await;
        sent.unwrap();
        let login = commands.iter().position(|command| command.starts_with("AUTH")).unwrap();
        let secured = commands.iter().position(|command| command == "STARTTLS");
        assert_eq!(secured.is_some(), setting == SmtpTls::Starttls);
        assert!(secured.is_none_or(|secured| secured < login), "{commands:?}");
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_neither_login_nor_message() {
    let (sent, commands) = send_with(Script::default(), SmtpTls::Starttls).await;
    let failure = sent.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Misconfigured, "starttls_not_offered"));
    assert!(commands.iter().all(|command| command.starts_with("EHLO")), "{commands:?}");
}

#[tokio::test]
async fn a_refused_starttls_ends_the_call() {
    for (reply, class) in [("454 4.7.0 TLS not available", C::Unavailable), ("501 no", C::Misconfigured)] {
        let (sent, commands) = send_with(tls(TlsMode::Starttls("right-host")).says(Stage::Starttls, reply), SmtpTls::Starttls).await;
        assert_eq!(sent.unwrap_err().class, class, "{reply}");
        assert!(
            commands
                .iter()
                .all(|command| !command.starts_with("AUTH") && !command.starts_with("MAIL"))
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    for (mode, setting) in [
        (TlsMode::Starttls("wrong-host"), SmtpTls::Starttls),
        (TlsMode::Implicit("wrong-host"), SmtpTls::Implicit),
    ] {
        let (sent, commands) = send_with(tls(mode), setting).await;
        let failure = sent.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (C::Misconfigured, "tls_refused"));
        assert!(commands.iter().all(|command| !command.starts_with("AUTH")));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = Server::start(tls(TlsMode::Implicit("right-host"))).await;
    let mut settings = settings(server.port);
    "localhost".clone_into(&mut settings.host);
    settings.tls = SmtpTls::Implicit;
    let failure = smtp(settings).send(&email(), &call()).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Misconfigured, "tls_refused"));
}

#[tokio::test]
async fn replies_in_clear_behind_starttls_are_not_believed() {
    let script = Script {
        injection: "250-mx.example\r\n250 AUTH PLAIN\r\n",
        ..tls(TlsMode::Starttls("right-host"))
    };
    let (sent, commands) = send_with(script, SmtpTls::Starttls).await;
    let failure = sent.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Unavailable, "starttls_injection"));
    assert!(commands.iter().all(|command| !command.starts_with("AUTH")));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up() {
    // A server in clear waits for EHLO while the client waits for the handshake.
    let (sent, _) = send_with(Script::default().at(Stage::Connect, Act::Hang), SmtpTls::Implicit).await;
    let failure = sent.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (C::Unavailable, "tls_timeout"));
}

#[tokio::test]
async fn lost_after_the_dot_is_unknown_under_tls_too() {
    let script = tls(TlsMode::Implicit("right-host"));
    assert_eq!(
        send_with(script.clone().at(Stage::Dot, Act::Close), SmtpTls::Implicit)
            .await
            .0
            .unwrap_err()
            .class,
        C::Unknown
    );
    assert_eq!(
        send_with(script.at(Stage::Data, Act::Close), SmtpTls::Implicit)
            .await
            .0
            .unwrap_err()
            .class,
        C::Unavailable
    );
}
