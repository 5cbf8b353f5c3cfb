//! What is looked at every few seconds, and what a series of looks says: a slope with its margin, a middle, two ends.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::drill::load::Times;
use crate::drill::report::percentile;

/// One look.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Since the load began.
    pub(super) at: Duration,
    /// Whether all providers were well since the look before.
    pub(super) is_calm: bool,
    pub(super) process: Process,
    /// Posts accepted since the look before.
    pub(super) accepted: u64,
    /// Middle and 99th of 100 of the posts that did not wait for the outcome, and of those that did.
    pub(super) stored: [Duration; 2],
    pub(super) waited: [Duration; 2],
    /// KiB of the database and of its log.
    pub(super) database: u32,
    pub(super) log: u32,
}

/// What the kernel says of the process; memory in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) resident: u32,
    /// The part of it that is no file's.
    pub(super) anonymous: u32,
    pub(super) threads: u32,
    pub(super) descriptors: u32,
}

impl Process {
    pub(super) fn look(id: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).context("the server is gone")?;
        let descriptors = std::fs::read_dir(format!("/proc/{id}/fd"))?.count();
        Ok(Self {
            descriptors: u32::try_from(descriptors)?,
            ..Self::read(&status)?
        })
    }

    fn read(status: &str) -> Result<Self> {
        let number = |name: &str| -> Result<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let word = line.and_then(|line| line.split_whitespace().next());
            Ok(word.with_context(|| format!("no {name} of the process"))?.parse()?)
        };
        Ok(Self {
            resident: number("VmRSS")?,
            anonymous: number("RssAnon")?,
            threads: number("Threads")?,
            descriptors: 0,
        })
    }
}

/// Middle and 99th of 100.
pub(super) fn middle_and_late(times: &[Duration]) -> [Duration; 2] {
    [percentile(times, 50), percentile(times, 99)]
}

impl Sample {
    pub(super) fn of(at: Duration, is_calm: bool, process: Process, times: &Times, [database, log]: [u32; 2]) -> Self {
        Self {
            at,
            is_calm,
            process,
            accepted: u64::try_from(times.stored.len() + times.waited.len()).unwrap_or_default(),
            stored: middle_and_late(&times.stored),
            waited: middle_and_late(&times.waited),
            database,
            log,
        }
    }
}

/// The looks as a table for other programs.
#[derive(Debug)]
pub(super) struct Sheet(File);

impl Sheet {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let mut file = File::create(path).with_context(|| format!("making {}", path.display()))?;
        let head = "seconds,calm,rss_kib,anon_kib,threads,descriptors,posts,stored_p50_ms,stored_p99_ms,waited_p50_ms,waited_p99_ms,database_kib,log_kib";
        writeln!(file, "{head}")?;
        Ok(Self(file))
    }

    pub(super) fn add(&mut self, sample: &Sample) -> Result<()> {
        let Process {
            resident,
            anonymous,
            threads,
            descriptors,
        } = sample.process;
        let [stored, stored_late] = sample.stored.map(millis);
        let [waited, waited_late] = sample.waited.map(millis);
        let Sample {
            at,
            is_calm,
            accepted,
            database,
            log,
            ..
        } = sample;
        let seconds = at.as_secs();
        let calm = u8::from(*is_calm);
        writeln!(
            self.0,
            "{seconds},{calm},{resident},{anonymous},{threads},{descriptors},{accepted},{stored},{stored_late},{waited},{waited_late},{database},{log}"
        )?;
        Ok(())
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1_000.0)
}

/// How fast a figure grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slope {
    pub(super) per_hour: f64,
    /// Half the width of its 95 % confidence interval.
    pub(super) margin: f64,
}

impl Slope {
    /// By least squares over the mean of each minute: looks that follow one another closely are no independent witnesses.
    pub(super) fn of(looks: impl Iterator<Item = (Duration, f64)>) -> Option<Self> {
        let points = by_minute(looks);
        let count = f64::from(u32::try_from(points.len()).ok()?);
        if points.len() < 3 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (middle, level) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|point| (point.0 - middle).powi(2)).sum();
        let per_hour = points.iter().map(|point| (point.0 - middle) * (point.1 - level)).sum::<f64>() / spread;
        let left_over: f64 = points
            .iter()
            .map(|point| (point.1 - level - per_hour * (point.0 - middle)).powi(2))
            .sum();
        let margin = 1.96 * (left_over / (count - 2.0) / spread).sqrt();
        Some(Self { per_hour, margin })
    }
}

/// The mean of each minute, by hours.
fn by_minute(looks: impl Iterator<Item = (Duration, f64)>) -> Vec<(f64, f64)> {
    let mut minutes: Vec<(u64, Vec<f64>)> = Vec::new();
    for (at, value) in looks {
        let minute = at.as_secs() / 60;
        match minutes.last_mut() {
            Some((last, values)) if *last == minute => values.push(value),
            _ => minutes.push((minute, vec![value])),
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let points = minutes
        .iter()
        .map(|(minute, values)| (Duration::from_mins(*minute).as_secs_f64() / 3_600.0, mean(values)));
    points.collect()
}

/// The middle of the first third of some looks, and of the last.
pub(super) fn ends<T: Copy + Ord + Default>(looks: &[T]) -> [T; 2] {
    let third = looks.len().div_ceil(3);
    let middle = |part: &[T]| {
        let mut sorted = part.to_vec();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    [middle(&looks[..third]), middle(&looks[looks.len() - third..])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_found_in_noise_and_says_how_sure_it_is() {
        let looks = |noise: f64| {
            (0..600_u32).map(move |look| {
                let at = Duration::from_secs(u64::from(look) * 5);
                // The noise is of one minute and its like in the next.
                let swing = if (look / 12) % 2 == 0 { noise } else { -noise };
                (at, 100.0 + 2.0 * at.as_secs_f64() / 3_600.0 + swing)
            })
        };
        let sure = Slope::of(looks(0.0)).unwrap();
        assert!((sure.per_hour - 2.0).abs() < 1e-6 && sure.margin < 1e-6, "{sure:?}");
        let unsure = Slope::of(looks(1.0)).unwrap();
        assert!((unsure.per_hour - 2.0).abs() < unsure.margin && unsure.margin > 0.5, "{unsure:?}");
        assert_eq!(Slope::of(looks(0.0).take(24)), None, "two minutes have no slope that says anything");
    }

    #[test]
    fn both_ends_are_middles_of_a_third() {
        assert_eq!(ends(&[9, 1, 1, 5, 5, 5, 7, 7, 100]), [1, 7]);
        assert_eq!(ends(&[3]), [3, 3]);
        assert_eq!(ends::<u32>(&[]), [0, 0]);
    }

    #[test]
    fn the_kernels_words_are_read() {
        let status = "Name:\tums\nVmHWM:\t  9 kB\nVmRSS:\t   51200 kB\nRssAnon:\t   40960 kB\nThreads:\t7\n";
        let read = Process::read(status).unwrap();
        assert_eq!((read.resident, read.anonymous, read.threads), (51_200, 40_960, 7));
        assert!(Process::read("Name:\tums\n").is_err());
    }
}
