//! The fields of a request and what may stand in each: all faults at once, by path, without values.
//!
//! `ums_core` reads what the fields mean. This is only about JSON types, where serde's own words
//! would repeat what the caller wrote.

use serde_json::{Map, Value};
use ums_core::request::FieldFault;
use ums_core::{
    Channel, Duplicates, NoticeKind, NoticeState, OnExhausted, ProviderKind, Purpose, SuppressionOrigin, SuppressionReason, Timestamp,
};

use crate::problem::{ErrorCode, Problem};

/// What may stand in a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A string.
    Text,
    /// A string or an array of strings.
    Texts,
    /// Any object.
    Object,
    /// An object of strings.
    TextObject,
    /// A whole number, 0 or more.
    Whole,
    /// `true` or `false`.
    Truth,
    /// A time with an offset.
    Time,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An array of these words.
    Words(&'static [&'static str]),
    /// An array of objects with these fields, all but the first two of them optional.
    Objects(&'static [(&'static str, Shape)], &'static [&'static str]),
}

/// Fields by name.
pub(crate) type Fields = &'static [(&'static str, Shape)];

const ATTACHMENT: Fields = &[
    ("filename", Shape::Text),
    ("content_type", Shape::Text),
    ("content_base64", Shape::Text),
    ("disposition", Shape::Word(ums_core::request::Disposition::WORDS)),
    ("content_id", Shape::Text),
];

/// The fields of `POST /v1/emails`.
pub(crate) const EMAIL: Fields = &[
    ("to", Shape::Texts),
    ("subject", Shape::Text),
    ("html_content", Shape::Text),
    ("text_content", Shape::Text),
    ("from_email", Shape::Text),
    ("from_name", Shape::Text),
    ("reply_to", Shape::Texts),
    ("cc", Shape::Texts),
    ("bcc", Shape::Texts),
    ("attachments", Shape::Objects(ATTACHMENT, &["filename", "content_base64"])),
    ("headers", Shape::TextObject),
    ("metadata", Shape::Object),
    ("purpose", Shape::Word(Purpose::WORDS)),
    ("duplicates", Shape::Word(Duplicates::WORDS)),
    ("on_exhausted", Shape::Word(OnExhausted::WORDS)),
    ("send_at", Shape::Time),
    ("expires_in_seconds", Shape::Whole),
    ("via", Shape::Word(ProviderKind::WORDS)),
    ("list", Shape::Text),
];

/// The fields of `POST /v1/sms`.
pub(crate) const SMS: Fields = &[
    ("to", Shape::Text),
    ("message_body", Shape::Text),
    ("from_number", Shape::Text),
    ("metadata", Shape::Object),
    ("purpose", Shape::Word(Purpose::WORDS)),
    ("duplicates", Shape::Word(Duplicates::WORDS)),
    ("on_exhausted", Shape::Word(OnExhausted::WORDS)),
    ("send_at", Shape::Time),
    ("expires_in_seconds", Shape::Whole),
    ("via", Shape::Word(ProviderKind::WORDS)),
    ("list", Shape::Text),
];

/// The words of `mark`.
pub(crate) const MARKS: &[&str] = &["sent", "delivered", "failed"];

/// The fields of `POST /v1/messages/{id}/mark`.
pub(crate) const MARK: Fields = &[("as", Shape::Word(MARKS))];

/// The fields of `POST /v1/messages/replay`.
pub(crate) const REPLAY: Fields = &[
    ("since", Shape::Time),
    ("until", Shape::Time),
    ("provider", Shape::Word(ProviderKind::WORDS)),
    ("purpose", Shape::Word(Purpose::WORDS)),
    ("channel", Shape::Word(Channel::WORDS)),
    ("to", Shape::Text),
    ("dry_run", Shape::Truth),
    ("limit", Shape::Whole),
    ("cursor", Shape::Text),
];

const SUPPRESSION: Fields = &[
    ("channel", Shape::Word(Channel::WORDS)),
    ("address", Shape::Text),
    ("reason", Shape::Word(SuppressionReason::WORDS)),
    ("list", Shape::Text),
    ("origin", Shape::Word(ORIGINS)),
    ("detail", Shape::Text),
    ("since", Shape::Time),
    ("expires_at", Shape::Time),
];

/// Who a caller may say put an address on the list: what providers and links do is not for callers to claim.
pub(crate) const ORIGINS: &[&str] = &[SuppressionOrigin::Operator.as_str(), SuppressionOrigin::Import.as_str()];

/// The fields of `POST /v1/suppressions`: one entry's, or a list.
pub(crate) const SUPPRESSIONS: Fields = &[
    ("channel", Shape::Word(Channel::WORDS)),
    ("address", Shape::Text),
    ("reason", Shape::Word(SuppressionReason::WORDS)),
    ("list", Shape::Text),
    ("origin", Shape::Word(ORIGINS)),
    ("detail", Shape::Text),
    ("since", Shape::Time),
    ("expires_at", Shape::Time),
    ("entries", Shape::Objects(SUPPRESSION, &["address"])),
];

