//! The message that every peer sends: 218 octets of text, about 1.1 KB of HTML, a 60-octet SMS.

use serde_json::{Value, json};

pub(crate) const FROM: &str = "shop@example.com";
pub(crate) const TO: &str = "customer@example.com";
pub(crate) const SUBJECT: &str = "Your order 4711 is on its way";
pub(crate) const SMS_FROM: &str = "+14165550199";
pub(crate) const SMS_TO: &str = "+14165550123";
pub(crate) const SMS: &str = "Your order 4711 is on its way and will be with you tomorrow.";
const SENTENCE: &str = "Your order 4711 left our house today and will be with you tomorrow. ";
const TEXT_OCTETS: usize = 218;
const HTML_OCTETS: usize = 1_100;

/// Text of exactly the wanted length.
fn repeated(octets: usize) -> String {
    SENTENCE.chars().cycle().take(octets).collect()
}

pub(crate) fn text() -> String {
    repeated(TEXT_OCTETS)
}

pub(crate) fn html() -> String {
    format!("<html><body><p>{}</p></body></html>", repeated(HTML_OCTETS - 37))
}

/// The body of SES's `SendEmail`.
pub(crate) fn ses(text: &str, html: &str) -> Value {
    let part = |data: &str| json!({"Data": data, "Charset": "UTF-8"});
    json!({
        "FromEmailAddress": FROM,
        "Destination": {"ToAddresses": [TO]},
        "Content": {"Simple": {
            "Subject": part(SUBJECT),
            "Body": {"Text": part(text), "Html": part(html)},
        }},
    })
}

/// The body of SendGrid's `mail/send`.
pub(crate) fn sendgrid(text: &str, html: &str) -> Value {
    json!({
        "personalizations": [{"to": [{"email": TO}]}],
        "from": {"email": FROM},
        "subject": SUBJECT,
        "content": [
            {"type": "text/plain", "value": text},
            {"type": "text/html", "value": html},
        ],
    })
}
