//! What calls cost in memory: a reply of 2 GB nothing, a large e-mail its bound. Each measurement runs in a process of its own.

use ums_core::{Attachment, COPIES_TO_SEND, Email};

use crate::bed::{self, Bed, transport};
use crate::fault_server::{Act, FaultServer};
use crate::smtp;

const LIMIT_KIB: u64 = 8 * 1024;

#[test]
fn a_reply_of_two_gigabytes_takes_less_than_eight_megabytes() {
    measure("measured");
}

/// Runs an ignored test of this file alone in its process.
fn measure(name: &str) {
    let program = std::env::current_exe().unwrap();
    let name = format!("memory::{name}");
    let output = std::process::Command::new(program)
        .args(["--exact", &name, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn measured() {
    let flood = |head: &str| Act::Flood(format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes(), 2 << 30);
    for head in ["", "content-length: 2147483648\r\n"] {
        let server = FaultServer::start(vec![flood(head)]).await;
        let (url, transport) = (server.url(), transport());
        let small = FaultServer::start(vec![Act::Answer(crate::fault_server::answer("500 Error", &[], ""))]).await;
        assert!(bed::ses(&small.url(), &transport).send_one().await.is_err(), "warm up");
        let before = peak_kib();
        for _ in 0..3 {
            assert!(bed::ses(&url, &transport).send_one().await.is_err());
            assert!(bed::sendgrid(&url, &transport).send_one().await.is_err() || head.is_empty());
            assert!(bed::sns(&url, &transport).send_one().await.is_err());
            assert!(bed::twilio(&url, &transport).send_one().await.is_err());
        }
        let grown = peak_kib() - before;
        assert!(grown < LIMIT_KIB, "grew by {grown} KiB");
    }
}

/// Bytes of the large part of an e-mail.
const LARGE: usize = 8 << 20;
/// Room for what is not the e-mail: buffers of sockets, the allocator's own.
const BESIDE_KIB: u64 = 2 * 1024;

#[test]
fn an_email_takes_no_more_copies_than_the_accounts_say() {
    for name in [
        "smtp_file",
        "smtp_page",
        "ses_file",
        "ses_raw_file",
        "ses_page",
        "sendgrid_file",
        "sendgrid_page",
    ] {
        measure(name);
    }
}

/// An e-mail with a file of 8 MiB.
fn with_file(name: &str) -> Email {
    Email {
        attachments: vec![Attachment {
            filename: name.to_owned(),
            content_type: "application/pdf".to_owned(),
            content: (0..=250).cycle().take(LARGE).collect(),
            inline: false,
            content_id: None,
        }],
        ..bed::email()
    }
}

/// An e-mail with a page of 8 MiB, a few of its letters beyond ASCII.
fn with_page() -> Email {
    let row = "<tr class=\"row\"><td>Größe</td><td>42</td></tr>\n";
    Email {
        html: Some(row.repeat(LARGE / row.len())),
        ..bed::email()
    }
}

/// Sends an e-mail that takes at most so many times its bytes at the peak of the call, beside itself.
async fn assert_within(name: &str, email: Email, provider: &impl ums_core::Provider<Email>, most: usize) {
    assert!(provider.send(&bed::email(), &bed::call()).await.is_err(), "warm up");
    let before = peak_kib();
    assert!(
        provider.send(&email, &bed::call()).await.is_err(),
        "the server resets every connection"
    );
    let grown = peak_kib() - before;
    let content = u64::try_from(email.content_bytes() / 1024).unwrap();
    assert!(
        grown <= content * most as u64 + BESIDE_KIB,
        "{name} took {} % of the e-mail",
        grown * 100 / content
    );
}

async fn smtp(name: &str, email: Email, most: usize) {
    let server = smtp::resetting_in_the_body().await;
    assert_within(name, email, &server.1, most).await;
}

async fn ses(name: &str, email: Email, most: usize) {
    let server = FaultServer::start(vec![Act::ResetAfter(1)]).await;
    assert_within(name, email, &bed::ses(&server.url(), &transport()), most).await;
}

async fn sendgrid(name: &str, email: Email, most: usize) {
    let server = FaultServer::start(vec![Act::ResetAfter(1)]).await;
    assert_within(name, email, &bed::sendgrid(&server.url(), &transport()), most).await;
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn smtp_file() {
    smtp("SMTP, file", with_file("a.pdf"), 0).await;
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn smtp_page() {
    smtp("SMTP, page", with_page(), COPIES_TO_SEND).await;
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn ses_file() {
    ses("SES, file", with_file("a.pdf"), 2).await;
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn ses_raw_file() {
    ses("SES, raw, file", with_file("no extension"), 2).await;
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn ses_page() {
    ses("SES, page", with_page(), COPIES_TO_SEND).await;
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn sendgrid_file() {
    sendgrid("SendGrid, file", with_file("a.pdf"), 2).await;
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn sendgrid_page() {
    sendgrid("SendGrid, page", with_page(), COPIES_TO_SEND).await;
}

/// The most memory that the process ever held.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
