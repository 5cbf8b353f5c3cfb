//! What follows long after a message: told by hand, as nobody here reads mail or answers texts.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::keys::digest_hex;
use super::{Report, sendgrid, ses, twilio};
use crate::recorder::Draft;
use crate::{Provider, clock};

/// An event of a message that was delivered, or that is on its way.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// The recipient says that it is spam.
    Complaint,
    /// The recipient opened it.
    Open,
    /// The recipient followed a link.
    Click,
    /// The recipient does not want more.
    Unsubscribe,
    /// It is not delivered yet.
    Delay,
    /// It came back for now: the mailbox is full.
    SoftBounce,
    /// The recipient of a text answers it.
    Reply,
}

/// What is to be told, and of whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Told {
    pub(crate) event: Word,
    /// The first recipient without it.
    #[serde(default)]
    pub(crate) recipient: Option<String>,
    /// The answer, for `reply`.
    #[serde(default)]
    pub(crate) text: Option<String>,
}

/// Makes the report; none if the provider has no such event.
pub(super) fn compose(draft: &Draft, to: &str, told: &Told) -> Option<Report> {
    let message = &draft.message;
    let first = [&message.to, &message.cc, &message.bcc].into_iter().flatten().next();
    let recipient = told.recipient.as_deref().or(first.map(String::as_str))?;
    if !message.is_for(recipient) {
        return None;
    }
    match message.provider {
        Provider::Ses => of_ses(draft, told.event, recipient),
        Provider::SendGrid => of_sendgrid(draft, told.event, recipient),
        Provider::Twilio => match told.event {
            Word::Reply => twilio::inbound(draft, to, told.text.as_deref().unwrap_or("STOP")),
            Word::Complaint | Word::Open | Word::Click | Word::Unsubscribe | Word::Delay | Word::SoftBounce => None,
        },
        Provider::Sns | Provider::Smtp => None,
    }
}

fn of_ses(draft: &Draft, word: Word, recipient: &str) -> Option<Report> {
    let now = ses::time(clock::now());
    let feedback = digest_hex(&format!("{} {recipient} {word:?}", draft.message.id));
    let reader = json!({"ipAddress": "127.0.0.1", "timestamp": now, "userAgent": "ums-simulator"});
    let (kind, key, detail) = match word {
        Word::Complaint => (
            "Complaint",
            "complaint",
            json!({
                "complainedRecipients": [{"emailAddress": recipient}],
                "timestamp": now,
                "feedbackId": feedback,
                "complaintSubType": null,
                "complaintFeedbackType": "abuse",
                "userAgent": "ums-simulator",
                "arrivalDate": now,
            }),
        ),
        Word::Open => ("Open", "open", reader),
        Word::Click => {
            let mut click = reader;
            click["link"] = "https://example.com/".into();
            click["linkTags"] = json!({});
            ("Click", "click", click)
        }
        Word::Delay => (
            "DeliveryDelay",
            "deliveryDelay",
            json!({
                "delayType": "TransientCommunicationFailure",
                "delayedRecipients": [{
                    "emailAddress": recipient,
                    "status": "4.4.1",
                    "diagnosticCode": "smtp; 421 4.4.1 unable to connect",
                }],
                "timestamp": now,
            }),
        ),
        Word::SoftBounce => (
            "Bounce",
            "bounce",
            json!({
                "feedbackId": feedback,
                "bounceType": "Transient",
                "bounceSubType": "MailboxFull",
                "bouncedRecipients": [{
                    "emailAddress": recipient,
                    "action": "failed",
                    "status": "5.2.2",
                    "diagnosticCode": "smtp; 552 5.2.2 mailbox full",
                }],
                "timestamp": now,
                "reportingMTA": "dsn; ums-simulator.invalid",
            }),
        ),
        Word::Unsubscribe | Word::Reply => return None,
    };
    Some(ses::report(
        &draft.message,
        &format!("{word:?} {recipient}"),
        &ses::event(&draft.message, kind, key, detail),
    ))
}

fn of_sendgrid(draft: &Draft, word: Word, recipient: &str) -> Option<Report> {
    let reader = json!({"ip": "127.0.0.1", "useragent": "ums-simulator"});
    let (kind, detail) = match word {
        Word::Complaint => ("spamreport", json!({})),
        Word::Open => ("open", reader),
        Word::Click => (
            "click",
            json!({"ip": "127.0.0.1", "useragent": "ums-simulator", "url": "https://example.com/"}),
        ),
        Word::Unsubscribe => ("unsubscribe", json!({})),
        Word::Delay => ("deferred", json!({"response": "421 4.4.1 unable to connect", "attempt": "1"})),
        Word::SoftBounce => (
            "bounce",
            json!({
                "type": "blocked",
                "reason": "552 5.2.2 mailbox full",
                "status": "5.2.2",
                "bounce_classification": "Mailbox Unavailable",
            }),
        ),
        Word::Reply => return None,
    };
    let message = &draft.message;
    let place = [&message.to, &message.cc, &message.bcc]
        .into_iter()
        .flatten()
        .position(|it| it.eq_ignore_ascii_case(recipient))?;
    let event = sendgrid::event(message, (place, recipient), kind, detail);
    Some(Report::SendGrid(vec![Arc::new(event)]))
}
