//! The whole engine over the real adapters, against the simulator on loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fault_matrix;
mod huge_reply;
mod recovery;
mod resets;
mod round_trip;
mod setup;
