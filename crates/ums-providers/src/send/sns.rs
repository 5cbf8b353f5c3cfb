//! Amazon SNS, `Publish` to a phone number: Query protocol (form in, XML out), API version 2010-03-31.
//!
//! - **Endpoint**: `POST https://sns.<region>.amazonaws.com/`, signed as service `sns`. Permission: `sns:Publish`.
//! - **Accepted**: 200 with a `MessageId`. SNS answers so for opted-out and blocked numbers and a used-up budget
//!   too: what became of the message stands only in its delivery logs.
//! - **Idempotency**: none for text messages; nothing of ours is echoed, the `MessageId` is the only key.
//! - **Limits**: 1,600 characters, split at whole words; 140 bytes a part.
//! - **Cannot carry**: an alphanumeric sender that the caller chose, to a country without them.
//! - **Sources**: botocore 1.44.5 model `sns/2010-03-31`; Amazon SNS developer guide, "Publishing to a mobile phone";
//!   read 2026-11-22.

mod sender_ids;
#[cfg(test)]
mod tests;
mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ums_core::{Accepted, Call, Failure, FailureClass, Provider, ProviderKind, Purpose, Sms, SmsSender};

use crate::Error;
use crate::aws::{self, AwsApi, AwsCredentials, AwsService};
use crate::classify::{Sent, refusal, refusal_by_status, success_without_id};
use crate::failure_table::{Row, Table};
use crate::form::{self, Form};
use crate::http::{Answer, Transport};

const API: AwsApi = AwsApi {
    service: "sns",
    host: "sns",
    send_path: "/",
    content_type: form::CONTENT_TYPE,
};
const KIND: ProviderKind = ProviderKind::AwsSns;

const API_REFERENCE: &str = "Amazon SNS API reference, errors of Publish (botocore 1.44.5, sns/2010-03-31)";
const GUIDE: &str = "Amazon SNS developer guide, \"Publishing to a mobile phone\"";

/// SNS's own codes, `/` with what the adapter knows of the message; AWS's common ones are in [`aws::FAILURES`].
pub(crate) const FAILURES: Table = &[
    Row::of_code(
        "EndpointDisabled",
        FailureClass::Misconfigured,
        "push only; a number has no endpoint",
        API_REFERENCE,
    ),
    Row::of_code(
        "InternalError",
        FailureClass::Unknown,
        "SNS failed after it had the request",
        API_REFERENCE,
    ),
    Row::of_code(
        "InvalidParameter",
        FailureClass::InvalidMessage,
        "the request is not valid, and its words name neither account nor sender",
        API_REFERENCE,
    ),
    Row::of_code("InvalidParameter", FailureClass::Unsupported, "SNS takes 1,600 characters", GUIDE).saying("too long"),
    Row::of_code(
        "InvalidParameter",
        FailureClass::Misconfigured,
        "the region sends no text messages to numbers",
        GUIDE,
    )
    .saying("topicarn"),
    Row::of_code(
        "InvalidParameter",
        FailureClass::Misconfigured,
        "the region sends no text messages to numbers",
        GUIDE,
    )
    .saying("targetarn"),
    Row::of_code(
        "InvalidParameter/callers_sender",
        FailureClass::Unsupported,
        "SNS does not take the sender that the caller chose",
        GUIDE,
    ),
    Row::of_code(
        "InvalidParameter/phone_number",
        FailureClass::InvalidRecipient,
        "SNS says that the number is none",
        API_REFERENCE,
    ),
    Row::of_code(
        "InvalidParameter/phone_number",
        FailureClass::RecipientBlocked,
        "the number's owner opted out",
        GUIDE,
    )
    .saying("opted out"),
    Row::of_code(
        "InvalidParameter/sender",
        FailureClass::Misconfigured,
        "SNS does not take the configured sender id",
        GUIDE,
    ),
    Row::of_code(
        "InvalidParameterValue",
        FailureClass::InvalidMessage,
        "the request is not valid, and its words name neither account nor sender",
        API_REFERENCE,
    ),
    Row::of_code(
        "InvalidSecurity",
        FailureClass::Misconfigured,
        "the signature is not accepted",
        API_REFERENCE,
    ),
    Row::of_code(
        "KMSAccessDenied",
        FailureClass::Misconfigured,
        "the account's key for encryption cannot be used",
        API_REFERENCE,
    ),
    Row::of_code(
        "KMSDisabled",
        FailureClass::Misconfigured,
        "the account's key for encryption cannot be used",
        API_REFERENCE,
    ),
    Row::of_code(
        "KMSInvalidState",
        FailureClass::Misconfigured,
        "the account's key for encryption cannot be used",
        API_REFERENCE,
    ),
    Row::of_code(
        "KMSNotFound",
        FailureClass::Misconfigured,
        "the account's key for encryption cannot be used",
        API_REFERENCE,
    ),
    Row::of_code(
        "KMSOptInRequired",
        FailureClass::Misconfigured,
        "the account's key for encryption cannot be used",
        API_REFERENCE,
    ),
    Row::of_code("KMSThrottling", FailureClass::Throttled, "too many calls a second", API_REFERENCE),
    Row::of_code(
        "NotFound",
        FailureClass::Misconfigured,
        "the account has no such resource",
        API_REFERENCE,
    ),
    Row::of_code(
        "OptedOut",
        FailureClass::RecipientBlocked,
        "the number's owner opted out",
        API_REFERENCE,
    ),
    Row::of_code(
        "ParameterValueInvalid",
        FailureClass::InvalidMessage,
        "the request is not valid, and its words name neither account nor sender",
        API_REFERENCE,
    ),
    Row::of_code(
        "PlatformApplicationDisabled",
        FailureClass::Misconfigured,
        "push only; a number has no application",
        API_REFERENCE,
    ),
    Row::of_code(
        "UserError",
        FailureClass::Misconfigured,
        "the account may not send to the number: sandbox, or no number of its own",
        API_REFERENCE,
    ),
    Row::of_code("UserError", FailureClass::RecipientBlocked, "the number's owner opted out", GUIDE).saying("opted out"),
    Row::of_code(
        "Validation",
        FailureClass::InvalidMessage,
        "the request is not valid, and its words name neither account nor sender",
        API_REFERENCE,
    ),
    Row::of_code(
        "ValidationError",
        FailureClass::InvalidMessage,
        "the request is not valid, and its words name neither account nor sender",
        API_REFERENCE,
    ),
];

