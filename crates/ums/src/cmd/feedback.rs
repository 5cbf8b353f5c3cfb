//! `ums feedback`: what providers report afterwards, read by hand and handed in by hand.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use ums_core::{Clock as _, Event, ProviderKind, Secret, SystemClock, Timestamp};
use ums_providers::feedback::check::{CheckRequest, CheckedEvent, SignatureVerdict, check};
use ums_providers::feedback::smtp;

use crate::aftermath::open_here;
use crate::exit::Exit;
use crate::input::{Beginning, Files, beginning, header, time, word};
use crate::output;

/// Longest payload that is read: providers' batches have less than a tenth of it.
const MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;
/// How much of a bounce message is read, in bytes. The report stands before the message that came back.
const DSN_BYTES: usize = 1024 * 1024;
/// How much more of it is taken and dropped, in bytes: a mail server may count a pipe that is closed before its end as a failure.
const MAX_DROPPED_BYTES: u64 = 128 * 1024 * 1024;
/// Longest certificate that is read.
const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// What to do with feedback.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show what a payload's signature and events read as; nothing is kept, nothing is fetched
    Check(Check),
    /// Take a bounce message from standard input: for the pipe of a bounce mailbox
    Dsn(Dsn),
}

/// Arguments of `ums feedback check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The body is read from standard input. signature is none when the payload carries none, or nothing was given to check it with.
Events are shown even when the signature is invalid; the service would not believe them. Exit code 1 when it is invalid.

Examples:
  ums feedback check --provider aws_ses --cert sns.pem --at 2026-11-22T10:00:00Z < notification.json
  ums feedback check --provider sendgrid --key \"$SENDGRID_WEBHOOK_PUBLIC_KEY\" \\
    --header 'X-Twilio-Email-Event-Webhook-Timestamp: 1795341600' \\
    --header 'X-Twilio-Email-Event-Webhook-Signature: MEUC…' < events.json
  ums feedback check --provider twilio --key \"$TWILIO_AUTH_TOKEN\" --url https://example.com/hooks/twilio \\
    --header 'X-Twilio-Signature: 0/KCTR…' < form.txt
  ums feedback check --provider smtp < bounce.eml"
)]
pub(crate) struct Check {
    /// Whose payload it is
    #[arg(long, value_parser = word::<ProviderKind>(ProviderKind::WORDS))]
    provider: ProviderKind,
    /// SendGrid's public key or Twilio's auth token
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Amazon's signing certificate
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The URL that Twilio posted to, as it was given to Twilio
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// What the clock said: RFC 3339 with an offset; now without it
    #[arg(long, value_parser = time, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Header of the request; may be repeated
    #[arg(long, value_parser = header, value_name = "'NAME: VALUE'")]
    header: Vec<(String, String)>,
}

/// Arguments of `ums feedback dsn`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Delivery status notifications (RFC 3464), complaint reports (RFC 5965) and automatic replies are told apart. Mail that cannot be read as one of
them is left alone, with a word on standard error and exit code 0, so that a mail server does not bounce it again. The first MiB of a mail is read.
Exit code 75 (try again later) when the settings, the store or standard input cannot be used: Postfix, Exim and Sendmail keep the mail then.

Examples:
  ums feedback dsn < bounce.eml
  ums feedback dsn --dry-run < bounce.eml
  # /etc/postfix/master.cf:  bounces unix - n n - - pipe user=ums argv=/usr/local/bin/ums feedback dsn"
)]
pub(crate) struct Dsn {
    /// Only show what was read
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of a bounce message.
#[derive(Debug, Serialize)]
struct Handed {
    /// Reports that it holds.
    events: usize,
    /// Those that were applied to a message.
    applied: u64,
    /// Those that were known.
    known: u64,
    /// Those that wait for their message.
    parked: u64,
}

/// Runs `ums feedback check`.
pub(crate) fn run_check(args: Check) -> Result<Exit> {
    let mut files = Files::default();
    let certificate = args.cert.map(|path| files.bytes(&path, MAX_CERTIFICATE_BYTES)).transpose()?;
    let checked = check(CheckRequest {
        provider: args.provider,
        key: args.key.map(Secret::new),
        certificate,
        url: args.url,
        at: args.at.unwrap_or_else(|| SystemClock::new().now()),
        headers: args.header,
        body: files.bytes(Path::new("-"), MAX_PAYLOAD_BYTES)?,
    });
    output::json(&checked)?;
    Ok(match checked.signature {
        SignatureVerdict::Invalid => Exit::Failed,
        SignatureVerdict::Valid | SignatureVerdict::None => Exit::Done,
    })
}

/// How a command in a mail server's pipe ends: the server bounces the mail for any exit code but 0 and 75, and a bounce must not bounce.
pub(crate) fn for_mail_server(ended: Result<Exit>) -> Exit {
    ended.unwrap_or_else(|error| {
        output::error(&error);
        Exit::TryLater
    })
}

/// Runs `ums feedback dsn`.
pub(crate) async fn run_dsn(args: Dsn) -> Result<Exit> {
    let Beginning { bytes, is_cut } = beginning(std::io::stdin().lock(), DSN_BYTES, MAX_DROPPED_BYTES).context("reading the mail")?;
    let now = SystemClock::new().now();
    let events = match smtp::read(&bytes, now) {
        Ok(events) => events,
        Err(unread) => {
            let place = if is_cut { " (in its first MiB; the rest was not read)" } else { "" };
            output::note(&format!("this mail is left alone: {unread}{place}"));
            return Ok(Exit::Done);
        }
    };
    if args.dry_run {
        let shown: Vec<CheckedEvent> = events.into_iter().map(CheckedEvent::from).collect();
        output::json(&serde_json::json!({ "events": shown }))?;
        return Ok(Exit::Done);
    }
    let handed = hand_in(&events).await?;
    output::either(args.json, &handed, || {
        format!(
            "{} reports: {} applied, {} known, {} wait for their message.",
            handed.events, handed.applied, handed.known, handed.parked
        )
    })?;
    Ok(Exit::Done)
}

async fn hand_in(events: &[Event]) -> Result<Handed> {
    let service = open_here().await?;
    let taken = service.take_feedback(events.to_vec()).await;
    service.shutdown().await;
    let tally = taken.context("the store did not take it")?;
    Ok(Handed {
        events: events.len(),
        applied: tally.applied,
        known: tally.known,
        parked: tally.parked,
    })
}
