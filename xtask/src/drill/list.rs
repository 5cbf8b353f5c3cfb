//! The drills by name: what each is, where it is played, and its form in every test run.

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;

use super::report::Report;
use super::stage::Store;
use super::{
    Play, backup, breaker, busy, clock, crash, database, descriptors, disk_full, door, feedback, fsync, ground, idempotency, judging, log,
    memory, pace, replicas, sigterm, soak, upgrade,
};

type Playing<'a> = Pin<Box<dyn Future<Output = Result<Report>> + 'a>>;

/// One drill.
pub(super) struct Drill {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) stores: &'static [Store],
    /// Rounds of the long form, on each store.
    pub(super) rounds: u64,
    /// Stores and rounds of the short form; empty: no test run plays it.
    short: &'static [(Store, u64)],
    /// Its short form is played while no other is: it measures, or plants faults in what others use.
    pub(super) is_alone: bool,
    pub(super) run: for<'a> fn(&'a Play<'a>, Store) -> Playing<'a>,
}

/// The short form of a drill on one store.
pub(super) struct Short {
    pub(super) drill: &'static Drill,
    pub(super) store: Store,
    pub(super) rounds: u64,
}

/// What every test run plays, in the order of the list.
pub(super) fn shorts() -> impl Iterator<Item = Short> {
    DRILLS.iter().flat_map(|drill| {
        let forms = drill.short.iter();
        forms.map(move |&(store, rounds)| Short { drill, store, rounds })
    })
}

pub(super) const BOTH: &[Store] = &[Store::Sqlite, Store::Postgres];

