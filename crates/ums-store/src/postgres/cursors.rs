//! How far feedback that has to be asked for was read.

use super::connection::{Fault, Session};
use super::row::{one, text};

/// How far a source was read.
pub(crate) async fn read(session: &Session, source: &str) -> Result<Option<String>, Fault> {
    let rows = session
        .query("SELECT cursor FROM feedback_cursors WHERE source = $1", &[&text(source)])
        .await?;
    Ok(if rows.is_empty() { None } else { Some(one(&rows, "cursor")?) })
}

/// Keeps how far a source was read.
pub(crate) async fn save(session: &Session, source: &str, cursor: &str) -> Result<(), Fault> {
    let sql = "INSERT INTO feedback_cursors (source, cursor) VALUES ($1, $2) ON CONFLICT (source) DO UPDATE SET cursor = excluded.cursor";
    session.execute(sql, &[&text(source), &text(cursor)]).await.map(drop)
}
