//! The pace of an account holds over all replicas together, and is used up.

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};

use super::chance::Chance;
use super::fleet::Fleet;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Stage, Store};
use super::{Play, settings};

const REPLICAS: u32 = 3;
/// SES's pace unless told otherwise, in messages a second.
const RATE: u32 = 14;
/// Time before the count begins, and of the count.
const WARM_UP: Duration = Duration::from_secs(5);
const COUNTED: u32 = 60;
/// Messages that a replica takes from the shared pace at once: those of a quarter of a second.
const BLOCK: u32 = RATE.div_ceil(4);

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("pace", Some(Store::Postgres));
    let mut stage = Stage::set(play.workspace, "pace", &play.binary, Store::Postgres, settings::PACED)?;
    let mut chance = Chance::of(play.seed, "addresses");
    let fleet = Fleet::start(&mut stage, REPLICAS as usize, &mut chance).await?;
    let mix = Mix {
        batches: 100,
        batch: 100,
        pause: Duration::from_secs(1),
        scheduled: 0,
        expires_in: 3_600,
        via: Some("aws_ses"),
        purpose: Some("bulk"),
        channel: Some("email"),
        messages: u64::from(RATE * (COUNTED + 60) * 2),
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &fleet.addresses(), &stage.journals.acks)?;
    tokio::time::sleep(WARM_UP).await;
    let from = Timestamp::now();
    let to = from + SignedDuration::from_secs(i64::from(COUNTED));
    tokio::time::sleep(Duration::from_secs(u64::from(COUNTED))).await;
    let seen = load.finish().await?;
    stage.sink_lives()?;
    let arrivals = stage.journals.read_arrivals()?;
    let mut arrived: Vec<Timestamp> = arrivals
        .iter()
        .filter(|arrival| arrival.is_recorded() && arrival.provider == "ses")
        .map(|arrival| arrival.at)
        .collect();
    arrived.sort();
    let counted = arrived.iter().filter(|at| (from..to).contains(*at)).count();
    let (least, most) = (RATE * COUNTED * 9 / 10, RATE * COUNTED + REPLICAS * BLOCK);
    let is_within = (usize::try_from(least)?..=usize::try_from(most)?).contains(&counted);
    report.tell("replicas", REPLICAS);
    report.tell("messages promised", seen.acks.load(std::sync::atomic::Ordering::Relaxed));
    report.hold("arrivals in 60 s at 14/s", counted, &format!("{least} to {most}"), is_within);
    report.tell("most arrivals within one second", busiest_second(&arrived));
    let page = fleet.first()?.get("/v1/messages?status=failed&limit=1").await?;
    let failed = page["data"].as_array().context("a page without data")?.len();
    report.hold("messages failed for the pace", failed, "0", failed == 0);
    report.none_of("posts refused for good", &seen.refused());
    Ok(report)
}

/// The most arrivals in any window of a second.
fn busiest_second(arrived: &[Timestamp]) -> usize {
    let second = SignedDuration::from_secs(1);
    let within = |from: usize| arrived[from..].iter().take_while(|at| **at < arrived[from] + second).count();
    (0..arrived.len()).map(within).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::busiest_second;

    #[test]
    fn windows_slide() {
        let at = |millis: i64| jiff::Timestamp::from_millisecond(millis).unwrap();
        let arrived = [0, 900, 1_000, 1_100, 1_899, 3_000].map(at);
        assert_eq!(busiest_second(&arrived), 4);
        assert_eq!(busiest_second(&[]), 0);
    }
}
