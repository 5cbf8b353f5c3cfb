//! Phone numbers: a number is accepted unchanged or refused, never changed into another number.
//!
//! The parsing library is not the original libphonenumber: the library turned 0.6 % of strict `+digits` inputs into *another* number.
//! Therefore this module compares the library's result with the input.

use std::fmt;
use std::panic::catch_unwind;
use std::str::FromStr;

use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, Type, country};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Calling codes of no country that get no text messages, because the calls are dear: Inmarsat, universal personal numbers, satellite and
/// international networks. The kind of the number tells free phone, shared cost and premium rate (800, 808, 979).
const GLOBAL_SERVICES: [u16; 6] = [870, 878, 881, 882, 883, 888];

/// Why a text is no number that the service sends to. Never holds the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneFault {
    /// Letters, an extension, or anything else that is not digits with the usual punctuation.
    #[error("is not a phone number")]
    Syntax,
    /// National form without a default region.
    #[error("needs the international form, + and country code")]
    NotInternational,
    /// No such country code.
    #[error("has an unknown country code")]
    Country,
    /// Too short or too long for its country.
    #[error("has a length that no number of its country has")]
    Length,
    /// Premium rate, shared cost and the like.
    #[error("is of a kind that the service does not send to: {0}")]
    Kind(&'static str),
    /// The parser read another number than the text says.
    #[error("is written in a way that could mean another number; use + and country code")]
    Ambiguous,
}

/// The region whose national numbers are understood without a country code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region(country::Id);

impl Region {
    /// The two letters of ISO 3166.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// The region's calling code.
    pub fn calling_code(&self) -> Option<u16> {
        DATABASE.by_id(self.0.as_ref()).map(phonenumber::Metadata::country_code)
    }

    /// Whether the region belongs to the North American Numbering Plan (+1).
    fn is_north_american(self) -> bool {
        self.calling_code() == Some(1)
    }
}

impl FromStr for Region {
    type Err = PhoneFault;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_ascii_uppercase().parse().map(Region).map_err(|_| PhoneFault::Country)
    }
}

/// A number in E.164: `+`, country code, subscriber; at most 15 digits.
///
/// `Debug` and `Display` mask the number; only [`PhoneNumber::expose`] gives the whole number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber {
    e164: Box<str>,
    country_code: u16,
    region: Option<[u8; 2]>,
    assigned: bool,
}

