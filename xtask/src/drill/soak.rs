//! An hour at 200 messages a second while faults come and go: memory, descriptors, threads and answers stay as they are.
//!
//! No row is removed meanwhile: the shortest retention is a day. So the database grows by what was promised, and what is held
//! is that the process does not grow with it.

mod application;
mod plan;
mod reader;
mod samples;
mod slices;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use self::application::Application;
use self::plan::Plan;
use self::reader::Read;
use self::samples::{Process, Sample, Sheet, Slope, ends};
use self::slices::Slices;
use super::chance::Chance;
use super::load::{Load, Mix, Seen};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::web::Ask;
use super::{Play, settings, settle};

const PER_SECOND: u32 = 200;
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What fills up at first is filled after so long; of a shorter drill, after a third.
const WARM: Duration = Duration::from_mins(10);
/// When messages expire, in seconds, and when all is known of them.
const EXPIRES_IN: u64 = 60;
const AT_AN_END: SignedDuration = SignedDuration::from_secs(150);
const JUDGED_EVERY: Duration = Duration::from_mins(1);
/// Applications are told on this machine.
const TOLD_HERE: &str = "
[webhooks]
retry = [\"1s\", \"1s\", \"2s\"]
allow_http = true
allow_private = [\"127.0.0.0/8\"]
";
/// Pass figures.
const MEGABYTES_AN_HOUR: f64 = 1.0;
/// Callers keep the connections that they had at their busiest, so descriptors swing: only what the margin leaves is growth.
const DESCRIPTORS_AN_HOUR: f64 = 10.0;
/// How much later the last third may answer than the first: 5 ms, or half as much again.
const NOISE: Duration = Duration::from_millis(5);

pub(super) async fn run(play: &Play<'_>, store: Store) -> Result<Report> {
    let mut report = play.report("soak", Some(store));
    let text = format!("{}{TOLD_HERE}", settings::QUICK);
    let mut stage = Stage::set(play.workspace, "soak", &play.binary, store, &text)?;
    let (mut server, application) = serve(play, &mut stage).await?;
    let mix = Mix {
        callers: 200,
        pause: Duration::ZERO,
        batches: 1,
        batch: 10,
        scheduled: 2,
        waiting: 20,
        again: 5,
        subscribers: 1_000_000,
        is_timed: true,
        expires_in: EXPIRES_IN,
        per_second: Some(PER_SECOND),
        ..Mix::default()
    };
    let time = Duration::from_mins(play.rounds);
    let spells = Plan::start(play.seed, &stage.web, stage.control()?).await?;
    let load = Load::start(play.seed, &mix, &[server.at], &stage.journals.acks)?;
    let mut slices = Slices::of(&stage.journals)?;
    let (samples, (), read) = tokio::try_join!(
        look_on(&stage, &server, load.seen(), &spells, time),
        judge_on(&mut slices, &server, time),
        async { Ok(Read::on(server.at, time).await) },
    )?;
    let seen = load.finish().await?;
    let faults = spells.stop(&stage.web, stage.control()?).await?;
    let settled = nothing_moves(&server).await?;
    slices.judge_before(Timestamp::now(), &server).await?;
    stage.sink_lives()?;
    ensure!(server.ended().is_none(), "the server ended\n{}", server.process.tail());

    tell_process(&mut report, &samples, time);
    tell_answers(&mut report, &samples, time);
    tell_disk(&mut report, &samples, slices.found.acks);
    tell_traffic(&mut report, &stage, &seen).await?;
    report.tell("faults switched", faults);
    report.hold(
        "notices taken by the application",
        application.notices(),
        "≥ 1",
        application.notices() > 0,
    );
    report.tell("questions answered", read.answered);
    report.none_of("questions not answered", &read.failed);
    report.hold("all at an end", settled, "true", settled);
    report.judged(&slices.found);
    report.none_of("arrivals after the judgement", &slices.strays);
    Ok(report)
}

/// A server that hears what the sink reports, and tells an application.
async fn serve(play: &Play<'_>, stage: &mut Stage) -> Result<(Server, Application)> {
    let at = fixed_address(&mut Chance::of(play.seed, &format!("address on {}", stage.store.word())))?;
    let control = stage.control()?;
    let url = format!("http://{at}");
    let keys = stage.web.ask(control, &Ask::get("/_sim/keys")).await;
    let keys = keys.map_err(|lost| anyhow::anyhow!("the keys of the sink: {lost:?}"))?.json();
    let key = keys["sendgrid_public_key"].as_str().context("the sink tells no key")?;
    stage.set_setting("SENDGRID_WEBHOOK_PUBLIC_KEY", key);
    stage.set_setting("UMS_PUBLIC_URL", &url);
    // First those whose reports are believed here.
    stage.set_setting("UMS_EMAIL_CHAIN", "sendgrid,aws_ses,smtp");
    stage.set_setting("UMS_SMS_CHAIN", "twilio,aws_sns");
    let told = stage
        .web
        .ask(
            control,
            &Ask::with_json("PUT", "/_sim/feedback", &json!({"to": url, "duplicates": [1, 2]})),
        )
        .await;
    ensure!(told.is_ok_and(|answer| answer.is_success()), "the sink will not report");
    let (server, _) = stage.serve(at).await?;
    let application = Application::start().await?;
    let made = Ask::with_json("POST", "/v1/webhooks", &json!({"url": application.url, "description": "drill"}));
    let made = stage.web.ask(at, &made).await;
    ensure!(made.is_ok_and(|answer| answer.is_success()), "no endpoint was made");
    Ok((server, application))
}

/// Looks at everything every few seconds.
async fn look_on(stage: &Stage, server: &Server, seen: &Seen, plan: &Plan, time: Duration) -> Result<Vec<Sample>> {
    let mut sheet = Sheet::create(&stage.folder.join("samples.csv"))?;
    let (mut samples, start) = (Vec::new(), Instant::now());
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.tick().await;
    let mut was_calm = plan.is_calm();
    while start.elapsed() < time {
        ticks.tick().await;
        let is_calm = plan.is_calm();
        let process = Process::look(server.process.id())?;
        let sample = Sample::of(start.elapsed(), was_calm && is_calm, process, &seen.times(), sizes(stage)?);
        sheet.add(&sample)?;
        samples.push(sample);
        was_calm = is_calm;
    }
    Ok(samples)
}

/// Judges each minute, once it is at an end.
async fn judge_on(slices: &mut Slices, server: &Server, time: Duration) -> Result<()> {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(JUDGED_EVERY);
    while start.elapsed() + JUDGED_EVERY < time {
        ticks.tick().await;
        slices.judge_before(Timestamp::now() - AT_AN_END, server).await?;
    }
    Ok(())
}

/// KiB of the database and of its log.
fn sizes(stage: &Stage) -> Result<[u32; 2]> {
    let bytes: [u64; 2] = match &stage.cluster {
        None => ["ums.db", "ums.db-wal"].map(|name| std::fs::metadata(stage.folder.join(name)).map_or(0, |file| file.len())),
        Some(cluster) => {
            let said = cluster.sql(
                "ums",
                "SELECT pg_database_size(current_database()), (SELECT sum(size) FROM pg_ls_waldir())",
            )?;
            let (database, log) = said.split_once('|').context("the database tells no sizes")?;
            [database.parse()?, log.parse()?]
        }
    };
    Ok(bytes.map(|bytes| u32::try_from(bytes / 1_024).unwrap_or(u32::MAX)))
}

/// Waits until no message seems to move: two looks in a row, for one may fall between two of its statuses.
async fn nothing_moves(server: &Server) -> Result<bool> {
    let (most, start, mut still) = (Duration::try_from(AT_AN_END)?, Instant::now(), 0);
    while start.elapsed() < most && still < 2 {
        still = if settle::seems_to_move(server).await? { 0 } else { still + 1 };
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(still == 2)
}

/// The looks after what fills up at first is full.
fn warm(samples: &[Sample], time: Duration) -> impl Iterator<Item = &Sample> {
    let from = WARM.min(time / 3);
    samples.iter().filter(move |sample| sample.at >= from)
}

fn tell_process(report: &mut Report, samples: &[Sample], time: Duration) {
    let slope =
        |of: fn(&Process) -> u32| Slope::of(warm(samples, time).map(|sample| (sample.at, f64::from(of(&sample.process)) / 1_024.0)));
    let shown = |slope: Option<Slope>| {
        slope.map_or_else(
            || "none".to_owned(),
            |slope| format!("{:+.2} ± {:.2} MB/h", slope.per_hour, slope.margin),
        )
    };
    let of_all = |of: fn(&Process) -> u32| warm(samples, time).map(|sample| of(&sample.process)).collect::<Vec<u32>>();
    let resident = of_all(|process| process.resident);
    let [first, last] = ends(&resident).map(|kib| f64::from(kib) / 1_024.0);
    report.tell("memory, middle of first and last third", format!("{first:.1} MB, {last:.1} MB"));
    let most = resident.iter().max().copied().unwrap_or_default();
    report.tell("memory, most", format!("{:.1} MB", f64::from(most) / 1_024.0));
    report.tell("slope of memory that is no file's", shown(slope(|process| process.anonymous)));
    let grows = slope(|process| process.resident);
    let is_flat = grows.is_none_or(|slope| slope.per_hour < MEGABYTES_AN_HOUR);
    report.hold("slope of memory", shown(grows), "< 1 MB/h", is_flat);
    let range = |of: fn(&Process) -> u32| {
        let counts = || warm(samples, time).map(|sample| of(&sample.process));
        (counts().min().unwrap_or_default(), counts().max().unwrap_or_default())
    };
    let (low, high) = range(|process| process.threads);
    report.hold("threads, least and most", format!("{low}, {high}"), "≤ 1 more", high <= low + 1);
    let (low, high) = range(|process| process.descriptors);
    report.tell("descriptors, least and most", format!("{low}, {high}"));
    let grow = Slope::of(warm(samples, time).map(|sample| (sample.at, f64::from(sample.process.descriptors))));
    let value = grow.map_or_else(
        || "none".to_owned(),
        |slope| format!("{:+.0} ± {:.0} /h", slope.per_hour, slope.margin),
    );
    let is_flat = grow.is_none_or(|slope| slope.per_hour - slope.margin <= DESCRIPTORS_AN_HOUR);
    report.hold("slope of descriptors", value, "not surely > 10 /h", is_flat);
}

/// Answers while all providers are well: the middle of the looks' 99th of 100, since others may be at work on the machine.
fn tell_answers(report: &mut Report, samples: &[Sample], time: Duration) {
    let posts: u64 = warm(samples, time).map(|sample| sample.accepted).sum();
    report.tell("posts looked at", posts);
    let calm = || warm(samples, time).filter(|sample| sample.is_calm);
    let stored: Vec<Duration> = calm().map(|sample| sample.stored[1]).collect();
    let waited: Vec<Duration> = calm().map(|sample| sample.waited[1]).collect();
    let middles: Vec<Duration> = calm().map(|sample| sample.stored[0]).collect();
    let shown = |[first, last]: [Duration; 2]| format!("{first:.1?}, {last:.1?}");
    report.tell("answers in calm, p50, first and last third", shown(ends(&middles)));
    for (name, times) in [
        ("answers in calm, p99, first and last third", stored),
        ("answers that waited for the outcome, p99", waited),
    ] {
        let both = ends(&times);
        let most = both[0] + (both[0] / 2).max(NOISE);
        report.hold(name, shown(both), "≤ half more", both[1] <= most);
    }
    let struck = warm(samples, time).filter(|sample| !sample.is_calm);
    let struck: Vec<Duration> = struck.map(|sample| sample.stored[1]).collect();
    report.tell("answers under faults, p99, first and last third", shown(ends(&struck)));
}

fn tell_disk(report: &mut Report, samples: &[Sample], messages: usize) {
    let kib = |of: fn(&Sample) -> u32| {
        let first = samples.first().map(of).unwrap_or_default();
        let last = samples.last().map(of).unwrap_or_default();
        let most = samples.iter().map(of).max().unwrap_or_default();
        (first, last, most)
    };
    let (first, last, _) = kib(|sample| sample.database);
    let grown = u64::from(last.saturating_sub(first)) * 1_024;
    let each = grown.checked_div(u64::try_from(messages).unwrap_or_default()).unwrap_or_default();
    report.tell("database at first and last", format!("{} MB, {} MB", first / 1_024, last / 1_024));
    report.tell("database, bytes of a message", each);
    let (_, last, most) = kib(|sample| sample.log);
    report.tell(
        "write-ahead log, last and most",
        format!("{} MB, {} MB", last / 1_024, most / 1_024),
    );
}

async fn tell_traffic(report: &mut Report, stage: &Stage, seen: &Seen) -> Result<()> {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    report.tell("posts turned away", count(&seen.turned_away));
    report.hold(
        "of them without Retry-After",
        count(&seen.without_retry_after),
        "0",
        count(&seen.without_retry_after) == 0,
    );
    report.tell(
        "posts without an answer",
        count(&seen.unreached) + count(&seen.broken) + count(&seen.late),
    );
    report.none_of("posts refused for good", &seen.refused());
    report.hold(
        "posts made again with their key",
        count(&seen.repeated),
        "≥ 1",
        count(&seen.repeated) > 0,
    );
    report.none_of("keys that forgot their message", &seen.strayed());
    let told = stage.web.ask(stage.control()?, &Ask::get("/_sim/feedback")).await;
    let told = told
        .map_err(|lost| anyhow::anyhow!("the figures of the feedback: {lost:?}"))?
        .json();
    let figure = |name: &str| told["stats"][name].as_u64().unwrap_or_default();
    report.hold("reports taken", figure("taken"), "≥ 1", figure("taken") > 0);
    // Amazon's are refused here: only `ums dev` believes the sink's key. Others are lost when the service is slower than they come.
    report.tell("reports that the sink gave up, Amazon's among them", figure("lost"));
    Ok(())
}
