//! `ums health`: how each provider does, and why.

use anyhow::Result;
use ums_core::{HealthReport, ProviderHealth};

use crate::exit::Exit;
use crate::output;
use crate::service::Remote;

/// Arguments of `ums health`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 no provider is unhealthy and the service has no trouble of its own, 1 otherwise, 2 wrong usage or configuration.
A provider that nothing was sent by is unknown, which is not unhealthy.

Examples:
  ums health
  ums health --server http://127.0.0.1:8080 --json"
)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit> {
    let report = Box::pin(crate::service::health(&args.remote)).await?;
    output::either(args.json, &report, || table(&report))?;
    let all_well = report.troubles.is_empty() && providers(&report).all(|provider| provider.is_healthy);
    Ok(if all_well { Exit::Done } else { Exit::Failed })
}

fn providers(report: &HealthReport) -> impl Iterator<Item = &ProviderHealth> {
    report.email_providers.iter().chain(&report.sms_providers)
}

/// The report for people.
pub(super) fn table(report: &HealthReport) -> String {
    let mut table = output::table(&[
        "channel",
        "provider",
        "priority",
        "status",
        "breaker",
        "failures",
        "last success",
        "reason",
    ]);
    for provider in providers(report) {
        table.add_row([
            provider.provider.channel().as_str(),
            provider.provider.as_str(),
            provider.priority.as_str(),
            provider.status.as_str(),
            provider.circuit_breaker.as_str(),
            &provider.failure_count.to_string(),
            &provider.last_success_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            provider.reason.as_deref().unwrap_or("-"),
        ]);
    }
    let left_out = report.not_configured.iter();
    let left_out = left_out.map(|left| format!("not configured: {} (missing {})", left.provider, left.missing.join(", ")));
    let troubles = report.troubles.iter();
    let troubles = troubles.map(|trouble| format!("trouble: {} since {}: {}", trouble.kind, trouble.since, trouble.reason));
    std::iter::once(table.to_string())
        .chain(left_out)
        .chain(troubles)
        .collect::<Vec<_>>()
        .join("\n")
}
