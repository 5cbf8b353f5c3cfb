//! The configuration as its users meet it.

mod chains;
mod defaults;
mod dev;
mod faults;
mod precedence;
mod secrets;

use ums_config::{ConfigError, Layered, LoadOptions, MapSource, Origin, Settings, load};

/// Everything that sending by all providers needs.
const COMPLETE: &[(&str, &str)] = &[
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "canary-aws-secret"),
    ("AWS_SES_FROM_EMAIL", "noreply@example.com"),
    ("AWS_SES_FROM_NAME", "Example Shop"),
    ("SENDGRID_API_KEY", "SG.canary-sendgrid"),
    ("SENDGRID_FROM_EMAIL", "noreply@example.com"),
    ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
    ("TWILIO_AUTH_TOKEN", "canary-twilio"),
    ("TWILIO_PHONE_NUMBER", "+15551234567"),
    ("SMTP_HOST", "smtp.gmail.com"),
    ("SMTP_PORT", "587"),
    ("SMTP_USER", "shop@gmail.com"),
    ("SMTP_PASSWORD", "canary smtp password"),
    ("SMTP_FROM_EMAIL", "shop@gmail.com"),
];

fn environment(pairs: &[(&str, &str)]) -> Layered {
    let map: MapSource = pairs.iter().copied().collect();
    Layered::new().over(Origin::Environment, map)
}

fn read(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    load(&environment(pairs), &LoadOptions::service())
}

/// The complete set with some values changed; an empty value takes one away.
fn read_changed(overrides: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let over: MapSource = overrides.iter().copied().collect();
    let kept = COMPLETE
        .iter()
        .copied()
        .filter(|(name, _)| overrides.iter().all(|(overridden, _)| overridden != name));
    let sources = Layered::new()
        .over(Origin::Environment, over)
        .over(Origin::DotEnv, kept.collect::<MapSource>());
    load(&sources, &LoadOptions::service())
}

fn names(error: &ConfigError) -> Vec<&str> {
    error.faults.iter().map(|fault| fault.setting.as_str()).collect()
}
