use proptest::prelude::*;
use ums_core::{BounceKind, Event, SuppressionReason, Timestamp};

use super::{MAX_CONTINUATIONS, MAX_MESSAGE_BYTES, NotABounce, is_costly, read};

const ATTEMPT: &str = "01930000-0000-7000-8000-000000000002";

macro_rules! sample {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../tests/fixtures/bounces/", $name, ".eml")))
    };
}

const SAMPLES: &[(&str, &str)] = &[
    sample!("absence_notice"),
    sample!("complaint"),
    sample!("complaint_as_text"),
    sample!("complaint_redacted"),
    sample!("disposition_displayed"),
    sample!("exchange_old_unparsed"),
    sample!("exchange_online"),
    sample!("exchange_plain"),
    sample!("exim"),
    sample!("exim_delayed"),
    sample!("exim_old_unparsed"),
    sample!("exim_pipe"),
    sample!("exim_plain"),
    sample!("forwarded_report"),
    sample!("global_status_8bit"),
    sample!("gmail"),
    sample!("jmrp_plain"),
    sample!("jmrp_sparse"),
    sample!("no_address_in_block"),
    sample!("not_spam"),
    sample!("ordinary_mail"),
    sample!("postfix_delayed"),
    sample!("postfix_success"),
    sample!("postfix_user_unknown"),
    sample!("qmail_gave_up"),
    sample!("qmail_plain"),
    sample!("qmail_unparsed"),
    sample!("sendmail"),
    sample!("several_recipients_base64"),
];

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T15:00:00Z").unwrap()
}

/// A sample's events; the same with CRLF as with LF, and behind a mailbox file's separator.
fn events(name: &str) -> Result<Vec<Event>, NotABounce> {
    let (_, text) = SAMPLES.iter().find(|(other, _)| *other == name).unwrap();
    let events = read(text.as_bytes(), now());
    let crlf = text.replace('\n', "\r\n");
    assert_eq!(read(crlf.as_bytes(), now()), events, "{name} with CRLF");
    assert_eq!(
        read(format!("From MAILER-DAEMON Sun Nov 22 10:00:05 2026\n{text}").as_bytes(), now()),
        events,
        "{name} in a mailbox"
    );
    events
}

/// What a sample says, in short: kind, kind of bounce, code, recipient, day and time, whether the attempt was found.
fn told(name: &str) -> Vec<String> {
    let events = events(name).unwrap();
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), events.len(), "{name}: ids differ");
    let tell = |event: &Event| {
        let words = [
            Some(event.kind.as_str()),
            event.bounce.map(BounceKind::as_str),
            event.code.as_deref(),
            Some(event.recipient.as_deref().unwrap_or("nobody")),
        ];
        let ours = event.about.attempt_id.is_some_and(|id| id.to_string() == ATTEMPT);
        let when = event.at.map(|at| at.to_string()[11..16].to_owned()).unwrap_or_default();
        let words: Vec<&str> = words.into_iter().flatten().collect();
        format!("{} {when} {}", words.join(" "), if ours { "ours" } else { "whose" })
    };
    events.iter().map(tell).collect()
}

