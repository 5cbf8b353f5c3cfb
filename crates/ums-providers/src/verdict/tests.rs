//! Properties of the tables: one meaning for each reply, and no address condemned without a positive sign.

use proptest::prelude::*;
use ums_core::{BounceKind, FailureClass};

use super::codes::CODES;
use super::stage::FAILURES;
use super::words::{Text, WORDS, phrases};
use super::{CLASSES, Enhanced, Place, Said, Stage, Topic, of_reply, of_report, rows};

/// The signs by which an address is dead: RFC 3463, RFC 7505.
const DEAD: [(u16, u16); 7] = [(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1), (4, 4)];
/// Codes of RFC 5321 §4.2.3, RFC 3461, 4954, 7504.
const REPLIES: [u16; 29] = [
    421, 432, 450, 451, 452, 454, 455, 500, 501, 502, 503, 504, 521, 523, 530, 534, 535, 538, 541, 550, 551, 552, 553, 554, 555, 556, 557,
    571, 599,
];
/// Details of RFC 3463 and of IANA's registry, and some that nobody registered.
const DETAILS: [u16; 18] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 17, 25, 27, 28, 252];
/// Words that say nothing of whose fault it is.
const SILENT: [&str; 4] = ["", "no", "Rejected", "Requested action not taken: mailbox unavailable"];
const GONE: &str = "No such user here";

#[test]
fn each_topic_has_its_row() {
    for (place, row) in CLASSES.iter().enumerate() {
        assert_eq!(row.topic as usize, place, "{:?}", row.topic);
        assert!(!row.why.is_empty());
    }
    assert_eq!(CLASSES.len(), Topic::System as usize + 1);
}

/// The rows that people are shown are the tables that decide.
#[test]
fn every_row_says_why_and_whence() {
    for place in Place::ALL {
        let rows = rows(place);
        assert!(rows.len() > CODES.len() + WORDS.len(), "{place:?}");
        for row in rows {
            assert!(!row.code.is_empty() && !row.why.is_empty() && !row.source.is_empty(), "{row:?}");
            let may_condemn = matches!(place, Place::Rcpt | Place::Report);
            assert!(may_condemn || row.class != FailureClass::InvalidRecipient, "{row:?}");
        }
    }
    let at_rcpt = rows(Place::Rcpt);
    let class_of = |code: &str| at_rcpt.iter().find(|row| row.code == code).map(|row| row.class);
    assert_eq!(class_of("x.1.1 to x.1.3"), Some(FailureClass::InvalidRecipient));
    assert_eq!(class_of("x.2.2"), Some(FailureClass::Unavailable));
    assert_eq!(class_of("5xx"), Some(FailureClass::Unsupported));
}

