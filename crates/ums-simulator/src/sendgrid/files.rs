//! Attachments, by "Attachment errors" of the page on mail-send errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error;
use super::mail::File;
use crate::message::Attachment;
use crate::reply::Reply;

/// Reads an attachment, or says what SendGrid would refuse.
pub(super) fn read(file: &File, number: usize) -> Result<Attachment, Reply> {
    let field = |name: &str| format!("attachments.{number}.{name}");
    let refuse = |text: &str, name: &str| Err(error(400, text, Some(&field(name))));
    let content = file.content.as_deref().unwrap_or_default();
    if content.is_empty() {
        return refuse(
            "The attachment content must be a string at least one character in length.",
            "content",
        );
    }
    let Ok(decoded) = STANDARD.decode(content) else {
        return refuse("The attachment content must be base64 encoded.", "content");
    };
    match file.filename.as_deref() {
        None | Some("") => return refuse("filename is required.", "filename"),
        // The page's own list beside this text.
        Some(name) if name.contains([';', ',', '\r', '\n']) => {
            return refuse("The filename of your attachment can't contain CRLF characters.", "filename");
        }
        Some(_) => {}
    }
    if let Some(kind) = &file.r#type {
        check_type(kind, "The attachment type", &field("type"))?;
    }
    if let Some(disposition) = &file.disposition
        && !matches!(disposition.as_str(), "inline" | "attachment")
    {
        let text = format!("The disposition of your attachment can be either \"inline\" or \"attachment\". You provided `{disposition}`.");
        return refuse(&text, "disposition");
    }
    if file.content_id.as_ref().is_some_and(|id| id.contains([';', '\\', '\r', '\n'])) {
        return refuse("The content ID of your attachment can't contain CRLF characters.", "content_id");
    }
    Ok(Attachment {
        filename: file.filename.clone(),
        content_type: file.r#type.clone(),
        size: decoded.len(),
        disposition: file.disposition.clone(),
        content_id: file.content_id.clone(),
    })
}

/// Checks the type of an attachment or of a content block.
pub(super) fn check_type(kind: &str, what: &str, field: &str) -> Result<(), Reply> {
    let fault = if !kind.contains('/') {
        "must be a string and at least one character in length."
    } else if kind.contains([';', ',', '\r', '\n']) {
        "cannot contain ';', or CRLF characters."
    } else {
        return Ok(());
    };
    Err(error(400, &format!("{what} {fault}"), Some(field)))
}
