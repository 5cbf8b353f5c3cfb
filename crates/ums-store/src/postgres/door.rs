//! The door: whether a database can hold messages at all, asked before the schema is looked at.
//!
//! Only here: a file has neither an encoding of its server nor a pooler in front.

use tokio_postgres::SimpleQueryMessage;

use super::address::Address;
use super::connection::{Fault, Session, unusable};

/// Refuses a database whose encoding, state or pooler does not fit.
pub(crate) async fn check(session: &Session, address: &Address) -> Result<(), Fault> {
    let encoding = text(session, "SELECT current_setting('server_encoding')").await?;
    if encoding != "UTF8" {
        return Err(unusable(format!(
            "the database's encoding is {encoding}, which cannot hold every text; make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    if text(session, "SELECT pg_is_in_recovery()").await? == "t" {
        return Err(unusable(
            "the database is a standby, which only reads; name the primary, or all hosts with ?target_session_attrs=read-write".to_owned(),
        ));
    }
    if text(session, "SELECT current_setting('default_transaction_read_only')").await? == "on" {
        return Err(unusable(
            "the database only reads (default_transaction_read_only is on); set it off for this user and database".to_owned(),
        ));
    }
    if is_pooled_by_transaction(session, address).await? {
        return Err(unusable(
            "a pooler such as PgBouncer shares connections between transactions; set pool_mode = session for this database, or name PostgreSQL itself"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Whether a connection changes its server process between transactions, or two open connections have the same one.
/// <https://www.pgbouncer.org/features.html>, "Transaction pooling".
async fn is_pooled_by_transaction(session: &Session, address: &Address) -> Result<bool, Fault> {
    const PROCESS: &str = "SELECT pg_backend_pid()";
    let before = text(session, PROCESS).await?;
    let beside = Session::connect(address).await?;
    beside.run("BEGIN").await?;
    let other = text(&beside, PROCESS).await?;
    if other == before {
        return Ok(true);
    }
    Ok(text(session, PROCESS).await? != before)
}

/// The one value of a statement, which is not prepared.
async fn text(session: &Session, sql: &str) -> Result<String, Fault> {
    let rows = session.simple(sql).await?;
    let found = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(found.unwrap_or_default().to_owned())
}
