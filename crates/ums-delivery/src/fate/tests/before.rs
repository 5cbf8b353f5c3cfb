//! A second opinion on messages to one recipient: the rules as they were when a message had one status for all its recipients, written
//! without sets of recipients. Where the core differs on purpose, a comment says so.

use std::time::Duration;

use ums_core::{
    AttemptOutcome, AttemptRecord, Channel, Duplicates, FailureClass, MessageRecord, NextProvider, NotCalled, OnExhausted, Purpose, Status,
    Suppression, Timestamp, Work, suppression_address,
};

use super::super::{Act, Answer, Happened, Mark, Search, Stopped, causes, turn};
use crate::rules::Rules;

const MAX_UNKNOWN: usize = 2;

/// What happened, as far as these rules ask.
pub(super) enum Seen<'a> {
    Waits(Status, Timestamp),
    Stopped(Stopped),
    Due,
    PutOff(Duration),
    Slot,
    NoSlot(Search),
    Ended(&'a Answer),
    NotCalled(NotCalled),
    OptedOut(&'a [Suppression]),
}

impl<'a> Seen<'a> {
    pub(super) fn of(happened: &Happened<'a>, now: Timestamp) -> Self {
        match happened {
            Happened::Scheduled(at) => Self::Waits(Status::Scheduled, *at),
            Happened::Enqueued | Happened::Closing => Self::Waits(Status::Queued, now),
            Happened::Stopped(stopped) => Self::Stopped(stopped.clone()),
            Happened::Due => Self::Due,
            Happened::PutOff(wait) => Self::PutOff(*wait),
            Happened::Slot(_) => Self::Slot,
            Happened::NoSlot(search) => Self::NoSlot(*search),
            Happened::CallEnded(answer) => Self::Ended(answer),
            Happened::NotCalled(why) => Self::NotCalled(*why),
            Happened::OptedOut(entries) => Self::OptedOut(entries),
        }
    }
}

/// The message under the old rules.
pub(super) struct Before<'a> {
    /// With the attempts as they are after what happened.
    pub(super) record: MessageRecord,
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
}

