//! Who is measured. A new sender is one file here and one line in [`run`].

mod accept;
mod hyper_error;
mod hyper_ses;
mod reqwest_form;
mod reqwest_json;
mod sdk;
mod ums;

use anyhow::{Result, bail};
use unified_messaging::ProviderKind;

use crate::measure::{Figures, Load, measure};
use ums::Ums;

/// What `--peer` may say.
pub(crate) const NAMES: [&str; 15] = [
    "raw-hyper",
    "raw-error",
    "hyper-sigv4",
    "aws-sdk-sesv2",
    "reqwest-sendgrid",
    "reqwest-twilio",
    "ums-ses",
    "ums-sendgrid",
    "ums-smtp",
    "ums-sns",
    "ums-twilio",
    "ums-failover",
    "ums-open",
    "ums-hang",
    "ums-accept",
];

/// Where messages go.
#[derive(Debug)]
pub(crate) struct Urls {
    pub(crate) first: String,
    /// The provider that is healthy when the first is not.
    pub(crate) second: String,
}

/// Measures one peer against the sinks.
pub(crate) async fn run(name: &str, urls: &Urls, load: Load) -> Result<Figures> {
    let (url, second) = (urls.first.as_str(), urls.second.as_str());
    match name {
        "raw-hyper" => measure(hyper_ses::Fixed::new(url)?, load).await,
        "raw-error" => measure(hyper_error::Refused::new(url)?, load).await,
        "hyper-sigv4" => measure(hyper_ses::Signed::new(url)?, load).await,
        "aws-sdk-sesv2" => measure(sdk::Sdk::new(url), load).await,
        "reqwest-sendgrid" => measure(reqwest_json::SendGrid::new(url)?, load).await,
        "reqwest-twilio" => measure(reqwest_form::Twilio::new(url)?, load).await,
        "ums-ses" => measure(Ums::alone(ProviderKind::AwsSes, url).await?, load).await,
        "ums-sendgrid" => measure(Ums::alone(ProviderKind::SendGrid, url).await?, load).await,
        "ums-smtp" => measure(Ums::alone(ProviderKind::Smtp, url).await?, load).await,
        "ums-sns" => measure(Ums::alone(ProviderKind::AwsSns, url).await?, load).await,
        "ums-twilio" => measure(Ums::alone(ProviderKind::Twilio, url).await?, load).await,
        "ums-failover" => measure(Ums::failover(url, second).await?, load).await,
        "ums-open" => measure(Ums::open(url, second).await?, load).await,
        "ums-hang" => measure(Ums::hang(url, second).await?, load).await,
        "ums-accept" => measure(accept::Accept::new(url)?, load).await,
        other => bail!("no such peer: {other}; peers: {}", NAMES.join(", ")),
    }
}
