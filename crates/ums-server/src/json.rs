//! Reads JSON strictly, and says what is wrong with it by place, never by value.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use ums_core::request::FieldFault;

use crate::problem::{ErrorCode, Problem};

/// Most values in the JSON of one message. In memory a value takes many times the two bytes that it may have in JSON;
/// 50 recipients, 50 pairs of metadata and any number of attachments that fits stay far below.
const MAX_VALUES: usize = 20_000;

/// Reads a body as one JSON object without repeated names.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(MAX_VALUES);
    let read = Strict(&left)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match read.map_err(|error| malformed(&error))? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Problem::new(ErrorCode::InvalidFields, "the body must be a JSON object"))
        }
    }
}

/// What stands in the one array of a body.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// How many there are.
    pub(crate) count: usize,
    /// Whether the array is there, and is one.
    pub(crate) is_there: bool,
    /// Names beside it.
    pub(crate) others: Vec<String>,
}

/// Reads a body that is an object with one array, and gives the array's items one after the other to `each`, at most
/// `most` of them: only one is in memory as JSON at a time.
pub(crate) fn items(bytes: &[u8], name: &'static str, most: usize, mut each: impl FnMut(usize, Value)) -> Result<Items, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut items = Items::default();
    let whole = Whole {
        name,
        most,
        items: &mut items,
        each: &mut each,
    };
    let read = deserializer.deserialize_map(whole).and_then(|()| deserializer.end());
    match read {
        Ok(()) => Ok(items),
        Err(error) if error.is_data() && items.others.is_empty() && !items.is_there && items.count == 0 && !is_object(bytes) => {
            Err(Problem::new(ErrorCode::InvalidBatch, "the body must be a JSON object"))
        }
        Err(error) => Err(malformed(&error)),
    }
}

fn is_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
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

/// The object around the array.
struct Whole<'a, F> {
    name: &'static str,
    most: usize,
    items: &'a mut Items,
    each: &'a mut F,
}

impl<'de, F: FnMut(usize, Value)> Visitor<'de> for Whole<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut is_seen = false;
        while let Some(name) = entries.next_key::<String>()? {
            if (name == self.name && is_seen) || self.items.others.contains(&name) {
                return Err(A::Error::custom(TWICE));
            }
            if name == self.name {
                is_seen = true;
                entries.next_value_seed(Array {
                    most: self.most,
                    items: &mut *self.items,
                    each: &mut *self.each,
                })?;
            } else {
                let IgnoredAny = entries.next_value()?;
                if self.items.others.len() > MAX_OTHERS {
                    return Err(A::Error::custom("an object has too many names"));
                }
                self.items.others.push(name);
            }
        }
        Ok(())
    }
}

/// The array itself; another value in its place counts as if it were not there.
struct Array<'a, F> {
    most: usize,
    items: &'a mut Items,
    each: &'a mut F,
}

impl<'de, F: FnMut(usize, Value)> DeserializeSeed<'de> for Array<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(usize, Value)> Visitor<'de> for Array<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some((IgnoredAny, IgnoredAny)) = entries.next_entry()? {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        self.items.is_there = true;
        while self.items.count < self.most {
            let left = Cell::new(MAX_VALUES);
            let Some(item) = array.next_element_seed(Strict(&left))? else {
                return Ok(());
            };
            (self.each)(self.items.count, item);
            self.items.count += 1;
        }
        while let Some(IgnoredAny) = array.next_element()? {
            self.items.count += 1;
        }
        Ok(())
    }
}

/// Names beside the array that are remembered.
const MAX_OTHERS: usize = 50;
const TWICE: &str = "an object has the same name twice";

/// Reads a JSON value in which no object names anything twice: whichever of the two another reader
/// takes, it would not be what was checked here. It holds how many values there may still be.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.0.get().checked_sub(1);
        self.0
            .set(left.ok_or_else(|| D::Error::custom("there are too many values in one message"))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
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
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
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
    fn so_many_values_that_memory_would_suffer_are_refused() {
        let many = |count: usize| format!(r#"{{"metadata": [{}1]}}"#, "1,".repeat(count));
        assert!(object(many(MAX_VALUES - 3).as_bytes()).is_ok());
        check(&many(MAX_VALUES), ErrorCode::MalformedJson);
        let problem = items(
            many(MAX_VALUES).replace("metadata", "messages").as_bytes(),
            "messages",
            1,
            |_, _| {},
        );
        assert_eq!(problem.unwrap().count, MAX_VALUES + 1, "beyond the most, items are only counted");
        let deep = format!(r#"{{"messages": [[{}1]]}}"#, "1,".repeat(MAX_VALUES));
        assert_eq!(
            items(deep.as_bytes(), "messages", 1, |_, _| {}).unwrap_err().code(),
            ErrorCode::MalformedJson
        );
    }

    #[test]
    fn items_come_one_by_one_and_what_is_beside_them_is_told() {
        let mut seen = Vec::new();
        let found = items(br#"{"a": {"b": 1}, "messages": [1, {"c": 2}, 3]}"#, "messages", 2, |index, item| {
            seen.push((index, item));
        });
        let found = found.unwrap();
        assert_eq!((found.count, found.is_there, found.others), (3, true, vec!["a".to_owned()]));
        assert_eq!(seen, [(0, 1.into()), (1, serde_json::json!({"c": 2}))]);
        assert!(!items(br#"{"messages": {"a": 1}}"#, "messages", 2, |_, _| {}).unwrap().is_there);
        let code = |json: &str| items(json.as_bytes(), "messages", 2, |_, _| {}).unwrap_err().code();
        assert_eq!(code("[]"), ErrorCode::InvalidBatch);
        for json in [
            "",
            "{",
            r#"{"messages": 1, "messages": []}"#,
            r#"{"messages": [{"a": 1, "a": 1}]}"#,
            r#"{"messages": []} x"#,
        ] {
            assert_eq!(code(json), ErrorCode::MalformedJson, "{json}");
        }
    }

    #[test]
    fn the_place_of_a_fault_is_told() {
        let problem = object(b"{\n \"a\": }").unwrap_err();
        assert!(format!("{problem:?}").contains("line 2, column 7: expected value"), "{problem:?}");
    }
}
