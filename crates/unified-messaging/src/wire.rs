//! Where ports meet implementations: from settings to an engine. Nowhere else.

mod aftermath;
mod fingerprints;

use std::io::Write;
use std::sync::Arc;

use ums_config::{ConfigError, Endpoint, Environment, Fault, PostgresSettings, SenderRule, Settings, StoreUrl};
use ums_core::{Clock, Email, GuardedClock, PhoneNumber, Provider, ProviderKind, Random, Sms, Store, SystemClock, Troubles};
use ums_delivery::{
    BreakerSettings, Chores, Expiry, FeedbackRules, FeedbackWait, LinkParts, Observer, PaceSettings, Parts, Price, RateRules,
    RetentionRules, RetryBudget, RetrySchedule, Rules, WebhookRules,
};
use ums_providers::send::smtp::{SmtpSettings, SmtpTimeouts, SmtpTls};
use ums_providers::send::{ConsoleSettings, SendGridSettings, Ses, SesSettings, SnsSettings, TwilioSender, TwilioSettings};
use ums_providers::{AwsCredentials, BadProxy, Chains, ProviderSettings, Proxy, TimeLimits, Transport, TransportSettings};
use ums_store::PostgresOptions;

use crate::Error;

pub use aftermath::ProviderHooks;

/// What the outside world is: everything that is not a setting.
pub(crate) struct Outside {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) troubles: Troubles,
    /// Where the console prints; standard output without one.
    pub(crate) console: Option<Box<dyn Write + Send>>,
    /// Providers in front of those that are configured.
    pub(crate) email: Vec<Arc<dyn Provider<Email>>>,
    /// The same for text messages.
    pub(crate) sms: Vec<Arc<dyn Provider<Sms>>>,
}

/// Puts an engine's parts together.
pub(crate) fn parts(settings: &Settings, store: Arc<dyn Store>, outside: Outside) -> Result<Parts, Error> {
    let Outside {
        clock,
        random,
        observer,
        troubles,
        console,
        email,
        sms,
    } = outside;
    let configured = chains(settings, &clock, console)?;
    Ok(Parts {
        email: email
            .into_iter()
            .chain(configured.email)
            .map(|provider| link(settings, provider))
            .collect(),
        sms: sms
            .into_iter()
            .chain(configured.sms)
            .map(|provider| link(settings, provider))
            .collect(),
        aftermath: aftermath::parts(settings, &clock)?,
        not_configured: settings.not_configured.clone(),
        rules: rules(settings),
        clock,
        random,
        store,
        observer,
        troubles,
    })
}

/// The machine's clock behind its guard; jumps are told among the troubles.
pub fn machine_clock(settings: &Settings, troubles: &Troubles) -> Arc<dyn Clock> {
    Arc::new(GuardedClock::new(
        Arc::new(SystemClock::new()),
        settings.clock.settle,
        troubles.clone(),
    ))
}