/// Settings of SNS.
#[derive(Clone, Debug)]
pub struct SnsSettings {
    /// Region; without one the environment, the profile or the instance is asked.
    pub region: Option<String>,
    /// The sender that phones show, where the country allows one: 3 to 11 letters, digits or `-`, at least one letter.
    pub sender_id: Option<String>,
    /// Country calling codes where the sender id is registered, beyond those that need no registration.
    pub sender_id_registered: Vec<u16>,
    /// Another endpoint than the region's.
    pub base_url: Option<String>,
    /// Credentials.
    pub credentials: AwsCredentials,
}

/// Amazon SNS.
#[derive(Debug)]
pub struct Sns {
    aws: AwsService,
    sender_id: Option<String>,
    registered: Vec<u16>,
}

impl Sns {
    /// Sets it up; nothing is opened or read before the first call.
    ///
    /// # Errors
    /// [`Error`] when the endpoint is not one, or the sender id has a form that SNS refuses.
    pub fn new(settings: SnsSettings, transport: &Arc<Transport>) -> Result<Self, Error> {
        let SnsSettings {
            region,
            sender_id,
            sender_id_registered,
            base_url,
            credentials,
        } = settings;
        if sender_id.as_deref().is_some_and(|id| !sender_ids::is_well_formed(id)) {
            return Err(Error::setting(
                KIND,
                "the sender id",
                "must be 3 to 11 letters, digits or -, with at least one letter",
            ));
        }
        let aws = AwsService::new(API, KIND, (credentials, region, base_url), Arc::clone(transport))?;
        Ok(Self {
            aws,
            sender_id,
            registered: sender_id_registered,
        })
    }
}

#[async_trait]
impl Provider<Sms> for Sns {
    fn kind(&self) -> ProviderKind {
        KIND
    }

    fn is_local(&self) -> bool {
        self.aws.is_local()
    }

    async fn send(&self, sms: &Sms, call: &Call) -> Result<Accepted, Failure> {
        let body = body(sms, self.sender_id.as_deref(), &self.registered, call.purpose)?;
        let reply = self.aws.send(body, call.time_left).await?;
        let sent = Sent {
            callers_sender: sms.from.is_some(),
            one_recipient: true,
        };
        let id = outcome(&reply.answer(self.aws.now()), sent)?;
        Ok(Accepted {
            simulated: reply.is_simulated(),
            ..Accepted::new(id)
        })
    }
}

