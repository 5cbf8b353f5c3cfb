//! The URL of a store.

use std::fmt;
use std::path::PathBuf;

use ums_core::StoreError;

/// Which store a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// `memory:`
    Memory,
    /// `sqlite::memory:`
    SqliteMemory,
    /// `sqlite://relative.db`, `sqlite:///absolute.db`
    SqliteFile(PathBuf),
    /// `postgres://user:password@host:5432/database`
    Postgres(PostgresUrl),
}

/// A URL that may hold a password, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresUrl(String);

impl PostgresUrl {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://***")
    }
}

impl Location {
    /// Reads a URL. The error never repeats it: a database's URL may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let unusable = |why: &str| Err(StoreError::Unusable(why.to_owned()));
        if url == "memory:" {
            return Ok(Self::Memory);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(PostgresUrl(url.to_owned())));
        }
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return unusable("the database URL must begin with sqlite: or postgres://, or be memory:, as in sqlite://ums.db");
        };
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            ":memory:" => Ok(Self::SqliteMemory),
            "" => unusable("the database URL names no file; it should look like sqlite://ums.db"),
            _ if path.contains('?') => unusable("the database URL takes no options after a question mark"),
            _ => Ok(Self::SqliteFile(PathBuf::from(path))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_files_and_memory() {
        let file = |path: &str| Location::SqliteFile(PathBuf::from(path));
        let rows = [
            ("memory:", Location::Memory),
            ("sqlite::memory:", Location::SqliteMemory),
            ("sqlite://:memory:", Location::SqliteMemory),
            ("sqlite://ums.db", file("ums.db")),
            ("sqlite:ums.db", file("ums.db")),
            ("sqlite:///var/lib/ums.db", file("/var/lib/ums.db")),
        ];
        for (url, location) in rows {
            assert_eq!(Location::parse(url).unwrap(), location, "{url}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_not_shown() {
        for url in ["postgres://me:hunter2@db/ums", "postgresql://me:hunter2@db/ums"] {
            let location = Location::parse(url).unwrap();
            assert!(matches!(&location, Location::Postgres(found) if found.expose() == url));
            assert!(!format!("{location:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_refused_url_is_explained_and_not_repeated() {
        for url in ["mysql://me:hunter2@db", "sqlite://a.db?key=hunter2", "sqlite://", ""] {
            let error = Location::parse(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("sqlite:") || error.contains("options"), "{error}");
        }
    }
}
