//! The real binary, from outside: its own processes, environment cleared, scratch folders, free ports.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod account;
mod acts;
mod aftermath;
mod backup;
mod bad_input;
mod canary;
mod classify;
mod config;
mod dev;
mod door;
mod help;
mod http;
mod messages;
mod optouts;
mod partial;
mod program;
mod providers;
mod send;
mod serve;
mod spellings;
mod stuck;
