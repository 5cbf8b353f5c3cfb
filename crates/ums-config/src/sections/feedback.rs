//! What comes after a message is sent: feedback, rates, webhooks to the user's application.

use std::net::IpAddr;
use std::time::Duration;

use crate::reader::Reader;

const DAY: Duration = Duration::from_hours(24);

/// What is done with what providers report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackSettings {
    /// Whether a subscription of an allowed topic is confirmed when Amazon asks for it.
    pub confirm_subscriptions: bool,
    /// How old an SNS notification may be.
    pub sns_max_age: Duration,
    /// How old a post of SendGrid's may be.
    pub sendgrid_max_age: Duration,
    /// How often CloudWatch Logs is asked what became of text messages by SNS; none for never.
    pub sns_logs_every: Option<Duration>,
    /// How often Twilio is asked for its list of messages, where it cannot call back; none for never.
    pub twilio_list_every: Option<Duration>,
    /// How long a report waits for its message.
    pub give_up: Duration,
    /// How far from a call a report may lie that names nothing but its recipient.
    pub match_window: Duration,
    /// How long events without a message, notices that have ended and counts are kept.
    pub keep: Duration,
}

/// When bounces, complaints and missing receipts become a warning, and more. Shares in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// How far back bounces and complaints are counted.
    pub window: Duration,
    /// Fewer recipients than that are not judged.
    pub min_sample: u32,
    /// Hard bounces that are a warning.
    pub bounce_warn: u32,
    /// Hard bounces at which mail to many is held.
    pub bounce_hold: u32,
    /// Complaints that are a warning.
    pub complaint_warn: u32,
    /// Complaints at which mail to many is held.
    pub complaint_hold: u32,
    /// How long a receipt may take.
    pub receipt_within: Duration,
    /// How far back missing receipts are counted.
    pub receipt_window: Duration,
    /// Fewer recipients than that are not judged for receipts.
    pub receipt_min_sample: u32,
    /// Missing receipts at which a provider is degraded.
    pub receipt_missing: u32,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address, or any other one in it.
    pub address: IpAddr,
    /// Bits that all of its addresses share.
    pub prefix: u8,
}

/// How the user's application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Longest waits between tries; the last one repeats. Never empty.
    pub retry: Vec<Duration>,
    /// When a notice is given up.
    pub give_up: Duration,
    /// When an endpoint that fails all the time is disabled.
    pub disable_after: Duration,
    /// Posts to one endpoint at a time.
    pub at_once: u32,
    /// Time of one post.
    pub timeout: Duration,
    /// Endpoints that may be made.
    pub max_endpoints: u32,
    /// Whether endpoints may be plain HTTP.
    pub allow_http: bool,
    /// Addresses that are posted to although they are not public.
    pub allow_private: Vec<Network>,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> FeedbackSettings {
    let minutes = |least: u64, most: u64| Duration::from_mins(least)..=Duration::from_mins(most);
    FeedbackSettings {
        confirm_subscriptions: reader.flag("feedback.confirm_subscriptions"),
        sns_max_age: reader.span("feedback.sns_max_age", minutes(1, 24 * 60)),
        sendgrid_max_age: reader.span("feedback.sendgrid_max_age", minutes(1, 24 * 60)),
        sns_logs_every: poll(reader, "feedback.sns_logs_every"),
        twilio_list_every: poll(reader, "feedback.twilio_list_every"),
        give_up: reader.span("feedback.give_up", minutes(1, 30 * 24 * 60)),
        match_window: reader.span("feedback.match_window", Duration::from_secs(1)..=DAY),
        keep: DAY * reader.number("retention.aftermath_days", 1..=3_650),
    }
}

/// How often something is asked for; no time at all means never.
fn poll(reader: &mut Reader<'_>, path: &str) -> Option<Duration> {
    let every = reader.span(path, Duration::ZERO..=Duration::from_hours(1));
    if !every.is_zero() && every < Duration::from_secs(5) {
        reader.fault(path, "must be 0s for never, or from 5s to 1h");
    }
    (!every.is_zero()).then_some(every)
}

