//! A deterministic simulator of the dispatch core: real engines over simulated ports, on one thread, led by a seed.
//!
//! Each process is a [`ums_delivery::Messaging`] on a paused runtime of its own, so that a crash is the drop of that runtime between two
//! polls and a pause is not polling it while time goes on. All of them share one [`world::World`]: time, chance, the store
//! ([`ledger`]), the providers and a record of every call. A store's call may be refused, delayed before and after its write, or lose
//! its answer; a delayed write happens although its process died meanwhile, as with a database server.
//!
//! [`run::run`] takes a seed through three acts: a stormy one, in which [`actions`] follow each other by chance; a calm one, in which
//! everything is healed and time passes beyond every expiry; and the judgement. What must hold at the moment of a call or a write is
//! checked there ([`provider`], [`steps`]); what must hold at the end in [`judge`]. A fault of the store itself is a [`Flaw`], a fault of the engine
//! a [`Mutant`]: a port that lies to the engine.
//!
//! It must never look at the real clock, real chance, the order of a hash map, or anything else that the seed does not decide.

mod actions;
mod answers;
mod aside;
mod cast;
mod chance;
mod judge;
mod ledger;
mod mutant_store;
mod mutants;
mod optouts;
mod process;
mod provider;
mod reports;
mod run;
mod steps;
mod store;
mod world;

pub(crate) use ledger::Flaw;
pub(crate) use mutants::Mutant;
pub(crate) use run::{Outcome, Plan, run};
pub(crate) use world::Tally;
