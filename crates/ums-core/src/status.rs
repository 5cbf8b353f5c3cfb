//! The life of a message: the statuses, and the moves between them.

use crate::channel::words;

words! {
    /// The status of a message or of a recipient.
    Status {
        /// Accepted, not yet claimed.
        Pending = "pending",
        /// Waits for its `send_at`.
        Scheduled = "scheduled",
        /// Held, or waits for a retry.
        Queued = "queued",
        /// An intent to call a provider is committed.
        Sending = "sending",
        /// A provider took the message.
        Sent = "sent",
        /// A provider reported delivery.
        Delivered = "delivered",
        /// A provider reported a bounce.
        Bounced = "bounced",
        /// No provider took the message, and no provider is tried any more.
        Failed = "failed",
        /// The message's time ran out before a provider took it.
        Expired = "expired",
        /// The caller cancelled the message.
        Cancelled = "cancelled",
        /// The recipient is on the suppression list, ours or the provider's.
        Suppressed = "suppressed",
        /// The recipient opted out.
        Unsubscribed = "unsubscribed",
        /// No provider is tried any more, and a provider may have taken the message.
        Unknown = "unknown",
    }
}

impl Status {
    /// Whether the status is an end: the service tries nothing more by itself.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Scheduled | Self::Queued | Self::Sending)
    }

    /// Whether a provider is known to have taken the message.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Sent | Self::Delivered)
    }

    /// Whether the status says that no provider took the message.
    pub const fn says_not_sent(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Expired | Self::Cancelled | Self::Suppressed | Self::Unsubscribed
        )
    }

    /// Whether `next` may follow this status: the legal moves of the status that a store keeps.
    pub const fn may_become(self, next: Self) -> bool {
        use Status as S;
        match self {
            S::Pending => !matches!(next, S::Pending | S::Delivered | S::Bounced),
            S::Scheduled => matches!(
                next,
                S::Pending | S::Queued | S::Sending | S::Cancelled | S::Expired | S::Failed | S::Suppressed | S::Unsubscribed
            ),
            S::Queued => !matches!(next, S::Pending | S::Scheduled),
            S::Sending => !matches!(next, S::Pending | S::Scheduled | S::Cancelled),
            // A failure by feedback leaves `unknown` where another attempt may have been accepted. A provider that took the message and then
            // kept it back because of its own unsubscribe list leaves it to the next provider, or ends it as unsubscribed (mail to many).
            S::Sent => matches!(
                next,
                S::Delivered | S::Bounced | S::Failed | S::Unknown | S::Queued | S::Unsubscribed
            ),
            // One attempt's delivery bounced; another attempt may still be `sent`.
            S::Delivered => matches!(next, S::Bounced | S::Sent),
            S::Bounced => matches!(next, S::Sent | S::Delivered),
            // Late feedback may settle these; an operator may resend them. After the first recipient has failed, an attempt for others may
            // become unknown.
            S::Failed => matches!(next, S::Sent | S::Delivered | S::Bounced | S::Queued | S::Unknown),
            S::Expired => matches!(next, S::Sent | S::Delivered | S::Bounced | S::Queued | S::Failed),
            S::Unknown => matches!(next, S::Sent | S::Delivered | S::Bounced | S::Queued | S::Failed | S::Expired),
            // Only a provider that said it kept the message back may say later that it sent it after all, or why else it did not.
            S::Unsubscribed => matches!(next, S::Sent | S::Delivered | S::Bounced | S::Failed),
            S::Cancelled | S::Suppressed => false,
        }
    }
}

words! {
    /// Which line of the message an e-mail recipient stands on; a text message has one `to`.
    RecipientKind {
        /// Main recipient.
        To = "to",
        /// Carbon copy.
        Cc = "cc",
        /// Blind carbon copy.
        Bcc = "bcc",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn opted_out_and_cancelled_messages_stay_so() {
        for status in [Status::Cancelled, Status::Suppressed] {
            assert!(Status::ALL.iter().all(|next| !status.may_become(*next)), "{status}");
        }
        let may_follow = |next: &&Status| Status::Unsubscribed.may_become(**next);
        let by_late_reports: Vec<Status> = Status::ALL.iter().filter(may_follow).copied().collect();
        assert_eq!(by_late_reports, [Status::Sent, Status::Delivered, Status::Bounced, Status::Failed]);
    }

    #[test]
    fn late_feedback_settles_an_unknown_message() {
        assert!(Status::Unknown.may_become(Status::Delivered));
        assert!(Status::Expired.may_become(Status::Sent));
        assert!(!Status::Delivered.may_become(Status::Failed));
    }

    #[test]
    fn a_scheduled_message_that_no_provider_takes_ends_as_failed() {
        assert!(Status::Scheduled.may_become(Status::Failed));
    }

    proptest! {
        #[test]
        fn every_walk_that_ends_stays_final(start in 0..Status::ALL.len(), steps in prop::collection::vec(0..Status::ALL.len(), 0..30)) {
            let mut at = Status::ALL[start];
            for step in steps {
                let next = Status::ALL[step];
                if at.may_become(next) {
                    // Only an operator's resend, and a provider that kept back what it took, take a final message back to the queue.
                    prop_assert!(!at.is_final() || next.is_final() || next == Status::Queued);
                    at = next;
                }
            }
        }
    }
}
