//! What is done about each error of PostgreSQL, by its SQLSTATE: the one table.
//!
//! Source: PostgreSQL's documentation, appendix A "PostgreSQL Error Codes" (version 17, read in November 2026).

use crate::remedy::Remedy;

/// The rights that the user of the database needs.
pub(crate) const GRANTS: &str = "the user needs GRANT USAGE, CREATE ON SCHEMA, GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \
                                 and GRANT USAGE ON ALL SEQUENCES IN SCHEMA";

/// A code, or the class of all codes that begin with it, and what is done about it. What is not listed is waited for.
const CODES: &[(&str, Remedy)] = &[
    // Connection exceptions; poolers use 08P01 for all that ails them.
    ("08", Remedy::Reconnect),
    // "Cached plan must not change result type": the schema changed under a prepared statement.
    ("0A000", Remedy::Reconnect),
    // Two rows of one statement meet: a smaller group may pass.
    ("21", Remedy::ReplaceTexts),
    // Data exceptions: a character that the encoding lacks, a text or number that is too long.
    ("22", Remedy::ReplaceTexts),
    // Integrity constraints: a check, a missing value, a row that another one needs.
    ("23", Remedy::ReplaceTexts),
    ("23505", Remedy::LookAgain),
    // A server that became a standby: another connection may find the new primary.
    ("25006", Remedy::Reconnect),
    // Idle-in-transaction and transaction timeouts end the connection.
    ("25P03", Remedy::Reconnect),
    ("25P04", Remedy::Reconnect),
    // A prepared statement that the server does not know, or knows already: the server process is another one.
    ("26000", Remedy::Reconnect),
    ("42P05", Remedy::Reconnect),
    (
        "28",
        Remedy::Refuse("pg_hba.conf of the server must let this user reach this database from here"),
    ),
    (
        "28P01",
        Remedy::Refuse("set user and password in UMS_DATABASE_URL as the server has them"),
    ),
    (
        "3D",
        Remedy::Refuse("make it with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, or name another one in UMS_DATABASE_URL"),
    ),
    // Serialization failures and deadlocks; 40003 says that the outcome is unknown.
    ("40", Remedy::Again),
    ("40003", Remedy::Reconnect),
    ("42501", Remedy::Refuse(GRANTS)),
    ("44", Remedy::ReplaceTexts),
    // Program limits: a row that is too long for its index.
    ("54", Remedy::ReplaceTexts),
    // The server shuts down, starts, or ends the connection; a cancelled statement ran into its time limit.
    ("57", Remedy::Reconnect),
    ("57014", Remedy::Wait),
    // A trigger's own refusal.
    ("P0", Remedy::ReplaceTexts),
];

/// What is done about an error.
pub(crate) fn remedy(code: &str) -> Remedy {
    let find = |wanted: Option<&str>| CODES.iter().find(|(known, _)| wanted == Some(*known)).map(|(_, remedy)| *remedy);
    find(Some(code)).or_else(|| find(code.get(..2))).unwrap_or(Remedy::Wait)
}

/// Whether the text of an error may hold data of a row.
pub(crate) fn may_hold_data(code: &str) -> bool {
    matches!(remedy(code), Remedy::ReplaceTexts | Remedy::LookAgain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_one_remedy() {
        for (place, (code, _)) in CODES.iter().enumerate() {
            assert!(!CODES[place + 1..].iter().any(|(later, _)| later == code), "{code}");
            assert!(code.len() == 5 || code.len() == 2, "{code}");
        }
    }

    #[test]
    fn a_code_decides_before_its_class() {
        for (code, remedy_of_code) in [
            ("22001", Remedy::ReplaceTexts),
            ("22021", Remedy::ReplaceTexts),
            ("22P05", Remedy::ReplaceTexts),
            ("23514", Remedy::ReplaceTexts),
            ("23505", Remedy::LookAgain),
            ("54000", Remedy::ReplaceTexts),
            ("40P01", Remedy::Again),
            ("40003", Remedy::Reconnect),
            ("57014", Remedy::Wait),
            ("57P01", Remedy::Reconnect),
            ("08P01", Remedy::Reconnect),
            ("0A000", Remedy::Reconnect),
            // A disk that is full, a table that is missing, too many connections, a page that is damaged.
            ("53100", Remedy::Wait),
            ("42P01", Remedy::Wait),
            ("53300", Remedy::Wait),
            ("XX001", Remedy::Wait),
            ("", Remedy::Wait),
        ] {
            assert_eq!(remedy(code), remedy_of_code, "{code}");
        }
        for (code, word) in [
            ("28P01", "password"),
            ("28000", "pg_hba.conf"),
            ("3D000", "CREATE DATABASE"),
            ("42501", "GRANT"),
        ] {
            assert!(matches!(remedy(code), Remedy::Refuse(what) if what.contains(word)), "{code}");
        }
    }
}