/// Who the message comes from, as a message attribute; nothing leaves it to the account.
fn sender_attribute<'a>(sms: &'a Sms, own: Option<&'a str>, registered: &[u16]) -> Result<Option<(&'static str, &'a str)>, Failure> {
    let unsupported = |words| Failure::local(FailureClass::Unsupported, "sender", words);
    let shown = sender_ids::is_shown_in(sms.to.country_code(), registered);
    match &sms.from {
        Some(number @ (SmsSender::Number(_) | SmsSender::ShortCode(_))) => Ok(Some(("AWS.MM.SMS.OriginationNumber", number.expose()))),
        Some(SmsSender::Alphanumeric(id)) if !sender_ids::is_well_formed(id) => Err(unsupported(
            "SNS takes a sender id of 3 to 11 letters, digits or -, with at least one letter",
        )),
        Some(SmsSender::Alphanumeric(_)) if !shown => Err(unsupported("the destination's country takes no unregistered sender id")),
        Some(SmsSender::Alphanumeric(id)) => Ok(Some(("AWS.SNS.SMS.SenderID", id))),
        None => Ok(own.filter(|_| shown).map(|id| ("AWS.SNS.SMS.SenderID", id))),
    }
}

/// Builds the request's body.
fn body(sms: &Sms, own: Option<&str>, registered: &[u16], purpose: Purpose) -> Result<Bytes, Failure> {
    let class = match purpose {
        Purpose::Otp | Purpose::Transactional => "Transactional",
        Purpose::Bulk => "Promotional",
    };
    let sender = sender_attribute(sms, own, registered)?;
    let mut form = Form::with_capacity(512 + sms.body.len() * 3);
    form.field("Action", "Publish")
        .field("Version", "2010-03-31")
        .field("PhoneNumber", sms.to.expose())
        .field("Message", &sms.body);
    attribute(&mut form, 1, ("AWS.SNS.SMS.SMSType", class));
    if let Some(sender) = sender {
        attribute(&mut form, 2, sender);
    }
    Ok(form.into_bytes())
}

fn attribute(form: &mut Form, number: u8, (name, value): (&str, &str)) {
    let entry = format!("MessageAttributes.entry.{number}");
    form.field(&format!("{entry}.Name"), name)
        .field(&format!("{entry}.Value.DataType"), "String")
        .field(&format!("{entry}.Value.StringValue"), value);
}

/// What an answer to a send means: the message's id, or a failure.
pub(crate) fn outcome(answer: &Answer<'_>, sent: Sent) -> Result<String, Failure> {
    if answer.is_success() {
        let id = xml::texts(answer.body, ["MessageId"])
            .and_then(|[id]| id)
            .filter(|id| !id.is_empty());
        return id.ok_or_else(|| success_without_id(answer));
    }
    let [code, message] = xml::texts(answer.body, ["Code", "Message"]).unwrap_or_default();
    if code.is_none() && message.is_none() {
        return Err(refusal_by_status(KIND, "SNS answered without a readable error", answer));
    }
    let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
    let row = row_of(&code, &message, sent);
    Err(refusal(KIND, &[FAILURES, aws::FAILURES], (row, sent), &message, answer))
}

/// Attributes of a message that name its sender, in lower case.
const SENDER_ATTRIBUTES: [&str; 2] = ["senderid", "originationnumber"];
/// Attributes that the account's settings give, in lower case: the sender's registration in India, and the highest price.
const ACCOUNT_ATTRIBUTES: [&str; 3] = ["entityid", "templateid", "maxprice"];

/// The row of the table: the code, and the parameter that the text names.
fn row_of<'a>(code: &'a str, message: &str, sent: Sent) -> &'a str {
    let message = message.to_ascii_lowercase();
    let names = |parameter: &str| message.contains(parameter);
    match code.strip_suffix("Exception").unwrap_or(code) {
        "InvalidParameter" if SENDER_ATTRIBUTES.iter().any(|name| names(name)) => {
            if sent.callers_sender {
                "InvalidParameter/callers_sender"
            } else {
                "InvalidParameter/sender"
            }
        }
        "InvalidParameter" if ACCOUNT_ATTRIBUTES.iter().any(|name| names(name)) => "InvalidParameter/sender",
        "InvalidParameter" if names("phonenumber") => "InvalidParameter/phone_number",
        _ => code,
    }
}
