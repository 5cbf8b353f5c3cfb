//! The end of a drill: wait until nothing moves any more, then read the store through a running server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::checker::{self, Attempt, Findings, Row, judge};
use super::stage::{Server, Stage};

/// Statuses that a message leaves by itself.
const MOVING: &[&str] = &["sending", "pending", "queued", "scheduled"];
/// Most messages of a page.
const PAGE: usize = 200;

/// Waits until every message is at an end, at most so long; tells how long it took, or none if something still moves.
pub(super) async fn settled(server: &Server, most: Duration) -> Result<Option<Duration>> {
    let start = Instant::now();
    while start.elapsed() < most {
        // A message may change its status between two of these questions, and be seen by none.
        // It does not leave an end, so the rows decide.
        if !seems_to_move(server).await? && rows(server).await?.iter().all(Row::is_at_an_end) {
            return Ok(Some(start.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(None)
}

/// Whether any message seems to move: one that changes its status meanwhile may be seen by none of these questions.
pub(super) async fn seems_to_move(server: &Server) -> Result<bool> {
    for status in MOVING {
        if has_any(server, status).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits until no message is in a provider's hands, at most so long.
pub(super) async fn none_sending(server: &Server, most: Duration) -> Result<Option<Duration>> {
    let start = Instant::now();
    while start.elapsed() < most {
        if !has_any(server, "sending").await? {
            return Ok(Some(start.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(None)
}

/// Whether any message has this status.
async fn has_any(server: &Server, status: &str) -> Result<bool> {
    let page = server.get(&format!("/v1/messages?status={status}&limit=1")).await?;
    Ok(page["data"].as_array().is_some_and(|data| !data.is_empty()))
}

/// Reads every message of the store.
pub(super) async fn rows(server: &Server) -> Result<Vec<Row>> {
    rows_of(server, "", Duration::ZERO).await
}

/// Reads the messages that a filter names (`&since=…`), with a pause after each page.
pub(super) async fn rows_of(server: &Server, filter: &str, pause: Duration) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = server.get(&format!("/v1/messages?limit={PAGE}{filter}{after}")).await?;
        let data = page["data"].as_array().context("a page without data")?;
        rows.extend(data.iter().map(row));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(rows),
        }
        tokio::time::sleep(pause).await;
    }
}

fn row(result: &Value) -> Row {
    let text = |field: &str| result[field].as_str().unwrap_or_default().to_owned();
    let attempts = result["attempts"].as_array().into_iter().flatten();
    Row {
        id: text("message_id"),
        mark: result.pointer("/metadata/mark").and_then(Value::as_str).map(str::to_owned),
        may_duplicate: result.pointer("/metadata/may_duplicate").and_then(Value::as_bool).unwrap_or(false),
        status: text("status"),
        attempts: attempts
            .map(|attempt| Attempt {
                provider: attempt["provider"].as_str().unwrap_or_default().to_owned(),
                outcome: attempt["outcome"].as_str().unwrap_or_default().to_owned(),
                code: attempt["code"].as_str().map(str::to_owned),
                called_at: time(&attempt["called_at"]),
                unknown_until: time(&attempt["unknown_until"]),
            })
            .collect(),
        acts: Vec::new(),
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|at| at.parse().ok())
}

/// Asks for the times of the acts of the messages that arrived more than once.
pub(super) async fn ask_for_acts(server: &Server, rows: &mut [Row], repeated: &BTreeSet<String>) -> Result<()> {
    for row in rows
        .iter_mut()
        .filter(|row| row.mark.as_ref().is_some_and(|mark| repeated.contains(mark)))
    {
        let story = server.get(&format!("/v1/messages/{}/explain", row.id)).await?;
        let steps = story["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let acts = steps.iter().filter(|step| step["step"] == "resent" || step["step"] == "replayed");
        row.acts = acts.filter_map(|step| time(&step["at"])).collect();
    }
    Ok(())
}

/// Reads both journals and the store, and judges.
pub(super) async fn findings(stage: &Stage, server: &Server) -> Result<(Findings, Vec<Row>)> {
    let acks = stage.journals.read_acks()?;
    let arrivals = stage.journals.read_arrivals()?;
    let mut rows = rows(server).await?;
    ask_for_acts(server, &mut rows, &checker::repeated(&arrivals)).await?;
    Ok((judge(&acks, &arrivals, &rows), rows))
}

/// How many messages stand where, for the table.
pub(super) fn statuses(rows: &[Row]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(&row.status).or_default() += 1;
    }
    let shown: Vec<String> = counts.iter().map(|(status, count)| format!("{status} {count}")).collect();
    shown.join(", ")
}
