//! What a provider does with a call: whom it takes the message for, what arrives, and what it says.

use ums_core::{Accepted, Email, EmailAddress, Failure, FailureClass, MessageId, ProviderKind, Refusal};

use super::cast::{self, Set};
use super::world::{SECOND, World};

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
pub(super) struct Answer {
    /// Who gets it, and when; whatever becomes of the process that called.
    pub(super) arrives: Set,
    pub(super) arrives_in: u64,
    /// What is said, and when; none to say nothing ever.
    pub(super) said: Option<Result<Accepted, Failure>>,
    pub(super) said_in: u64,
}

impl Answer {
    fn at_once(arrives: Set, said: Result<Accepted, Failure>) -> Self {
        Self {
            arrives,
            arrives_in: 0,
            said: Some(said),
            said_in: 0,
        }
    }

    fn failed(class: FailureClass) -> Self {
        Self::at_once(0, Err(Failure::provider(class, "simulated", "")))
    }

    /// Those whom the provider refuses by name.
    pub(super) fn refused_by_name(&self) -> Set {
        match &self.said {
            Some(Ok(accepted)) => set_of(&accepted.refused),
            Some(Err(failure)) => set_of(&failure.refusals),
            None => 0,
        }
    }
}

/// Whom refusals are about.
pub(super) fn set_of(refusals: &[Refusal]) -> Set {
    let bits = refusals.iter().map(|refusal| cast::bit_of(refusal.address.expose()));
    bits.fold(0, |set, bit| set | bit)
}

/// A call as its provider sees it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) kind: ProviderKind,
    pub(super) id: MessageId,
    pub(super) email: &'a Email,
}

/// What a provider says to one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Refused(FailureClass),
    /// There are too many for one transaction.
    TooMany,
}

/// Each recipient with what the provider says.
type Verdicts<'a> = Vec<(&'a EmailAddress, Verdict)>;

fn wait_of(world: &mut World) -> u64 {
    let (low, high) = world
        .chance
        .weighted(&[(5, (1, SECOND / 2)), (3, (SECOND / 2, 3 * SECOND)), (2, (3 * SECOND, 12 * SECOND))]);
    world.chance.between(low, high)
}

/// Decides what a provider does with a call.
pub(super) fn decide(world: &mut World, asked: Asked<'_>) -> Answer {
    use FailureClass as C;
    let place = cast::place_of(asked.kind);
    let mood = world.moods[place];
    let is_picky = world.picky[place];
    let is_picky = world.chance.happens(is_picky);
    let mut answer = match mood {
        Mood::Losing if world.chance.happens(700) => lost(world, asked, is_picky),
        Mood::Well | Mood::Slow | Mood::Losing => taken(world, asked, is_picky),
        Mood::Down => down(world, asked, is_picky),
        Mood::Refusing => Answer::failed(C::InvalidRecipient),
        Mood::Throttling => Answer::failed(C::Throttled),
        Mood::Misconfigured => Answer::failed(C::Misconfigured),
        Mood::Flaky => match world.chance.below(10) {
            0..3 => taken(world, asked, is_picky),
            3..5 => down(world, asked, is_picky),
            5 => Answer::failed(C::Throttled),
            6 => Answer::failed(
                world
                    .chance
                    .pick(&[C::QuotaExhausted, C::Unsupported, C::InvalidMessage, C::RecipientBlocked]),
            ),
            7 => taken(world, asked, true),
            _ => lost(world, asked, is_picky),
        },
    };
    let slow = if mood == Mood::Slow { 800 } else { 150 };
    if mood != Mood::Well && world.chance.happens(slow) {
        answer.said_in += wait_of(world);
        answer.arrives_in = world.chance.below(answer.said_in);
    }
    answer
}

/// What the provider says to each recipient. Those whom it promised to take in its next transaction are taken.
fn verdicts<'a>(world: &mut World, asked: Asked<'a>, is_picky: bool) -> Verdicts<'a> {
    use {FailureClass as C, Verdict as V};
    let cuts = is_picky && world.chance.happens(250);
    let room = world.chance.between(1, 4);
    let mut taken = 0;
    let mut verdicts = Vec::new();
    for (_, mailbox) in asked.email.recipients() {
        let address = &mailbox.address;
        let is_promised = world.promised.contains(&(asked.kind, asked.id, cast::bit_of(address.expose())));
        let verdict = if cast::is_nobody(address.expose()) {
            V::Refused(C::InvalidRecipient)
        } else if is_promised || !is_picky {
            V::Taken
        } else if cuts {
            if taken < room { V::Taken } else { V::TooMany }
        } else {
            world.chance.weighted(&[
                (50, V::Taken),
                (22, V::Refused(C::Unavailable)),
                (4, V::Refused(C::Throttled)),
                // These two bring the recipient onto the suppression list.
                (1, V::Refused(C::InvalidRecipient)),
                (1, V::Refused(C::RecipientBlocked)),
                (4, V::Refused(C::InvalidMessage)),
                (3, V::Refused(C::Unsupported)),
                (1, V::Refused(C::Misconfigured)),
                (9, V::TooMany),
            ])
        };
        // Nobody is too many before the first one is taken.
        let verdict = if verdict == V::TooMany && taken == 0 {
            V::Refused(C::Unavailable)
        } else {
            verdict
        };
        taken += u64::from(verdict == V::Taken);
        verdicts.push((address, verdict));
    }
    verdicts
}