#[test]
fn samples_of_many_mail_systems_are_read() {
    for (name, expected) in [
        ("postfix_user_unknown", &["bounced hard 5.1.1 ann@example.com 10:00 ours"][..]),
        ("postfix_delayed", &["deferred 4.4.1 ann@example.com 14:00 ours"]),
        (
            "postfix_success",
            &[
                "delivered 2.0.0 ann@example.com 10:00 ours",
                "sent 2.1.9 bob@example.net 10:00 ours",
                "sent 2.0.0 list@example.org 10:00 ours",
            ],
        ),
        ("exim", &["bounced hard 5.1.1 ann@example.com 10:00 ours"]),
        ("sendmail", &["bounced soft 5.2.2 ann@example.com 10:00 ours"]),
        ("exchange_online", &["bounced hard 5.1.10 ann@contoso.example 10:00 ours"]),
        ("gmail", &["bounced hard 5.1.1 ann@example.com 10:00 ours"]),
        (
            "several_recipients_base64",
            &[
                "bounced hard 5.1.1 Ann@Example.com 10:00 ours",
                "bounced soft 5.7.1 robert@example.net 10:00 ours",
                "deferred 4.2.2 cy@example.org 10:00 ours",
            ],
        ),
        ("forwarded_report", &["bounced hard 5.1.1 ann@example.com 10:00 ours"]),
        ("global_status_8bit", &["bounced hard 5.1.1 jörg@example.com 10:00 ours"]),
        ("no_address_in_block", &["bounced soft 5.0.0 ann@example.com 10:00 ours"]),
        ("complaint", &["complained ann@example.com 12:00 ours"]),
        ("complaint_redacted", &["complained ann@example.com 12:00 ours"]),
        ("complaint_as_text", &["complained ann@example.com 12:00 ours"]),
        ("jmrp_sparse", &["complained ann@example.com 12:00 ours"]),
        ("jmrp_plain", &["complained ann@example.com 12:00 ours"]),
        (
            "exim_plain",
            &[
                "bounced hard 5.0.0 ann@example.com 10:00 ours",
                "bounced soft 5.7.1 bob@example.net 10:00 ours",
                "bounced soft 5.0.0 cy@example.org 10:00 ours",
            ],
        ),
        ("exim_pipe", &["bounced soft 5.0.0 ann@example.com 10:00 ours"]),
        ("exim_delayed", &["deferred 5.0.0 ann@example.com 10:00 ours"]),
        (
            "exchange_plain",
            &[
                "bounced hard 5.1.10 ann@contoso.example 10:00 ours",
                "bounced soft 5.7.133 bob@contoso.example 10:00 ours",
            ],
        ),
        (
            "qmail_plain",
            &[
                "bounced hard 5.1.1 ann@example.com 10:00 ours",
                "bounced hard 5.1.1 bob@example.net 10:00 ours",
                "bounced soft 5.0.0 cy@example.org 10:00 ours",
            ],
        ),
        ("qmail_gave_up", &["bounced soft 4.4.1 ann@example.com 10:00 ours"]),
        ("not_spam", &["unknown ann@example.com 12:00 ours"]),
        ("disposition_displayed", &["opened ann@example.com 12:00 ours"]),
        ("absence_notice", &["autoresponded ann@example.com 10:01 ours"]),
    ] {
        assert_eq!(told(name), expected, "{name}");
    }
}

#[test]
fn a_mail_that_costs_the_parser_much_is_left_alone() {
    let with = |pieces: usize| {
        let names = " a*1=x;".repeat(pieces);
        format!("Subject: a\r\nContent-Type: text/plain;{names}\r\n\r\nb\r\n")
    };
    assert!(!is_costly(with(MAX_CONTINUATIONS).as_bytes()));
    assert!(is_costly(with(MAX_CONTINUATIONS + 1).as_bytes()));
    assert_eq!(read(with(MAX_CONTINUATIONS + 1).as_bytes(), now()), Err(NotABounce::Unparsed));
}

#[test]
fn a_report_that_lost_its_boundaries_is_read_from_its_text() {
    let text = "Return-Path: <>\nFrom: MAILER-DAEMON@old.example\nDate: Sun, 22 Nov 2026 10:00:05 +0000\nMessage-Id: <1@old.example>\n\
        Content-Type: multipart/report; report-type=delivery-status;\n    boundary=\"lost\"\n\n\
        ----- The following addresses had permanent fatal errors -----\n<ann@example.com>\n    (expanded from: <list@example.com>)\n\n\
        554 <ann@example.com>... Service unavailable\n\nReporting-MTA: dns; old.example\n\n\
        Final-Recipient: RFC822; ann@example.com\nAction: failed\nStatus: 5.1.1\n\nMessage-Id: <x@shop.example>\nTo: ann@example.com\n";
    let events = read(text.as_bytes(), now()).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].recipient.as_deref(), events[0].code.as_deref()),
        (Some("ann@example.com"), Some("5.1.1"))
    );
}

