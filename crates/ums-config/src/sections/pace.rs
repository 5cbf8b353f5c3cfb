//! How fast each provider's account may be used.

use std::num::NonZeroU32;

use ums_core::ProviderKind;

use crate::reader::Reader;
use crate::values::ByProvider;

/// The pace of one provider's account, in recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceSettings {
    /// Most in a second; none for no limit of ours.
    pub per_second: Option<NonZeroU32>,
    /// Most in any 24 hours; none for no limit of ours.
    pub per_day: Option<NonZeroU32>,
}

/// What `auto` means.
const AUTO: &str = "auto";
/// Most that a second may be set to.
const MOST_PER_SECOND: u32 = 1_000_000;

/// Servers of SMTP with a pace of their own: host, recipients a second and in any 24 hours, 0 for no limit of ours. Any other server has
/// none: nobody but its operator knows what it takes.
///
/// Gmail: 500 recipients in any 24 hours, and bursts look like abuse to it (support.google.com/a/answer/166852, read 2026-11-22).
/// Workspace's relay: 10,000 recipients a user in 24 hours (support.google.com/a/answer/2956491, read 2026-11-29).
const SMTP_HOSTS: &[(&str, u32, u32)] = &[
    ("smtp.gmail.com", 1, 500),
    ("smtp.googlemail.com", 1, 500),
    ("smtp-relay.gmail.com", 0, 10_000),
];

/// Reads the pace of each provider; `smtp_host` is the server of SMTP, if there is one.
pub(crate) fn read(reader: &mut Reader<'_>, smtp_host: Option<&str>) -> ByProvider<PaceSettings> {
    let (per_second, per_day) = smtp_host.map_or((0, 0), of_smtp_host);
    ByProvider::each(|provider| {
        let mut number = |key: &str, most: u32, auto: u32| {
            let path = format!("pace.{provider}.{key}");
            NonZeroU32::new(if provider == ProviderKind::Smtp {
                reader.number_or_word(&path, 0..=most, (AUTO, auto))
            } else {
                reader.number(&path, 0..=most)
            })
        };
        PaceSettings {
            per_second: number("per_second", MOST_PER_SECOND, per_second),
            per_day: number("per_day", u32::MAX, per_day),
        }
    })
}

fn of_smtp_host(host: &str) -> (u32, u32) {
    let host = host.strip_suffix('.').unwrap_or(host);
    let row = SMTP_HOSTS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(host));
    row.map_or((0, 0), |(_, per_second, per_day)| (*per_second, *per_day))
}

impl ByProvider<PaceSettings> {
    /// What holds for a dotted name of this section that may stand for another value.
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        let limit = match name {
            "pace.smtp.per_second" => self.smtp.per_second,
            "pace.smtp.per_day" => self.smtp.per_day,
            _ => return None,
        };
        Some(limit.map_or(0, NonZeroU32::get).to_string())
    }
}
