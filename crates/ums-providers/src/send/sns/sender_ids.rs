//! Where phones show an alphanumeric sender. Source: Amazon SNS developer guide, "Supported countries
//! and regions" (2022-12), read 2026-11-22.

/// Country calling codes where there is none. `1` is all of North America; its members that would allow one share the code.
const NOT_SHOWN: &[u16] = &[
    1, 27, 32, 36, 51, 52, 54, 55, 56, 57, 58, 60, 64, 82, 86, 231, 242, 258, 377, 502, 503, 505, 506, 593, 595, 598, 691, 692, 993,
];

/// Country calling codes where it must be registered, else the message fails or (Singapore) is marked as fraud.
const REGISTRATION: &[u16] = &[7, 20, 63, 65, 66, 84, 90, 91, 94, 375, 962, 965, 966, 971, 974];

/// Whether a sender id may go to a country.
pub(super) fn is_shown_in(country_code: u16, registered: &[u16]) -> bool {
    let needs_registration = REGISTRATION.binary_search(&country_code).is_ok();
    NOT_SHOWN.binary_search(&country_code).is_err() && (!needs_registration || registered.contains(&country_code))
}

/// Whether SNS takes it as a sender id.
pub(super) fn is_well_formed(id: &str) -> bool {
    (3..=11).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && id.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_show_it_or_not() {
        for (country, shown) in [
            (1, false),
            (44, true),
            (49, true),
            (55, false),
            (65, false),
            (91, false),
            (993, false),
        ] {
            assert_eq!(is_shown_in(country, &[]), shown, "+{country}");
        }
        assert!(is_shown_in(91, &[91]));
        assert!(!is_shown_in(1, &[1]));
        assert!(NOT_SHOWN.is_sorted() && REGISTRATION.is_sorted());
    }

    #[test]
    fn its_form_is_checked() {
        for (id, good) in [
            ("WeedGo", true),
            ("My-Shop", true),
            ("AB", false),
            ("12345", false),
            ("My Shop", false),
            ("TwelveLetter", false),
        ] {
            assert_eq!(is_well_formed(id), good, "{id}");
        }
    }
}
