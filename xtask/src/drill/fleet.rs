//! Several replicas on one database, counted over all the processes that each of them is in turn.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::chance::Chance;
use super::stage::{Server, Stage, fixed_address};

/// A replica: one address, one process after the other.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) at: SocketAddr,
    /// The build that its next process is of.
    binary: PathBuf,
    server: Server,
    /// Since when its process ends, to make room for another build's.
    leaves_since: Option<Instant>,
    /// Calls to providers and writes refused by the fence, of the processes that are gone.
    gone: Counts,
    seen: Counts,
    /// Whether it called providers between the last two looks: then it has calls in hand.
    is_busy: bool,
    pub(super) stopped_until: Option<Instant>,
    /// Not to be killed before: it still has to write what it knew when it was stopped.
    pub(super) spared_until: Instant,
}

/// What a replica did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) attempts: f64,
    pub(super) fenced: f64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) replicas: Vec<Replica>,
    pub(super) kills: u32,
    pub(super) stops: u32,
    /// How long the processes took to end that were told to make room.
    pub(super) leaves: Vec<Duration>,
}

/// How a process makes room for another build's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// As it does in an upgrade: by SIGTERM.
    Told,
    /// By `kill -9`.
    Killed,
}

impl Replica {
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped_until.is_some()
    }

    /// Whether its process, or the next one if that is ending, is of this build.
    pub(super) fn is_of(&self, binary: &Path) -> bool {
        self.binary == binary
    }

    /// Whether its process is making room for another build's.
    pub(super) fn leaves(&self) -> bool {
        self.leaves_since.is_some()
    }

    /// What it did so far.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            attempts: self.gone.attempts + self.seen.attempts,
            fenced: self.gone.fenced + self.seen.fenced,
        }
    }

    /// Whether stopping it would leave calls without their outcome.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy && !self.is_stopped()
    }

    /// Starts its next process, which is not waited for.
    fn begin_anew(&mut self, stage: &mut Stage) -> Result<()> {
        self.gone = self.counts();
        self.seen = Counts::default();
        self.is_busy = false;
        self.server = stage.start_build(&self.binary, self.at)?;
        Ok(())
    }

    /// Reads its counters; a process that does not answer keeps its last ones.
    pub(super) async fn look(&mut self) {
        let attempts = self.server.metric("ums_attempts_total", "").await;
        self.is_busy = attempts.is_some_and(|attempts| attempts > self.seen.attempts);
        if let Some(attempts) = attempts {
            self.seen.attempts = attempts;
        }
        if let Some(fenced) = self.server.metric("ums_fenced_writes_total", "").await {
            self.seen.fenced = fenced;
        }
    }
}

impl Fleet {
    /// Starts so many and waits until all are ready.
    pub(super) async fn start(stage: &mut Stage, count: usize, chance: &mut Chance) -> Result<Self> {
        let binary = stage.binary().to_owned();
        Self::start_build(stage, &binary, count, chance).await
    }

    /// The same of another build.
    pub(super) async fn start_build(stage: &mut Stage, binary: &Path, count: usize, chance: &mut Chance) -> Result<Self> {
        let mut replicas = Vec::new();
        for _ in 0..count {
            let at = fixed_address(chance)?;
            let mut server = stage.start_build(binary, at)?;
            server.ready().await?;
            replicas.push(Replica {
                at,
                binary: binary.to_owned(),
                server,
                leaves_since: None,
                gone: Counts::default(),
                seen: Counts::default(),
                is_busy: false,
                stopped_until: None,
                spared_until: Instant::now(),
            });
        }
        Ok(Self {
            replicas,
            kills: 0,
            stops: 0,
            leaves: Vec::new(),
        })
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.at).collect()
    }

    pub(super) fn first(&self) -> Result<&Server> {
        Ok(&self.replicas.first().context("a fleet without replicas")?.server)
    }

    /// Kills one and starts its next process, which is not waited for.
    pub(super) async fn kill(&mut self, stage: &mut Stage, index: usize) -> Result<()> {
        let replica = &mut self.replicas[index];
        replica.look().await;
        replica.server.kill()?;
        replica.begin_anew(stage)?;
        replica.spared_until = Instant::now() + Duration::from_secs(4);
        self.kills += 1;
        Ok(())
    }

    /// Has one replaced by another build. One that is told to make room goes on for a moment; [`Fleet::revive`] sees its end.
    pub(super) async fn replace(&mut self, stage: &mut Stage, index: usize, binary: &Path, how: Leave) -> Result<()> {
        let replica = &mut self.replicas[index];
        binary.clone_into(&mut replica.binary);
        match how {
            Leave::Killed => self.kill(stage, index).await,
            Leave::Told => {
                replica.look().await;
                replica.leaves_since = Some(Instant::now());
                replica.server.process.signal_alone("-TERM");
                Ok(())
            }
        }
    }

    /// Starts anew what ended by itself; tells how many did, but for those that were told to.
    pub(super) fn revive(&mut self, stage: &mut Stage) -> Result<usize> {
        let mut ended = 0;
        for replica in &mut self.replicas {
            if replica.server.ended().is_some() {
                match replica.leaves_since.take() {
                    Some(since) => self.leaves.push(since.elapsed()),
                    None => ended += 1,
                }
                replica.begin_anew(stage)?;
            }
        }
        Ok(ended)
    }

    /// Stops one for longer than its lease.
    pub(super) fn stop(&mut self, index: usize, duration: Duration) {
        let replica = &mut self.replicas[index];
        replica.server.process.signal_alone("-STOP");
        replica.stopped_until = Some(Instant::now() + duration);
        self.stops += 1;
    }

    /// Lets those go on whose time is over, or all.
    pub(super) fn go_on(&mut self, all: bool) {
        let now = Instant::now();
        for replica in &mut self.replicas {
            if replica.stopped_until.is_some_and(|until| all || until <= now) {
                replica.server.process.signal_alone("-CONT");
                replica.stopped_until = None;
                replica.spared_until = now + Duration::from_secs(20);
            }
        }
    }

    /// Waits until every one is ready.
    pub(super) async fn all_ready(&mut self) -> Result<()> {
        for replica in &mut self.replicas {
            replica.server.ready().await?;
        }
        Ok(())
    }
}

impl Drop for Fleet {
    /// A stopped process does not hear that it shall end.
    fn drop(&mut self) {
        self.go_on(true);
    }
}
