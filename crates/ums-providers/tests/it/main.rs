//! Integration tests: adapters over real sockets, against servers that fail on purpose.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aws;
mod bed;
mod conformance;
mod content;
mod credential_chain;
#[expect(dead_code, reason = "shared with the transport's own tests, which use more of it")]
mod fault_server;
mod leaks;
mod memory;
mod ses_events;
mod simulator;
mod sms_logs;
mod smtp;
mod sns;
mod tls;
mod twilio_list;
