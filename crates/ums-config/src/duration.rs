//! Spans of time as they stand in the TOML file: `"500ms"`, `"30s"`, `"1h30m"`, `"30d"`.

use std::time::Duration;

/// Units with their length in milliseconds; `m` is a minute, as in the file's comments.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads numbers with units, without spaces; a number without a unit is refused.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*millis)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total))
}

/// Writes a span with the largest unit that divides it.
pub(crate) fn show(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (unit, length) = UNITS
        .iter()
        .rev()
        .find(|(_, length)| millis >= *length && millis.is_multiple_of(*length))
        .unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_need_a_number_and_a_unit() {
        let check = |text: &str, millis: Option<u64>| assert_eq!(parse(text), millis.map(Duration::from_millis), "{text:?}");
        check("500ms", Some(500));
        check("30s", Some(30_000));
        check("2m", Some(120_000));
        check("1h30m", Some(5_400_000));
        check("72h", Some(259_200_000));
        check("30d", Some(2_592_000_000));
        check("0s", Some(0));
        for bad in [
            "",
            "30",
            "s",
            "30 s",
            "-1s",
            "1.5s",
            "30S",
            "30sec",
            "1h ",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn spans_are_shown_in_their_largest_unit() {
        for text in ["0ms", "250ms", "90s", "30d", "10m", "7h"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(show(Duration::from_hours(72)), "3d");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,30}") {
            prop_assert!(parse(&text).is_none_or(|span| span >= Duration::ZERO));
        }

        #[test]
        fn shown_spans_read_back(millis in 0_u64..10_000_000_000) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(span)), Some(span));
        }
    }
}