/// The fields of `POST /v1/webhooks`.
pub(crate) const NEW_ENDPOINT: Fields = &[
    ("url", Shape::Text),
    ("description", Shape::Text),
    ("events", Shape::Words(NoticeKind::WORDS)),
];

/// The fields of `PATCH /v1/webhooks/{id}`.
pub(crate) const ENDPOINT: Fields = &[
    ("url", Shape::Text),
    ("description", Shape::Text),
    ("events", Shape::Words(NoticeKind::WORDS)),
    ("enabled", Shape::Truth),
];

/// The fields of `POST /v1/webhooks/{id}/rotate`.
pub(crate) const ROTATE: Fields = &[("overlap_seconds", Shape::Whole)];

/// The fields of `POST /v1/webhooks/replay`.
pub(crate) const REPLAY_NOTICES: Fields = &[
    ("endpoint_id", Shape::Text),
    ("state", Shape::Word(NoticeState::WORDS)),
    ("message_id", Shape::Text),
    ("since", Shape::Time),
    ("until", Shape::Time),
];

/// The fields of `POST /v1/providers/{provider}/disable`.
pub(crate) const DISABLE: Fields = &[
    ("reason", Shape::Text),
    ("until", Shape::Time),
    ("for_seconds", Shape::Whole),
    ("by", Shape::Text),
    ("account", Shape::Text),
];

/// The fields of `POST /v1/providers/{provider}/enable`.
pub(crate) const ENABLE: Fields = &[("by", Shape::Text), ("account", Shape::Text)];

/// The fields of `POST /v1/clock/trust`.
pub(crate) const TRUST_CLOCK: Fields = &[("by", Shape::Text)];

/// The fields of `POST /v1/providers/{provider}/probe`.
pub(crate) const PROBE: Fields = &[("account", Shape::Text)];

/// Most faults that are listed.
pub(crate) const MAX_FAULTS: usize = 50;

/// Checks the JSON types of an object's fields; a field that is `null` is taken away, as if it
/// were not there.
pub(crate) fn check(object: &mut Map<String, Value>, fields: Fields) -> Result<(), Problem> {
    let mut faults = Vec::new();
    check_fields("", object, fields, &mut faults);
    faults.truncate(MAX_FAULTS);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Problem::faults(ErrorCode::InvalidFields, faults))
    }
}

fn check_fields(prefix: &str, object: &mut Map<String, Value>, fields: Fields, faults: &mut Vec<FieldFault>) {
    object.retain(|_, value| !value.is_null());
    for (name, value) in object.iter_mut() {
        match fields.iter().find(|(field, _)| field == name) {
            Some((field, shape)) => check_value(&format!("{prefix}{field}"), value, *shape, faults),
            None => add(faults, format!("{prefix}{}", shown(name)), "is not a field of this request"),
        }
    }
}

fn check_value(path: &str, value: &mut Value, shape: Shape, faults: &mut Vec<FieldFault>) {
    let wrong = match shape {
        Shape::Text => (!value.is_string()).then(|| "must be a string".to_owned()),
        Shape::Texts => {
            let reason = "must be a string or an array of strings";
            match value.as_array().map(|items| items.iter().position(|item| !item.is_string())) {
                None => (!value.is_string()).then(|| reason.to_owned()),
                Some(at) => at.map(|at| format!("{reason} (item {at} is not a string)")),
            }
        }
        Shape::Object => (!value.is_object()).then(|| "must be an object".to_owned()),
        Shape::TextObject => {
            let fine = value.as_object().is_some_and(|object| object.values().all(Value::is_string));
            (!fine).then(|| "must be an object of strings".to_owned())
        }
        Shape::Whole => (!value.is_u64()).then(|| "must be a whole number, not negative".to_owned()),
        Shape::Truth => (!value.is_boolean()).then(|| "must be true or false".to_owned()),
        Shape::Time => {
            let fine = value.as_str().is_some_and(|text| Timestamp::parse_rfc3339(text).is_some());
            (!fine).then(|| "must be an RFC 3339 time with an offset, such as 2026-11-22T10:00:00Z".to_owned())
        }
        Shape::Word(words) => {
            let fine = value.as_str().is_some_and(|text| words.contains(&text));
            (!fine).then(|| format!("must be one of {}", words.join(", ")))
        }
        Shape::Words(words) => {
            let is_word = |item: &Value| item.as_str().is_some_and(|text| words.contains(&text));
            let fine = value.as_array().is_some_and(|items| items.iter().all(is_word));
            (!fine).then(|| format!("must be an array of words out of {}", words.join(", ")))
        }
        Shape::Objects(fields, required) => return check_objects(path, value, fields, required, faults),
    };
    if let Some(reason) = wrong {
        add(faults, path.to_owned(), reason);
    }
}