fn those_taken(verdicts: &Verdicts<'_>) -> Set {
    let taken = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Taken);
    taken.fold(0, |set, (address, _)| set | cast::bit_of(address.expose()))
}

fn refusals(verdicts: &Verdicts<'_>, is_accepted: bool) -> Vec<Refusal> {
    let refused = verdicts.iter().filter_map(|(address, verdict)| {
        let class = match verdict {
            Verdict::Taken => return None,
            Verdict::Refused(class) => *class,
            Verdict::TooMany => FailureClass::Unavailable,
        };
        Some(Refusal {
            address: (*address).clone(),
            failure: Failure::provider(class, "simulated", ""),
            next_transaction: is_accepted && *verdict == Verdict::TooMany,
        })
    });
    refused.collect()
}

/// A failure of the whole call, with the refusals that came before it; the only recipient's refusal is the failure itself.
fn with_refusals(failure: Failure, verdicts: &Verdicts<'_>) -> Failure {
    if verdicts.len() == 1 {
        return failure;
    }
    failure.with_refusals(refusals(verdicts, false))
}

/// Nobody is left: the call fails as a refusal that leaves hope, if there is one.
fn nobody_taken(verdicts: &Verdicts<'_>) -> Answer {
    let all = refusals(verdicts, false);
    let hopeful = |refusal: &&Refusal| refusal.failure.class != FailureClass::InvalidRecipient;
    let chosen = all.iter().find(hopeful).or(all.first());
    let failure = chosen.map(|refusal| refusal.failure.clone()).unwrap();
    Answer::at_once(0, Err(with_refusals(failure, verdicts)))
}

/// Takes it for those whom it takes it for.
fn taken(world: &mut World, asked: Asked<'_>, is_picky: bool) -> Answer {
    let verdicts = verdicts(world, asked, is_picky);
    let arrives = those_taken(&verdicts);
    if arrives == 0 {
        return nobody_taken(&verdicts);
    }
    let mut accepted = Accepted::new(format!("{}-{}", asked.kind, world.tally.calls));
    accepted.refused = refusals(&verdicts, true);
    world.tally.partly += u64::from(!accepted.refused.is_empty());
    for (address, verdict) in &verdicts {
        let promise = (asked.kind, asked.id, cast::bit_of(address.expose()));
        match verdict {
            Verdict::Taken => world.tally.next_transactions += u64::from(world.promised.remove(&promise)),
            Verdict::TooMany => {
                world.promised.insert(promise);
            }
            Verdict::Refused(_) => {}
        }
    }
    Answer::at_once(arrives, Ok(accepted))
}

/// Surely takes nothing; it may have refused some by name before the connection was lost.
fn down(world: &mut World, asked: Asked<'_>, is_picky: bool) -> Answer {
    let failure = Failure::transport(FailureClass::Unavailable, "connection_lost", "");
    let verdicts = verdicts(world, asked, is_picky);
    if !is_picky || those_taken(&verdicts) == 0 {
        return Answer::failed(FailureClass::Unavailable);
    }
    Answer::at_once(0, Err(with_refusals(failure, &verdicts)))
}

/// Nobody is told what became of it; some may have been refused by name before.
fn lost(world: &mut World, asked: Asked<'_>, is_picky: bool) -> Answer {
    let verdicts = verdicts(world, asked, is_picky);
    let arrives = those_taken(&verdicts);
    if arrives == 0 {
        return nobody_taken(&verdicts);
    }
    let arrives = if world.chance.happens(400) { 0 } else { arrives };
    let said = match world.chance.below(6) {
        0 => None,
        1 => Some(Ok(Accepted::new(""))),
        _ => {
            let failure = Failure::transport(FailureClass::Unknown, "timeout", "");
            Some(Err(with_refusals(failure, &verdicts)))
        }
    };
    Answer {
        arrives,
        arrives_in: 0,
        said,
        said_in: wait_of(world),
    }
}
