//! Twilio's status callbacks, signed with the token that the message came under.
//!
//! Parameters and signature: twilio.com/docs, "Track the message status of outbound messages" and
//! "Validating requests are coming from Twilio", read November 2026. Under an API key the real Twilio
//! signs with the account's token, which the simulator never sees: it takes the key's secret.

use std::sync::Arc;

use hyper::Uri;

use super::keys::{digest_hex, twilio_signature};
use super::{End, Report, Request};
use crate::form;
use crate::recorder::{Draft, Token};
use crate::{Error, SimMessage, clock};

/// Unknown destination handset: how a hard bounce is called here.
const UNKNOWN_HANDSET: &str = "30005";

/// The number that a messaging service sends from here: one of Twilio's test numbers.
const SERVICE_NUMBER: &str = "+15005550006";

/// One call back.
#[derive(Debug)]
pub(crate) struct Callback {
    /// As the message named it, without its fragment: the signature is made over it.
    url: String,
    token: Token,
    /// In the order of their names, as they are signed.
    pairs: Vec<(&'static str, String)>,
}

/// Composes what is reported of a message; nothing unless it wants to be called below `to`.
pub(super) fn compose(draft: &Draft, to: &str) -> Vec<Report> {
    let message = &draft.message;
    let url = message.params.get("StatusCallback").map(String::as_str).unwrap_or_default();
    let url = url.split('#').next().unwrap_or_default();
    let Some(token) = draft.token.as_ref().filter(|_| lies_below(url, to)) else {
        return Vec::new();
    };
    let mut statuses = vec![("sent", None)];
    match End::of(message.fault) {
        End::Silent | End::Dropped => {}
        End::Delivered => statuses.push(("delivered", None)),
        End::Bounced => statuses.push(("undelivered", Some(UNKNOWN_HANDSET))),
    }
    let callback = |(status, code)| {
        Report::Twilio(Arc::new(Callback {
            url: url.to_owned(),
            token: token.clone(),
            pairs: pairs(message, status, code),
        }))
    };
    statuses.into_iter().map(callback).collect()
}

/// The recipient's answer, as it comes to the service's own hook.
pub(super) fn inbound(draft: &Draft, to: &str, text: &str) -> Option<Report> {
    let message = &draft.message;
    let param = |name: &str| message.params.get(name).filter(|value| !value.is_empty()).cloned();
    let word = text.trim().to_ascii_uppercase();
    let id = format!("SM{}", &digest_hex(&format!("{} {word} {}", message.id, clock::now()))[..32]);
    let mut pairs = vec![
        ("AccountSid", param("AccountSid").unwrap_or_default()),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("Body", text.to_owned()),
        ("From", message.to.first().cloned().unwrap_or_default()),
        ("MessageSid", id.clone()),
        ("NumMedia", "0".to_owned()),
        ("NumSegments", "1".to_owned()),
        ("SmsMessageSid", id.clone()),
        ("SmsSid", id),
        ("SmsStatus", "received".to_owned()),
        ("To", param("From").unwrap_or_else(|| SERVICE_NUMBER.to_owned())),
    ];
    if let Some(service) = param("MessagingServiceSid") {
        pairs.push(("MessagingServiceSid", service));
    }
    // Advanced Opt-Out says what it understood.
    if ["STOP", "START", "HELP"].contains(&word.as_str()) {
        pairs.push(("OptOutType", word));
    }
    pairs.sort_unstable_by_key(|(name, _)| *name);
    Some(Report::Twilio(Arc::new(Callback {
        url: format!("{}/hooks/twilio", to.trim_end_matches('/')),
        token: draft.token.clone()?,
        pairs,
    })))
}

fn pairs(message: &SimMessage, status: &str, code: Option<&str>) -> Vec<(&'static str, String)> {
    let param = |name: &str| message.params.get(name).filter(|value| !value.is_empty()).cloned();
    let mut pairs = vec![
        ("AccountSid", param("AccountSid").unwrap_or_default()),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("From", param("From").unwrap_or_else(|| SERVICE_NUMBER.to_owned())),
        ("MessageSid", message.id.clone()),
        ("MessageStatus", status.to_owned()),
        ("SmsSid", message.id.clone()),
        ("SmsStatus", status.to_owned()),
        ("To", message.to.first().cloned().unwrap_or_default()),
    ];
    if let Some(service) = param("MessagingServiceSid") {
        pairs.push(("MessagingServiceSid", service));
    }
    if let Some(code) = code {
        pairs.push(("ErrorCode", code.to_owned()));
    }
    pairs.sort_unstable_by_key(|(name, _)| *name);
    pairs
}

/// Tells whether the address is at the same host and below the same path.
fn lies_below(url: &str, to: &str) -> bool {
    let (Ok(url), Ok(to)) = (url.parse::<Uri>(), to.parse::<Uri>()) else {
        return false;
    };
    let base = to.path().trim_end_matches('/');
    let is_below = url.path().strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    url.authority().is_some() && url.scheme() == to.scheme() && url.authority() == to.authority() && is_below
}

impl Callback {
    /// Checks the place again: it may have been told another since.
    pub(super) fn request(&self, to: &str) -> Result<Request, Error> {
        const ELSEWHERE: Error = Error::Setting("the status callback lies elsewhere");
        if !lies_below(&self.url, to) {
            return Err(ELSEWHERE);
        }
        let mut text = self.url.clone();
        let mut repeated = self.url.clone();
        for (name, value) in &self.pairs {
            text.push_str(name);
            text.push_str(value);
            repeated.push_str(value);
        }
        let body = form::encode(&self.pairs);
        Ok(Request {
            uri: self.url.parse().map_err(|_| ELSEWHERE)?,
            headers: vec![
                ("content-type", "application/x-www-form-urlencoded; charset=UTF-8".to_owned()),
                ("user-agent", "TwilioProxy/1.1".to_owned()),
                ("x-twilio-signature", twilio_signature(self.token.expose(), text.as_bytes())),
                ("i-twilio-idempotency-token", digest_hex(&repeated)),
            ],
            body: body.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::lies_below;

    #[test]
    fn only_the_service_itself_is_called_back() {
        let check = |url: &str, to: &str, expected: bool| assert_eq!(lies_below(url, to), expected, "{url} below {to}");
        check("http://127.0.0.1:8080/hooks/twilio?a=1", "http://127.0.0.1:8080", true);
        check("http://127.0.0.1:8080/ums/hooks/twilio", "http://127.0.0.1:8080/ums/", true);
        check("http://127.0.0.1:8080/umsx/hooks", "http://127.0.0.1:8080/ums", false);
        check("http://127.0.0.1:8081/hooks/twilio", "http://127.0.0.1:8080", false);
        check("https://127.0.0.1:8080/hooks/twilio", "http://127.0.0.1:8080", false);
        check("http://127.0.0.1:8080@example.com/hooks", "http://127.0.0.1:8080", false);
        check("http://127.0.0.1:8080.example.com/hooks", "http://127.0.0.1:8080", false);
        check("http://me@127.0.0.1:8080/hooks", "http://127.0.0.1:8080", false);
        check("", "http://127.0.0.1:8080", false);
    }
}
