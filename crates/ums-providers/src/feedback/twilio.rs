//! Twilio's status callbacks and inbound messages, posted to one address, and its message list for those who cannot be posted to.
//!
//! - **Request**: POST of a form, or of JSON when the address bears `bodySHA256`.
//! - **Signature**: `X-Twilio-Signature`, base64 of HMAC-SHA1 under the auth token over the address as it was given to Twilio (with its query)
//!   and the form's fields in order. The address is taken from the settings, never from `Host`: whoever can choose that could choose what was signed.
//! - **Replay**: the scheme knows no time. A report has the id of its message and its status, so the same one told again changes nothing.
//! - **Ours**: `ums_message_id` and `ums_attempt_id` stand in the query, which is signed.
//! - **Sources**: twilio.com/docs/usage/security, /docs/sms/api/message-resource; twilio-python `request_validator`; read 2026-11-22.

mod events;
mod keywords;
mod list;
mod signature;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use ums_core::{AccountId, Event, Hook, HookFault, HookRequest, ProviderKind, Secret};

pub use self::list::{TwilioList, TwilioListSettings};
pub(super) use self::signature::SIGNATURE;

use self::signature::Fields;
use crate::Error;

const KIND: ProviderKind = ProviderKind::Twilio;
/// Longest body that is read, in bytes; Twilio posts a few KB.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Settings of the callback.
#[derive(Clone, Debug, Default)]
pub struct TwilioHookSettings {
    /// Account at Twilio, by our name.
    pub account: AccountId,
    /// The account (`AC…`); what others report is not believed.
    pub account_sid: String,
    /// Its auth token; several while one takes the place of another.
    pub auth_tokens: Vec<Secret>,
    /// Where the service is reached from outside, as Twilio was told, without the path of the hook: `https://messages.example.com`.
    pub public_url: String,
}

/// Reads what Twilio posts.
#[derive(Debug)]
pub struct TwilioHook {
    account: AccountId,
    account_sid: String,
    auth_tokens: Vec<Secret>,
    public_url: String,
}

impl TwilioHook {
    /// Sets it up.
    ///
    /// # Errors
    /// [`Error`] when there is no account, no token, or the public URL is not one.
    pub fn new(settings: TwilioHookSettings) -> Result<Self, Error> {
        let TwilioHookSettings {
            account,
            account_sid,
            auth_tokens,
            public_url,
        } = settings;
        if account_sid.is_empty() {
            return Err(Error::setting(KIND, "the account SID", "is missing"));
        }
        // An empty token would sign for everybody.
        if auth_tokens.is_empty() || auth_tokens.iter().any(|token| token.expose().is_empty()) {
            return Err(Error::setting(KIND, "the auth token", "is missing"));
        }
        let is_url = public_url.starts_with("https://") || public_url.starts_with("http://");
        if !is_url || public_url.contains(['?', '#']) {
            return Err(Error::setting(
                KIND,
                "the public URL",
                "is not an http or https URL without a query",
            ));
        }
        Ok(Self {
            account,
            account_sid,
            auth_tokens,
            public_url: public_url.trim_end_matches('/').to_owned(),
        })
    }
}

#[async_trait]
impl Hook for TwilioHook {
    async fn read(&self, request: &HookRequest) -> Result<Vec<Event>, HookFault> {
        let url = format!("{}{}", self.public_url, request.path_and_query);
        let fields = verify(request, &url, &self.auth_tokens)?;
        if fields.one("AccountSid") != Some(self.account_sid.as_str()) {
            return Err(HookFault::Refused("other_account"));
        }
        let mut events = events::read(&fields, &url).ok_or(HookFault::Refused("no_message"))?;
        for event in &mut events {
            event.account = self.account.clone();
        }
        Ok(events)
    }
}

/// The fields of a request that one of the tokens signed for this address.
pub(super) fn verify(request: &HookRequest, url: &str, tokens: &[Secret]) -> Result<Fields, HookFault> {
    let refused = HookFault::Refused;
    if request.body.len() > MAX_BODY_BYTES {
        return Err(refused("too_large"));
    }
    let given = request.header(SIGNATURE).ok_or(refused("signature_missing"))?;
    let fields = Fields::read(request, url).ok_or(refused("body_unreadable"))?;
    let url = url.split('#').next().unwrap_or_default();
    signature::verify(given, url, &fields, &request.body, tokens).map_err(refused)?;
    Ok(fields)
}

/// The events of a request, whoever made it.
pub(crate) fn read_unverified(request: &HookRequest, url: &str) -> Option<Vec<Event>> {
    events::read(&Fields::read(request, url)?, url)
}
