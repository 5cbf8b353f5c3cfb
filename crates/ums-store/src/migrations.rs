//! The schema's versions: what they are, and bringing a database forward.
//!
//! They are embedded and applied when a store is opened, or beforehand by an operator. Forward only.
//!
//! **Rule:** a version that was released is never changed, and a new one must be safe while programs of the
//! version before still work on the database, because replicas are replaced one by one. So it adds: tables, indexes,
//! columns that may be null or have a default. It neither drops, renames nor narrows what the version before
//! reads or writes; what is no longer used goes one release later. A test reads the scripts for what breaks this rule.
//! A program that finds a version that it does not know refuses to open the database.

use std::sync::Arc;

use ums_core::{Clock, StoreError};

use crate::location::Location;
use crate::migration::Migration;
use crate::{postgres, sqlite};

/// The SQL of all versions for the database that a URL names; nothing is opened. Empty for `memory:`.
///
/// # Errors
/// [`StoreError::Unusable`] says what is wrong with the URL.
pub fn migrations_of(url: &str) -> Result<String, StoreError> {
    let mut text = String::new();
    for Migration { version, name, sql } in versions(&Location::parse(url)?) {
        text.extend(["-- Version ", &version.to_string(), ": ", name, "\n\n", sql.trim_end(), "\n\n"]);
    }
    Ok(text)
}

/// The versions that would be applied to a database; it is only read. All of them when it is not there yet.
///
/// # Errors
/// [`StoreError::Unusable`] when it is another program's or newer than this program,
/// [`StoreError::Unavailable`] when it cannot be reached.
pub async fn pending_migrations(url: &str) -> Result<Vec<Migration>, StoreError> {
    match Location::parse(url)? {
        Location::Memory | Location::SqliteMemory => Ok(Vec::new()),
        Location::SqliteFile(path) => in_the_background(move || sqlite::migrate::pending(&path)).await,
        Location::Postgres(url) => postgres::migrate::pending(&postgres::Address::parse(url.expose())?).await,
    }
}

/// Brings a database to this program's schema, and says what was applied. It may be in use by others.
///
/// # Errors
/// As [`pending_migrations`]. What was applied before an error stays.
pub async fn migrate(url: &str, clock: Arc<dyn Clock>) -> Result<Vec<Migration>, StoreError> {
    match Location::parse(url)? {
        Location::Memory | Location::SqliteMemory => Ok(Vec::new()),
        Location::SqliteFile(path) => in_the_background(move || sqlite::migrate::apply(&path, clock.now())).await,
        Location::Postgres(url) => postgres::migrate::migrate(&postgres::Address::parse(url.expose())?, clock.now()).await,
    }
}

fn versions(location: &Location) -> &'static [Migration] {
    match location {
        Location::Memory => &[],
        Location::SqliteMemory | Location::SqliteFile(_) => &sqlite::migrate::MIGRATIONS,
        Location::Postgres(_) => &postgres::migrate::MIGRATIONS,
    }
}

pub(crate) async fn in_the_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Unavailable(Box::new(error)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What in a script, all but comments, breaks the rule in the head of this file.
    fn breaking(sql: &str) -> Vec<String> {
        let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        let words: Vec<String> = code.join(" ").split_whitespace().map(str::to_ascii_uppercase).collect();
        let text = words.join(" ");
        let mut found: Vec<String> = ["DROP ", "RENAME ", "ALTER COLUMN", " SET NOT NULL", "DELETE FROM ", "TRUNCATE "]
            .into_iter()
            .filter(|word| text.contains(word))
            .map(str::to_owned)
            .collect();
        found.extend(
            text.split(';')
                .filter(|statement| statement.contains(" ADD ") && statement.contains("NOT NULL") && !statement.contains("DEFAULT"))
                .map(|statement| statement.trim().to_owned()),
        );
        found
    }

    #[test]
    fn released_versions_are_numbered_and_safe_beside_an_older_program() {
        let all = versions(&Location::SqliteMemory);
        for (migration, number) in all.iter().zip(1..) {
            assert_eq!(migration.version, number);
            if number > 1 {
                assert_eq!(breaking(migration.sql), Vec::<String>::new(), "{}", migration.name);
            }
        }
    }

    #[test]
    fn what_breaks_an_older_program_is_seen() {
        for bad in [
            "DROP TABLE acts;",
            "ALTER TABLE messages RENAME COLUMN error TO why;",
            "ALTER TABLE messages ADD COLUMN size INTEGER NOT NULL;",
            "ALTER TABLE messages ALTER COLUMN size TYPE bigint;",
        ] {
            assert!(!breaking(bad).is_empty(), "{bad}");
        }
        let good = "-- Nothing is to DROP here\nALTER TABLE messages ADD COLUMN size INTEGER NOT NULL DEFAULT 0;\nCREATE INDEX a ON b (c);";
        assert_eq!(breaking(good), Vec::<String>::new());
    }

    #[test]
    fn a_url_s_versions_are_printed_in_order() {
        let text = migrations_of("sqlite://ums.db").unwrap();
        assert!(text.starts_with("-- Version 1: messages\n"), "{text}");
        assert!(text.contains("CREATE TABLE messages"));
        assert_eq!(migrations_of("memory:").unwrap(), "");
        assert!(migrations_of("mysql://me@db").is_err());
    }
}
