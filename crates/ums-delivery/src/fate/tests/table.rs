//! Every situation, and all that can happen in it, beside the oracle.

use std::time::Duration;

use ums_core::{
    AttemptOutcome, AttemptRecord, Duplicates, FailureClass, MessageRecord, NotCalled, OnExhausted, Purpose, RecipientSet, Status,
    SuppressionReason, Timestamp, Work,
};

use super::super::{Happened, Next, Search, Stopped, next};
use super::oracle::{Known, Lot, Outcome, Told, lot, together};
use super::world::{
    ALL_TRIED, CHAIN, EXPIRES, Wishes, answer, attempt_id, failure, intent, opt_out, passed_over, places, refusal, rules, second, taken,
};

/// When it happens: soon after the last call, long after, after the message's time.
const TIMES: [i64; 3] = [10, 1_000, EXPIRES + 1];
/// When earlier calls were made.
const CALLED: i64 = 5;
/// The answers to earlier calls, all for the recipients who are open now.
const ANSWERS: [&[FailureClass]; 6] = [
    &[],
    &[FailureClass::Unavailable],
    &[FailureClass::Unsupported],
    &[FailureClass::Misconfigured],
    &[FailureClass::Unknown],
    &[FailureClass::Unavailable, FailureClass::Unknown],
];
/// Who has an end already: nobody of one or two recipients, the first, the copy.
const ENDED: [&[Option<Status>]; 6] = [
    &[None],
    &[None, None],
    &[Some(Status::Sent), None],
    &[None, Some(Status::Sent)],
    &[Some(Status::Failed), None],
    &[None, Some(Status::Unknown)],
];

/// A message before something happens.
#[derive(Clone, Copy, Debug)]
struct Situation {
    wishes: Wishes,
    ended: &'static [Option<Status>],
    answers: &'static [FailureClass],
    now: Timestamp,
}

impl Situation {
    /// All of them, but those that the rules never leave.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for wishes in every_wish() {
            for ended in ENDED {
                for answers in ANSWERS {
                    all.extend(TIMES.map(|time| Self {
                        wishes,
                        ended,
                        answers,
                        now: second(time),
                    }));
                }
            }
        }
        // A message that must not arrive twice and is not held has ended with its unknown attempt.
        all.retain(|situation| {
            let ends = situation.wishes.on_exhausted == Some(OnExhausted::Fail)
                || (situation.wishes.via && situation.wishes.on_exhausted.is_none());
            let is_unknown = situation.answers.contains(&FailureClass::Unknown);
            !(ends && is_unknown && situation.wishes.duplicates == Duplicates::Never)
        });
        all
    }

    fn open(&self) -> RecipientSet {
        (0..self.ended.len()).filter(|place| self.ended[*place].is_none()).collect()
    }

    /// The message as the engine leaves it, in the hand of a process.
    fn record(&self) -> MessageRecord {
        let mut record = self.wishes.email(self.ended.len());
        for (recipient, end) in record.recipients.iter_mut().zip(self.ended) {
            recipient.status = end.unwrap_or(Status::Queued);
        }
        record.status = self.ended[0].unwrap_or(Status::Queued);
        record.work = Work::InHand;
        for (place, end) in self.ended.iter().enumerate() {
            let (outcome, class) = match end {
                Some(Status::Sent) => (AttemptOutcome::Accepted, None),
                Some(Status::Unknown) => (AttemptOutcome::Unknown, Some(FailureClass::Unknown)),
                Some(_) => (AttemptOutcome::Failed, Some(FailureClass::InvalidRecipient)),
                None => continue,
            };
            Self::add(&mut record, places(&[place]), outcome, class);
        }
        for class in self.answers {
            let is_unknown = *class == FailureClass::Unknown;
            let outcome = if is_unknown {
                AttemptOutcome::Unknown
            } else {
                AttemptOutcome::Failed
            };
            Self::add(&mut record, self.open(), outcome, Some(*class));
        }
        record
    }

    fn add(record: &mut MessageRecord, whom: RecipientSet, outcome: AttemptOutcome, class: Option<FailureClass>) {
        let number = record.attempts.len();
        let (provider, account) = (CHAIN[number % CHAIN.len()], ums_core::AccountId::default());
        let mut attempt = AttemptRecord::intent(attempt_id(number), provider, account, second(CALLED), whom);
        (attempt.outcome, attempt.class) = (outcome, class);
        record.attempts.push(attempt);
    }

    /// What the oracle says when each recipient is told that.
    fn expected(&self, told: impl Fn(usize) -> Told) -> Outcome {
        let known = |end| Known {
            end,
            answers: self.answers,
            called_at: second(CALLED),
        };
        let lots = self.ended.iter().enumerate();
        let lots: Vec<Lot> = lots
            .map(|(place, end)| lot(self.wishes, known(*end), told(place), self.now))
            .collect();
        let is_unknown = |place: usize| matches!(told(place), Told::Refused(FailureClass::Unknown)) && self.ended[place].is_none();
        let maybe_sent = self.answers.contains(&FailureClass::Unknown)
            || self.ended.contains(&Some(Status::Unknown))
            || (0..self.ended.len()).any(is_unknown);
        together(&lots, maybe_sent)
    }

    /// What the core says.
    fn check(&self, happened: Happened<'_>, expected: &Outcome) {
        let mut record = self.record();
        if matches!(happened, Happened::CallEnded(_) | Happened::NotCalled(_)) {
            let intent = intent(&record, 0, self.open());
            assert_eq!(next(&mut record, Happened::Slot(intent), &rules(), self.now).next, Next::Call);
            assert_eq!(record.work, Work::InHand);
        }
        let text = format!("{self:?}: {happened:?}");
        let fate = next(&mut record, happened, &rules(), self.now);
        let ends = record
            .recipients
            .iter()
            .map(|recipient| Some(recipient.status).filter(|status| status.is_final()));
        let outcome = Outcome {
            word: expected.word.map(|_| record.status),
            ends: ends.collect(),
            next: fate.next,
            due: record.work.due_at(),
        };
        assert_eq!(outcome, *expected, "{text}");
        assert_eq!(fate.next == Next::End, record.has_ended(), "{text}");
    }
}

