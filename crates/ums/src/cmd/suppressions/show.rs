//! `ums suppressions show`: why an address is barred, in the words of whoever barred it.

use anyhow::Result;
use serde::Serialize;
use ums_core::{Channel, SuppressionFilter, SuppressionOrigin, SuppressionReason};
use ums_server::SuppressionEntry;

use super::{SLICE, address, bars, until};
use crate::aftermath::Aftermath;
use crate::exit::Exit;
use crate::output;
use crate::service::Remote;

/// Arguments of `ums suppressions show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It shows the entries of every spelling of the address, also those that are not in force any more: the reason, which messages it
bars, who reported it and when, the message that led to it, and the provider's own words.

Examples:
  ums suppressions show customer@example.com
  ums suppressions show +525512345678
  ums suppressions show customer@example.com --json"
)]
pub(crate) struct Show {
    /// E-mail address or phone number, in any spelling
    address: String,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is known of an address.
#[derive(Debug, Serialize)]
struct Shown {
    channel: Channel,
    address: String,
    /// Whether an entry is in force.
    barred: bool,
    /// Those in force first.
    entries: Vec<SuppressionEntry>,
}

pub(super) async fn show(args: Show) -> Result<Exit> {
    let (channel, address) = address(&args.address)?;
    let of = SuppressionFilter {
        channel: Some(channel),
        address: Some(address.clone()),
        with_lifted: true,
        ..SuppressionFilter::default()
    };
    let mut entries = Aftermath::within(&args.remote, async |it| it.suppressions(&of, None, SLICE).await)
        .await?
        .data;
    entries.sort_by_key(|entry| !entry.in_force);
    let shown = Shown {
        channel,
        address,
        barred: entries.iter().any(|entry| entry.in_force),
        entries,
    };
    output::either(args.json, &shown, || told(&shown))?;
    Ok(Exit::Done)
}

fn told(shown: &Shown) -> String {
    let Shown {
        channel,
        address,
        barred,
        entries,
    } = shown;
    let first = match (*barred, entries.is_empty()) {
        (true, _) => format!("{address} ({channel}) is on the suppression list."),
        (false, false) => format!("{address} ({channel}) is not on the suppression list any more."),
        (false, true) => format!("{address} ({channel}) is not on the suppression list."),
    };
    let mut lines = vec![first];
    for entry in entries {
        lines.push(String::new());
        lines.extend(of_entry(entry));
    }
    if *barred {
        lines.push(format!("\nTake it off with: ums suppressions remove {address}"));
    }
    lines.join("\n")
}

fn of_entry(entry: &SuppressionEntry) -> Vec<String> {
    let by = entry.provider.map(|provider| format!(" by {provider}")).unwrap_or_default();
    let facts = [
        ("address", Some(entry.address.clone())),
        ("bars", Some(bars(entry.reason, entry.list.as_ref()))),
        ("since", Some(entry.since.to_string())),
        ("until", Some(until(entry))),
        ("came", Some(format!("{}{by}", came(entry.origin)))),
        ("message", entry.message_id.map(|id| id.to_string())),
        ("words", entry.detail.clone()),
    ];
    let told = facts.into_iter().filter_map(|(name, fact)| Some(format!("  {name:<8} {}", fact?)));
    std::iter::once(format!("{}: {}", entry.reason, why(entry.reason)))
        .chain(told)
        .collect()
}

const fn why(reason: SuppressionReason) -> &'static str {
    match reason {
        SuppressionReason::HardBounce => "the address does not exist",
        SuppressionReason::Complaint => "the recipient called a message spam",
        SuppressionReason::Stop => "the recipient answered STOP",
        SuppressionReason::Unsubscribe => "the recipient unsubscribed",
        SuppressionReason::Manual => "a caller or an operator put it on the list",
    }
}

const fn came(origin: SuppressionOrigin) -> &'static str {
    match origin {
        SuppressionOrigin::Feedback => "reported",
        SuppressionOrigin::Refusal => "refused during a call",
        SuppressionOrigin::Link => "by the link in a message",
        SuppressionOrigin::Operator => "by a caller or an operator",
        SuppressionOrigin::Import => "by an import",
    }
}