impl Before<'_> {
    /// Where the message stands.
    pub(super) fn after(mut self, seen: &Seen<'_>) -> MessageRecord {
        let error = self.record.error.clone();
        match seen {
            Seen::Waits(status, at) => self.stand(*status, error, Work::Due(*at)),
            Seen::Stopped(stopped) => self.stop(stopped),
            Seen::Due => self.must_not_be_sent(),
            Seen::PutOff(wait) => {
                let until = (self.now + *wait).min(self.record.message.expires_at);
                self.stand(Status::Queued, error, Work::Due(until));
            }
            Seen::Slot => (self.record.status, self.record.work) = (Status::Sending, Work::InHand),
            Seen::NoSlot(search) => self.exhausted(*search),
            Seen::Ended(answer) => self.what_follows(answer),
            Seen::NotCalled(why) => self.stand(Status::Queued, Some(format!("put back: {why}")), Work::Due(self.now)),
            Seen::OptedOut(entries) => self.leave_out(entries),
        }
        self.record
    }

    /// Where an act puts the message; none when it is not possible. The time of the act is that of its row.
    pub(super) fn acted(mut self, what: Act, at: Timestamp) -> Option<MessageRecord> {
        let record = &self.record;
        let (status, is_final) = (record.status, record.status.is_final());
        match what {
            Act::Cancel if is_final || record.work == Work::InHand => return None,
            Act::Cancel if record.has_unknown_attempt() => {
                let error = "cancelled, but a provider may have taken it before";
                self.stand(Status::Unknown, Some(error.to_owned()), Work::Ended);
            }
            Act::Cancel => self.stand(Status::Cancelled, Some("cancelled before it was sent".to_owned()), Work::Ended),
            Act::Resend if !matches!(status, Status::Failed | Status::Expired | Status::Unknown) => return None,
            Act::Resend => self.again(self.now, "resent by an operator")?,
            // The old rules left it to the caller to choose failed messages.
            Act::Replay if status != Status::Failed => return None,
            Act::Replay => self.again(record.message.accepted_at.min(self.now), "replayed by an operator")?,
            Act::Mark(mark) => self.mark(mark, at)?,
        }
        Some(self.record)
    }

    fn again(&mut self, due: Timestamp, error: &str) -> Option<()> {
        let recipient = &mut self.record.recipients[0];
        if !matches!(recipient.status, Status::Failed | Status::Expired | Status::Unknown) {
            return None;
        }
        (recipient.status, recipient.reason) = (Status::Queued, None);
        self.stand(Status::Queued, Some(error.to_owned()), Work::Due(due));
        Some(())
    }

    fn mark(&mut self, mark: Mark, at: Timestamp) -> Option<()> {
        let record = &mut self.record;
        let waits = record.status == Status::Queued && record.has_unknown_attempt();
        if record.status != Status::Unknown && !waits {
            return None;
        }
        let called_at = record.unknown_attempts().map(|attempt| attempt.called_at).max();
        let (status, error) = match mark {
            Mark::Sent => (Status::Sent, None),
            Mark::Delivered => (Status::Delivered, None),
            Mark::Failed => (Status::Failed, Some("marked as failed".to_owned())),
        };
        if mark != Mark::Failed {
            record.sent_at = record.sent_at.or(called_at);
        }
        if mark == Mark::Delivered {
            record.delivered_at = record.delivered_at.or(Some(at));
        }
        // The old rules left a recipient as it was who had opted out after the call.
        let recipient = &mut record.recipients[0];
        if recipient.status == Status::Unknown || mark != Mark::Failed {
            (recipient.status, recipient.reason) = (Status::Queued, None);
        }
        self.stand(status, error, Work::Ended);
        Some(())
    }

    fn stand(&mut self, status: Status, error: Option<String>, work: Work) {
        (self.record.status, self.record.error, self.record.work) = (status, error, work);
        let recipient = &mut self.record.recipients[0];
        if !recipient.status.is_final() {
            recipient.status = status;
        }
    }

    /// The end. A message that may have been sent is unknown.
    fn end(&mut self, status: Status, why: &str) {
        if self.record.has_unknown_attempt() {
            let error = causes::why_unknown(&self.record);
            self.stand(Status::Unknown, Some(error), Work::Ended);
        } else {
            self.stand(status, Some(why.to_owned()), Work::Ended);
        }
    }

    /// The old rules called a message failed here although it may have been sent.
    fn stop(&mut self, stopped: &Stopped) {
        let may_be_sent = self.record.has_unknown_attempt();
        let status = if may_be_sent { Status::Unknown } else { stopped.status };
        self.stand(status, Some(format!("{}: {}", stopped.reason, stopped.detail)), Work::Ended);
        self.record.recipients[0].reason = Some(stopped.reason.to_owned());
    }

    fn must_not_be_sent(&mut self) {
        let expires_at = self.record.message.expires_at;
        if expires_at <= self.now {
            self.end(Status::Expired, "its time ran out before a provider took it");
        } else if self.unknown() >= MAX_UNKNOWN {
            self.end(Status::Failed, "");
        } else if self.unknown() > 0 && self.never_twice() {
            self.wait_for_feedback();
        } else if let Some(until) = self.feedback_may_come_until().filter(|until| *until > self.now) {
            let error = "a provider may have taken it: feedback has a moment to say so before it is sent again";
            self.stand(Status::Queued, Some(error.to_owned()), Work::Due(until));
        }
    }

    fn feedback_may_come_until(&self) -> Option<Timestamp> {
        let last = self.turn().filter(|attempt| attempt.outcome == AttemptOutcome::Unknown).last()?;
        let wait = &self.rules.feedback_wait;
        let wait = match self.record.message.handling.purpose {
            Purpose::Otp => wait.otp,
            Purpose::Transactional => wait.transactional,
            Purpose::Bulk => wait.bulk,
        };
        Some((last.called_at + wait).min(self.record.message.expires_at))
    }

    fn wait_for_feedback(&mut self) {
        match self.policy() {
            OnExhausted::Hold => {
                let error = "a provider may have taken it, and it must not arrive twice: waiting for feedback";
                self.stand(Status::Queued, Some(error.to_owned()), Work::Due(self.record.message.expires_at));
            }
            OnExhausted::Fail => self.end(Status::Unknown, ""),
        }
    }

    fn exhausted(&mut self, search: Search) {
        let why = causes::why_not_taken(&self.record);
        let is_expired = self.record.message.expires_at <= self.now;
        let classes: Vec<_> = self.turn().map(|attempt| attempt.class).collect();
        // The old rules did not know the second one, which is as final a no of its provider.
        let is_no = |class| matches!(class, Some(FailureClass::Unsupported | FailureClass::ProviderUnsubscribed));
        let all_unsupported = classes.iter().all(|class| is_no(*class));
        let nobody_can = search.soonest.is_none() && !classes.is_empty() && all_unsupported;
        let fails = self.policy() == OnExhausted::Fail && !search.paced;
        if is_expired {
            self.end(Status::Expired, &why);
        } else if nobody_can || self.unknown() >= MAX_UNKNOWN || fails {
            self.end(Status::Failed, &why);
        } else {
            let until = self.hold_until(search);
            self.stand(Status::Queued, Some(why), Work::Due(until));
        }
    }

    fn hold_until(&self, search: Search) -> Timestamp {
        let round = (self.turn().count() / search.providers.max(1)).saturating_sub(1);
        let purpose = self.record.message.handling.purpose;
        // The old rules asked for the last attempt alone. Here an attempt that was lifted by a report, and has no class any more, is not asked.
        let last = self.record.attempts.iter().rev().find_map(|attempt| attempt.class);
        let by_schedule = last.map(|class| match class {
            FailureClass::Misconfigured => self.rules.retry.slowest(purpose),
            FailureClass::InvalidMessage
            | FailureClass::InvalidRecipient
            | FailureClass::RecipientBlocked
            | FailureClass::ProviderUnsubscribed
            | FailureClass::Unsupported
            | FailureClass::QuotaExhausted
            | FailureClass::Throttled
            | FailureClass::Unavailable
            | FailureClass::Unknown
            | FailureClass::LocalShortage => self.rules.retry.wait(purpose, round, search.chance),
        });
        let wait = search.soonest.into_iter().chain(by_schedule).min().unwrap_or_default();
        (self.now + wait.max(Duration::from_secs(1))).min(self.record.message.expires_at)
    }

    fn what_follows(&mut self, answer: &Answer) {
        let Err(failure) = &answer.result else {
            self.record.sent_at = Some(answer.at);
            return self.stand(Status::Sent, None, Work::Ended);
        };
        match failure.class.consequence().next_provider {
            NextProvider::No => {
                let blocked = match self.record.message.content.channel() {
                    Channel::Email => Status::Suppressed,
                    Channel::Sms => Status::Unsubscribed,
                };
                let is_blocked = failure.class == FailureClass::RecipientBlocked;
                self.end(if is_blocked { blocked } else { Status::Failed }, &failure.to_string());
            }
            NextProvider::IfDuplicatesAllowed if self.unknown() >= MAX_UNKNOWN => self.end(Status::Unknown, ""),
            NextProvider::IfDuplicatesAllowed if self.never_twice() => self.wait_for_feedback(),
            NextProvider::UnlessBulk if self.record.message.handling.purpose == Purpose::Bulk => {
                self.end(Status::Unsubscribed, &failure.to_string());
            }
            NextProvider::Yes | NextProvider::IfDuplicatesAllowed | NextProvider::UnlessBulk => {}
        }
    }

    fn leave_out(&mut self, entries: &[Suppression]) {
        let recipient = &mut self.record.recipients[0];
        let form = suppression_address(Channel::Email, &recipient.address);
        let Some(entry) = entries.iter().find(|entry| entry.address == form) else {
            return;
        };
        recipient.status = entry.reason.status();
        recipient.reason = Some(entry.reason.as_str().to_owned());
        let may_be_sent = self.record.has_unknown_attempt();
        self.record.status = if may_be_sent { Status::Unknown } else { entry.reason.status() };
        self.record.work = Work::Ended;
        let why = "the recipient is on the suppression list for email since";
        self.record.error = Some(format!("{}: {why} {} ({})", entry.reason, entry.since, entry.origin));
    }

    fn turn(&self) -> impl Iterator<Item = &AttemptRecord> {
        turn::attempts(&self.record)
    }

    fn unknown(&self) -> usize {
        self.turn().filter(|attempt| attempt.outcome == AttemptOutcome::Unknown).count()
    }

    fn never_twice(&self) -> bool {
        self.record.message.handling.duplicates == Duplicates::Never
    }

    fn policy(&self) -> OnExhausted {
        let handling = &self.record.message.handling;
        let by_route = if handling.via.is_some() {
            OnExhausted::Fail
        } else {
            OnExhausted::Hold
        };
        handling.on_exhausted.unwrap_or(by_route)
    }
}

/// Where applications are told that a message stands. The old rules told of a message as held whose time ran out while its intent was being
/// committed.
pub(super) fn told(record: &MessageRecord) -> Option<Status> {
    let is_told = match record.status {
        Status::Pending | Status::Scheduled | Status::Sending => false,
        Status::Queued => is_held(record),
        Status::Sent
        | Status::Delivered
        | Status::Bounced
        | Status::Failed
        | Status::Expired
        | Status::Cancelled
        | Status::Suppressed
        | Status::Unsubscribed
        | Status::Unknown => true,
    };
    is_told.then_some(record.status)
}

fn is_held(record: &MessageRecord) -> bool {
    const NOT_CALLED: [&str; 4] = ["closing", "lease_lost", "not_called", "expired"];
    turn::attempts(record)
        .last()
        .is_some_and(|attempt| attempt.code.as_deref().is_none_or(|code| !NOT_CALLED.contains(&code)))
}
