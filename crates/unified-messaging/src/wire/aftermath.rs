//! What comes after a message is sent: who may report, who is asked, who posts to the user's application.

use std::sync::Arc;

use ums_config::Settings;
use ums_core::{AccountId, Clock, FeedbackSource, Hook, ProviderKind};
use ums_delivery::Aftermath;
use ums_providers::feedback::aws::{AwsHook, AwsHookSettings, CertificateSource, HttpCertificates, SmsLogs, SmsLogsSettings};
use ums_providers::feedback::sendgrid::{SendGridHook, SendGridHookSettings};
use ums_providers::feedback::twilio::{TwilioHook, TwilioHookSettings, TwilioList, TwilioListSettings};
use ums_providers::webhook::WebhookPoster;

use super::{credentials, text, transport};
use crate::Error;

/// Reads what providers post, each where its settings are there.
#[derive(Clone, Debug, Default)]
pub struct ProviderHooks {
    /// Amazon's notifications, for the topics of `UMS_AWS_TOPIC_ARNS`.
    pub aws: Option<Arc<dyn Hook>>,
    /// SendGrid's signed event webhook, with `SENDGRID_WEBHOOK_PUBLIC_KEY`.
    pub sendgrid: Option<Arc<dyn Hook>>,
    /// Twilio's callbacks, with `UMS_PUBLIC_URL`.
    pub twilio: Option<Arc<dyn Hook>>,
}

impl ProviderHooks {
    /// Sets up the readers that the settings allow. Certificates of Amazon's are fetched from Amazon unless another source is given.
    ///
    /// # Errors
    /// [`Error::Provider`] and [`Error::Config`] with what cannot be used.
    pub fn build(settings: &Settings, clock: &Arc<dyn Clock>, certificates: Option<Arc<dyn CertificateSource>>) -> Result<Self, Error> {
        Ok(Self {
            aws: aws(settings, clock, certificates)?,
            sendgrid: sendgrid(settings)?,
            twilio: twilio(settings)?,
        })
    }
}

fn aws(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    certificates: Option<Arc<dyn CertificateSource>>,
) -> Result<Option<Arc<dyn Hook>>, Error> {
    if settings.aws.topic_arns.is_empty() {
        return Ok(None);
    }
    let transport = transport(settings, ProviderKind::AwsSns, clock)?;
    let certificates = certificates.unwrap_or_else(|| Arc::new(HttpCertificates::new(Arc::clone(&transport))));
    let own = AwsHookSettings {
        account: AccountId::default(),
        topics: settings.aws.topic_arns.clone(),
        confirm_subscriptions: settings.feedback.confirm_subscriptions,
        replay_window: settings.feedback.sns_max_age,
    };
    Ok(Some(Arc::new(AwsHook::new(own, certificates, transport)?)))
}

fn sendgrid(settings: &Settings) -> Result<Option<Arc<dyn Hook>>, Error> {
    let Some(own) = settings.sendgrid.as_ref().filter(|own| !own.webhook_public_keys.is_empty()) else {
        return Ok(None);
    };
    let own = SendGridHookSettings {
        account: AccountId::default(),
        public_keys: own.webhook_public_keys.clone(),
        window: settings.feedback.sendgrid_max_age,
    };
    Ok(Some(Arc::new(SendGridHook::new(own)?)))
}

fn twilio(settings: &Settings) -> Result<Option<Arc<dyn Hook>>, Error> {
    let (Some(own), Some(public_url)) = (&settings.twilio, &settings.public_url) else {
        return Ok(None);
    };
    let own = TwilioHookSettings {
        account: AccountId::default(),
        account_sid: own.account_sid.clone(),
        auth_tokens: vec![own.auth_token.clone()],
        public_url: text(public_url),
    };
    Ok(Some(Arc::new(TwilioHook::new(own)?)))
}

