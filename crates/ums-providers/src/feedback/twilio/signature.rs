//! `X-Twilio-Signature`: what is signed, and by whom.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde_json::Value;
use ums_core::{HookRequest, Secret};

use crate::feedback::reading::hex;

pub(in crate::feedback) const SIGNATURE: &str = "x-twilio-signature";
/// The field of the query that binds a JSON body to a signature, which covers only the address then.
const BODY_HASH: &str = "bodySHA256";

/// What was posted: each name with its distinct values, both in the order in which they are signed.
#[derive(Debug)]
pub(in crate::feedback) struct Fields {
    values: BTreeMap<String, BTreeSet<String>>,
    is_form: bool,
}

impl Fields {
    /// Reads a form or a JSON object; none when it is neither. Where no type is told, the address does.
    pub(super) fn read(request: &HookRequest, url: &str) -> Option<Self> {
        let kind = request.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/json") || (kind.is_empty() && query(url, BODY_HASH).is_some()) {
            return Self::from_json(&request.body);
        }
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(&request.body) {
            values.entry(name.into_owned()).or_default().insert(value.into_owned());
        }
        Some(Self { values, is_form: true })
    }

    fn from_json(body: &[u8]) -> Option<Self> {
        let Value::Object(object) = serde_json::from_slice(body).ok()? else {
            return None;
        };
        let values = object.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, BTreeSet::from([text]))),
            Value::Number(number) => Some((name, BTreeSet::from([number.to_string()]))),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        Some(Self {
            values: values.collect(),
            is_form: false,
        })
    }

    /// The value of a field that has one; none when it is empty, missing, or has several that differ.
    pub(in crate::feedback) fn one(&self, name: &str) -> Option<&str> {
        let values = self.values.get(name)?;
        let value = values.first().filter(|_| values.len() == 1)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    /// Whether a field is there, empty or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// All fields as text, to be kept when a word is not in our tables.
    pub(super) fn to_text(&self) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (name, values) in &self.values {
            for value in values {
                text.append_pair(name, value);
            }
        }
        text.finish()
    }
}

/// The value of a field of a URL's query that is there exactly once.
pub(super) fn query(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(other, _)| other == name);
    let (_, value) = found.next()?;
    found.next().is_none().then(|| value.into_owned())
}

/// Whether one of the tokens signed this. The error is a stable word.
pub(super) fn verify(given: &str, url: &str, fields: &Fields, body: &[u8], tokens: &[Secret]) -> Result<(), &'static str> {
    let given = STANDARD.decode(given).map_err(|_| "signature_unreadable")?;
    let mut tail = Vec::new();
    if fields.is_form {
        for (name, values) in &fields.values {
            for value in values {
                tail.extend_from_slice(name.as_bytes());
                tail.extend_from_slice(value.as_bytes());
            }
        }
    } else {
        let hash = query(url, BODY_HASH).ok_or("body_hash_missing")?;
        if !hash.eq_ignore_ascii_case(&hex(digest(&SHA256, body).as_ref())) {
            return Err("body_hash_wrong");
        }
    }
    let addresses = addresses(url);
    let signed_by = |token: &Secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.expose().as_bytes());
        // `hmac::verify` compares in constant time.
        let signed = |address: &String| hmac::verify(&key, &[address.as_bytes(), &tail].concat(), &given).is_ok();
        addresses.iter().any(signed)
    };
    if tokens.iter().any(signed_by) {
        Ok(())
    } else {
        Err("signature_wrong")
    }
}

/// The address as it is, and with or without its scheme's own port: Twilio signs now the one, now the other.
fn addresses(url: &str) -> Vec<String> {
    let mut addresses = vec![url.to_owned()];
    let port = if url.starts_with("https:") { ":443" } else { ":80" };
    let Some(start) = url.find("://").map(|at| at + 3) else {
        return addresses;
    };
    let (scheme, rest) = url.split_at(start);
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    // The colons of `user:password@` and of `[::1]` are no port's.
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    let name_end = authority.rfind(']').map_or(host_at, |at| at + 1);
    match authority.get(name_end..).and_then(|tail| tail.rfind(':')).map(|at| name_end + at) {
        Some(colon) => addresses.push(format!("{scheme}{}{path}", authority.get(..colon).unwrap_or_default())),
        None => addresses.push(format!("{scheme}{authority}{port}{path}")),
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_tried_both_ways() {
        for (url, other) in [
            ("https://a.example/x?y=1", "https://a.example:443/x?y=1"),
            ("http://a.example/x", "http://a.example:80/x"),
            ("https://a.example:443/x", "https://a.example/x"),
            ("https://a.example:8443/x", "https://a.example/x"),
            ("https://u:p@a.example/x", "https://u:p@a.example:443/x"),
            ("https://u:p@a.example:443/x", "https://u:p@a.example/x"),
            ("https://[::1]/x", "https://[::1]:443/x"),
            ("https://[::1]:443/x", "https://[::1]/x"),
            ("https://a.example?x=1:2", "https://a.example:443?x=1:2"),
        ] {
            assert_eq!(addresses(url), [url, other]);
        }
    }

    #[test]
    fn a_field_of_the_query_counts_only_once() {
        assert_eq!(query("https://a.example/?a=1&b=2%20", "b"), Some("2 ".to_owned()));
        assert_eq!(query("https://a.example/?a=1&a=1", "a"), None);
        assert_eq!(query("https://a.example/", "a"), None);
    }
}
