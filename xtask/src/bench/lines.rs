//! Who is measured, against whom, and what is wanted.

use std::fmt;

use super::sinks::Sink;

/// One sender.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) sink: Sink,
    pub(crate) sender: Sender,
    /// The line that its ratios are taken against.
    pub(crate) base: &'static str,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// `bench-sender --peer <the line's name>`.
    Ours,
    /// Postfix's load generator.
    SmtpSource,
}

/// A sender is added here and in `bench/src/peer`.
pub(crate) const LINES: &[Line] = &[
    Line {
        name: "raw-hyper",
        what: "the same unsigned SES request every time: the limit of the machine",
        sink: Sink::Ses,
        sender: Sender::Ours,
        base: "raw-hyper",
    },
    Line {
        name: "hyper-sigv4",
        what: "SES, built and signed by hand: the least that a real sender does",
        sink: Sink::Ses,
        sender: Sender::Ours,
        base: "raw-hyper",
    },
    Line {
        name: "aws-sdk-sesv2",
        what: "SES by the AWS SDK with its default settings",
        sink: Sink::Ses,
        sender: Sender::Ours,
        base: "raw-hyper",
    },
    Line {
        name: "reqwest-sendgrid",
        what: "SendGrid by plain reqwest",
        sink: Sink::SendGrid,
        sender: Sender::Ours,
        base: "raw-hyper",
    },
    Line {
        name: "reqwest-twilio",
        what: "Twilio by plain reqwest",
        sink: Sink::Twilio,
        sender: Sender::Ours,
        base: "raw-hyper",
    },
    Line {
        name: "smtp-source",
        what: "SMTP by Postfix's load generator",
        sink: Sink::Smtp,
        sender: Sender::SmtpSource,
        base: "smtp-source",
    },
];

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Processor time of a message; less is better.
    Cpu,
    /// Messages a second; more is better.
    Rate,
    /// Median time of a message; less is better.
    P50,
}

impl Measure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Rate => "rate",
            Self::P50 => "p50",
        }
    }

    /// Whether a ratio is within its limit.
    pub(crate) fn is_met(self, ratio: f64, limit: f64) -> bool {
        match self {
            Self::Cpu | Self::P50 => ratio <= limit,
            Self::Rate => ratio >= limit,
        }
    }
}

/// A ratio between two lines of the same round that is wanted.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) line: &'static str,
    pub(crate) against: &'static str,
    pub(crate) measure: Measure,
    pub(crate) concurrency: usize,
    pub(crate) limit: f64,
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            against,
            measure,
            concurrency,
            limit,
        } = self;
        let sign = match measure {
            Measure::Cpu | Measure::P50 => "<=",
            Measure::Rate => ">=",
        };
        let name = measure.name();
        write!(formatter, "{name} of {line} {sign} {limit} x {against} at {concurrency}")
    }
}

const fn goal(line: &'static str, measure: Measure, limit: f64, against: &'static str, concurrency: usize) -> Goal {
    Goal {
        line,
        against,
        measure,
        concurrency,
        limit,
    }
}

/// What our own senders shall reach.
pub(crate) const GOALS: &[Goal] = &[
    goal("ums-ses", Measure::Cpu, 3.2, "raw-hyper", 16),
    goal("ums-ses", Measure::Cpu, 0.35, "aws-sdk-sesv2", 16),
    goal("ums-ses", Measure::P50, 1.3, "hyper-sigv4", 1),
    goal("ums-sendgrid", Measure::Cpu, 1.25, "reqwest-sendgrid", 16),
    goal("ums-twilio", Measure::Cpu, 1.25, "reqwest-twilio", 16),
    goal("ums-smtp", Measure::Rate, 0.5, "smtp-source", 1),
    goal("ums-smtp", Measure::Rate, 0.5, "smtp-source", 16),
];

#[cfg(test)]
mod tests {
    use super::{LINES, Measure, goal};

    #[test]
    fn every_base_is_a_line() {
        for line in LINES {
            assert!(LINES.iter().any(|base| base.name == line.base), "{}", line.name);
        }
    }

    #[test]
    fn a_goal_reads_as_a_sentence_and_knows_its_direction() {
        let wanted = goal("a", Measure::Rate, 0.5, "b", 16);
        assert_eq!(wanted.to_string(), "rate of a >= 0.5 x b at 16");
        assert!(Measure::Rate.is_met(0.6, 0.5) && !Measure::Rate.is_met(0.4, 0.5));
        assert!(Measure::Cpu.is_met(0.4, 0.5) && !Measure::Cpu.is_met(0.6, 0.5));
    }
}
