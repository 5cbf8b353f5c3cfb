//! The time limits of one exchange, under one timer.
//!
//! The timer is set once, for the earliest end that is possible, and looks at the meter only when
//! it fires: a call that goes well pays for one timer and no more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

use super::stream::Meter;
use super::{Cause, TimeLimits};

/// When the first look is due.
pub(super) fn first_look(limits: &TimeLimits, deadline: Instant) -> Instant {
    deadline.min(Instant::now() + limits.write_stall.min(limits.reply))
}

/// Watches over one exchange.
pub(super) struct Watch<'a> {
    pub(super) limits: &'a TimeLimits,
    pub(super) deadline: Instant,
    pub(super) timer: Pin<&'a mut Sleep>,
}

impl Watch<'_> {
    /// Ready when the exchange has used up its time.
    pub(super) fn poll_expired(&mut self, meter: &Meter, cx: &mut Context<'_>) -> Poll<Cause> {
        loop {
            // Without the task's budget: what the task read before must not keep the timer from being asked.
            ready!(Pin::new(&mut tokio::task::unconstrained(self.timer.as_mut())).poll(cx));
            let (due, cause) = self.next_end(meter);
            if due <= Instant::now() {
                return Poll::Ready(cause);
            }
            self.timer.as_mut().reset(due);
        }
    }

    fn next_end(&self, meter: &Meter) -> (Instant, Cause) {
        let (due, cause) = if meter.flushed() {
            (meter.last_progress() + self.limits.reply, Cause::ReplyTimeout)
        } else {
            (meter.last_progress() + self.limits.write_stall, Cause::WriteStalled)
        };
        if self.deadline < due {
            (self.deadline, Cause::Deadline)
        } else {
            (due, cause)
        }
    }
}
