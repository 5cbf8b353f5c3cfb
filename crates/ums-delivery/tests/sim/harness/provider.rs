//! Simulated providers: how a call reaches them, and what must hold when they are called.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use ums_core::{
    Accepted, AttemptOutcome, BreakerEffect, Call, Duplicates, Email, Failure, FailureClass, Probe, Provider, ProviderKind, Status,
};

use super::answers::{Answer, Asked, Mood, decide, set_of};
use super::cast::{self, Set};
use super::ledger::Row;
use super::reports;
use super::steps::MOST_UNKNOWN;
use super::store::SimStore;
use super::world::{CallMade, NEAR, SECOND, Shared, Told, World, number_of, short};

/// No call starts so shortly before its process's lease ends.
const MARGIN: u64 = 5 * SECOND;

/// A provider as one process sees it.
pub(crate) struct SimProvider {
    pub(crate) kind: ProviderKind,
    pub(crate) shared: Shared,
    pub(crate) store: Arc<SimStore>,
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
            let (id, by) = (short(call.message_id), self.process);
            format!("{}: called for {id}, {recipients:#b}, by process {by:?}", self.kind)
        });
        self.judge(&mut world, recipients, call);
        let asked = Asked {
            kind: self.kind,
            id: call.message_id,
            email,
        };
        let answer = decide(&mut world, asked);
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
        let by_name = answer.refused_by_name();
        let addresses = email.recipients().map(|(_, mailbox)| mailbox.address.expose().to_owned());
        let whom: Vec<_> = addresses
            .filter(|address| cast::bit_of(address) & by_name == 0)
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
                .without_intent(row, owner, recipients, call)
                .or_else(|| {
                    let until = world.ledger.owners.get(&owner).map_or(0, |owner| owner.until);
                    (now + MARGIN > until).then(|| "was called by a process whose lease was over or about to be".to_owned())
                })
                .or_else(|| {
                    (row.record.message.expires_at + Duration::from_micros(NEAR) < world.wall())
                        .then(|| "was called after the message's time".to_owned())
                })
                .or_else(|| for_somebody_in_vain(row, recipients))
                .or_else(|| opted_out(world, row, recipients, call))
                .or_else(|| second_hand_over(world, row, recipients)),
        };
        if let Some(fault) = fault {
            world.blame(|| format!("{}: {} {fault}, by process {:?}", short(id), self.kind, self.process));
        }
    }

    fn without_intent(&self, row: &Row, owner: i64, recipients: Set, call: &Call) -> Option<String> {
        let record = &row.record;
        let attempt = record.attempts.iter().find(|attempt| attempt.id == call.attempt_id);
        let intended = attempt.is_some_and(|attempt| {
            let whom = cast::set_of(&record.recipients, attempt.recipients);
            attempt.outcome == AttemptOutcome::Calling && attempt.provider == self.kind && whom == recipients
        });
        let fine = intended && row.owner == Some(owner) && row.kept == Status::Sending;
        (!fine).then(|| format!("was called without a committed intent; the message is {}", record.status))
    }

    fn told(&self, call: &Call, place: usize, said: &Result<Accepted, Failure>) {
        let mut world = self.shared.lock();
        world.note([12, number_of(call.message_id), u64::from(said.is_ok())], || match said {
            Ok(accepted) => {
                let refused = accepted.refused.iter();
                let refused = refused.map(|refusal| {
                    let bit = cast::bit_of(refusal.address.expose());
                    (bit, refusal.failure.class, refusal.next_transaction)
                });
                let refused: Vec<_> = refused.collect();
                let (id, by) = (short(call.message_id), self.process);
                format!("{}: told process {by:?} that it took {id} but for {refused:?}", self.kind)
            }
            Err(failure) => {
                let by_name = failure.refusals.iter();
                let by_name = by_name.map(|refusal| (cast::bit_of(refusal.address.expose()), refusal.failure.class));
                let by_name: Vec<_> = by_name.collect();
                let (id, by) = (short(call.message_id), self.process);
                format!("{}: told process {by:?} {} for {id}, by name {by_name:?}", self.kind, failure.class)
            }
        });
        let told = match said {
            // An acceptance that cannot be followed up.
            Ok(accepted) if accepted.provider_message_id.is_empty() => Told::Failed(FailureClass::Unknown, 0),
            Ok(accepted) => Told::Taken(set_of(&accepted.refused)),
            Err(failure) => Told::Failed(failure.class, set_of(&failure.refusals)),
        };
        if let Some(made) = world.calls.get_mut(&call.message_id).and_then(|calls| calls.get_mut(place)) {
            made.told = told;
        }
    }
}

/// Nobody is called for whose opt-out was committed before the intent to call.
fn opted_out(world: &World, row: &Row, recipients: Set, call: &Call) -> Option<String> {
    let message = &row.record.message;
    let mut called = row
        .record
        .recipients
        .iter()
        .filter(|recipient| cast::bit_of(&recipient.address) & recipients != 0);
    let optouts = &world.ledger.optouts;
    called
        .any(|recipient| optouts.was_committed_before(message, &recipient.address, call.attempt_id, world.wall()))
        .then(|| "was called for somebody who had opted out".to_owned())
}

/// Nobody is called for a recipient who has an end, nor for one who may have the message twice already.
fn for_somebody_in_vain(row: &Row, recipients: Set) -> Option<String> {
    let places = row.record.recipients.iter().enumerate();
    let mut called = places.filter(|(_, recipient)| cast::bit_of(&recipient.address) & recipients != 0);
    called.find_map(|(place, recipient)| {
        if recipient.status.is_final() {
            return Some(format!("was called for a recipient who is {}", recipient.status));
        }
        (row.unknown_for(place) >= MOST_UNKNOWN).then(|| "was called for a recipient of whom two attempts are unknown".to_owned())
    })
}

/// A second hand-over to a recipient is legal only after an attempt that surely did not reach that recipient, or that is recorded as unknown for
/// that recipient while the message allows duplicates, or that an operator answers for.
fn second_hand_over(world: &World, row: &Row, recipients: Set) -> Option<String> {
    let record = &row.record;
    let allows = record.message.handling.duplicates == Duplicates::Allow;
    for earlier in world.calls.get(&record.message.id)? {
        let again = earlier.recipients & recipients & !earlier.surely_refused();
        let place = record.attempts.iter().position(|attempt| attempt.id == earlier.attempt);
        if again == 0 || place.is_some_and(|place| place < row.pardoned) {
            continue;
        }
        let attempt = place.map(|place| &record.attempts[place]);
        let unknown = attempt.filter(|attempt| allows && attempt.outcome == AttemptOutcome::Unknown);
        let known_risk = unknown.map_or(0, |attempt| cast::set_of(&record.recipients, attempt.recipients));
        let is_failed = attempt.is_some_and(|attempt| attempt.outcome == AttemptOutcome::Failed);
        let reported = is_failed && world.reports.says_only_failed(earlier.attempt);
        if again & !known_risk != 0 && !reported {
            let outcome = attempt.map(|attempt| attempt.outcome);
            return Some(format!(
                "was handed the message a second time for {again:#b}; the attempt before is recorded as {outcome:?}"
            ));
        }
    }
    None
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
