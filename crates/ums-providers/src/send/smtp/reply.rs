//! Reads a reply: its code, its enhanced code and its words. What they mean is [`verdict`]'s to say.

use ums_core::{Failure, FailureClass};

use super::{Sign, TRANSACTION_FULL};
use crate::verdict::{self, Topic};

pub(super) use crate::verdict::Stage;

/// Reads a reply (`550 5.1.1 No such user`, perhaps of several lines) as it means at a stage; `None` when it is no failure.
pub(crate) fn classify_reply(stage: Stage, reply: &str) -> Option<Failure> {
    let Some(code) = reply_code(reply) else {
        return Some(Failure::transport(
            stage.class_of_unreadable(),
            "unreadable_reply",
            "the reply is not SMTP",
        ));
    };
    if stage.goes_on(code) {
        return None;
    }
    if !(400..600).contains(&code) {
        let detail = format!("unexpected reply {code} at {stage}");
        return Some(Failure::provider(stage.class_of_unreadable(), code.to_string(), &detail));
    }
    let text = joined(reply);
    let enhanced = enhanced_code(&text, code);
    let full = enhanced.map_or_else(|| code.to_string(), |enhanced| format!("{code} {enhanced}"));
    let (class, topic) = verdict::of_reply(stage, code, enhanced, &text);
    let detail = match advice(stage, code, class, topic) {
        Some(advice) => format!("{advice} ({text})"),
        None => text,
    };
    Some(Failure::provider(class, full, &detail))
}

/// Whether a reply to RCPT says that the transaction takes no more recipients.
pub(super) fn fills_transaction(reply: &str) -> bool {
    let Some(code) = reply_code(reply) else { return false };
    let text = joined(reply);
    let enhanced = enhanced_code(&text, code);
    TRANSACTION_FULL.iter().any(|(row, sign)| {
        *row == code
            && match *sign {
                Sign::EnhancedCode(wanted) => enhanced == Some(wanted),
                Sign::NoEnhancedCode => enhanced.is_none(),
                Sign::Words(words) => text.to_ascii_lowercase().contains(words),
            }
    })
}

/// What to do, where a person must do it.
fn advice(stage: Stage, code: u16, class: FailureClass, topic: Option<Topic>) -> Option<&'static str> {
    match (class, stage, topic) {
        (FailureClass::QuotaExhausted, ..) => Some("the account's sending limit is reached"),
        (FailureClass::Misconfigured, Stage::Auth, _) => {
            Some("the server refuses SMTP_USER and SMTP_PASSWORD; Gmail wants a 16-character app password, which needs 2-Step Verification")
        }
        (FailureClass::Misconfigured, Stage::Mail | Stage::Rcpt | Stage::Data | Stage::Dot, topic) => match topic {
            Some(Topic::Account | Topic::Suspended) => Some("the server says that the account is stopped or restricted"),
            Some(Topic::Client) => Some("the server refuses this machine's name: it wants a full host name that its address leads back to"),
            Some(Topic::Login) => Some("the server does not relay without a login: check SMTP_USER, SMTP_PASSWORD and SMTP_FROM_EMAIL"),
            _ if code == 530 => Some("the server wants a login: set SMTP_USER and SMTP_PASSWORD"),
            topic if is_about_sender(stage, class, topic) => {
                Some("the server refuses the sender: SMTP_FROM_EMAIL must belong to the account and be verified there")
            }
            _ => Some("the server's rules refuse this account or machine"),
        },
        _ => None,
    }
}

/// Whether a refusal is about the sender, whom MAIL names: by its words, or without a word about anything else.
fn is_about_sender(stage: Stage, class: FailureClass, topic: Option<Topic>) -> bool {
    let is_unsaid = matches!(topic, None | Some(Topic::DeadAddress | Topic::Recipient | Topic::Refused));
    class == FailureClass::Misconfigured && (topic == Some(Topic::Sender) || (stage == Stage::Mail && is_unsaid))
}

