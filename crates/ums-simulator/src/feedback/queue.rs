//! What is to be posted, by when it falls due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::post::Outcome;
use super::{Feedback, Report};

/// Most reports that wait; more are lost and counted.
const MAX_WAITING: u64 = 500_000;

/// Most posts at the same time.
const MAX_POSTS: usize = 16;

/// Most events that SendGrid puts into one request.
const MAX_BATCH: usize = 100;

/// Wait before the first repetition; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Counts of the feedback since the start. A report is one event.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FeedbackStats {
    /// Reports not yet posted, or to be repeated, or under way.
    pub waiting: u64,
    /// Reports that were answered with 2xx, copies included.
    pub taken: u64,
    /// Posts that were not taken and are repeated.
    pub repeated: u64,
    /// Reports given up: refused for good, repeated too often, or too many waited.
    pub lost: u64,
    /// Messages whose status callback lies elsewhere or nowhere, so that nothing was posted.
    pub withheld: u64,
}

/// A report, and when to post it.
#[derive(Debug)]
pub(super) struct Due {
    at: Instant,
    pub(super) report: Report,
    /// Posts of it that failed.
    failures: u32,
}

impl Due {
    pub(super) fn after(delay: Duration, report: Report) -> Self {
        Self {
            at: Instant::now() + delay,
            report,
            failures: 0,
        }
    }

    pub(super) fn at_once(report: Report) -> Self {
        Self::after(Duration::ZERO, report)
    }

    /// When the provider repeats it after this outcome; `None` if never.
    ///
    /// SNS gives up at once on 4xx, else after three repetitions. SendGrid goes on for 24 hours; here it
    /// ends earlier. Twilio repeats once, and only when nobody took the connection.
    fn again(&self, outcome: Outcome) -> Option<Duration> {
        let most = match (&self.report, outcome) {
            (_, Outcome::Taken) | (Report::Amazon(_), Outcome::Refused) | (Report::Twilio(_), Outcome::Refused | Outcome::Failed) => 0,
            (Report::Amazon(_), Outcome::Failed | Outcome::Unreached) => 3,
            (Report::SendGrid(_), Outcome::Refused | Outcome::Failed | Outcome::Unreached) => 10,
            (Report::Twilio(_), Outcome::Unreached) => 1,
        };
        (self.failures < most).then(|| FIRST_WAIT * 2_u32.pow(self.failures.min(5)))
    }
}

/// The way into the queue, and its counts.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::UnboundedSender<Due>,
    waiting: AtomicU64,
    taken: AtomicU64,
    repeated: AtomicU64,
    lost: AtomicU64,
    withheld: AtomicU64,
}

impl Queue {
    pub(super) fn new(sender: mpsc::UnboundedSender<Due>) -> Self {
        Self {
            sender,
            waiting: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            withheld: AtomicU64::new(0),
        }
    }

    pub(super) fn stats(&self) -> FeedbackStats {
        FeedbackStats {
            waiting: self.waiting.load(Relaxed),
            taken: self.taken.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
            lost: self.lost.load(Relaxed),
            withheld: self.withheld.load(Relaxed),
        }
    }

    pub(super) fn withheld(&self) {
        self.withheld.fetch_add(1, Relaxed);
    }

    pub(super) fn put(&self, due: Due) {
        if self.waiting.load(Relaxed) >= MAX_WAITING {
            self.lost.fetch_add(due.report.events(), Relaxed);
            return;
        }
        self.put_aside(&due.report);
        self.send(due);
    }

    /// Counts a report that is posted past the queue.
    pub(super) fn put_aside(&self, report: &Report) {
        self.waiting.fetch_add(report.events(), Relaxed);
    }

    fn send(&self, due: Due) {
        let events = due.report.events();
        // The other end goes away with the simulator.
        if self.sender.send(due).is_err() {
            self.waiting.fetch_sub(events, Relaxed);
            self.lost.fetch_add(events, Relaxed);
        }
    }

    /// Counts a post, and puts the report back if it is to be repeated.
    pub(super) fn ended(&self, due: Due, outcome: Outcome) {
        let events = due.report.events();
        if let Some(wait) = due.again(outcome) {
            self.repeated.fetch_add(1, Relaxed);
            self.send(Due {
                at: Instant::now() + wait,
                report: due.report,
                failures: due.failures + 1,
            });
            return;
        }
        let count = if outcome == Outcome::Taken { &self.taken } else { &self.lost };
        count.fetch_add(events, Relaxed);
        self.waiting.fetch_sub(events, Relaxed);
    }
}

/// Posts what falls due until told to stop.
pub(super) async fn run(feedback: Arc<Feedback>, mut inbox: mpsc::UnboundedReceiver<Due>, stop: CancellationToken, tasks: TaskTracker) {
    let hands = Arc::new(Semaphore::new(MAX_POSTS));
    let mut waiting = Waiting::default();
    loop {
        let next = waiting.next();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            due = inbox.recv() => match due {
                Some(due) => waiting.add(due),
                None => return,
            },
            () = until(next) => {}
        }
        for due in waiting.take(Instant::now()) {
            let hand = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                hand = Arc::clone(&hands).acquire_owned() => hand,
            };
            let (feedback, stop) = (Arc::clone(&feedback), stop.clone());
            tasks.spawn(async move {
                let _hand = hand;
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = feedback.attempt(due) => {}
                }
            });
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reports in the order in which they fall due.
#[derive(Debug, Default)]
struct Waiting {
    by_time: BTreeMap<(Instant, u64), Due>,
    count: u64,
}

impl Waiting {
    fn add(&mut self, due: Due) {
        self.count += 1;
        self.by_time.insert((due.at, self.count), due);
    }

    fn next(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes what is due. SendGrid's events go together, in as few requests as it would make.
    fn take(&mut self, now: Instant) -> Vec<Due> {
        let later = self.by_time.split_off(&(now, u64::MAX));
        let all = std::mem::replace(&mut self.by_time, later);
        let mut ready: Vec<Due> = Vec::with_capacity(all.len());
        let mut open: Option<usize> = None;
        for due in all.into_values() {
            let Report::SendGrid(events) = &due.report else {
                ready.push(due);
                continue;
            };
            if due.failures == 0
                && let Some(at) = open
                && let Some(Due {
                    report: Report::SendGrid(batch),
                    ..
                }) = ready.get_mut(at)
                && batch.len() + events.len() <= MAX_BATCH
            {
                batch.extend(events.iter().cloned());
                continue;
            }
            if due.failures == 0 {
                open = Some(ready.len());
            }
            ready.push(due);
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Report {
        Report::SendGrid(vec![Arc::new(serde_json::Value::Null)])
    }

    #[test]
    fn events_that_fall_due_together_go_together() {
        let mut waiting = Waiting::default();
        for _ in 0..150 {
            waiting.add(Due::at_once(event()));
        }
        waiting.add(Due::after(Duration::from_secs(1), event()));
        let sizes = |ready: Vec<Due>| ready.iter().map(|due| due.report.events()).collect::<Vec<_>>();
        assert_eq!(sizes(waiting.take(Instant::now())), [100, 50]);
        assert!(waiting.take(Instant::now()).is_empty());
        assert_eq!(sizes(waiting.take(Instant::now() + Duration::from_secs(1))), [1]);
    }

    #[test]
    fn repetitions_end() {
        let mut due = Due::at_once(event());
        let mut waits = 0;
        while due.again(Outcome::Failed).is_some() {
            due.failures += 1;
            waits += 1;
        }
        assert_eq!(waits, 10);
        assert_eq!(due.again(Outcome::Taken), None);
    }
}