#[test]
fn the_table_of_stages_is_sorted_and_complete() {
    assert!(FAILURES.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
    for stage in Stage::ALL {
        assert_eq!(stage.as_str().parse(), Ok(stage));
        for key in ["4", "5"] {
            assert!(FAILURES.iter().any(|(at, row, _)| *at == stage && *row == key), "{stage} {key}");
        }
    }
    assert!("quit".parse::<Stage>().is_err());
}

#[test]
fn each_phrase_is_about_its_own_topic() {
    let rows = WORDS
        .iter()
        .flat_map(|(topic, row, _)| phrases(row).map(move |phrase| (topic, phrase)));
    let hidden: Vec<_> = rows.filter(|(topic, phrase)| Text::read(phrase).topic() != Some(**topic)).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
    assert!(WORDS.iter().all(|(.., source)| !source.is_empty()));
}

/// Every reply code, with and without every enhanced code, at every stage.
#[test]
fn only_a_positive_sign_condemns() {
    let mut condemned = 0;
    for code in REPLIES {
        for (subject, detail) in (0..8).flat_map(|subject| DETAILS.map(move |detail| (subject, detail))) {
            for stage in Stage::ALL {
                for words in ["no", SILENT[3]] {
                    let enhanced = format!("{}.{subject}.{detail}", code / 100);
                    let text = format!("{enhanced} {words}");
                    let (class, _) = of_reply(stage, code, Some(&enhanced), &text);
                    let is_vendors = (subject, detail) == (5, 0) && words.ends_with("mailbox unavailable");
                    let may = stage == Stage::Rcpt && code >= 500 && (DEAD.contains(&(subject, detail)) || is_vendors || code == 556);
                    assert!(class != FailureClass::InvalidRecipient || may, "{stage} {code} {text}");
                    condemned += usize::from(class == FailureClass::InvalidRecipient);
                }
            }
        }
        for (stage, words) in Stage::ALL.into_iter().flat_map(|stage| SILENT.map(|words| (stage, words))) {
            let (class, _) = of_reply(stage, code, None, words);
            assert!(
                class != FailureClass::InvalidRecipient || (stage == Stage::Rcpt && code == 556),
                "{stage} {code} {words}"
            );
        }
    }
    assert!(condemned > 0);
}

/// A dead address is told at RCPT, and by a report: nobody else knows which recipient is meant.
#[test]
fn a_positive_sign_condemns_where_it_names_the_recipient() {
    for (subject, detail) in DEAD {
        let code = format!("5.{subject}.{detail}");
        let at = |stage| of_reply(stage, 550, Some(&code), &format!("{code} no")).0;
        assert_eq!(at(Stage::Rcpt), FailureClass::InvalidRecipient, "{code}");
        assert_eq!(
            (at(Stage::Mail), at(Stage::Dot)),
            (FailureClass::Misconfigured, FailureClass::Unsupported),
            "{code}"
        );
        let said = Said {
            status: Enhanced::find(&code),
            ..Said::default()
        };
        assert_eq!(of_report(&said), (BounceKind::Hard, FailureClass::InvalidRecipient), "{code}");
    }
    for code in [550, 551, 553, 554] {
        assert_eq!(of_reply(Stage::Rcpt, code, None, GONE).0, FailureClass::InvalidRecipient, "{code}");
    }
    assert_eq!(
        of_reply(Stage::Rcpt, 556, None, "Domain does not accept mail").0,
        FailureClass::InvalidRecipient
    );
}

/// Whatever a phrase is about, a text with it and a code that condemns is no sign of a dead address, unless the text says so itself.
#[test]
fn words_about_something_else_absolve() {
    for (topic, row, _) in WORDS {
        for phrase in phrases(row) {
            let is_dead = Text::read(phrase).speaks_of_dead_address();
            assert!(!is_dead || *topic == Topic::Suspended, "{phrase}");
            if is_dead {
                continue;
            }
            let text = format!("5.1.1 <ann@example.com>: {phrase}");
            let (class, _) = of_reply(Stage::Rcpt, 550, Some("5.1.1"), &text);
            assert_ne!(class, FailureClass::InvalidRecipient, "{text}");
            let said = Said {
                reply: Some(550),
                status: Enhanced::find("5.1.1"),
                text: phrase,
            };
            assert_eq!(of_report(&said).0, BounceKind::Soft, "{phrase}");
            if topic.wins_over_dead_address() {
                let text = format!("{text}: User unknown");
                assert_ne!(
                    of_reply(Stage::Rcpt, 550, Some("5.1.1"), &text).0,
                    FailureClass::InvalidRecipient,
                    "{text}"
                );
            }
        }
    }
}

/// How servers say that there is no such mailbox, in their own words, after a code that says nothing.
#[test]
fn sentences_about_a_dead_address_are_understood() {
    for text in include_str!("../../tests/fixtures/verdict/dead.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        assert_eq!(of_reply(Stage::Rcpt, 550, None, text).0, FailureClass::InvalidRecipient, "{text}");
        let said = Said {
            reply: Some(550),
            status: Enhanced::find("5.0.0"),
            text,
        };
        assert_eq!(of_report(&said).0, BounceKind::Hard, "{text}");
        // Not now is not for good.
        assert_ne!(of_reply(Stage::Rcpt, 450, None, text).0, FailureClass::InvalidRecipient, "{text}");
    }
}

#[test]
fn sentences_that_condemn_nobody() {
    for text in include_str!("../../tests/fixtures/verdict/alive.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        assert_ne!(of_reply(Stage::Rcpt, 550, None, text).0, FailureClass::InvalidRecipient, "{text}");
        let said = Said {
            reply: Some(550),
            status: Enhanced::find("5.0.0"),
            text,
        };
        assert_eq!(of_report(&said).0, BounceKind::Soft, "{text}");
    }
}

/// Whoever gave up wrote status and reply; the code that it quotes is the reason.
#[test]
fn a_quoted_code_of_a_moment_wins_over_a_status() {
    for text in ["550 4.2.2 quota", "550 4.3.0 error", "550 4.2.2 no", "550 4.3.2 no"] {
        for status in ["5.1.1", "5.2.1", "5.1.10"] {
            let said = Said::of_fields(status, text);
            assert_eq!(of_report(&said), (BounceKind::Soft, FailureClass::Unavailable), "{status} {text}");
        }
    }
    assert_eq!(of_report(&Said::of_fields("5.1.1", "550 2.1.5 no")).0, BounceKind::Hard);
}

#[test]
fn an_address_of_a_machine_is_no_code_and_names_are_no_words() {
    assert_eq!(Enhanced::find("host 5.1.1.1 said 550"), None);
    for text in ["550-5.1.1 The email", "said 5.1.1.", "(#5.1.1)"] {
        assert_eq!(
            Enhanced::find(text).map(|code| code.to_string()).as_deref(),
            Some("5.1.1"),
            "{text}"
        );
    }
    for (text, code) in [
        ("smtp; 550-5.1.1 The email", Some(550)),
        ("smtp;mx.example.com said: 451 later", Some(451)),
        ("smtp; user unknown", None),
    ] {
        assert_eq!(Said::of_fields("", text).reply, code, "{text}");
    }
    for name in [
        "<spam.policy@example.com>",
        "https://example.com/policy?blocked",
        "www.blocked.example.com",
        "mx1.relay.example.net",
    ] {
        assert_eq!(Text::read(name).topic(), None, "{name}");
    }
}

proptest! {
    #[test]
    fn any_reply_has_one_class_that_a_stage_may_have(code in 400_u16..600, text in "(5\\.[0-9]\\.[0-9]{1,3} )?([a-z:;.<>@' ]|\\PC){0,80}") {
        for stage in Stage::ALL {
            let (class, _) = of_reply(stage, code, None, &text);
            prop_assert!(class != FailureClass::InvalidRecipient || stage == Stage::Rcpt);
            prop_assert!(class != FailureClass::RecipientBlocked && class != FailureClass::Unknown);
            prop_assert_eq!(of_reply(stage, code, None, &text).0, class);
        }
        let (bounce, class) = of_report(&Said { reply: Some(code), status: None, text: &text });
        prop_assert_eq!(bounce == BounceKind::Hard, class == FailureClass::InvalidRecipient);
    }
}
