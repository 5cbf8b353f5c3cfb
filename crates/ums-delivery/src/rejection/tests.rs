use ums_core::{Email, Mailbox, PhoneNumber, Sms};

use super::*;

fn at(seconds: u64) -> Now {
    let since_start = Duration::from_secs(seconds);
    Now {
        mono: Monotonic::from_start(since_start),
        wall: Timestamp::from_micros(1_795_341_600_000_000) + since_start,
    }
}

fn email(to: &str, subject: &str) -> Email {
    Email {
        from: None,
        to: vec![Mailbox::parse(to).unwrap()],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: subject.to_owned(),
        html: None,
        text: Some("Hello".to_owned()),
        attachments: Vec::new(),
        headers: Vec::new(),
    }
}

/// The class after each refusal of (recipient, subject, second) as `class`.
fn classes(class: FailureClass, refusals: &[(&str, &str, u64)]) -> Vec<FailureClass> {
    let rejections = Rejections::default();
    let judged = refusals.iter().map(|(to, subject, second)| {
        let refused = Err(Failure::provider(class, "550", ""));
        rejections
            .judge(refused, ProviderKind::Smtp, &email(to, subject), at(*second))
            .unwrap_err()
            .class
    });
    judged.collect()
}

const SPREAD: [&str; 6] = [
    "a@one.example",
    "b@two.example",
    "c@three.example",
    "d@one.example",
    "e@two.example",
    "f@three.example",
];

#[test]
fn five_recipients_on_three_domains_are_the_providers_problem() {
    use FailureClass::{InvalidRecipient as R, Misconfigured as M};
    let one_template: Vec<_> = (0..6).map(|index| (SPREAD[index], "hello", index as u64)).collect();
    assert_eq!(classes(R, &one_template), [R, R, R, R, M, M]);
}

#[test]
fn five_different_messages_on_three_domains_are_the_providers_problem() {
    use FailureClass::{InvalidMessage as I, Misconfigured as M};
    let subjects = ["1", "2", "3", "4", "5", "6"];
    let different: Vec<_> = (0..6).map(|index| (SPREAD[index], subjects[index], index as u64)).collect();
    assert_eq!(classes(I, &different), [I, I, I, I, M, M]);
    let one_template: Vec<_> = SPREAD.iter().cycle().take(30).map(|to| (*to, "hello", 0)).collect();
    assert!(
        classes(I, &one_template).iter().all(|class| *class == I),
        "one bad template is the template"
    );
    let one_recipient: Vec<_> = subjects.iter().map(|subject| (SPREAD[0], *subject, 0)).collect();
    assert!(
        classes(I, &one_recipient).iter().all(|class| *class == I),
        "who knows what one recipient is sent"
    );
}

#[test]
fn one_recipient_one_domain_or_a_long_time_are_not() {
    let same: Vec<_> = (0..10).map(|second| (SPREAD[0], "", second)).collect();
    let one_domain = ["a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example"].map(|to| (to, "", 0));
    let seconds = [0, 200, 400, 599, 700];
    let slowly: Vec<_> = (0..5).map(|index| (SPREAD[index], "", seconds[index])).collect();
    for refusals in [&same[..], &one_domain, &slowly] {
        assert!(
            classes(FailureClass::InvalidRecipient, refusals)
                .iter()
                .all(|class| *class == FailureClass::InvalidRecipient),
            "{refusals:?}"
        );
    }
}

#[test]
fn only_refusals_by_the_provider_count() {
    for class in FailureClass::ALL.iter().copied() {
        let counted = [
            FailureClass::InvalidRecipient,
            FailureClass::InvalidMessage,
            FailureClass::Misconfigured,
        ]
        .contains(&class);
        let subjects = ["1", "2", "3", "4", "5"];
        let spread: Vec<_> = (0..5).map(|index| (SPREAD[index], subjects[index], 0)).collect();
        let last = classes(class, &spread)[4];
        assert_eq!(last == FailureClass::Misconfigured, counted, "{class}");
    }
    let rejections = Rejections::default();
    for to in SPREAD {
        let ours = Err(Failure::local(FailureClass::InvalidRecipient, "address", ""));
        let judged = rejections.judge(ours, ProviderKind::Smtp, &email(to, to), at(0)).unwrap_err();
        assert_eq!(judged.class, FailureClass::InvalidRecipient);
    }
}

