//! All settings, read and checked at once.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use ums_core::{Channel, NotConfigured, ProviderKind, Region, Secret};

use crate::layered::Layered;
use crate::reader::Reader;
use crate::sections::{
    AwsSettings, BreakerSettings, Chain, ClockSettings, Configured, Environment, ExpirySettings, FeedbackSettings, HttpSettings,
    LimitSettings, LogFormat, PaceSettings, PostgresSettings, Prices, RateSettings, RetentionSettings, RetrySettings, SendGridSettings,
    SesSettings, SmtpSettings, SnsSettings, TimeoutSettings, TwilioSettings, WebhookSettings,
};
use crate::senders::AllowedRecipients;
use crate::show::{self, Shown};
use crate::source::{MapSource, Origin};
use crate::toml_file::TomlFile;
use crate::values::{ByProvider, Endpoint, StoreUrl};
use crate::{ConfigError, Fault, sections};

/// Everything that can be set. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the service runs (`UMS_ENV`).
    pub environment: Environment,
    /// The e-mail providers that are configured, in the order in which they are tried.
    pub email_chain: Vec<ProviderKind>,
    /// The SMS providers that are configured, in the order in which they are tried.
    pub sms_chain: Vec<ProviderKind>,
    /// What SES and SNS share.
    pub aws: AwsSettings,
    /// Amazon SES, when it is configured.
    pub ses: Option<SesSettings>,
    /// Amazon SNS, when it is configured.
    pub sns: Option<SnsSettings>,
    /// SendGrid, when it is configured.
    pub sendgrid: Option<SendGridSettings>,
    /// Twilio, when it is configured.
    pub twilio: Option<TwilioSettings>,
    /// SMTP, when it is configured.
    pub smtp: Option<SmtpSettings>,
    /// Whether the console serves: in development, or when a chain names it.
    pub console: bool,
    /// Providers that are left out, and what each would need.
    pub not_configured: Vec<NotConfigured>,
    /// Where messages are kept.
    pub store_url: StoreUrl,
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Where an orchestrator's probes are answered, beside that.
    pub probe_listen: Option<SocketAddr>,
    /// Proxies in front of the service.
    pub trusted_proxies: Vec<IpNet>,
    /// The URL under which the service is reached from outside.
    pub public_url: Option<Endpoint>,
    /// Key of the HTTP API.
    pub api_key: Option<Secret>,
    /// Keys for sealing and keyed hashes, newest first.
    pub secret_keys: Vec<Secret>,
    /// Region of numbers without a country code; none insists on one.
    pub default_region: Option<Region>,
    /// Recipients that development may really write to.
    pub allow_recipients: AllowedRecipients,
    /// Countries that text messages may go to; empty for all.
    pub sms_countries: Vec<Region>,
    /// What is logged, a filter such as `info,ums_delivery=debug`.
    pub log: String,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Breakers.
    pub breaker: ByProvider<BreakerSettings>,
    /// Pace of each account.
    pub pace: ByProvider<PaceSettings>,
    /// Time of one attempt.
    pub timeouts: ByProvider<TimeoutSettings>,
    /// When a message is tried again.
    pub retry: RetrySettings,
    /// When a message is given up.
    pub expiry: ExpirySettings,
    /// How long what has ended is kept.
    pub retention: RetentionSettings,
    /// What is made of a jump of the machine's clock.
    pub clock: ClockSettings,
    /// What is done with what providers report.
    pub feedback: FeedbackSettings,
    /// When bounces, complaints and missing receipts become a warning, and more.
    pub rates: RateSettings,
    /// How the user's application is told.
    pub webhooks: WebhookSettings,
    /// Connections to PostgreSQL, where messages are kept there.
    pub postgres: PostgresSettings,
    /// Limits of the service.
    pub limits: LimitSettings,
    /// Estimates of cost.
    pub prices: Prices,
    /// The way to providers that speak HTTP.
    pub http: HttpSettings,
    /// What works but deserves a look, by setting name.
    pub warnings: Vec<Fault>,
    pub(crate) shown: Vec<Shown>,
}

/// What the caller decides about reading.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The store when `UMS_DATABASE_URL` is not set.
    pub default_store: StoreUrl,
    /// A configuration file in place of `UMS_CONFIG`'s.
    pub config_file: Option<PathBuf>,
}

