//! Reads the fixtures of unit tests: provider answers with what each means.
//!
//! ```text
//! == a title                      one case
//! 400 callers_sender              status, and what is known about the message
//! x-amzn-errortype: Code          headers
//!
//! {"message": "..."}              body
//! => misconfigured Code/detail    class and row of the table, or: => accepted ID
//! ```

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName};
use ums_core::{Failure, Timestamp};

use crate::failure_table::Table;
use crate::http::Answer;

/// An answer of a provider.
pub(crate) fn answer<'a>(status: u16, headers: &'a HeaderMap, body: &'a [u8]) -> Answer<'a> {
    Answer {
        status,
        headers,
        body,
        now: Timestamp::default(),
    }
}

/// Reads each answer with `outcome` and compares. Every row of `table` that depends on the message (`Code/detail`) must be reached; the
/// rows that depend on code and words alone are generated elsewhere.
pub(crate) fn check_answers(text: &str, table: Table, outcome: impl Fn(&Answer<'_>, &[&str]) -> Result<String, Failure>) {
    let mut reached = BTreeSet::new();
    for case in text.split("\n== ").skip(1) {
        let (input, expected) = case.rsplit_once("\n=> ").unwrap_or_else(|| panic!("no expectation in {case}"));
        let (head, body) = input.split_once("\n\n").unwrap_or((input, ""));
        let mut lines = head.lines();
        let (title, first) = (lines.next().unwrap(), lines.next().unwrap());
        let mut words = first.split(' ');
        let status = words.next().unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let answer = answer(status, &headers, body.trim_end().as_bytes());
        let (class, row) = expected.trim().split_once(' ').unwrap();
        match outcome(&answer, &words.collect::<Vec<_>>()) {
            Ok(id) => assert_eq!((class, row), ("accepted", id.as_str()), "{title}"),
            Err(failure) => {
                let code = row.split('/').next().unwrap();
                assert_eq!((failure.class.as_str(), failure.code.as_str()), (class, code), "{title}");
                reached.insert(row);
            }
        }
    }
    let missing: Vec<&str> = table
        .iter()
        .map(|row| row.code)
        .filter(|code| code.contains('/') && !reached.contains(code))
        .collect();
    assert!(missing.is_empty(), "rows that no fixture reaches: {missing:?}");
}

/// A form body, decoded, one field a line.
pub(crate) fn form_lines(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap();
    let mut lines = String::new();
    for pair in text.split('&') {
        let mut bytes = Vec::new();
        let mut rest = pair.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        lines.push_str(&String::from_utf8(bytes).unwrap());
        lines.push('\n');
    }
    lines
}
