//! Databases that do not fit are refused at the door, in words and at once. One that fits is served through a pooler, after a first commit
//! that it cut off, and while it refuses texts.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::{Report, seconds};
use super::stage::{Server, Stage, Store, fixed_address};
use super::{Play, faults, settings, settle};
use crate::pooler::Pooler;
use crate::postgres::Cluster;

/// The database that fits.
const FITTING: &str = "ums";
/// Pass figure: a start is refused by then. One that waits for a database waits for 30 s.
const REFUSED: Duration = Duration::from_secs(10);
/// Time that a statement of the drill waits to be seen.
const SEEN: Duration = Duration::from_secs(20);
/// What a service exits with that cannot be used as it is set up.
const USAGE: i32 = 2;
/// When messages expire, in seconds; a step that is written for ever outlasts it.
const EXPIRES_IN: u64 = 20;
/// Messages a second.
const RATE: u32 = 60;

/// A database that does not fit.
struct Misfit {
    name: &'static str,
    url: String,
    /// What the service says of it: what is wrong, and what to do.
    words: [&'static str; 2],
}

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("database", Some(Store::Postgres));
    let mut stage = Stage::set(play.workspace, "database", &play.binary, Store::Postgres, settings::QUICK)?;
    let mut chance = Chance::of(play.seed, "address");
    for misfit in prepare(play, cluster(&stage)?)? {
        refused(&mut stage, &mut chance, &mut report, &misfit).await?;
    }
    cluster_mut(&mut stage)?.start_as(true)?;
    let standby = Misfit {
        name: "a standby",
        url: cluster(&stage)?.url(),
        words: ["is a standby", "target_session_attrs=read-write"],
    };
    refused(&mut stage, &mut chance, &mut report, &standby).await?;
    cluster_mut(&mut stage)?.start_as(false)?;

    let pooler = Pooler::start(play.workspace, cluster(&stage)?, FITTING)?;
    for (name, mode, words) in [
        (
            "a pooler by transaction",
            "transaction",
            ["between transactions", "pool_mode = session"],
        ),
        ("a pooler by statement", "statement", ["between statements", "pool_mode = session"]),
    ] {
        let url = pooler.url(mode);
        refused(&mut stage, &mut chance, &mut report, &Misfit { name, url, words }).await?;
    }
    stage.set_setting("UMS_DATABASE_URL", &pooler.url("session"));
    let server = start_cut_off(&mut stage, &mut chance, &mut report).await?;
    if let Some(server) = server {
        refuse_texts(play, &mut stage, server, &mut report).await?;
    }
    Ok(report)
}

fn cluster(stage: &Stage) -> Result<&Cluster> {
    stage.cluster.as_ref().context("no database")
}

fn cluster_mut(stage: &mut Stage) -> Result<&mut Cluster> {
    stage.cluster.as_mut().context("no database")
}

/// Makes the databases that do not fit.
fn prepare(play: &Play<'_>, cluster: &Cluster) -> Result<Vec<Misfit>> {
    for (name, encoding) in [("ascii", "SQL_ASCII"), ("latin", "LATIN1")] {
        let make = format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        cluster.sql(FITTING, &make)?;
    }
    for statement in [
        "CREATE DATABASE reading",
        "ALTER DATABASE reading SET default_transaction_read_only = on",
        "CREATE DATABASE rightless",
        "CREATE ROLE stranger LOGIN PASSWORD 'made-up'",
    ] {
        cluster.sql(FITTING, statement)?;
    }
    let fixture = |name: &str| play.workspace.root().join("crates/ums-store/tests/fixtures/tls").join(name);
    cluster.certify(&fixture("right.pem"), &fixture("key.pem"))?;
    let misfit = |name, url, words| Misfit { name, url, words };
    let of = |database: &str| cluster.url_of(database, None);
    Ok(vec![
        misfit("the encoding SQL_ASCII", of("ascii"), ["encoding is SQL_ASCII", "ENCODING 'UTF8'"]),
        misfit("the encoding LATIN1", of("latin"), ["encoding is LATIN1", "ENCODING 'UTF8'"]),
        misfit(
            "a database that only reads",
            of("reading"),
            ["only reads", "default_transaction_read_only to off"],
        ),
        misfit(
            "a user without rights",
            cluster.url_of("rightless", Some(("stranger", "made-up"))),
            ["permission denied", "GRANT USAGE, CREATE ON SCHEMA"],
        ),
        misfit(
            "a wrong password",
            cluster.url_of(FITTING, Some(("stranger", "another"))),
            ["password authentication failed", "UMS_DATABASE_URL"],
        ),
        misfit("a database that is not there", of("nowhere"), ["does not exist", "CREATE DATABASE"]),
        misfit(
            "a certificate that nobody vouches for",
            format!("{}?sslmode=verify-full", of(FITTING)),
            ["no authority that is trusted signed it", "sslrootcert=FILE"],
        ),
    ])
}

