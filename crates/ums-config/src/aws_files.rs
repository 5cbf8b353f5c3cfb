//! The files that `aws configure` writes: which region they name, and whether they hold a way to
//! get credentials. The credentials themselves are read by AWS's own chain.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ums_core::Secret;

use crate::files::{self, Text};

/// Keys of a profile by which AWS's chain gets credentials.
const CREDENTIAL_KEYS: [&str; 6] = [
    "aws_access_key_id",
    "credential_process",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
];

/// What AWS's files say about one profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Whether any file has it.
    pub(crate) exists: bool,
    /// Its region.
    pub(crate) region: Option<String>,
    /// Whether it tells how to get credentials.
    pub(crate) has_credentials: bool,
}

/// The places of AWS's files.
#[derive(Clone, Debug, Default)]
pub(crate) struct AwsFiles {
    /// `~/.aws/config`, or another.
    pub(crate) config: Option<PathBuf>,
    /// `~/.aws/credentials`, or another.
    pub(crate) credentials: Option<PathBuf>,
}

impl AwsFiles {
    /// Reads a profile. Files that are missing or unreadable say nothing.
    pub(crate) fn profile(&self, name: &str) -> Profile {
        let found = self.sections_of(name);
        Profile {
            exists: !found.is_empty(),
            region: found.iter().find_map(|section| section.get("region").cloned()),
            has_credentials: found
                .iter()
                .any(|section| CREDENTIAL_KEYS.iter().any(|key| section.contains_key(*key))),
        }
    }

    /// The keys that stand in a profile, to know changed keys by. None for keys with a session token: tools write those anew every hour.
    pub(crate) fn lasting_keys(&self, name: &str) -> Option<Secret> {
        let found = self.sections_of(name);
        let value = |key: &str| found.iter().find_map(|section| section.get(key));
        let keys = [value("aws_access_key_id")?, value("aws_secret_access_key")?];
        value("aws_session_token")
            .is_none()
            .then(|| Secret::new(keys.map(String::as_str).join("\n")))
    }

    /// The sections of a profile in both files.
    fn sections_of(&self, name: &str) -> Vec<Section> {
        let mut config = sections(self.config.as_deref());
        let mut credentials = sections(self.credentials.as_deref());
        let long = format!("profile {name}");
        let in_config = config.remove(&long).or_else(|| config.remove(name).filter(|_| name == "default"));
        [in_config, credentials.remove(name)].into_iter().flatten().collect()
    }
}

type Section = BTreeMap<String, String>;

/// The sections of a file with their keys; nested ones, which are indented, are left out.
fn sections(path: Option<&Path>) -> BTreeMap<String, Section> {
    match path.map(files::read) {
        Some(Text::Read(text)) => parse(&text),
        Some(Text::Missing | Text::Unreadable(_)) | None => BTreeMap::new(),
    }
}

fn parse(text: &str) -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            current = Some(name.clone());
            sections.entry(name).or_default();
        } else if let (Some(name), Some((key, value))) = (&current, line.split_once('=')) {
            let value = value.split([' ', '\t']).find(|word| !word.is_empty()).unwrap_or_default();
            sections
                .entry(name.clone())
                .or_default()
                .insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn profiles_are_found_in_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let files = AwsFiles {
            config: Some(folder.path().join("config")),
            credentials: Some(folder.path().join("credentials")),
        };
        std::fs::write(
            folder.path().join("config"),
            "[default]\nregion = ca-central-1\ns3 =\n  region = nested\n\n[profile  shop]\nrole_arn = arn:aws:iam::1:role/x\n[profile bare]\noutput=json\n",
        )
        .unwrap();
        std::fs::write(
            folder.path().join("credentials"),
            "# c\n[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n",
        )
        .unwrap();
        let profile = |region: Option<&str>, has_credentials| Profile {
            exists: true,
            region: region.map(str::to_owned),
            has_credentials,
        };
        assert_eq!(files.profile("default"), profile(Some("ca-central-1"), true));
        assert_eq!(files.profile("shop"), profile(None, true));
        assert_eq!(files.profile("bare"), profile(None, false));
        assert_eq!(files.profile("other"), Profile::default());
        assert_eq!(AwsFiles::default().profile("default"), Profile::default());
        let keys = |name: &str| files.lasting_keys(name).map(|keys| keys.expose().to_owned());
        assert_eq!(keys("default").as_deref(), Some("AKIA\nx"));
        assert_eq!(keys("shop"), None);
        std::fs::write(
            folder.path().join("credentials"),
            "[default]\naws_access_key_id = ASIA\naws_secret_access_key = x\naws_session_token = t\n",
        )
        .unwrap();
        assert_eq!(keys("default"), None, "keys of an hour");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(\\PC|[\n\\[\\]= ]){0,80}") {
            drop(parse(&text));
        }
    }
}
