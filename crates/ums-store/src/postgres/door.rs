//! The door: whether a database can hold messages at all, asked before the schema is brought forward.
//!
//! Only here: a file has no encoding, users, standby or pooler.

use tokio_postgres::SimpleQueryMessage;

use super::address::Address;
use super::connection::{Fault, Session, unusable, within};
use super::row::one;
use crate::migration::Migration;

/// How often a connection looks whether it still has its server process.
const LOOKS: usize = 3;

/// Refuses a database whose encoding, state or pooler does not fit.
pub(crate) async fn check(session: &Session, address: &Address) -> Result<(), Fault> {
    let state = "SELECT current_setting('server_encoding'), pg_is_in_recovery(), current_setting('default_transaction_read_only')";
    let [encoding, standby, only_reads] = texts(session, state).await?;
    if let Some(why) = misfit(&encoding, &standby, &only_reads) {
        return Err(unusable(why));
    }
    if let Some(what) = within(shared_between(session, address)).await? {
        return Err(unusable(format!(
            "a pooler such as PgBouncer shares connections between {what}; set pool_mode = session for this database, or name PostgreSQL itself"
        )));
    }
    Ok(())
}

/// Why a database in this state cannot hold messages.
fn misfit(encoding: &str, standby: &str, only_reads: &str) -> Option<String> {
    if encoding != "UTF8" {
        return Some(format!(
            "the database's encoding is {encoding}, which cannot hold every text; make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        ));
    }
    if standby == "t" {
        return Some(
            "the database is a standby, which only reads; name the primary, or all hosts with ?target_session_attrs=read-write".to_owned(),
        );
    }
    (only_reads == "on").then(|| {
        "the database only reads (default_transaction_read_only is on); set default_transaction_read_only to off for this user and database"
            .to_owned()
    })
}

/// Between what a pooler shares server processes: two connections have one, or one connection changes its process.
///
/// A connection sets a variable of its own. No other connection sees the value, and the connection itself sees the value
/// until it ends, unless the pooler takes the server process away after the transaction
/// (<https://www.pgbouncer.org/features.html>, "SQL feature map for pooling modes": `SET`).
async fn shared_between(session: &Session, address: &Address) -> Result<Option<&'static str>, Fault> {
    const MARK: &str = "SELECT set_config('ums.door', pg_backend_pid() || ' ' || clock_timestamp(), false)";
    const LOOK: &str = "SELECT coalesce(current_setting('ums.door', true), '')";
    let beside = Session::connect(address).await?;
    let [mark] = texts(session, MARK).await?;
    // The transaction keeps a process to itself: with one process in the pool, the mark's.
    if !beside.begin().await? {
        return Ok(Some("statements"));
    }
    let [seen] = texts(&beside, LOOK).await?;
    if seen == mark {
        return Ok(Some("transactions"));
    }
    for _ in 0..LOOKS {
        let [kept] = texts(session, LOOK).await?;
        if kept != mark {
            return Ok(Some("transactions"));
        }
    }
    Ok(None)
}

/// Refuses a user that lacks a right to a table or a sequence of the schema.
pub(crate) async fn check_rights(session: &Session, schema: &[Migration]) -> Result<(), Fault> {
    let (tables, sequences) = (made(schema, "CREATE TABLE "), made(schema, "CREATE SEQUENCE "));
    let sql = "SELECT coalesce(min(relname::text), '') AS lacking FROM pg_class
         WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
           AND CASE WHEN relname = ANY ($1) THEN NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                      AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
                    WHEN relname = ANY ($2) THEN NOT has_sequence_privilege(oid, 'USAGE')
                    ELSE false END";
    let lacking: String = one(&session.query(sql, &[&tables, &sequences]).await?, "lacking")?;
    if lacking.is_empty() {
        return Ok(());
    }
    Err(unusable(format!(
        "the PostgreSQL user lacks rights to {lacking}; {}",
        super::codes::GRANTS
    )))
}

/// The names that the schema's versions make with a statement.
fn made(schema: &[Migration], statement: &str) -> Vec<&'static str> {
    let lines = schema.iter().flat_map(|migration| migration.sql.lines());
    let names = lines.filter_map(|line| line.strip_prefix(statement)?.split([' ', ';', '(']).next());
    names.collect()
}

/// The first row of a statement, which is not prepared.
async fn texts<const COLUMNS: usize>(session: &Session, sql: &str) -> Result<[String; COLUMNS], Fault> {
    let messages = session.simple(sql).await?;
    let mut texts = std::array::from_fn(|_| String::new());
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            for (column, text) in texts.iter_mut().enumerate() {
                row.get(column).unwrap_or_default().clone_into(text);
            }
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::{made, misfit};
    use crate::migration::Migration;

    #[test]
    fn a_database_that_cannot_hold_messages_is_refused_with_what_to_do() {
        for (encoding, standby, only_reads, word) in [
            ("UTF8", "f", "off", None),
            ("SQL_ASCII", "f", "off", Some("ENCODING 'UTF8'")),
            ("LATIN1", "t", "on", Some("ENCODING 'UTF8'")),
            ("UTF8", "t", "off", Some("target_session_attrs=read-write")),
            ("UTF8", "t", "on", Some("standby")),
            ("UTF8", "f", "on", Some("default_transaction_read_only to off")),
        ] {
            let why = misfit(encoding, standby, only_reads);
            assert_eq!(why.is_some(), word.is_some(), "{encoding} {standby} {only_reads}");
            assert!(
                why.unwrap_or_default().contains(word.unwrap_or_default()),
                "{encoding} {standby} {only_reads}"
            );
        }
    }

    #[test]
    fn the_names_of_tables_and_sequences_come_from_the_schema() {
        let version = |version, sql| Migration {
            version,
            name: "made up",
            sql,
        };
        let schema = [
            version(1, "CREATE TABLE one (\n  id bigint\n);\nCREATE SEQUENCE numbers INCREMENT 2;\n"),
            version(
                2,
                "CREATE TABLE two(id bigint);\nCREATE INDEX by_id ON one (id);\nCREATE SEQUENCE others;",
            ),
        ];
        assert_eq!(made(&schema, "CREATE TABLE "), ["one", "two"]);
        assert_eq!(made(&schema, "CREATE SEQUENCE "), ["numbers", "others"]);
    }
}
