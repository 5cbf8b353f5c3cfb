//! Random histories: whatever happens to a message, some things always hold.

use std::fmt;
use std::time::Duration;

use proptest::prelude::*;
use ums_core::{
    Duplicates, EventKind, EventRecord, FailureClass, FailureSource, NotCalled, OnExhausted, Purpose, RecipientSet, Refusal, Status,
    SuppressionReason, Work,
};

use super::super::{Act, Answer, Mark, Next, Search, Stopped};
use super::life::Life;
use super::reports::end_of;
use super::world::{ADDRESSES, CHAIN, Wishes, answer, failure, opt_out, refusal, report, taken, with_reports};

/// Random histories of each property.
const CASES: u32 = 1_000;

/// What chance says in one step. Each step reads as much of it as it needs.
#[derive(Clone)]
pub(super) struct Dice {
    choice: u8,
    flag: bool,
    class: FailureClass,
    is_provider: bool,
    /// For each recipient, how the provider refuses it by name.
    named: [Option<(FailureClass, bool)>; 4],
    seconds: u64,
    kind: EventKind,
    about: usize,
    whom: Option<usize>,
}

/// In one line: a failure shows dozens of them.
impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = (self.choice, self.flag, self.class, self.is_provider, self.named);
        write!(f, "{answer:?} {}s {} {} {:?}", self.seconds, self.kind, self.about, self.whom)
    }
}

pub(super) fn dice() -> impl Strategy<Value = Dice> {
    let class = || prop::sample::select(FailureClass::ALL);
    let sure: Vec<FailureClass> = FailureClass::ALL
        .iter()
        .copied()
        .filter(|class| *class != FailureClass::Unknown)
        .collect();
    let named = prop::option::weighted(0.3, (prop::sample::select(sure), prop::bool::weighted(0.3)));
    let seconds = prop_oneof![Just(0), 1..40_u64, 100..8_000_u64];
    (
        (any::<u8>(), any::<bool>(), class(), prop::bool::weighted(0.8)),
        prop::array::uniform4(named),
        seconds,
        (
            prop::sample::select(EventKind::ALL),
            0..6_usize,
            prop::option::weighted(0.8, 0..4_usize),
        ),
    )
        .prop_map(|((choice, flag, class, is_provider), named, seconds, (kind, about, whom))| Dice {
            choice,
            flag,
            class,
            is_provider,
            named,
            seconds,
            kind,
            about,
            whom,
        })
}

pub(super) fn wishes() -> impl Strategy<Value = Wishes> {
    let purpose = prop::sample::select(Purpose::ALL);
    let duplicates = prop::sample::select(vec![Duplicates::Allow, Duplicates::Never]);
    let on_exhausted = prop::sample::select(vec![None, Some(OnExhausted::Hold), Some(OnExhausted::Fail)]);
    (purpose, duplicates, on_exhausted, any::<bool>()).prop_map(|(purpose, duplicates, on_exhausted, via)| Wishes {
        purpose,
        duplicates,
        on_exhausted,
        via,
    })
}

impl Dice {
    /// The provider's answer to a call for those recipients.
    pub(super) fn answer(&self, life: &Life) -> Answer {
        let asked: Vec<usize> = life.places().filter(|place| life.asked().contains(*place)).collect();
        let is_taken = self.choice % 5 < 2;
        let source = if self.is_provider {
            FailureSource::Provider
        } else {
            FailureSource::Transport
        };
        let mut refused = Vec::new();
        for place in asked.iter().filter(|_| asked.len() > 1) {
            if let Some((class, next_transaction)) = self.named[*place] {
                let mut refusal: Refusal = refusal(*place, class);
                refusal.failure.source = source;
                refusal.next_transaction = next_transaction && is_taken;
                refused.push(refusal);
            }
        }
        // A provider that took the message, or may have, took it for somebody.
        if refused.len() == asked.len() && (is_taken || self.class == FailureClass::Unknown) {
            refused.pop();
        }
        let result = if is_taken {
            Ok(taken(refused))
        } else {
            let mut failure = failure(self.class).with_refusals(refused);
            failure.source = source;
            Err(failure)
        };
        answer(result, life.now)
    }

    fn search(&self) -> Search {
        Search {
            soonest: self.flag.then_some(Duration::from_secs(self.seconds)),
            paced: self.choice.is_multiple_of(3),
            providers: CHAIN.len(),
            chance: f64::from(self.choice) / 256.0,
        }
    }

    fn report(&self, life: &Life) -> EventRecord {
        let number = i64::try_from(life.record.events.len()).expect("few");
        self.numbered_report(number, life.record.attempts.len())
    }

    fn numbered_report(&self, number: i64, attempts: usize) -> EventRecord {
        let about = (self.about < attempts).then_some(self.about);
        let whom = self.whom.map(|whom| ADDRESSES[whom]);
        let mut report = report(number, self.kind, about, whom);
        report.event.class = self.flag.then_some(self.class);
        report
    }

    fn act(&self) -> Act {
        match self.about {
            0 => Act::Cancel,
            1 => Act::Resend,
            2 => Act::Replay,
            3 => Act::Mark(Mark::Sent),
            4 => Act::Mark(Mark::Delivered),
            _ => Act::Mark(Mark::Failed),
        }
    }

