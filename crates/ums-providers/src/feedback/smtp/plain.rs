//! Bounces for people: Exim before 4.86 and qmail write no part that a machine can read, only sentences and the returned message.
//!
//! They are read when an id of ours is in them, and the words decide ([`verdict`]).
//! Sources: Exim's specification, "Customizing bounce and warning messages"; cr.yp.to/proto/qsbmf.txt; read 2026-11-29.

use mail_parser::{Message, PartType};

use super::MAX_RECIPIENTS;
use super::block::address;
use super::origin::Origin;
use crate::verdict::{Enhanced, Said};

/// Most lines before the returned message that are read.
const MAX_LINES: usize = 2_000;
/// Most bytes of what is said of one recipient.
const MAX_REASON_BYTES: usize = 4 * 1024;
/// Begins each bounce of qmail's kind (QSBMF).
const QSBMF: &str = "Hi. This is the";

/// A recipient, and why the message did not arrive.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) recipient: String,
    pub(super) reason: String,
}

impl Failed {
    /// What is said, for the verdict: the system gave up, and says so by sending this.
    pub(super) fn said(&self) -> Said<'_> {
        Said {
            reply: reply_in(&self.reason),
            status: Enhanced::find("5.0.0"),
            text: &self.reason,
        }
    }
}

/// The text of a bounce for people, parted from the message that it brings back; none of other mail.
pub(super) struct Plain {
    text: String,
    /// By the returned message behind the text.
    pub(super) origin: Origin,
    failed_by_header: Vec<String>,
}

impl Plain {
    pub(super) fn read(mail: &Message<'_>) -> Option<Self> {
        let header = mail.header_raw("X-Failed-Recipients").unwrap_or_default();
        let failed_by_header: Vec<String> = header.split(',').filter_map(address).take(MAX_RECIPIENTS).collect();
        let body = mail.parts.iter().find_map(|part| match &part.body {
            PartType::Text(text) => Some(text.replace("\r\n", "\n")),
            PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Message(_) | PartType::Multipart(_) => None,
        })?;
        if failed_by_header.is_empty() && !body.trim_start().starts_with(QSBMF) {
            return None;
        }
        let (text, returned) = part_returned(&body);
        Some(Self {
            origin: Origin::of_headers(returned.trim_start().as_bytes()),
            text: text.to_owned(),
            failed_by_header,
        })
    }

    /// Who did not get the message, and why.
    pub(super) fn failed(&self) -> Vec<Failed> {
        let mut failed: Vec<Failed> = Vec::new();
        for line in self.text.lines().take(MAX_LINES) {
            if let Some((recipient, reason)) = self.begins(line).filter(|_| failed.len() < MAX_RECIPIENTS) {
                failed.push(Failed {
                    recipient,
                    reason: reason.to_owned(),
                });
            } else if line.trim().is_empty() {
                // A blank line ends what is said of a recipient; a line that begins a sentence of its own, too.
                if let Some(last) = failed.last_mut().filter(|last| !last.reason.ends_with('\n')) {
                    last.reason.push('\n');
                }
            } else if let Some(last) = failed
                .last_mut()
                .filter(|last| !last.reason.ends_with('\n') && last.reason.len() < MAX_REASON_BYTES)
            {
                last.reason.push(' ');
                last.reason.push_str(line.trim());
            }
        }
        for one in &mut failed {
            one.reason.truncate(one.reason.trim_end().len());
        }
        failed
    }

    /// A line that begins with a recipient, and the rest of it: `<ann@example.com>:` of qmail, `  ann@example.com` of Exim.
    fn begins<'a>(&self, line: &'a str) -> Option<(String, &'a str)> {
        let text = line.trim();
        if self.failed_by_header.is_empty() {
            let (recipient, reason) = text.strip_prefix('<')?.split_once(">:")?;
            return Some((address(recipient)?, reason.trim()));
        }
        let word = text.split_whitespace().next()?;
        let bare = address(word.trim_end_matches(':'))?;
        let is_failed = self.failed_by_header.iter().any(|failed| failed.eq_ignore_ascii_case(&bare));
        is_failed.then(|| (bare, text.get(word.len()..).unwrap_or_default().trim()))
    }
}

/// The text, and what stands behind the line that announces the returned message.
fn part_returned(body: &str) -> (&str, &str) {
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let announces = ["copy of", "original message", "returned message", "message headers"];
        if line.starts_with("--") && announces.iter().any(|words| lower.contains(words)) {
            return (body.get(..at).unwrap_or_default(), body.get(at + line.len()..).unwrap_or_default());
        }
        at += line.len();
    }
    (body, "")
}

/// The server's reply code: it stands behind what names the server (`Remote host said: 550 …`, `host mx.example.com [192.0.2.1]: 550 …`).
fn reply_in(reason: &str) -> Option<u16> {
    let mut before = ":";
    for word in reason.split_whitespace() {
        let digits = word.split('-').next().unwrap_or_default();
        if before.ends_with(':') && digits.len() == 3 && digits.starts_with(['4', '5']) {
            let code = digits.parse().ok();
            if code.is_some() {
                return code;
            }
        }
        before = word;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_code_stands_behind_the_servers_name() {
        for (reason, code) in [
            (
                "192.0.2.25 does not like recipient. Remote host said: 550 5.1.1 User unknown Giving up on 192.0.2.25.",
                Some(550),
            ),
            (
                "SMTP error from remote mail server after RCPT TO:<a@example.com>: host mx [192.0.2.1]: 550-5.1.1 no",
                Some(550),
            ),
            ("451 later", Some(451)),
            ("Unrouteable address", None),
            ("waited for 550 seconds", None),
        ] {
            assert_eq!(reply_in(reason), code, "{reason}");
        }
    }

    #[test]
    fn the_returned_message_stands_behind_its_line() {
        for line in [
            "--- Below this line is a copy of the message.",
            "------ This is a copy of the message, including all the headers. ------",
            "------ This is a copy of the message's headers. ------",
        ] {
            assert_eq!(part_returned(&format!("a\n{line}\n\nb\n")), ("a\n", "\nb\n"), "{line}");
        }
        assert_eq!(part_returned("a\n-- \nAnn\n"), ("a\n-- \nAnn\n", ""));
    }
}
