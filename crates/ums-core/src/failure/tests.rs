//! The table of failures: its columns, its picture in the glossary, and what a failure shows.

use super::*;

/// The table of the design, row by row, so that a change of one is seen twice.
#[test]
fn the_table_says_what_the_design_says() {
    use {BreakerEffect as B, FailureClass as C, NextProvider as N, Retry as R};
    let dead = Some(SuppressionReason::HardBounce);
    let (failed, blocked) = (Some(Status::Failed), Some(Status::Suppressed));
    let rows = [
        (C::InvalidMessage, N::No, R::No, B::NotCounted, false, failed, None),
        (C::InvalidRecipient, N::No, R::No, B::NotCounted, false, failed, dead),
        (C::RecipientBlocked, N::No, R::No, B::NotCounted, false, blocked, dead),
        (
            C::ProviderUnsubscribed,
            N::UnlessBulk,
            R::No,
            B::NotCounted,
            false,
            None,
            Some(SuppressionReason::Unsubscribe),
        ),
        (C::Unsupported, N::Yes, R::No, B::NotCounted, false, None, None),
        (C::Misconfigured, N::Yes, R::Slowly, B::OpensMisconfigured, true, None, None),
        (C::QuotaExhausted, N::Yes, R::BySchedule, B::OpensExhausted, true, None, None),
        (C::Throttled, N::Yes, R::BySchedule, B::Pauses, false, None, None),
        (C::Unavailable, N::Yes, R::BySchedule, B::Counted, false, None, None),
        (C::Unknown, N::IfDuplicatesAllowed, R::BySchedule, B::Counted, false, None, None),
        (C::LocalShortage, N::Yes, R::BySchedule, B::NotCounted, false, None, None),
    ];
    assert_eq!(rows.len(), FailureClass::ALL.len());
    for (class, next, retry, breaker, tell, recipient, suppress) in rows {
        let row = class.consequence();
        assert_eq!(
            (row.next_provider, row.retry, row.breaker, row.tell_operator),
            (next, retry, breaker, tell),
            "{class}"
        );
        assert_eq!(row.recipient.status(Channel::Email, Purpose::Otp), recipient, "{class}");
        assert_eq!(row.suppress.reason(Channel::Email), suppress, "{class}");
    }
    let blocked = C::RecipientBlocked.consequence();
    assert_eq!(blocked.recipient.status(Channel::Sms, Purpose::Otp), Some(Status::Unsubscribed));
    assert_eq!(blocked.suppress.reason(Channel::Sms), Some(SuppressionReason::Stop));
    let unsubscribed = C::ProviderUnsubscribed.consequence().recipient;
    assert_eq!(unsubscribed.status(Channel::Email, Purpose::Transactional), None);
    assert_eq!(unsubscribed.status(Channel::Email, Purpose::Bulk), Some(Status::Unsubscribed));
}

/// A recipient waits exactly where another provider may try, now or later.
#[test]
fn the_columns_of_the_table_agree() {
    for class in FailureClass::ALL {
        let row = class.consequence();
        for purpose in Purpose::ALL {
            let may_try = class.lets_the_next_try(*purpose) || class.may_have_been_accepted();
            for channel in Channel::ALL {
                assert_eq!(
                    row.recipient.status(*channel, *purpose).is_none(),
                    may_try,
                    "{class} {purpose} {channel}"
                );
            }
        }
        assert!(row.suppress == Suppress::Nothing || row.recipient != RecipientEnd::Waits, "{class}");
        assert_eq!(
            class.may_have_been_accepted(),
            row.next_provider == NextProvider::IfDuplicatesAllowed,
            "{class}"
        );
    }
}

/// The table of the glossary says what the code does: the last six cells of a row are the columns of [`Consequence`].
#[test]
fn the_glossary_shows_the_table() {
    let glossary = include_str!("../../../../docs/glossary.md");
    let (_, section) = glossary.split_once("## Failure classes").unwrap();
    let cells = |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect() };
    let mut rows = section.lines().filter(|line| line.starts_with('|')).map(cells);
    let head = rows.next().unwrap();
    assert_eq!(
        head.get(2..).unwrap(),
        [
            "next provider now",
            "same message later",
            "breaker",
            "tell the operator",
            "recipient",
            "suppression list"
        ]
    );
    let shown: Vec<(String, Vec<String>)> = rows.skip(1).map(|row| (row[0].clone(), row.get(2..).unwrap().to_vec())).collect();
    let declared: Vec<(String, Vec<String>)> = FailureClass::ALL
        .iter()
        .map(|class| (format!("`{class}`"), in_words(class.consequence()).to_vec()))
        .collect();
    assert_eq!(shown, declared);
}

