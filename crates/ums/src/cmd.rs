//! The commands, one file each.

pub(crate) mod backup;
pub(crate) mod classify;
pub(crate) mod clock;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod estimate;
pub(crate) mod feedback;
pub(crate) mod health;
pub(crate) mod messages;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod providers;
pub(crate) mod restore;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod ses;
pub(crate) mod simulator;
pub(crate) mod suppressions;
pub(crate) mod webhooks;