    fn stop(&self) -> Stopped {
        Stopped {
            status: if self.flag { Status::Failed } else { Status::Suppressed },
            reason: "gate",
            detail: "a gate said no",
        }
    }

    fn not_called(&self) -> NotCalled {
        NotCalled::ALL[self.about % NotCalled::ALL.len()]
    }

    fn opt_outs(&self, life: &Life) -> Vec<ums_core::Suppression> {
        let named = life.places().filter(|place| self.named[*place].is_some());
        let reason = if self.flag {
            SuppressionReason::Unsubscribe
        } else {
            SuppressionReason::HardBounce
        };
        named.map(|place| opt_out(place, reason)).collect()
    }
}

/// One step of a message's life, by what its driver is to do.
pub(super) fn step(life: &mut Life, dice: &Dice) {
    match life.next {
        Next::Provider(set) | Next::SameProvider(set) => find(life, dice, set),
        Next::Call => match dice.choice % 16 {
            0 => life.not_called(dice.not_called()),
            1 => life.opted_out(&dice.opt_outs(life)),
            2 => life.lost(),
            _ => {
                life.pass(dice.seconds / 40);
                let answer = dice.answer(life);
                life.answered(&answer);
            }
        },
        Next::Wait => match dice.choice % 16 {
            0..=4 => life.reported(&[dice.report(life)]),
            5 | 6 => {
                life.act(dice.act());
            }
            7 => life.stopped(dice.stop()),
            _ => {
                let due = life.record.work.due_at().expect("it waits");
                life.now = life.now.max(due);
                life.pass(dice.seconds / 10);
                life.taken_up();
            }
        },
        Next::End => {
            life.pass(dice.seconds);
            if dice.whom == Some(3) {
                // The clock is set back.
                life.now = life.now - Duration::from_secs(dice.seconds + 5);
            }
            if dice.flag {
                life.reported(&[dice.report(life)]);
            } else {
                life.act(dice.act());
            }
        }
    }
}

fn find(life: &mut Life, dice: &Dice, set: RecipientSet) {
    let is_first = life.record.work == Work::InHand && life.record.status != Status::Sending;
    match dice.choice % 16 {
        0 if is_first && super::super::was_called(&life.record) => life.no_budget(dice.seconds),
        1 => {
            life.happened(super::super::Happened::Closing);
        }
        2..=5 => life.no_slot(dice.search()),
        _ if life.record.message.expires_at <= life.now => life.no_slot(dice.search()),
        _ => life.slot(dice.about % CHAIN.len(), set),
    }
}

pub(super) fn lived(wishes: Wishes, recipients: usize, dice: &[Dice]) -> Life {
    let mut life = Life::begin(wishes, recipients);
    for dice in dice {
        step(&mut life, dice);
    }
    life
}

/// Reports, each one to five times, in any order, cut into batches of any size.
type Telling = (Vec<Dice>, Vec<usize>, Vec<usize>);

fn telling() -> impl Strategy<Value = Telling> {
    prop::collection::vec(dice(), 1..7).prop_flat_map(|reports| {
        let copies = prop::collection::vec(1..=5_usize, reports.len());
        (Just(reports), copies).prop_flat_map(|(reports, copies)| {
            let told: Vec<usize> = (0..reports.len()).flat_map(|number| vec![number; copies[number]]).collect();
            let cuts = prop::collection::vec(1..=4_usize, told.len());
            (Just(reports), Just(told).prop_shuffle(), cuts)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: 100_000, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn what_must_always_hold_holds(wishes in wishes(), recipients in 1..=4_usize, dice in prop::collection::vec(dice(), 1..40)) {
        let life = lived(wishes, recipients, &dice);
        let again = lived(wishes, recipients, &dice);
        prop_assert_eq!(&life.record, &again.record);
        prop_assert_eq!(life.next, again.next);
    }

    /// [`Life`] compares every step with the rules of [`super::before`].
    #[test]
    fn a_message_to_one_recipient_goes_its_old_way(wishes in wishes(), dice in prop::collection::vec(dice(), 1..40)) {
        lived(wishes, 1, &dice);
    }

    #[test]
    fn order_copies_and_batches_of_reports_do_not_matter(
        wishes in wishes(),
        recipients in 1..=4_usize,
        dice in prop::collection::vec(dice(), 3..16),
        (reports, told, cuts) in telling(),
    ) {
        let life = lived(wishes, recipients, &dice);
        let attempts = life.record.attempts.len();
        let reports: Vec<EventRecord> = (1_000..).zip(&reports).map(|(number, dice)| dice.numbered_report(number, attempts)).collect();
        // A provider that kept a message back because of its unsubscribe list reports nothing else of it.
        let all = life.record.events.iter().chain(&reports);
        let is_drop = |event: &EventRecord| event.event.class == Some(FailureClass::ProviderUnsubscribed);
        prop_assume!(all.clone().count() == 1 || !all.clone().any(is_drop));
        let at_once = with_reports(life.record.clone(), &reports, life.now);
        let mut rest = &told[..];
        let mut bit_by_bit = life.record.clone();
        for cut in cuts {
            let (batch, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            let batch: Vec<EventRecord> = batch.iter().map(|number| reports[*number].clone()).collect();
            bit_by_bit = with_reports(bit_by_bit, &batch, life.now);
        }
        prop_assert_eq!(end_of(at_once), end_of(bit_by_bit));
    }
}
