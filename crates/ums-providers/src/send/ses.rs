//! Amazon SES, API v2: `POST /v2/email/outbound-emails`, JSON.
//!
//! - **Endpoint**: `https://email.<region>.amazonaws.com`, signed as service `ses`. Permissions: `ses:SendEmail`, and `ses:SendRawEmail` for raw MIME.
//! - **Accepted**: 200 with a `MessageId`. SES may still drop it (a virus); then an event follows.
//! - **Idempotency**: none; the ids travel as message tags.
//! - **Limits**: 50 recipients, 40 MB after base64, 15 custom headers (more go as raw MIME); quotas count recipients.
//! - **Cannot carry**: an address with other letters than ASCII before the `@`; a file with one of some 95 extensions, such as `.exe`. It
//!   replaces Message-ID and Date.
//! - **Adapts**: what simple content does not surely carry goes as raw MIME: more than 15 headers, a header over 996 bytes, a subject that
//!   looks like an encoded word; a file that is empty, has no extension, has parameters in its type, or is `message/*`.
//! - **Sources**: botocore 1.44.5 model `sesv2/2019-09-27`; Amazon SES developer guide (quotas, header fields, error messages);
//!   read 2026-11-22.

mod body;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use ums_core::{Accepted, Call, Email, Failure, FailureClass, Mailbox, Probe, Provider, ProviderKind};

use crate::Error;
use crate::aws::{self, AwsApi, AwsCredentials, AwsService};
use crate::classify::{Sent, refusal, refusal_by_status, success_without_id};
use crate::failure_table::{Row, Table};
use crate::http::{Answer, Transport};
use crate::sender::{Chosen, SenderRule};

const API: AwsApi = AwsApi {
    service: "ses",
    host: "email",
    send_path: "/v2/email/outbound-emails",
    content_type: "application/json",
};
const KIND: ProviderKind = ProviderKind::AwsSes;
/// Longest wait for a question that sends nothing.
pub(super) const ASK_TIME: Duration = Duration::from_secs(8);

const API_V2: &str = "Amazon SES API v2 reference, errors of SendEmail (botocore 1.44.5, sesv2/2019-09-27)";
const API_V1: &str = "Amazon SES API reference, common errors and errors of SendEmail and SendRawEmail (email/2010-12-01)";
const GUIDE: &str = "Amazon SES developer guide, \"Amazon SES email sending errors\" and \"Service quotas\"";

