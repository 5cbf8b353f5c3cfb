//! `POST Messages.json`: its form, its limits, and the message in it.

use super::{error, invalid_to, is_sid};
use crate::Provider;
use crate::address::is_e164;
use crate::call::Call;
use crate::form::Form;
use crate::message::SimMessage;
use crate::recorder::Draft;
use crate::reply::Reply;

/// Longest body, in characters.
const MAX_BODY: usize = 1_600;

/// Longest validity, in seconds: ten hours.
const MAX_VALIDITY: u32 = 36_000;

/// Numbers that fail as recipients, by the page on test credentials.
const MAGIC_TO: &[(&str, u32)] = &[
    ("+15005550001", 21211),
    ("+15005550002", 21612),
    ("+15005550003", 21408),
    ("+15005550004", 21610),
    ("+15005550009", 21614),
];

/// Numbers that fail as senders, by the same page.
const MAGIC_FROM: &[(&str, u32)] = &[("+15005550001", 21212), ("+15005550007", 21606), ("+15005550008", 21611)];

/// Reads a call into a message, or into Twilio's refusal of it.
pub(super) fn read(call: &Call, account: &str, sid: String) -> Result<Draft, Reply> {
    let form = Form::parse(&call.body);
    let to = recipient(&form)?;
    let mut message = SimMessage::new(Provider::Twilio, sid);
    message.from = Some(sender(&form, to)?.to_owned());
    message.to = vec![to.to_owned()];
    message.body = Some(body(&form)?.to_owned());
    check_options(&form)?;
    for (name, value) in form.pairs() {
        let repeated = message.params.entry(name.clone()).or_default();
        if !repeated.is_empty() {
            repeated.push(' ');
        }
        repeated.push_str(value);
    }
    message.params.insert("AccountSid".to_owned(), account.to_owned());
    Ok(Draft::plain(message, call.body.clone()))
}

fn magic(numbers: &[(&str, u32)], number: &str) -> Option<u32> {
    numbers.iter().find(|(magic, _)| *magic == number).map(|(_, code)| *code)
}

fn recipient(form: &Form) -> Result<&str, Reply> {
    let Some(to) = form.filled("To") else {
        return Err(error(400, 21604, "A 'To' phone number is required."));
    };
    if !is_e164(to) {
        return Err(invalid_to(to));
    }
    match magic(MAGIC_TO, to) {
        Some(21211) => Err(invalid_to(to)),
        Some(code @ 21612) => Err(error(
            400,
            code,
            &format!("The message cannot be sent with the current combination of 'To' ({to}) and/or 'From' parameters."),
        )),
        Some(code @ 21408) => Err(error(
            400,
            code,
            &format!("Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {to}"),
        )),
        Some(code @ 21610) => Err(error(400, code, "Attempt to send to unsubscribed recipient")),
        Some(code) => Err(error(400, code, &format!("To number: {to}, is not a mobile number"))),
        None => Ok(to),
    }
}

/// Returns the sender: the number or name if there is one, else the messaging service.
fn sender<'a>(form: &'a Form, to: &str) -> Result<&'a str, Reply> {
    let service = form.filled("MessagingServiceSid");
    if let Some(service) = service
        && !is_sid(service, "MG")
    {
        return Err(error(400, 21705, "The Messaging Service Sid is invalid."));
    }
    let Some(from) = form.filled("From") else {
        return service.ok_or_else(|| {
            error(
                400,
                21603,
                "A 'From' or 'MessagingServiceSid' parameter is required to send a message.",
            )
        });
    };
    if let Some(code) = magic(MAGIC_FROM, from) {
        let text = match code {
            21606 => format!("The 'From' phone number {from} is not a valid, message-capable Twilio phone number."),
            21611 => format!("This 'From' number {from} has exceeded the maximum number of queued messages"),
            _ => invalid_from(from),
        };
        return Err(error(400, code, &text));
    }
    let is_short_code = (5..=6).contains(&from.len()) && from.bytes().all(|b| b.is_ascii_digit());
    let is_name = (1..=11).contains(&from.len())
        && from.bytes().all(|b| b.is_ascii_alphanumeric() || b" &+-_".contains(&b))
        && from.bytes().any(|b| b.is_ascii_alphabetic());
    if !(is_e164(from) || is_short_code || is_name) {
        return Err(error(400, 21212, &invalid_from(from)));
    }
    if from == to {
        return Err(error(400, 21266, "'To' and 'From' number cannot be the same"));
    }
    Ok(from)
}

fn invalid_from(from: &str) -> String {
    format!("The 'From' number {from} is not a valid phone number, shortcode, or alphanumeric sender ID.")
}

fn body(form: &Form) -> Result<&str, Reply> {
    let body = form.get("Body").unwrap_or_default();
    if body.is_empty() && form.filled("MediaUrl").is_none() {
        return Err(error(400, 21602, "Message body is required."));
    }
    if body.chars().count() > MAX_BODY {
        return Err(error(400, 21617, "The concatenated message body exceeds the 1600 character limit"));
    }
    Ok(body)
}

fn check_options(form: &Form) -> Result<(), Reply> {
    if let Some(url) = form.filled("StatusCallback") {
        let host = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"))
            .and_then(|rest| rest.split(['/', '?', '#']).next())
            .unwrap_or_default();
        if host.is_empty() || host.contains('_') || url.len() > 4_000 {
            let text = format!("The StatusCallback URL {url} is not a valid URL.");
            return Err(error(400, 21609, &text));
        }
    }
    if let Some(seconds) = form.filled("ValidityPeriod") {
        let is_legal = |seconds: u32| (1..=MAX_VALIDITY).contains(&seconds);
        if !seconds.parse().is_ok_and(is_legal) {
            return Err(error(400, 21624, "Invalid validity period value"));
        }
    }
    Ok(())
}