/// Whether a reply refuses the sender. 530 asks for a login (RFC 4954 §6).
pub(super) fn refuses_sender(stage: Stage, reply: &str) -> bool {
    let Some(code) = reply_code(reply).filter(|code| (400..600).contains(code) && *code != 530) else {
        return false;
    };
    let text = joined(reply);
    let (class, topic) = verdict::of_reply(stage, code, enhanced_code(&text, code), &text);
    stage.is_of_message() && is_about_sender(stage, class, topic)
}

/// The stage that a reply most likely belongs to, when nobody knows.
pub(super) fn likely_stage(reply: &str) -> Stage {
    let Some(code) = reply_code(reply) else { return Stage::Dot };
    let text = joined(reply);
    let subject = enhanced_code(&text, code).and_then(|enhanced| enhanced.split('.').nth(1));
    match (code, subject) {
        (354, _) => Stage::Data,
        (220 | 421, _) => Stage::Connect,
        (235 | 334 | 432 | 534 | 535 | 538, _) => Stage::Auth,
        (450..=452 | 550..=559, Some("1" | "2")) | (551 | 556, _) => Stage::Rcpt,
        _ => Stage::Dot,
    }
}

/// The three digits that a reply begins with.
pub(super) fn reply_code(reply: &str) -> Option<u16> {
    let digits = reply.trim_start().get(..3)?;
    let rest = reply.trim_start().get(3..)?;
    let ends = rest.is_empty() || rest.starts_with([' ', '-', '\r', '\n']);
    let fine = ends && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.starts_with(['2', '3', '4', '5']);
    if fine { digits.parse().ok() } else { None }
}

/// The text of all lines without their codes.
pub(super) fn joined(reply: &str) -> String {
    let mut text = String::with_capacity(reply.len());
    for line in reply.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let bare = if reply_code(line).is_some() {
            line.get(4..).unwrap_or_default()
        } else {
            line
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(bare);
    }
    text
}

