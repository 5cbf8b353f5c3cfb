//! `ums messages list`: the latest messages, filtered.

use anyhow::Result;
use ums_core::{Channel, EmailAddress, MessageFilter, MessageId, PhoneNumber, ProviderKind, Purpose, Status, Timestamp};

use crate::exit::{Exit, usage};
use crate::input::{time, word};
use crate::output;
use crate::service::{Listing, Look, Remote};

/// Arguments of `ums messages list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums messages list
  ums messages list --to customer@example.com --since 2026-11-01T00:00:00Z
  ums messages list --status unknown
  ums messages list --status failed --provider aws_ses --json")]
pub(crate) struct Args {
    /// Full address or number of any recipient
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Where they stand
    #[arg(long, value_parser = word::<Status>(Status::WORDS))]
    status: Option<Status>,
    /// Channel
    #[arg(long, value_parser = word::<Channel>(Channel::WORDS))]
    channel: Option<Channel>,
    /// Provider of any attempt
    #[arg(long, value_parser = word::<ProviderKind>(ProviderKind::WORDS))]
    provider: Option<ProviderKind>,
    /// Lane
    #[arg(long, value_parser = word::<Purpose>(Purpose::WORDS))]
    purpose: Option<Purpose>,
    /// Accepted at or after: RFC 3339 with an offset
    #[arg(long, value_parser = time, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Accepted before: RFC 3339 with an offset
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Most messages to list
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200), value_name = "COUNT")]
    limit: u16,
    /// Go on after this message: the `next_cursor` of the list before
    #[arg(long, value_name = "ID")]
    cursor: Option<MessageId>,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit> {
    let filter = MessageFilter {
        to: args.to.map(|to| recipient(&to)).transpose()?,
        status: args.status,
        channel: args.channel,
        provider: args.provider,
        purpose: args.purpose,
        since: args.since,
        until: args.until,
    };
    let listing = Look::open(&args.remote)
        .await?
        .messages(&filter, args.cursor, args.limit.into())
        .await?;
    output::either(args.json, &listing, || table(&listing))?;
    Ok(Exit::Done)
}

/// A recipient in the form in which the store keeps it.
pub(super) fn recipient(text: &str) -> Result<String> {
    if text.contains('@') {
        let address = EmailAddress::parse(text.trim()).map_err(|fault| usage(format!("--to {fault}")))?;
        return Ok(address.expose().to_owned());
    }
    let number = PhoneNumber::parse(text, crate::settings::default_region()?).map_err(|fault| usage(format!("--to {fault}")))?;
    Ok(number.expose().to_owned())
}

fn table(listing: &Listing) -> String {
    if listing.data.is_empty() {
        return "No messages.".to_owned();
    }
    let mut table = output::table(&["message", "channel", "status", "to", "provider", "attempts", "sent at", "error"]);
    for result in &listing.data {
        table.add_row([
            result.message_id.to_string(),
            result.channel.to_string(),
            result.status.to_string(),
            result.recipient_id.clone(),
            result.provider().map_or_else(|| "-".to_owned(), |provider| provider.to_string()),
            result.attempts.len().to_string(),
            result.sent_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            result.error_message.clone().unwrap_or_default(),
        ]);
    }
    match &listing.next_cursor {
        Some(cursor) => format!("{table}\nMore: --cursor {cursor}"),
        None => table.to_string(),
    }
}
