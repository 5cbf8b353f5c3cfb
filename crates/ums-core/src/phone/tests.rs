//! What is a number, and which one.

use super::*;
use proptest::prelude::*;

#[expect(clippy::needless_pass_by_value, reason = "reads as a table")]
fn check(text: &str, region: Option<&str>, expected: Result<&str, PhoneFault>) {
    let region = region.map(|region| region.parse().unwrap());
    let parsed = PhoneNumber::parse(text, region);
    assert_eq!(
        parsed.as_ref().map(PhoneNumber::expose),
        expected.as_ref().map(|e164| *e164),
        "{text:?} in {region:?}"
    );
}

#[test]
fn international_numbers_stay_as_they_are() {
    check("+14165550123", None, Ok("+14165550123"));
    check("+1 (416) 555-0123", None, Ok("+14165550123"));
    check("+15551234567", None, Ok("+15551234567"));
    check("+447400123456", None, Ok("+447400123456"));
    check("+390212345678", None, Ok("+390212345678"));
    check("+4915112345678", None, Ok("+4915112345678"));
}

#[test]
fn ten_digits_become_north_american_under_the_default_region() {
    check("4165550123", Some("US"), Ok("+14165550123"));
    check("(416) 555-0123", Some("CA"), Ok("+14165550123"));
    check("14165550123", Some("US"), Ok("+14165550123"));
    check("5551234567", Some("US"), Err(PhoneFault::Ambiguous));
    check("4165550123", None, Err(PhoneFault::NotInternational));
    check("0416555012", Some("US"), Err(PhoneFault::Ambiguous));
    check("4161550123", Some("US"), Err(PhoneFault::Ambiguous));
    check("555-0123", Some("CA"), Err(PhoneFault::Length));
    check("447400123456", Some("US"), Err(PhoneFault::Length));
}

#[test]
fn national_numbers_of_other_regions_lose_only_their_trunk_prefix() {
    check("07400 123456", Some("GB"), Ok("+447400123456"));
    check("0151 12345678", Some("DE"), Ok("+4915112345678"));
    check("02 1234 5678", Some("IT"), Ok("+390212345678"));
    check("999", Some("GB"), Err(PhoneFault::Ambiguous));
}

#[test]
fn what_is_not_a_number_to_text_is_refused() {
    check("+1416555O123", None, Err(PhoneFault::Syntax));
    check("1-800-FLOWERS", Some("US"), Err(PhoneFault::Syntax));
    check("416-555-0123 ext. 45", Some("US"), Err(PhoneFault::Syntax));
    check("+1416555012", None, Err(PhoneFault::Length));
    check("+141655501234", None, Err(PhoneFault::Length));
    check("++14165550123", None, Err(PhoneFault::Syntax));
    check("+0123456789", None, Err(PhoneFault::Syntax));
    check("+9991234567", None, Err(PhoneFault::Country));
    check("+19005550123", None, Err(PhoneFault::Kind("premium rate")));
    check("+18005550123", None, Err(PhoneFault::Kind("toll-free")));
    for number in [
        "+870773111632",
        "+881612345678",
        "+88213123456",
        "+883510012345",
        "+878101234567890",
    ] {
        check(number, None, Err(PhoneFault::Kind("satellite or global service")));
    }
    check("+1416555\r\n0123", None, Err(PhoneFault::Syntax));
    check("", Some("US"), Err(PhoneFault::Syntax));
    check("+7800123456", None, Err(PhoneFault::Ambiguous));
}

