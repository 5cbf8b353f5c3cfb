//! When to stop: SIGINT or SIGTERM. A second one ends the process at once; SIGHUP is told and ignored.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit status when a second signal ended the process: what it had in hand is taken up at the next start.
const ENDED_AT_ONCE: i32 = 130;

/// The signals that ask a process to stop, being listened to.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens from now on; a signal that comes before it is waited for is kept.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn listen() -> Result<Self> {
        let on = |kind| signal(kind).context("listening to signals");
        let stop = Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
        };
        end_at_the_second().context("listening to signals")?;
        ignore(on(SignalKind::hangup())?);
        Ok(stop)
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    /// A signal that comes when nobody waits is kept for the next call.
    pub(crate) async fn requested(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ends the process within the handler of the second signal, so that nothing that is stuck can keep it.
fn end_at_the_second() -> std::io::Result<()> {
    let was_told = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down.
        flag::register_conditional_shutdown(signal, ENDED_AT_ONCE, Arc::clone(&was_told))?;
        flag::register(signal, Arc::clone(&was_told))?;
    }
    Ok(())
}

/// The default of SIGHUP is to end the process (signal(7)); a terminal or a supervisor sends it without meaning that.
fn ignore(mut hangup: Signal) {
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP is ignored: settings are read at the start");
        }
    });
}
