//! The flow over scripted providers and the in-memory store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acts;
mod batches;
mod chain;
mod claims;
mod endpoints;
mod feedback;
mod large;
mod leases;
mod list_notices;
mod lost;
mod memory;
mod outage;
mod outbox;
mod pressure;
mod providers;
mod rates;
mod setup;
mod sharing;
mod stories;
mod suppression;
mod systemic;
mod unknown;
mod unsubscribing;
mod waiting;
