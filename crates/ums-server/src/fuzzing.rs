//! What reads callers' bytes, for the fuzzer: each function reads as the service does, and asserts what holds of every request.
//!
//! The unit tests play the fuzzer's seeds, so that a target that no longer fits is noticed in every test run.

use serde_json::Value;
use ums_core::{Channel, Content, MessageId, Parsed, Region, SendEmail, SendSms};

use crate::api::suppressions::{SuppressionList, write_cursor};
use crate::api::{batch, send};
use crate::json;
use crate::problem::Problem;

/// Most messages of a batch; the service's own limit only takes longer to reach.
const MOST_MESSAGES: usize = 20;
/// More faults than any caller reads. A request has at most so many for each of its fields.
const MOST_FAULTS: usize = 500;

fn region() -> Option<Region> {
    "US".parse().ok()
}

/// The body of `POST /v1/emails`.
pub fn email(bytes: &[u8]) {
    single(bytes, Channel::Email);
}

/// The body of `POST /v1/sms`.
pub fn sms(bytes: &[u8]) {
    single(bytes, Channel::Sms);
}

/// The body of `POST /v1/batches`.
pub fn batch(bytes: &[u8]) {
    match batch::parse(bytes, region(), MOST_MESSAGES) {
        Ok(messages) => {
            assert!((1..=MOST_MESSAGES).contains(&messages.len()), "{} messages", messages.len());
            messages.iter().for_each(check_parsed);
        }
        Err(problem) => check_problem(&problem),
    }
}

/// A `next_cursor` that a caller gives back, in the form of each list.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(cursor) = SuppressionList::read_cursor(text) {
        let again = write_cursor(&cursor).and_then(|text| SuppressionList::read_cursor(&text));
        assert_eq!(
            again.as_ref(),
            Some(&cursor),
            "a cursor that was read is read again as it was written"
        );
        assert!(!is_told(&format!("{cursor:?}"), &cursor.address), "a cursor shows its address");
    }
    if let Ok(id) = text.parse::<MessageId>() {
        assert_eq!(
            id.to_string().parse().ok(),
            Some(id),
            "an id that was read is read again as it was written"
        );
    }
}

fn single(bytes: &[u8], channel: Channel) {
    let parsed = json::object(bytes).and_then(|object| send::message(object, channel, region()));
    match parsed {
        Ok(parsed) => {
            check_parsed(&parsed);
            check_round_trip(bytes, channel, &parsed);
        }
        Err(problem) => check_problem(&problem),
    }
}

/// What a client library writes of the same request reads as the same message.
fn check_round_trip(bytes: &[u8], channel: Channel, parsed: &Parsed) {
    let Ok(mut object) = json::object(bytes) else { return };
    object.retain(|_, value| !value.is_null());
    let written = match channel {
        Channel::Email => json::request::<SendEmail>(object).map(serde_json::to_value),
        Channel::Sms => json::request::<SendSms>(object).map(serde_json::to_value),
    };
    // Attachments may hold nulls, which only the reader of requests takes away.
    let Ok(Ok(Value::Object(written))) = written else { return };
    let again = send::message(written, channel, region());
    let again = again.as_ref().map(|again| (&again.content, &again.handling));
    assert_eq!(
        again.ok(),
        Some((&parsed.content, &parsed.handling)),
        "a request is read again as it was written"
    );
}

fn check_parsed(parsed: &Parsed) {
    let Parsed { content, handling, .. } = parsed;
    let shown = format!("{content:?}");
    for (_, address) in content.recipients() {
        assert!(!address.chars().any(char::is_control), "a recipient with a control character");
        assert!(!is_told(&shown, &address), "a recipient is shown");
    }
    if let Content::Email(email) = content {
        let has_line = email.headers.iter().any(|header| header.value.contains(['\r', '\n']));
        assert!(!has_line, "a header of two lines");
    }
    assert!(
        handling.list.is_none() || handling.purpose == ums_core::Purpose::Bulk,
        "a list of mail that is not to many"
    );
}

fn check_problem(problem: &Problem) {
    assert!(problem.errors().len() <= MOST_FAULTS, "{} faults", problem.errors().len());
    let is_plain = |text: &str| !text.chars().any(char::is_control);
    assert!(
        problem.errors().iter().all(|fault| is_plain(&fault.field)),
        "a field's name with a control character"
    );
}

/// Whether a text holds an address that is long enough to be told from other words.
fn is_told(text: &str, address: &str) -> bool {
    address.len() >= 6 && text.contains(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(target: &str, read: fn(&[u8])) {
        let folder = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut seeds = 0;
        for seed in std::fs::read_dir(folder).unwrap() {
            read(&std::fs::read(seed.unwrap().path()).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "{target} has no seeds");
    }

    #[test]
    fn the_seeds_of_each_target_are_read() {
        play("email", email);
        play("sms", sms);
        play("batch", batch);
        play("cursor", cursor);
    }
}
