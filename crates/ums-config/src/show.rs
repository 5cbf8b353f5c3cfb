//! What `ums config show` prints: every setting, its value or a mask, and where it came from.

use std::path::Path;

use crate::env::{self, Setting};
use crate::reader::Reader;
use crate::settings::Settings;
use crate::source::Origin;
use crate::toml_file::plain;

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

/// Every setting with its value or a mask, and where it came from.
pub fn show(settings: &Settings) -> &[Shown] {
    &settings.shown
}

/// Collects the lines while the sources are at hand.
pub(crate) fn collect(reader: &Reader<'_>, settings: &Settings, path: Option<&Path>, path_is_callers: bool) -> Vec<Shown> {
    let names = env::SETTINGS.iter().map(|setting| {
        let (value, origin) = match reader.find(setting.name) {
            Some((value, origin)) => (masked(setting, &value, settings), origin),
            None => unset(setting, settings),
        };
        Shown {
            name: setting.name.to_owned(),
            value,
            origin,
        }
    });
    let paths = reader.file.names().into_iter().map(|name| {
        let value = reader.file.value(&name).map(plain).unwrap_or_default();
        let value = if name == "http.proxy" { secret(!value.is_empty()) } else { value };
        let origin = if reader.file.is_set(&name) { Origin::File } else { Origin::Default };
        Shown { name, value, origin }
    });
    let mut lines: Vec<Shown> = names.chain(paths).collect();
    if let (true, Some(path), Some(line)) = (path_is_callers, path, lines.iter_mut().find(|line| line.name == "UMS_CONFIG")) {
        line.value = path.display().to_string();
        line.origin = Origin::Caller;
    }
    lines
}

fn secret(is_set: bool) -> String {
    if is_set { "set" } else { "not set" }.to_owned()
}

/// A value that was set, as far as it may be shown.
fn masked(setting: &Setting, value: &str, settings: &Settings) -> String {
    match setting.name {
        "UMS_DATABASE_URL" => settings.store_url.to_string(),
        "UMS_ALLOW_RECIPIENTS" => format!("{} entries", value.split(',').filter(|entry| !entry.trim().is_empty()).count()),
        _ if setting.secret => secret(true),
        _ => value.to_owned(),
    }
}

/// What holds for a setting that was not set.
fn unset(setting: &Setting, settings: &Settings) -> (String, Origin) {
    let value = match setting.name {
        "UMS_DATABASE_URL" => settings.store_url.to_string(),
        "UMS_LOG_FORMAT" => match settings.log_format {
            crate::LogFormat::Json => "json".to_owned(),
            crate::LogFormat::Pretty => "pretty".to_owned(),
        },
        "AWS_REGION" if settings.aws.region_is_from_files => {
            return (settings.aws.region.clone().unwrap_or_default(), Origin::AwsFiles);
        }
        _ if setting.secret => secret(false),
        _ => setting.default.to_owned(),
    };
    (value, Origin::Default)
}
