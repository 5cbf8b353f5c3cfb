//! What `ums serve` needs beyond a valid configuration.

use crate::layered::Layered;
use crate::sections::Environment;
use crate::settings::Settings;
use crate::source::Origin;
use crate::{ConfigError, Fault};

/// Checks that the service may listen: with a key, or in development on loopback only.
///
/// # Errors
/// What is missing, by setting name.
pub fn check_serve(settings: &Settings) -> Result<(), ConfigError> {
    let private = settings.environment == Environment::Development && settings.listen.ip().is_loopback();
    if settings.api_key.is_some() || private {
        return Ok(());
    }
    let reason = "is missing: without it everybody who reaches the service could send; \
                  only with UMS_ENV=development and UMS_LISTEN on loopback may it be left out";
    Err(ConfigError {
        faults: vec![Fault::new("UMS_API_KEY", reason)],
    })
}

/// Whether somebody wrote `UMS_ENV=production`, rather than leaving it to the default; a
/// simulator does not start then.
pub fn is_explicitly_production(sources: &Layered) -> bool {
    sources
        .find("UMS_ENV")
        .is_some_and(|(word, origin)| word == "production" && origin != Origin::Default)
}
