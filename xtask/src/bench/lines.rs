//! Who is measured, and against whom.

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
    /// `bench-sender --peer <the line's name>`, under every load.
    Peer,
    /// `bench-sender` with this peer and a healthy second provider, one message at a time and at
    /// most so many.
    WithSecond(&'static str, u32),
    /// Postfix's load generator.
    SmtpSource,
}

/// Messages of which each fails at the first provider, whose breaker can be kept closed for 1000
/// failures; a tenth to warm up comes on top.
const FEW: u32 = 800;
/// Messages of the other measurements with a second provider: enough for a steady median.
const MANY: u32 = 4_000;

impl Line {
    /// Whether it is measured with that many lanes.
    pub(crate) fn has(&self, concurrency: usize) -> bool {
        match self.sender {
            Sender::Peer | Sender::SmtpSource => true,
            Sender::WithSecond(..) => concurrency == 1,
        }
    }

    const fn new(name: &'static str, sink: Sink, base: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            sink,
            sender: Sender::Peer,
            base,
        }
    }

    const fn with_second(name: &'static str, peer: (&'static str, u32), sink: Sink, what: &'static str) -> Self {
        Self {
            name,
            what,
            sink,
            sender: Sender::WithSecond(peer.0, peer.1),
            base: "second-alone",
        }
    }

    const fn smtp_source(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            sink: Sink::Smtp,
            sender: Sender::SmtpSource,
            base: name,
        }
    }
}

/// A sender is added here and in `bench/src/peer`.
pub(crate) const LINES: &[Line] = &[
    Line::new(
        "raw-hyper",
        Sink::Ses,
        "raw-hyper",
        "the same unsigned SES request every time: the limit of the machine",
    ),
    Line::new(
        "hyper-sigv4",
        Sink::Ses,
        "raw-hyper",
        "SES, built and signed by hand: the least that a real sender does",
    ),
    Line::new("ums-ses", Sink::Ses, "raw-hyper", "SES by our library, the whole path"),
    Line::new(
        "aws-sdk-sesv2",
        Sink::Ses,
        "raw-hyper",
        "SES by the AWS SDK with its default settings",
    ),
    Line::new("reqwest-sendgrid", Sink::SendGrid, "raw-hyper", "SendGrid by plain reqwest"),
    Line::new("ums-sendgrid", Sink::SendGrid, "reqwest-sendgrid", "SendGrid by our library"),
    Line::new("reqwest-twilio", Sink::Twilio, "raw-hyper", "Twilio by plain reqwest"),
    Line::new("ums-twilio", Sink::Twilio, "reqwest-twilio", "Twilio by our library"),
    Line::new("ums-sns", Sink::Sns, "raw-hyper", "SNS by our library"),
    Line::smtp_source("smtp-source", "SMTP by Postfix's load generator"),
    Line::new("ums-smtp", Sink::Smtp, "smtp-source", "SMTP by our library"),
    Line::with_second(
        "second-alone",
        ("ums-sendgrid", MANY),
        Sink::SendGrid,
        "SendGrid by our library, for the lines below",
    ),
    Line::with_second(
        "error-500",
        ("raw-error", MANY),
        Sink::Ses500,
        "SES answers 500: bare hyper's time of the error",
    ),
    Line::with_second("error-503", ("raw-error", MANY), Sink::Ses503, "SES answers 503: the same"),
    Line::with_second(
        "error-refused",
        ("raw-error", MANY),
        Sink::Refused,
        "SES refuses to connect: the same",
    ),
    Line::with_second(
        "ums-failover-500",
        ("ums-failover", FEW),
        Sink::Ses500,
        "SES answers 500 and SendGrid takes it, the breaker kept closed",
    ),
    Line::with_second("ums-failover-503", ("ums-failover", FEW), Sink::Ses503, "SES answers 503: the same"),
    Line::with_second(
        "ums-failover-refused",
        ("ums-failover", FEW),
        Sink::Refused,
        "SES refuses to connect: the same",
    ),
    Line::with_second(
        "ums-open-500",
        ("ums-open", MANY),
        Sink::Ses500,
        "SES answers 500, its breaker open since the warm-up",
    ),
    Line::with_second("ums-open-503", ("ums-open", MANY), Sink::Ses503, "SES answers 503: the same"),
    Line::with_second(
        "ums-open-refused",
        ("ums-open", MANY),
        Sink::Refused,
        "SES refuses to connect: the same",
    ),
    Line::with_second(
        "ums-hang",
        ("ums-hang", MANY),
        Sink::Hang,
        "SES takes the request and is silent; given up after 1 s, its breaker open since the warm-up",
    ),
];

#[cfg(test)]
mod tests {
    use super::LINES;

    #[test]
    fn every_base_is_a_line() {
        for line in LINES {
            assert!(LINES.iter().any(|base| base.name == line.base), "{}", line.name);
        }
    }
}
