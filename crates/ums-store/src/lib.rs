//! Where messages are kept: the only crate with SQL.
//!
//! Three implementations of [`ums_core::Store`] with one behaviour, held together by one suite
//! (feature `conformance`):
//!
//! - [`SqliteStore`], a file: what was answered survives the process and the machine's power;
//! - [`PostgresStore`], for several processes on one database;
//! - [`MemoryStore`], for a library without a database: nothing survives.
//!
//! **Invariant:** what [`Store::accept`] and [`Store::record`] have answered is on stable storage
//! when the store is durable. **Invariant:** no error names an address, a body or a key.

mod archive;
mod backup;
mod batch;
mod before;
mod encoded;
mod facts;
mod fence;
mod json;
mod kept;
mod kept_time;
mod listed;
mod location;
mod matching;
mod memory;
mod migration;
mod migrations;
mod newer;
mod plain;
mod postgres;
mod remedy;
mod restored;
mod sqlite;
mod turns;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;

use ums_core::{Clock, Store, StoreError};

pub use backup::{backup, mark_restored, restore};
pub use memory::MemoryStore;
pub use migration::Migration;
pub use migrations::{migrate, migrations_of, pending_migrations};
pub use postgres::{PostgresOptions, PostgresStore};
pub use restored::{Backup, Held, Restored};
pub use sqlite::{SqliteOptions, SqliteStore};

use location::Location;

/// Opens the store that a URL names.
///
/// `sqlite://ums.db` (beside the working directory), `sqlite:///var/lib/ums/ums.db`,
/// `sqlite::memory:`, `memory:`, and `postgres://user:password@host:5432/database` with `?sslmode=` and what else PostgreSQL's own
/// programs take there.
///
/// # Errors
/// [`StoreError::Unusable`] says in words what is wrong with the URL or the file.
pub async fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StoreError> {
    open_with(url, clock, PostgresOptions::default()).await
}

/// Opens the store that a URL names, with these options if it is in PostgreSQL.
///
/// # Errors
/// As [`open`].
pub async fn open_with(url: &str, clock: Arc<dyn Clock>, options: PostgresOptions) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match Location::parse(url)? {
        Location::Memory => Arc::new(MemoryStore::new(clock)),
        Location::SqliteMemory | Location::SqliteFile(_) => Arc::new(SqliteStore::open(url, clock).await?),
        Location::Postgres(_) => Arc::new(PostgresStore::open_with(url, clock, options).await?),
    })
}
