//! `ums messages`: what was sent, to whom it went, why it took the way it took, and what an operator does about it.

mod acts;
mod list;
mod replay;

use anyhow::{Result, bail};
use ums_core::{MessageId, SendResult};
use ums_story::{Explanation, MessageStory};

use crate::exit::Exit;
use crate::output;
use crate::service::{Look, Remote};

/// What to do with messages.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List messages, newest first
    List(list::Args),
    /// Show one message as callers see it, which recipients are still open, and its whole story: attempts, reports, when
    Show(One),
    /// Tell each provider that was considered: skipped or tried, what its answer meant, what followed
    Explain(One),
    /// Stop a message that is not sent yet
    Cancel(acts::Cancel),
    /// Send a message again that failed, expired, or may have been accepted
    Resend(acts::Resend),
    /// Say what became of a message whose outcome is unknown
    Mark(acts::MarkAs),
    /// Send failed messages again, after an outage: previews, asks, then sends at a pace
    Replay(replay::Args),
}

/// One message.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums messages show 0199f3a0-0000-7000-8000-000000000000
  ums messages explain 0199f3a0-0000-7000-8000-000000000000 --json
  ums messages show 0199f3a0-0000-7000-8000-000000000000 --server http://127.0.0.1:8080")]
pub(crate) struct One {
    /// The message's id, as the send gave it
    #[arg(value_name = "ID")]
    id: MessageId,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::List(args) => list::run(args).await,
        Command::Cancel(args) => acts::cancel(args).await,
        Command::Resend(args) => acts::resend(args).await,
        Command::Mark(args) => acts::mark(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Show(one) => {
            let message = found(Look::open(&one.remote).await?.message(one.id).await?, one.id)?;
            output::either(one.json, &message, || for_people(&message))?;
            Ok(Exit::Done)
        }
        Command::Explain(one) => {
            let story = match Look::open(&one.remote).await? {
                Look::Archive(archive) => archive.record(one.id).await?.map(|record| Explanation::of(&record, &[])),
                Look::Remote(client) => client.explanation(one.id).await?,
            };
            let story = found(story, one.id)?;
            output::either(one.json, &story, || story.for_people())?;
            Ok(Exit::Done)
        }
    }
}

fn found<T>(message: Option<T>, id: MessageId) -> Result<T> {
    match message {
        Some(message) => Ok(message),
        None => bail!("there is no message {id} here; `ums messages list` shows the latest, UMS_DATABASE_URL names the store"),
    }
}

fn for_people(message: &MessageStory) -> String {
    format!("{}\n\n{}", table(&message.result), message.steps_for_people())
}

fn table(result: &SendResult) -> String {
    let mut table = output::table(&["field", "value"]);
    let time = |at: Option<ums_core::Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let mut rows = vec![
        ("message", result.message_id.to_string()),
        ("channel", result.channel.to_string()),
        ("status", result.status.to_string()),
        ("sent at", time(result.sent_at)),
        ("delivered at", time(result.delivered_at)),
        ("simulated", result.simulated.to_string()),
        ("possibly duplicate", result.possibly_duplicate.to_string()),
        ("open recipients", result.open_recipients.to_string()),
    ];
    if let Some(error) = &result.error_message {
        rows.push(("error", error.clone()));
    }
    if let Some(cost) = &result.cost {
        rows.push(("cost", format!("{cost} {}", result.currency)));
    }
    rows.extend(result.recipients.iter().map(|recipient| {
        (
            "recipient",
            format!("{} {} {}", recipient.kind, recipient.address, recipient.status),
        )
    }));
    rows.extend(result.attempts.iter().map(|attempt| ("attempt", crate::words::attempt(attempt))));
    rows.extend(
        result
            .metadata
            .iter()
            .map(|(name, value)| ("metadata", format!("{name} = {value}"))),
    );
    for (name, value) in rows {
        table.add_row([name, &value]);
    }
    table.to_string()
}
