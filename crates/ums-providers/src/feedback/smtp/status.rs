//! What an action and a status (RFC 3463) say of a recipient.

use ums_core::{BounceKind, EventKind, FailureClass};

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

/// Words of a reply whose status says nothing or only that the network failed: the fault is not the address's.
const NOT_THE_ADDRESS: [&str; 15] = [
    "blacklist",
    "blocked",
    "blocklist",
    "expired",
    "greylist",
    "mailbox full",
    "mailbox is full",
    "over quota",
    "policy",
    "quota exceeded",
    "rate limit",
    "reputation",
    "spam",
    "timed out",
    "too many",
];

/// Reads the fields of one recipient.
pub(super) fn read(action: &str, status: &str, diagnostic: &str) -> Found {
    let given = Enhanced::find(status);
    let in_reply = Enhanced::find(diagnostic);
    let reply = reply_code(diagnostic);
    // `5.0.0` is what systems write that have not looked: the server's own reply may know more.
    let enhanced = match given {
        Some(given) if !given.is_vague() => Some(given),
        Some(given) => in_reply
            .filter(|reply| reply.class == given.class && !reply.is_vague())
            .or(Some(given)),
        None => in_reply,
    };
    let class = enhanced.map(|status| status.class).or_else(|| reply.map(|code| code / 100));
    let code = enhanced
        .map(|status| status.to_string())
        .or_else(|| reply.map(|code| code.to_string()));
    let word = action
        .split(|c: char| !c.is_ascii_alphabetic())
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    let (action, kind) = match (word.to_ascii_lowercase().as_str(), class) {
        ("failed" | "failure" | "error", _) | ("", Some(5)) => ("failed", EventKind::Bounced),
        ("delayed", _) | ("", Some(4)) => ("delayed", EventKind::Deferred),
        ("delivered", _) | ("", Some(2)) => ("delivered", EventKind::Delivered),
        ("relayed", _) => ("relayed", EventKind::Sent),
        ("expanded", _) => ("expanded", EventKind::Sent),
        _ => ("unknown", EventKind::Unknown),
    };
    let (bounce, class) = if kind == EventKind::Bounced {
        judge(class, enhanced, reply, diagnostic)
    } else {
        (None, None)
    };
    Found {
        action,
        kind,
        bounce,
        class,
        code: code.unwrap_or_default(),
    }
}

/// Hard only what is about the address: neither a full mailbox, nor a message that is too long, nor a system in trouble, nor somebody's policy.
fn judge(class: Option<u16>, status: Option<Enhanced>, reply: Option<u16>, diagnostic: &str) -> (Option<BounceKind>, Option<FailureClass>) {
    let soft = |class| (Some(BounceKind::Soft), Some(class));
    if class != Some(5) {
        return soft(FailureClass::Unavailable);
    }
    let (subject, detail) = status.map_or((0, 0), |status| (status.subject, status.detail));
    match (subject, detail) {
        (2, 3) | (3, 4) | (6, _) => return soft(FailureClass::InvalidMessage),
        (2, 2) | (3 | 7, _) | (4, 7) => return soft(FailureClass::Unavailable),
        _ => {}
    }
    // A system that gave up wrote `5.0.0`, and the last reply that it got says why: not now.
    if subject == 0 && reply.is_some_and(|code| code < 500) {
        return soft(FailureClass::Unavailable);
    }
    let words = diagnostic.to_lowercase();
    let says_otherwise = NOT_THE_ADDRESS.iter().any(|word| words.contains(word)) || reply == Some(552);
    if matches!(subject, 0 | 4) && says_otherwise {
        return soft(FailureClass::Unavailable);
    }
    (Some(BounceKind::Hard), Some(FailureClass::InvalidRecipient))
}

/// A status of RFC 3463: `5.1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Enhanced {
    class: u16,
    subject: u16,
    detail: u16,
}

impl Enhanced {
    /// The first status in a text.
    fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.')
            .map(|word| word.trim_end_matches('.'))
            .find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        // An IP address has four numbers.
        let mut numbers = word.split('.');
        let mut next = || numbers.next().filter(|digits| (1..=3).contains(&digits.len()))?.parse().ok();
        let status = Self {
            class: next()?,
            subject: next()?,
            detail: next()?,
        };
        (numbers.next().is_none() && matches!(status.class, 2 | 4 | 5)).then_some(status)
    }

    const fn is_vague(self) -> bool {
        self.subject == 0 && self.detail == 0
    }
}

impl std::fmt::Display for Enhanced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// The reply code of a diagnostic: `smtp; 550 5.1.1 …`.
fn reply_code(diagnostic: &str) -> Option<u16> {
    let said = diagnostic.split_once(';').map_or(diagnostic, |(_, said)| said);
    let mut words = said
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty());
    // It stands at the beginning, perhaps behind the host's name or a bracket.
    words
        .by_ref()
        .take(8)
        .find(|word| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|word| word.parse().ok())
        .filter(|code| (200..600).contains(code))
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
            ("failed", "5.0.0", "smtp; 421 4.4.0 try later", K::Bounced, Some(Soft), "5.0.0"),
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

    #[test]
    fn an_address_of_a_machine_is_no_status() {
        assert_eq!(Enhanced::find("host 5.1.1.1 said 550"), None);
        assert_eq!(
            Enhanced::find("550-5.1.1 The email"),
            Some(Enhanced {
                class: 5,
                subject: 1,
                detail: 1
            })
        );
        assert_eq!(
            Enhanced::find("said 5.1.1."),
            Some(Enhanced {
                class: 5,
                subject: 1,
                detail: 1
            })
        );
        assert_eq!(reply_code("smtp; 550-5.1.1 The email"), Some(550));
        assert_eq!(reply_code("smtp;mx.example.com said: 451 later"), Some(451));
    }
}
