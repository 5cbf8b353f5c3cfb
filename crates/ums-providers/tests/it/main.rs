//! Integration tests: adapters over real sockets, against servers that fail on purpose.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod aws;
mod bed;
mod conformance;
mod fault_server;
mod leaks;
mod memory;
mod simulator;
mod smtp;
