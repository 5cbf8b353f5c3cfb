//! The suite of the store port on every implementation, and what only SQLite has.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod backup;
mod crash;
mod ground;
mod group_commit;
mod leaks;
mod memory;
mod opening;
mod parity;
mod parity_after;
mod taken_away;
mod upgrade;

ums_store::store_suite!(in_memory, crate::ground::Memory::new());
ums_store::store_suite!(sqlite_in_memory, crate::ground::SqliteMemory);
ums_store::store_suite!(sqlite_file, crate::ground::SqliteFile::new());