/// Purposes × duplicates × what follows when no provider took it × by one provider only or not.
fn every_wish() -> Vec<Wishes> {
    let mut all = Vec::new();
    for purpose in Purpose::ALL {
        for duplicates in [Duplicates::Allow, Duplicates::Never] {
            for on_exhausted in [None, Some(OnExhausted::Hold), Some(OnExhausted::Fail)] {
                all.extend([false, true].map(|via| Wishes {
                    purpose: *purpose,
                    duplicates,
                    on_exhausted,
                    via,
                }));
            }
        }
    }
    all
}

#[test]
fn taken_up_put_off_and_put_back() {
    for situation in Situation::all() {
        let now = situation.now;
        situation.check(Happened::Due, &situation.expected(|_| Told::Due));
        let put_back = situation.expected(|_| Told::PutBack(now));
        situation.check(Happened::Enqueued, &put_back);
        situation.check(Happened::Closing, &put_back);
        for why in NotCalled::ALL {
            situation.check(Happened::NotCalled(*why), &put_back);
        }
        let wait = Duration::from_secs(7);
        situation.check(Happened::PutOff(wait), &situation.expected(|_| Told::PutOff(wait)));
    }
}

#[test]
fn no_provider_is_left() {
    let soon = passed_over(Duration::from_millis(10));
    let late = passed_over(Duration::from_hours(50));
    let paced = Search { paced: true, ..soon };
    for situation in Situation::all() {
        for search in [ALL_TRIED, soon, late, paced] {
            situation.check(Happened::NoSlot(search), &situation.expected(|_| Told::NoSlot(search)));
        }
    }
}

#[test]
fn a_call_ends_as_one() {
    for situation in Situation::all() {
        let taken = answer(Ok(taken(Vec::new())), situation.now);
        situation.check(Happened::CallEnded(&taken), &situation.expected(|_| Told::Taken));
        for class in FailureClass::ALL {
            let failed = answer(Err(failure(*class)), situation.now);
            situation.check(Happened::CallEnded(&failed), &situation.expected(|_| Told::Refused(*class)));
        }
    }
}

#[test]
fn a_call_ends_otherwise_for_a_recipient_refused_by_name() {
    let sure = FailureClass::ALL.iter().filter(|class| **class != FailureClass::Unknown);
    for situation in Situation::all().into_iter().filter(|situation| situation.open().count(2) == 2) {
        for (class, named) in sure.clone().flat_map(|class| [(*class, 0), (*class, 1)]) {
            let refused = || vec![refusal(named, class)];
            let by_name = |other: Told| move |place| if place == named { Told::Refused(class) } else { other };
            let partly = answer(Ok(taken(refused())), situation.now);
            situation.check(Happened::CallEnded(&partly), &situation.expected(by_name(Told::Taken)));
            for whole in FailureClass::ALL {
                let failed = answer(Err(failure(*whole).with_refusals(refused())), situation.now);
                let expected = situation.expected(by_name(Told::Refused(*whole)));
                situation.check(Happened::CallEnded(&failed), &expected);
            }
        }
    }
}

#[test]
fn recipients_are_barred() {
    let stops = [Status::Suppressed, Status::Unsubscribed];
    for situation in Situation::all() {
        for status in stops {
            let stopped = Stopped {
                status,
                reason: "gate",
                detail: "no",
            };
            // A gate ends a recipient like everything else; an opt-out stands with the recipient, and the message is unknown.
            let is_unknown = situation.answers.contains(&FailureClass::Unknown);
            let end = if is_unknown { Status::Unknown } else { status };
            situation.check(Happened::Stopped(stopped), &situation.expected(|_| Told::Barred(end)));
        }
        for reason in SuppressionReason::ALL {
            for whom in 0..situation.ended.len() {
                situation.check(
                    Happened::OptedOut(&[opt_out(whom, *reason)]),
                    &opted_out(&situation, whom, reason.status()),
                );
            }
        }
    }
}

/// Nobody is written to when the first recipient opts out.
fn opted_out(situation: &Situation, whom: usize, status: Status) -> Outcome {
    let is_first = whom == 0 && situation.ended[0].is_none();
    let is_unknown = situation.answers.contains(&FailureClass::Unknown);
    let told = |place| {
        if place == whom {
            Told::Barred(status)
        } else if is_first {
            // Left out, and not barred: an unknown attempt stays what it is.
            Told::Barred(if is_unknown { Status::Unknown } else { status })
        } else {
            Told::Nothing
        }
    };
    let mut expected = situation.expected(told);
    if is_first && is_unknown {
        expected.word = Some(Status::Unknown);
    }
    expected
}