#[test]
fn a_national_number_loses_the_trunk_prefix_of_its_region_and_no_other() {
    for (text, region, expected) in [
        ("06 20 123 4567", "HU", "+36201234567"),
        ("8 (916) 123-45-67", "RU", "+79161234567"),
        ("8 701 234 56 78", "KZ", "+77012345678"),
        ("8 612 34567", "LT", "+37061234567"),
        ("0 612 34567", "LT", "+37061234567"),
        ("8 029 123-45-67", "BY", "+375291234567"),
        ("8 65 123456", "TM", "+99365123456"),
        ("01 55 1234 5678", "MX", "+525512345678"),
        ("044 55 1234 5678", "MX", "+525512345678"),
        ("55 1234 5678", "MX", "+525512345678"),
        ("077 12 34 56", "GA", "+24177123456"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("612 345 678", "ES", "+34612345678"),
        ("347 123 4567", "IT", "+393471234567"),
        ("20 123 4567", "HU", "+36201234567"),
    ] {
        check(text, Some(region), Ok(expected));
    }
    for (text, region) in [
        ("8 20 123 4567", "HU"),
        ("0 20 123 4567", "HU"),
        ("8 6 12 34 56 78", "FR"),
        ("0 916 123 45 67", "RU"),
        ("36 20 123 4567", "HU"),
        ("0 15 11 98765 4321", "BR"),
        ("011 15 2345 6789", "AR"),
        ("00 33 6 12 34 56 78", "FR"),
        ("6 20 123 4567", "HU"),
    ] {
        check(text, Some(region), Err(PhoneFault::Ambiguous));
    }
}

/// Networks take such a number for the one without the prefix, whose owner may have opted out.
#[test]
fn a_trunk_prefix_after_the_calling_code_is_refused() {
    for text in [
        "+4407400123456",
        "+44 (0)7400 123456",
        "+52 01 55 1234 5678",
        "+4901511 2345678",
        "+36 06 20 123 4567",
        "+7 8 916 123 45 67",
    ] {
        check(text, None, Err(PhoneFault::Ambiguous));
    }
    for text in [
        "+390212345678",
        "+393471234567",
        "+447400123456",
        "+2290195123456",
        "+15551234567",
        "+5215512345678",
    ] {
        check(text, None, Ok(text));
    }
}

#[test]
fn pasted_numbers_lose_what_says_nothing() {
    for text in [
        "\u{202a}+14165550123\u{202c}",
        "\u{202d}+1 (416) 555-0123\u{202c}",
        "+1\u{a0}416\u{202f}555\u{2007}0123",
        "+1\u{2011}416\u{2013}555\u{2212}0123",
        "\u{feff}+1416\u{200b}555\u{ad}0123\u{200e}",
        "＋１４１６５５５０１２３",
        "＋１（４１６）５５５－０１２３",
        "+١٤١٦٥٥٥٠١٢٣",
        "+۱۴۱۶۵۵۵۰۱۲۳",
        "\u{2068}\r\n +14165550123 \u{2069}\n",
    ] {
        check(text, None, Ok("+14165550123"));
    }
    for text in [
        "+1416555\t0123",
        "+1416555/0123",
        "+1416555,0123",
        "+1416555\u{2028}0123",
        "\u{202e}+1416555\u{202e}0123",
        "+1416555\u{966}123",
        "+141655501²3",
        "+1416555\u{ff2f}123",
        "+1416\u{1d7d8}550123",
        "1-800-FLOWERS",
        "tel:+14165550123",
    ] {
        check(text, None, Err(PhoneFault::Syntax));
    }
    check(&"+1\u{200b}".repeat(40), None, Err(PhoneFault::Syntax));
}

/// A number in a spelling that its plan has given up is accepted as it is written.
#[test]
fn a_number_of_before_stays_as_it_is() {
    for number in [
        "+5215512345678",
        "+525512345678",
        "+551187654321",
        "+22995123456",
        "+24107123456",
        "+541123456789",
    ] {
        check(number, None, Ok(number));
    }
    let number = PhoneNumber::parse_e164("+5215512345678").unwrap();
    assert_eq!((number.region(), number.country_code()), (Some("MX"), 52));
}

/// The cases of numbers that went wrong.
#[test]
fn the_table_of_written_numbers_holds() {
    #[derive(serde::Deserialize)]
    struct Cases {
        pasted: Vec<Case>,
        national: Vec<Case>,
        refused: Vec<Case>,
    }
    #[derive(serde::Deserialize)]
    struct Case {
        raw: String,
        region: Option<String>,
        e164: Option<String>,
    }
    let cases: Cases = serde_json::from_str(include_str!("../../tests/fixtures/numbers.json")).unwrap();
    for case in cases.pasted.iter().chain(&cases.national).chain(&cases.refused) {
        for region in [case.region.as_deref(), case.region.as_deref().or(Some("US"))] {
            let parsed = PhoneNumber::parse(&case.raw, region.map(|region| region.parse().unwrap()));
            let number = parsed.as_ref().ok().map(PhoneNumber::expose);
            assert_eq!(number, case.e164.as_deref(), "{} in {region:?}", case.raw);
        }
    }
}

#[test]
fn printing_masks() {
    let number = PhoneNumber::parse_e164("+14165550123").unwrap();
    assert_eq!(format!("{number:?} {number}"), "+1***23 +1***23");
    assert!(number.is_assigned());
    assert_eq!((number.region(), number.country_code()), (Some("CA"), 1));
    assert!(!PhoneNumber::parse_e164("+15551234567").unwrap().is_assigned());
}

/// Every region that the metadata knows.
fn regions() -> Vec<String> {
    DATABASE
        .iter()
        .map(|plan| plan.id().to_owned())
        .filter(|id| id.parse::<Region>().is_ok())
        .collect()
}

proptest! {
    #[test]
    fn an_accepted_national_number_ends_with_what_was_written(digits in "[0-9]{5,13}", region in prop::sample::select(regions())) {
        let region: Region = region.parse().unwrap();
        if let Ok(number) = PhoneNumber::parse(&digits, Some(region)) {
            let code = region.calling_code().unwrap().to_string();
            let rest = number.expose().strip_prefix('+').unwrap().strip_prefix(&code).unwrap();
            prop_assert!(digits.ends_with(rest), "{digits} {}", number.expose());
            prop_assert!(digits.len() - rest.len() <= 3);
        }
    }

    #[test]
    fn what_is_pasted_between_the_digits_changes_no_number(
        between in proptest::collection::vec("[ \u{a0}\u{200b}\u{202a}\u{2011}()-]{0,2}", 12),
        area in "[2-9][0-9]{2}[2-9][0-9]{6}",
    ) {
        let plain = format!("+1{area}");
        let parts = plain.chars().zip(&between).flat_map(|(digit, between)| between.chars().chain([digit]));
        let pasted: String = parts.chain(['\u{202c}']).collect();
        prop_assert_eq!(PhoneNumber::parse(&pasted, None), PhoneNumber::parse(&plain, None));
    }

    #[test]
    fn an_accepted_international_number_is_the_one_written(text in "\\+[0-9 ().-]{5,20}") {
        if let Ok(number) = PhoneNumber::parse(&text, None) {
            let written: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
            prop_assert_eq!(number.expose(), written);
        }
    }

    #[test]
    fn a_shared_plan_is_judged_as_the_library_does(subscriber in "[2-9][0-9]{2}[2-9][0-9]{6}") {
        let text = format!("+1{subscriber}");
        let library = read(&text).unwrap();
        if let Ok(number) = PhoneNumber::parse_e164(&text) {
            prop_assert_eq!(number.is_assigned(), library.is_valid());
            let region = library.country().id();
            prop_assert_eq!(number.region(), region.as_ref().map(AsRef::as_ref));
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,45}", region in prop::sample::select(vec!["US", "GB", "RU", "IT", "BR"])) {
        drop(PhoneNumber::parse(&text, Some(region.parse().unwrap())));
    }
}
