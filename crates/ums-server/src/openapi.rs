//! The OpenAPI document: written by hand in one file, so that it reads as people need it; tests
//! hold it against what the service really takes and answers.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

const DOCUMENT: &str = include_str!("openapi.json");

/// The document, for a version of the service.
pub fn document(version: &str) -> Value {
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    if let Some(place) = document.pointer_mut("/info/version") {
        *place = version.into();
    }
    document
}

/// The fields of each object in the order in which the document has them, which a parsed document
/// has lost.
pub(crate) fn field_order() -> BTreeMap<String, Vec<String>> {
    let ordered = serde_json::from_str::<OrderedDocument>(DOCUMENT).ok();
    let schemas = ordered.map(|document| document.components.schemas).unwrap_or_default();
    schemas.into_iter().map(|(name, schema)| (name, schema.properties.0)).collect()
}

#[derive(Deserialize)]
struct OrderedDocument {
    components: OrderedComponents,
}

#[derive(Deserialize)]
struct OrderedComponents {
    schemas: BTreeMap<String, OrderedSchema>,
}

#[derive(Deserialize)]
struct OrderedSchema {
    #[serde(default)]
    properties: Names,
}

/// The names of an object, in order.
#[derive(Default)]
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some((name, IgnoredAny)) = entries.next_entry()? {
            names.push(name);
        }
        Ok(Names(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let order = field_order();
        assert_eq!(order["SendEmail"][..4], ["to", "subject", "html_content", "text_content"]);
        let document = document("1.0.0");
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            assert_eq!(order[name].len(), schema["properties"].as_object().unwrap().len(), "{name}");
        }
    }
}
