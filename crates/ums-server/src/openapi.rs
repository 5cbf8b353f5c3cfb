//! The OpenAPI document: written by hand in one file, so that it reads as people need it; tests
//! hold it against what the service really takes and answers.

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