#[test]
fn what_only_people_can_read_is_left_to_them() {
    for name in ["qmail_unparsed", "exim_old_unparsed", "exchange_old_unparsed", "ordinary_mail"] {
        assert_eq!(events(name), Err(NotABounce::Unparsed), "{name}");
    }
    assert_eq!(read(b"", now()), Err(NotABounce::NotMail));
    assert_eq!(read(b"\0\0\0", now()), Err(NotABounce::NotMail));
    assert_eq!(read(&vec![b'a'; MAX_MESSAGE_BYTES + 1], now()), Err(NotABounce::TooLarge));
}

#[test]
fn only_the_dead_and_those_who_complain_are_suppressed() {
    let suppressing: Vec<(&str, SuppressionReason)> = SAMPLES
        .iter()
        .flat_map(|(name, _)| {
            events(name)
                .unwrap_or_default()
                .into_iter()
                .filter_map(move |event| Some((*name, event.suppress?)))
        })
        .collect();
    let hard = SuppressionReason::HardBounce;
    assert_eq!(
        suppressing,
        [
            ("complaint", SuppressionReason::Complaint),
            ("complaint_as_text", SuppressionReason::Complaint),
            ("complaint_redacted", SuppressionReason::Complaint),
            ("exchange_online", hard),
            ("exchange_plain", hard),
            ("exim", hard),
            ("exim_plain", hard),
            ("forwarded_report", hard),
            ("global_status_8bit", hard),
            ("gmail", hard),
            ("jmrp_plain", SuppressionReason::Complaint),
            ("jmrp_sparse", SuppressionReason::Complaint),
            ("postfix_user_unknown", hard),
            ("qmail_plain", hard),
            ("qmail_plain", hard),
            ("several_recipients_base64", hard),
        ]
    );
}

#[test]
fn a_report_that_does_not_know_our_id_suppresses_nobody() {
    for (name, text) in SAMPLES {
        let forged = text.replace(ATTEMPT, "01930000-0000-4000-8000-000000000002");
        for event in read(forged.as_bytes(), now()).unwrap_or_default() {
            assert_eq!((event.suppress, event.about.attempt_id), (None, None), "{name}");
        }
    }
}

/// Anybody can write such sentences: without an id of ours they are for a person to read.
#[test]
fn sentences_without_our_id_are_left_to_people() {
    for name in ["exim_plain", "qmail_plain", "jmrp_plain"] {
        let (_, text) = SAMPLES.iter().find(|(other, _)| *other == name).unwrap();
        let forged = text.replace(ATTEMPT, "01930000-0000-4000-8000-000000000002");
        assert_eq!(read(forged.as_bytes(), now()), Err(NotABounce::Unparsed), "{name}");
    }
}

#[test]
fn the_words_of_a_bounce_for_people_are_kept() {
    let details: Vec<_> = events("exim_plain")
        .unwrap()
        .into_iter()
        .map(|event| event.detail.unwrap())
        .collect();
    assert_eq!(details[0], "Unrouteable address");
    assert!(
        details[1].ends_with("550 5.7.1 IP address blacklisted by recipient"),
        "{}",
        details[1]
    );
    assert_eq!(details[2], "retry timeout exceeded");
}

#[test]
fn the_same_report_twice_has_the_same_ids_and_another_has_others() {
    let first = events("postfix_user_unknown").unwrap();
    let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "postfix_user_unknown").unwrap();
    let later = read(text.as_bytes(), now() + std::time::Duration::from_hours(1)).unwrap();
    assert_eq!(first, later);
    let other = read(text.replace("20261122100005.4BXyz12345", "another").as_bytes(), now()).unwrap();
    assert_ne!(first[0].id, other[0].id);
    assert_eq!(
        first[0].about.provider_message_id.as_deref(),
        Some("<01930000-0000-7000-8000-000000000002@shop.example>"),
        "as it was kept when it was sent"
    );
}

#[test]
fn the_message_id_is_ours_although_a_relay_gave_another() {
    let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "gmail").unwrap();
    let ours = format!("<{ATTEMPT}@shop.example>");
    // By the answer's headers, or by the report's own field.
    let by_field = text.replace("References:", "X-A:").replace("In-Reply-To:", "X-B:");
    for text in [*text, by_field.as_str()] {
        let events = read(text.as_bytes(), now()).unwrap();
        assert_eq!(events[0].about.provider_message_id.as_deref(), Some(ours.as_str()));
        assert_eq!(events[0].about.attempt_id.unwrap().to_string(), ATTEMPT);
    }
}

