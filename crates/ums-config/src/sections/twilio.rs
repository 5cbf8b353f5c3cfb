//! Twilio.

use ums_core::Secret;

use super::{Configured, unset};
use crate::reader::Reader;
use crate::values::Endpoint;

/// Base URL of Twilio's API.
const API_URL: &str = "https://api.twilio.com";

/// What sending by Twilio needs. At least one of number and service is there.
#[derive(Clone, Debug)]
pub struct TwilioSettings {
    /// Account, `AC…`.
    pub account_sid: String,
    /// The account's token.
    pub auth_token: Secret,
    /// Own number: E.164 or a short code.
    pub phone_number: Option<String>,
    /// Messaging service, `MG…`.
    pub messaging_service_sid: Option<String>,
    /// Base URL.
    pub api_url: Endpoint,
    /// Where Twilio reports what became of a message: the file's setting, else under the
    /// service's public URL, else nowhere.
    pub status_callback: Option<Endpoint>,
}

pub(crate) fn read(reader: &mut Reader<'_>, public_url: Option<&Endpoint>) -> Configured<TwilioSettings> {
    let mut missing = unset(reader, &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]);
    let has_sender = reader.is_set("TWILIO_PHONE_NUMBER") || reader.is_set("TWILIO_MESSAGING_SERVICE_SID");
    let any = missing.len() < 2 || has_sender;
    if !has_sender {
        missing.push("TWILIO_PHONE_NUMBER");
    }
    let account_sid = reader.parsed("TWILIO_ACCOUNT_SID", |text| sid(text, "AC"));
    let auth_token = reader.secret("TWILIO_AUTH_TOKEN");
    let phone_number = reader.parsed("TWILIO_PHONE_NUMBER", number);
    let messaging_service_sid = reader.parsed("TWILIO_MESSAGING_SERVICE_SID", |text| sid(text, "MG"));
    let api_url = reader
        .parsed("TWILIO_API_URL", Endpoint::of_provider)
        .or_else(|| Endpoint::parse(API_URL).ok());
    let status_callback = reader
        .file_parsed("twilio.status_callback", Endpoint::parse)
        .or_else(|| Endpoint::parse(&format!("{}/hooks/twilio", public_url?)).ok());
    let settings = match (account_sid, auth_token, api_url) {
        (Some(account_sid), Some(auth_token), Some(api_url)) => Some(TwilioSettings {
            account_sid,
            auth_token,
            phone_number,
            messaging_service_sid,
            api_url,
            status_callback,
        }),
        _ => None,
    };
    let because = "Twilio needs its account, its token, and a number or TWILIO_MESSAGING_SERVICE_SID";
    Configured::unless_missing(reader, any, missing, because, settings)
}

/// An id of Twilio's: its two letters, then letters and digits; it becomes part of a URL.
fn sid(text: &str, prefix: &str) -> Result<String, String> {
    if text.starts_with(prefix) && text.len() > 2 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be an id that begins with {prefix}, as Twilio's console shows it"))
    }
}

/// A sender's number: not read by the rules of recipients, since toll-free numbers and short codes
/// may send.
fn number(text: &str) -> Result<String, &'static str> {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
    let digits = plain.strip_prefix('+').unwrap_or(&plain);
    let lengths = if plain.starts_with('+') { 7..=15 } else { 3..=8 };
    if digits.bytes().all(|byte| byte.is_ascii_digit()) && lengths.contains(&digits.len()) && !digits.starts_with('0') {
        Ok(plain)
    } else {
        Err("must be a number with + and country code, such as +15551234567, or a short code")
    }
}
