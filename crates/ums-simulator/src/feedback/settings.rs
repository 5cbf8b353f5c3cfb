//! Where feedback goes, when, and how often.

use std::net::IpAddr;

use hyper::Uri;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::Report;
use crate::Error;

/// Longest delay: one hour, in milliseconds.
const MAX_DELAY_MS: u64 = 3_600_000;

/// Most copies of a report.
const MAX_COPIES: u32 = 100;

/// What is said of an address that feedback cannot go to.
pub(super) const NO_URL: &str = "feedback goes to a URL like http://127.0.0.1:8080";

/// How feedback is sent. The default posts nothing.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedbackSettings {
    /// Base URL of the service: reports go below its `/hooks`. Plain HTTP.
    pub to: Option<String>,
    /// Shortest and longest time from a message to a report of it, in milliseconds.
    pub delay_ms: [u64; 2],
    /// Least and most copies of each report; 1 is no duplicate.
    pub duplicates: [u32; 2],
    /// A message's reports come in any order instead of the true one.
    pub shuffle: bool,
    /// Reports are posted, without delay, before the message is answered.
    pub before_reply: bool,
}

impl Default for FeedbackSettings {
    fn default() -> Self {
        Self {
            to: None,
            delay_ms: [50, 500],
            duplicates: [1, 1],
            shuffle: false,
            before_reply: false,
        }
    }
}

impl FeedbackSettings {
    /// Sends feedback below this URL.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            to: Some(url.into()),
            ..Self::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(to) = &self.to {
            let uri: Uri = to.parse().map_err(|_| Error::Setting(NO_URL))?;
            let is_plain = uri.scheme_str() == Some("http") && uri.query().is_none();
            let names_a_user = uri.authority().is_none_or(|it| it.as_str().contains('@'));
            if !is_plain || names_a_user {
                return Err(Error::Setting(NO_URL));
            }
        }
        let [shortest, longest] = self.delay_ms;
        if shortest > longest || longest > MAX_DELAY_MS {
            return Err(Error::Setting("`delay_ms` must be [shortest, longest], at most 3600000"));
        }
        let [least, most] = self.duplicates;
        if least == 0 || least > most || most > MAX_COPIES {
            return Err(Error::Setting("`duplicates` must be [least, most], from 1 to 100"));
        }
        Ok(())
    }

    /// Tells whether the feedback stays on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let Some(to) = &self.to else {
            return true;
        };
        let uri = to.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// As many copies of each report as it shall have, in the order to post them.
    pub(super) fn copies(&self, reports: Vec<Report>) -> Vec<Report> {
        let mut all = Vec::with_capacity(reports.len());
        for report in reports {
            let [least, most] = self.duplicates;
            for _ in 0..between(u64::from(least), u64::from(most)) {
                all.push(report.clone());
            }
        }
        if self.shuffle {
            shuffle(&mut all);
        }
        all
    }

    /// A delay for each copy; they grow in the order to post.
    pub(super) fn plan(&self, reports: Vec<Report>) -> Vec<(Report, Duration)> {
        let copies = self.copies(reports);
        let mut delays: Vec<_> = copies.iter().map(|_| self.delay()).collect();
        delays.sort_unstable();
        copies.into_iter().zip(delays).collect()
    }

    pub(super) fn delay(&self) -> Duration {
        let [shortest, longest] = self.delay_ms;
        Duration::from_millis(between(shortest, longest))
    }

    pub(super) fn copy_count(&self) -> u64 {
        let [least, most] = self.duplicates;
        between(u64::from(least), u64::from(most))
    }
}

/// Any number of the range, both ends included. The bias of the remainder does not matter here.
fn between(least: u64, most: u64) -> u64 {
    // Without entropy all are alike; nothing else is lost.
    let chance = getrandom::u64().unwrap_or(0);
    least + chance % (most - least + 1)
}

fn shuffle<T>(list: &mut [T]) {
    for at in (1..list.len()).rev() {
        let other = usize::try_from(between(0, at as u64)).unwrap_or(at);
        list.swap(at, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_and_sound_ranges_are_taken() {
        let check = |settings: FeedbackSettings, is_sound: bool| {
            assert_eq!(settings.check().is_ok(), is_sound, "{settings:?}");
        };
        let base = FeedbackSettings::default;
        check(base(), true);
        for (url, is_sound) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost/ums/", true),
            ("https://127.0.0.1", false),
            ("http://me@127.0.0.1", false),
            ("http://127.0.0.1/?a=b", false),
            ("127.0.0.1:80", false),
            ("", false),
        ] {
            check(FeedbackSettings::to(url), is_sound);
        }
        check(
            FeedbackSettings {
                delay_ms: [5, 4],
                ..base()
            },
            false,
        );
        check(
            FeedbackSettings {
                delay_ms: [0, 3_600_001],
                ..base()
            },
            false,
        );
        check(
            FeedbackSettings {
                duplicates: [0, 1],
                ..base()
            },
            false,
        );
        check(
            FeedbackSettings {
                duplicates: [1, 5],
                ..base()
            },
            true,
        );
    }

    #[test]
    fn what_stays_on_this_machine_is_known() {
        let check = |url: &str, is_local: bool| assert_eq!(FeedbackSettings::to(url).is_local(), is_local, "{url}");
        check("http://127.0.0.1:8080", true);
        check("http://[::1]:8080", true);
        check("http://localhost:8080", true);
        check("http://10.0.0.1", false);
        check("http://127.0.0.1.example.com", false);
        check("http://localhost.example.com", false);
    }
}