/// SES's own codes, `/` with what the adapter knows of the message; AWS's common ones are in [`aws::FAILURES`].
pub(crate) const FAILURES: Table = &[
    Row::of_code(
        "AccountSendingPaused",
        FailureClass::Misconfigured,
        "sending is disabled for the account",
        API_V1,
    ),
    Row::of_code(
        "AccountSuspended",
        FailureClass::Misconfigured,
        "the account may not send any more",
        API_V2,
    ),
    Row::of_code(
        "BadRequest",
        FailureClass::InvalidMessage,
        "the request is not valid, and its words name neither account nor sender",
        API_V2,
    ),
    Row::of_code("BadRequest", FailureClass::Unsupported, "SES's own rules for attachments", GUIDE).saying("attachment"),
    Row::of_code("BadRequest", FailureClass::Unsupported, "SES's own rules for headers", GUIDE).saying("header"),
    Row::of_code("BadRequest", FailureClass::Unsupported, "SES's own rules for message tags", API_V2).saying("tag"),
    Row::of_code("BadRequest", FailureClass::Unsupported, "SES takes 50 recipients", GUIDE).saying("recipient count"),
    Row::of_code("BadRequest", FailureClass::Unsupported, "a limit of SES", GUIDE).saying("too long"),
    Row::of_code("BadRequest", FailureClass::Unsupported, "a limit of SES", API_V2).saying("length less than or equal"),
    Row::of_code("BadRequest", FailureClass::Unsupported, "a limit of SES", GUIDE).saying("exceed"),
    Row::of_code(
        "BadRequest",
        FailureClass::Misconfigured,
        "a template of the account is missing",
        API_V2,
    )
    .saying("template"),
    Row::of_code(
        "BadRequest",
        FailureClass::Misconfigured,
        "SES does not take the configured sender",
        API_V2,
    )
    .saying("fromemailaddress"),
    Row::of_code(
        "BadRequest",
        FailureClass::Misconfigured,
        "SES does not take the configured return path",
        API_V2,
    )
    .saying("feedbackforwarding"),
    Row::of_code(
        "ConfigurationSetDoesNotExist",
        FailureClass::Misconfigured,
        "the account has no configuration set of that name",
        API_V1,
    ),
    Row::of_code(
        "ConfigurationSetSendingPaused",
        FailureClass::Misconfigured,
        "sending is disabled for the configuration set",
        API_V1,
    ),
    Row::of_code(
        "Conflict",
        FailureClass::Unavailable,
        "another change of the account is under way",
        API_V2,
    ),
    Row::of_code(
        "FromEmailAddressNotVerified",
        FailureClass::Misconfigured,
        "the sender is not verified",
        API_V1,
    ),
    Row::of_code(
        "InternalServiceError",
        FailureClass::Unknown,
        "SES failed after it had the request",
        API_V2,
    ),
    Row::of_code(
        "InvalidParameterValue",
        FailureClass::InvalidMessage,
        "a part of the request is not valid, and its words name neither account nor sender",
        API_V1,
    ),
    Row::of_code(
        "InvalidParameterValue",
        FailureClass::Unsupported,
        "SES's own rules for attachments",
        GUIDE,
    )
    .saying("extension"),
    Row::of_code(
        "InvalidParameterValue",
        FailureClass::Unsupported,
        "SES's own rules for headers",
        GUIDE,
    )
    .saying("header"),
    Row::of_code("InvalidParameterValue", FailureClass::Unsupported, "a limit of SES", GUIDE).saying("length"),
    Row::of_code(
        "InvalidRenderingParameter",
        FailureClass::Misconfigured,
        "a template of the account does not fit",
        API_V1,
    ),
    Row::of_code(
        "InvalidTemplate",
        FailureClass::Misconfigured,
        "a template of the account does not fit",
        API_V1,
    ),
    Row::of_code(
        "LimitExceeded",
        FailureClass::Misconfigured,
        "the account has too many of a resource",
        API_V2,
    ),
    Row::of_code(
        "LimitExceeded",
        FailureClass::QuotaExhausted,
        "the account's daily quota is used up",
        GUIDE,
    )
    .saying("daily"),
    Row::of_code(
        "LimitExceeded",
        FailureClass::Throttled,
        "more than the account's messages a second",
        GUIDE,
    )
    .saying("sending rate"),
    Row::of_code("LimitExceeded", FailureClass::Throttled, "too many calls a second", GUIDE).saying("rate exceeded"),
    Row::of_code(
        "MailFromDomainNotVerified",
        FailureClass::Misconfigured,
        "the MX record of the MAIL FROM domain is missing",
        API_V2,
    ),
    Row::of_code(
        "MessageRejected",
        FailureClass::InvalidMessage,
        "SES refused the content, and its words name neither account nor sender",
        API_V2,
    ),
    Row::of_code("MessageRejected", FailureClass::InvalidMessage, "the message holds a virus", GUIDE).saying("virus"),
    Row::of_code(
        "MessageRejected",
        FailureClass::Unsupported,
        "SES's own rules for attachments",
        GUIDE,
    )
    .saying("attachment"),
    Row::of_code(
        "MessageRejected",
        FailureClass::Unsupported,
        "SES's own rules for attachments",
        GUIDE,
    )
    .saying("extension"),
    Row::of_code(
        "MessageRejected/callers_sender",
        FailureClass::Unsupported,
        "the sender that the caller chose is not verified at SES",
        GUIDE,
    ),
    Row::of_code(
        "MessageRejected/sandbox",
        FailureClass::Misconfigured,
        "the account is in the sandbox: recipients must be verified, too",
        GUIDE,
    ),
    Row::of_code(
        "MessageRejected/sender",
        FailureClass::Misconfigured,
        "the configured sender is not verified",
        GUIDE,
    ),
    Row::of_code(
        "MissingRenderingAttribute",
        FailureClass::Misconfigured,
        "a template of the account does not fit",
        API_V1,
    ),
    Row::of_code(
        "NotFound",
        FailureClass::Misconfigured,
        "the account has no such configuration set, identity or template",
        API_V2,
    ),
    Row::of_code(
        "ProductionAccessNotGranted",
        FailureClass::Misconfigured,
        "the account is in the sandbox",
        API_V1,
    ),
    Row::of_code(
        "RequestAborted",
        FailureClass::Unknown,
        "SES broke off after it had the request",
        API_V2,
    ),
    Row::of_code("RequestEntityTooLarge", FailureClass::Unsupported, "SES takes 40 MB", GUIDE),
    Row::of_code(
        "SendingPaused",
        FailureClass::Misconfigured,
        "sending is paused for the account or the configuration set",
        API_V2,
    ),
    Row::of_code(
        "TemplateDoesNotExist",
        FailureClass::Misconfigured,
        "a template of the account is missing",
        API_V1,
    ),
];