#[test]
fn an_acceptance_between_starts_anew() {
    let rejections = Rejections::default();
    let refuse = |to: &str| {
        let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "550", ""));
        rejections
            .judge(refused, ProviderKind::Smtp, &email(to, ""), at(0))
            .unwrap_err()
            .class
    };
    for to in &SPREAD[..4] {
        refuse(to);
    }
    rejections
        .judge(Ok(Accepted::new("id")), ProviderKind::Smtp, &email("x@x.example", ""), at(0))
        .unwrap();
    assert_eq!(refuse(SPREAD[4]), FailureClass::InvalidRecipient);
}

#[test]
fn an_undo_covers_what_was_refused_from_the_first_one_on() {
    let rejections = Rejections::default();
    rejections.clear();
    let undo = |second| {
        rejections.undo(
            (ProviderKind::Smtp, &AccountId::new("second")),
            SuppressionOrigin::Refusal,
            at(second).wall,
        )
    };
    for (to, second) in SPREAD.iter().zip([10, 11, 12, 13, 14]) {
        assert_eq!(undo(second), None);
        let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "550", ""));
        rejections
            .judge(refused, ProviderKind::Smtp, &email(to, ""), at(second))
            .unwrap_err();
    }
    let decided = undo(14).unwrap();
    assert_eq!(
        (decided.since, decided.until, decided.at),
        (at(10).wall, at(14).wall + WITHIN, at(14).wall)
    );
    assert_eq!(decided.account, AccountId::new("second"));
    // Answers that were under way are covered, earlier and much later ones are not.
    assert_eq!((undo(12), undo(15)), (Some(decided.clone()), Some(decided)));
    assert_eq!((undo(9), undo(14 + WITHIN.as_secs() + 1)), (None, None));
}

/// A process that died may have seen the first refusals; an acceptance ends that doubt.
#[test]
fn an_undo_reaches_back_until_the_account_is_absolved() {
    for (absolved, since) in [(false, at(610).wall - WITHIN), (true, at(610).wall)] {
        let rejections = Rejections::default();
        if absolved {
            let accepted = Ok(Accepted::new("id"));
            rejections
                .judge(accepted, ProviderKind::Smtp, &email("x@x.example", ""), at(600))
                .unwrap();
        }
        let mut said = String::new();
        for (to, second) in SPREAD.iter().zip([610, 611, 612, 613, 614]) {
            let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "550", ""));
            let judged = rejections.judge(refused, ProviderKind::Smtp, &email(to, ""), at(second));
            said = judged.unwrap_err().detail;
        }
        let account = (ProviderKind::Smtp, &AccountId::default());
        let decided = rejections.undo(account, SuppressionOrigin::Refusal, at(614).wall).unwrap();
        assert_eq!(decided.since, since, "{absolved}");
        assert!(said.ends_with(&format!("--since {since}")), "{said}");
    }
}

/// A list of people must not look like an account that refuses everybody because some of them stand there twice.
#[test]
fn the_spellings_of_one_subscriber_are_one_recipient() {
    let rejections = Rejections::default();
    let refuse = |number: &str| {
        let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "21211", ""));
        let sms = Sms {
            to: PhoneNumber::parse_e164(number).unwrap(),
            from: None,
            body: "Hello".to_owned(),
        };
        rejections.judge(refused, ProviderKind::Twilio, &sms, at(0)).unwrap_err().class
    };
    for number in [
        "+525512345678",
        "+5215512345678",
        "+5491123456789",
        "+541123456789",
        "+447400123456",
        "+4915112345678",
    ] {
        assert_eq!(refuse(number), FailureClass::InvalidRecipient, "{number}");
    }
    assert_eq!(refuse("+14165550123"), FailureClass::Misconfigured);
}
