//! The part of `deny.toml` that needs no tool but cargo: licences, bans, sources.
//!
//! `cargo deny check` reads the same file and knows more (advisories); this is what every run of
//! the suite can hold.

use serde_json::Value;

pub(super) const RULE: &str = "licences, bans and sources of dependencies are those of deny.toml";

pub(super) fn check(metadata: &Value, policy: &str) -> Vec<String> {
    let licences = list(policy, "licenses", "allow");
    let bans = list(policy, "bans", "deny");
    let packages = metadata.get("packages").and_then(Value::as_array);
    let mut complaints = Vec::new();
    for package in packages.into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let name = text("name").unwrap_or("?");
        if bans.iter().any(|banned| banned == name) {
            complaints.push(format!("{name} is banned by deny.toml"));
        }
        let Some(source) = text("source") else {
            continue;
        };
        if !source.starts_with("registry+") {
            complaints.push(format!("{name} comes from {source}, not from the registry"));
        }
        let licence = text("license").unwrap_or("none");
        if !is_allowed(licence, &licences) {
            complaints.push(format!("{name}: the licence {licence} is not allowed by deny.toml"));
        }
    }
    complaints
}

/// The crates or licences of a list such as `allow = [ "MIT", … ]` in a section.
///
/// Entries are texts or tables of which the first text is the name.
fn list(policy: &str, section: &str, key: &str) -> Vec<String> {
    let header = format!("[{section}]");
    let opening = format!("{key} = [");
    policy
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != header)
        .skip(1)
        .take_while(|line| !line.starts_with('[') || line.starts_with("[["))
        .skip_while(|line| !line.starts_with(&opening))
        .skip(1)
        .take_while(|line| *line != "]")
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

/// Whether an SPDX expression can be satisfied by allowed licences.
fn is_allowed(expression: &str, licences: &[String]) -> bool {
    // Old manifests write a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, licences };
    reader.any_of() && reader.words.is_empty()
}

struct Reader<'a> {
    words: &'a [&'a str],
    licences: &'a [String],
}

impl<'a> Reader<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take_if(&mut self, word: &str) -> bool {
        let is_next = self.words.first() == Some(&word);
        if is_next {
            self.take();
        }
        is_next
    }

    fn any_of(&mut self) -> bool {
        let mut allowed = self.all_of();
        while self.take_if("OR") {
            // Both sides must be read, whatever the first one said.
            let other = self.all_of();
            allowed = allowed || other;
        }
        allowed
    }

    fn all_of(&mut self) -> bool {
        let mut allowed = self.one();
        while self.take_if("AND") {
            let other = self.one();
            allowed = allowed && other;
        }
        allowed
    }

    fn one(&mut self) -> bool {
        if self.take_if("(") {
            let allowed = self.any_of();
            return self.take_if(")") && allowed;
        }
        let Some(licence) = self.take() else {
            return false;
        };
        let name = if self.take_if("WITH") {
            format!("{licence} WITH {}", self.take().unwrap_or_default())
        } else {
            licence.to_owned()
        };
        self.licences.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{check, is_allowed, list};

    const POLICY: &str = "[licenses]\nallow = [\n  \"MIT\",\n  # a note \"x\"\n  \"ISC\",\n]\n\
                          [bans]\nskip = [\n  \"other\",\n]\n\
                          deny = [\n  { crate = \"openssl\", reason = \"rustls\" },\n]\n";

    #[test]
    fn lists_are_read_from_their_section() {
        assert_eq!(list(POLICY, "licenses", "allow"), ["MIT", "ISC"]);
        assert_eq!(list(POLICY, "bans", "deny"), ["openssl"]);
    }

    #[test]
    fn expressions_are_understood() {
        let licences = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/GPL-3.0",
            "ISC AND (GPL-3.0 OR MIT)",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(is_allowed(good, &licences), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "none", "", "(MIT", "MIT ISC"] {
            assert!(!is_allowed(bad, &licences), "{bad}");
        }
    }

    #[test]
    fn a_banned_a_foreign_and_a_badly_licensed_crate_are_named() {
        let metadata = json!({"packages": [
            {"name": "ours", "source": null},
            {"name": "openssl", "source": "registry+r", "license": "MIT"},
            {"name": "forked", "source": "git+g", "license": "MIT"},
            {"name": "viral", "source": "registry+r", "license": "GPL-3.0"},
            {"name": "fine", "source": "registry+r", "license": "MIT OR GPL-3.0"},
        ]});
        let found = check(&metadata, POLICY);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("openssl is banned"));
        assert!(found[1].starts_with("forked comes from git+g"));
        assert!(found[2].starts_with("viral: the licence GPL-3.0"));
    }
}
