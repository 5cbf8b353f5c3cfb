//! Estimates of what a message costs.

use std::collections::BTreeMap;

use ums_core::ProviderKind;

use crate::reader::Reader;
use crate::toml_file::plain;

/// Prices in millionths of a US dollar; none where nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    /// The day on which the prices were collected, `YYYY-MM-DD`.
    pub as_of: String,
    /// Amazon SES, per recipient.
    pub aws_ses_per_recipient: Option<i64>,
    /// SendGrid, per recipient.
    pub sendgrid_per_recipient: Option<i64>,
    /// SMTP, per recipient.
    pub smtp_per_recipient: Option<i64>,
    /// Amazon SNS, per part, by country calling code.
    pub aws_sns_per_segment: BTreeMap<u16, i64>,
    /// Twilio, per part, by country calling code.
    pub twilio_per_segment: BTreeMap<u16, i64>,
}

impl Prices {
    /// The price of one recipient of an e-mail; none for providers of text messages.
    pub fn per_recipient(&self, provider: ProviderKind) -> Option<i64> {
        match provider {
            ProviderKind::AwsSes => self.aws_ses_per_recipient,
            ProviderKind::SendGrid => self.sendgrid_per_recipient,
            ProviderKind::Smtp => self.smtp_per_recipient,
            ProviderKind::AwsSns | ProviderKind::Twilio | ProviderKind::Console => None,
        }
    }
}

pub(crate) fn read(reader: &mut Reader<'_>) -> Prices {
    Prices {
        as_of: shaped(reader, "prices.as_of", "must be a day, such as \"2026-11-22\"", is_day),
        aws_ses_per_recipient: price(reader, "prices.aws_ses_per_recipient"),
        sendgrid_per_recipient: price(reader, "prices.sendgrid_per_recipient"),
        smtp_per_recipient: price(reader, "prices.smtp_per_recipient"),
        aws_sns_per_segment: by_country(reader, "prices.aws_sns_per_segment"),
        twilio_per_segment: by_country(reader, "prices.twilio_per_segment"),
    }
}

fn shaped(reader: &mut Reader<'_>, path: &str, reason: &str, fits: impl Fn(&str) -> bool) -> String {
    reader
        .file_word(path, reason, |text| fits(text).then(|| text.to_owned()))
        .unwrap_or_default()
}

fn is_day(text: &str) -> bool {
    let digits = |text: &str, least: u8, most: u8| {
        text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|n: u8| (least..=most).contains(&n))
    };
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    year.len() == 4
        && year.bytes().all(|byte| byte.is_ascii_digit())
        && month.len() == 2
        && digits(month, 1, 12)
        && day.len() == 2
        && digits(day, 1, 31)
}

fn price(reader: &mut Reader<'_>, path: &str) -> Option<i64> {
    let text = reader.file.value(path).map(plain).unwrap_or_default();
    if text == "unknown" {
        return None;
    }
    let read = micros(&text);
    if read.is_none() {
        reader.fault(
            path,
            "must be an amount with at most six decimals, such as \"0.000160\", or \"unknown\"",
        );
    }
    read
}

/// The built-in prices of a table, with the user's put over them by country.
fn by_country(reader: &mut Reader<'_>, table: &str) -> BTreeMap<u16, i64> {
    let prefix = format!("{table}.");
    let names: Vec<String> = reader.file.names().into_iter().filter(|name| name.starts_with(&prefix)).collect();
    let mut prices = BTreeMap::new();
    for path in names {
        let code = path
            .strip_prefix(&prefix)
            .and_then(|code| code.parse::<u16>().ok())
            .filter(|code| (1..=999).contains(code));
        let Some(code) = code else {
            reader.fault(path, "must be named by a country calling code, such as \"1\"");
            continue;
        };
        if let Some(price) = price(reader, &path) {
            prices.insert(code, price);
        }
    }
    prices
}

/// Millionths of an amount such as `0.000160`.
fn micros(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || decimals.len() > 6 || !digits(whole) || !digits(decimals) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let decimals: i64 = format!("{decimals:0<6}").parse().ok()?;
    Some(whole * 1_000_000 + decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_become_millionths() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(micros(text), expected, "{text:?}");
        check("0.000160", Some(160));
        check("0.0083", Some(8_300));
        check("1", Some(1_000_000));
        check("12.5", Some(12_500_000));
        for bad in ["", ".5", "-1", "1e3", "0.0000001", "0,1", "1000000000", "1.-5"] {
            check(bad, None);
        }
    }

    #[test]
    fn days_have_their_shape() {
        assert!(is_day("2026-11-22"));
        for bad in ["", "2026-13-01", "2026-1-1", "22.11.2026", "2026-11-22T", "2026-11-+1"] {
            assert!(!is_day(bad), "{bad:?}");
        }
    }
}