/// Starts the service on a database that does not fit, and looks at its end.
async fn refused(stage: &mut Stage, chance: &mut Chance, report: &mut Report, misfit: &Misfit) -> Result<()> {
    stage.set_setting("UMS_DATABASE_URL", &misfit.url);
    let began = Instant::now();
    let mut server = stage.start_server(fixed_address(chance)?, None, &[])?;
    let status = server.ends_within(REFUSED).await;
    let said = std::fs::read_to_string(server.process.log()).unwrap_or_default();
    let fault = match status {
        None => Some(format!("no end within {}", seconds(REFUSED))),
        Some(status) if status.code() != Some(USAGE) => Some(format!("{status}")),
        Some(_) => misfit
            .words
            .iter()
            .find(|word| !said.contains(*word))
            .map(|word| format!("not told: {word}")),
    };
    let found = fault.clone().unwrap_or_else(|| seconds(began.elapsed()));
    report.hold(
        &format!("refused: {}", misfit.name),
        found,
        "at once, with what to do",
        fault.is_none(),
    );
    Ok(())
}

/// Starts the service while its first commit is cut off; the service, if it got ready.
async fn start_cut_off(stage: &mut Stage, chance: &mut Chance, report: &mut Report) -> Result<Option<Server>> {
    // The schema is there; the first commit registers the process.
    ensure!(stage.ums(&["migrate"]).output()?.status.success(), "the schema cannot be made");
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON owners DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()";
    cluster(stage)?.sql(FITTING, slow)?;
    let mut server = stage.start_server(fixed_address(chance)?, None, &[])?;
    let began = Instant::now();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%INSERT INTO owners%'";
    while cluster(stage)?.sql(FITTING, cut)? == "0" {
        ensure!(began.elapsed() < SEEN, "nobody registered\n{}", server.process.tail());
    }
    cluster(stage)?.sql(FITTING, "DROP TRIGGER slow ON owners")?;
    let ready = server.ready().await;
    let found = ready.as_ref().map_or_else(|_| "it ended".to_owned(), |took| seconds(*took));
    report.hold("a start whose first commit was cut off", found, "goes on", ready.is_ok());
    // What is judged next needs a service.
    match ready {
        Ok(_) => Ok(Some(server)),
        Err(_) => Ok(Some(stage.serve(fixed_address(chance)?).await?.0)),
    }
}

/// Has the database refuse long texts under load, through a pooler by session.
async fn refuse_texts(play: &Play<'_>, stage: &mut Stage, server: Server, report: &mut Report) -> Result<()> {
    for provider in ["ses", "sns"] {
        let fails = json!({"mode": "error", "status": 503, "rate": 0.6});
        faults::put(&stage.web, stage.control()?, provider, &fails).await?;
    }
    let mix = Mix {
        scheduled: 0,
        expires_in: EXPIRES_IN,
        messages: play.rounds,
        per_second: Some(RATE),
        ..Mix::default()
    };
    let mut load = Load::start(play.seed, &mix, &[server.at], &stage.journals.acks)?;
    // A class 22 for every longer text (22001), and a check for every skip (23514).
    let shorter = "ALTER TABLE attempts ALTER COLUMN detail TYPE varchar(16) USING left(detail, 16);
         ALTER TABLE skips ADD CONSTRAINT terse CHECK (length(detail) < 20) NOT VALID";
    cluster(stage)?.sql(FITTING, shorter)?;
    load.all_posted().await?;
    let seen = load.finish().await?;
    let settled = settle::settled(&server, Duration::from_secs(EXPIRES_IN + 20)).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(stage, &server).await?;
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.tell("settled after", settled.map_or_else(|| "never".to_owned(), seconds));
    report.none_of("posts refused for good", &seen.refused());
    let replaced = cluster(stage)?.sql(FITTING, "SELECT count(*) FROM attempts WHERE detail = '(replaced)'")?;
    report.hold("texts replaced", &replaced, "≥ 1, else the drill is void", replaced != "0");
    let left = cluster(stage)?.sql(FITTING, "SELECT count(*) FROM messages WHERE owner IS NOT NULL")?;
    report.hold("steps that are still written", &left, "0", left == "0");
    Ok(())
}
