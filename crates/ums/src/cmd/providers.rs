//! `ums providers`: how each provider does; take one out of service, bring it back, have it asked.

use std::time::Duration;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde_json::json;
use ums_core::{AccountId, ProviderKind, Timestamp};
use ums_server::{ProviderSwitched, ProviderTried};
use unified_messaging::{Error, SwitchError, SwitchOff, UnifiedMessagingService};

use super::health;
use crate::aftermath::open_here;
use crate::client::Client;
use crate::exit::{Exit, usage};
use crate::input::{length, time, word};
use crate::output;
use crate::service::Remote;
use crate::settings::explained;

/// What to do with the providers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the providers of each chain, and what is known of them
    List(List),
    /// Take a provider out of service, for all processes
    Disable(Disable),
    /// Bring a provider back into service
    Enable(Enable),
    /// Ask a provider now whether it would take a message; nothing is sent
    Probe(Probe),
}

/// Arguments of `ums providers list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "As ums health, but it ends with 0 whatever it finds.

Examples:
  ums providers list
  ums providers list --server http://127.0.0.1:8080 --json")]
pub(crate) struct List {
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which account.
#[derive(Debug, clap::Args)]
struct Account {
    /// Provider
    #[arg(value_parser = word::<ProviderKind>(ProviderKind::WORDS))]
    provider: ProviderKind,
    /// The account at the provider
    #[arg(long, default_value = "default", value_name = "ACCOUNT")]
    account: String,
}

/// Arguments of `ums providers disable`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every process on the store passes the provider over within a second, also after a restart. Messages go by the others; with all
of them disabled they are held. A call under way goes on. Replicas of the release before do not know of it.

Exit code: 0 it is out of service, 1 the store or service cannot be used, 2 wrong usage, or no chain has the provider.

Examples:
  ums providers disable aws_ses --reason 'account under review'
  ums providers disable twilio --reason 'number is being moved' --for 2h --by ann
  ums providers disable sendgrid --reason maintenance --until 2026-12-01T06:00:00Z --server http://127.0.0.1:8080"
)]
pub(crate) struct Disable {
    #[command(flatten)]
    account: Account,
    /// Why, for people: it stands in health reports and in the stories of messages
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long, such as 90s, 30m, 2h or 7d; until it is enabled without it
    #[arg(long = "for", value_parser = length, value_name = "TIME", conflicts_with = "until")]
    length: Option<Duration>,
    /// Until when: RFC 3339 with an offset
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Who decides
    #[arg(long, default_value = "cli", value_name = "NAME")]
    by: String,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums providers enable`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Its breaker stays as it is: see ums providers probe.

Exit code: 0 it serves, 1 the store or service cannot be used, 2 wrong usage, or no chain has the provider.

Examples:
  ums providers enable aws_ses
  ums providers enable aws_ses --by ann --server http://127.0.0.1:8080")]
pub(crate) struct Enable {
    #[command(flatten)]
    account: Account,
    /// Who decides
    #[arg(long, default_value = "cli", value_name = "NAME")]
    by: String,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums providers probe`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SES, SendGrid and Twilio are asked for their account or key, an SMTP server is logged in to. Unless the provider says no, its breaker
lets the next message through, in every process; a bad answer lengthens no wait. Without --server this process asks, with its own
settings. Servers refuse those who log in too often: do not put it in a loop.

Exit code: 0 it did not say no, 1 it said no or is being tried at this moment, 2 wrong usage, or no chain has the provider.

Examples:
  ums providers probe aws_ses
  ums providers probe smtp --server http://127.0.0.1:8080 --json"
)]
pub(crate) struct Probe {
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::List(args) => Box::pin(list(args)).await,
        Command::Disable(args) => Box::pin(disable(args)).await,
        Command::Enable(args) => Box::pin(enable(args)).await,
        Command::Probe(args) => Box::pin(probe(args)).await,
    }
}

async fn list(args: List) -> Result<Exit> {
    let report = Box::pin(crate::service::health(&args.remote)).await?;
    output::either(args.json, &report, || health::table(&report))?;
    Ok(Exit::Done)
}