impl LoadOptions {
    /// For the service and the command line: messages are kept in `ums.db`.
    pub fn service() -> Self {
        Self {
            default_store: StoreUrl::sqlite("ums.db"),
            config_file: None,
        }
    }

    /// For programs that embed the library: messages are kept in memory.
    pub fn library() -> Self {
        Self {
            default_store: StoreUrl::Memory,
            config_file: None,
        }
    }
}

impl Settings {
    /// Reads the process environment over `.env` in the working directory, over the file of
    /// `UMS_CONFIG`, over the defaults.
    ///
    /// # Errors
    /// All that is missing, wrong or at odds.
    pub fn from_process(options: &LoadOptions) -> Result<Self, ConfigError> {
        load(&Layered::process(), options)
    }

    /// The chain of a channel.
    pub fn chain(&self, channel: Channel) -> &[ProviderKind] {
        match channel {
            Channel::Email => &self.email_chain,
            Channel::Sms => &self.sms_chain,
        }
    }

    /// Whether a provider is configured, in a chain or not.
    pub fn is_configured(&self, provider: ProviderKind) -> bool {
        match provider {
            ProviderKind::AwsSes => self.ses.is_some(),
            ProviderKind::SendGrid => self.sendgrid.is_some(),
            ProviderKind::Smtp => self.smtp.is_some(),
            ProviderKind::AwsSns => self.sns.is_some(),
            ProviderKind::Twilio => self.twilio.is_some(),
            ProviderKind::Console => self.console,
        }
    }
}

/// Reads all settings from `sources`, the configuration file and the defaults.
///
/// # Errors
/// All that is missing, wrong or at odds, by setting name, never a value.
pub fn load(sources: &Layered, options: &LoadOptions) -> Result<Settings, ConfigError> {
    load_with(sources, options, true)
}

/// As [`load`]; `environment_of_file` tells whether the file's `[settings]` count.
pub(crate) fn load_with(sources: &Layered, options: &LoadOptions, environment_of_file: bool) -> Result<Settings, ConfigError> {
    let mut faults = Vec::new();
    let named = sources.find("UMS_CONFIG").map(|(path, _)| PathBuf::from(path));
    let path = options.config_file.as_deref().or(named.as_deref());
    let file = TomlFile::read(path, &mut faults);
    let below = if environment_of_file {
        file.environment()
    } else {
        MapSource::default()
    };
    let mut reader = Reader::new(sources, below, file, faults);
    let settings = read(&mut reader, options);
    let mut faults = reader.faults;
    let mut seen = std::collections::BTreeSet::new();
    faults.retain(|fault| seen.insert(fault.clone()));
    if faults.is_empty() {
        Ok(settings)
    } else {
        Err(ConfigError { faults })
    }
}

fn read(reader: &mut Reader<'_>, options: &LoadOptions) -> Settings {
    let environment = sections::service::environment(reader);
    let public_url = sections::service::public_url(reader);
    let default_region = sections::recipients::default_region(reader);
    let email = sections::chain(reader, Channel::Email);
    let sms = sections::chain(reader, Channel::Sms);
    let providers = Providers::read(reader, &email, &sms, environment, public_url.as_ref());
    let pace = sections::pace::read(reader, providers.smtp.as_ref().map(|smtp| smtp.host.as_str()));
    let mut settings = Settings {
        environment,
        email_chain: email.providers,
        sms_chain: sms.providers,
        aws: providers.aws,
        ses: providers.ses,
        sns: providers.sns,
        sendgrid: providers.sendgrid,
        twilio: providers.twilio,
        smtp: providers.smtp,
        console: providers.console,
        not_configured: providers.not_configured,
        store_url: sections::service::store_url(reader, &options.default_store),
        listen: sections::service::listen(reader),
        probe_listen: sections::service::probe_listen(reader),
        trusted_proxies: sections::service::trusted_proxies(reader),
        public_url,
        api_key: sections::service::api_key(reader),
        secret_keys: sections::service::secret_keys(reader),
        default_region,
        allow_recipients: sections::recipients::allow_recipients(reader, default_region),
        sms_countries: sections::recipients::sms_countries(reader),
        log: sections::service::log(reader),
        log_format: sections::service::log_format(reader, environment),
        breaker: sections::breaker::read(reader),
        pace,
        timeouts: sections::timeouts::read(reader),
        retry: sections::retry::read(reader),
        expiry: sections::retry::expiry(reader),
        retention: sections::retry::retention(reader),
        clock: sections::retry::clock(reader),
        feedback: sections::feedback::read(reader),
        rates: sections::feedback::rates(reader),
        webhooks: sections::feedback::webhooks(reader),
        postgres: sections::limits::postgres(reader),
        limits: sections::limits::read(reader),
        prices: sections::prices::read(reader),
        http: sections::limits::http(reader),
        warnings: Vec::new(),
        shown: Vec::new(),
    };
    let (email_chain, sms_chain) = (std::mem::take(&mut settings.email_chain), std::mem::take(&mut settings.sms_chain));
    settings.email_chain = email_chain.into_iter().filter(|kind| settings.is_configured(*kind)).collect();
    settings.sms_chain = sms_chain.into_iter().filter(|kind| settings.is_configured(*kind)).collect();
    let effective = show::Effective {
        store_url: &settings.store_url,
        log_format: settings.log_format,
        aws: &settings.aws,
        pace: &settings.pace,
        config_file: options.config_file.as_deref(),
    };
    settings.shown = show::collect(reader, &effective);
    settings.warnings = std::mem::take(&mut reader.warnings);
    settings
}

