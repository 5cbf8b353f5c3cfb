//! The only reader of the environment and of configuration files.
//!
//! [`load`] reads everything at once: the process environment wins over `.env`, that over the
//! `[settings]` table of the file that `UMS_CONFIG` names, that over the defaults. All faults are
//! reported together, by setting name.
//!
//! - [`env`](mod@env) is the registry of environment names, from which `docs/env.md` and
//!   `.env.example` are made;
//! - `config.default.toml` ([`DEFAULT_CONFIG`]) is the only place of the other defaults;
//! - [`Settings`] is what the rest of the workspace sees.
//!
//! **Invariant:** no value of a setting stands in an error, and no secret in a `Debug` or in
//! [`show`].

mod aws_files;
mod dev;
mod dotenv;
mod duration;
pub mod env;
mod env_pages;
mod failpoint;
mod fault;
mod files;
mod layered;
mod reader;
mod sections;
mod senders;
mod serve;
mod settings;
mod show;
mod source;
mod toml_file;
mod values;

pub use dev::{SimulatorUrls, dev_settings};
pub use dotenv::DotEnv;
pub use env_pages::{env_example, env_markdown};
pub use failpoint::failpoint;
pub use fault::{ConfigError, Fault};
pub use layered::Layered;
pub use sections::{
    AwsCredentialSource, AwsEndpoints, AwsKeys, AwsSettings, BreakerSettings, ClockSettings, Environment, ExpirySettings, FeedbackSettings,
    FeedbackWaitSettings, HttpSettings, LimitSettings, LogFormat, Network, PaceSettings, PostgresSettings, Prices, RateSettings,
    RetentionSettings, RetrySettings, SendGridSettings, SesSettings, SmtpLogin, SmtpSettings, SmtpTls, SnsSettings, TimeoutSettings,
    TwilioSettings, WebhookSettings, place_to_listen,
};
pub use senders::{AllowedRecipients, SenderRule};
pub use serve::{check_serve, is_explicitly_production};
pub use settings::{LoadOptions, Settings, load, show};
pub use show::Shown;
pub use source::{MapSource, Origin, ProcessEnv, Source};
pub use toml_file::DEFAULT_CONFIG;
pub use values::{ByProvider, Endpoint, StoreUrl};
