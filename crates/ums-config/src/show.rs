//! What `ums config show` prints: every setting, its value or a mask, and where it came from.

use std::path::Path;

use crate::env::{self, Setting};
use crate::reader::Reader;
use crate::sections::{AwsSettings, LogFormat, PaceSettings};
use crate::source::Origin;
use crate::toml_file::plain;
use crate::values::{ByProvider, StoreUrl};

/// One line of `ums config show`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// The environment name, or the dotted name in the TOML file.
    pub name: String,
    /// The value; `set` or `not set` for secrets, a count for lists of recipients, empty when
    /// there is none.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Settings of which a line shows the value that holds, not the text that was read.
#[derive(Debug)]
pub(crate) struct Effective<'a> {
    pub(crate) store_url: &'a StoreUrl,
    pub(crate) log_format: LogFormat,
    pub(crate) aws: &'a AwsSettings,
    pub(crate) pace: &'a ByProvider<PaceSettings>,
    /// The configuration file that the caller names in place of `UMS_CONFIG`'s.
    pub(crate) config_file: Option<&'a Path>,
}

/// Collects the lines while the sources are at hand.
pub(crate) fn collect(reader: &Reader<'_>, effective: &Effective<'_>) -> Vec<Shown> {
    let names = env::SETTINGS.iter().map(|setting| {
        let (value, origin) = match reader.find(setting.name) {
            Some((value, origin)) => (masked(setting, &value, effective), origin),
            None => unset(setting, effective),
        };
        Shown {
            name: setting.name.to_owned(),
            value,
            origin,
        }
    });
    let paths = reader.file.names().into_iter().map(|name| {
        let read = || reader.file.value(&name).map(plain).unwrap_or_default();
        let value = effective.pace.shown(&name).unwrap_or_else(read);
        let value = if name == "http.proxy" { secret(!value.is_empty()) } else { value };
        let origin = if reader.file.is_set(&name) { Origin::File } else { Origin::Default };
        Shown { name, value, origin }
    });
    let mut lines: Vec<Shown> = names.chain(paths).collect();
    if let (Some(path), Some(line)) = (effective.config_file, lines.iter_mut().find(|line| line.name == "UMS_CONFIG")) {
        line.value = path.display().to_string();
        line.origin = Origin::Caller;
    }
    lines
}

fn secret(is_set: bool) -> String {
    if is_set { "set" } else { "not set" }.to_owned()
}

/// A value that was set, as far as it may be shown.
fn masked(setting: &Setting, value: &str, effective: &Effective<'_>) -> String {
    match setting.name {
        "UMS_DATABASE_URL" => effective.store_url.to_string(),
        "UMS_ALLOW_RECIPIENTS" => format!("{} entries", value.split(',').filter(|entry| !entry.trim().is_empty()).count()),
        _ if setting.secret => secret(true),
        _ => value.to_owned(),
    }
}

/// What holds for a setting that was not set.
fn unset(setting: &Setting, effective: &Effective<'_>) -> (String, Origin) {
    let value = match setting.name {
        "UMS_DATABASE_URL" => effective.store_url.to_string(),
        "UMS_LOG_FORMAT" => match effective.log_format {
            LogFormat::Json => "json".to_owned(),
            LogFormat::Pretty => "pretty".to_owned(),
        },
        "AWS_REGION" if effective.aws.region_is_from_files => {
            return (effective.aws.region.clone().unwrap_or_default(), Origin::AwsFiles);
        }
        _ if setting.secret => secret(false),
        _ => setting.default.to_owned(),
    };
    (value, Origin::Default)
}
