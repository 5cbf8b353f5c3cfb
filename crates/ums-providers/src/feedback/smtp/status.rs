//! What an action and a status (RFC 3463) say of a recipient.

use ums_core::{BounceKind, EventKind, FailureClass};

use crate::verdict::{self, Enhanced, Said};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) action: &'static str,
    pub(super) kind: EventKind,
    pub(super) bounce: Option<BounceKind>,
    pub(super) class: Option<FailureClass>,
    /// The status, or what stands for it in the server's reply; empty when there is none.
    pub(super) code: String,
}

/// Reads the fields of one recipient.
pub(super) fn read(action: &str, status: &str, diagnostic: &str) -> Found {
    let words = format!("{} {diagnostic}", comment(status));
    let said = Said {
        text: &words,
        ..Said::of_fields(status, diagnostic)
    };
    let reply = said.reply;
    let class = said.status.or(Enhanced::find(diagnostic)).map(|code| code.class);
    let class = class.or_else(|| reply.map(|code| code / 100));
    let code = said.code().map(|code| code.to_string());
    let code = code.or_else(|| reply.map(|code| code.to_string()));
    let word = action
        .split(|c: char| !c.is_ascii_alphabetic())
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    let (action, kind) = match (word.to_ascii_lowercase().as_str(), class) {
        ("failed" | "failure" | "error", _) | ("", Some(5)) => ("failed", EventKind::Bounced),
        // No word of the standard: the system gave up.
        ("expired", _) => ("expired", EventKind::Bounced),
        ("delayed", _) | ("", Some(4)) => ("delayed", EventKind::Deferred),
        ("delivered", _) | ("", Some(2)) => ("delivered", EventKind::Delivered),
        ("relayed", _) => ("relayed", EventKind::Sent),
        ("expanded", _) => ("expanded", EventKind::Sent),
        _ => ("unknown", EventKind::Unknown),
    };
    let judged = match (kind, action) {
        (EventKind::Bounced, "expired") => Some((BounceKind::Soft, FailureClass::Unavailable)),
        (EventKind::Bounced, _) => Some(verdict::of_report(&said)),
        _ => None,
    };
    Found {
        action,
        kind,
        bounce: judged.map(|(bounce, _)| bounce),
        class: judged.map(|(_, class)| class),
        code: code.unwrap_or_default(),
    }
}

/// What stands behind the code of a status: `5.0.0 (recipient reached disk quota)`.
fn comment(status: &str) -> &str {
    status.trim_start().split_once([' ', '(']).map_or("", |(_, comment)| comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_of_actions_and_statuses() {
        use BounceKind::{Hard, Soft};
        use EventKind as K;
        for (action, status, diagnostic, kind, bounce, code) in [
            ("failed", "5.1.1", "", K::Bounced, Some(Hard), "5.1.1"),
            (
                "Failed (bounced)",
                "5.1.1 (bad destination mailbox address)",
                "",
                K::Bounced,
                Some(Hard),
                "5.1.1",
            ),
            ("failed", "5.2.1", "", K::Bounced, Some(Hard), "5.2.1"),
            ("failed", "5.2.2", "", K::Bounced, Some(Soft), "5.2.2"),
            ("failed", "5.3.4", "", K::Bounced, Some(Soft), "5.3.4"),
            ("failed", "5.3.0", "", K::Bounced, Some(Soft), "5.3.0"),
            ("failed", "5.7.1", "", K::Bounced, Some(Soft), "5.7.1"),
            ("failed", "5.4.7", "", K::Bounced, Some(Soft), "5.4.7"),
            ("failed", "5.6.0", "", K::Bounced, Some(Soft), "5.6.0"),
            ("failed", "5.4.4", "smtp; 550 host not found", K::Bounced, Some(Hard), "5.4.4"),
            (
                "failed",
                "5.4.316",
                "smtp;550 5.4.316 Message expired, connection refused",
                K::Bounced,
                Some(Soft),
                "5.4.316",
            ),
            ("failed", "4.4.7", "", K::Bounced, Some(Soft), "4.4.7"),
            ("failed", "", "smtp; 550 5.1.1 no such user", K::Bounced, Some(Hard), "5.1.1"),
            ("failed", "5.0.0", "smtp; 550 5.7.1 rejected", K::Bounced, Some(Soft), "5.7.1"),
            ("failed", "5.0.0", "smtp; 554 5.0.0 user unknown", K::Bounced, Some(Hard), "5.0.0"),
            (
                "failed",
                "5.0.0",
                "smtp; 550 blocked using a blocklist",
                K::Bounced,
                Some(Soft),
                "5.0.0",
            ),
            ("failed", "", "smtp; 552 over", K::Bounced, Some(Soft), "552"),
            ("failed", "", "smtp; 550 no such user 192.0.2.1", K::Bounced, Some(Hard), "550"),
            ("failed", "5.0.0", "smtp; 421 4.4.0 try later", K::Bounced, Some(Soft), "4.4.0"),
            ("failed", "", "", K::Bounced, Some(Soft), ""),
            ("", "5.1.1", "", K::Bounced, Some(Hard), "5.1.1"),
            ("delayed", "4.4.1", "", K::Deferred, None, "4.4.1"),
            ("delayed", "5.1.1", "", K::Deferred, None, "5.1.1"),
            ("delivered", "2.0.0", "", K::Delivered, None, "2.0.0"),
            ("relayed", "2.1.9", "", K::Sent, None, "2.1.9"),
            ("expanded", "2.1.5", "", K::Sent, None, "2.1.5"),
            ("vanished", "5.1.1", "", K::Unknown, None, "5.1.1"),
        ] {
            let found = read(action, status, diagnostic);
            assert_eq!(
                (found.kind, found.bounce, found.code.as_str()),
                (kind, bounce, code),
                "{action} {status} {diagnostic}"
            );
            assert_eq!(found.class.is_some(), bounce.is_some(), "{action} {status}");
        }
    }

    /// The verdict of bounces that were misread once.
    #[test]
    fn nobody_is_condemned_for_what_is_not_about_the_address() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../../tests/fixtures/verdict/bounces.json")).unwrap();
        let mut read_rows = 0;
        for row in file["cases"].as_array().unwrap() {
            let Some(action) = row["action"].as_str() else { continue };
            let field = |name: &str| row[name].as_str().unwrap_or_default();
            let found = read(action, field("status"), field("diagnostic"));
            assert_eq!(found.kind, EventKind::Bounced, "{row}");
            assert_eq!(found.bounce.unwrap().as_str(), field("verdict"), "{row}");
            read_rows += 1;
        }
        assert_eq!(read_rows, 13);
    }
}
