//! Reads JSON strictly, and says what is wrong with it by place, never by value.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use ums_core::request::FieldFault;

use crate::problem::{ErrorCode, Problem};

/// Reads a body as one JSON object without repeated names.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Strict::deserialize(&mut deserializer).and_then(|strict| deserializer.end().map(|()| strict.0));
    match read.map_err(|error| malformed(&error))? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Problem::new(ErrorCode::InvalidFields, "the body must be a JSON object"))
        }
    }
}

/// Turns an object whose shape was checked into a request.
pub(crate) fn request<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let field = error.path().to_string();
        let reason = if field.ends_with("content_base64") {
            "must be base64"
        } else {
            "cannot be read"
        };
        Problem::faults(
            ErrorCode::InvalidFields,
            vec![FieldFault {
                field,
                reason: reason.to_owned(),
            }],
        )
    })
}

fn malformed(error: &serde_json::Error) -> Problem {
    // serde_json's words are fixed ones ("expected `,` or `}`"), and ours below; none holds a value.
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    Problem::new(
        ErrorCode::MalformedJson,
        format!("line {}, column {}: {words}", error.line(), error.column()),
    )
}

/// A JSON value in which no object names anything twice: whichever of the two another reader
/// takes, it would not be what was checked here.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("an object has the same name twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, code: ErrorCode) {
        let problem = object(json.as_bytes()).unwrap_err();
        assert_eq!(problem.code(), code, "{json:.60}");
        assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
    }

    #[test]
    fn what_is_not_one_strict_object_is_refused_without_an_echo() {
        use ErrorCode::{InvalidFields, MalformedJson};
        for json in [
            "",
            "canary",
            "{",
            r#"{"a": "canary"#,
            r#"{"a": "canary",}"#,
            r#"{"a": canary}"#,
            r#"{"a": NaN}"#,
            r#"{"a": 1e999}"#,
            r#"{"a": "\ud800"}"#,
            r#"{"a": "canary\ud800canary"}"#,
            "{\"a\": \"canary\u{1}\"}",
            r#"{"canary": 1, "canary": 2}"#,
            r#"{"a": {"b": [{"canary": 1, "canary": 1}]}}"#,
            r#"{"a": 1} canary"#,
        ] {
            check(json, MalformedJson);
        }
        check(&format!(r#"{{"a": {}{}}}"#, "[".repeat(10_000), "]".repeat(10_000)), MalformedJson);
        check(&r#"{"a":"#.repeat(10_000), MalformedJson);
        for json in ["null", "[]", "1", r#""canary""#] {
            check(json, InvalidFields);
        }
        assert!(object(b"{\"a\": \"\xff\"}").is_err());
    }

    #[test]
    fn the_place_of_a_fault_is_told() {
        let problem = object(b"{\n \"a\": }").unwrap_err();
        assert!(format!("{problem:?}").contains("line 2, column 7: expected value"), "{problem:?}");
    }
}
