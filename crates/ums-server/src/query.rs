//! Reads a request's query: all faults at once, by name, without values.

use std::str::FromStr;

use axum::extract::Query;
use hyper::Uri;
use ums_core::request::FieldFault;
use ums_core::{Timestamp, UnknownWord};

use crate::problem::{ErrorCode, Problem};
use crate::shape::shown;

/// What is said of a parameter that a call does not have.
pub(crate) const UNKNOWN: &str = "is not a parameter of this call";

/// Gives each parameter to `set`, which says what is wrong with it. None may stand twice.
pub(crate) fn read(uri: &Uri, mut set: impl FnMut(&str, &str) -> Result<(), String>) -> Result<(), Problem> {
    let unreadable = |_| Problem::new(ErrorCode::InvalidQuery, "the query cannot be read; is it percent-encoded?");
    let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(unreadable)?;
    let mut faults = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &parameters {
        let outcome = if seen.contains(&name.as_str()) {
            Err("must be given once".to_owned())
        } else {
            set(name, value)
        };
        seen.push(name);
        if let Err(reason) = outcome {
            faults.push(FieldFault {
                field: shown(name).to_owned(),
                reason,
            });
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Problem::faults(ErrorCode::InvalidQuery, faults))
    }
}

/// One word of a closed set.
pub(crate) fn word<T: FromStr<Err = UnknownWord>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|unknown: UnknownWord| unknown.to_string())
}

/// A time with an offset.
pub(crate) fn time(value: &str) -> Result<Timestamp, String> {
    // A bare `+` of an offset arrives as a space.
    let parsed = Timestamp::parse_rfc3339(value).or_else(|| Timestamp::parse_rfc3339(&value.replace(' ', "+")));
    parsed.ok_or_else(|| "must be an RFC 3339 time with an offset, such as 2026-11-22T10:00:00Z".to_owned())
}

/// `true` or `false`.
pub(crate) fn truth(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "must be true or false".to_owned())
}

/// How many a page holds.
pub(crate) fn limit(value: &str, most: usize) -> Result<usize, String> {
    let limit = value.parse().ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| format!("must be 1 to {most}"))
}
