//! What is known of a message: its attempts, its recipients, why providers were skipped; and the
//! result that callers see, which is made from the record in one place.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::{
    AccountId, AttemptId, AttemptOutcome, Channel, EventRecord, FailureClass, Message, MessageId, Metadata, ProviderKind, RecipientKind,
    Status, Timestamp,
};

/// The token of a message that was just accepted.
pub const FIRST_TOKEN: i64 = 0;

/// One call to one provider, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its id.
    pub id: AttemptId,
    /// Which provider.
    pub provider: ProviderKind,
    /// Which account at the provider.
    pub account: AccountId,
    /// When the intent was recorded, just before the call.
    pub called_at: Timestamp,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Class of the failure.
    pub class: Option<FailureClass>,
    /// The provider's code of the failure.
    pub code: Option<String>,
    /// For people; redacted.
    pub detail: Option<String>,
    /// How long the call took.
    pub duration_ms: Option<u64>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// Whether nothing reached anybody.
    pub simulated: bool,
    /// Whether it went out from the provider's own sender.
    pub from_substituted: bool,
    /// Estimated cost in millionths of the currency; none when no price is known.
    pub cost_micros: Option<i64>,
    /// Where it stands by the provider's feedback: `sent`, `failed`, `delivered` or `bounced`; none without any. Of several recipients, the first
    /// one that the provider took it for counts.
    pub reported: Option<Status>,
}

impl AttemptRecord {
    /// The record of an attempt that is about to be made.
    pub fn intent(id: AttemptId, provider: ProviderKind, account: AccountId, called_at: Timestamp) -> Self {
        Self {
            id,
            provider,
            account,
            called_at,
            outcome: AttemptOutcome::Calling,
            class: None,
            code: None,
            detail: None,
            duration_ms: None,
            provider_message_id: None,
            simulated: false,
            from_substituted: false,
            cost_micros: None,
            reported: None,
        }
    }
}

/// A provider that was considered and passed over, with the reason, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Which provider.
    pub provider: ProviderKind,
    /// Which account at the provider.
    pub account: AccountId,
    /// When.
    pub at: Timestamp,
    /// Short stable word: `open`, `throttled`, `paced`, `quota`, `misconfigured`, `not_configured`, `via`, `time`, `degraded`, `bounce_rate`,
    /// `complaint_rate`.
    pub reason: String,
    /// For people.
    pub detail: String,
}

/// One recipient of a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientRecord {
    /// Full address or number.
    pub address: String,
    /// The line it stands on.
    pub kind: RecipientKind,
    /// Where it stands.
    pub status: Status,
    /// Why it stands there, when that is not clear from the status; redacted.
    pub reason: Option<String>,
}

impl fmt::Debug for RecipientRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.status)
    }
}

words! {
    /// What a caller or an operator did to a message.
    ActKind {
        /// Stopped it before it was sent.
        Cancelled = "cancelled",
        /// Had it sent again.
        Resent = "resent",
        /// Had it sent again together with others, after an outage.
        Replayed = "replayed",
        /// Said what became of it.
        Marked = "marked",
    }
}

/// Something that a caller or an operator did to a message, kept in its story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActRecord {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: ActKind,
    /// For people: where it stood before, and what was said.
    pub detail: String,
}

/// All that is known of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// The message as it was accepted.
    pub message: Arc<Message>,
    /// Where it stands.
    pub status: Status,
    /// When a provider took it.
    pub sent_at: Option<Timestamp>,
    /// When a provider reported delivery.
    pub delivered_at: Option<Timestamp>,
    /// When it is picked up next, for a queued or scheduled message.
    pub due_at: Option<Timestamp>,
    /// Why it stands where it stands, for people; redacted.
    pub error: Option<String>,
    /// Its recipients: to, cc, bcc in order.
    pub recipients: Vec<RecipientRecord>,
    /// Its attempts in order.
    pub attempts: Vec<AttemptRecord>,
    /// Providers that were passed over, in order.
    pub skips: Vec<Skip>,
    /// What callers and operators did, in order.
    pub acts: Vec<ActRecord>,
    /// What providers reported, in the order in which the store was told first. Only where one message is looked up, and in [`crate::Targets`]; empty in lists and
    /// claims.
    pub events: Vec<EventRecord>,
    /// The fence: grows whenever the message changes hands.
    pub token: i64,
}

