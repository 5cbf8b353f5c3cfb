//! A message's life, driven as the drivers of this crate do: ask, commit, do. Each step is checked against what must always hold.

use std::time::Duration;

use ums_core::{
    ActRecord, AttemptOutcome, EventRecord, FailureClass, FailureSource, MessageRecord, NotCalled, RecipientSet, Status, Suppression,
    Timestamp, Work, suppression_address,
};

use super::super::{Act, Answer, Fate, Happened, Next, Search, Stopped, act, next, turn};
use super::before::{self, Before, Seen};
use super::world::{Wishes, intent, rules, second, with_reports};
use crate::rules::Rules;

/// Who may move a recipient that has an end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mover {
    Delivery,
    Report,
    Operator,
}

/// A message, where it stands, and what its driver is to do.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) record: MessageRecord,
    pub(super) next: Next,
    pub(super) now: Timestamp,
    pub(super) rules: Rules,
    /// The recipients whom a provider took the message for, unless an operator had it sent to them again.
    taken: RecipientSet,
    /// The recipients who wait for feedback in this round, and until when.
    waits: Vec<(usize, Timestamp)>,
    /// The record as the store has it.
    stored: MessageRecord,
}

impl Life {
    /// A message that was just accepted, and is taken up.
    pub(super) fn begin(wishes: Wishes, recipients: usize) -> Self {
        let record = wishes.email(recipients);
        let mut life = Self {
            stored: record.clone(),
            record,
            next: Next::Wait,
            now: second(0),
            rules: rules(),
            taken: RecipientSet::NOBODY,
            waits: Vec::new(),
        };
        life.happened(Happened::Due);
        life
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// Has the core decide, and checks its word.
    pub(super) fn happened(&mut self, happened: Happened<'_>) -> Fate {
        let before = self.record.clone();
        let text = format!("{happened:?}");
        let seen = Seen::of(&happened, self.now);
        let fate = next(&mut self.record, happened, &self.rules, self.now);
        self.next = fate.next;
        self.check(&before, Mover::Delivery, &text);
        self.check_next(&text);
        if self.places().len() == 1 {
            self.compare(before, &seen, &text);
        }
        fate
    }

    /// A message to one recipient stands where the second opinion has it.
    fn compare(&self, before: MessageRecord, seen: &Seen<'_>, what: &str) {
        let told = sketch(&before);
        let record = MessageRecord {
            attempts: self.record.attempts.clone(),
            ..before
        };
        let expected = Before {
            record,
            rules: &self.rules,
            now: self.now,
        };
        let expected = expected.after(seen);
        assert_eq!(expected, self.record, "{what}\n{told}");
        assert_eq!(before::told(&expected), super::super::told(&self.record), "{what}\n{told}");
    }

    fn compare_act(&self, before: &MessageRecord, what: Act, kept: Option<&ActRecord>) {
        let expected = Before {
            record: before.clone(),
            rules: &self.rules,
            now: self.now,
        };
        let expected = expected.acted(what, kept.map_or(self.now, |kept| kept.at));
        assert_eq!(expected.is_some(), kept.is_some(), "{what:?}\n{}", sketch(before));
        let Some(mut expected) = expected else { return };
        expected.attempts.clone_from(&self.record.attempts);
        expected.message.clone_from(&self.record.message);
        assert_eq!(expected, self.record, "{what:?}\n{}", sketch(before));
    }

    pub(super) fn slot(&mut self, provider: usize, recipients: RecipientSet) {
        let intent = intent(&self.record, provider, recipients);
        let id = intent.id;
        self.happened(Happened::Slot(intent));
        let last = turn::attempts(&self.record).next_back().map(|attempt| attempt.id);
        assert_eq!(last, Some(id), "a new attempt counts, even if the clock was set back");
    }

    /// The call ends; the suppressions are those of the table.
    pub(super) fn answered(&mut self, answer: &Answer) {
        let expected = self.suppressions(answer);
        let asked = self.asked();
        let fate = self.happened(Happened::CallEnded(answer));
        let mut listed: Vec<_> = fate.suppress.iter().map(|entry| (entry.address.clone(), entry.reason)).collect();
        listed.sort();
        assert_eq!(listed, expected, "{answer:?}");
        let attempt = self.record.attempts.last().expect("it ended");
        if answer.result.is_ok() {
            self.taken = self.taken.or(attempt.recipients);
        }
        for place in self.places().filter(|place| asked.contains(*place)) {
            assert_eq!(self.record.recipients[place].status == Status::Sent, self.taken.contains(place));
        }
    }

    /// What a refusal puts on the list: of a recipient who was refused by name or alone, by the provider itself, for good.
    fn suppressions(&self, answer: &Answer) -> Vec<(String, ums_core::SuppressionReason)> {
        let asked = self.asked();
        let refusals = match &answer.result {
            Ok(accepted) => &accepted.refused[..],
            Err(failure) => &failure.refusals[..],
        };
        let mut said = Vec::new();
        for place in self.places().filter(|place| asked.contains(*place)) {
            let address = &self.record.recipients[place].address;
            let named = refusals.iter().find(|refusal| refusal.address.expose() == address);
            let alone = answer.result.as_ref().err().filter(|_| asked.count(64) == 1);
            let Some(failure) = named.map(|refusal| &refusal.failure).or(alone) else {
                continue;
            };
            let reason = match failure.class {
                FailureClass::InvalidRecipient | FailureClass::RecipientBlocked => ums_core::SuppressionReason::HardBounce,
                FailureClass::ProviderUnsubscribed => ums_core::SuppressionReason::Unsubscribe,
                FailureClass::InvalidMessage
                | FailureClass::Unsupported
                | FailureClass::Misconfigured
                | FailureClass::QuotaExhausted
                | FailureClass::Throttled
                | FailureClass::Unavailable
                | FailureClass::Unknown
                | FailureClass::LocalShortage => continue,
            };
            if failure.source == FailureSource::Provider {
                said.push((suppression_address(ums_core::Channel::Email, address), reason));
            }
        }
        said.sort();
        said
    }

    pub(super) fn asked(&self) -> RecipientSet {
        self.record
            .attempts
            .last()
            .map_or(RecipientSet::NOBODY, |attempt| attempt.recipients)
    }

    pub(super) fn places(&self) -> std::ops::Range<usize> {
        0..self.record.recipients.len()
    }

    /// The process dies during the call; another one finds out.
    pub(super) fn lost(&mut self) {
        let before = self.record.clone();
        self.record.attempts.last_mut().expect("it calls").lose();
        self.record.work = Work::Due(self.now);
        if !self.record.status.is_final() {
            self.record.status = Status::Queued;
        }
        self.next = Next::Wait;
        self.check(&before, Mover::Delivery, "lost");
    }

    /// A process takes the message up.
    pub(super) fn taken_up(&mut self) {
        self.record.work = Work::InHand;
        self.waits.clear();
        self.happened(Happened::Due);
        if let Next::Provider(set) = self.next {
            let wait = self.rules.feedback_wait.of(self.record.message.handling.purpose);
            for place in self.places().filter(|place| !set.contains(*place)) {
                let last = turn::unknown_for(&self.record, place).next_back();
                self.waits.extend(last.map(|last| (place, last.called_at + wait)));
            }
        }
    }

    pub(super) fn stopped(&mut self, stopped: Stopped) {
        self.record.work = Work::InHand;
        self.happened(Happened::Stopped(stopped));
    }

    pub(super) fn no_budget(&mut self, seconds: u64) {
        self.happened(Happened::PutOff(Duration::from_secs(seconds)));
    }

    pub(super) fn no_slot(&mut self, search: Search) {
        self.happened(Happened::NoSlot(search));
    }

    pub(super) fn not_called(&mut self, why: NotCalled) {
        self.happened(Happened::NotCalled(why));
    }

    pub(super) fn opted_out(&mut self, entries: &[Suppression]) {
        self.happened(Happened::OptedOut(entries));
    }

    /// Does an act; whether it was possible. An act that is not possible changes nothing.
    pub(super) fn act(&mut self, what: Act) -> bool {
        let before = self.record.clone();
        let done = act(&mut self.record, what, &self.rules, self.now);
        if self.places().len() == 1 {
            self.compare_act(&before, what, done.as_ref().ok());
        }
        let Ok(kept) = done else {
            assert_eq!(self.record, before, "{what:?}: {done:?}");
            return false;
        };
        self.record.acts.push(kept);
        if matches!(what, Act::Resend | Act::Replay) {
            let again = self.places().filter(|place| !self.record.recipients[*place].status.is_final());
            self.taken = self.taken.without(again.collect());
        }
        self.check(&before, Mover::Operator, &format!("{what:?}"));
        self.rest();
        true
    }

    pub(super) fn reported(&mut self, reports: &[EventRecord]) {
        let before = self.record.clone();
        self.record = with_reports(before.clone(), reports, self.now);
        self.check(&before, Mover::Report, &format!("{reports:?}"));
        self.go_back(&before);
        self.rest();
    }

    /// Whom a provider kept the message back from is tried again, and nobody else who was taken: only a receipt or a code, in its time.
    fn go_back(&mut self, before: &MessageRecord) {
        let open = self.record.open_recipients();
        let again = open.without(before.open_recipients());
        if again.is_empty() {
            return;
        }
        let message = &self.record.message;
        assert!(message.handling.purpose != ums_core::Purpose::Bulk && message.expires_at > self.now);
        for place in self.places().filter(|place| again.contains(*place)) {
            let kept_back = |attempt: &ums_core::AttemptRecord| {
                let by_name = attempt
                    .refused
                    .iter()
                    .any(|refused| refused.place == place && is_kept_back(refused.failure.class));
                by_name || (attempt.recipients.contains(place) && attempt.class.is_some_and(is_kept_back))
            };
            let took = |attempt: &ums_core::AttemptRecord| {
                attempt.outcome == ums_core::AttemptOutcome::Accepted && attempt.recipients.contains(place)
            };
            assert!(self.record.attempts.iter().any(kept_back), "{}", sketch(&self.record));
            assert!(!self.record.attempts.iter().any(took), "nobody has it: {}", sketch(&self.record));
        }
        self.taken = self.taken.without(again);
    }

    /// Nobody works on the message: it waits or has ended.
    fn rest(&mut self) {
        self.next = if self.record.has_ended() { Next::End } else { Next::Wait };
        self.check_next("rest");
    }

    /// What must hold after every step.
    fn check(&mut self, before: &MessageRecord, mover: Mover, what: &str) {
        let after = &self.record;
        let told = || format!("{what}\nbefore {}\nafter {}", sketch(before), sketch(after));
        for (place, (was, is)) in before.recipients.iter().zip(&after.recipients).enumerate() {
            let (was, is) = (was.status, is.status);
            assert!(was == is || may_move(was, is, mover), "recipient {place} {was} -> {is}: {}", told());
            let is_unknown = after.attempts.iter().any(|attempt| attempt.is_unknown_for(place));
            let says_failed = matches!(is, Status::Failed | Status::Expired);
            assert!(!(is_unknown && says_failed), "recipient {place} is {is}: {}", told());
            let unknown = turn::unknown_for(after, place).count();
            assert!(unknown <= 2, "{unknown} unknown attempts: {}", told());
        }
        check_facts(before, after, &told);
    }

    /// What must hold of the word on what is to be done.
    fn check_next(&mut self, what: &str) {
        let record = &self.record;
        let told = || format!("{what} at {}: {:?}\n{}", self.now, self.next, sketch(record));
        let open = record.open_recipients();
        assert_eq!(self.next == Next::End, open.is_empty(), "{}", told());
        assert_eq!(self.next == Next::End, record.has_ended(), "{}", told());
        match self.next {
            Next::Provider(set) | Next::SameProvider(set) => {
                assert!(!set.is_empty() && set.without(open).is_empty(), "{}", told());
                assert!(set.and(self.taken).is_empty(), "{}", told());
                let early = self.waits.iter().find(|(place, until)| set.contains(*place) && *until > self.now);
                assert_eq!(early, None, "feedback has its time: {}", told());
                return;
            }
            Next::Call => {
                let asked = self.asked();
                assert!(!asked.is_empty() && asked.without(open).is_empty(), "{}", told());
            }
            Next::Wait => {
                let Work::Due(at) = record.work else { panic!("{}", told()) };
                assert!(at <= record.message.expires_at || at <= self.now, "{}", told());
            }
            Next::End => {}
        }
        let says_failed = matches!(record.status, Status::Failed | Status::Expired);
        assert!(!(says_failed && record.has_unknown_attempt()), "{}", told());
        self.check_word(&told);
        let (was, is) = (self.stored.status, record.status);
        assert!(was == is || was.may_become(is), "{was} -> {is}: {}", told());
        self.stored = record.clone();
    }

    /// The message's word follows its first recipient.
    fn check_word(&self, told: &dyn Fn() -> String) {
        let record = &self.record;
        let first = record.recipients[0].status;
        let word = record.status;
        let as_expected = if !first.is_final() {
            !word.is_final()
        } else if is_maybe_sent(record) {
            word == Status::Unknown
        } else {
            // A recipient opted out while it was not known whether the message went out, and then it turned out that it did not.
            let did_not_go_out = matches!(first, Status::Suppressed | Status::Unsubscribed) && word == Status::Failed;
            word == first || did_not_go_out
        };
        assert!(as_expected, "{}", told());
    }
}

fn is_kept_back(class: FailureClass) -> bool {
    class == FailureClass::ProviderUnsubscribed
}

/// What an attempt says of its cost and of the time in which its outcome was unknown, whatever the clock did.
fn check_facts(before: &MessageRecord, after: &MessageRecord, told: &dyn Fn() -> String) {
    let settled = after.attempts.iter().filter_map(|attempt| attempt.unknown_until).max();
    for (number, is) in after.attempts.iter().enumerate() {
        let carried = i64::from(is.recipients.count(after.recipients.len()));
        let cost = (is.outcome == AttemptOutcome::Accepted).then_some(100 * carried);
        assert_eq!(is.cost_micros, cost, "the cost of {number}: {}", told());
        let Some(was) = before.attempts.get(number) else {
            assert!(
                settled.is_none_or(|until| is.called_at >= until),
                "called after it was settled: {}",
                told()
            );
            continue;
        };
        let is_settled_now = was.outcome == AttemptOutcome::Unknown && is.outcome != AttemptOutcome::Unknown;
        assert_eq!(was.unknown_until != is.unknown_until, is_settled_now, "{number}: {}", told());
        if is_settled_now {
            let mut others = after.attempts.iter();
            assert!(others.all(|other| is.was_unknown_at(other.called_at)), "{number}: {}", told());
            assert!(is.settled_by.is_some(), "{number}: {}", told());
        }
    }
}

/// Whether a provider may have taken a message whose first recipient is said not to have it.
fn is_maybe_sent(record: &MessageRecord) -> bool {
    let for_first = record.attempts.iter().any(|attempt| attempt.is_unknown_for(0));
    let first = record.recipients[0].status;
    let is_failed = matches!(first, Status::Failed | Status::Expired);
    first.says_not_sent() && (for_first || (is_failed && record.has_unknown_attempt()))
}

/// Whether a recipient may move so.
fn may_move(from: Status, to: Status, mover: Mover) -> bool {
    let is_closed = matches!(from, Status::Cancelled | Status::Suppressed | Status::Unsubscribed);
    match mover {
        Mover::Delivery => !from.is_final() && to != Status::Pending,
        Mover::Report if is_closed => matches!(
            to,
            Status::Sent | Status::Delivered | Status::Bounced | Status::Failed | Status::Unknown
        ),
        Mover::Operator if is_closed => matches!(to, Status::Sent | Status::Delivered),
        // A provider that kept the message back leaves it to the next one.
        Mover::Report if (from, to) == (Status::Sent, Status::Queued) => true,
        Mover::Report => !from.is_final() || (from.may_become(to) && to.is_final()),
        Mover::Operator => !from.is_final() || from.may_become(to),
    }
}

/// What of a record matters here, in a few lines.
fn sketch(record: &MessageRecord) -> String {
    let recipients = &record.recipients;
    let attempts = record.attempts.iter().map(|attempt| {
        let refused: Vec<_> = attempt
            .refused
            .iter()
            .map(|refused| (refused.place, refused.failure.class))
            .collect();
        format!("\n  {:?} {:?} {:?} {refused:?}", attempt.outcome, attempt.class, attempt.recipients)
    });
    let attempts: String = attempts.collect();
    let acts: Vec<_> = record.acts.iter().map(|act| act.kind).collect();
    format!("{} {:?} {recipients:?} {acts:?}{attempts}", record.status, record.work)
}
