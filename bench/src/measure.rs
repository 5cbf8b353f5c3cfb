//! The closed loop around a peer, and what it cost.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::task::LocalSet;

/// Something that sends a message and waits for its answer.
pub(crate) trait Peer: 'static {
    /// What a lane keeps to itself: a connection, or nothing where the peer pools.
    type Lane: 'static;

    async fn lane(&self) -> Result<Self::Lane>;

    /// Sends message `number` and checks that the answer is an acceptance.
    async fn send(&self, lane: &mut Self::Lane, number: u64) -> Result<()>;
}

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) concurrency: usize,
    pub(crate) messages: u64,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Figures {
    messages: u64,
    wall: Duration,
    cpu: Duration,
    /// Sorted.
    latencies: Vec<Duration>,
    warm_up_max: Duration,
}

impl Figures {
    pub(crate) fn to_json(&self) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
        let messages = self.messages as f64;
        json!({
            "msgs_per_s": messages / self.wall.as_secs_f64(),
            "cpu_s_per_1k": self.cpu.as_secs_f64() * 1_000.0 / messages,
            "p50_us": self.percentile(50).as_micros(),
            "p99_us": self.percentile(99).as_micros(),
            "warm_up_max_us": self.warm_up_max.as_micros(),
        })
    }

    fn percentile(&self, percent: usize) -> Duration {
        let index = (self.latencies.len().saturating_sub(1)) * percent / 100;
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

/// Warms up with a tenth of the messages, then measures all of them over the same connections.
pub(crate) async fn measure<P: Peer>(peer: P, load: Load) -> Result<Figures> {
    ensure!(load.concurrency > 0 && load.messages > 0, "nothing to send");
    let peer = Rc::new(peer);
    let mut lanes = Vec::new();
    for _ in 0..load.concurrency {
        lanes.push(peer.lane().await?);
    }
    let (lanes, warm_up) = send_all(&peer, lanes, load.messages.div_ceil(10)).await?;

    let (wall, cpu) = (Instant::now(), cpu_time());
    let (_, mut latencies) = send_all(&peer, lanes, load.messages).await?;
    let (wall, cpu) = (wall.elapsed(), cpu_time().saturating_sub(cpu));
    latencies.sort_unstable();
    Ok(Figures {
        messages: load.messages,
        wall,
        cpu,
        latencies,
        warm_up_max: warm_up.into_iter().max().unwrap_or_default(),
    })
}

/// Shares the messages out to the lanes; gives the lanes back, and how long each message took.
async fn send_all<P: Peer>(peer: &Rc<P>, lanes: Vec<P::Lane>, messages: u64) -> Result<(Vec<P::Lane>, Vec<Duration>)> {
    let next = Rc::new(Cell::new(0));
    let local = LocalSet::new();
    let tasks: Vec<_> = lanes
        .into_iter()
        .map(|lane| local.spawn_local(drive(Rc::clone(peer), lane, Rc::clone(&next), messages)))
        .collect();
    local.await;
    let mut lanes = Vec::new();
    let mut latencies = Vec::new();
    for task in tasks {
        let (lane, took) = task.await??;
        lanes.push(lane);
        latencies.extend(took);
    }
    Ok((lanes, latencies))
}

async fn drive<P: Peer>(peer: Rc<P>, mut lane: P::Lane, next: Rc<Cell<u64>>, messages: u64) -> Result<(P::Lane, Vec<Duration>)> {
    let mut latencies = Vec::new();
    loop {
        let number = next.get();
        if number == messages {
            return Ok((lane, latencies));
        }
        next.set(number + 1);
        let start = Instant::now();
        peer.send(&mut lane, number).await?;
        latencies.push(start.elapsed());
    }
}

/// User and system time of this process so far, to the nanosecond.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}
