//! Good requests, as each provider wants them.

use serde_json::{Value, json};
use ums_simulator::Provider;

use crate::client::Request;

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// The providers that speak HTTP.
pub(crate) const HTTP: [Provider; 4] = [Provider::Ses, Provider::Sns, Provider::SendGrid, Provider::Twilio];

/// A request that sends one message.
pub(crate) fn send(provider: Provider) -> Request {
    match provider {
        Provider::Ses => ses("POST", "/v2/email/outbound-emails", &simple()),
        Provider::Sns => sns("Action=Publish&PhoneNumber=%2B14165550123&Message=Hello"),
        Provider::SendGrid => sendgrid("POST", "/v3/mail/send", &mail()),
        Provider::Twilio => twilio("POST", "/Messages.json").body("To=%2B14165550123&From=%2B15005550006&Body=Hello"),
        Provider::Smtp => unreachable!("it has no requests"),
    }
}

fn signed(service: &str, request: Request) -> Request {
    let signature = "0".repeat(64);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/eu-central-1/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={signature}"
    );
    request
        .header("Authorization", authorization)
        .header("X-Amz-Date", "20261122T100000Z")
}

pub(crate) fn ses(method: &'static str, path: &str, body: &Value) -> Request {
    let request = Request::new(method, path).header("Content-Type", "application/json");
    signed("ses", request).body(body.to_string())
}

pub(crate) fn sns(form: &str) -> Request {
    let request = Request::new("POST", "/").header("Content-Type", "application/x-www-form-urlencoded");
    signed("sns", request).body(form)
}

/// A request to CloudWatch Logs.
pub(crate) fn logs(operation: &str, body: &Value) -> Request {
    let request = Request::new("POST", "/")
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("X-Amz-Target", format!("Logs_20140328.{operation}"));
    signed("logs", request).body(body.to_string())
}

pub(crate) fn sendgrid(method: &'static str, path: &str, body: &Value) -> Request {
    Request::new(method, path)
        .header("Authorization", "Bearer SG.any.key")
        .header("Content-Type", "application/json")
        .body(body.to_string())
}

/// A path below the account's.
pub(crate) fn twilio(method: &'static str, path: &str) -> Request {
    use base64::Engine as _;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{ACCOUNT}:any"));
    Request::new(method, format!("/2010-04-01/Accounts/{ACCOUNT}{path}"))
        .header("Authorization", format!("Basic {credentials}"))
        .header("Content-Type", "application/x-www-form-urlencoded")
}

pub(crate) fn simple() -> Value {
    json!({
        "FromEmailAddress": "Shop <shop@example.com>",
        "Destination": {"ToAddresses": ["zoe@example.com"]},
        "Content": {"Simple": {
            "Subject": {"Data": "Hello"},
            "Body": {"Text": {"Data": "Hello Zoë"}},
        }},
    })
}

pub(crate) fn mail() -> Value {
    json!({
        "personalizations": [{"to": [{"email": "zoe@example.com"}]}],
        "from": {"email": "shop@example.com", "name": "Shop"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello Zoë"}],
    })
}
