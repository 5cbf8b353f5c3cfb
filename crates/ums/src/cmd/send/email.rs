//! The options of `ums send email`, and the request that they make.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ums_core::request::{AttachmentRequest, MAX_EMAIL_BYTES, OneOrMany};
use ums_core::{ProviderKind, SendEmail};

use super::Common;
use crate::exit::usage;
use crate::input::{Files, header, word};

/// The providers of e-mail.
const PROVIDERS: &[&str] = &[
    ProviderKind::AwsSes.as_str(),
    ProviderKind::SendGrid.as_str(),
    ProviderKind::Smtp.as_str(),
];

/// Media types of the endings that people attach; all others travel as `application/octet-stream`.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("html", "text/html"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("txt", "text/plain"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// Arguments of `ums send email`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 sent, 1 failed, 2 wrong usage or configuration, 3 held for a recipient or more (will be tried again).

Examples:
  ums send email --to customer@example.com --subject 'Your receipt' --text 'Thank you.'
  ums send email --to 'Zoë <zoe@example.com>' --cc office@example.com --subject Invoice --html-file invoice.html --attach invoice.pdf
  echo 'It works' | ums send email --to me@example.com --subject Test --text-file - --via smtp --json
  ums send email --server http://127.0.0.1:8080 --to customer@example.com --subject Hello --text Hello"
)]
pub(crate) struct Args {
    /// Recipient: local@domain or 'Name <local@domain>'; may be repeated
    #[arg(long, required = true, value_name = "ADDRESS")]
    to: Vec<String>,
    /// Carbon copy; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    cc: Vec<String>,
    /// Blind carbon copy; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    bcc: Vec<String>,
    /// Subject line
    #[arg(long, value_name = "TEXT")]
    subject: String,
    /// HTML part; - reads standard input
    #[arg(long, value_name = "HTML", conflicts_with = "html_file")]
    html: Option<String>,
    /// File with the HTML part; - reads standard input
    #[arg(long, value_name = "FILE")]
    html_file: Option<PathBuf>,
    /// Text part; made from the HTML when there is none; - reads standard input
    #[arg(long, value_name = "TEXT", conflicts_with = "text_file")]
    text: Option<String>,
    /// File with the text part; - reads standard input
    #[arg(long, value_name = "FILE")]
    text_file: Option<PathBuf>,
    /// Sender: local@domain or 'Name <local@domain>'; each provider's own when there is none
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Where answers go; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    reply_to: Vec<String>,
    /// File to attach; may be repeated
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
    /// Header of your own: X-… and a few standard ones; may be repeated
    #[arg(long, value_parser = header, value_name = "'NAME: VALUE'")]
    header: Vec<(String, String)>,
    /// Only this provider, no failover
    #[arg(long, value_parser = word::<ProviderKind>(PROVIDERS), value_name = "PROVIDER")]
    via: Option<ProviderKind>,
    #[command(flatten)]
    common: Common,
}

/// Makes the request; the files are read, nothing is sent.
pub(super) fn request(args: Args) -> Result<(SendEmail, Common)> {
    let mut files = Files::default();
    let request = SendEmail {
        html_content: files.given(args.html, args.html_file, MAX_EMAIL_BYTES)?,
        text_content: files.given(args.text, args.text_file, MAX_EMAIL_BYTES)?,
        attachments: args.attach.iter().map(|path| attachment(&mut files, path)).collect::<Result<_>>()?,
        headers: headers(args.header)?,
        to: one_or_many(args.to),
        cc: one_or_many(args.cc),
        bcc: one_or_many(args.bcc),
        reply_to: one_or_many(args.reply_to),
        subject: args.subject,
        from_email: args.from,
        metadata: args.common.metadata(),
        handling: args.common.handling(args.via),
        ..SendEmail::default()
    };
    Ok((request, args.common))
}

/// A single value keeps its field's plain name in faults (`to`, not `to[0]`).
fn one_or_many(addresses: Vec<String>) -> OneOrMany {
    match <[String; 1]>::try_from(addresses) {
        Ok([only]) => OneOrMany::One(only),
        Err(addresses) => OneOrMany::Many(addresses),
    }
}

fn attachment(files: &mut Files, path: &Path) -> Result<AttachmentRequest> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path != Path::new("-"));
    let filename = name.ok_or_else(|| usage("--attach needs a file with a name in UTF-8"))?.to_owned();
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let content_type = MEDIA_TYPES
        .iter()
        .find(|(known, _)| *known == ending)
        .map(|(_, media_type)| (*media_type).to_owned());
    Ok(AttachmentRequest {
        filename,
        content_type,
        content: files.bytes(path, MAX_EMAIL_BYTES)?.into(),
        disposition: None,
        content_id: None,
    })
}

fn headers(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    for (name, value) in pairs {
        if headers.insert(name, value).is_some() {
            return Err(usage("--header names the same header twice"));
        }
    }
    Ok(headers)
}
