//! The service over real sockets, with scripted providers behind it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test helpers fail a test by panicking"
)]

mod acts;
mod batches;
mod client;
mod contract;
mod door;
mod framing;
mod hooks;
mod leaks;
mod lists;
mod pages;
mod problems;
mod providers;
mod sends;
mod setup;
mod shutdown;
mod slow;
mod stores;
mod stories;
mod suppressions;
mod unsubscribe;
mod webhooks;
