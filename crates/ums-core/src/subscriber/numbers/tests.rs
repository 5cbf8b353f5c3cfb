//! One subscriber has one key, and two have two.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use phonenumber::metadata::DATABASE;
use proptest::prelude::*;

use super::*;
use crate::PhoneNumber;

#[test]
fn the_spellings_of_one_subscriber_have_one_key() {
    for class in [
        &["+525512345678", "+5215512345678"][..],
        &["+5491123456789", "+541123456789"],
        &["+5493435551212", "+543435551212"],
        &["+5511987654321", "+551187654321"],
        &["+5521961234567", "+552161234567"],
        &["+2290195123456", "+22995123456"],
        &["+2250102345678", "+22502345678"],
        &["+2250544123456", "+22544123456"],
        &["+2250707123456", "+22507123456"],
        &["+24177123456", "+24107123456", "+2417123456"],
        &["+24166123456", "+24106123456", "+2416123456"],
        &["+970599123456", "+972599123456"],
        &["+970562123456", "+972562123456"],
    ] {
        let expected: BTreeSet<String> = class.iter().map(|&spelling| spelling.to_owned()).collect();
        for spelling in class {
            assert_eq!(today(spelling), class[0], "{spelling}");
            let found = spellings(spelling);
            assert_eq!(found.len(), class.len(), "each once: {spelling}");
            assert_eq!(BTreeSet::from_iter(found), expected, "{spelling}");
        }
    }
}

#[test]
fn numbers_that_only_look_alike_keep_two_keys() {
    for (one, other) in [
        // A Brazilian fixed line, and a radio service, beside the mobiles with a 9 more.
        ("+551133334444", "+5511933334444"),
        ("+551178123456", "+5511978123456"),
        // Another operator's two digits.
        ("+22507123456", "+2250507123456"),
        ("+22502345678", "+2250702345678"),
        ("+24107123456", "+24166123456"),
        ("+972501234567", "+970501234567"),
        ("+5491123456789", "+541023456789"),
        ("+525512345678", "+515512345678"),
        ("+521551234567", "+52551234567"),
        ("+15551234567", "+155551234567"),
        ("+390212345678", "+39212345678"),
        ("+37744123456", "+38344123456"),
    ] {
        assert_ne!(today(one), today(other), "{one} {other}");
    }
    for same in [
        "12345",
        "+",
        "",
        "+52",
        "+52155123456a8",
        "5215512345678",
        "+521５512345678",
        "customer",
    ] {
        assert_eq!((today(same), spellings(same)), (same.to_owned(), vec![same.to_owned()]));
    }
}

/// The pairs of numbers that went wrong.
#[test]
fn the_table_of_subscribers_holds() {
    #[derive(serde::Deserialize)]
    struct Cases {
        one_subscriber: Vec<Vec<String>>,
    }
    let cases: Cases = serde_json::from_str(include_str!("../../../tests/fixtures/numbers.json")).unwrap();
    for class in cases.one_subscriber {
        for spelling in &class {
            assert_eq!(today(spelling), today(&class[0]), "{spelling}");
            assert!(class.iter().all(|other| spellings(spelling).contains(other)), "{spelling}");
        }
    }
}

#[test]
fn no_number_has_two_rows() {
    for (place, row) in ROWS.iter().enumerate() {
        for other in &ROWS[place + 1..] {
            for mark in row.marks {
                let rest: String = (0..row.rest)
                    .map(|at| row.begins.get(at).and_then(|digits| digits.chars().next()).unwrap_or('3'))
                    .collect();
                let number = [row.head, "11".get(..row.area).unwrap(), mark, &rest].concat();
                assert!(other.split(&number).is_none(), "{number}");
            }
        }
    }
}

/// Calling codes of the table.
const CODES: [u16; 8] = [52, 54, 55, 225, 229, 241, 970, 972];

/// An example of the metadata for each region and kind of number, with its calling code.
static EXAMPLES: LazyLock<Vec<(u16, String)>> = LazyLock::new(|| {
    let plans = DATABASE.iter().flat_map(|plan| {
        let kinds = plan.descriptors();
        let kinds = [
            kinds.mobile(),
            kinds.fixed_line(),
            kinds.voip(),
            kinds.pager(),
            kinds.personal_number(),
        ];
        let examples = kinds.into_iter().flatten().filter_map(phonenumber::metadata::Descriptor::example);
        examples
            .map(|example| (plan.country_code(), example.to_owned()))
            .collect::<Vec<_>>()
    });
    plans.collect()
});

/// A number that the plan assigns, if the digits make one of the example.
fn assigned(code: u16, example: &str, digits: &str, kept: usize) -> Option<String> {
    let kept = kept.min(example.len());
    let rest: String = digits.chars().cycle().take(example.len() - kept).collect();
    let number = PhoneNumber::parse_e164(&format!("+{code}{}{rest}", &example[..kept])).ok()?;
    number.is_assigned().then(|| number.expose().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_assigned_numbers_have_one_key_only_by_the_table(
        at in any::<prop::sample::Index>(),
        digits in "[0-9]{15}",
        change in (0_usize..15, 0_u8..10),
        kept in 2_usize..7,
    ) {
        let (code, example) = &EXAMPLES[at.index(EXAMPLES.len())];
        let Some(number) = assigned(*code, example, &digits, kept) else { return Ok(()) };
        let all = spellings(&number);
        prop_assert!(all.contains(&number));
        if !CODES.contains(code) {
            prop_assert_eq!(&all, &vec![number.clone()]);
            prop_assert_eq!(&today(&number), &number);
        }
        for spelling in &all {
            prop_assert_eq!(today(spelling), today(&number));
        }
        // Digits changed, lengthened and shortened: another number is another subscriber, unless it is one of the spellings.
        let (place, digit) = change;
        let place = 1 + place % (number.len() - 1);
        let digit = char::from(b'0' + digit);
        let changed = format!("{}{digit}{}", &number[..place], &number[place + 1..]);
        let longer = format!("{}{digit}{}", &number[..place], &number[place..]);
        let shorter = format!("{}{}", &number[..place], &number[place + 1..]);
        for other in [changed, longer, shorter] {
            prop_assert_eq!(today(&other) == today(&number), all.contains(&other), "{} {}", number, other);
        }
    }
}
