//! The result that callers see, made from the record in one place.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt::{AttemptOutcome, AttemptRecord, OutcomeWord, SettledBy};
use crate::record::{MessageRecord, RecipientRecord};
use crate::{Channel, FailureClass, MessageId, Metadata, ProviderKind, RecipientKind, Status, Timestamp};

impl MessageRecord {
    /// The result that callers see.
    pub fn result(&self) -> SendResult {
        let carrier = self.carrier();
        let mut metadata = self.message.metadata.clone();
        if let Some(attempt) = carrier {
            metadata.insert("provider".into(), attempt.provider.as_str().into());
            metadata.insert("provider_message_id".into(), attempt.provider_message_id.clone().into());
        }
        let costs: Vec<i64> = self.attempts.iter().filter_map(|attempt| attempt.cost_micros).collect();
        SendResult {
            message_id: self.message.id,
            recipient_id: self
                .recipients
                .first()
                .map(|recipient| recipient.address.clone())
                .unwrap_or_default(),
            status: self.status,
            channel: self.message.content.channel(),
            sent_at: self.sent_at,
            delivered_at: self.delivered_at,
            error_message: self.error_message(),
            cost: (!costs.is_empty()).then(|| format_micros(costs.iter().sum())),
            currency: "USD".to_owned(),
            possibly_duplicate: self.may_have_arrived_twice(),
            simulated: carrier.is_some_and(|attempt| attempt.simulated),
            open_recipients: self.open_recipients().count(self.recipients.len()),
            recipients: self.recipients.iter().map(RecipientResult::from).collect(),
            metadata,
            attempts: self
                .attempts
                .iter()
                .map(|attempt| AttemptResult::of(attempt, &self.recipients))
                .collect(),
            under_way: self.is_under_way(),
        }
    }

    /// The last accepted attempt that carried the first recipient; else the last accepted attempt.
    pub fn carrier(&self) -> Option<&AttemptRecord> {
        let mut accepted = self
            .attempts
            .iter()
            .rev()
            .filter(|attempt| attempt.outcome == AttemptOutcome::Accepted);
        let of_first = accepted.clone().find(|attempt| attempt.recipients.contains(0));
        of_first.or_else(|| accepted.next())
    }

    /// Whether more than one attempt carried the same recipient, or may have.
    pub fn may_have_arrived_twice(&self) -> bool {
        (0..self.recipients.len()).any(|place| self.attempts.iter().filter(|attempt| attempt.may_have_reached(place)).count() > 1)
    }

    /// Why the message is not sent, or which recipients are held; none if the message is sent, delivered or scheduled and no recipient is held.
    fn error_message(&self) -> Option<String> {
        let is_partly_done = self.status.is_final() && !self.has_ended();
        if is_partly_done {
            return Some(self.held_for());
        }
        if matches!(self.status, Status::Sent | Status::Delivered | Status::Scheduled) {
            return None;
        }
        Some(self.error.clone().unwrap_or_else(|| self.status.to_string()))
    }

    /// Names the open recipients of a message whose first recipient has an end, each with the recipient's own reason, else the message's.
    fn held_for(&self) -> String {
        let open = || self.recipients.iter().filter(|recipient| !recipient.status.is_final());
        let named: Vec<String> = open()
            .map(|recipient| match &recipient.reason {
                Some(reason) => format!("{} ({reason})", recipient.address),
                None => recipient.address.clone(),
            })
            .collect();
        let is_explained = open().all(|recipient| recipient.reason.is_some());
        let rest = match &self.error {
            Some(error) if !is_explained => format!(": {error}"),
            Some(_) | None if self.is_under_way() => String::new(),
            Some(_) | None => "; tried again later".to_owned(),
        };
        format!("not sent yet to {}{rest}", named.join(", "))
    }
}

/// Money in millionths as a decimal with six digits.
pub fn format_micros(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:06}",
        micros.unsigned_abs() / 1_000_000,
        micros.unsigned_abs() % 1_000_000
    )
}

