//! The closed sets of words that a message carries: channel, provider, purpose, policies.

/// The error for a text that is no word of a closed set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", .allowed.join(", "))]
pub struct UnknownWord {
    /// The words of the set.
    pub allowed: &'static [&'static str],
}

/// Declares a closed set of words with one spelling for JSON, text and stores.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$item_doc])* #[serde(rename = $word)] $item,)+
        }

        impl $name {
            /// Every word of the set, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$item),+];
            /// The spellings of the set, in its order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word as it stands in JSON, in stores and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$item => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($word => Ok(Self::$item),)+ _ => Err($crate::UnknownWord { allowed: Self::WORDS }) }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// The kind of a message.
    Channel {
        /// E-mail.
        Email = "email",
        /// Text message.
        Sms = "sms",
    }
}

words! {
    /// The providers, in the default order of their chains.
    ProviderKind {
        /// Amazon Simple Email Service, v2 API.
        AwsSes = "aws_ses",
        /// SendGrid v3 mail/send.
        SendGrid = "sendgrid",
        /// Any SMTP server.
        Smtp = "smtp",
        /// Amazon Simple Notification Service, Publish to a phone number.
        AwsSns = "aws_sns",
        /// Twilio Messages.
        Twilio = "twilio",
        /// Prints messages to the console; development only.
        Console = "console",
    }
}

impl ProviderKind {
    /// The channel that the provider serves.
    pub const fn channel(self) -> Channel {
        match self {
            Self::AwsSes | Self::SendGrid | Self::Smtp => Channel::Email,
            Self::AwsSns | Self::Twilio | Self::Console => Channel::Sms,
        }
    }

    /// The class name that the guide's health report uses.
    pub const fn guide_name(self) -> &'static str {
        match self {
            Self::AwsSes => "AWSSESProvider",
            Self::SendGrid => "SendGridProvider",
            Self::Smtp => "SMTPProvider",
            Self::AwsSns => "AWSSNSProvider",
            Self::Twilio => "TwilioProvider",
            Self::Console => "ConsoleProvider",
        }
    }
}

words! {
    /// Why the message is sent; each purpose is a lane.
    Purpose {
        /// A one-time code: overtakes the other lanes, expires after minutes.
        Otp = "otp",
        /// A receipt or a confirmation that the recipient waits for.
        Transactional = "transactional",
        /// Mail to many: waits while the other lanes have work.
        Bulk = "bulk",
    }
}

words! {
    /// Whether a provider may be called again for a recipient after an unknown attempt.
    Duplicates {
        /// The message must get through; it may arrive twice.
        Allow = "allow",
        /// The message must not arrive twice; its outcome may stay unknown.
        Never = "never",
    }
}

impl Purpose {
    /// The duplicates policy of a message whose request names none.
    pub const fn default_duplicates(self) -> Duplicates {
        match self {
            Self::Otp | Self::Transactional => Duplicates::Allow,
            Self::Bulk => Duplicates::Never,
        }
    }
}

words! {
    /// What follows when no provider of the chain took the message.
    OnExhausted {
        /// The message is held and tried again until it expires.
        Hold = "hold",
        /// The message ends as failed.
        Fail = "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_through_text_and_json() {
        for kind in ProviderKind::ALL {
            assert_eq!(kind.as_str().parse::<ProviderKind>().unwrap(), *kind);
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{kind}\""));
        }
        let error = "fax".parse::<Channel>().unwrap_err();
        assert_eq!(error.to_string(), "must be one of email, sms");
    }
}
