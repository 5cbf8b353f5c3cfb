//! The clock of a running service jumps, far ahead and back, and is set right again: nothing expires, nothing is forgotten.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::chance::Chance;
use super::journal::{Ack, AckJournal, MARK};
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::web::Ask;
use super::{Play, faults, settings, settle};
use crate::prerequisites::debian;

/// How far the clock is put, in words of faketime(1).
const RIGHT: &str = "+0";
const AHEAD: &str = "+500d";
const BEHIND: &str = "-2d";
/// How long a wrong clock stands, in both forms.
const LONG: Duration = Duration::from_secs(45);
const SHORT: Duration = Duration::from_secs(4);
/// Far more than the drill takes; far less than a jump.
const EXPIRES_IN: u64 = 600;
const KEYS: usize = 30;
const SETTLED: Duration = Duration::from_mins(2);

/// Posts that are repeated with their keys.
#[derive(Debug)]
struct Keys {
    at: SocketAddr,
    run: u64,
    ids: BTreeMap<usize, String>,
    /// Repetitions that were not answered with the first id.
    strayed: Vec<String>,
}

pub(super) async fn run(play: &Play<'_>, store: Store) -> Result<Report> {
    let mut report = play.report("clock", Some(store));
    let mut stage = Stage::set(play.workspace, "clock", &play.binary, store, settings::QUICK)?;
    let dial = stage.folder.join("clock");
    set(&dial, RIGHT)?;
    let library = debian::faketime(play.workspace)?;
    stage.set_setting("LD_PRELOAD", &library.display().to_string());
    stage.set_setting("FAKETIME_TIMESTAMP_FILE", &dial.display().to_string());
    stage.set_setting("FAKETIME_NO_CACHE", "1");
    stage.set_setting("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let at = fixed_address(&mut Chance::of(play.seed, "addresses"))?;
    let (server, _) = stage.serve(at).await?;
    let mix = Mix {
        callers: 4,
        expires_in: EXPIRES_IN,
        ..Mix::default()
    };
    let mut keys = Keys {
        at,
        run: play.seed,
        ids: BTreeMap::new(),
        strayed: Vec::new(),
    };
    keys.post(&stage, &AckJournal::create(&stage.journals.acks)?).await?;
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    let stands = if play.is_short { SHORT } else { LONG };
    let mut told = 0;
    for _ in 0..play.rounds {
        for wrong in [AHEAD, BEHIND] {
            told += usize::from(jump(&stage, &server, &dial, wrong, stands, &mut keys).await?);
        }
    }
    let seen = load.finish().await?;
    settle::settled(&server, SETTLED).await?;
    keys.repeat(&stage).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;

    let jumps = usize::try_from(play.rounds)? * 2;
    report.hold("jumps told as a trouble while they last", told, &jumps.to_string(), told == jumps);
    report.none_of("keys that forgot their message", &keys.strayed);
    let expired: Vec<String> = rows
        .iter()
        .filter(|row| row.status == "expired")
        .map(|row| row.id.clone())
        .collect();
    report.none_of("messages that expired before their time", &expired);
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    Ok(report)
}

/// Sets the clock wrong while no provider takes messages, and right again. Whether the service told it meanwhile, and only meanwhile.
async fn jump(stage: &Stage, server: &Server, dial: &Path, wrong: &str, stands: Duration, keys: &mut Keys) -> Result<bool> {
    let down = json!({"mode": "error", "status": 503});
    for provider in faults::PROVIDERS {
        faults::put(&stage.web, stage.control()?, provider, &down).await?;
    }
    // Messages are held by then.
    tokio::time::sleep(Duration::from_millis(800)).await;
    set(dial, wrong)?;
    tokio::time::sleep(stands / 2).await;
    keys.repeat(stage).await?;
    for provider in faults::PROVIDERS {
        faults::heal(&stage.web, stage.control()?, provider).await?;
    }
    tokio::time::sleep(stands / 2).await;
    let during = has_trouble(server).await?;
    set(dial, RIGHT)?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    keys.repeat(stage).await?;
    Ok(during && !has_trouble(server).await?)
}

fn set(dial: &Path, to: &str) -> Result<()> {
    // The file is never seen half written.
    let next = dial.with_extension("next");
    std::fs::write(&next, format!("{to}\n"))?;
    std::fs::rename(&next, dial).context("setting the clock")
}

async fn has_trouble(server: &Server) -> Result<bool> {
    let health = server.get("/v1/providers/health").await?;
    let troubles = health["troubles"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(troubles.iter().any(|trouble| trouble["kind"] == "clock"))
}

impl Keys {
    /// Posts each for the first time.
    async fn post(&mut self, stage: &Stage, journal: &AckJournal) -> Result<()> {
        for number in 0..KEYS {
            let (mark, status, id) = self.ask(stage, number).await?;
            let id = id.with_context(|| format!("{mark}: {status}"))?;
            journal.write(&[Ack {
                at: jiff::Timestamp::now(),
                mark: mark.clone(),
                id: id.clone(),
                key: mark,
                may_duplicate: false,
                status,
            }])?;
            self.ids.insert(number, id);
        }
        ensure!(self.ids.len() == KEYS, "a key was posted twice");
        Ok(())
    }

    /// Posts each again.
    async fn repeat(&mut self, stage: &Stage) -> Result<()> {
        for number in 0..KEYS {
            let (mark, status, id) = self.ask(stage, number).await?;
            if id.as_ref() != self.ids.get(&number) {
                self.strayed.push(format!("{mark}: {status}"));
            }
        }
        Ok(())
    }

    async fn ask(&self, stage: &Stage, number: usize) -> Result<(String, u16, Option<String>)> {
        let mark = format!("{MARK}{:x}-key-{number}", self.run);
        let body = json!({
            "to": "once@example.com", "subject": format!("Message {mark} of a drill"), "text_content": "Once is enough.",
            "duplicates": "never", "metadata": {"mark": mark, "may_duplicate": false}, "expires_in_seconds": EXPIRES_IN,
        });
        let mut ask = Ask::with_json("POST", "/v1/emails", &body);
        ask.headers.push(("idempotency-key", mark.clone()));
        ask.headers.push(("prefer", "respond-async".to_owned()));
        let answer = stage.web.ask(self.at, &ask).await;
        let answer = answer.map_err(|lost| anyhow::anyhow!("{mark}: {lost:?}"))?;
        let id = answer.json().get("message_id").and_then(Value::as_str).map(str::to_owned);
        Ok((mark, answer.status, id))
    }
}
