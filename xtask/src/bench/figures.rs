//! Single measurements and what a set of them says.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::goals::{Against, Goal, Measure};

/// One measurement of one line.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) line: &'static str,
    pub(crate) concurrency: usize,
    pub(crate) round: usize,
    pub(crate) msgs_per_s: f64,
    /// User and system seconds of the sender for a thousand messages.
    pub(crate) cpu_s_per_1k: f64,
    /// Microseconds; the load generator of Postfix does not tell.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) warm_up_max_us: Option<f64>,
}

impl Sample {
    /// From the line that a sender prints.
    pub(crate) fn read(line: &'static str, concurrency: usize, round: usize, text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("the sender printed no JSON")?;
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        let wanted = |key: &str| number(key).with_context(|| format!("the sender gave no {key}"));
        Ok(Self {
            line,
            concurrency,
            round,
            msgs_per_s: wanted("msgs_per_s")?,
            cpu_s_per_1k: wanted("cpu_s_per_1k")?,
            p50_us: number("p50_us"),
            p99_us: number("p99_us"),
            warm_up_max_us: number("warm_up_max_us"),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "line": self.line,
            "concurrency": self.concurrency,
            "round": self.round,
            "msgs_per_s": self.msgs_per_s,
            "cpu_s_per_1k": self.cpu_s_per_1k,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "warm_up_max_us": self.warm_up_max_us,
        })
    }

    pub(crate) fn get(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Cpu => Some(self.cpu_s_per_1k),
            Measure::Rate => Some(self.msgs_per_s),
            Measure::P50 => self.p50_us,
            Measure::P99 => self.p99_us,
            Measure::WarmUp => self.warm_up_max_us,
        }
    }
}

/// The middle of a set and its ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(*values.get(middle - 1)?, upper)
        } else {
            upper
        };
        Some(Self {
            median,
            least: *values.first()?,
            most: *values.last()?,
        })
    }

    pub(crate) fn to_json(self) -> Value {
        json!({"median": self.median, "min": self.least, "max": self.most})
    }
}

/// Ratios of one line to another, each taken inside its round.
pub(crate) fn ratios(samples: &[Sample], line: &str, against: &str, concurrency: usize, measure: Measure) -> Option<Spread> {
    in_rounds(samples, |round| {
        Some(figure(samples, line, concurrency, round, measure)? / figure(samples, against, concurrency, round, measure)?)
    })
}

/// What a goal speaks of, taken inside each round: a ratio, or milliseconds.
pub(crate) fn reached(samples: &[Sample], goal: &Goal) -> Option<Spread> {
    let of = |name: &str, round: usize, measure: Measure| figure(samples, name, goal.concurrency, round, measure);
    in_rounds(samples, |round| {
        let own = of(goal.line, round, goal.measure)?;
        match goal.against {
            Against::Times(others) => {
                let sum: Option<f64> = others.iter().map(|other| of(other, round, goal.measure)).sum();
                Some(own / sum?)
            }
            Against::Added(other) => Some((own - of(other, round, Measure::P50)?) / 1_000.0),
        }
    })
}

fn figure(samples: &[Sample], line: &str, concurrency: usize, round: usize, measure: Measure) -> Option<f64> {
    samples
        .iter()
        .find(|sample| sample.line == line && sample.round == round && sample.concurrency == concurrency)
        .and_then(|sample| sample.get(measure))
}

fn in_rounds(samples: &[Sample], of_round: impl FnMut(usize) -> Option<f64>) -> Option<Spread> {
    let rounds = samples.iter().map(|sample| sample.round).max()?;
    Spread::of((0..=rounds).filter_map(of_round))
}

#[cfg(test)]
mod tests {
    use super::{Against, Goal, Measure, Sample, Spread, ratios, reached};

    fn sample(line: &'static str, round: usize, rate: f64) -> Sample {
        Sample {
            line,
            concurrency: 1,
            round,
            msgs_per_s: rate,
            cpu_s_per_1k: 1.0,
            p50_us: Some(1_000_000.0 / rate),
            p99_us: None,
            warm_up_max_us: None,
        }
    }

    #[test]
    fn the_median_is_the_middle_of_odd_and_even_sets() {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|it| it.median);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_are_taken_inside_a_round() {
        // The machine is twice as fast in the second round; the ratio is the same.
        let samples = [
            sample("ours", 0, 50.0),
            sample("peer", 0, 100.0),
            sample("peer", 1, 200.0),
            sample("ours", 1, 100.0),
        ];
        let expected = Spread {
            median: 0.5,
            least: 0.5,
            most: 0.5,
        };
        assert_eq!(ratios(&samples, "ours", "peer", 1, Measure::Rate), Some(expected));
        assert_eq!(ratios(&samples, "ours", "peer", 1, Measure::P99), None);
        assert_eq!(ratios(&samples, "ours", "peer", 16, Measure::Rate), None);
    }

    #[test]
    fn a_goal_is_a_ratio_to_a_sum_or_an_added_time() {
        let samples = [sample("ours", 0, 100.0), sample("one", 0, 500.0), sample("two", 0, 500.0)];
        let reaches = |against: Against| {
            let goal = Goal {
                line: "ours",
                measure: Measure::P50,
                limit: 1.0,
                against,
                concurrency: 1,
            };
            reached(&samples, &goal).map(|spread| spread.median)
        };
        assert_eq!(reaches(Against::Times(&["one", "two"])), Some(2.5));
        assert_eq!(reaches(Against::Added("one")), Some(8.0));
        assert_eq!(reaches(Against::Added("three")), None);
    }

    #[test]
    fn a_senders_line_is_read() {
        let text = r#"{"cpu_s_per_1k":0.01,"msgs_per_s":900.5,"p50_us":180,"p99_us":600}"#;
        let sample = Sample::read("ours", 16, 2, text).unwrap();
        assert_eq!(sample.p99_us, Some(600.0));
        assert!(Sample::read("ours", 16, 2, "{}").is_err());
    }
}
