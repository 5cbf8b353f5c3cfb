//! What the readers of Amazon's payloads share.

use std::fmt::Write as _;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use serde_json::Value;
use ums_core::Timestamp;

/// Longest id of an event, in bytes.
const MAX_ID: usize = 255;

/// A member that is a text with something in it.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// A member that is a list; of anything else, nothing.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A time in any of the forms that Amazon writes: `2026-11-22T10:00:00.000Z`, `2018-10-08T14:05:45 +0000`, `2016-06-28 00:40:34.558` (UTC).
pub(super) fn time(text: &str) -> Option<Timestamp> {
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Some(time);
    }
    match text.split_once(' ')? {
        (date, "+0000") => Timestamp::parse_rfc3339(&format!("{date}Z")),
        (date, clock) => Timestamp::parse_rfc3339(&format!("{date}T{clock}Z")),
    }
}

/// One of our ids, which are all UUIDs of version 7: those of others that travel in the same places are not ours.
pub(super) fn our_id<T: FromStr>(text: &str) -> Option<T> {
    let is_ours = text.len() == 36 && text.as_bytes().get(14) == Some(&b'7');
    is_ours.then(|| text.parse().ok()).flatten()
}

/// An id made of what tells an event from others. The first part stays readable; all are in the digest.
pub(super) fn event_id(parts: &[&str]) -> String {
    let mut all = Vec::new();
    for part in parts {
        // The length first, so that no two lists of parts look the same.
        all.extend_from_slice(&part.len().to_be_bytes());
        all.extend_from_slice(part.as_bytes());
    }
    let readable: String = parts.iter().take(2).map(|part| clip(part, 100)).collect::<Vec<_>>().join("/");
    let mut id = clip(&readable.replace(|c: char| c.is_control() || c.is_whitespace(), "_"), MAX_ID - 33);
    id.push('/');
    for byte in digest(&SHA256, &all).as_ref().iter().take(16) {
        // Writing to a string cannot fail.
        _ = write!(id, "{byte:02x}");
    }
    id
}

/// The beginning of a text, at most so many bytes.
pub(super) fn clip(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most.min(text.len()));
    text.get(..end).unwrap_or_default().to_owned()
}