impl PhoneNumber {
    /// Reads a number. Ignores spaces, `-`, `.` and brackets. A number without `+` is a national number of `default_region`.
    ///
    /// # Errors
    /// A [`PhoneFault`]: the rule that the text breaks.
    pub fn parse(text: &str, default_region: Option<Region>) -> Result<Self, PhoneFault> {
        if text.len() > 40 {
            return Err(PhoneFault::Syntax);
        }
        let digits: String = text.trim().chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
        if digits.starts_with('+') {
            return Self::international(digits);
        }
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PhoneFault::Syntax);
        }
        let region = default_region.ok_or(PhoneFault::NotInternational)?;
        if region.is_north_american() {
            Self::north_american(&digits)
        } else {
            Self::national(&digits, region)
        }
    }

    /// Reads a number in E.164, as stores keep numbers.
    ///
    /// # Errors
    /// As [`PhoneNumber::parse`] without a region.
    pub fn parse_e164(text: &str) -> Result<Self, PhoneFault> {
        Self::parse(text, None)
    }

    fn international(e164: String) -> Result<Self, PhoneFault> {
        let subscriber = e164.strip_prefix('+').unwrap_or_default();
        let all_digits = subscriber.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits || subscriber.starts_with('0') || subscriber.is_empty() {
            return Err(PhoneFault::Syntax);
        }
        if !(7..=15).contains(&subscriber.len()) {
            return Err(PhoneFault::Length);
        }
        let parsed = read(None, &e164).ok_or(PhoneFault::Country)?;
        if parsed.extension().is_some() || parsed.format().mode(Mode::E164).to_string() != e164 {
            return Err(PhoneFault::Ambiguous);
        }
        let own_plan = parsed.metadata(&DATABASE);
        let meta = own_plan
            .or_else(|| DATABASE.by_code(&parsed.code().value()).and_then(|all| all.into_iter().next()))
            .ok_or(PhoneFault::Country)?;
        let national = parsed.national().to_string();
        let lengths = meta.descriptors().general().possible_length();
        if parsed.code().value() == 1 && national.len() != 10 {
            return Err(PhoneFault::Length);
        }
        if !lengths.is_empty() && !lengths.iter().any(|length| usize::from(*length) == national.len()) {
            return Err(PhoneFault::Length);
        }
        if GLOBAL_SERVICES.contains(&parsed.code().value()) {
            return Err(PhoneFault::Kind("satellite or global service"));
        }
        let kind = parsed.number_type(&DATABASE);
        if let Some(kind) = refused_kind(kind) {
            return Err(PhoneFault::Kind(kind));
        }
        // +1 is shared by 25 regions, and each question walks through them: there the kind answers
        // this one too. Elsewhere it does not, where national numbers begin with zeros.
        let assigned = if parsed.code().value() == 1 {
            kind != Type::Unknown
        } else {
            parsed.is_valid()
        };
        let region = own_plan.and_then(|plan| plan.id().as_bytes().try_into().ok());
        Ok(Self {
            region,
            country_code: parsed.code().value(),
            e164: e164.into_boxed_str(),
            assigned,
        })
    }

    /// Ten digits, or eleven that begin with the trunk prefix 1, that are a valid number of +1.
    fn north_american(digits: &str) -> Result<Self, PhoneFault> {
        let subscriber = match (digits.len(), digits.strip_prefix('1')) {
            (11, Some(rest)) => rest,
            (10, _) => digits,
            _ => return Err(PhoneFault::Length),
        };
        let area_and_exchange_fine = [0, 3]
            .iter()
            .all(|at| subscriber.as_bytes().get(*at).is_some_and(|digit| (b'2'..=b'9').contains(digit)));
        if !area_and_exchange_fine {
            return Err(PhoneFault::Ambiguous);
        }
        let number = Self::international(format!("+1{subscriber}"))?;
        if number.assigned { Ok(number) } else { Err(PhoneFault::Ambiguous) }
    }

    /// A national number of another region: accepted when only the trunk prefix goes away.
    fn national(digits: &str, region: Region) -> Result<Self, PhoneFault> {
        let parsed = read(Some(region.0), digits).ok_or(PhoneFault::Syntax)?;
        let e164 = parsed.format().mode(Mode::E164).to_string();
        let kept = e164.strip_prefix(&format!("+{}", parsed.code().value())).unwrap_or_default();
        let only_trunk_removed = digits == kept || digits.strip_prefix('0') == Some(kept) || digits.strip_prefix('8') == Some(kept);
        if !only_trunk_removed || !parsed.is_valid() {
            return Err(PhoneFault::Ambiguous);
        }
        Self::international(e164)
    }

    /// The whole number in E.164, for the provider and for the caller's own answer.
    pub fn expose(&self) -> &str {
        &self.e164
    }

    /// The country calling code, without `+`.
    pub fn country_code(&self) -> u16 {
        self.country_code
    }

    /// The two letters of the number's country, if the digits tell. +1 belongs to several countries.
    pub fn region(&self) -> Option<&str> {
        self.region.as_ref().and_then(|region| std::str::from_utf8(region).ok())
    }

    /// Whether the numbering plan assigns such a number. The service sends to unassigned numbers (`+15551234567`) with a warning.
    pub fn is_assigned(&self) -> bool {
        self.assigned
    }
}

/// Reads the numbering plans of all countries. A process that does not call this reads the plans with its first number, which
/// takes a moment longer.
pub fn read_numbering_plans() {
    drop(read(None, "+14165550123"));
}

/// Calls the parsing library; earlier releases of it panicked on some inputs.
fn read(region: Option<country::Id>, text: &str) -> Option<phonenumber::PhoneNumber> {
    catch_unwind(|| phonenumber::parse(region, text)).ok()?.ok()
}

/// The word for a kind of number that the service does not send to; none for other kinds. Such numbers cost the sender or cannot receive.
fn refused_kind(kind: Type) -> Option<&'static str> {
    match kind {
        Type::PremiumRate => Some("premium rate"),
        Type::SharedCost => Some("shared cost"),
        Type::Uan => Some("company number"),
        Type::TollFree => Some("toll-free"),
        Type::ShortCode | Type::Emergency | Type::Voicemail | Type::StandardRate | Type::Carrier | Type::NoInternational => {
            Some("service number")
        }
        Type::FixedLine | Type::Mobile | Type::FixedLineOrMobile | Type::PersonalNumber | Type::Voip | Type::Pager | Type::Unknown => None,
    }
}

/// Masks a number for logs: the country's first digits and the last two.
pub fn mask(number: &str) -> String {
    let head: String = number.chars().take(2).collect();
    let tail: String = number.chars().skip(number.chars().count().saturating_sub(2).max(2)).collect();
    format!("{head}***{tail}")
}

/// The whole number: for stores and for the caller's own answer, never for logs.
impl Serialize for PhoneNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.e164)
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse_e164(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.e164))
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.e164))
    }
}

#[cfg(test)]
mod tests {
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
    fn printing_masks() {
        let number = PhoneNumber::parse_e164("+14165550123").unwrap();
        assert_eq!(format!("{number:?} {number}"), "+1***23 +1***23");
        assert!(number.is_assigned());
        assert_eq!((number.region(), number.country_code()), (Some("CA"), 1));
        assert!(!PhoneNumber::parse_e164("+15551234567").unwrap().is_assigned());
    }

    proptest! {
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
            let library = read(None, &text).unwrap();
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
}
