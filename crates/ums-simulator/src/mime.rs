//! Fills a recorded message from its MIME text.

use mail_parser::{Address, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use crate::message::{Attachment, SimMessage};

/// Completes what the envelope did not say. Hostile MIME fills in less, never fails.
pub(crate) fn fill(message: &mut SimMessage, mime: &[u8]) {
    let Some(parsed) = MessageParser::default().parse(mime) else {
        return;
    };
    sort_recipients(message, &parsed);
    if let Some(from) = parsed.from().and_then(Address::first) {
        message.from_name = from.name.as_deref().map(str::to_owned);
        if let Some(address) = from.address.as_deref() {
            message.from = Some(address.to_owned());
        }
    }
    message.reply_to = addresses(parsed.reply_to());
    message.subject = parsed.subject().map(str::to_owned);
    message.text = parsed.text_bodies().find_map(|part| match &part.body {
        PartType::Text(text) => Some(text.to_string()),
        PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Message(_) | PartType::Multipart(_) => None,
    });
    message.html = parsed.html_bodies().find_map(|part| match &part.body {
        PartType::Html(html) => Some(html.to_string()),
        PartType::Text(_) | PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Message(_) | PartType::Multipart(_) => None,
    });
    message.attachments = parsed.attachments().map(attachment).collect();
    fill_headers(message, &parsed);
}

/// Shares the envelope's recipients out: those that a header shows are `to` and `cc`,
/// the others were blind. Without a To header all of them stay `to`.
fn sort_recipients(message: &mut SimMessage, parsed: &Message<'_>) {
    let shown_to = addresses(parsed.to());
    let shown_cc = addresses(parsed.cc());
    if message.to.is_empty() {
        message.to = shown_to;
        message.cc = shown_cc;
        message.bcc = addresses(parsed.bcc());
        return;
    }
    if shown_to.is_empty() && shown_cc.is_empty() {
        return;
    }
    let is_in = |list: &[String], it: &str| list.iter().any(|one| one.eq_ignore_ascii_case(it));
    for recipient in std::mem::take(&mut message.to) {
        if is_in(&shown_to, &recipient) {
            message.to.push(recipient);
        } else if is_in(&shown_cc, &recipient) {
            message.cc.push(recipient);
        } else {
            message.bcc.push(recipient);
        }
    }
}

fn addresses(list: Option<&Address<'_>>) -> Vec<String> {
    list.into_iter()
        .flat_map(Address::iter)
        .filter_map(|mailbox| mailbox.address.as_deref().map(str::to_owned))
        .collect()
}

fn attachment(part: &MessagePart<'_>) -> Attachment {
    let content_type = part.content_type().map(|it| match it.subtype() {
        Some(subtype) => format!("{}/{subtype}", it.ctype()),
        None => it.ctype().to_owned(),
    });
    Attachment {
        filename: part.attachment_name().map(str::to_owned),
        content_type,
        size: part.contents().len(),
        disposition: part.content_disposition().map(|it| it.ctype().to_owned()),
        content_id: part.content_id().map(str::to_owned),
    }
}

fn fill_headers(message: &mut SimMessage, parsed: &Message<'_>) {
    let raw = parsed.headers_raw();
    for ((name, raw), header) in raw.zip(parsed.headers()) {
        let value = match &header.value {
            HeaderValue::Text(text) => text.to_string(),
            HeaderValue::Address(_)
            | HeaderValue::TextList(_)
            | HeaderValue::DateTime(_)
            | HeaderValue::ContentType(_)
            | HeaderValue::Received(_)
            | HeaderValue::Empty => unfold(raw),
        };
        message
            .headers
            .entry(name.to_owned())
            .and_modify(|earlier| {
                earlier.push_str(", ");
                earlier.push_str(&value);
            })
            .or_insert(value);
    }
}

fn unfold(raw: &str) -> String {
    raw.replace("\r\n", "").replace('\n', "").trim().to_owned()
}
