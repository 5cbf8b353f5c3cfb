//! `ums classify`: what a provider's answer means. Nothing is sent, no network.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use ums_core::{Clock as _, FailureClass, ProviderKind, SystemClock};

use crate::exit::{Exit, usage};
use crate::input::{Files, header, word};
use crate::output;

/// Longest answer that is read, in bytes; what providers send is a thousandth of it.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// The steps of an SMTP dialogue.
const STAGES: [&str; 7] = ["connect", "ehlo", "auth", "mail", "rcpt", "data", "dot"];

/// Arguments of `ums classify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The answer's body is read from standard input. The class is null when the provider accepted the message.

Examples:
  ums classify --provider aws_ses --status 400 --header 'x-amzn-errortype: MessageRejected' < body.json
  echo '{\"code\": 21610, \"message\": \"blocked\", \"status\": 400}' | ums classify --provider twilio --status 400
  echo '550 5.7.1 refused' | ums classify --provider smtp --status 550 --stage rcpt
  ums classify --provider sendgrid --status 429 --header 'Retry-After: 30' < /dev/null"
)]
pub(crate) struct Args {
    /// Whose answer it is
    #[arg(long, value_parser = word::<ProviderKind>(ProviderKind::WORDS))]
    provider: ProviderKind,
    /// HTTP status, or the SMTP reply's code
    #[arg(long, value_name = "CODE")]
    status: u16,
    /// Header of the answer; may be repeated
    #[arg(long, value_parser = header, value_name = "'NAME: VALUE'")]
    header: Vec<(String, String)>,
    /// Step of the SMTP dialogue that the reply answers
    #[arg(long, value_parser = STAGES)]
    stage: Option<String>,
}

/// What the answer means.
#[derive(Debug, Serialize)]
struct Meaning {
    class: Option<FailureClass>,
    code: Option<String>,
    retry_after_seconds: Option<f64>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit> {
    if args.stage.is_some() && args.provider != ProviderKind::Smtp {
        return Err(usage("--stage goes with --provider smtp only"));
    }
    let body = Files::default().bytes(Path::new("-"), MAX_BODY_BYTES)?;
    let now = SystemClock::new().now();
    let failure = ums_providers::classify(args.provider, args.status, &args.header, args.stage.as_deref(), &body, now);
    output::json(&match failure {
        None => Meaning {
            class: None,
            code: None,
            retry_after_seconds: None,
        },
        Some(failure) => Meaning {
            class: Some(failure.class),
            code: Some(failure.code),
            retry_after_seconds: failure.retry_after.map(|delay| delay.as_secs_f64()),
        },
    })?;
    Ok(Exit::Done)
}
