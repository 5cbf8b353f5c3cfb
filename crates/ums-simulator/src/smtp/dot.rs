//! What follows the final dot: the acceptance, or what a fault leaves of it.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{BLOCK, Flow, MAX_MESSAGE, Session};
use crate::Mode;
use crate::fault_board::Strike;
use crate::reply::{HUGE_BYTES, PADDING};

impl Session {
    /// Answers the final dot, or does what the fault demands instead.
    pub(super) async fn answer_dot(&mut self, strike: Option<Strike>, queue_id: &str) -> io::Result<Flow> {
        let accepted = format!("250 2.0.0 Ok: queued as {queue_id}");
        let Some(mut strike) = strike else {
            self.say(&accepted);
            return Ok(Flow::GoOn);
        };
        match strike.fault.mode {
            Mode::Slow => {
                let delay = std::time::Duration::from_millis(strike.fault.delay_ms);
                tokio::time::sleep(delay).await;
                self.say(&accepted);
            }
            Mode::HangAfter => {
                if !self.hang(&mut strike).await? {
                    return Ok(Flow::Close);
                }
                self.say(&accepted);
            }
            Mode::ResetAfter => return Ok(Flow::Reset),
            Mode::Garbage => self.say("\u{fffd}\u{1}<<{[ not what you asked for"),
            Mode::Truncate => {
                self.output.extend_from_slice(b"250 2.0.0 Ok: que");
                return Ok(Flow::Close);
            }
            Mode::Empty => self.say("250"),
            Mode::Huge => return self.say_without_end().await,
            Mode::Error
            | Mode::Refuse
            | Mode::Hang
            | Mode::ResetBefore
            | Mode::Throttle
            | Mode::Unauthorized
            | Mode::Suspended
            | Mode::Quota
            | Mode::Reject
            | Mode::Defer
            | Mode::TooMany
            | Mode::AcceptThenError
            | Mode::Bounce
            | Mode::NeverDeliver
            | Mode::Unsubscribed => self.say(&accepted),
        }
        Ok(Flow::GoOn)
    }

    /// Says one line of 2 GB, the beginning of an acceptance.
    async fn say_without_end(&mut self) -> io::Result<Flow> {
        self.output.extend_from_slice(b"250 2.0.0 Ok: queued as ");
        self.flush().await?;
        let mut left = HUGE_BYTES;
        while left > 0 {
            self.wire.write_all(&PADDING).await?;
            left = left.saturating_sub(PADDING.len() as u64);
        }
        self.say("");
        Ok(Flow::GoOn)
    }

    /// Says nothing until the fault is healed; false if the peer left before.
    pub(super) async fn hang(&mut self, strike: &mut Strike) -> io::Result<bool> {
        self.flush().await?;
        loop {
            self.input.reserve(BLOCK);
            tokio::select! {
                () = strike.healed() => return Ok(true),
                read = self.wire.read_buf(&mut self.input) => if read? == 0 {
                    return Ok(false);
                },
            }
            if self.input.len() > MAX_MESSAGE {
                return Ok(false);
            }
        }
    }
}
