//! What a mail server would send back for a message that bounced: a report of RFC 3464.

use crate::message::SimMessage;
use crate::{Mode, Provider};

/// Writes the report on an SMTP message that was taken under `bounce`; `None` for any other.
///
/// It goes to the sender of the envelope, names all its recipients, and comes from nobody.
pub(crate) fn report(message: &SimMessage) -> Option<String> {
    if message.provider != Provider::Smtp || message.fault != Some(Mode::Bounce) {
        return None;
    }
    let param = |name: &str| message.params.get(name).map(String::as_str).filter(|value| !value.is_empty());
    // An empty sender gets no report (RFC 5321 §6.1).
    let sender = param("MAIL FROM")?;
    let date = message.received_at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
    let boundary = format!("=_ums-simulator-{}", message.id);
    let mut lines = vec![
        "Return-Path: <>".to_owned(),
        "From: Mail Delivery System <MAILER-DAEMON@ums-simulator.invalid>".to_owned(),
        format!("To: {sender}"),
        "Subject: Undelivered Mail Returned to Sender".to_owned(),
        format!("Date: {date}"),
        format!("Message-ID: <{}.dsn@ums-simulator.invalid>", message.id),
        "Auto-Submitted: auto-replied".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        format!("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\""),
        String::new(),
        format!("--{boundary}"),
        "Content-Type: text/plain; charset=us-ascii".to_owned(),
        String::new(),
        "This is the UMS simulator. Your message could not be delivered: the address does not exist.".to_owned(),
        String::new(),
        format!("--{boundary}"),
        "Content-Type: message/delivery-status".to_owned(),
        String::new(),
        "Reporting-MTA: dns; ums-simulator.invalid".to_owned(),
    ];
    lines.extend(param("ENVID").map(|id| format!("Original-Envelope-Id: {}", xtext(id))));
    lines.push(format!("Arrival-Date: {date}"));
    for recipient in param("RCPT TO").unwrap_or_default().split(' ').filter(|it| !it.is_empty()) {
        lines.push(String::new());
        let original = message.params.get(&format!("ORCPT {recipient}"));
        lines.extend(original.map(|address| format!("Original-Recipient: {address}")));
        lines.push(format!("Final-Recipient: rfc822; {recipient}"));
        lines.push("Action: failed".to_owned());
        lines.push("Status: 5.1.1".to_owned());
        lines.push("Remote-MTA: dns; mx.ums-simulator.invalid".to_owned());
        lines.push("Diagnostic-Code: smtp; 550 5.1.1 user unknown".to_owned());
    }
    lines.extend([
        String::new(),
        format!("--{boundary}"),
        "Content-Type: text/rfc822-headers".to_owned(),
        String::new(),
    ]);
    let head = message.raw.split("\r\n\r\n").next().unwrap_or_default();
    lines.extend([head.to_owned(), String::new(), format!("--{boundary}--"), String::new()]);
    Some(lines.join("\r\n"))
}

/// Decodes `xtext`, in which ENVID came (RFC 3461 §4): a report gives it in clear.
fn xtext(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('+') {
        decoded.push_str(before);
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(code) = code.filter(|code| matches!(code, b' '..=b'~')) {
            decoded.push(char::from(code));
            rest = &after[2..];
        } else {
            decoded.push('+');
            rest = after;
        }
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use super::xtext;

    #[test]
    fn envelope_ids_are_decoded() {
        for (text, id) in [("abc", "abc"), ("a+2Bb", "a+b"), ("a+3D+2b", "a=+"), ("a+", "a+"), ("+0Ax", "+0Ax")] {
            assert_eq!(xtext(text), id, "{text}");
        }
    }
}
