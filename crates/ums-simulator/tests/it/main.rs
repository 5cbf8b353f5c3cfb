//! The simulator over real sockets, by a client that knows nothing of it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod client;
mod control;
mod faults;
mod feedback;
mod hook;
mod journal;
mod logs;
mod requests;
mod sendgrid;
mod ses;
mod smtp;
mod smtp_faults;
mod sns;
mod twilio;

use std::time::Duration;

use ums_simulator::{Simulator, SimulatorConfig};

/// Longest wait for something that is bound to happen.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> Simulator {
    Simulator::start(SimulatorConfig::any_ports()).await.expect("free ports")
}

/// Waits until the condition holds.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it never came true");
}
