//! What SES refuses in headers and files, of Simple content and of MIME.
//!
//! Sources: SES v2 service model (`Attachment`, `MessageHeader`); developer guide, "Unsupported attachment types", "Amazon SES header
//! fields" (those that may stand only once), "Working with email attachments" (file name with its extension, bare media type).

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders};
use serde::Deserialize;

use super::{bad_request, error};
use crate::message::Attachment;
use crate::reply::Reply;

/// Longest line of a message, in bytes, its line end included.
const MAX_LINE: usize = 1_000;

/// Extensions of files that are refused.
const REFUSED_EXTENSIONS: &str = " ade adp app asp bas bat cer chm cmd com cpl crt csh der exe fxp gadget hlp hta inf ins isp its js jse \
    ksh lib lnk mad maf mag mam maq mar mas mat mau mav maw mda mdb mde mdt mdw mdz msc msh msh1 msh1xml msh2 msh2xml mshxml msi msp mst \
    ops pcd pif plg prf prg ps1 ps1xml ps2 ps2xml psc1 psc2 reg scf scr sct shb shs sys tmp url vb vbe vbs vps vsmacros vss vst vsw vxd \
    ws wsc wsf wsh xnk ";

/// Headers that may stand only once.
const ONCE: &str = " accept-language acceptlanguage archived-at auto-submitted bounces-to comments content-alternative content-base \
    content-class content-description content-disposition content-duration content-id content-language content-length content-location \
    content-md5 content-transfer-encoding content-type date delivered-to disposition-notification-options disposition-notification-to \
    dkim-signature domainkey-signature errors-to from importance in-reply-to keywords list-archive list-help list-id list-owner list-post \
    list-subscribe list-unsubscribe list-unsubscribe-post message-context message-id mime-version organization original-from \
    original-message-id original-recipient original-subject precedence priority references reply-to return-path return-receipt-to sender \
    solicitation sensitivity subject thread-index thread-topic user-agent vbr-info ";

/// A file of Simple content.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct File {
    raw_content: String,
    #[serde(rename = "FileName")]
    name: Option<String>,
    content_type: Option<String>,
    content_disposition: Option<String>,
    content_id: Option<String>,
    content_transfer_encoding: Option<String>,
}

/// Whether a word stands in one of the lists.
fn is_in(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| !known.is_empty() && known.eq_ignore_ascii_case(word))
}

fn check_name(name: &str) -> Result<(), Reply> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    if is_in(REFUSED_EXTENSIONS, extension) {
        return Err(bad_request(&format!("Illegal filename '{name}'.")));
    }
    Ok(())
}

/// Reads a file of Simple content.
pub(super) fn file(file: File) -> Result<Attachment, Reply> {
    let content = STANDARD
        .decode(&file.raw_content)
        .map_err(|_| error(400, "SerializationException", "RawContent is not base64."))?;
    let name = file.name.as_deref().unwrap_or_default();
    check_name(name)?;
    let is_named = (1..=255).contains(&name.chars().count()) && name.rsplit_once('.').is_some_and(|(_, extension)| !extension.is_empty());
    let is_type = |kind: &String| (1..=78).contains(&kind.len()) && kind.contains('/') && !kind.contains([';', ' ']);
    let is_one_of = |word: &Option<String>, words: &str| word.as_deref().is_none_or(|word| is_in(words, word));
    let is_legal = is_named
        && file.content_type.as_ref().is_none_or(is_type)
        && file.content_id.as_ref().is_none_or(|id| (1..=78).contains(&id.len()))
        && is_one_of(&file.content_disposition, "ATTACHMENT INLINE")
        && is_one_of(&file.content_transfer_encoding, "BASE64 QUOTED_PRINTABLE SEVEN_BIT");
    if !is_legal {
        return Err(bad_request("An attachment does not satisfy its constraints."));
    }
    Ok(Attachment {
        filename: file.name,
        content_type: file.content_type,
        size: content.len(),
        disposition: file.content_disposition.map(|it| it.to_ascii_lowercase()),
        content_id: file.content_id,
    })
}

/// Checks a header of Simple content.
pub(super) fn check_header(name: &str, value: &str) -> Result<(), Reply> {
    let is_value = |b: u8| b.is_ascii_graphic() || b == b' ';
    let is_legal = (1..=126).contains(&name.len())
        && name.bytes().all(is_name)
        && (1..=995).contains(&value.len())
        && value.bytes().all(is_value)
        && name.len() + value.len() <= 996;
    if is_legal {
        Ok(())
    } else {
        Err(bad_request("A header's name or value does not satisfy its constraint."))
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b':'
}

/// Checks that no header stands twice that may stand only once.
pub(super) fn check_once<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Reply> {
    let mut seen = HashSet::new();
    for name in names {
        if is_in(ONCE, name) && !seen.insert(name.to_ascii_lowercase()) {
            return Err(bad_request(&format!("Duplicate header '{name}'.")));
        }
    }
    Ok(())
}

/// Checks a message in MIME: its header, its lines, the names of its files.
pub(super) fn check_raw(mime: &[u8]) -> Result<(), Reply> {
    if mime.split(|byte| *byte == b'\n').any(|line| line.len() >= MAX_LINE) {
        return Err(bad_request("Line is longer than 1000 characters."));
    }
    let parsed = MessageParser::default().parse(mime);
    let parsed = parsed.ok_or_else(|| bad_request("The message is not in MIME."))?;
    let names: Vec<&str> = parsed.headers_raw().map(|(name, _)| name).collect();
    if names.iter().any(|name| name.is_empty() || !name.bytes().all(is_name)) {
        return Err(bad_request("A header's name or value does not satisfy its constraint."));
    }
    check_once(names.into_iter())?;
    let names = parsed.parts.iter().filter_map(MimeHeaders::attachment_name);
    names.into_iter().try_for_each(check_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mime_is_checked_as_simple_content_is() {
        for (mime, passes) in [
            ("From: a@b.example\r\nSubject: a\r\n\r\nx\r\n".to_owned(), true),
            ("From: a@b.example\r\nSubject: a\r\nsubject: b\r\n\r\nx\r\n".to_owned(), false),
            ("From: a@b.example\r\nX-A: a\r\nX-A: b\r\n\r\nx\r\n".to_owned(), true),
            (format!("From: a@b.example\r\n\r\n{}\r\n", "x".repeat(998)), true),
            (format!("From: a@b.example\r\n\r\n{}\r\n", "x".repeat(999)), false),
            (
                "From: a@b.example\r\nContent-Disposition: attachment; filename=\"a.EXE\"\r\n\r\nx\r\n".to_owned(),
                false,
            ),
        ] {
            assert_eq!(check_raw(mime.as_bytes()).is_ok(), passes, "{mime}");
        }
    }
}
