//! `ums send email` and `ums send sms`: one message, through this process or a running service.

mod email;
mod sms;

use anyhow::Result;
use ums_core::request::{HandlingRequest, MAX_EXPIRES_IN_SECONDS};
use ums_core::{Duplicates, Metadata, OnExhausted, Purpose, SendResult, Timestamp};

use crate::exit::Exit;
use crate::input::{pair, time, word};
use crate::service::{self, Remote, Request};
use crate::{output, progress};

/// What is shown while a provider makes us wait.
const WAITING: &str = "waiting for the outcome; Ctrl-C does not stop a message that was handed over";

/// What is sent.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Send an e-mail
    Email(Box<email::Args>),
    /// Send a text message
    Sms(Box<sms::Args>),
}

/// Options of both channels.
#[derive(Debug, clap::Args)]
struct Common {
    /// Its lane: a code, a receipt or notice (default), or mail to many
    #[arg(long, value_parser = word::<Purpose>(Purpose::WORDS))]
    purpose: Option<Purpose>,
    /// The mailing list of a bulk message, which its recipients may leave alone
    #[arg(long, value_name = "NAME")]
    list: Option<String>,
    /// Whether it may be handed over again when nobody knows if it was accepted
    #[arg(long, value_parser = word::<Duplicates>(Duplicates::WORDS), help_heading = "Handling")]
    duplicates: Option<Duplicates>,
    /// What follows when no provider takes it
    #[arg(long, value_parser = word::<OnExhausted>(OnExhausted::WORDS), help_heading = "Handling")]
    on_exhausted: Option<OnExhausted>,
    /// Not before this time: RFC 3339 with an offset
    #[arg(long, value_parser = time, value_name = "TIME", help_heading = "Handling")]
    send_at: Option<Timestamp>,
    /// Seconds after which it is given up
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MAX_EXPIRES_IN_SECONDS), value_name = "SECONDS", help_heading = "Handling")]
    expires_in: Option<u64>,
    /// Your own data, kept with the message; may be repeated
    #[arg(long, value_parser = pair, value_name = "NAME=VALUE")]
    metadata: Vec<(String, String)>,
    #[command(flatten)]
    remote: Remote,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Common {
    fn handling(&self, via: Option<ums_core::ProviderKind>) -> HandlingRequest {
        HandlingRequest {
            purpose: self.purpose,
            duplicates: self.duplicates,
            on_exhausted: self.on_exhausted,
            send_at: self.send_at,
            expires_in_seconds: self.expires_in,
            via,
            list: self.list.clone(),
        }
    }

    fn metadata(&self) -> Metadata {
        self.metadata
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect()
    }
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> Result<Exit> {
    let (common, request) = match command {
        Command::Email(args) => {
            let (request, common) = email::request(*args)?;
            (common, Request::Email(Box::new(request)))
        }
        Command::Sms(args) => {
            let (request, common) = sms::request(*args)?;
            (common, Request::Sms(Box::new(request)))
        }
    };
    let sending = Box::pin(service::send(&common.remote, request));
    let result = progress::shown(WAITING, sending).await?;
    output::either(common.json, &result, || for_people(&result))?;
    Ok(Exit::of(&result))
}

/// The result in a few lines.
fn for_people(result: &SendResult) -> String {
    let mut lines = vec![headline(result)];
    lines.push(format!("  message   {}", result.message_id));
    for recipient in &result.recipients {
        let why = recipient.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("  {:<9} {} {}{why}", recipient.kind, recipient.address, recipient.status));
    }
    for attempt in &result.attempts {
        lines.push(format!("  attempt   {}", crate::words::attempt(attempt)));
    }
    if result.possibly_duplicate {
        lines.push("  note      it may arrive twice: an attempt with an unknown outcome came before".to_owned());
    }
    lines.push(format!("  more      ums messages explain {}", result.message_id));
    lines.join("\n")
}

fn headline(result: &SendResult) -> String {
    // A message that is queued or failed was not queued by the provider that took it for some of its recipients.
    let carrier = result.provider().filter(|_| result.status.is_success());
    let by = carrier.map(|provider| format!(" by {provider}")).unwrap_or_default();
    let simulated = if result.simulated { " (simulated: it reached nobody)" } else { "" };
    let why = result.error_message.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("{}{by}{simulated}{why}", result.status)
}
