//! The SMTP adapter against a server that follows a script.

mod dialogue;
mod failures;
mod fates;
mod manners;
mod message;
mod recipients;
mod secured;
mod server;
mod simulated;
mod unasked;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ums_core::{Accepted, Call, Email, Failure, FailureClass, Mailbox, Provider, Purpose, Secret, SystemClock};
use ums_providers::send::smtp::{Smtp, SmtpSettings, SmtpTimeouts, SmtpTls, Stage};

use self::server::{Act, Script, Server};

/// Must stand in no output.
const USER: &str = "canary-user";
/// Must stand in no output.
const PASSWORD: &str = "canary-password";
/// The attempt's id, which makes the Message-ID.
const ATTEMPT: &str = "0199a5a5-0000-7000-8000-00000000000a";

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn email() -> Email {
    Email {
        from: None,
        to: vec![mailbox("Jane <jane@example.com>")],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: "Hello".to_owned(),
        html: Some("<p>Hello</p>".to_owned()),
        text: Some("Hello".to_owned()),
        attachments: Vec::new(),
        headers: Vec::new(),
    }
}

fn to(addresses: &[&str]) -> Email {
    let mut email = email();
    email.to = addresses.iter().map(|address| mailbox(address)).collect();
    email
}

fn call() -> Call {
    Call {
        message_id: "0199a5a5-0000-7000-8000-000000000001".parse().unwrap(),
        attempt_id: ATTEMPT.parse().unwrap(),
        purpose: Purpose::Transactional,
        time_left: Duration::from_mins(1),
    }
}

/// Short enough for a test that waits them out, long enough for a busy machine.
const SHORT: SmtpTimeouts = SmtpTimeouts {
    connect: Duration::from_secs(2),
    write: Duration::from_secs(1),
    reply: Duration::from_secs(1),
};

fn settings(port: u16) -> SmtpSettings {
    let mut settings = SmtpSettings::new("127.0.0.1", port, mailbox("Shop <shop@shop.example>"));
    settings.tls = SmtpTls::None;
    settings.login = Some((USER.to_owned(), Secret::new(PASSWORD)));
    settings
}

fn smtp(settings: SmtpSettings) -> Smtp {
    Smtp::new(settings, Arc::new(SystemClock::new())).unwrap()
}

async fn send(server: &Server, email: &Email) -> Result<Accepted, Failure> {
    smtp(settings(server.port)).send(email, &call()).await
}

async fn send_by(script: Script) -> Result<Accepted, Failure> {
    send(&Server::start(script).await, &email()).await
}

/// A server that resets every connection within the body, and an adapter for it.
pub(crate) async fn resetting_in_the_body() -> (Server, Smtp) {
    let server = Server::start(Script::default().at(Stage::Dot, Act::ResetAfter(1))).await;
    let adapter = smtp(settings(server.port));
    (server, adapter)
}

async fn class_by(script: Script) -> FailureClass {
    send_by(script).await.unwrap_err().class
}

fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/smtp")
        .join(name);
    std::fs::read(path).unwrap()
}

fn server_tls(host: &str) -> rustls::ServerConfig {
    let chain = vec![CertificateDer::from_pem_slice(&fixture(&format!("{host}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&fixture(&format!("{host}.key"))).unwrap();
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}