/// The enhanced code (RFC 3463) that the text begins with, if it agrees with the code (RFC 2034 §4).
pub(super) fn enhanced_code(text: &str, code: u16) -> Option<&str> {
    let word = text.split_whitespace().next()?;
    let mut numbers = word.split('.');
    let (class, subject, detail) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let short = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let agrees = class.parse::<u16>().is_ok_and(|class| class == code / 100);
    (numbers.next().is_none() && agrees && short(subject) && short(detail)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replies_mean_what_the_stage_says() {
        let rows = include_str!("../../../tests/fixtures/smtp/replies.txt");
        let misread = rows.lines().filter(|row| !row.starts_with('#')).filter_map(|row| {
            let mut words = row.splitn(3, ' ');
            let stage: Stage = words.next().unwrap().parse().unwrap();
            let class: FailureClass = words.next().unwrap().parse().unwrap();
            let reply = words.next().unwrap().replace("\\n", "\r\n");
            let read = classify_reply(stage, &reply).unwrap().class;
            (read != class).then(|| format!("{row}: {read}"))
        });
        assert_eq!(misread.collect::<Vec<_>>(), Vec::<String>::new());
    }

    /// The class and whether the address is dead, for replies that were misread once.
    #[test]
    fn nobody_is_condemned_for_what_is_not_about_the_address() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../../tests/fixtures/verdict/replies.json")).unwrap();
        let mut read = 0;
        for row in file["cases"].as_array().unwrap() {
            let Some(class) = row["class"].as_str() else { continue };
            let stage: Stage = row["stage"].as_str().unwrap().parse().unwrap();
            let failure = classify_reply(stage, row["reply"].as_str().unwrap()).unwrap();
            assert_eq!(failure.class.as_str(), class, "{row}");
            let is_dead = failure.class == FailureClass::InvalidRecipient;
            assert_eq!(is_dead, row["suppress"].as_bool().unwrap_or_default(), "{row}");
            read += 1;
        }
        assert_eq!(read, 15);
    }

    #[test]
    fn a_full_transaction_is_told_from_full_storage_and_full_mailboxes() {
        for (reply, full) in [
            ("452 4.5.3 Error: too many recipients", true),
            (
                "452-4.5.3 Your message has too many recipients. For more\r\n452 4.5.3 information see the help",
                true,
            ),
            ("452 Too many recipients received this hour", true),
            ("452 Requested action not taken: insufficient system storage", true),
            ("452", true),
            ("452 5.5.3 does not agree", true),
            ("552 5.5.3 Recipient limit exceeded", true),
            ("552 too many recipients", true),
            ("552 Sorry, Too Many Recipients", true),
            ("452 4.3.1 Insufficient system storage", false),
            ("452 4.2.2 The email account that you tried to reach is over quota.", false),
            ("452 4.1.1 too many recipients", false),
            ("552 5.2.2 Mailbox full", false),
            ("552 Mailbox full", false),
            ("450 4.5.3 too many recipients", false),
            ("451 4.5.3 too many recipients", false),
            ("550 5.5.3 too many recipients", false),
            ("421 4.5.3 too many recipients", false),
            ("250 2.1.5 Ok", false),
            ("too many recipients", false),
        ] {
            assert_eq!(fills_transaction(reply), full, "{reply}");
        }
    }

    /// A recipient must not be given up, nor barred, because the server counts.
    #[test]
    fn a_full_transaction_leaves_hope() {
        for (code, sign) in TRANSACTION_FULL {
            let reply = match sign {
                Sign::EnhancedCode(enhanced) => format!("{code} {enhanced} no more"),
                Sign::NoEnhancedCode => format!("{code} no more"),
                Sign::Words(words) => format!("{code} {words}"),
            };
            assert!(fills_transaction(&reply), "{reply}");
            assert_eq!(
                classify_reply(Stage::Rcpt, &reply).unwrap().class,
                FailureClass::Unavailable,
                "{reply}"
            );
        }
    }

    #[test]
    fn codes_are_kept_with_their_enhanced_code() {
        let check = |stage, reply: &str, code: &str| assert_eq!(classify_reply(stage, reply).unwrap().code, code, "{reply}");
        check(Stage::Rcpt, "550-5.1.1 No such user\r\n550 5.1.1 at all", "550 5.1.1");
        check(Stage::Rcpt, "550 no such user", "550");
        check(Stage::Rcpt, "550 4.1.1 does not agree", "550");
        check(Stage::Dot, "354 go ahead", "354");
        check(Stage::Dot, "hello", "unreadable_reply");
        assert_eq!(classify_reply(Stage::Dot, "250 2.0.0 Ok: queued as ABC"), None);
        assert_eq!(classify_reply(Stage::Data, "354 go ahead"), None);
    }

    #[test]
    fn the_stage_is_guessed_where_nobody_knows() {
        for (reply, stage) in [
            ("535 5.7.8 no", Stage::Auth),
            ("550 5.1.1 no such user", Stage::Rcpt),
            ("550 5.7.1 spam", Stage::Dot),
            ("421 bye", Stage::Connect),
            ("nonsense", Stage::Dot),
        ] {
            assert_eq!(likely_stage(reply), stage, "{reply}");
        }
    }

    #[test]
    fn auth_refusals_say_what_to_do() {
        let failure = classify_reply(Stage::Auth, "535 5.7.8 Username and Password not accepted").unwrap();
        assert!(failure.detail.contains("app password"), "{}", failure.detail);
    }

    proptest! {
        #[test]
        fn no_reply_breaks_the_reader(reply in "\\PC{0,80}", code in 200_u16..600) {
            for stage in Stage::ALL {
                let garbage = classify_reply(stage, &reply);
                let numbered = classify_reply(stage, &format!("{code} {reply}"));
                prop_assert_eq!(stage.goes_on(code), numbered.is_none());
                prop_assert!(garbage.is_none_or(|failure| failure.detail.len() <= 500));
            }
        }
    }
}
