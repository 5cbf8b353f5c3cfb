//! What is wanted of our own senders.

use std::fmt;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Processor time of a message; less is better.
    Cpu,
    /// Messages a second; more is better.
    Rate,
    /// Median time of a message; less is better.
    P50,
    /// Time that 99 of 100 messages stay below; less is better.
    P99,
    /// Longest time of a message during warm-up; less is better.
    WarmUp,
}

impl Measure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Rate => "rate",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::WarmUp => "slowest of the warm-up",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Cpu | Self::P50 | Self::P99 | Self::WarmUp => "<=",
            Self::Rate => ">=",
        }
    }

    /// Whether a figure is within its limit.
    pub(crate) fn is_met(self, figure: f64, limit: f64) -> bool {
        match self {
            Self::Cpu | Self::P50 | Self::P99 | Self::WarmUp => figure <= limit,
            Self::Rate => figure >= limit,
        }
    }
}

/// What a line's figure is set against, inside a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// The sum of these lines' figures: the limit is a ratio.
    Times(&'static [&'static str]),
    /// The median of this line: the limit is what may be added, in milliseconds.
    Added(&'static str),
}

/// What is wanted of a line.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) line: &'static str,
    pub(crate) measure: Measure,
    pub(crate) limit: f64,
    pub(crate) against: Against,
    pub(crate) concurrency: usize,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            measure,
            limit,
            against,
            concurrency,
        } = self;
        write!(f, "{} of {line} {} ", measure.name(), measure.sign())?;
        match against {
            Against::Times([other]) => write!(f, "{limit} x {other}")?,
            Against::Times(others) => write!(f, "{limit} x ({})", others.join(" + "))?,
            Against::Added(other) => write!(f, "p50 of {other} + {limit} ms")?,
        }
        write!(f, " at {concurrency}")
    }
}

const fn ratio(line: &'static str, measure: Measure, limit: f64, others: &'static [&'static str], concurrency: usize) -> Goal {
    Goal {
        line,
        measure,
        limit,
        against: Against::Times(others),
        concurrency,
    }
}

/// Latency with a second provider, against that provider used alone.
const fn added(line: &'static str, measure: Measure, limit_ms: f64) -> Goal {
    Goal {
        line,
        measure,
        limit: limit_ms,
        against: Against::Added("second-alone"),
        concurrency: 1,
    }
}

/// What our own senders shall reach.
pub(crate) const GOALS: &[Goal] = &[
    ratio("ums-ses", Measure::Cpu, 3.2, &["raw-hyper"], 16),
    ratio("ums-ses", Measure::Cpu, 0.35, &["aws-sdk-sesv2"], 16),
    ratio("ums-ses", Measure::P50, 1.3, &["hyper-sigv4"], 1),
    ratio("ums-sendgrid", Measure::Cpu, 1.25, &["reqwest-sendgrid"], 16),
    ratio("ums-twilio", Measure::Cpu, 1.25, &["reqwest-twilio"], 16),
    ratio("ums-smtp", Measure::Rate, 0.5, &["smtp-source"], 1),
    ratio("ums-smtp", Measure::Rate, 0.5, &["smtp-source"], 16),
    ratio("ums-failover-500", Measure::P50, 1.5, &["error-500", "second-alone"], 1),
    ratio("ums-failover-503", Measure::P50, 1.5, &["error-503", "second-alone"], 1),
    ratio("ums-failover-refused", Measure::P50, 1.5, &["error-refused", "second-alone"], 1),
    added("ums-failover-500", Measure::P50, 20.0),
    added("ums-failover-500", Measure::P99, 60.0),
    added("ums-failover-503", Measure::P50, 20.0),
    added("ums-failover-503", Measure::P99, 60.0),
    added("ums-failover-refused", Measure::P50, 20.0),
    added("ums-failover-refused", Measure::P99, 60.0),
    ratio("ums-open-500", Measure::P50, 1.1, &["second-alone"], 1),
    ratio("ums-open-503", Measure::P50, 1.1, &["second-alone"], 1),
    ratio("ums-open-refused", Measure::P50, 1.1, &["second-alone"], 1),
    // The attempt may take 1 s here.
    added("ums-hang", Measure::WarmUp, 1_100.0),
    ratio("ums-hang", Measure::P50, 1.1, &["second-alone"], 1),
];

#[cfg(test)]
mod tests {
    use super::{Against, GOALS, Measure, added, ratio};
    use crate::bench::lines::LINES;

    #[test]
    fn a_goal_reads_as_a_sentence_and_knows_its_direction() {
        let wanted = ratio("a", Measure::Rate, 0.5, &["b", "c"], 16);
        assert_eq!(wanted.to_string(), "rate of a >= 0.5 x (b + c) at 16");
        assert_eq!(
            added("a", Measure::P99, 60.0).to_string(),
            "p99 of a <= p50 of second-alone + 60 ms at 1"
        );
        assert!(Measure::Rate.is_met(0.6, 0.5) && !Measure::Rate.is_met(0.4, 0.5));
        assert!(Measure::Cpu.is_met(0.4, 0.5) && !Measure::Cpu.is_met(0.6, 0.5));
    }

    #[test]
    fn every_goal_speaks_of_lines_under_that_load() {
        for goal in GOALS {
            let others = match goal.against {
                Against::Times(others) => others.to_vec(),
                Against::Added(other) => vec![other],
            };
            for name in others.into_iter().chain([goal.line]) {
                let line = LINES.iter().find(|line| line.name == name);
                assert!(line.is_some_and(|line| line.has(goal.concurrency)), "{goal}");
            }
        }
    }
}