pub(crate) fn rates(reader: &mut Reader<'_>) -> RateSettings {
    let settings = RateSettings {
        window: reader.span("rates.window", Duration::from_hours(1)..=30 * DAY),
        min_sample: reader.number("rates.min_sample", 1..=1_000_000),
        bounce_warn: share(reader, "rates.bounce_warn"),
        bounce_hold: share(reader, "rates.bounce_hold"),
        complaint_warn: share(reader, "rates.complaint_warn"),
        complaint_hold: share(reader, "rates.complaint_hold"),
        receipt_within: reader.span("rates.receipt_within", Duration::from_secs(10)..=DAY),
        receipt_window: reader.span("rates.receipt_window", Duration::from_mins(5)..=DAY),
        receipt_min_sample: reader.number("rates.receipt_min_sample", 1..=1_000_000),
        receipt_missing: share(reader, "rates.receipt_missing"),
    };
    for (warn, hold, path) in [
        (settings.bounce_warn, settings.bounce_hold, "rates.bounce_warn"),
        (settings.complaint_warn, settings.complaint_hold, "rates.complaint_warn"),
    ] {
        if warn > hold && !reader.has_fault(path) {
            reader.fault(path, "must not be above the share at which mail to many is held");
        }
    }
    settings
}

/// A share such as `"0.1 %"`, in millionths.
fn share(reader: &mut Reader<'_>, path: &str) -> u32 {
    reader
        .file_word(path, "must be a share such as \"0.1%\", from 0.0001% to 100%", parse_share)
        .unwrap_or(1_000_000)
}

fn parse_share(text: &str) -> Option<u32> {
    let percent = text.strip_suffix('%')?.trim_end();
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || fraction.len() > 4 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let millionths = format!("{whole}{fraction:0<4}").parse::<u32>().ok()?;
    (1..=1_000_000).contains(&millionths).then_some(millionths)
}

pub(crate) fn webhooks(reader: &mut Reader<'_>) -> WebhookSettings {
    WebhookSettings {
        retry: reader.spans("webhooks.retry", Duration::from_secs(1)..=DAY),
        give_up: reader.span("webhooks.give_up", Duration::from_hours(1)..=30 * DAY),
        disable_after: reader.span("webhooks.disable_after", Duration::from_hours(1)..=90 * DAY),
        at_once: reader.number("webhooks.at_once", 1..=64),
        timeout: reader.span("webhooks.timeout", Duration::from_secs(1)..=Duration::from_secs(30)),
        max_endpoints: reader.number("webhooks.max_endpoints", 1..=1_000),
        allow_http: reader.flag("webhooks.allow_http"),
        allow_private: networks(reader, "webhooks.allow_private"),
    }
}

fn networks(reader: &mut Reader<'_>, path: &str) -> Vec<Network> {
    let mut networks = Vec::new();
    for (index, text) in reader.file_list(path).iter().enumerate() {
        match network(text) {
            Some(network) => networks.push(network),
            None => reader.fault(
                format!("{path}[{index}]"),
                "must be an address or a network, such as 10.0.0.0/8 or fd00::/8",
            ),
        }
    }
    networks
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.trim().split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text.trim(), None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(longest), |prefix| prefix.parse().ok())?;
    (prefix <= longest).then_some(Network { address, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent_with_at_most_four_digits_after_the_point() {
        let read = ["5%", "0.1%", "0.5 %", "100%", "0.0001%"].map(parse_share);
        assert_eq!(read, [Some(50_000), Some(1_000), Some(5_000), Some(1_000_000), Some(1)]);
        for wrong in ["5", "0%", "100.1%", "-1%", "%", ".5%", "0.00001%", "1e1%", "1.٣%"] {
            assert_eq!(parse_share(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_network_without_a_prefix_is_one_address() {
        let one = network("127.0.0.1").unwrap();
        assert_eq!(
            (
                one.prefix,
                network("10.0.0.0/8").unwrap().prefix,
                network("fd00::/8").unwrap().prefix
            ),
            (32, 8, 8)
        );
        for wrong in ["10.0.0.0/33", "localhost", "10.0.0/8", "::/129", ""] {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }
}
