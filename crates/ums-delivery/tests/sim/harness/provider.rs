//! Simulated providers: what they answer, what arrives, and what must hold when they are called.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use ums_core::{
    Accepted, AttemptOutcome, BreakerEffect, Call, Clock, Duplicates, Email, Failure, FailureClass, Probe, Provider, ProviderKind, Refusal,
    Status,
};

use super::cast::{self, Set};
use super::ledger::Row;
use super::reports;
use super::store::SimStore;
use super::world::{CallMade, ProcessClock, SECOND, Shared, Told, World, number_of, short};

/// No call starts so shortly before its process's lease ends.
const MARGIN: u64 = 5 * SECOND;

/// How a provider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes everything.
    Well,
    /// Takes everything after a while.
    Slow,
    /// Takes nothing, and says so.
    Down,
    /// Now so, now so.
    Flaky,
    /// Takes most and tells of few.
    Losing,
    /// Refuses every recipient.
    Refusing,
    /// Asks to be left alone for a while.
    Throttling,
    /// Has a wrong key.
    Misconfigured,
}

/// What a provider does with one call.
struct Answer {
    /// Who gets it, and when; whatever becomes of the process that called.
    arrives: Set,
    arrives_in: u64,
    /// What is said, and when; none to say nothing ever.
    said: Option<Result<Accepted, Failure>>,
    said_in: u64,
}

impl Answer {
    fn failed(class: FailureClass) -> Self {
        Self {
            arrives: 0,
            arrives_in: 0,
            said: Some(Err(Failure::provider(class, "simulated", ""))),
            said_in: 0,
        }
    }
}

/// A provider as one process sees it.
pub(crate) struct SimProvider {
    pub(crate) kind: ProviderKind,
    pub(crate) shared: Shared,
    pub(crate) store: Arc<SimStore>,
    pub(crate) clock: Arc<ProcessClock>,
    pub(crate) process: (usize, u64),
}

impl fmt::Debug for SimProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimProvider({})", self.kind)
    }
}

/// What a provider says of a call.
type Said = Result<Accepted, Failure>;

impl SimProvider {
    /// Takes the call down, judges it, and decides what comes of it.
    fn answer(&self, email: &Email, call: &Call) -> (usize, Result<Said, oneshot::Receiver<Said>>) {
        let mut world = self.shared.lock();
        let recipients = cast::recipients(email);
        world.tally.calls += 1;
        world.note([10, number_of(call.message_id), self.process.0 as u64], || {
            format!("{}: called for {} by process {:?}", self.kind, short(call.message_id), self.process)
        });
        self.judge(&mut world, recipients, call);
        let answer = decide(&mut world, self.kind, email, recipients);
        self.blame_provider(&mut world, &answer, call);
        let made = CallMade {
            attempt: call.attempt_id,
            by: self.process,
            recipients,
            told: Told::Nothing,
            arrived: 0,
        };
        let calls = world.calls.entry(call.message_id).or_default();
        calls.push(made);
        let place = calls.len() - 1;
        self.arrive(&mut world, &answer, call, place);
        self.report(&mut world, &answer, email, call);
        match answer.said {
            Some(said) if answer.said_in == 0 => (place, Ok(said)),
            said => {
                let (tell, told) = oneshot::channel();
                match said {
                    Some(said) => {
                        let process = self.process.0;
                        let tell = move |world: &mut World| {
                            world.wake(process);
                            // The process may be gone.
                            drop(tell.send(said));
                        };
                        world.later(answer.said_in, Box::new(tell));
                    }
                    // Kept open beyond any message's life.
                    None => world.keep_open(tell),
                }
                (place, Err(told))
            }
        }
    }

    /// Whether the answer gives the provider's breaker a reason to open.
    fn blame_provider(&self, world: &mut World, answer: &Answer, call: &Call) {
        let too_late = u128::from(answer.said_in) >= call.time_left.as_micros();
        let counted = match &answer.said {
            None => true,
            Some(Ok(accepted)) => accepted.provider_message_id.is_empty(),
            Some(Err(failure)) => failure.class.consequence().breaker != BreakerEffect::NotCounted,
        };
        world.blamed[cast::place_of(self.kind)] |= counted || too_late;
    }

    fn arrive(&self, world: &mut World, answer: &Answer, call: &Call, place: usize) {
        let (id, set, kind) = (call.message_id, answer.arrives, self.kind);
        if set == 0 {
            return;
        }
        let happening = move |world: &mut World| {
            world.note([11, number_of(id), u64::from(set)], || {
                format!("{kind}: {} arrived for {set:#b}", short(id))
            });
            if let Some(call) = world.calls.get_mut(&id).and_then(|calls| calls.get_mut(place)) {
                call.arrived |= set;
            }
        };
        if answer.arrives_in == 0 {
            happening(world);
        } else {
            world.later(answer.arrives_in, Box::new(happening));
        }
    }

