//! What backups and restores say of themselves.

use std::path::PathBuf;

use ums_core::Timestamp;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// All that was answered before it is in the backup.
    pub taken_at: Timestamp,
    /// Version of the schema.
    pub schema_version: i64,
    /// Messages.
    pub messages: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The instant of the backup; none where the file does not tell.
    pub taken_at: Option<Timestamp>,
    /// Messages in it.
    pub messages: u64,
    /// Messages that had not ended, and may have been sent since: `unknown` now.
    pub held: u64,
    /// Messages whose `send_at` has not come: they go out then.
    pub scheduled: u64,
    /// Where the database from before is.
    pub kept_aside: Option<PathBuf>,
}

/// What was done to a restored database, so that it is safe to send from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Messages that had not ended, and may have been sent since: `unknown` now.
    pub held: u64,
    /// Messages whose `send_at` has not come: they go out then.
    pub scheduled: u64,
}

/// What messages say that may have been sent since, as part of a statement.
macro_rules! why {
    () => {
        "restored from a backup; it may have been sent since"
    };
}
pub(crate) use why;

/// What messages say that may have been sent since, as a value.
pub(crate) const WHY: &str = why!();
