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
    let Some(key) = settings.sendgrid.as_ref().and_then(|own| own.webhook_public_key.clone()) else {
        return Ok(None);
    };
    let own = SendGridHookSettings {
        account: AccountId::default(),
        public_keys: vec![key],
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
