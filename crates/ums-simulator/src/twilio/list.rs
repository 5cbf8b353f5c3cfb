//! `GET Messages.json`: the account's messages, newest first, in pages.

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde_json::json;

use super::message;
use super::{VERSION, error};
use crate::Provider;
use crate::call::Call;
use crate::form;
use crate::recorder::Filter;
use crate::reply::Reply;
use crate::world::World;

/// Messages in a page unless the caller asks for another number.
const PAGE_SIZE: usize = 50;

/// Most messages in a page.
const MAX_PAGE_SIZE: usize = 1_000;

/// Parameters that choose messages; pages carry them on.
const CHOICES: [&str; 5] = ["To", "From", "DateSent", "DateSent<", "DateSent>"];

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Which page is asked for.
struct Page<'a> {
    number: usize,
    size: usize,
    /// The message that ended the page before: what comes meanwhile shifts nothing.
    after: Option<&'a str>,
}

/// Lists the messages of an account.
pub(super) fn list(world: &World, call: &Call, account: &str) -> Result<Reply, Reply> {
    let page = read_page(call);
    let span = span(call)?;
    let filter = Filter {
        provider: Some(Provider::Twilio),
        recipient: call.query.filled("To").map(str::to_owned),
        ..Filter::default()
    };
    let from = call.query.filled("From");
    let matching: Vec<_> = world
        .recorder
        .list(&filter)
        .into_iter()
        .rev()
        .filter(|entry| {
            let it = entry.envelope();
            message::is_of(it, account) && (from.is_none() || it.from.as_deref() == from) && span.holds(it.received_at)
        })
        .collect();
    let start = match page.after {
        Some(sid) => matching
            .iter()
            .position(|entry| entry.envelope().id == sid)
            .map_or(matching.len(), |at| at + 1),
        None => page.number.saturating_mul(page.size),
    };
    let shown: Vec<_> = matching.iter().skip(start).take(page.size).collect();
    let last = shown.last().map(|entry| entry.envelope().id.as_str());
    let has_next = start.saturating_add(shown.len()) < matching.len();
    let uri = |number: usize, token: Option<String>| uri(call, account, (number, page.size), token);
    Ok(Reply::json(
        200,
        &json!({
            "end": (page.number * page.size + shown.len()).saturating_sub(1),
            "first_page_uri": uri(0, None),
            "next_page_uri": last.filter(|_| has_next).map(|sid| uri(page.number + 1, Some(format!("PA{sid}")))),
            "page": page.number,
            "page_size": page.size,
            "previous_page_uri": page.number.checked_sub(1).map(|number| uri(number, None)),
            "start": page.number * page.size,
            "uri": uri(page.number, page.after.map(|sid| format!("PA{sid}"))),
            "messages": shown.iter().map(|entry| message::present(entry.envelope())).collect::<Vec<_>>(),
        }),
    ))
}

fn read_page(call: &Call) -> Page<'_> {
    let number = |name: &str| call.query.get(name).and_then(|text| text.parse::<usize>().ok());
    Page {
        number: number("Page").unwrap_or(0).min(1_000_000),
        size: number("PageSize").unwrap_or(PAGE_SIZE).clamp(1, MAX_PAGE_SIZE),
        after: call.query.filled("PageToken").and_then(|token| token.strip_prefix("PA")),
    }
}

fn uri(call: &Call, account: &str, (page, size): (usize, usize), token: Option<String>) -> String {
    let mut pairs = vec![("PageSize", size.to_string()), ("Page", page.to_string())];
    pairs.extend(token.map(|token| ("PageToken", token)));
    for name in CHOICES {
        let escaped = match name {
            "DateSent<" => "DateSent%3C",
            "DateSent>" => "DateSent%3E",
            other => other,
        };
        pairs.extend(call.query.filled(name).map(|value| (escaped, value.to_owned())));
    }
    format!("/{VERSION}/Accounts/{account}/Messages.json?{}", form::encode(&pairs))
}

/// A span of time; the end is not in it.
struct Span {
    from: Timestamp,
    until: Timestamp,
}

impl Span {
    fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

/// Reads `DateSent` (a day, or a moment), `DateSent>` (from then on) and `DateSent<` (up to then).
fn span(call: &Call) -> Result<Span, Reply> {
    let mut span = Span {
        from: Timestamp::MIN,
        until: Timestamp::MAX,
    };
    for name in ["DateSent", "DateSent>", "DateSent<"] {
        let Some(text) = call.query.filled(name) else {
            continue;
        };
        let Some((at, length)) = moment(text) else {
            return Err(error(400, 20001, &format!("{name} is not a date")));
        };
        // The libraries write a day as its midnight.
        let length = if at.as_second() % DAY == 0 {
            SignedDuration::from_secs(DAY)
        } else {
            length
        };
        let after = at.checked_add(length).unwrap_or(at);
        match name {
            "DateSent" => {
                span.from = span.from.max(at);
                span.until = span.until.min(after);
            }
            "DateSent>" => span.from = span.from.max(at),
            // "At or before midnight": the moment itself is in it.
            _ => span.until = span.until.min(at.checked_add(SignedDuration::from_micros(1)).unwrap_or(at)),
        }
    }
    Ok(span)
}

/// Reads a date or a time, with how long it is: a day or a second.
fn moment(text: &str) -> Option<(Timestamp, SignedDuration)> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some((at, SignedDuration::from_secs(1)));
    }
    let day: civil::Date = text.parse().ok()?;
    let at = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((at, SignedDuration::from_secs(DAY)))
}
