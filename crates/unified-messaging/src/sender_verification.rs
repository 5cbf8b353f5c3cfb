//! Verification of a sender at Amazon SES: what has to be done once before SES sends for it.

use std::sync::Arc;

use ums_config::Settings;
use ums_core::{Clock, Failure};
use ums_providers::send::IdentityStatus;

use crate::{Error, wire};

/// Asks SES to verify an address or a domain, and tells how far that is. None when SES is not
/// configured. An identity that is there already is asked for its status only.
///
/// # Errors
/// [`Error::Provider`] when SES cannot be set up.
pub async fn verify_sender(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    identity: &str,
) -> Result<Option<Result<IdentityStatus, Failure>>, Error> {
    match wire::ses(settings, &clock)? {
        Some(ses) => Ok(Some(ses.create_identity(identity).await)),
        None => Ok(None),
    }
}