pub(super) const DRILLS: &[Drill] = &[
    Drill {
        name: "judge",
        what: "the judge finds what is planted: a loss, a double, a claim without ground",
        stores: &[Store::Sqlite],
        rounds: 60,
        short: &[(Store::Sqlite, 60)],
        is_alone: true,
        run: |play, _| Box::pin(judging::run(play)),
    },
    Drill {
        name: "crash",
        what: "kill -9 at random instants and at named points",
        stores: BOTH,
        rounds: 100,
        short: &[(Store::Sqlite, 14), (Store::Postgres, 6)],
        is_alone: false,
        run: |play, store| Box::pin(crash::run(play, store)),
    },
    Drill {
        name: "replicas",
        what: "4 replicas, killed and stopped, and their database restarted; rounds are messages",
        stores: &[Store::Postgres],
        rounds: 20_000,
        short: &[],
        is_alone: false,
        run: |play, _| Box::pin(replicas::run(play)),
    },
    Drill {
        name: "upgrade",
        what: "5 replicas of the release before (--old) are killed, and replaced one by one; rounds are messages",
        stores: &[Store::Postgres],
        rounds: 8_000,
        short: &[],
        is_alone: false,
        run: |play, _| Box::pin(upgrade::run(play)),
    },
    Drill {
        name: "idempotency",
        what: "20 posts at once with each key; rounds are keys",
        stores: BOTH,
        rounds: 1_000,
        short: &[],
        is_alone: false,
        run: |play, store| Box::pin(idempotency::run(play, store)),
    },
    Drill {
        name: "database",
        what: "databases that do not fit, a pooler, a first commit that is cut off, texts that are refused; rounds are messages",
        stores: &[Store::Postgres],
        rounds: 2_000,
        short: &[(Store::Postgres, 150)],
        is_alone: false,
        run: |play, _| Box::pin(database::run(play)),
    },
    Drill {
        name: "disk-full",
        what: "the disk fills up and gets room again (wants root)",
        stores: &[Store::Sqlite],
        rounds: 3,
        short: &[],
        is_alone: false,
        run: |play, _| Box::pin(disk_full::run(play)),
    },
    Drill {
        name: "ground",
        what: "a second process by another name of the file; the file taken away (wants root); rounds are removals",
        stores: &[Store::Sqlite],
        rounds: 6,
        short: &[(Store::Sqlite, 2)],
        is_alone: false,
        run: |play, _| Box::pin(ground::run(play)),
    },
    Drill {
        name: "backup",
        what: "a backup under load, kill -9, the database destroyed, the backup restored",
        stores: BOTH,
        rounds: 12,
        short: &[(Store::Sqlite, 2), (Store::Postgres, 1)],
        is_alone: false,
        run: |play, store| Box::pin(backup::run(play, store)),
    },
    Drill {
        name: "descriptors",
        what: "strangers and a limit take all file descriptors: no provider is blamed",
        stores: &[Store::Sqlite],
        rounds: 1,
        short: &[(Store::Sqlite, 1)],
        is_alone: false,
        run: |play, _| Box::pin(descriptors::run(play)),
    },
    Drill {
        name: "memory",
        what: "large mails, long lists and a restart within 512 MiB (wants root); rounds are mails of 23 MiB",
        stores: BOTH,
        rounds: 16,
        short: &[],
        is_alone: true,
        run: |play, store| Box::pin(memory::run(play, store)),
    },
    Drill {
        name: "busy",
        what: "receivers that never stop talking, while /livez is looked at; rounds are seconds",
        stores: &[Store::Sqlite],
        rounds: 30,
        short: &[(Store::Sqlite, 8)],
        is_alone: true,
        run: |play, _| Box::pin(busy::run(play)),
    },
    Drill {
        name: "fsync",
        what: "before each 2xx lies a sync that covers it; rounds are messages",
        stores: BOTH,
        rounds: 1_000,
        short: &[],
        is_alone: false,
        run: |play, store| Box::pin(fsync::run(play, store)),
    },
    Drill {
        name: "pace",
        what: "an account's pace holds over 3 replicas",
        stores: &[Store::Postgres],
        rounds: 1,
        short: &[],
        is_alone: false,
        run: |play, _| Box::pin(pace::run(play)),
    },
    Drill {
        name: "breaker",
        what: "a provider that one replica found dead is skipped by all and probed by one",
        stores: &[Store::Postgres],
        rounds: 1,
        short: &[],
        is_alone: false,
        run: |play, _| Box::pin(breaker::run(play)),
    },
    Drill {
        name: "feedback",
        what: "reports late, in copies, out of order and before our commit; rounds are messages",
        stores: &[Store::Sqlite],
        rounds: 2_000,
        short: &[(Store::Sqlite, 200)],
        is_alone: false,
        run: |play, _| Box::pin(feedback::run(play)),
    },
    Drill {
        name: "clock",
        what: "the clock jumps ahead by 500 days and back by 2 under load; rounds are jumps ahead",
        stores: BOTH,
        rounds: 1,
        short: &[(Store::Sqlite, 1)],
        is_alone: false,
        run: |play, store| Box::pin(clock::run(play, store)),
    },
    Drill {
        name: "sigterm",
        what: "SIGTERM under load",
        stores: BOTH,
        rounds: 10,
        short: &[],
        is_alone: false,
        run: |play, store| Box::pin(sigterm::run(play, store)),
    },
    Drill {
        name: "door",
        what: "strangers hold every connection, drip, read nothing and try keys, while callers post and an orchestrator probes; rounds are seconds",
        stores: &[Store::Sqlite],
        rounds: 60,
        short: &[(Store::Sqlite, 4)],
        is_alone: true,
        run: |play, _| Box::pin(door::run(play)),
    },
    Drill {
        name: "log",
        what: "nobody reads the log: posts, SIGHUP, SIGTERM, a second signal",
        stores: &[Store::Sqlite],
        rounds: 1,
        short: &[(Store::Sqlite, 1)],
        is_alone: false,
        run: |play, _| Box::pin(log::run(play)),
    },
    Drill {
        name: "soak",
        what: "200 messages a second while faults come and go, by hand: memory, descriptors, threads and answers; rounds are minutes",
        stores: BOTH,
        rounds: 60,
        short: &[],
        is_alone: true,
        run: |play, store| Box::pin(soak::run(play, store)),
    },
];