impl MessageRecord {
    /// The record of a message that was just accepted.
    pub fn accepted(message: Arc<Message>, status: Status) -> Self {
        let recipients = message
            .content
            .recipients()
            .into_iter()
            .map(|(kind, address)| RecipientRecord {
                address,
                kind,
                status,
                reason: None,
            })
            .collect();
        Self {
            message,
            status,
            sent_at: None,
            delivered_at: None,
            due_at: None,
            error: None,
            recipients,
            attempts: Vec::new(),
            skips: Vec::new(),
            acts: Vec::new(),
            events: Vec::new(),
            token: FIRST_TOKEN,
        }
    }

    /// Whether an attempt may have been accepted and nobody knows.
    pub fn has_unknown_attempt(&self) -> bool {
        self.unknown_attempts() > 0
    }

    /// How many attempts may have been accepted.
    pub fn unknown_attempts(&self) -> usize {
        self.attempts
            .iter()
            .filter(|attempt| attempt.outcome == AttemptOutcome::Unknown)
            .count()
    }

    /// The result that callers see.
    pub fn result(&self) -> SendResult {
        let accepted = self
            .attempts
            .iter()
            .rev()
            .find(|attempt| attempt.outcome == AttemptOutcome::Accepted);
        let mut metadata = self.message.metadata.clone();
        if let Some(attempt) = accepted {
            metadata.insert("provider".into(), attempt.provider.as_str().into());
            metadata.insert("provider_message_id".into(), attempt.provider_message_id.clone().into());
        }
        let costs: Vec<i64> = self.attempts.iter().filter_map(|attempt| attempt.cost_micros).collect();
        let taken = self
            .attempts
            .iter()
            .filter(|attempt| matches!(attempt.outcome, AttemptOutcome::Accepted | AttemptOutcome::Unknown));
        let needs_error = !matches!(self.status, Status::Sent | Status::Delivered | Status::Scheduled);
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
            error_message: if needs_error {
                Some(self.error.clone().unwrap_or_else(|| self.status.to_string()))
            } else {
                None
            },
            cost: (!costs.is_empty()).then(|| format_micros(costs.iter().sum())),
            currency: "USD".to_owned(),
            possibly_duplicate: taken.count() > 1,
            simulated: accepted.is_some_and(|attempt| attempt.simulated),
            recipients: self.recipients.iter().map(RecipientResult::from).collect(),
            metadata,
            attempts: self.attempts.iter().map(AttemptResult::from).collect(),
        }
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
    /// Why it is not sent; null only when it is sent, delivered or scheduled.
    pub error_message: Option<String>,
    /// Estimated cost with six decimals; null when no price is known.
    pub cost: Option<String>,
    /// Currency of the cost.
    pub currency: String,
    /// Whether more than one provider may have taken it.
    pub possibly_duplicate: bool,
    /// Whether nothing reached anybody: a simulator or the console took it.
    pub simulated: bool,
    /// Every recipient.
    pub recipients: Vec<RecipientResult>,
    /// The caller's own data, and `provider` and `provider_message_id` once it is sent.
    pub metadata: Metadata,
    /// Every attempt in order.
    pub attempts: Vec<AttemptResult>,
}

impl SendResult {
    /// The provider that took the message.
    pub fn provider(&self) -> Option<ProviderKind> {
        self.attempts
            .iter()
            .rev()
            .find(|attempt| attempt.outcome == AttemptOutcome::Accepted)
            .map(|attempt| attempt.provider)
    }
}

impl fmt::Debug for SendResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SendResult({} {} {} {:?} {:?})",
            self.message_id, self.channel, self.status, self.error_message, self.attempts
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptResult {
    /// Which provider.
    pub provider: ProviderKind,
    /// How it ended.
    pub outcome: AttemptOutcome,
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
}

impl From<&AttemptRecord> for AttemptResult {
    fn from(record: &AttemptRecord) -> Self {
        Self {
            provider: record.provider,
            outcome: record.outcome,
            class: record.class,
            code: record.code.clone(),
            duration_ms: record.duration_ms,
            from_substituted: record.from_substituted,
            reported: record.reported,
        }
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
