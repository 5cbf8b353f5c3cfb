//! Right in all that can be told without the certificate.

use serde_json::Value;

use super::super::bed::{Draft, fixture};
use super::Forgery;

/// Envelopes that were changed after they were signed, and signatures that are none.
pub(super) fn envelopes() -> Vec<Forgery> {
    let draft = Draft::delivery;
    let subscription = Draft::subscription;
    let signature = draft().text("Signature").to_owned();
    let short = &signature[..signature.len() - 8];
    let spaced = format!("{} ", draft().text("Message"));
    let mut forgeries: Vec<Forgery> = [
        ("Message changed", draft().set("Message", r#"{"eventType":"Bounce"}"#)),
        (
            "MessageId changed",
            draft().set("MessageId", "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf325"),
        ),
        ("Subject changed", draft().set("Subject", "another")),
        ("Timestamp changed", draft().set("Timestamp", "2026-11-22T10:00:02.001Z")),
        ("Subject removed", draft().without("Subject")),
        ("Subject made null", draft().set("Subject", Value::Null)),
        ("Subject made empty", draft().set("Subject", "")),
        ("Subject added", draft().without("Subject").signed().set("Subject", "new")),
        ("a space after the message", draft().set("Message", spaced)),
        ("version 2 called 1", draft().set("SignatureVersion", "1")),
        ("signed by another key", draft().signed_by(fixture!("other.key.pem"))),
        ("a signature of zeros", draft().set("Signature", "A".repeat(342) + "==")),
        ("a short signature", draft().set("Signature", short)),
        ("a long signature", draft().set("Signature", format!("AAAA{signature}"))),
        (
            "something else as signature",
            draft().set("Signature", "MIIFxTCCBK2gAwIBAgIQBkyRNHAyygLkObkxH5ju"),
        ),
        ("a notification made of a subscription", subscription().set("Type", "Notification")),
        (
            "an end made of a subscription",
            subscription().set("Type", "UnsubscribeConfirmation"),
        ),
        ("a subscription with another token", subscription().set("Token", "abc")),
    ]
    .into_iter()
    .map(|(name, draft)| Forgery::new(name, draft.body(), "signature"))
    .collect();
    let first = fixture!("ours-v1.json");
    let renamed = first.replace("\"SignatureVersion\": \"1\"", "\"SignatureVersion\": \"2\"");
    forgeries.push(Forgery::new("version 1 called 2", renamed.into(), "signature"));
    let changed = first.replace("250 ok", "250 OK");
    forgeries.push(Forgery::new("version 1, message changed", changed.into(), "signature"));
    forgeries
}

/// A genuine envelope, with a certificate that is not what it should be at its URL.
pub(super) fn certificates() -> Vec<Forgery> {
    const TWICE: &str = concat!(
        include_str!("../../../fixtures/aws/test.pem"),
        include_str!("../../../fixtures/aws/test.pem")
    );
    [
        ("an expired certificate", fixture!("expired.pem"), "certificate"),
        ("a certificate of the future", fixture!("not-yet.pem"), "certificate"),
        ("a certificate of somebody else", fixture!("wrong-name.pem"), "certificate"),
        ("a certificate of another region", fixture!("wrong-region.pem"), "certificate"),
        ("a certificate of China", fixture!("china.pem"), "certificate"),
        ("a certificate of GovCloud", fixture!("gov.pem"), "certificate"),
        ("a certificate with a curve's key", fixture!("curve.pem"), "certificate"),
        ("a key and no certificate", fixture!("test.key.pem"), "certificate"),
        ("two certificates", TWICE, "certificate"),
        ("a page instead of a certificate", "<html>no</html>", "certificate"),
        ("nothing instead of a certificate", "", "certificate"),
        ("self-made, with SNS's name and a small key", fixture!("small.pem"), "signature"),
        ("self-made, with SNS's name", fixture!("other.pem"), "signature"),
        (
            "SNS's real certificate, which ended in October",
            fixture!("amazon.pem"),
            "certificate",
        ),
    ]
    .into_iter()
    .map(|(name, pem, word)| Forgery {
        pem: Some(pem),
        ..Forgery::new(name, Draft::delivery().body(), word)
    })
    .collect()
}