/// What the engine needs for what comes after.
pub(super) fn parts(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Aftermath, Error> {
    let mut sources: Vec<Arc<dyn FeedbackSource>> = Vec::new();
    if let (Some(every), Some(_)) = (settings.feedback.sns_logs_every, &settings.sns) {
        let own = SmsLogsSettings {
            account: AccountId::default(),
            region: settings.aws.region.clone(),
            base_url: settings.aws.endpoints.logs.as_ref().map(text),
            credentials: credentials(settings),
            every,
        };
        sources.push(Arc::new(SmsLogs::new(own, &transport(settings, ProviderKind::AwsSns, clock)?)?));
    }
    if let (Some(every), Some(own)) = (settings.feedback.twilio_list_every, &settings.twilio)
        && own.status_callback.is_none()
    {
        let own = TwilioListSettings {
            account_sid: own.account_sid.clone(),
            auth_token: own.auth_token.clone(),
            base_url: Some(text(&own.api_url)),
            every,
            ..TwilioListSettings::default()
        };
        sources.push(Arc::new(TwilioList::new(own, &transport(settings, ProviderKind::Twilio, clock)?)?));
    }
    let own = &settings.webhooks;
    let poster = ums_providers::webhook::WebhookSettings {
        allow_http: own.allow_http,
        allow_private: own.allow_private.iter().map(|network| (network.address, network.prefix)).collect(),
        timeout: own.timeout,
        ..ums_providers::webhook::WebhookSettings::default()
    };
    Ok(Aftermath {
        sources,
        webhooks: Some(Arc::new(WebhookPoster::new(poster, Arc::clone(clock)))),
        keys: settings.secret_keys.clone(),
        public_url: settings.public_url.as_ref().map(text),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ums_config::{Layered, LoadOptions, MapSource, Origin};
    use ums_core::SystemClock;

    use super::*;

    fn settings(file: &str, pairs: &[(&str, &str)]) -> Settings {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        let options = LoadOptions {
            config_file: Some(path.path().to_owned()),
            ..LoadOptions::service()
        };
        let given: MapSource = pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        ums_config::load(&Layered::new().over(Origin::Caller, given), &options).unwrap()
    }

    fn clock() -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }

    const KEY: &str =
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
    const SENDGRID: [(&str, &str); 2] = [("SENDGRID_API_KEY", "SG.key"), ("SENDGRID_FROM_EMAIL", "shop@example.com")];
    const TWILIO: [(&str, &str); 3] = [
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000000"),
        ("TWILIO_AUTH_TOKEN", "token"),
        ("TWILIO_PHONE_NUMBER", "+15550100100"),
    ];

    #[test]
    fn a_hook_is_there_when_its_settings_are() {
        let there = |pairs: &[(&str, &str)]| {
            let hooks = ProviderHooks::build(&settings("", pairs), &clock(), None).unwrap();
            (hooks.aws.is_some(), hooks.sendgrid.is_some(), hooks.twilio.is_some())
        };
        assert_eq!(there(&[]), (false, false, false));
        assert_eq!(there(&[SENDGRID.as_slice(), TWILIO.as_slice()].concat()), (false, false, false));
        let topic = ("UMS_AWS_TOPIC_ARNS", "arn:aws:sns:us-east-1:000000000000:feedback");
        let keyed = [&SENDGRID[..], &[("SENDGRID_WEBHOOK_PUBLIC_KEY", KEY)]].concat();
        let public = [&TWILIO[..], &[("UMS_PUBLIC_URL", "https://messages.example.com")]].concat();
        assert_eq!(there(&[topic]), (true, false, false));
        assert_eq!(there(&keyed), (false, true, false));
        assert_eq!(there(&public), (false, false, true));
        let wrong = settings("", &[&SENDGRID[..], &[("SENDGRID_WEBHOOK_PUBLIC_KEY", "no-key")]].concat());
        assert!(ProviderHooks::build(&wrong, &clock(), None).is_err());
    }

    #[test]
    fn providers_are_asked_where_they_cannot_tell() {
        let names = |file: &str, pairs: &[(&str, &str)]| {
            let parts = parts(&settings(file, pairs), &clock()).unwrap();
            parts
                .sources
                .iter()
                .map(|source| (source.name().to_owned(), source.every()))
                .collect::<Vec<_>>()
        };
        let asked = names("", &TWILIO);
        assert_eq!(asked.iter().map(|(_, every)| *every).collect::<Vec<_>>(), [Duration::from_mins(1)]);
        assert_eq!(names("[feedback]\ntwilio_list_every = '0s'", &TWILIO), []);
        let public = [&TWILIO[..], &[("UMS_PUBLIC_URL", "https://messages.example.com")]].concat();
        assert_eq!(names("", &public), [], "it calls back");
        let sns = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        assert_eq!(names("", &sns), [], "reading logs needs leave of its own");
        assert_eq!(names("[feedback]\nsns_logs_every = '30s'", &sns).len(), 1);
    }
}