    /// What it will report of those whom it took the message for; of others, perhaps that it failed.
    fn report(&self, world: &mut World, answer: &Answer, email: &Email, call: &Call) {
        let refused = matches!(&answer.said, Some(Err(failure)) if !failure.class.may_have_been_accepted());
        if refused {
            return;
        }
        let addresses = email.recipients().map(|(_, mailbox)| mailbox.address.expose().to_owned());
        let whom: Vec<_> = addresses
            .map(|address| {
                let arrived = cast::bit_of(&address) & answer.arrives != 0;
                (address, arrived)
            })
            .collect();
        reports::report(world, self.kind, call.attempt_id, &whom, answer.arrives_in);
    }

    /// What must hold at the moment of a call.
    fn judge(&self, world: &mut World, recipients: Set, call: &Call) {
        let (id, owner, now) = (call.message_id, self.store.owner(), world.now());
        let fault = match world.ledger.rows.get(&id) {
            None => Some("was called although the message is not stored".to_owned()),
            Some(row) => self
                .without_intent(row, owner, call)
                .or_else(|| {
                    let until = world.ledger.owners.get(&owner).map_or(0, |owner| owner.until);
                    (now + MARGIN > until).then(|| "was called by a process whose lease was over or about to be".to_owned())
                })
                .or_else(|| (row.unknown() >= 2).then(|| "was called although two attempts are unknown".to_owned()))
                .or_else(|| (row.record.message.expires_at < self.clock.now()).then(|| "was called after the message's time".to_owned()))
                .or_else(|| opted_out(world, row, recipients, call))
                .or_else(|| second_hand_over(world, row, recipients)),
        };
        if let Some(fault) = fault {
            world.blame(|| format!("{}: {} {fault}, by process {:?}", short(id), self.kind, self.process));
        }
    }

    fn without_intent(&self, row: &Row, owner: i64, call: &Call) -> Option<String> {
        let attempt = row.record.attempts.iter().find(|attempt| attempt.id == call.attempt_id);
        let intended = attempt.is_some_and(|attempt| attempt.outcome == AttemptOutcome::Calling && attempt.provider == self.kind);
        let fine = intended && row.owner == Some(owner) && row.record.status == Status::Sending;
        (!fine).then(|| format!("was called without a committed intent; the message is {}", row.record.status))
    }

    fn told(&self, call: &Call, place: usize, said: &Result<Accepted, Failure>) {
        let mut world = self.shared.lock();
        world.note([12, number_of(call.message_id), u64::from(said.is_ok())], || match said {
            Ok(_) => format!(
                "{}: told process {:?} that it took {}",
                self.kind,
                self.process,
                short(call.message_id)
            ),
            Err(failure) => format!(
                "{}: told process {:?} {} for {}",
                self.kind,
                self.process,
                failure.class,
                short(call.message_id)
            ),
        });
        let told = match said {
            Ok(accepted) => {
                let refused = accepted.refused.iter().map(|refusal| cast::bit_of(refusal.address.expose()));
                Told::Taken(refused.fold(0, |set, bit| set | bit))
            }
            Err(failure) => Told::Failed(failure.class),
        };
        if let Some(made) = world.calls.get_mut(&call.message_id).and_then(|calls| calls.get_mut(place)) {
            made.told = told;
        }
    }
}

/// Nobody is called for whose opt-out was committed before the intent to call.
fn opted_out(world: &World, row: &Row, recipients: Set, call: &Call) -> Option<String> {
    let tenant = &row.record.message.tenant;
    let mut called = row
        .record
        .recipients
        .iter()
        .filter(|recipient| cast::bit_of(&recipient.address) & recipients != 0);
    let optouts = &world.ledger.optouts;
    called
        .any(|recipient| optouts.was_committed_before(tenant, &recipient.address, call.attempt_id, world.wall()))
        .then(|| "was called for somebody who had opted out".to_owned())
}

/// A second hand-over is legal only after an attempt that surely was not sent, or that is recorded as unknown while the message
/// allows duplicates, or that an operator answers for.
fn second_hand_over(world: &World, row: &Row, recipients: Set) -> Option<String> {
    let allows = row.record.message.handling.duplicates == Duplicates::Allow;
    for earlier in world.calls.get(&row.record.message.id)? {
        let place = row.record.attempts.iter().position(|attempt| attempt.id == earlier.attempt);
        let outcome = place.map(|place| row.record.attempts[place].outcome);
        let pardoned = place.is_some_and(|place| place < row.pardoned);
        let surely_not_sent = match &earlier.told {
            Told::Nothing => false,
            Told::Taken(refused) => earlier.recipients & recipients & !refused == 0,
            Told::Failed(class) => !class.may_have_been_accepted(),
        };
        let known_risk = outcome == Some(AttemptOutcome::Unknown) && allows;
        let reported = outcome == Some(AttemptOutcome::Failed) && world.reports.says_only_failed(earlier.attempt);
        if earlier.recipients & recipients != 0 && !pardoned && !surely_not_sent && !known_risk && !reported {
            return Some(format!(
                "was handed the message a second time; the attempt before is recorded as {outcome:?}"
            ));
        }
    }
    None
}

