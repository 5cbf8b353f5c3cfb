use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_795_341_600_000_000);

fn minutes_ago(minutes: u64) -> Timestamp {
    bucket(NOW - Duration::from_mins(minutes))
}

fn row(provider: ProviderKind, minutes: u64, accepted: u64, receipts: u64) -> RateRow {
    RateRow {
        provider,
        account: AccountId::default(),
        sender: "shop.example.com".to_owned(),
        bucket: minutes_ago(minutes),
        accepted,
        receipts,
        hard_bounces: 0,
        complaints: 0,
    }
}

fn harm(hard_bounces: u64, complaints: u64, accepted: u64) -> Vec<RateRow> {
    vec![RateRow {
        hard_bounces,
        complaints,
        ..row(ProviderKind::AwsSes, 60, accepted, accepted)
    }]
}

fn reason(verdicts: &Verdicts) -> Option<String> {
    verdicts.reason(ProviderKind::AwsSes, &AccountId::default())
}

fn held(verdicts: &Verdicts, sender: Option<&str>) -> Option<HeldFor> {
    verdicts.held_for(ProviderKind::AwsSes, &AccountId::default(), sender)
}

#[test]
fn bounces_warn_at_the_review_and_hold_at_the_pause() {
    let rules = RateRules::default();
    let shop = Some("shop.example.com");
    for (bounces, accepted, text, holds) in [
        (0, 1_234, None, false),
        (61, 1_234, None, false),
        (
            62,
            1_234,
            Some("bounce rate 5 % of 1,234 (sender shop.example.com) is over the 5 % at which SES reviews accounts"),
            false,
        ),
        (
            75,
            1_234,
            Some("bounce rate 6 % of 1,234 (sender shop.example.com) is over the 5 % at which SES reviews accounts"),
            false,
        ),
        (
            200,
            1_234,
            Some(
                "bounce rate 16.2 % of 1,234 (sender shop.example.com) is over the 10 % at which SES pauses accounts; mail to many from it is held",
            ),
            true,
        ),
        (199, 199, None, false),
    ] {
        let verdicts = judge(&harm(bounces, 0, accepted), &rules, NOW);
        assert_eq!(reason(&verdicts).as_deref(), text, "{bounces} of {accepted}");
        assert_eq!(held(&verdicts, shop), holds.then_some(HeldFor::Bounces), "{bounces} of {accepted}");
    }
}

#[test]
fn complaints_warn_and_hold_at_their_own_rates() {
    let rules = RateRules::default();
    let text = |complaints| reason(&judge(&harm(0, complaints, 10_000), &rules, NOW));
    assert_eq!(text(9), None);
    assert_eq!(
        text(12).as_deref(),
        Some("complaint rate 0.12 % of 10,000 (sender shop.example.com) is over the 0.1 % at which SES reviews accounts")
    );
    let verdicts = judge(&harm(0, 50, 10_000), &rules, NOW);
    assert_eq!(held(&verdicts, Some("shop.example.com")), Some(HeldFor::Complaints));
    let own = RateRules {
        complaint_warn: 2_000,
        ..rules
    };
    let own = reason(&judge(&harm(0, 30, 10_000), &own, NOW)).unwrap();
    assert!(own.ends_with("is over the 0.2 % that is set"), "{own}");
}

#[test]
fn a_rate_is_its_senders_own_and_its_windows() {
    let rules = RateRules::default();
    let mut rows = harm(500, 0, 1_000);
    rows.push(RateRow {
        sender: "news.example.com".to_owned(),
        ..row(ProviderKind::AwsSes, 60, 1_000, 0)
    });
    let verdicts = judge(&rows, &rules, NOW);
    assert_eq!(held(&verdicts, Some("news.example.com")), None, "another sender goes on");
    assert_eq!(
        verdicts.held_for(ProviderKind::SendGrid, &AccountId::default(), Some("shop.example.com")),
        None
    );
    assert_eq!(
        judge(&rows, &rules, NOW + Duration::from_hours(25)),
        Verdicts::default(),
        "a day later it is past"
    );
    // The configured sender answers for the senders that it is substituted for.
    rows[0].sender = DEFAULT_SENDER.to_owned();
    let verdicts = judge(&rows, &rules, NOW);
    assert_eq!(held(&verdicts, None), Some(HeldFor::Bounces));
    assert_eq!(held(&verdicts, Some("never.example.com")), Some(HeldFor::Bounces));
    assert_eq!(held(&verdicts, Some("news.example.com")), None);
}

