//! `ums messages cancel`, `resend` and `mark`: what is done to one message.

use anyhow::Result;
use ums_core::{MessageId, SendResult, Status};
use unified_messaging::Mark;

use super::found;
use crate::exit::Exit;
use crate::output;
use crate::service::{Act, Acts, Remote};

/// Arguments of `ums messages cancel`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A message that may have been accepted by a provider already ends as unknown, not as cancelled (exit code 1).
One that is being handed over at this moment cannot be stopped.

Examples:
  ums messages cancel 0199f3a0-0000-7000-8000-000000000000
  ums messages cancel 0199f3a0-0000-7000-8000-000000000000 --server http://127.0.0.1:8080 --json"
)]
pub(crate) struct Cancel {
    #[command(flatten)]
    one: Target,
}

/// Arguments of `ums messages resend`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The message is queued; the process that sends from the store takes it up, a running `ums serve` at once.
If an attempt of it may have been accepted, it may arrive twice: look at it first with `ums messages explain`.

Examples:
  ums messages resend 0199f3a0-0000-7000-8000-000000000000
  ums messages resend 0199f3a0-0000-7000-8000-000000000000 --json"
)]
pub(crate) struct Resend {
    #[command(flatten)]
    one: Target,
}

/// Arguments of `ums messages mark`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For messages that `ums messages list --status unknown` shows, once the provider's own log has told you.

Examples:
  ums messages mark 0199f3a0-0000-7000-8000-000000000000 sent
  ums messages mark 0199f3a0-0000-7000-8000-000000000000 failed --json"
)]
pub(crate) struct MarkAs {
    #[command(flatten)]
    one: Target,
    /// What became of it
    #[arg(value_enum, value_name = "sent|delivered|failed", hide_possible_values = true)]
    outcome: Outcome,
}

/// What an operator found out.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Outcome {
    /// A provider took it
    Sent,
    /// The recipient has it
    Delivered,
    /// Nobody took it
    Failed,
}

/// The message that something is done to.
#[derive(Debug, clap::Args)]
struct Target {
    /// The message's id, as the send gave it
    #[arg(value_name = "ID")]
    id: MessageId,
    #[command(flatten)]
    remote: Remote,
    /// Print the message as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `ums messages cancel`.
pub(super) async fn cancel(args: Cancel) -> Result<Exit> {
    let result = done(&args.one, Act::Cancel).await?;
    let note = if result.status == Status::Cancelled {
        "It will not be sent."
    } else {
        "It is not sent again; but an attempt before may have been accepted."
    };
    tell(&args.one, &result, note)?;
    Ok(if result.status == Status::Cancelled {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Runs `ums messages resend`.
pub(super) async fn resend(args: Resend) -> Result<Exit> {
    let result = done(&args.one, Act::Resend).await?;
    tell(
        &args.one,
        &result,
        "The process that sends from this store takes it up; `ums messages show` tells what becomes of it.",
    )?;
    Ok(Exit::Done)
}

/// Runs `ums messages mark`.
pub(super) async fn mark(args: MarkAs) -> Result<Exit> {
    let mark = match args.outcome {
        Outcome::Sent => Mark::Sent,
        Outcome::Delivered => Mark::Delivered,
        Outcome::Failed => Mark::Failed,
    };
    let result = done(&args.one, Act::Mark(mark)).await?;
    tell(&args.one, &result, "Its story says that it was marked.")?;
    Ok(Exit::Done)
}

async fn done(target: &Target, act: Act) -> Result<SendResult> {
    let acts = Acts::open(&target.remote).await?;
    let done = acts.one(act, target.id).await;
    acts.close().await;
    found(done?, target.id)
}

fn tell(target: &Target, result: &SendResult, note: &str) -> Result<()> {
    output::either(target.json, result, || {
        format!(
            "Message {}: {}\n  {note}\n  more      ums messages explain {}",
            result.message_id, result.status, result.message_id
        )
    })
}