fn wait_of(world: &mut World) -> u64 {
    let (low, high) = world
        .chance
        .weighted(&[(5, (1, SECOND / 2)), (3, (SECOND / 2, 3 * SECOND)), (2, (3 * SECOND, 12 * SECOND))]);
    world.chance.between(low, high)
}

/// Decides what a provider does with a call.
fn decide(world: &mut World, kind: ProviderKind, email: &Email, recipients: Set) -> Answer {
    use FailureClass as C;
    let mood = world.moods[cast::place_of(kind)];
    let mut answer = match mood {
        Mood::Losing if world.chance.happens(700) => lost(world, kind, email, recipients),
        Mood::Well | Mood::Slow | Mood::Losing => taken(world, kind, email, recipients),
        Mood::Down => Answer::failed(C::Unavailable),
        Mood::Refusing => Answer::failed(C::InvalidRecipient),
        Mood::Throttling => Answer::failed(C::Throttled),
        Mood::Misconfigured => Answer::failed(C::Misconfigured),
        Mood::Flaky => match world.chance.below(10) {
            0..3 => taken(world, kind, email, recipients),
            3..5 => Answer::failed(C::Unavailable),
            5 => Answer::failed(C::Throttled),
            6 => Answer::failed(
                world
                    .chance
                    .pick(&[C::QuotaExhausted, C::Unsupported, C::InvalidMessage, C::RecipientBlocked]),
            ),
            7 => partly(world, kind, email, recipients),
            _ => lost(world, kind, email, recipients),
        },
    };
    let slow = if mood == Mood::Slow { 800 } else { 150 };
    if mood != Mood::Well && world.chance.happens(slow) {
        answer.said_in += wait_of(world);
        answer.arrives_in = world.chance.below(answer.said_in);
    }
    answer
}

fn taken(world: &mut World, kind: ProviderKind, email: &Email, recipients: Set) -> Answer {
    let nobody = cast::that_do_not_exist(recipients);
    if nobody == recipients {
        return Answer::failed(FailureClass::InvalidRecipient);
    }
    take(world, kind, email, recipients, (nobody, FailureClass::InvalidRecipient))
}

/// Takes it for some, and has others come again.
fn partly(world: &mut World, kind: ProviderKind, email: &Email, recipients: Set) -> Answer {
    let first = recipients & recipients.wrapping_neg();
    if first == recipients {
        return taken(world, kind, email, recipients);
    }
    let class = world.chance.pick(&[
        FailureClass::Unavailable,
        FailureClass::InvalidRecipient,
        FailureClass::RecipientBlocked,
    ]);
    let left_out = world.chance.pick(&[first, recipients & !first]);
    take(world, kind, email, recipients, (left_out, class))
}

fn take(world: &mut World, kind: ProviderKind, email: &Email, recipients: Set, (left_out, class): (Set, FailureClass)) -> Answer {
    let mut accepted = Accepted::new(format!("{kind}-{}", world.tally.calls));
    for (_, mailbox) in email.recipients() {
        if cast::bit_of(mailbox.address.expose()) & left_out != 0 {
            accepted.refused.push(Refusal {
                address: mailbox.address.clone(),
                failure: Failure::provider(class, "simulated", ""),
                next_transaction: false,
            });
        }
    }
    Answer {
        arrives: recipients & !left_out,
        arrives_in: 0,
        said: Some(Ok(accepted)),
        said_in: 0,
    }
}

/// Nobody is told what became of it.
fn lost(world: &mut World, kind: ProviderKind, email: &Email, recipients: Set) -> Answer {
    let mut answer = taken(world, kind, email, recipients);
    if world.chance.happens(400) {
        answer.arrives = 0;
    }
    answer.said = match world.chance.below(6) {
        0 => None,
        1 => Some(Ok(Accepted::new(""))),
        _ => Some(Err(Failure::transport(FailureClass::Unknown, "timeout", ""))),
    };
    answer.said_in = wait_of(world);
    answer
}

#[async_trait]
impl Provider<Email> for SimProvider {
    fn kind(&self) -> ProviderKind {
        self.kind
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn send(&self, email: &Email, call: &Call) -> Result<Accepted, Failure> {
        let (place, said) = self.answer(email, call);
        let said = match said {
            Ok(said) => said,
            Err(waiting) => match waiting.await {
                Ok(said) => said,
                Err(_) => std::future::pending().await,
            },
        };
        self.told(call, place, &said);
        said
    }

    fn can_be_asked(&self) -> bool {
        self.kind == cast::CHAIN[0]
    }

    async fn probe(&self) -> Probe {
        let world = self.shared.lock();
        match world.moods[cast::place_of(self.kind)] {
            Mood::Well | Mood::Slow | Mood::Refusing => Probe::Healthy,
            Mood::Down => Probe::Failed(Failure::provider(FailureClass::Unavailable, "simulated", "")),
            Mood::Misconfigured => Probe::Failed(Failure::provider(FailureClass::Misconfigured, "simulated", "")),
            Mood::Flaky | Mood::Losing | Mood::Throttling => Probe::NoAnswer,
        }
    }
}