fn check_objects(path: &str, value: &mut Value, fields: Fields, required: &[&str], faults: &mut Vec<FieldFault>) {
    let Value::Array(items) = value else {
        return add(faults, path.to_owned(), "must be an array of objects");
    };
    for (index, item) in items.iter_mut().enumerate() {
        let prefix = format!("{path}[{index}]");
        let Value::Object(object) = item else {
            add(faults, prefix, "must be an object");
            continue;
        };
        let prefix = format!("{prefix}.");
        check_fields(&prefix, object, fields, faults);
        for name in required.iter().filter(|name| !object.contains_key(**name)) {
            add(faults, format!("{prefix}{name}"), "must be there");
        }
    }
}

fn add(faults: &mut Vec<FieldFault>, field: String, reason: impl Into<String>) {
    if faults.len() <= MAX_FAULTS {
        faults.push(FieldFault {
            field,
            reason: reason.into(),
        });
    }
}

/// A name that the caller chose, when it looks like a name; else it may be anything, even an address.
pub(crate) fn shown(name: &str) -> &str {
    let is_name = (1..=60).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_name { name } else { "(unnamed)" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use ums_core::{SendEmail, SendSms};

    fn check(fields: Fields, value: Value, wanted: &[(&str, &str)]) {
        let Value::Object(mut object) = value else { panic!("an object") };
        let problem = super::check(&mut object, fields).unwrap_err();
        let found: Vec<_> = problem
            .errors()
            .iter()
            .map(|fault| (fault.field.as_str(), fault.reason.as_str()))
            .collect();
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for ((field, reason), (wanted_field, wanted_reason)) in found.iter().zip(wanted) {
            assert_eq!(field, wanted_field);
            assert!(reason.contains(wanted_reason), "{field}: {reason}");
        }
        assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
    }

    #[test]
    fn wrong_types_are_told_by_path_without_values() {
        let request = json!({
            "attachments": [{"filename": "canary", "content_base64": 1, "canary@example.com": 1}, "canary", {}],
            "cc": ["canary", 5], "expires_in_seconds": "canary", "headers": {"X-A": ["canary"]}, "html": "canary",
            "purpose": "canary, expected canary", "send_at": "canary", "subject": {"canary": 1}, "to": {"canary": 1},
        });
        let wanted = [
            ("attachments[0].(unnamed)", "is not a field"),
            ("attachments[0].content_base64", "a string"),
            ("attachments[1]", "an object"),
            ("attachments[2].filename", "must be there"),
            ("attachments[2].content_base64", "must be there"),
            ("cc", "item 1"),
            ("expires_in_seconds", "whole number"),
            ("headers", "object of strings"),
            ("html", "is not a field"),
            ("purpose", "one of otp, transactional, bulk"),
            ("send_at", "RFC 3339"),
            ("subject", "a string"),
            ("to", "an array of strings"),
        ];
        check(EMAIL, request, &wanted);
        check(
            SMS,
            json!({"to": ["canary"], "expires_in_seconds": -1.5}),
            &[("expires_in_seconds", "whole"), ("to", "a string")],
        );
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let Value::Object(mut object) = json!({"to": "a@example.com", "cc": null, "via": null, "metadata": {"kept": null}}) else {
            panic!()
        };
        super::check(&mut object, EMAIL).unwrap();
        assert_eq!(Value::Object(object), json!({"to": "a@example.com", "metadata": {"kept": null}}));
    }

    /// The table names exactly the fields that the requests have.
    #[test]
    fn every_field_of_a_request_is_in_its_table() {
        let sample = |fields: Fields| -> Map<String, Value> {
            let value = |shape| match shape {
                Shape::Text => json!("x"),
                Shape::Texts | Shape::Words(_) | Shape::Objects(..) => json!([]),
                Shape::Object | Shape::TextObject => json!({}),
                Shape::Whole => json!(1),
                Shape::Truth => json!(true),
                Shape::Time => json!("2026-11-22T10:00:00Z"),
                Shape::Word(words) => json!(words[0]),
            };
            fields.iter().map(|(name, shape)| ((*name).to_owned(), value(*shape))).collect()
        };
        let names = |value: Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let table = |fields: Fields| {
            let mut names: Vec<_> = fields.iter().map(|(name, _)| (*name).to_owned()).collect();
            names.sort_unstable();
            names
        };
        let email: SendEmail = crate::json::request(sample(EMAIL)).unwrap();
        assert!(email.unknown.is_empty());
        assert_eq!(names(serde_json::to_value(email).unwrap()), table(EMAIL));
        let sms: SendSms = crate::json::request(sample(SMS)).unwrap();
        assert!(sms.unknown.is_empty());
        assert_eq!(names(serde_json::to_value(sms).unwrap()), table(SMS));
    }
}
