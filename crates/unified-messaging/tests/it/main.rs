//! The façade as a program uses it, and the whole engine over the real adapters, against the
//! simulator on loopback.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod cutter;
mod every_recipient;
mod fault_matrix;
mod huge_reply;
mod large;
mod partial;
mod recovery;
mod refusals;
mod resets;
mod round_trip;
mod scripted_smtp;
mod sending;
mod settings;
mod setup;
mod shown;
mod upgrade;
mod upgraded_file;
