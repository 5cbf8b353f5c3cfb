//! The settings of a command, and what is wrong with them, for people.

use anyhow::Result;
use ums_config::{ConfigError, Fault, Layered, LoadOptions, LogFormat, Settings, StoreUrl};
use ums_core::{NotConfigured, ProviderKind, Region, StoreError};
use unified_messaging::Error;

use crate::exit::{Exit, usage};
use crate::log;

/// What a command that does one thing logs unless `UMS_LOG` says otherwise: its result tells the rest.
const QUIET: &str = "error";

/// Settings of this process: environment, `.env`, configuration file.
///
/// # Errors
/// All that is wrong with them.
pub(crate) fn of_process() -> Result<Settings> {
    Settings::from_process(&LoadOptions::service()).map_err(|error| wrong(&error))
}

/// The database of a command that is about the database itself: `--database`, else the setting.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn store_url(database: Option<&str>) -> Result<StoreUrl> {
    match database {
        Some(url) => StoreUrl::parse(url).map_err(|reason| usage(format!("--database {reason}"))),
        None => Ok(of_process()?.store_url),
    }
}

/// All faults of a configuration, one on a line.
pub(crate) fn wrong(error: &ConfigError) -> anyhow::Error {
    let lines = list(&error.faults);
    usage(format!(
        "the configuration is wrong:\n{lines}\nnothing was sent; `ums config docs` explains every setting"
    ))
}

/// Faults or warnings, one on a line.
pub(crate) fn list(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n")
}

/// What the library could not do, with the exit code that belongs to it.
pub(crate) fn explained(error: Error) -> anyhow::Error {
    let is_usage = match &error {
        Error::Config(error) => return wrong(error),
        Error::Invalid(_) | Error::NoProvider(_) | Error::Provider(_) => true,
        Error::Busy | Error::Full | Error::Closing | Error::NoSuchMessage | Error::NotPossible { .. } | Error::Store(_) => false,
    };
    let unusable_store = matches!(error, Error::Store(StoreError::Unusable(_)));
    let error = anyhow::Error::new(error);
    if unusable_store {
        error.context(crate::exit::Usage(
            "UMS_DATABASE_URL does not name a store that can be used".to_owned(),
        ))
    } else if is_usage {
        error.context(crate::exit::Usage("nothing was sent".to_owned()))
    } else {
        error
    }
}

/// Logs as the settings say, for a process that serves; warnings about the settings come first.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn start_log(settings: &Settings) -> Result<()> {
    log::start(&settings.log, format_of(settings))?;
    for warning in &settings.warnings {
        tracing::warn!(setting = %warning.setting, reason = %warning.reason, "configuration");
    }
    Ok(())
}

/// Logs as the settings say, for a command that does one thing.
///
/// # Errors
/// As [`start_log`].
pub(crate) fn start_quiet_log(settings: &Settings) -> Result<()> {
    let is_set = |name| settings.origin(name) != ums_config::Origin::Default;
    let format = if is_set("UMS_LOG_FORMAT") {
        format_of(settings)
    } else {
        log::Format::Pretty
    };
    log::start(if is_set("UMS_LOG") { &settings.log } else { QUIET }, format)
}

fn format_of(settings: &Settings) -> log::Format {
    match settings.log_format {
        LogFormat::Json => log::Format::Json,
        LogFormat::Pretty => log::Format::Pretty,
    }
}

/// The region of numbers without a country code. Other settings may be wrong: they do not matter
/// to a command that only counts.
pub(crate) fn default_region() -> Result<Option<Region>> {
    match Layered::process().find("UMS_DEFAULT_REGION") {
        None => Ok("US".parse().ok()),
        Some((word, _)) if word.eq_ignore_ascii_case("none") => Ok(None),
        Some((word, _)) => word
            .parse()
            .map(Some)
            .map_err(|_| usage("UMS_DEFAULT_REGION must be a country's two letters, such as US, or none")),
    }
}

/// Whether somebody wrote `UMS_ENV=production`.
pub(crate) fn is_explicitly_production() -> bool {
    ums_config::is_explicitly_production(&Layered::process())
}

/// The key for a running service.
pub(crate) fn api_key() -> Option<ums_core::Secret> {
    Layered::process().find("UMS_API_KEY").map(|(key, _)| ums_core::Secret::new(key))
}

/// Whether a check found nothing.
pub(crate) const fn exit_of_check(faults: usize) -> Exit {
    if faults == 0 { Exit::Done } else { Exit::Usage }
}

/// The settings that each left-out provider of these would need, for people.
pub(crate) fn missing_of(not_configured: &[NotConfigured], wanted: impl Fn(ProviderKind) -> bool) -> String {
    let lines = not_configured.iter().filter(|left| wanted(left.provider));
    lines
        .map(|left| format!("  {}: set {}", left.provider, left.missing.join(", ")))
        .collect::<Vec<_>>()
        .join("\n")
}

/// As [`explained`]; where no provider is configured, with what each would need.
pub(crate) fn explained_with(error: Error, not_configured: &[NotConfigured]) -> anyhow::Error {
    let Error::NoProvider(channel) = error else {
        return explained(error);
    };
    let missing = missing_of(not_configured, |kind| kind.channel() == channel);
    usage(format!(
        "no provider for {channel} is configured; nothing was sent. Configure one:\n{missing}\nor try `ums dev`, which needs none"
    ))
}