fn is_late(rows: &[RateRow], now: Timestamp) -> Vec<ProviderKind> {
    let verdicts = judge(rows, &RateRules::default(), now);
    let mut late: Vec<_> = verdicts.late.keys().map(|account| account.provider).collect();
    late.sort_unstable();
    late
}

#[test]
fn a_provider_that_takes_and_does_not_deliver_is_late() {
    use ProviderKind::{AwsSes, AwsSns, SendGrid, Smtp};
    let good_then = |provider, receipts| vec![row(provider, 240, 100, 98), row(provider, 30, 40, receipts)];
    let ses = good_then(AwsSes, 10);
    assert_eq!(is_late(&ses, NOW), [AwsSes], "nobody else to compare with");
    assert_eq!(
        reason(&judge(&ses, &RateRules::default(), NOW)).as_deref(),
        Some("no receipt within 10 min for 30 of 40 that it took (75 %); it is tried after the others")
    );
    assert_eq!(is_late(&good_then(AwsSes, 21), NOW), [], "a little less than half is missing");
    let with = |other: Vec<RateRow>| is_late(&[ses.clone(), other].concat(), NOW);
    assert_eq!(with(good_then(SendGrid, 39)), [AwsSes], "the other does well");
    assert_eq!(with(good_then(SendGrid, 5)), [], "all are slow");
    assert_eq!(with([good_then(SendGrid, 5), good_then(Smtp, 40)].concat()), [AwsSes, SendGrid]);
    assert_eq!(with(good_then(AwsSns, 5)), [AwsSes, AwsSns], "text messages are another matter");
    assert_eq!(
        with(vec![row(SendGrid, 30, 40, 0)]),
        [AwsSes],
        "no feedback of it was ever seen: it says nothing"
    );
}

#[test]
fn without_feedback_or_a_sample_nothing_is_said() {
    use ProviderKind::AwsSes;
    assert_eq!(is_late(&[row(AwsSes, 30, 1_000, 0)], NOW), [], "feedback is not set up");
    let only_bounces = |minutes| RateRow {
        hard_bounces: 30,
        ..row(AwsSes, minutes, 1_000, 30)
    };
    assert_eq!(
        is_late(&[only_bounces(240), only_bounces(30)], NOW),
        [],
        "only failures are reported"
    );
    assert_eq!(
        is_late(&[row(AwsSes, 240, 1_000, 100), row(AwsSes, 30, 1_000, 90)], NOW),
        [],
        "only a sample is"
    );
    assert_eq!(is_late(&[row(AwsSes, 240, 100, 100), row(AwsSes, 30, 19, 0)], NOW), [], "too few");
    let just_called = [row(AwsSes, 240, 100, 100), row(AwsSes, 10, 100, 0)];
    assert_eq!(is_late(&just_called, NOW), [], "their receipts still have time");
    assert_eq!(is_late(&just_called, NOW + Duration::from_mins(10)), [AwsSes]);
    assert_eq!(is_late(&just_called, NOW + Duration::from_mins(50)), [], "it is tried again");
}

#[test]
fn figures_are_short() {
    for (share, text) in [
        (1_000_000, "100 %"),
        (61_300, "6.1 %"),
        (50_000, "5 %"),
        (5_000, "0.5 %"),
        (1_200, "0.12 %"),
        (1, "0 %"),
    ] {
        assert_eq!(percent(share), text);
    }
    for (number, text) in [(7, "7"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), text);
    }
    assert_eq!(span(Duration::from_hours(2)), "2 h");
}