/// Opens the store that the settings name.
pub(crate) async fn store(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, Error> {
    let PostgresSettings { writers, readers, lease } = settings.postgres;
    let options = PostgresOptions {
        writers: usize::try_from(writers).unwrap_or(usize::MAX),
        readers: usize::try_from(readers).unwrap_or(usize::MAX),
        lease,
    };
    Ok(ums_store::open_with(&store_url(&settings.store_url), clock, options).await?)
}

/// The URL of a store as `ums-store` reads it. It may hold a password.
pub fn store_url(url: &StoreUrl) -> String {
    match url {
        StoreUrl::Memory => "memory:".to_owned(),
        StoreUrl::Sqlite(path) => format!("sqlite://{}", path.display()),
        StoreUrl::Postgres(url) => url.expose().to_owned(),
    }
}

/// Sets Amazon SES up alone, for what an operator asks of it beside sending.
pub(crate) fn ses(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Option<Ses>, Error> {
    let ses = ses_settings(settings, &credentials(settings));
    let transport = transport(settings, ProviderKind::AwsSes, clock)?;
    Ok(ses.map(|ses| Ses::new(ses, &transport)).transpose()?)
}

/// The proxy to providers, if one is configured.
fn proxy(settings: &Settings) -> Result<Option<Proxy>, Error> {
    let unusable = |bad: BadProxy| {
        let fault = Fault {
            setting: "http.proxy".to_owned(),
            reason: bad.to_string(),
        };
        Error::Config(ConfigError { faults: vec![fault] })
    };
    settings
        .http
        .proxy
        .as_ref()
        .map(|proxy| Proxy::parse(proxy.expose()))
        .transpose()
        .map_err(unusable)
}

fn chains(settings: &Settings, clock: &Arc<dyn Clock>, mut console: Option<Box<dyn Write + Send>>) -> Result<Chains, Error> {
    let credentials = credentials(settings);
    let mut chains = Chains::default();
    for kind in settings.email_chain.iter().chain(&settings.sms_chain) {
        let provider = match kind {
            ProviderKind::AwsSes => ses_settings(settings, &credentials).map(ProviderSettings::AwsSes),
            ProviderKind::SendGrid => settings.sendgrid.as_ref().map(|own| ProviderSettings::SendGrid(sendgrid(own))),
            ProviderKind::Smtp => smtp(settings)?.map(ProviderSettings::Smtp),
            ProviderKind::AwsSns => sns(settings, &credentials).map(ProviderSettings::AwsSns),
            ProviderKind::Twilio => twilio(settings).map(ProviderSettings::Twilio),
            ProviderKind::Console => Some(ProviderSettings::Console(ConsoleSettings { output: console.take() })),
        };
        // Each provider has time limits of its own, and so a transport of its own.
        let mut built = Chains::build(provider, &transport(settings, *kind, clock)?, clock)?;
        chains.email.append(&mut built.email);
        chains.sms.append(&mut built.sms);
    }
    Ok(chains)
}

fn transport(settings: &Settings, kind: ProviderKind, clock: &Arc<dyn Clock>) -> Result<Arc<Transport>, Error> {
    let own = settings.timeouts.get(kind);
    let limits = TimeLimits {
        connect: own.connect,
        write_stall: own.write_stall,
        reply: own.reply,
    };
    let max_reply_bytes = usize::try_from(settings.limits.provider_reply_bytes).unwrap_or(usize::MAX);
    let own = TransportSettings {
        limits,
        max_reply_bytes,
        proxy: proxy(settings)?,
        ..TransportSettings::default()
    };
    Ok(Transport::new(own, Arc::clone(clock)))
}

fn credentials(settings: &Settings) -> AwsCredentials {
    match &settings.aws.keys {
        Some(keys) => AwsCredentials::given(keys.access_key_id.expose(), &keys.secret_access_key, keys.session_token.as_ref()),
        None => AwsCredentials::default_chain(settings.aws.profile.clone()),
    }
}

fn ses_settings(settings: &Settings, credentials: &AwsCredentials) -> Option<SesSettings> {
    settings.ses.as_ref().map(|own| SesSettings {
        region: settings.aws.region.clone(),
        from: own.from.clone(),
        senders: senders(&own.senders),
        configuration_set: own.configuration_set.clone(),
        base_url: settings.aws.endpoints.ses.as_ref().map(text),
        credentials: credentials.clone(),
    })
}

fn sendgrid(own: &ums_config::SendGridSettings) -> SendGridSettings {
    SendGridSettings {
        api_key: own.api_key.clone(),
        from: own.from.clone(),
        senders: senders(&own.senders),
        base_url: Some(text(&own.api_url)),
    }
}

fn smtp(settings: &Settings) -> Result<Option<SmtpSettings>, Error> {
    let Some(own) = &settings.smtp else { return Ok(None) };
    let mut smtp = SmtpSettings::new(own.host.clone(), own.port, own.from.clone());
    smtp.senders = senders(&own.senders);
    smtp.login = own.login.as_ref().map(|login| (login.user.clone(), login.password.clone()));
    smtp.tls = match own.tls {
        ums_config::SmtpTls::StartTls => SmtpTls::Starttls,
        ums_config::SmtpTls::Implicit => SmtpTls::Implicit,
        ums_config::SmtpTls::None => SmtpTls::None,
    };
    smtp.helo_name.clone_from(&own.helo_name);
    if let Some(file) = &own.ca_file {
        smtp.extra_ca_pem = Some(std::fs::read(file).map_err(|_| unusable(ProviderKind::Smtp, "smtp.ca_file", "cannot be read"))?);
    }
    let limits = settings.timeouts.get(ProviderKind::Smtp);
    smtp.timeouts = SmtpTimeouts {
        connect: limits.connect,
        write: limits.write_stall,
        reply: limits.reply,
    };
    smtp.max_connections = own.pool_size;
    smtp.idle = own.pool_idle;
    Ok(Some(smtp))
}

fn sns(settings: &Settings, credentials: &AwsCredentials) -> Option<SnsSettings> {
    settings.sns.as_ref().map(|own| SnsSettings {
        region: settings.aws.region.clone(),
        sender_id: own.sender_id.clone(),
        sender_id_registered: Vec::new(),
        base_url: settings.aws.endpoints.sns.as_ref().map(text),
        credentials: credentials.clone(),
    })
}

fn twilio(settings: &Settings) -> Option<TwilioSettings> {
    let own = settings.twilio.as_ref()?;
    let service = own.messaging_service_sid.clone().map(TwilioSender::MessagingService);
    let sender = service.or_else(|| own.phone_number.as_deref().map(twilio_sender))?;
    Some(TwilioSettings {
        account_sid: own.account_sid.clone(),
        auth_token: own.auth_token.clone(),
        sender,
        status_callback: own.status_callback.as_ref().map(text),
        base_url: Some(text(&own.api_url)),
    })
}

/// A number in E.164, or else a short code: the reader of the settings let nothing else through.
fn twilio_sender(number: &str) -> TwilioSender {
    PhoneNumber::parse_e164(number).map_or_else(|_| TwilioSender::ShortCode(number.to_owned()), TwilioSender::Number)
}

fn link<M>(settings: &Settings, provider: Arc<dyn Provider<M>>) -> LinkParts<M> {
    let kind = provider.kind();
    let (breaker, pace) = (settings.breaker.get(kind), settings.pace.get(kind));
    LinkParts {
        provider,
        breaker: BreakerSettings {
            failures: breaker.failures,
            rate_percent: u8::try_from(breaker.failure_rate_percent).ok(),
            min_calls: breaker.min_calls,
            window: breaker.window,
            open: breaker.open,
            open_max: breaker.max_open,
            successes: breaker.probe_successes,
            misconfigured: breaker.misconfigured_open,
            misconfigured_max: breaker.misconfigured_max_open,
            exhausted: breaker.exhausted_open,
        },
        pace: PaceSettings {
            per_second: pace.per_second,
            per_day: pace.per_day,
        },
        price: price(settings, kind),
        fingerprint: fingerprints::of(settings, kind),
    }
}

fn price(settings: &Settings, kind: ProviderKind) -> Price {
    let prices = &settings.prices;
    match kind {
        ProviderKind::AwsSes | ProviderKind::SendGrid | ProviderKind::Smtp => Price::Recipient(prices.per_recipient(kind)),
        ProviderKind::AwsSns => Price::Segment(prices.aws_sns_per_segment.clone()),
        ProviderKind::Twilio => Price::Segment(prices.twilio_per_segment.clone()),
        ProviderKind::Console => Price::Free,
    }
}

/// Names every field, so that a rule that no setting reaches does not compile.
fn rules(settings: &Settings) -> Rules {
    let fixed = Rules::default();
    Rules {
        // No setting changes these two.
        on_exhausted: fixed.on_exhausted,
        max_in_flight: fixed.max_in_flight,
        memory_bytes: usize::try_from(settings.limits.memory).unwrap_or(usize::MAX),
        retry: RetrySchedule {
            waits: settings.retry.schedule.clone(),
            otp_waits: settings.retry.otp_schedule.clone(),
        },
        retry_budget: RetryBudget {
            percent: settings.retry.budget_percent,
            floor_per_minute: settings.retry.budget_floor_per_minute,
        },
        feedback_wait: FeedbackWait {
            otp: settings.retry.feedback_wait.otp,
            transactional: settings.retry.feedback_wait.transactional,
            bulk: settings.retry.feedback_wait.bulk,
        },
        chores: Chores {
            renew: settings.postgres.lease / 4,
            ..Chores::default()
        },
        max_backlog: u64::from(settings.limits.backlog_messages),
        retention: RetentionRules {
            bodies: settings.retention.bodies,
            messages: settings.retention.messages,
            aftermath: settings.feedback.keep,
        },
        feedback: FeedbackRules {
            give_up: settings.feedback.give_up,
            match_window: settings.feedback.match_window,
            ..FeedbackRules::default()
        },
        rates: RateRules {
            window: settings.rates.window,
            min_sample: settings.rates.min_sample.into(),
            bounce_warn: settings.rates.bounce_warn,
            bounce_hold: settings.rates.bounce_hold,
            complaint_warn: settings.rates.complaint_warn,
            complaint_hold: settings.rates.complaint_hold,
            receipt_within: settings.rates.receipt_within,
            receipt_window: settings.rates.receipt_window,
            receipt_min_sample: settings.rates.receipt_min_sample.into(),
            receipt_missing: settings.rates.receipt_missing,
        },
        webhooks: WebhookRules {
            retry: settings.webhooks.retry.clone(),
            give_up: settings.webhooks.give_up,
            disable_after: settings.webhooks.disable_after,
            at_once: usize::try_from(settings.webhooks.at_once).unwrap_or(usize::MAX),
            max_endpoints: usize::try_from(settings.webhooks.max_endpoints).unwrap_or(usize::MAX),
        },
        expiry: Expiry {
            otp: settings.expiry.otp,
            transactional: settings.expiry.transactional,
            bulk: settings.expiry.bulk,
        },
        development: settings.environment == Environment::Development,
        allow_recipients: settings.allow_recipients.entries().collect(),
        sms_countries: settings.sms_countries.clone(),
    }
}

fn senders(rules: &[SenderRule]) -> Vec<String> {
    let shown = rules.iter().map(|rule| match rule {
        SenderRule::Domain(domain) => domain.clone(),
        SenderRule::Address(address) => address.expose().to_owned(),
    });
    shown.collect()
}

fn text(endpoint: &Endpoint) -> String {
    endpoint.as_str().to_owned()
}

fn unusable(provider: ProviderKind, setting: &'static str, fault: &'static str) -> Error {
    Error::Provider(ums_providers::Error::Setting { provider, setting, fault })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ums_config::{Layered, LoadOptions};
    use ums_delivery::Rules;

    use super::rules;

    #[test]
    fn settings_that_nobody_touched_are_the_engines_own_defaults() {
        let settings = ums_config::load(&Layered::new(), &LoadOptions::service()).unwrap();
        assert_eq!(format!("{:#?}", rules(&settings)), format!("{:#?}", Rules::default()));
    }

    #[test]
    fn what_a_file_says_of_the_queue_reaches_the_engine() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[retry]\nschedule = [\"7s\"]\nbudget_percent = 11\nbudget_floor_per_minute = 12\nfeedback_wait_otp = \"1s\"\n\
                    feedback_wait_transactional = \"2s\"\nfeedback_wait_bulk = \"3s\"\n[retention]\nbodies_days = 4\nmessages_days = 5\n\
                    [limits]\nbacklog_messages = 6\n[postgres]\nlease = \"20s\"\n";
        std::fs::write(file.path(), text).unwrap();
        let options = LoadOptions {
            config_file: Some(file.path().to_owned()),
            ..LoadOptions::service()
        };
        let settings = ums_config::load(&Layered::new(), &options).unwrap();
        let rules = rules(&settings);
        let seconds = Duration::from_secs;
        assert_eq!(rules.retry.waits, [seconds(7)]);
        assert_eq!((rules.retry_budget.percent, rules.retry_budget.floor_per_minute), (11, 12));
        let wait = rules.feedback_wait;
        assert_eq!((wait.otp, wait.transactional, wait.bulk), (seconds(1), seconds(2), seconds(3)));
        let days = |days: u64| Duration::from_hours(24 * days);
        assert_eq!((rules.retention.bodies, rules.retention.messages), (days(4), days(5)));
        assert_eq!(rules.max_backlog, 6);
        assert_eq!(rules.chores.renew, seconds(5), "a quarter of the lease");
    }
}
