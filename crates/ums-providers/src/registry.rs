//! The one list of providers: from settings to chains, and from a provider's name to what its answers mean.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use ums_core::{Clock, Email, Failure, Provider, ProviderKind, Sms, Timestamp};

use crate::Error;
use crate::classify::Sent;
use crate::http::{Answer, Transport};
use crate::send::smtp::{Smtp, SmtpSettings};
use crate::send::{
    Console, ConsoleSettings, SendGrid, SendGridSettings, Ses, SesSettings, Sns, SnsSettings, Twilio, TwilioSettings, sendgrid, ses, smtp,
    sns, twilio,
};

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

/// What an answer of a provider means; nothing if it accepted the message.
///
/// `stage` is the step of an SMTP dialogue (`connect ehlo auth mail rcpt data dot`) and is ignored
/// for the others; for SMTP the body is the reply's text and headers are ignored.
pub fn classify(
    kind: ProviderKind,
    status: u16,
    headers: &[(String, String)],
    stage: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Option<Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim())) {
            map.append(name, value);
        }
    }
    let answer = Answer {
        status,
        headers: &map,
        body,
        now,
    };
    match kind {
        ProviderKind::AwsSes => ses::outcome(&answer, None).err(),
        ProviderKind::SendGrid => sendgrid::outcome(&answer, Sent::UNKNOWN).err(),
        ProviderKind::AwsSns => sns::outcome(&answer, Sent::UNKNOWN).err(),
        ProviderKind::Twilio => twilio::outcome(&answer, Sent::UNKNOWN).err(),
        ProviderKind::Smtp => smtp::classify_answer(stage, status, body),
        ProviderKind::Console => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ums_core::FailureClass;

    use super::*;
    use crate::classify::words::{ACCOUNT_WORDS, SENDER_WORDS};
    use crate::failure_table::Table;
    use crate::unknown_codes;

    const TABLES: [Table; 7] = [
        ses::FAILURES,
        sendgrid::FAILURES,
        sns::FAILURES,
        twilio::FAILURES,
        crate::aws::FAILURES,
        ACCOUNT_WORDS,
        SENDER_WORDS,
    ];

    #[test]
    fn rows_are_grouped_by_code_and_have_one_meaning_each() {
        for table in TABLES {
            let mut keys = BTreeSet::new();
            for row in table {
                assert!(keys.insert((row.code, row.words)), "{} {}", row.code, row.words);
                assert_eq!(row.words, row.words.to_lowercase());
                assert!(!row.why.is_empty() && !row.source.is_empty(), "{} {}", row.code, row.words);
                assert!(!row.code.ends_with("Exception"), "{}: tables do without", row.code);
            }
            assert!(table.is_sorted_by_key(|row| row.code), "the codes are sorted");
        }
    }

    #[test]
    fn unknown_codes_are_counted() {
        let before = unknown_codes();
        let failure = classify(ProviderKind::Twilio, 400, &[], None, br#"{"code": 99999}"#, Timestamp::default()).unwrap();
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Unsupported, "99999"));
        assert!(unknown_codes() > before);
    }
}
