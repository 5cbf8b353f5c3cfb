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

mod written;

/// Calling codes of no country that get no text messages, because the calls are dear: Inmarsat, universal personal numbers, satellite and
/// international networks. The kind of the number tells free phone, shared cost and premium rate (800, 808, 979).
const GLOBAL_SERVICES: [u16; 6] = [870, 878, 881, 882, 883, 888];

/// Trunk prefixes that the metadata does not name as such, by region: people write them still, though the plan has given them up (Mexico's 01,
/// 044 and 045 in 2019, Lithuania's 8), or next to another. Sources: IFT, press release 34/2019; libphonenumber, prefixes for parsing.
const TRUNK_PREFIXES_BEFORE: [(&str, &str); 7] = [
    ("BY", "0"),
    ("BY", "80"),
    ("GA", "0"),
    ("LT", "8"),
    ("MX", "01"),
    ("MX", "044"),
    ("MX", "045"),
];

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

    /// What people of the region dial before a national number to say no more than that it is one: 06 in Hungary, 8 in Russia, 0 in most
    /// countries, nothing in some. A prefix that chooses a carrier is none.
    fn trunk_prefixes(&self) -> impl Iterator<Item = &str> {
        let today = DATABASE.by_id(self.as_str()).and_then(phonenumber::Metadata::national_prefix);
        let before = TRUNK_PREFIXES_BEFORE.iter().filter(|(region, _)| *region == self.as_str());
        today.into_iter().chain(before.map(|(_, prefix)| *prefix))
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
    /// Reads a number as people write and paste it: with spaces, hyphens, dots and brackets between the digits, and with what cannot be
    /// seen. A number without `+` is a national number of `default_region`.
    ///
    /// # Errors
    /// A [`PhoneFault`]: the rule that the text breaks.
    pub fn parse(text: &str, default_region: Option<Region>) -> Result<Self, PhoneFault> {
        let digits = written::digits(text).ok_or(PhoneFault::Syntax)?;
        if digits.starts_with('+') {
            return Self::international(digits);
        }
        if digits.is_empty() {
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
        let parsed = read(&e164).ok_or(PhoneFault::Country)?;
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
        if !assigned && Self::hides_trunk_prefix(parsed.code().value(), subscriber) {
            return Err(PhoneFault::Ambiguous);
        }
        let region = own_plan.and_then(|plan| plan.id().as_bytes().try_into().ok());
        Ok(Self {
            region,
            country_code: parsed.code().value(),
            e164: e164.into_boxed_str(),
            assigned,
        })
    }

    /// Whether a number is none, and is one without a trunk prefix after its calling code (`+44 07…`). Networks take it for that one, whose
    /// owner may have opted out.
    fn hides_trunk_prefix(code: u16, digits: &str) -> bool {
        let Some(national) = digits.strip_prefix(&code.to_string()) else {
            return false;
        };
        let plans = DATABASE.by_code(&code).into_iter().flatten();
        let regions = plans.filter_map(|plan| plan.id().parse::<Region>().ok());
        let is_number = |rest: &str| Self::international(format!("+{code}{rest}")).is_ok_and(|number| number.assigned);
        regions.into_iter().any(|region| {
            region
                .trunk_prefixes()
                .any(|prefix| national.strip_prefix(prefix).is_some_and(is_number))
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

    /// A national number of another region: the number that is left, as it stands or without a trunk prefix, if there is one such number.
    fn national(digits: &str, region: Region) -> Result<Self, PhoneFault> {
        let code = region.calling_code().ok_or(PhoneFault::Country)?;
        let whole = std::iter::once(digits);
        let shortened = region.trunk_prefixes().filter_map(|prefix| digits.strip_prefix(prefix));
        let assigned = |rest: &str| Self::international(format!("+{code}{rest}")).ok().filter(|number| number.assigned);
        let mut numbers = whole.chain(shortened).filter_map(assigned);
        match (numbers.next(), numbers.next()) {
            (Some(number), None) => Ok(number),
            (Some(_) | None, _) => Err(PhoneFault::Ambiguous),
        }
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
    drop(read("+14165550123"));
}

/// Calls the parsing library; earlier releases of it panicked on some inputs.
fn read(e164: &str) -> Option<phonenumber::PhoneNumber> {
    catch_unwind(|| phonenumber::parse(None, e164)).ok()?.ok()
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
mod tests;
