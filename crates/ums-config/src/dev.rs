//! The settings of `ums dev`: the simulator in place of every provider, test values only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::ConfigError;
use crate::layered::Layered;
use crate::sections::Network;
use crate::settings::{LoadOptions, Settings, load_with};
use crate::source::{MapSource, Origin};
use crate::values::{Endpoint, StoreUrl};

/// Settings that `ums dev` takes over from the caller's sources; none of them is a provider's.
const TAKEN_OVER: [&str; 5] = ["UMS_CONFIG", "UMS_DEFAULT_REGION", "UMS_LOG", "UMS_LOG_FORMAT", "UMS_SMS_COUNTRIES"];

/// How often the simulator is asked what became of text messages by SNS.
const LOGS_EVERY: Duration = Duration::from_secs(5);
/// This machine.
const LOOPBACK: [Network; 2] = [
    Network {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        prefix: 8,
    },
    Network {
        address: IpAddr::V6(Ipv6Addr::LOCALHOST),
        prefix: 128,
    },
];

/// Where the simulator's providers listen; base URLs without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatorUrls {
    /// Amazon SES.
    pub ses: String,
    /// Amazon SNS.
    pub sns: String,
    /// SendGrid.
    pub sendgrid: String,
    /// Twilio.
    pub twilio: String,
    /// SMTP.
    pub smtp: SocketAddr,
    /// CloudWatch Logs, where SNS writes what became of text messages.
    pub logs: String,
    /// The topic that the simulator's own reports of SES come from.
    pub topic_arn: String,
    /// The key that the simulator's own reports of SendGrid are signed with.
    pub sendgrid_public_key: String,
}

/// Builds the settings of `ums dev`.
///
/// Provider settings of the environment, of `.env` and of AWS's files are not read; the store is
/// `ums.db` in `data_dir`. Of `sources`, only log, region, countries and the configuration
/// file count, and of that file neither `[settings]` nor its way to providers.
///
/// # Errors
/// What is wrong with the few settings that are taken over.
pub fn dev_settings(sources: &Layered, simulator: &SimulatorUrls, data_dir: &Path, listen: SocketAddr) -> Result<Settings, ConfigError> {
    let taken_over: MapSource = TAKEN_OVER.iter().filter_map(|name| Some((*name, sources.find(name)?.0))).collect();
    let layered = Layered::new()
        .over(Origin::Dev, test_values(simulator, listen))
        .over(Origin::Environment, taken_over);
    let options = LoadOptions {
        default_store: StoreUrl::sqlite(data_dir.join("ums.db")),
        config_file: None,
    };
    let mut settings = load_with(&layered, &options, false)?;
    settings.aws.config_file = None;
    settings.aws.credentials_file = None;
    settings.http.proxy = None;
    if let Some(twilio) = &mut settings.twilio {
        twilio.status_callback = settings
            .public_url
            .as_ref()
            .and_then(|url| Endpoint::parse(&format!("{url}/hooks/twilio")).ok());
    }
    if let Some(smtp) = &mut settings.smtp {
        smtp.ca_file = None;
    }
    // Whoever tries the service out tells an application on the same machine.
    settings.webhooks.allow_http = true;
    settings.webhooks.allow_private.extend(LOOPBACK);
    settings.feedback.sns_logs_every = settings.feedback.sns_logs_every.or(Some(LOGS_EVERY));
    Ok(settings)
}

/// Values of the right form that no provider knows.
fn test_values(simulator: &SimulatorUrls, listen: SocketAddr) -> MapSource {
    // A port that the system is to choose is not known yet.
    let public_url = if listen.port() == 0 {
        String::new()
    } else {
        format!("http://{listen}")
    };
    let pairs = [
        ("UMS_ENV", "development".to_owned()),
        ("UMS_LISTEN", listen.to_string()),
        ("UMS_PUBLIC_URL", public_url),
        ("UMS_SECRET_KEY", "only-for-development-no-secret-at-all".to_owned()),
        ("UMS_EMAIL_CHAIN", "aws_ses,sendgrid,smtp".to_owned()),
        ("UMS_SMS_CHAIN", "aws_sns,twilio,console".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test-secret-of-the-simulator".to_owned()),
        ("AWS_ENDPOINT_URL_SESV2", simulator.ses.clone()),
        ("AWS_ENDPOINT_URL_SNS", simulator.sns.clone()),
        ("AWS_ENDPOINT_URL_LOGS", simulator.logs.clone()),
        ("UMS_AWS_TOPIC_ARNS", simulator.topic_arn.clone()),
        ("AWS_SES_FROM_EMAIL", "noreply@example.com".to_owned()),
        ("AWS_SES_FROM_NAME", "Example".to_owned()),
        ("SENDGRID_API_KEY", "SG.test-key-of-the-simulator".to_owned()),
        ("SENDGRID_FROM_EMAIL", "noreply@example.com".to_owned()),
        ("SENDGRID_FROM_NAME", "Example".to_owned()),
        ("SENDGRID_API_URL", simulator.sendgrid.clone()),
        ("SENDGRID_WEBHOOK_PUBLIC_KEY", simulator.sendgrid_public_key.clone()),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000000".to_owned()),
        ("TWILIO_AUTH_TOKEN", "test-token-of-the-simulator".to_owned()),
        ("TWILIO_PHONE_NUMBER", "+15550100100".to_owned()),
        ("TWILIO_API_URL", simulator.twilio.clone()),
        ("SMTP_HOST", simulator.smtp.ip().to_string()),
        ("SMTP_PORT", simulator.smtp.port().to_string()),
        ("SMTP_USER", "test".to_owned()),
        ("SMTP_PASSWORD", "test".to_owned()),
        ("SMTP_TLS", "none".to_owned()),
        ("SMTP_FROM_EMAIL", "noreply@example.com".to_owned()),
        ("SMTP_FROM_NAME", "Example".to_owned()),
    ];
    pairs.into_iter().collect()
}
