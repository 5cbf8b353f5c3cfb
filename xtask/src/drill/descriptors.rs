//! File descriptors run out, by idle strangers and by a limit: no provider is blamed, and what waited goes out afterwards.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::net::TcpStream;

use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::{Play, settings, settle};
use crate::process;

/// The limit that the server starts with, the one that leaves it nothing, and the strangers who come.
const LIMIT: &str = "--nofile=256:256";
const NOTHING: &str = "--nofile=16:256";
const STRANGERS: usize = 400;
/// How long they may take to come: the first messages are due a second after they were posted.
const COME: Duration = Duration::from_millis(200);
/// How long messages are posted, and how long nothing is left.
const POSTS: Duration = Duration::from_millis(500);
const SHORT: Duration = Duration::from_secs(8);
const SETTLED: Duration = Duration::from_mins(2);

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("descriptors", Some(Store::Sqlite));
    let mut stage = Stage::set(play.workspace, "descriptors", &play.binary, Store::Sqlite, settings::QUICK)?;
    let at = fixed_address(&mut Chance::of(play.seed, "addresses"))?;
    let mut server = stage.start_server(at, None, &["prlimit", LIMIT])?;
    server.ready().await?;

    // They are due when nothing is left: no connection to a provider stands before.
    let mix = Mix {
        batches: 0,
        scheduled: 100,
        channel: Some("email"),
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    tokio::time::sleep(POSTS).await;
    let seen = load.finish().await?;
    server.get("/v1/providers/health").await?;
    let comers = (0..STRANGERS).map(|_| tokio::spawn(tokio::time::timeout(COME, TcpStream::connect(at))));
    let mut strangers = Vec::new();
    for comer in comers.collect::<Vec<_>>() {
        strangers.extend(comer.await?.ok().and_then(Result::ok));
    }
    set_limit(&server, NOTHING)?;
    let short = watch(&server, SHORT).await;
    set_limit(&server, LIMIT)?;
    report.tell("strangers", strangers.len());
    drop(strangers);
    let after = watch(&server, Duration::from_secs(1)).await;

    let settled = settle::settled(&server, SETTLED).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;
    report.hold("health names the shortage", short.named, "true", short.named);
    report.none_of("breakers seen open", &[short.open, after.open].concat());
    report.hold("everything ended", settled.is_some(), "true", settled.is_some());
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    Ok(report)
}

fn set_limit(server: &Server, limit: &str) -> Result<()> {
    let pid = server.process.id().to_string();
    process::run(Command::new("prlimit").args(["--pid", &pid, limit])).context("prlimit of util-linux sets the limit")
}

/// What health said meanwhile.
#[derive(Debug, Default)]
struct Seen {
    named: bool,
    open: Vec<String>,
}

async fn watch(server: &Server, time: Duration) -> Seen {
    let (start, mut seen) = (Instant::now(), Seen::default());
    while start.elapsed() < time {
        if let Ok(health) = server.get("/v1/providers/health").await {
            let list = |name: &str| health[name].as_array().cloned().unwrap_or_default();
            seen.named |= list("troubles").iter().any(|trouble| trouble["kind"] == "descriptors");
            for provider in list("email_providers") {
                let name = provider["provider"].as_str().unwrap_or_default().to_owned();
                if provider["circuit_breaker"] != "closed" && !seen.open.contains(&name) {
                    seen.open.push(name);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    seen
}