/// The result of a send: the same over HTTP, in Rust, in Python and on the command line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendResult {
    /// Id of the message.
    pub message_id: MessageId,
    /// Full address or number of the first recipient.
    pub recipient_id: String,
    /// The message's word: it follows the first recipient.
    pub status: Status,
    /// The message's channel.
    pub channel: Channel,
    /// When a provider took the message.
    pub sent_at: Option<Timestamp>,
    /// When a provider reported delivery.
    pub delivered_at: Option<Timestamp>,
    /// Why the message is not sent, or which recipients are held; null only if the message is sent, delivered or scheduled and no recipient is
    /// held.
    pub error_message: Option<String>,
    /// Estimated cost with six decimals; null if no provider has a known price.
    pub cost: Option<String>,
    /// Currency of the cost.
    pub currency: String,
    /// Whether more than one attempt carried the same recipient, or may have.
    pub possibly_duplicate: bool,
    /// Whether a simulator or the console took the message: nothing reached anybody.
    pub simulated: bool,
    /// Number of recipients without an end: they are held, or in a call. The status follows the first recipient and does not tell of others.
    #[serde(default)]
    pub open_recipients: u32,
    /// Every recipient, with a status of its own.
    pub recipients: Vec<RecipientResult>,
    /// The caller's own data; with `provider` and `provider_message_id` once a provider took the message.
    pub metadata: Metadata,
    /// Every attempt, in order of the calls.
    pub attempts: Vec<AttemptResult>,
    /// Whether the message is in a process's hand; known inside the service only.
    #[serde(skip)]
    pub under_way: bool,
}

impl SendResult {
    /// The provider that took the message: for the first recipient, else for others.
    pub fn provider(&self) -> Option<ProviderKind> {
        let mut accepted = self
            .attempts
            .iter()
            .rev()
            .filter(|attempt| attempt.outcome == OutcomeWord::Accepted);
        let of_first = accepted.clone().find(|attempt| attempt.recipients.contains(&self.recipient_id));
        of_first.or_else(|| accepted.next()).map(|attempt| attempt.provider)
    }
}

/// Leaves out the error message, which may name held recipients.
impl fmt::Debug for SendResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SendResult({} {} {} open {} {:?})",
            self.message_id, self.channel, self.status, self.open_recipients, self.attempts
        )
    }
}

/// One recipient in a result.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientResult {
    /// Full address or number.
    pub address: String,
    /// The recipient's line: to, cc or bcc.
    pub kind: RecipientKind,
    /// The recipient's own status.
    pub status: Status,
    /// The reason for the status, where the status does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<&RecipientRecord> for RecipientResult {
    fn from(record: &RecipientRecord) -> Self {
        Self {
            address: record.address.clone(),
            kind: record.kind,
            status: record.status,
            reason: record.reason.clone(),
        }
    }
}

impl fmt::Debug for RecipientResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.status)
    }
}

/// One attempt in a result.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// The provider.
    pub provider: ProviderKind,
    /// Outcome of the call.
    pub outcome: OutcomeWord,
    /// Class of the failure.
    pub class: Option<FailureClass>,
    /// The provider's code of the failure.
    pub code: Option<String>,
    /// Length of the call in milliseconds.
    pub duration_ms: Option<u64>,
    /// Whether the provider replaced the caller's sender by its own; the caller's sender is in Reply-To then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_substituted: bool,
    /// The attempt's status by the provider's feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Status>,
    /// Time of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_at: Option<Timestamp>,
    /// Who settled the outcome, if the call did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<SettledBy>,
    /// When an unknown outcome was settled. The outcome was unknown to every attempt whose `called_at` is earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_until: Option<Timestamp>,
    /// Full addresses or numbers of the recipients whom the attempt carried, may have carried, or was to carry.
    #[serde(default)]
    pub recipients: Vec<String>,
}

impl AttemptResult {
    /// Names every fact of the record: callers see it, or they do not.
    fn of(record: &AttemptRecord, recipients: &[RecipientRecord]) -> Self {
        let AttemptRecord {
            id: _,
            provider,
            account: _,
            called_at,
            outcome,
            class,
            code,
            detail: _,
            duration_ms,
            provider_message_id: _,
            simulated: _,
            from_substituted,
            cost_micros: _,
            price_micros: _,
            reported,
            recipients: carried,
            refused: _,
            settled_by,
            unknown_until,
        } = record;
        let carried = recipients.iter().enumerate().filter(|(place, _)| carried.contains(*place));
        Self {
            provider: *provider,
            outcome: outcome.word(),
            class: *class,
            code: code.clone(),
            duration_ms: *duration_ms,
            from_substituted: *from_substituted,
            reported: *reported,
            called_at: Some(*called_at),
            settled_by: *settled_by,
            unknown_until: *unknown_until,
            recipients: carried.map(|(_, recipient)| recipient.address.clone()).collect(),
        }
    }
}

impl AttemptResult {
    /// Whether the outcome was unknown at that time after the call.
    pub fn was_unknown_at(&self, at: Timestamp) -> bool {
        self.outcome == OutcomeWord::Unknown || self.unknown_until.is_some_and(|until| at < until)
    }
}

impl fmt::Debug for AttemptResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?} {:?}", self.provider, self.outcome, self.class, self.code)
    }
}

/// Whole milliseconds of a duration.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_six_decimals() {
        assert_eq!(format_micros(100), "0.000100");
        assert_eq!(format_micros(-1_500_000), "-1.500000");
    }
}
