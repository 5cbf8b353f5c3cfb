//! Amazon SNS, Query protocol, as far as text messages need it.
//!
//! `POST /` with `Action` = `Publish` (to a telephone number), `GetSMSAttributes`,
//! `GetSMSSandboxAccountStatus`, `CheckIfPhoneNumberIsOptedOut`. Forms in, XML out.
//! As at the real one, a `Publish` that is answered says nothing about delivery.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyper::Method;

use crate::Provider;
use crate::address::is_e164;
use crate::aws::{self, SignatureFault};
use crate::call::Call;
use crate::form::Form;
use crate::message::SimMessage;
use crate::recorder::Draft;
use crate::reply::{Answer, Refusal, Reply};
use crate::world::World;

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// Longest text of a message, in bytes.
const MAX_MESSAGE: usize = 1_600;

/// Most attributes read from a request.
const MAX_ATTRIBUTES: usize = 20;

/// Tells whether the call sends a message.
pub(crate) fn is_send(call: &Call) -> bool {
    Form::parse(&call.body).get("Action") == Some("Publish")
}

/// Answers a call as SNS would.
pub(crate) fn answer(world: &World, call: &Call) -> Answer {
    Answer::of(route(world, call))
}

/// Words a refusal as SNS would.
pub(crate) fn refuse(world: &World, refusal: Refusal<'_>) -> Reply {
    match refusal {
        Refusal::Status(status) => error(world, status, code_for(status), "The request failed."),
        Refusal::Throttled => error(world, 429, "Throttling", "Rate exceeded"),
        Refusal::Unauthorized => error(
            world,
            403,
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        ),
        Refusal::Suspended => error(
            world,
            403,
            "OptInRequired",
            "The AWS Access Key Id needs a subscription for the service",
        ),
        // The text of the delivery log; `Publish` has no better code for it.
        Refusal::Quota => error(world, 429, "Throttled", "No quota left for account"),
        Refusal::Recipient(number) => not_a_number(world, number),
        Refusal::TooLarge => error(world, 413, "RequestEntityTooLarge", "Request too large"),
    }
}

fn code_for(status: u16) -> &'static str {
    match status {
        401 | 403 => "AuthorizationError",
        404 => "NotFound",
        429 => "Throttling",
        503 => "ServiceUnavailable",
        400..=499 => "InvalidParameter",
        _ => "InternalError",
    }
}

fn error(world: &World, status: u16, code: &str, message: &str) -> Reply {
    let at_fault = if status < 500 { "Sender" } else { "Receiver" };
    let request = world.ids.uuid();
    let message = escape(message);
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{at_fault}</Type>\n    \
         <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
         <RequestId>{request}</RequestId>\n</ErrorResponse>\n"
    );
    Reply::new(status).body("text/xml", body).header("x-amzn-requestid", &request)
}

fn invalid(world: &World, message: &str) -> Reply {
    error(world, 400, "InvalidParameter", message)
}

fn not_a_number(world: &World, number: &str) -> Reply {
    let text = format!("Invalid parameter: PhoneNumber Reason: {number} is not valid to publish to");
    invalid(world, &text)
}

fn success(world: &World, action: &str, result: &str) -> Reply {
    let request = world.ids.uuid();
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\">\n  <{action}Result>{result}</{action}Result>\n  \
         <ResponseMetadata>\n    <RequestId>{request}</RequestId>\n  </ResponseMetadata>\n\
         </{action}Response>\n"
    );
    Reply::new(200).body("text/xml", body).header("x-amzn-requestid", &request)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

fn route(world: &World, call: &Call) -> Result<Answer, Reply> {
    if call.path != "/" || call.method != Method::POST {
        return Err(error(world, 404, "NotFound", "Nothing here"));
    }
    check_signature(world, call)?;
    let form = Form::parse(&call.body);
    match form.get("Action") {
        Some("Publish") => publish(world, call, &form),
        Some(action @ "GetSMSAttributes") => Ok(attributes(world, action).into()),
        Some(action @ "GetSMSSandboxAccountStatus") => Ok(success(world, action, "<IsInSandbox>false</IsInSandbox>").into()),
        Some(action @ "CheckIfPhoneNumberIsOptedOut") => {
            let number = form.get("phoneNumber").unwrap_or_default();
            if !is_e164(number) {
                return Err(not_a_number(world, number));
            }
            Ok(success(world, action, "<isOptedOut>false</isOptedOut>").into())
        }
        Some(action) => {
            let text = format!("The action {action} is not valid for this web service.");
            Err(error(world, 400, "InvalidAction", &text))
        }
        None => Err(error(world, 400, "MissingAction", "The request must contain the parameter Action.")),
    }
}

