//! Who is measured. A new sender is one file here and one line in [`run`].

mod hyper_ses;
mod reqwest_form;
mod reqwest_json;
mod sdk;

use anyhow::{Result, bail};

use crate::measure::{Figures, Load, measure};

/// What `--peer` may say.
pub(crate) const NAMES: [&str; 5] = ["raw-hyper", "hyper-sigv4", "aws-sdk-sesv2", "reqwest-sendgrid", "reqwest-twilio"];

/// Measures one peer against the sink at `url`.
pub(crate) async fn run(name: &str, url: &str, load: Load) -> Result<Figures> {
    match name {
        "raw-hyper" => measure(hyper_ses::Fixed::new(url)?, load).await,
        "hyper-sigv4" => measure(hyper_ses::Signed::new(url)?, load).await,
        "aws-sdk-sesv2" => measure(sdk::Sdk::new(url), load).await,
        "reqwest-sendgrid" => measure(reqwest_json::SendGrid::new(url)?, load).await,
        "reqwest-twilio" => measure(reqwest_form::Twilio::new(url)?, load).await,
        other => bail!("no such peer: {other}; peers: {}", NAMES.join(", ")),
    }
}
