//! The façade as a program uses it, and the whole engine over the real adapters, against the
//! simulator on loopback.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod cutter;
mod fault_matrix;
mod huge_reply;
mod recovery;
mod resets;
mod round_trip;
mod sending;
mod settings;
mod setup;
mod shown;
mod upgrade;
mod upgraded_file;