const SANDBOX_ADVICE: &str = "the SES account is in the sandbox, so recipients must be verified too: request production access in the SES console (Account dashboard), or verify the recipient by `ums ses verify-sender ADDRESS`";
const SENDER_ADVICE: &str =
    "the sender is not verified at SES in this region: run `ums ses verify-sender ADDRESS`, or verify its domain in the SES console";

/// Settings of SES.
#[derive(Clone, Debug)]
pub struct SesSettings {
    /// Region; without one the environment, the profile or the instance is asked.
    pub region: Option<String>,
    /// The sender.
    pub from: Mailbox,
    /// Addresses and domains that callers may send from; without any, the sender's domain.
    pub senders: Vec<String>,
    /// Configuration set, which sends events.
    pub configuration_set: Option<String>,
    /// Another endpoint than the region's.
    pub base_url: Option<String>,
    /// Credentials.
    pub credentials: AwsCredentials,
}

/// Amazon SES.
#[derive(Debug)]
pub struct Ses {
    pub(super) aws: AwsService,
    sender: SenderRule,
    configuration_set: Option<String>,
}

impl Ses {
    /// Sets it up; nothing is opened or read before the first call.
    ///
    /// # Errors
    /// [`Error`] when the endpoint is not one.
    pub fn new(settings: SesSettings, transport: &Arc<Transport>) -> Result<Self, Error> {
        let SesSettings {
            region,
            from,
            senders,
            configuration_set,
            base_url,
            credentials,
        } = settings;
        let aws = AwsService::new(API, KIND, (credentials, region, base_url), Arc::clone(transport))?;
        Ok(Self {
            aws,
            sender: SenderRule::new(from, &senders),
            configuration_set,
        })
    }
}

#[async_trait]
impl Provider<Email> for Ses {
    fn kind(&self) -> ProviderKind {
        KIND
    }

    fn is_local(&self) -> bool {
        self.aws.is_local()
    }

    async fn send(&self, email: &Email, call: &Call) -> Result<Accepted, Failure> {
        let sender = self.sender.choose(email);
        let body = body::build(email, &sender, self.configuration_set.as_deref(), call, self.aws.now())?;
        let reply = self.aws.send(body, call.time_left).await?;
        let id = outcome(&reply.answer(self.aws.now()), Some(&sender))?;
        Ok(Accepted {
            simulated: reply.is_simulated(),
            from_substituted: sender.substituted,
            ..Accepted::new(id)
        })
    }

    fn can_be_asked(&self) -> bool {
        true
    }

    /// Asks `GetAccount`, which the usual policy for sending does not allow: then nothing is said. A key that AWS refuses can send nothing.
    async fn probe(&self) -> Probe {
        match self.aws.request(Method::GET, "/v2/email/account", Bytes::new(), ASK_TIME).await {
            Ok(reply) => read_account(&reply.answer(self.aws.now())),
            Err(failure) => Probe::Failed(failure),
        }
    }
}

