//! A provider that one replica found dead is skipped by all, and probed by one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::chance::Chance;
use super::fleet::Fleet;
use super::load::{Load, Mix};
use super::report::{Report, seconds};
use super::stage::{Server, Stage, Store};
use super::web::{Ask, Web};
use super::{Play, faults, settings, settle};

const REPLICAS: usize = 4;
/// Pass figure.
const SKIPPED: SignedDuration = SignedDuration::from_secs(1);
/// How long an open breaker stays open at first, as in the settings.
const OPEN: SignedDuration = SignedDuration::from_secs(5);
/// How long probes are counted.
const PROBED: Duration = Duration::from_secs(25);
const LIMIT: Duration = Duration::from_mins(1);

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("breaker", Some(Store::Postgres));
    let mut stage = Stage::set(play.workspace, "breaker", &play.binary, Store::Postgres, settings::BREAKER)?;
    let mut chance = Chance::of(play.seed, "addresses");
    let fleet = Fleet::start(&mut stage, REPLICAS, &mut chance).await?;
    let (web, control) = (stage.web.clone(), stage.control()?);
    let dead = json!({"mode": "error", "status": 503});
    faults::put(&web, control, "ses", &dead).await?;

    // Only the first replica meets the dead provider.
    let found = find_dead(play, &stage, fleet.first()?).await?;
    // From a second later on the others send, and none of them may call it while it is open.
    tokio::time::sleep(Duration::try_from(SKIPPED)?).await;
    let others: Vec<_> = fleet.addresses().into_iter().skip(1).collect();
    let load = Load::start(play.seed, &mix(), &others, &stage.journals.acks)?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let reopens = found + OPEN - SignedDuration::from_millis(500);
    let arrivals = stage.journals.read_arrivals()?;
    let late: Vec<String> = arrivals
        .iter()
        .filter(|arrival| arrival.provider == "ses" && arrival.at > found + SKIPPED && arrival.at < reopens)
        .map(|arrival| format!("called at {}, found dead at {found}", arrival.at))
        .collect();
    let sent = load.finish().await?.acks.load(std::sync::atomic::Ordering::Relaxed);

    // Probes that hang are in the sink's hands for as long as a reply may take: they can be counted.
    faults::put(&web, control, "ses", &json!({"mode": "hang"})).await?;
    let load = Load::start(play.seed.wrapping_add(1), &mix(), &fleet.addresses(), &stage.journals.acks)?;
    let (most, probes) = count_probes(&web, &stage).await?;
    faults::heal(&web, control, "ses").await?;
    let closed = until_closed(&fleet).await?;
    let seen = load.finish().await?;
    settle::settled(fleet.first()?, LIMIT).await?;
    let (findings, _) = settle::findings(&stage, fleet.first()?).await?;

    report.tell("replicas", REPLICAS);
    report.tell("messages by the others meanwhile", sent);
    report.none_of("calls by the others from 1 s after it was found dead", &late);
    report.hold("probes at the same time, most", most, "1", most == 1);
    report.tell("calls while it hung", probes);
    report.tell("closed again on all after", seconds(closed));
    report.judged(&findings);
    report.none_of("posts refused for good", &seen.refused());
    Ok(report)
}

fn mix() -> Mix {
    Mix {
        batches: 0,
        scheduled: 0,
        pause: Duration::from_millis(100),
        purpose: Some("transactional"),
        channel: Some("email"),
        ..Mix::default()
    }
}

/// Sends by one replica until it says that the provider is down; tells when.
async fn find_dead(play: &Play<'_>, stage: &Stage, server: &Server) -> Result<Timestamp> {
    let start = Instant::now();
    let load = Load::start(play.seed.wrapping_add(2), &mix(), &[server.at], &stage.journals.acks)?;
    while breaker(server).await? != "open" {
        ensure!(start.elapsed() < LIMIT, "the breaker does not open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let found = Timestamp::now();
    load.finish().await?;
    Ok(found)
}

/// What a replica says of SES's breaker.
async fn breaker(server: &Server) -> Result<String> {
    let health = server.get("/v1/providers/health").await?;
    let providers = health["email_providers"].as_array().context("no e-mail providers")?;
    let ses = providers
        .iter()
        .find(|provider| provider["provider"] == "aws_ses")
        .context("no SES")?;
    Ok(ses["circuit_breaker"].as_str().unwrap_or_default().to_owned())
}

/// The most requests that were in the sink's hands at once, and how many calls there were.
async fn count_probes(web: &Web, stage: &Stage) -> Result<(u64, u64)> {
    let control = stage.control()?;
    let stats = async || -> Result<Value> {
        let answer = web.ask(control, &Ask::get("/_sim/stats")).await;
        let answer = answer.map_err(|lost| anyhow::anyhow!("the sink's figures: {lost:?}"))?;
        Ok(answer.json()["providers"]["ses"].clone())
    };
    let before = stats().await?["requests"].as_u64().unwrap_or_default();
    let (start, mut most) = (Instant::now(), 0);
    while start.elapsed() < PROBED {
        most = most.max(stats().await?["in_flight"].as_u64().unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = stats().await?["requests"].as_u64().unwrap_or_default();
    Ok((most, after - before))
}

async fn until_closed(fleet: &Fleet) -> Result<Duration> {
    let start = Instant::now();
    for replica in &fleet.replicas {
        while breaker(replica.server()).await? != "closed" {
            ensure!(start.elapsed() < LIMIT, "the breaker does not close");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(start.elapsed())
}
