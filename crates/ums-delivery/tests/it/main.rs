//! The flow over scripted providers and the in-memory store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chain;
mod claims;
mod setup;
mod stories;
mod waiting;
