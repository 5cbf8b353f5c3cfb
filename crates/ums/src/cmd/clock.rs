//! `ums clock`: which time the service goes by; an operator's word that the machine's clock is right.

use anyhow::Result;
use serde_json::json;
use ums_core::ClockView;
use unified_messaging::{Error, SwitchError};

use crate::aftermath::open_here;
use crate::exit::{Exit, usage};
use crate::output;
use crate::service::Remote;
use crate::settings::explained;

/// What to do with the clock.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the machine's clock, the database's, and the time that the service goes by
    Show(Show),
    /// Go by the machine's clock at once, however far it jumped
    Trust(Trust),
}

/// Arguments of `ums clock show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --server this process holds its own clock against the database; a running service may have seen more.

Exit code: 0 the service goes by the machine's clock, 1 it does not, or another clock contradicts it, 2 wrong usage or configuration.

Examples:
  ums clock show
  ums clock show --server http://127.0.0.1:8080 --json"
)]
pub(crate) struct Show {
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums clock trust`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Set the machine's clock right first: what is over by it may expire and be removed from then on. Every process on the store whose clock
says the same follows within seconds. It is logged with who gave the word.

Exit code: 0 the service goes by the machine's clock, 1 the store or service cannot be used, or another clock contradicts it, 2 wrong usage.

Examples:
  ums clock trust --by ann
  ums clock trust --by ann --server http://127.0.0.1:8080"
)]
pub(crate) struct Trust {
    /// Who decides
    #[arg(long, default_value = "cli", value_name = "NAME")]
    by: String,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Show(args) => Box::pin(show(args)).await,
        Command::Trust(args) => Box::pin(trust(args)).await,
    }
}

async fn show(args: Show) -> Result<Exit> {
    let view: ClockView = match args.remote.client().transpose()? {
        Some(client) => client.get("/v1/clock").await?,
        None => {
            let service = open_here().await?;
            let view = service.engine().clock();
            service.shutdown().await;
            view
        }
    };
    print(&view, args.json)
}

async fn trust(args: Trust) -> Result<Exit> {
    let view: ClockView = match args.remote.client().transpose()? {
        Some(client) => client.post("/v1/clock/trust", &json!({"by": args.by})).await?,
        None => {
            let service = open_here().await?;
            let trusted = service.engine().trust_clock(&args.by).await;
            service.shutdown().await;
            trusted.map_err(|error| match error {
                SwitchError::Invalid(field, reason) => usage(format!("--{field} {reason}")),
                SwitchError::Store(error) => explained(Error::Store(error)),
                SwitchError::NotConfigured(_) => anyhow::Error::new(error),
            })?
        }
    };
    print(&view, args.json)
}

fn print(view: &ClockView, as_json: bool) -> Result<Exit> {
    output::either(as_json, view, || words(view))?;
    Ok(if view.trouble.is_none() { Exit::Done } else { Exit::Failed })
}

fn words(view: &ClockView) -> String {
    let mut lines = vec![
        format!("service   {}", view.service),
        format!("machine   {}", view.machine),
        view.database
            .map_or("database  has no clock of its own".to_owned(), |at| format!("database  {at}")),
    ];
    if !view.is_settled {
        lines.push("nothing is removed yet: the time has not stood for clock.settle".to_owned());
    }
    lines.extend(
        view.trusted_from
            .map(|at| format!("the machine's clock is trusted from {at} by the service's time")),
    );
    lines.extend(view.trouble.clone());
    lines.join("\n")
}
