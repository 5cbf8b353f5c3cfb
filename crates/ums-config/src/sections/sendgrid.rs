//! SendGrid.

use ums_core::{Mailbox, Secret};

use super::{Configured, sender, senders, unset};
use crate::reader::Reader;
use crate::senders::SenderRule;
use crate::values::Endpoint;

/// Base URL of SendGrid's API outside the EU.
const API_URL: &str = "https://api.sendgrid.com";

/// What sending by SendGrid needs.
#[derive(Clone, Debug)]
pub struct SendGridSettings {
    /// API key.
    pub api_key: Secret,
    /// Own sender.
    pub from: Mailbox,
    /// Senders that it may use beside its own.
    pub senders: Vec<SenderRule>,
    /// Base URL.
    pub api_url: Endpoint,
    /// Public keys of its event webhook, base64; several while one takes the place of another.
    pub webhook_public_keys: Vec<String>,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> Configured<SendGridSettings> {
    let needed = ["SENDGRID_API_KEY", "SENDGRID_FROM_EMAIL"];
    let missing = unset(reader, &needed);
    let any = missing.len() < needed.len();
    let api_key = reader.secret("SENDGRID_API_KEY");
    let from = sender(reader, "SENDGRID_FROM_EMAIL", "SENDGRID_FROM_NAME");
    let senders = senders(reader, "senders.sendgrid", from.as_ref().map(|from| &from.address));
    let api_url = reader
        .parsed("SENDGRID_API_URL", Endpoint::of_provider)
        .or_else(|| Endpoint::parse(API_URL).ok());
    let webhook_public_keys = reader.list("SENDGRID_WEBHOOK_PUBLIC_KEY").unwrap_or_default();
    let settings = match (api_key, from, api_url) {
        (Some(api_key), Some(from), Some(api_url)) => Some(SendGridSettings {
            api_key,
            from,
            senders,
            api_url,
            webhook_public_keys,
        }),
        _ => None,
    };
    Configured::unless_missing(reader, any, missing, "SendGrid needs its key and a sender", settings)
}
