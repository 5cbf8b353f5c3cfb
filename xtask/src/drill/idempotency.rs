//! One key, many posts at once: one message, whichever replica is asked.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::chance::Chance;
use super::journal::{Ack, AckJournal, MARK};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::web::{Answer, Ask, Lost, Web};
use super::{Play, settings, settle};

/// Posts with one key at the same time.
const TWINS: usize = 20;
/// Keys in work at the same time.
const KEYS_AT_ONCE: usize = 4;
/// Times that a post is repeated that was told to wait.
const PATIENCE: usize = 100;
const SETTLED: Duration = Duration::from_mins(1);

/// What became of one key.
#[derive(Debug, Default)]
struct Outcome {
    ids: BTreeSet<String>,
    replays: usize,
    in_progress: usize,
    other_body: u16,
    wrong: Vec<String>,
}

pub(super) async fn run(play: &Play<'_>, store: Store) -> Result<Report> {
    let mut report = play.report("idempotency", Some(store));
    let mut stage = Stage::set(play.workspace, "idempotency", &play.binary, store, settings::QUICK)?;
    let mut chance = Chance::of(play.seed, "addresses");
    let replicas = if store == Store::Postgres { 2 } else { 1 };
    let mut servers: Vec<Server> = Vec::new();
    for _ in 0..replicas {
        servers.push(stage.serve(fixed_address(&mut chance)?).await?.0);
    }
    let targets: Arc<[SocketAddr]> = servers.iter().map(|server| server.at).collect();
    let journal = AckJournal::create(&stage.journals.acks)?;
    let outcomes = post_all(play, &stage.web, &targets, &journal).await?;
    let server = servers.first().context("no server")?;
    settle::settled(server, SETTLED).await?;
    let (findings, rows) = settle::findings(&stage, server).await?;

    let keys = outcomes.len();
    let all: BTreeSet<&String> = outcomes.iter().flat_map(|outcome| &outcome.ids).collect();
    report.tell("replicas", replicas);
    report.tell("posts", keys * TWINS);
    report.hold("messages answered", all.len(), &keys.to_string(), all.len() == keys);
    report.hold("rows in the store for them", rows.len(), &keys.to_string(), rows.len() == keys);
    let several: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.ids.len() != 1)
        .map(|outcome| format!("{:?}", outcome.ids))
        .collect();
    report.none_of("keys with another number of messages than 1", &several);
    let first = outcomes.iter().map(|outcome| TWINS - outcome.replays.min(TWINS)).sum::<usize>();
    report.hold("answers that are not replays", first, &keys.to_string(), first == keys);
    report.tell(
        "answers 409, then repeated",
        outcomes.iter().map(|outcome| outcome.in_progress).sum::<usize>(),
    );
    let not_422: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.other_body != 422)
        .map(|outcome| format!("{:?}: {}", outcome.ids, outcome.other_body))
        .collect();
    report.none_of("other bodies not answered 422", &not_422);
    let wrong: Vec<String> = outcomes.iter().flat_map(|outcome| outcome.wrong.clone()).collect();
    report.none_of("other answers", &wrong);
    report.judged(&findings);
    Ok(report)
}

async fn post_all(play: &Play<'_>, web: &Web, targets: &Arc<[SocketAddr]>, journal: &AckJournal) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let mut keys = JoinSet::new();
    for number in 0..play.rounds {
        if keys.len() >= KEYS_AT_ONCE
            && let Some(done) = keys.join_next().await
        {
            outcomes.push(done??);
        }
        let mark = format!("{MARK}{:x}-{number}", play.seed);
        keys.spawn(one_key(web.clone(), Arc::clone(targets), mark));
    }
    while let Some(done) = keys.join_next().await {
        outcomes.push(done??);
    }
    let mut kept = Vec::new();
    for (outcome, mark) in outcomes {
        let acks: Vec<Ack> = outcome.ids.iter().map(|id| ack(&mark, id)).collect();
        journal.write(&acks)?;
        kept.push(outcome);
    }
    Ok(kept)
}

fn ack(mark: &str, id: &str) -> Ack {
    Ack {
        at: jiff::Timestamp::now(),
        mark: mark.to_owned(),
        id: id.to_owned(),
        key: mark.to_owned(),
        may_duplicate: false,
        status: 200,
    }
}

fn body(mark: &str, reader: &str) -> Value {
    json!({
        "to": reader, "subject": format!("Message {mark} of a drill"), "text_content": "Once is enough.",
        "duplicates": "never", "metadata": {"mark": mark, "may_duplicate": false}, "expires_in_seconds": 600,
    })
}

async fn one_key(web: Web, targets: Arc<[SocketAddr]>, mark: String) -> Result<(Outcome, String)> {
    let mut twins = JoinSet::new();
    for twin in 0..TWINS {
        let target = targets[twin % targets.len()];
        twins.spawn(one_post(web.clone(), target, mark.clone(), body(&mark, "once@example.com")));
    }
    let mut outcome = Outcome::default();
    while let Some(done) = twins.join_next().await {
        let (answer, told_to_wait) = done??;
        outcome.in_progress += told_to_wait;
        outcome.replays += usize::from(answer.replayed);
        match answer.json().get("message_id").and_then(Value::as_str) {
            Some(id) if answer.is_success() => {
                outcome.ids.insert(id.to_owned());
            }
            _ => outcome.wrong.push(format!("{mark}: {}", answer.status)),
        }
    }
    let target = targets[targets.len() - 1];
    let (answer, _) = one_post(web, target, mark.clone(), body(&mark, "other@example.com")).await?;
    outcome.other_body = answer.status;
    Ok((outcome, mark))
}

/// Posts until there is an answer other than "in progress"; tells how often there was not.
async fn one_post(web: Web, target: SocketAddr, mark: String, body: Value) -> Result<(Answer, usize)> {
    let mut ask = Ask::with_json("POST", "/v1/emails", &body);
    ask.headers.push(("idempotency-key", mark.clone()));
    ask.headers.push(("prefer", "wait=5".to_owned()));
    ask.limit = Duration::from_secs(30);
    for told_to_wait in 0..PATIENCE {
        let answer = web.ask(target, &ask).await;
        let answer = answer.map_err(|lost: Lost| anyhow::anyhow!("{mark}: {lost:?}"))?;
        if !matches!(answer.status, 409 | 429 | 503) {
            return Ok((answer, told_to_wait));
        }
        ensure!(answer.status == 409 || answer.retry_after, "{} without Retry-After", answer.status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{mark}: still in progress")
}