/// What an answer to a send means: the message's id, or a failure.
pub(crate) fn outcome(answer: &Answer<'_>, sender: Option<&Chosen<'_>>) -> Result<String, Failure> {
    if answer.is_success() {
        let accepted: Option<SendEmailReply> = serde_json::from_slice(answer.body).ok();
        return accepted
            .map(|reply| reply.message_id)
            .filter(|id| !id.is_empty())
            .ok_or_else(|| success_without_id(answer));
    }
    let (code, message) = aws::json_error(answer.headers, answer.body);
    let Some(code) = code.or_else(|| (!message.is_empty()).then(String::new)) else {
        return Err(refusal_by_status(KIND, "SES answered without a readable error", answer));
    };
    let (row, advice) = row_of(&code, &message, sender);
    let sent = Sent {
        callers_sender: sender.is_some_and(|sender| sender.callers),
        ..Sent::UNKNOWN
    };
    let tables = &[FAILURES, aws::FAILURES];
    Err(refusal(KIND, tables, (row, sent), advice.unwrap_or(&message), answer))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmailReply {
    message_id: String,
}

/// The row of the table: the code, and whose address the text names.
fn row_of<'a>(code: &'a str, message: &str, sender: Option<&Chosen<'_>>) -> (&'a str, Option<&'static str>) {
    match code {
        "MessageRejected" | "MessageRejectedException" if message.contains("not verified") => {
            // "Email address is not verified. The following identities failed the check in region X: a, b"
            let failed = message.rsplit_once(": ").map_or("", |(_, identities)| identities);
            match sender {
                Some(sender) if !names(failed, sender.from) => ("MessageRejected/sandbox", Some(SANDBOX_ADVICE)),
                Some(sender) if sender.callers => ("MessageRejected/callers_sender", Some(SENDER_ADVICE)),
                Some(_) | None => ("MessageRejected/sender", Some(SENDER_ADVICE)),
            }
        }
        _ => (code, None),
    }
}

/// Whether a list of identities names a sender's address or domain. An empty list names it: SES checks the sender first.
fn names(identities: &str, from: &Mailbox) -> bool {
    let mut listed = identities
        .split(',')
        .map(|identity| identity.trim().trim_end_matches('.'))
        .filter(|identity| !identity.is_empty())
        .peekable();
    if listed.peek().is_none() {
        return true;
    }
    listed.any(|identity| {
        let address = identity.rsplit_once('<').map_or(identity, |(_, rest)| rest.trim_end_matches('>'));
        address.eq_ignore_ascii_case(from.address.expose()) || address.eq_ignore_ascii_case(from.address.domain())
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Account {
    sending_enabled: Option<bool>,
    enforcement_status: Option<String>,
    production_access_enabled: Option<bool>,
    send_quota: Option<SendQuota>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendQuota {
    max24_hour_send: f64,
    sent_last24_hours: f64,
}

/// What `GetAccount` says about sending.
fn read_account(answer: &Answer<'_>) -> Probe {
    if answer.status != 200 {
        let is_about_key = aws::json_error(answer.headers, answer.body)
            .0
            .is_some_and(|code| aws::is_about_key(&code));
        let refused = is_about_key.then(|| outcome(answer, None).err()).flatten();
        return refused.map_or(Probe::NoAnswer, Probe::Failed);
    }
    let Ok(account) = serde_json::from_slice::<Account>(answer.body) else {
        return Probe::NoAnswer;
    };
    let failed = |class, code: &str, words: &str| Probe::Failed(Failure::provider(class, code, words));
    if account.sending_enabled == Some(false) || account.enforcement_status.as_deref() == Some("SHUTDOWN") {
        return failed(
            FailureClass::Misconfigured,
            "SendingDisabled",
            "sending is disabled for the SES account; see the SES console",
        );
    }
    let quota_used_up = account
        .send_quota
        .is_some_and(|quota| quota.max24_hour_send >= 0.0 && quota.sent_last24_hours >= quota.max24_hour_send);
    if quota_used_up {
        return failed(
            FailureClass::QuotaExhausted,
            "DailyQuota",
            "the SES account's daily quota is used up",
        );
    }
    if account.production_access_enabled == Some(false) {
        // A sandbox account still reaches verified recipients: only a message can tell.
        return Probe::NoAnswer;
    }
    if account.sending_enabled == Some(true) {
        Probe::Healthy
    } else {
        Probe::NoAnswer
    }
}