fn check_signature(world: &World, call: &Call) -> Result<(), Reply> {
    aws::check_signature(call, "sns").map_err(|fault| match fault {
        SignatureFault::Missing => error(world, 403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
        SignatureFault::Incomplete(text) => error(world, 400, "IncompleteSignature", text),
        SignatureFault::OtherService => error(
            world,
            403,
            "SignatureDoesNotMatch",
            "Credential should be scoped to correct service: 'sns'.",
        ),
    })
}

fn attributes(world: &World, action: &str) -> Reply {
    let mut entries = String::new();
    let all = [
        ("MonthlySpendLimit", "1000"),
        ("DefaultSMSType", "Transactional"),
        ("DeliveryStatusSuccessSamplingRate", "100"),
        ("DeliveryStatusIAMRole", "arn:aws:iam::123456789012:role/SNSSuccessFeedback"),
    ];
    for (key, value) in all {
        // Writing to a string cannot fail.
        write!(entries, "<entry><key>{key}</key><value>{value}</value></entry>").ok();
    }
    success(world, action, &format!("<attributes>{entries}</attributes>"))
}

fn publish(world: &World, call: &Call, form: &Form) -> Result<Answer, Reply> {
    let Some(number) = form.filled("PhoneNumber") else {
        return Err(invalid(
            world,
            "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter",
        ));
    };
    if !is_e164(number) {
        return Err(not_a_number(world, number));
    }
    let Some(text) = form.filled("Message") else {
        return Err(invalid(world, "Invalid parameter: Empty message"));
    };
    if text.len() > MAX_MESSAGE {
        return Err(invalid(world, "Invalid parameter: Message too long"));
    }
    let attributes = message_attributes(form);
    check_attributes(world, &attributes)?;
    let id = world.ids.uuid();
    let mut message = SimMessage::new(Provider::Sns, id.clone());
    message.to = vec![number.to_owned()];
    message.from = ["AWS.MM.SMS.OriginationNumber", "AWS.SNS.SMS.SenderID"]
        .into_iter()
        .find_map(|name| attributes.get(name).cloned());
    message.body = Some(text.to_owned());
    message.params = attributes;
    let mut draft = Draft::plain(message, call.body.clone());
    draft.region = aws::region(call);
    Ok(Answer {
        reply: success(world, "Publish", &format!("<MessageId>{id}</MessageId>")),
        accepted: vec![draft],
    })
}

fn message_attributes(form: &Form) -> BTreeMap<String, String> {
    let read = |number: usize| {
        let prefix = format!("MessageAttributes.entry.{number}");
        let name = form.filled(&format!("{prefix}.Name"))?;
        let value = form.get(&format!("{prefix}.Value.StringValue"))?;
        Some((name.to_owned(), value.to_owned()))
    };
    (1..=MAX_ATTRIBUTES).filter_map(read).collect()
}

fn check_attributes(world: &World, attributes: &BTreeMap<String, String>) -> Result<(), Reply> {
    for (name, value) in attributes {
        let is_legal = match name.as_str() {
            "AWS.SNS.SMS.SenderID" => is_sender_id(value),
            "AWS.SNS.SMS.SMSType" => matches!(value.as_str(), "Promotional" | "Transactional"),
            "AWS.SNS.SMS.MaxPrice" => value.parse::<f64>().is_ok_and(|price| price >= 0.0),
            "AWS.MM.SMS.OriginationNumber" => is_origination(value),
            "AWS.MM.SMS.EntityId" | "AWS.MM.SMS.TemplateId" => (1..=50).contains(&value.len()),
            _ => true,
        };
        if !is_legal {
            let text = format!("Invalid parameter: MessageAttributes Reason: the value of {name} is not valid");
            return Err(invalid(world, &text));
        }
    }
    Ok(())
}

fn is_sender_id(value: &str) -> bool {
    (1..=11).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && value.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_origination(value: &str) -> bool {
    let digits = value.strip_prefix('+').unwrap_or(value);
    (5..=14).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}
