//! `Prefer: wait=N` and `Prefer: respond-async` (RFC 7240). What cannot be read is ignored, as the
//! standard wants it.

use std::time::Duration;

use hyper::HeaderMap;

/// How a caller wants to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preference {
    /// Answer at once, or after `wait` when that is there, too.
    pub(crate) respond_async: bool,
    /// At most so long, in seconds.
    pub(crate) wait_seconds: Option<u64>,
}

impl Preference {
    /// Reads the preferences of a request; the first of a kind counts.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut preference = Self::default();
        let texts = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for token in texts.flat_map(|text| text.split(',')) {
            let token = token.split(';').next().unwrap_or_default().trim();
            let (name, value) = token.split_once('=').unwrap_or((token, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") {
                preference.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && preference.wait_seconds.is_none() {
                preference.wait_seconds = value.parse().ok();
            }
        }
        preference
    }

    /// How long to wait: what was asked for, at most `most`; `usual` when nothing was.
    pub(crate) fn wait(self, usual: Duration, most: Duration) -> Duration {
        match (self.wait_seconds, self.respond_async) {
            (Some(seconds), _) => Duration::from_secs(seconds).min(most),
            (None, true) => Duration::ZERO,
            (None, false) => usual,
        }
    }

    /// What to say in `Preference-Applied`.
    pub(crate) fn applied(self, most: Duration) -> Option<String> {
        let wait = self.wait_seconds.map(|seconds| format!("wait={}", seconds.min(most.as_secs())));
        match (self.respond_async, wait) {
            (true, Some(wait)) => Some(format!("respond-async, {wait}")),
            (true, None) => Some("respond-async".to_owned()),
            (false, wait) => wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn check(values: &[&str], wait: u64, applied: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", HeaderValue::from_str(value).unwrap());
        }
        let most = Duration::from_mins(1);
        let preference = Preference::of(&headers);
        assert_eq!(
            preference.wait(Duration::from_secs(30), most),
            Duration::from_secs(wait),
            "{values:?}"
        );
        assert_eq!(preference.applied(most).as_deref(), applied, "{values:?}");
    }

    #[test]
    fn preferences_are_read_as_the_standard_says() {
        check(&[], 30, None);
        check(&["wait=5"], 5, Some("wait=5"));
        check(&["WAIT = \"5\"; foo=bar"], 5, Some("wait=5"));
        check(&["wait=600"], 60, Some("wait=60"));
        check(&["wait=soon"], 30, None);
        check(&["return=minimal, respond-async"], 0, Some("respond-async"));
        check(&["respond-async", "wait=10"], 10, Some("respond-async, wait=10"));
        check(&["wait=3", "wait=4"], 3, Some("wait=3"));
    }
}