async fn disable(args: Disable) -> Result<Exit> {
    let done = match args.remote.client().transpose()? {
        Some(client) => {
            // A length of time begins by the clock of the service, which may differ from this machine's.
            let seconds = args.length.map(|length| length.as_secs());
            let account = &args.account.account;
            let body = json!({"reason": args.reason, "by": args.by, "until": args.until, "for_seconds": seconds, "account": account});
            at(&client, &args.account, "disable", &body).await?
        }
        None => {
            here(async |service| {
                let (provider, account) = args.account.parts();
                let now = service.engine().clock().service;
                let off = SwitchOff {
                    reason: args.reason,
                    by: args.by,
                    until: args.until.or_else(|| args.length.map(|length| now + length)),
                };
                let off = service.engine().disable_provider(provider, &account, off).await?;
                Ok(args.account.switched(Some(off), true))
            })
            .await?
        }
    };
    output::either(args.json, &done, || shown(&done))?;
    Ok(Exit::Done)
}

async fn enable(args: Enable) -> Result<Exit> {
    let done = match args.remote.client().transpose()? {
        Some(client) => {
            let body = json!({"by": args.by, "account": args.account.account});
            at(&client, &args.account, "enable", &body).await?
        }
        None => {
            here(async |service| {
                let (provider, account) = args.account.parts();
                let was_off = service.engine().enable_provider(provider, &account, &args.by).await?;
                Ok(args.account.switched(None, was_off))
            })
            .await?
        }
    };
    output::either(args.json, &done, || shown(&done))?;
    Ok(Exit::Done)
}

async fn probe(args: Probe) -> Result<Exit> {
    let tried: ProviderTried = match args.remote.client().transpose()? {
        Some(client) => at(&client, &args.account, "probe", &json!({"account": args.account.account})).await?,
        None => {
            here(async |service| {
                let (provider, account) = args.account.parts();
                let tried = service.engine().probe_provider(provider, &account).await?;
                let off = service.engine().switched_off(provider, &account).await?;
                Ok(ProviderTried::of(provider, &account, &tried, off.as_ref()))
            })
            .await?
        }
    };
    output::either(args.json, &tried, || {
        format!("{}: {} ({})", tried.provider, tried.answer, tried.detail)
    })?;
    let said_no = matches!(tried.answer.as_str(), "failed" | "busy");
    Ok(if said_no { Exit::Failed } else { Exit::Done })
}

impl Account {
    fn parts(&self) -> (ProviderKind, AccountId) {
        (self.provider, AccountId::new(self.account.clone()))
    }

    fn switched(&self, disabled: Option<ums_core::SwitchedOff>, changed: bool) -> ProviderSwitched {
        ProviderSwitched {
            provider: self.provider,
            account: self.account.clone(),
            disabled,
            changed,
        }
    }
}

/// Does it at a running service.
async fn at<T: DeserializeOwned>(client: &Client, account: &Account, act: &str, body: &serde_json::Value) -> Result<T> {
    let provider = account.provider;
    let done = client.find_after(&format!("/v1/providers/{provider}/{act}"), Some(body)).await?;
    done.ok_or_else(|| not_configured(provider))
}

/// Does it in the store of the settings, which is closed whatever comes of that.
async fn here<T>(work: impl AsyncFnOnce(&UnifiedMessagingService) -> Result<T, SwitchError>) -> Result<T> {
    let service = open_here().await?;
    let done = work(&service).await;
    service.shutdown().await;
    done.map_err(|error| match error {
        SwitchError::NotConfigured(provider) => not_configured(provider),
        SwitchError::Invalid(field, reason) => usage(format!("--{field} {reason}")),
        SwitchError::Store(error) => explained(Error::Store(error)),
    })
}

fn not_configured(provider: ProviderKind) -> anyhow::Error {
    usage(format!("no chain has that account of {provider}: see ums providers list"))
}

fn shown(done: &ProviderSwitched) -> String {
    match (&done.disabled, done.changed) {
        (Some(off), _) => format!("{} is {}", done.provider, off.describe()),
        (None, true) => format!("{} is enabled", done.provider),
        (None, false) => format!("{} was not disabled", done.provider),
    }
}