#[test]
fn nothing_personal_is_in_what_people_are_shown() {
    for (name, _) in SAMPLES {
        for event in events(name).unwrap_or_default() {
            let shown = format!("{:?} {} {:?} {:?}", event.detail, event.word, event.code, event);
            assert!(!shown.contains("ann@"), "{name}: {shown}");
        }
    }
}

#[test]
fn a_clock_that_is_far_ahead_is_not_believed() {
    let (_, text) = SAMPLES.iter().find(|(name, _)| *name == "postfix_user_unknown").unwrap();
    let ahead = read(
        text.replace("Sun, 22 Nov 2026 10:00:05", "Sun, 22 Nov 2099 10:00:05").as_bytes(),
        now(),
    )
    .unwrap();
    assert_eq!(ahead[0].at, None);
}

#[test]
fn a_report_about_everybody_is_read_to_its_bounds() {
    let report = |blocks: &str| {
        format!(
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n\
             Reporting-MTA: dns; mx.example.com\n\n{blocks}\n--b--\n"
        )
    };
    let many: String = (0..300).fold(String::new(), |text, number| {
        text + &format!("Final-Recipient: rfc822; a{number}@example.com\nAction: failed\nStatus: 5.1.1\n\n")
    });
    assert_eq!(read(report(&many).as_bytes(), now()).unwrap().len(), super::MAX_RECIPIENTS);
    // Without a bound each line would be compared with all before it, and each group kept.
    for filler in ["Final-Recipient:\n", "a:\n\n"] {
        let last = "Final-Recipient: rfc822; last@example.com\nAction: failed\nStatus: 5.1.1\n";
        let read = read(report(&(filler.repeat(400_000) + last)).as_bytes(), now());
        assert!(read.as_ref().is_err() || read.as_ref().unwrap().is_empty(), "{filler}: {read:?}");
    }
}

#[test]
fn messages_within_messages_without_end_are_not_followed() {
    for level in [
        "Content-Type: message/rfc822\n\n",
        "CONTENT-TYPE:\n message (x) / (y) RFC822\n\n",
        "content-type: multipart/digest; boundary=b\n\n--b\n\n",
    ] {
        assert_eq!(read(level.repeat(100_000).as_bytes(), now()), Err(NotABounce::Unparsed), "{level}");
        assert_eq!(
            read(level.repeat(super::MAX_PARTS).as_bytes(), now()),
            Err(NotABounce::Unparsed),
            "{level}"
        );
    }
    let digest = format!("Content-Type: multipart/digest; boundary=b\n\n{}", "--b\n\n".repeat(1_000_000));
    assert_eq!(read(digest.as_bytes(), now()), Err(NotABounce::Unparsed));
}

proptest! {
    #[test]
    fn no_message_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _read = read(&bytes, now());
    }

    #[test]
    fn no_changed_report_panics(sample in 0..SAMPLES.len(), at in any::<prop::sample::Index>(), put in prop::collection::vec(any::<u8>(), 0..20), cut in 0_usize..200) {
        let text = SAMPLES[sample].1.as_bytes();
        let at = at.index(text.len());
        let changed = [&text[..at], &put, text.get(at + cut..).unwrap_or_default()].concat();
        for event in read(&changed, now()).unwrap_or_default() {
            prop_assert!(event.id.len() <= 255);
            prop_assert!(event.raw.is_none_or(|raw| raw.len() <= 4_096));
        }
    }

    #[test]
    fn no_fields_panic(fields in r"((Final-Recipient|Action|Status|Diagnostic-Code|Original-Envelope-Id|Last-Attempt-Date|X): ?[ -~äö\x{80}]{0,40}\r?\n( [ -~]{0,10}\n)?){0,12}") {
        let text = format!("From: a@example.com\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n{fields}\n--b--\n");
        let _read = read(text.as_bytes(), now());
    }
}
