//! The options of `ums send sms`, and the request that they make.

use std::path::PathBuf;

use anyhow::Result;
use ums_core::request::MAX_SMS_CHARACTERS;
use ums_core::{ProviderKind, SendSms};

use super::Common;
use crate::input::{Files, word};

/// The providers of text messages.
const PROVIDERS: &[&str] = &[
    ProviderKind::AwsSns.as_str(),
    ProviderKind::Twilio.as_str(),
    ProviderKind::Console.as_str(),
];

/// Arguments of `ums send sms`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 sent, 1 failed, 2 wrong usage or configuration, 3 held (will be tried again).

Examples:
  ums send sms --to +14165550123 --body 'Your table is ready'
  ums send sms --to +14165550123 --body-file - --purpose otp --json < code.txt
  ums send sms --to +14165550123 --body Test --via twilio"
)]
pub(crate) struct Args {
    /// Recipient's number: +E.164, or a national number of `UMS_DEFAULT_REGION`
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// The text; - reads standard input
    #[arg(long, value_name = "TEXT", required_unless_present = "body_file", conflicts_with = "body_file")]
    body: Option<String>,
    /// File with the text; - reads standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Sender: number, short code or letters; each provider's own when there is none
    #[arg(long, value_name = "SENDER")]
    from: Option<String>,
    /// Only this provider, no failover
    #[arg(long, value_parser = word::<ProviderKind>(PROVIDERS), value_name = "PROVIDER")]
    via: Option<ProviderKind>,
    #[command(flatten)]
    common: Common,
}

/// Makes the request; the files are read, nothing is sent.
pub(super) fn request(args: Args) -> Result<(SendSms, Common)> {
    let request = SendSms {
        to: args.to,
        // Four bytes are the longest character.
        message_body: Files::default()
            .given(args.body, args.body_file, 4 * MAX_SMS_CHARACTERS)?
            .unwrap_or_default(),
        from_number: args.from,
        metadata: args.common.metadata(),
        handling: args.common.handling(args.via),
        ..SendSms::default()
    };
    Ok((request, args.common))
}