/// The providers' settings, and which of them are left out.
struct Providers {
    aws: AwsSettings,
    ses: Option<SesSettings>,
    sns: Option<SnsSettings>,
    sendgrid: Option<SendGridSettings>,
    twilio: Option<TwilioSettings>,
    smtp: Option<SmtpSettings>,
    console: bool,
    not_configured: Vec<NotConfigured>,
}

impl Providers {
    fn read(reader: &mut Reader<'_>, email: &Chain, sms: &Chain, environment: Environment, public_url: Option<&Endpoint>) -> Self {
        let aws = sections::aws::read(reader);
        let ses = sections::aws::ses(reader, &aws, email.names(ProviderKind::AwsSes));
        let sendgrid = sections::sendgrid::read(reader);
        let smtp = sections::smtp::read(reader);
        let sns = sections::aws::sns(reader, &aws, sms.names(ProviderKind::AwsSns));
        let twilio = sections::twilio::read(reader, public_url);
        let console = sms.names(ProviderKind::Console) || (environment == Environment::Development && !sms.explicit);
        if console && environment == Environment::Production {
            reader.warn("UMS_SMS_CHAIN", "names console in production: what it takes reaches nobody");
        }
        let mut left_out = LeftOut {
            reader,
            email,
            sms,
            list: Vec::new(),
        };
        Self {
            ses: left_out.or(ProviderKind::AwsSes, ses),
            sendgrid: left_out.or(ProviderKind::SendGrid, sendgrid),
            smtp: left_out.or(ProviderKind::Smtp, smtp),
            sns: left_out.or(ProviderKind::AwsSns, sns),
            twilio: left_out.or(ProviderKind::Twilio, twilio),
            not_configured: left_out.list,
            aws,
            console,
        }
    }
}

/// Collects the providers that are left out; one that a chain names is a fault.
struct LeftOut<'r, 'a> {
    reader: &'r mut Reader<'a>,
    email: &'r Chain,
    sms: &'r Chain,
    list: Vec<NotConfigured>,
}

impl LeftOut<'_, '_> {
    fn or<T>(&mut self, provider: ProviderKind, configured: Configured<T>) -> Option<T> {
        match configured {
            Configured::Yes(settings) => Some(settings),
            Configured::Faulty => None,
            Configured::No(missing) => {
                let chain = match provider.channel() {
                    Channel::Email => ("UMS_EMAIL_CHAIN", self.email),
                    Channel::Sms => ("UMS_SMS_CHAIN", self.sms),
                };
                if chain.1.names(provider) {
                    self.reader.missing(&missing, &format!("{} names {provider}", chain.0));
                }
                let missing = missing.into_iter().map(str::to_owned).collect();
                self.list.push(NotConfigured { provider, missing });
                None
            }
        }
    }
}

impl Settings {
    /// Where a setting came from: an environment name or a dotted name of the file.
    pub fn origin(&self, name: &str) -> Origin {
        self.shown
            .iter()
            .find(|shown| shown.name == name)
            .map_or(Origin::Default, |shown| shown.origin)
    }
}

/// Every setting with its value or a mask, and where it came from.
pub fn show(settings: &Settings) -> &[Shown] {
    &settings.shown
}
