//! The suite of the store port on PostgreSQL, and what only PostgreSQL has: several processes on one database.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod aftermath;
mod faults;
mod ground;
mod group_commit;
mod leases;
mod opening;
mod opt_outs;
mod refusals;
mod restored;
mod sharing;
mod upgrade;

ums_store::store_suite!(postgres, crate::ground::Suite::default());