/// A row of the table, as the glossary words it.
fn in_words(row: Consequence) -> [String; 6] {
    let yes_or_no = |yes| if yes { "yes" } else { "no" };
    let next_provider = match row.next_provider {
        NextProvider::Yes => "yes",
        NextProvider::No => "no",
        NextProvider::IfDuplicatesAllowed => "if duplicates are allowed",
        NextProvider::UnlessBulk => "receipts and codes: yes; bulk: no",
    };
    let retry = match row.retry {
        Retry::BySchedule => "by the schedule",
        Retry::Slowly => "slowly",
        Retry::No => "no",
    };
    let breaker = match row.breaker {
        BreakerEffect::NotCounted => "not counted",
        BreakerEffect::Counted => "counted",
        BreakerEffect::OpensMisconfigured => "opens at once",
        BreakerEffect::OpensExhausted => "opens until reset",
        BreakerEffect::Pauses => "pauses",
    };
    let recipient = |purpose| by_channel("waits", |channel| row.recipient.status(channel, purpose).map(Status::as_str));
    let recipient = match (recipient(Purpose::Transactional), recipient(Purpose::Bulk)) {
        (all, bulk) if all == bulk => all,
        (others, bulk) => format!("receipts and codes: {others}; bulk: {bulk}"),
    };
    let suppress = by_channel("–", |channel| row.suppress.reason(channel).map(SuppressionReason::as_str));
    [
        next_provider.to_owned(),
        retry.to_owned(),
        breaker.to_owned(),
        yes_or_no(row.tell_operator).to_owned(),
        recipient,
        suppress,
    ]
}

/// One word for both channels where they agree; else e-mail's word and SMS's.
fn by_channel(none: &str, word: impl Fn(Channel) -> Option<&'static str>) -> String {
    match (word(Channel::Email), word(Channel::Sms)) {
        (None, None) => none.to_owned(),
        (email, sms) if email == sms => format!("`{}`", email.unwrap()),
        (email, sms) => format!("`{}`, SMS `{}`", email.unwrap(), sms.unwrap()),
    }
}

#[test]
fn a_recipient_that_was_refused_keeps_its_own_failure_and_the_list_stays_inside() {
    let address = |text: &str| EmailAddress::parse(text).unwrap();
    let gone = Failure::provider(FailureClass::InvalidRecipient, "550 5.1.1", "");
    let lost = Failure::transport(FailureClass::Unknown, "connection_lost", "").with_refusals(vec![Refusal {
        address: address("canary@example.com"),
        failure: gone.clone(),
        next_transaction: false,
    }]);
    assert_eq!(lost.of_recipient("canary@example.com"), &gone);
    assert_eq!(lost.of_recipient("jane@example.com"), &lost);

    let stored = serde_json::to_string(&lost).unwrap();
    let shown = format!("{lost} {lost:?} {stored}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("refusals=1"), "{shown}");
    let read: Failure = serde_json::from_str(&stored).unwrap();
    assert!(read.refusals.is_empty());
}

#[test]
fn details_hold_no_recipient_number_key_or_line_break() {
    let text = "Bad address <customer@example.com>: +14165550123 key SG.abc.def\r\nX: code 123456 status 550 5.1.1";
    let clean = redact(text);
    for canary in ["customer", "4165550123", "SG.abc", "123456", "\r", "\n"] {
        assert!(!clean.contains(canary), "{canary} in {clean}");
    }
    assert!(clean.contains("550 5.1.1"));
    assert!(redact(&"long ".repeat(1_000)).len() <= MAX_DETAIL_BYTES);
}

#[test]
fn numbers_in_groups_keys_behind_their_words_and_other_scripts_are_masked() {
    for (text, canaries) in [
        ("to +1 (416) 555-0123 failed", &["416", "555", "0123"][..]),
        ("to 416 555 0123, try later", &["416", "0123"]),
        ("code １２３４５６ wrong", &["１２３４５６"]),
        ("no such user customer＠example.com", &["customer"]),
        ("Authorization: Bearer eyJhbGciOiJI refused", &["eyJhbGciOiJI"]),
        ("login with password: hunter2hunter2", &["hunter2"]),
        ("?api_key=abcdefgh12", &["abcdefgh12"]),
    ] {
        let clean = redact(text);
        for canary in canaries {
            assert!(!clean.contains(canary), "{canary} in {clean}");
        }
        assert!(clean.contains("***"), "{clean}");
    }
    for plain in [
        "550 5.1.1 user unknown",
        "550 550 5.7.1 refused",
        "421 4.7.0 Try again later, 15 minutes, 20 recipients",
        "basic authentication is off",
        "the token is missing",
        "error code: 30005",
    ] {
        assert_eq!(redact(plain), plain);
    }
}
