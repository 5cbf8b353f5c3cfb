//! Windows: how many claimed messages of a lane are out at the same time, so that the backlog of an outage does not overwhelm a provider
//! that has just recovered.
//!
//! The window of a lane grows by one with each message that a provider answers for, and thus doubles with each full round. A held message
//! halves the window. A lane whose window is smallest and whose messages are still held rests for a moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use ums_core::Purpose;

use crate::lanes::lane;

/// First and smallest size of a window, in messages.
const FIRST: usize = 32;
const LEAST: usize = 4;
/// Rest of a lane whose messages are held although its window is the smallest.
const REST: Duration = Duration::from_millis(250);

/// What the fate of a claimed message says about the providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A provider answered, and the message needs no other call.
    Through,
    /// No provider accepted the message.
    Held,
    /// The fate says nothing about the providers.
    Neutral,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    size: usize,
    out: usize,
    rest_until: Option<Instant>,
}

/// The windows of the lanes.
#[derive(Debug)]
pub(crate) struct Drain {
    most: usize,
    lanes: [Mutex<Window>; 3],
}

impl Drain {
    pub(crate) fn new(most: usize) -> Self {
        let window = Window {
            size: FIRST.min(most),
            out: 0,
            rest_until: None,
        };
        Self {
            most,
            lanes: std::array::from_fn(|_| Mutex::new(window)),
        }
    }

    /// Number of messages of a lane that may be claimed now.
    pub(crate) fn room(&self, purpose: Purpose, now: Instant) -> usize {
        let window = self.window(purpose);
        let rests = window.rest_until.is_some_and(|until| now < until);
        if rests { 0 } else { window.size.saturating_sub(window.out) }
    }

    /// Counts messages of a lane that were claimed.
    pub(crate) fn claimed(&self, purpose: Purpose, messages: usize) {
        self.window(purpose).out += messages;
    }

    /// Takes a message out of the window of its lane, and sizes the window by its progress.
    pub(crate) fn done(&self, purpose: Purpose, progress: Progress, now: Instant) {
        let mut window = self.window(purpose);
        window.out = window.out.saturating_sub(1);
        match progress {
            Progress::Through => {
                window.size = (window.size + 1).min(self.most);
                window.rest_until = None;
            }
            Progress::Held if window.size > LEAST => window.size = (window.size / 2).max(LEAST.min(self.most)),
            Progress::Held => window.rest_until = Some(now + REST),
            Progress::Neutral => {}
        }
    }

    fn window(&self, purpose: Purpose) -> MutexGuard<'_, Window> {
        self.lanes[lane(purpose)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_window_grows_with_success_and_shrinks_with_failure() {
        let drain = Drain::new(100);
        let bulk = Purpose::Bulk;
        assert_eq!(drain.room(bulk, Instant::now()), FIRST);
        drain.claimed(bulk, FIRST);
        assert_eq!(drain.room(bulk, Instant::now()), 0);
        for _ in 0..FIRST {
            drain.done(bulk, Progress::Through, Instant::now());
        }
        assert_eq!(drain.room(bulk, Instant::now()), 2 * FIRST, "it doubles with a full round");
        for _ in 0..10 {
            drain.claimed(bulk, 1);
            drain.done(bulk, Progress::Held, Instant::now());
        }
        assert_eq!(drain.room(bulk, Instant::now()), 0, "the lane rests");
        assert_eq!(drain.room(Purpose::Otp, Instant::now()), FIRST, "the others do not");
        tokio::time::advance(REST).await;
        assert_eq!(drain.room(bulk, Instant::now()), LEAST);
    }
}
