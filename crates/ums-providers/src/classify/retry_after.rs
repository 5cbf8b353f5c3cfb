//! How long a provider asks to be left alone.

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use ums_core::{FailureClass, Timestamp};

use crate::http::Answer;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(15);

/// The delay that an answer asks for, within 1 s and 15 min.
///
/// Read from `Retry-After` (seconds or an HTTP date, RFC 9110 §10.2.3), AWS's `x-amz-retry-after`
/// (milliseconds), and `SendGrid`'s `X-RateLimit-Reset` (Unix seconds, on 429 only: it stands on every answer).
pub(crate) fn retry_after(class: FailureClass, answer: &Answer<'_>) -> Option<Duration> {
    if !matches!(
        class,
        FailureClass::Throttled | FailureClass::Unavailable | FailureClass::QuotaExhausted
    ) {
        return None;
    }
    let asked = standard(answer)
        .or_else(|| Some(Duration::from_millis(answer.header("x-amz-retry-after")?.trim().parse().ok()?)))
        .or_else(|| rate_limit_reset(class, answer))?;
    Some(asked.clamp(SHORTEST, LONGEST))
}

fn standard(answer: &Answer<'_>) -> Option<Duration> {
    let value = answer.header("retry-after")?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    Some(until(http_date(value)?, answer))
}

fn rate_limit_reset(class: FailureClass, answer: &Answer<'_>) -> Option<Duration> {
    if class != FailureClass::Throttled {
        return None;
    }
    let reset: i64 = answer.header("x-ratelimit-reset")?.trim().parse().ok()?;
    Some(until(Timestamp::from_micros(reset.checked_mul(1_000_000)?), answer))
}

/// The time until a date, by the provider's own clock where the answer shows it.
fn until(date: Timestamp, answer: &Answer<'_>) -> Duration {
    let now = answer.header("date").and_then(http_date).unwrap_or(answer.now);
    date.since(now)
}

/// Reads an HTTP date (`Sun, 22 Nov 2026 10:00:00 GMT`).
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    let date = DateTime::from_str(text.trim(), Format::HttpDate).ok()?;
    date.secs().checked_mul(1_000_000).map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn check(headers: &[(&'static str, &'static str)], expected: Option<u64>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        let answer = Answer {
            status: 429,
            headers: &map,
            body: b"",
            now,
        };
        assert_eq!(
            retry_after(FailureClass::Throttled, &answer),
            expected.map(Duration::from_secs),
            "{headers:?}"
        );
        assert_eq!(retry_after(FailureClass::InvalidMessage, &answer), None);
    }

    #[test]
    fn seconds_dates_and_resets_are_read_and_clamped() {
        check(&[], None);
        check(&[("retry-after", "7")], Some(7));
        check(&[("retry-after", " 7 ")], Some(7));
        check(&[("retry-after", "0")], Some(1));
        check(&[("retry-after", "86400")], Some(900));
        check(&[("retry-after", "99999999999999999999999999")], None);
        check(&[("retry-after", "-5")], None);
        check(&[("retry-after", "NaN")], None);
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT")], Some(30));
        check(&[("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT")], Some(1));
        check(
            &[
                ("retry-after", "Sun, 22 Nov 2026 11:00:30 GMT"),
                ("date", "Sun, 22 Nov 2026 11:00:00 GMT"),
            ],
            Some(30),
        );
        check(&[("x-amz-retry-after", "2000")], Some(2));
        check(&[("x-ratelimit-reset", "1795341620")], Some(20));
        check(&[("retry-after", "3"), ("x-ratelimit-reset", "1795341620")], Some(3));
    }
}
