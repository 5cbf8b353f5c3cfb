//! One version of a schema, and those that a database lacks.

use ums_core::StoreError;

/// A version of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// What it does.
    pub sql: &'static str,
}

/// Those of `all` that a database lacks whose newest version is `found`.
pub(crate) fn lacking(all: &'static [Migration], found: i64) -> Result<impl Iterator<Item = Migration>, StoreError> {
    let newest = all.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found > newest {
        return Err(StoreError::Unusable(format!(
            "the database has schema version {found}, but this program knows versions up to {newest}; run a newer ums"
        )));
    }
    Ok(all.iter().copied().filter(move |migration| migration.version > found))
}
