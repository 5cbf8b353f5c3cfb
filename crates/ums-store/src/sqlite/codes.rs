//! What is done about each error of SQLite, by its result code: the one table.
//!
//! Source: <https://www.sqlite.org/rescode.html>, read in November 2026.

use rusqlite::ffi;

use crate::remedy::Remedy;

/// An extended code, or a primary code with all its extensions, and what is done about it. What is not listed is waited for.
const CODES: &[(i32, Remedy)] = &[
    (
        ffi::SQLITE_NOTADB,
        Remedy::Refuse("the file is not a SQLite database; name another file in UMS_DATABASE_URL"),
    ),
    (
        ffi::SQLITE_CORRUPT,
        Remedy::Refuse("the database file is damaged; restore a backup, or try sqlite3's .recover"),
    ),
    (
        ffi::SQLITE_READONLY,
        Remedy::Refuse("the database file or its folder is read-only; let this user write both"),
    ),
    (
        ffi::SQLITE_CANTOPEN,
        Remedy::Refuse("a file of the database cannot be opened; let this user write the file, its -wal and -shm, and their folder"),
    ),
    (
        ffi::SQLITE_PERM,
        Remedy::Refuse("the file system refuses rights to the database file; let this user write it"),
    ),
    (ffi::SQLITE_IOERR, Remedy::Reconnect),
    // A value that is too long, of another type, or that a check or a trigger refuses.
    (ffi::SQLITE_TOOBIG, Remedy::ReplaceTexts),
    (ffi::SQLITE_MISMATCH, Remedy::ReplaceTexts),
    (ffi::SQLITE_CONSTRAINT_CHECK, Remedy::ReplaceTexts),
    (ffi::SQLITE_CONSTRAINT_DATATYPE, Remedy::ReplaceTexts),
    (ffi::SQLITE_CONSTRAINT_NOTNULL, Remedy::ReplaceTexts),
    (ffi::SQLITE_CONSTRAINT_TRIGGER, Remedy::ReplaceTexts),
];

/// What is done about an error.
pub(crate) fn remedy(error: &rusqlite::Error) -> Remedy {
    let Some(code) = error.sqlite_error().map(|error| error.extended_code) else {
        return Remedy::Wait;
    };
    let find = |wanted: i32| CODES.iter().find(|(known, _)| *known == wanted).map(|(_, remedy)| *remedy);
    // The primary code is the lowest byte.
    find(code).or_else(|| find(code & 0xff)).unwrap_or(Remedy::Wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_code_decides_before_its_primary_one() {
        for (code, expected) in [
            (ffi::SQLITE_TOOBIG, Remedy::ReplaceTexts),
            (ffi::SQLITE_CONSTRAINT_CHECK, Remedy::ReplaceTexts),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Remedy::Wait),
            (ffi::SQLITE_FULL, Remedy::Wait),
            (ffi::SQLITE_BUSY_SNAPSHOT, Remedy::Wait),
            (ffi::SQLITE_IOERR_WRITE, Remedy::Reconnect),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(remedy(&error), expected, "{code}");
        }
        for (code, word) in [
            (ffi::SQLITE_NOTADB, "not a SQLite database"),
            (ffi::SQLITE_CORRUPT_INDEX, "restore a backup"),
            (ffi::SQLITE_READONLY_DIRECTORY, "read-only"),
            (ffi::SQLITE_CANTOPEN_ISDIR, "cannot be opened"),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert!(matches!(remedy(&error), Remedy::Refuse(what) if what.contains(word)), "{code}");
        }
    }
}
