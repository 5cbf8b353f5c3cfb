//! A page about each provider: what a person wrote, and the tables by which its answers are read.
//!
//! The tables are those that decide at run time, so a page cannot say anything else. `cargo xtask gen` writes the pages to
//! `docs/providers`.

use ums_core::{BreakerEffect, Channel, Consequence, NextProvider, ProviderKind, Purpose, RecipientEnd, Retry, Suppress};

use crate::classify::words::{ACCOUNT_WORDS, SENDER_WORDS};
use crate::failure_table::{ANY_CODE, Row};
use crate::send::{sendgrid, ses, sns, twilio};
use crate::verdict::{self, Place};

/// A table of a page.
struct Section {
    title: &'static str,
    about: &'static str,
    rows: Vec<Row>,
}

/// The page of a provider, as Markdown.
pub fn page(kind: ProviderKind) -> String {
    let mut page = head(kind).trim_end().to_owned();
    page.push('\n');
    for section in sections(kind) {
        let Section { title, about, rows } = section;
        page.extend(["\n## ", title, "\n\n", about, "\n\n"]);
        page.push_str("| code | says | class | what we do | why | source |\n|---|---|---|---|---|---|\n");
        for row in rows {
            page.push_str(&line(kind.channel(), &row));
        }
    }
    page
}

/// What a person wrote.
fn head(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::AwsSes => include_str!("../pages/aws_ses.txt"),
        ProviderKind::SendGrid => include_str!("../pages/sendgrid.txt"),
        ProviderKind::Smtp => include_str!("../pages/smtp.txt"),
        ProviderKind::AwsSns => include_str!("../pages/aws_sns.txt"),
        ProviderKind::Twilio => include_str!("../pages/twilio.txt"),
        ProviderKind::Console => include_str!("../pages/console.txt"),
    }
}

const OWN: &str = "Of the rows of one code the first counts whose words stand in the answer (`…` stands for any text between), else the row without words. \
     What stands behind a `/` is not in the answer: the service knows it of the message.";
const WORDS: &str = "They hold whichever code stands beside them, if that code blames the message or the recipient or is in no table. Words about an \
     allowance hold beside a code about the account or the pace, too. An opt-out and an outcome that is unknown stay what they are. What the answer \
     quotes, and addresses in it, are not read. A sender that the caller chose is no fault of the account: then the class is `unsupported`.";

const REPLIES: &str = "Words win over a vague code, and within a family of codes; an enhanced code wins over the reply code. A first digit of 4 means that the same \
     reply may be another one later: then the message waits, whatever the row says of an end.";

/// The tables of SMTP, by where something is said.
const SMTP: [(&str, Place); 4] = [
    ("Replies to MAIL", Place::Mail),
    ("Replies to RCPT", Place::Rcpt),
    ("Replies to the message", Place::Message),
    ("Bounce messages", Place::Report),
];

fn sections(kind: ProviderKind) -> Vec<Section> {
    let own = |title, rows: &[&[Row]]| Section {
        title,
        about: OWN,
        rows: rows.iter().flat_map(|rows| rows.iter().copied()).collect(),
    };
    let words = || Section {
        title: "Words about the account and the sender",
        about: WORDS,
        rows: SENDER_WORDS.iter().chain(ACCOUNT_WORDS).copied().collect(),
    };
    match kind {
        ProviderKind::AwsSes => vec![own("Answers", &[ses::FAILURES, crate::aws::FAILURES]), words()],
        ProviderKind::SendGrid => vec![own("Answers", &[sendgrid::FAILURES]), words()],
        ProviderKind::AwsSns => vec![own("Answers", &[sns::FAILURES, crate::aws::FAILURES]), words()],
        ProviderKind::Twilio => vec![own("Answers and status callbacks", &[twilio::FAILURES]), words()],
        ProviderKind::Smtp => SMTP
            .iter()
            .map(|(title, place)| Section {
                title,
                about: REPLIES,
                rows: verdict::rows(*place),
            })
            .collect(),
        ProviderKind::Console => Vec::new(),
    }
}

fn line(channel: Channel, row: &Row) -> String {
    let code = if row.code == ANY_CODE {
        "any".to_owned()
    } else {
        format!("`{}`", row.code)
    };
    let says = if row.words.is_empty() {
        "–".to_owned()
    } else {
        row.words.replace('|', " or ")
    };
    let does = what_follows(row.class.consequence(), channel);
    format!("| {code} | {says} | `{}` | {does} | {} | {} |\n", row.class, row.why, row.source)
}

/// What follows from a class, in a few words.
fn what_follows(consequence: Consequence, channel: Channel) -> String {
    let Consequence {
        next_provider,
        retry,
        breaker,
        tell_operator,
        recipient,
        suppress,
    } = consequence;
    let mut parts = vec![match next_provider {
        NextProvider::Yes => "next provider",
        NextProvider::No => "no other provider",
        NextProvider::IfDuplicatesAllowed => "next provider if duplicates are allowed",
        NextProvider::UnlessBulk => "next provider unless bulk",
    }];
    parts.extend(match breaker {
        BreakerEffect::NotCounted => None,
        BreakerEffect::Counted => Some("counts as a failure of the provider"),
        BreakerEffect::OpensMisconfigured => Some("provider is taken out"),
        BreakerEffect::OpensExhausted => Some("provider is taken out until the allowance is renewed"),
        BreakerEffect::Pauses => Some("provider pauses"),
    });
    parts.extend(tell_operator.then_some("operator is told"));
    parts.extend(match (next_provider, retry) {
        (NextProvider::No, _) | (_, Retry::BySchedule) => None,
        (_, Retry::Slowly) => Some("tried again slowly"),
        (_, Retry::No) => Some("not tried again here"),
    });
    let mut text = parts.join(", ");
    if let Some(end) = recipient.status(channel, Purpose::Bulk) {
        let of_bulk = if recipient == RecipientEnd::UnsubscribedFromBulk {
            " of bulk"
        } else {
            ""
        };
        text.extend([", recipient", of_bulk, " ends `", end.as_str(), "`"]);
    }
    if suppress != Suppress::Nothing
        && let Some(reason) = suppress.reason(channel)
    {
        text.extend([", onto the list (`", reason.as_str(), "`)"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use ums_core::FailureClass;

    use super::*;

    #[test]
    fn every_row_of_every_table_is_on_its_page() {
        for kind in ProviderKind::ALL.iter().copied() {
            let text = page(kind);
            assert!(text.starts_with("# "), "{kind}");
            for row in sections(kind).iter().flat_map(|section| &section.rows) {
                assert!(text.contains(&line(kind.channel(), row)), "{kind} {}", row.code);
            }
        }
    }

    #[test]
    fn no_cell_breaks_its_table() {
        for kind in ProviderKind::ALL.iter().copied() {
            for line in page(kind).lines().filter(|line| line.starts_with('|')) {
                assert_eq!(line.matches('|').count(), 7, "{line}");
            }
        }
    }

    #[test]
    fn every_class_says_what_follows() {
        for class in FailureClass::ALL.iter().copied() {
            let text = what_follows(class.consequence(), Channel::Email);
            assert_eq!(text.contains("operator"), class.consequence().tell_operator, "{class}: {text}");
        }
        let of = |class: FailureClass, channel| what_follows(class.consequence(), channel);
        assert_eq!(
            of(FailureClass::Misconfigured, Channel::Email),
            "next provider, provider is taken out, operator is told, tried again slowly"
        );
        assert_eq!(
            of(FailureClass::RecipientBlocked, Channel::Sms),
            "no other provider, recipient ends `unsubscribed`, onto the list (`stop`)"
        );
    }
}
