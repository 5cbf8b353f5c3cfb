//! The result that callers see, made from the record in one place.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt::{AttemptOutcome, AttemptRecord, OutcomeWord};
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

    /// The last attempt that a provider accepted: for the first recipient, else for others.
    pub fn carrier(&self) -> Option<&AttemptRecord> {
        let mut accepted = self
            .attempts
            .iter()
            .rev()
            .filter(|attempt| attempt.outcome == AttemptOutcome::Accepted);
        let of_first = accepted.clone().find(|attempt| attempt.recipients.contains(0));
        of_first.or_else(|| accepted.next())
    }

    /// Whether more than one provider has the message for the same recipient, or may have it.
    pub fn may_have_arrived_twice(&self) -> bool {
        (0..self.recipients.len()).any(|place| self.attempts.iter().filter(|attempt| attempt.may_have_reached(place)).count() > 1)
    }

    /// Why the message is not sent, or whom it is still held for; none when it is sent, delivered or scheduled, and nobody is held.
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

    /// Names the recipients who wait while the first one has an end.
    fn held_for(&self) -> String {
        let open = self.recipients.iter().filter(|recipient| !recipient.status.is_final());
        let named: Vec<String> = open
            .map(|recipient| match &recipient.reason {
                Some(reason) => format!("{} ({reason})", recipient.address),
                None => recipient.address.clone(),
            })
            .collect();
        let why = self.error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
        format!("not sent yet to {}{why}", named.join(", "))
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
    /// The message's id.
    pub message_id: MessageId,
    /// The first recipient.
    pub recipient_id: String,
    /// Where the message stands.
    pub status: Status,
    /// Its channel.
    pub channel: Channel,
    /// When a provider took it.
    pub sent_at: Option<Timestamp>,
    /// When a provider reported delivery.
    pub delivered_at: Option<Timestamp>,
    /// Why it is not sent, or whom it is still held for; null only when it is sent, delivered or scheduled, and nobody is held.
    pub error_message: Option<String>,
    /// Estimated cost with six decimals; null when no price is known.
    pub cost: Option<String>,
    /// Currency of the cost.
    pub currency: String,
    /// Whether more than one provider may have taken it for the same recipient.
    pub possibly_duplicate: bool,
    /// Whether nothing reached anybody: a simulator or the console took it.
    pub simulated: bool,
    /// How many recipients have no end yet: the message's word follows the first one.
    #[serde(default)]
    pub open_recipients: u32,
    /// Every recipient.
    pub recipients: Vec<RecipientResult>,
    /// The caller's own data, and `provider` and `provider_message_id` once it is sent.
    pub metadata: Metadata,
    /// Every attempt in order.
    pub attempts: Vec<AttemptResult>,
    /// Whether a process works on it right now; known inside the service only.
    #[serde(skip)]
    pub under_way: bool,
}

impl SendResult {
    /// The provider that took the message.
    pub fn provider(&self) -> Option<ProviderKind> {
        self.attempts
            .iter()
            .rev()
            .find(|attempt| attempt.outcome == OutcomeWord::Accepted)
            .map(|attempt| attempt.provider)
    }
}

/// Without the error message: it may name recipients who are held.
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
    /// The line it stands on.
    pub kind: RecipientKind,
    /// Where it stands.
    pub status: Status,
    /// Why, when the status does not say it.
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
    /// Which provider.
    pub provider: ProviderKind,
    /// How it ended.
    pub outcome: OutcomeWord,
    /// Class of the failure.
    pub class: Option<FailureClass>,
    /// The provider's code of the failure.
    pub code: Option<String>,
    /// How long the call took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Whether it went out from the provider's own sender, the caller's being in Reply-To.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_substituted: bool,
    /// Where it stands by the provider's feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Status>,
    /// Full addresses or numbers of those whom it carried, may have carried, or was to carry.
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
            called_at: _,
            outcome,
            class,
            code,
            detail: _,
            duration_ms,
            provider_message_id: _,
            simulated: _,
            from_substituted,
            cost_micros: _,
            reported,
            recipients: carried,
            refused: _,
            settled_by: _,
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
            recipients: carried.map(|(_, recipient)| recipient.address.clone()).collect(),
        }
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
