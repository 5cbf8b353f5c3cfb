//! Whom messages may go to.

use ums_core::Region;

use crate::reader::Reader;
use crate::senders::AllowedRecipients;

/// `UMS_DEFAULT_REGION`: North America unless told otherwise, none for `none`.
pub(crate) fn default_region(reader: &mut Reader<'_>) -> Option<Region> {
    let read = reader.parsed("UMS_DEFAULT_REGION", |text| {
        if text.eq_ignore_ascii_case("none") {
            Ok(None)
        } else {
            region(text).map(Some)
        }
    });
    read.unwrap_or_else(|| "US".parse().ok())
}

/// `UMS_SMS_COUNTRIES`; empty for all.
pub(crate) fn sms_countries(reader: &mut Reader<'_>) -> Vec<Region> {
    let entries = reader.list("UMS_SMS_COUNTRIES").unwrap_or_default();
    let regions: Result<Vec<Region>, _> = entries.iter().map(|entry| region(entry)).collect();
    regions.unwrap_or_else(|reason| {
        reader.fault("UMS_SMS_COUNTRIES", format!("has an entry that {reason}"));
        Vec::new()
    })
}

/// `UMS_ALLOW_RECIPIENTS`.
pub(crate) fn allow_recipients(reader: &mut Reader<'_>, region: Option<Region>) -> AllowedRecipients {
    let entries = reader.list("UMS_ALLOW_RECIPIENTS").unwrap_or_default();
    AllowedRecipients::parse(entries.iter().map(String::as_str), region).unwrap_or_else(|places| {
        let places = places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        reader.fault(
            "UMS_ALLOW_RECIPIENTS",
            format!("must list addresses, @domains and phone numbers; not so: entry {places}"),
        );
        AllowedRecipients::default()
    })
}

fn region(text: &str) -> Result<Region, &'static str> {
    let fine = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    text.parse()
        .ok()
        .filter(|_| fine)
        .ok_or("must be a country's two letters (ISO 3166), such as US")
}
