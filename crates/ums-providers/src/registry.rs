//! The one list of providers: from settings to chains.

use std::sync::Arc;

use ums_core::{Clock, Email, Provider, Sms};

use crate::Error;
use crate::http::Transport;
use crate::send::smtp::{Smtp, SmtpSettings};
use crate::send::{Console, ConsoleSettings, SendGrid, SendGridSettings, Ses, SesSettings, Sns, SnsSettings, Twilio, TwilioSettings};

/// The settings of one provider.
#[derive(Debug)]
pub enum ProviderSettings {
    /// Amazon SES.
    AwsSes(SesSettings),
    /// `SendGrid`.
    SendGrid(SendGridSettings),
    /// SMTP.
    Smtp(SmtpSettings),
    /// Amazon SNS.
    AwsSns(SnsSettings),
    /// Twilio.
    Twilio(TwilioSettings),
    /// The console; name it only where printing instead of sending is wanted.
    Console(ConsoleSettings),
}

/// The providers of each channel, in the order in which they were given.
#[derive(Debug, Default)]
pub struct Chains {
    /// E-mail.
    pub email: Vec<Arc<dyn Provider<Email>>>,
    /// Text messages.
    pub sms: Vec<Arc<dyn Provider<Sms>>>,
}

impl Chains {
    /// Sets the providers up. Nothing is opened, read or asked.
    ///
    /// # Errors
    /// The first provider's [`Error`] that there is.
    pub fn build(
        settings: impl IntoIterator<Item = ProviderSettings>,
        transport: &Arc<Transport>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let mut chains = Self::default();
        for provider in settings {
            match provider {
                ProviderSettings::AwsSes(settings) => chains.email.push(Arc::new(Ses::new(settings, transport)?)),
                ProviderSettings::SendGrid(settings) => chains.email.push(Arc::new(SendGrid::new(settings, transport)?)),
                ProviderSettings::Smtp(settings) => chains.email.push(Arc::new(Smtp::new(settings, Arc::clone(clock))?)),
                ProviderSettings::AwsSns(settings) => chains.sms.push(Arc::new(Sns::new(settings, transport)?)),
                ProviderSettings::Twilio(settings) => chains.sms.push(Arc::new(Twilio::new(settings, transport)?)),
                ProviderSettings::Console(settings) => chains.sms.push(Arc::new(Console::new(settings))),
            }
        }
        Ok(chains)
    }
}
