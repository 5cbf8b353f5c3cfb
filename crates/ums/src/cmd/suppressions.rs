//! `ums suppressions`: whom not to contact, and why.

mod records;
mod sheet;
mod show;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use ums_core::{
    Channel, Clock as _, ListName, SuppressionFilter, SuppressionOrigin, SuppressionReason, SuppressionScope, SystemClock, Timestamp,
};
use ums_server::{SuppressionEntry, SuppressionList};
use unified_messaging::Which;

use crate::aftermath::{Aftermath, NewEntry};
use crate::exit::{Exit, usage};
use crate::input::{time, word};
use crate::output;
use crate::service::Remote;
use crate::stop::Stop;
use sheet::{Rules, Sheet, SheetWriter};

/// Entries that go to the store, or come from it, at once.
const SLICE: usize = 500;

/// What to do with the list.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List entries
    List(List),
    /// Say whether an address is barred, and why
    Show(show::Show),
    /// Put an address on the list
    Add(Add),
    /// Take an address off the list
    Remove(Remove),
    /// Put the addresses of a CSV file on the list
    Import(Import),
    /// Write the list as CSV
    Export(Export),
}

/// Arguments of `ums suppressions list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums suppressions list
  ums suppressions list --address customer@example.com
  ums suppressions list --reason hard_bounce --json")]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// Entries that are not in force any more, too
    #[arg(long)]
    all: bool,
    /// Most entries to list
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500), value_name = "COUNT")]
    limit: u16,
    /// Go on after this entry: the `next_cursor` of the list before
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which entries.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Channel
    #[arg(long, value_parser = word::<Channel>(Channel::WORDS))]
    channel: Option<Channel>,
    /// Why
    #[arg(long, value_parser = word::<SuppressionReason>(SuppressionReason::WORDS))]
    reason: Option<SuppressionReason>,
    /// Full address or number, in any spelling
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
}

/// Arguments of `ums suppressions add`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It holds for every provider of the address's channel. Attempts that begin afterwards contact it no more.

With the reason unsubscribe it bars bulk messages alone, of all mailing lists or of one: receipts and codes still go out. With any other reason it bars every message.

Examples:
  ums suppressions add customer@example.com
  ums suppressions add customer@example.com --reason unsubscribe --list weekly
  ums suppressions add +15551234567 --reason stop --detail 'asked by phone'
  ums suppressions add customer@example.com --expires 2027-01-01T00:00:00Z"
)]
pub(crate) struct Add {
    /// E-mail address or phone number
    address: String,
    /// Why
    #[arg(long, default_value = "manual", value_parser = word::<SuppressionReason>(SuppressionReason::WORDS))]
    reason: SuppressionReason,
    /// The only mailing list that an unsubscribe is from
    #[arg(long, value_name = "NAME")]
    list: Option<ListName>,
    /// A note
    #[arg(long, value_name = "TEXT")]
    detail: Option<String>,
    /// Until when: RFC 3339 with an offset; for good without it
    #[arg(long, value_parser = time, value_name = "TIME")]
    expires: Option<Timestamp>,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums suppressions remove`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Only do this when the recipient wants messages again, or the entry was wrong. The provider's own list is not changed.
The entries of every spelling of the address are lifted: `ums suppressions show` says which there are.

Examples:
  ums suppressions remove customer@example.com
  ums suppressions remove customer@example.com --reason unsubscribe --list weekly
  ums suppressions remove +15551234567 --reason stop"
)]
pub(crate) struct Remove {
    /// E-mail address or phone number
    address: String,
    /// Only the entry with this reason
    #[arg(long, value_parser = word::<SuppressionReason>(SuppressionReason::WORDS))]
    reason: Option<SuppressionReason>,
    /// Only the entry of this mailing list
    #[arg(long, value_name = "NAME")]
    list: Option<ListName>,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums suppressions import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The first line names the columns: address, and if they are there channel, reason, list, detail, since, expires_at. An address without a
channel is an e-mail address if it has an @, else a phone number; without a reason it is manual. Nothing is imported while a line
is wrong, unless --skip-invalid says so. Importing a file twice does no harm. A record has at most 64 KiB, a file 1 GiB and 2,000,000 entries.

Examples:
  ums suppressions import list.csv
  ums suppressions import - --reason unsubscribe < unsubscribed.csv
  ums suppressions import list.csv --dry-run"
)]
pub(crate) struct Import {
    /// The file; - is standard input
    file: PathBuf,
    /// Reason of lines that give none
    #[arg(long, default_value = "manual", value_parser = word::<SuppressionReason>(SuppressionReason::WORDS))]
    reason: SuppressionReason,
    /// Leave out lines that are wrong
    #[arg(long)]
    skip_invalid: bool,
    /// Only read the file and say what is wrong with it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums suppressions export`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Cells that a spreadsheet could take for a formula get an apostrophe before them (numbers with + among them); import takes it away.

Examples:
  ums suppressions export > list.csv
  ums suppressions export --reason complaint --output complaints.csv"
)]
pub(crate) struct Export {
    #[command(flatten)]
    filter: Filter,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::List(args) => list(args).await,
        Command::Show(args) => show::show(args).await,
        Command::Add(args) => add(args).await,
        Command::Remove(args) => remove(args).await,
        Command::Import(args) => import(args).await,
        Command::Export(args) => export(args).await,
    }
}

/// An address with its channel, in the form in which messages name it.
fn address(text: &str) -> Result<(Channel, String)> {
    let channel = sheet::channel_of(text);
    let region = if channel == Channel::Sms {
        crate::settings::default_region()?
    } else {
        None
    };
    let parsed = sheet::parsed(channel, text, region).map_err(|fault| usage(format!("the {fault}")))?;
    Ok((channel, parsed))
}

fn list_of(filter: &Filter, all: bool) -> Result<SuppressionFilter> {
    let named = filter.address.as_deref().map(address).transpose()?;
    if let (Some(channel), Some((other, _))) = (filter.channel, &named)
        && channel != *other
    {
        return Err(usage(format!("--address is of the channel {other}, --channel says {channel}")));
    }
    Ok(SuppressionFilter {
        channel: named.as_ref().map(|(channel, _)| *channel).or(filter.channel),
        reason: filter.reason,
        address: named.map(|(_, address)| address),
        with_lifted: all,
    })
}

async fn list(args: List) -> Result<Exit> {
    let of = list_of(&args.filter, args.all)?;
    let listing = Aftermath::within(&args.remote, async |it| {
        it.suppressions(&of, args.cursor.as_deref(), args.limit.into()).await
    })
    .await?;
    output::either(args.json, &listing, || table(&listing))?;
    Ok(Exit::Done)
}

fn table(listing: &SuppressionList) -> String {
    if listing.data.is_empty() {
        return "No entries.".to_owned();
    }
    let mut table = output::table(&["channel", "address", "reason", "bars", "by", "since", "until", "detail"]);
    for entry in &listing.data {
        table.add_row([
            entry.channel.to_string(),
            entry.address.clone(),
            entry.reason.to_string(),
            bars(entry.reason, entry.list.as_ref()),
            entry
                .provider
                .map_or_else(|| entry.origin.to_string(), |provider| format!("{} {provider}", entry.origin)),
            entry.since.to_string(),
            until(entry),
            entry.detail.clone().unwrap_or_default(),
        ]);
    }
    let more = listing
        .next_cursor
        .as_ref()
        .map(|cursor| format!("\nThere is more: --cursor {cursor}"))
        .unwrap_or_default();
    format!("{table}{more}")
}

/// Which messages an entry bars, for people.
fn bars(reason: SuppressionReason, list: Option<&ListName>) -> String {
    match (reason.scope(), list) {
        (SuppressionScope::All, _) => "every message".to_owned(),
        (SuppressionScope::Bulk, None) => "bulk".to_owned(),
        (SuppressionScope::Bulk, Some(list)) => format!("bulk of {list}"),
    }
}

fn until(entry: &SuppressionEntry) -> String {
    match (entry.lifted_at.filter(|lifted_at| *lifted_at >= entry.since), entry.expires_at) {
        (Some(lifted_at), _) => format!("lifted {lifted_at}"),
        (None, Some(expires_at)) => expires_at.to_string(),
        (None, None) => "for good".to_owned(),
    }
}

async fn add(args: Add) -> Result<Exit> {
    let (channel, address) = address(&args.address)?;
    if args.list.is_some() && args.reason.scope() == SuppressionScope::All {
        return Err(usage(
            "--list is for --reason unsubscribe only: an entry for another reason bars every message",
        ));
    }
    if args.expires.is_some_and(|expires| expires <= SystemClock::new().now()) {
        return Err(usage("--expires must be later than now: such an entry would bar nothing"));
    }
    let told = format!("{channel}, {}: bars {}", args.reason, bars(args.reason, args.list.as_ref()));
    let entry = NewEntry {
        channel,
        address,
        reason: args.reason,
        list: args.list,
        origin: SuppressionOrigin::Operator,
        detail: args.detail,
        since: None,
        expires_at: args.expires,
    };
    let added = Aftermath::within(&args.remote, async |it| it.suppress(vec![entry]).await).await?;
    output::either(args.json, &serde_json::json!({ "added": added }), || {
        if added == 1 {
            format!("It is on the list now ({told}).")
        } else {
            format!("It was on the list already ({told}).")
        }
    })?;
    Ok(Exit::Done)
}

async fn remove(args: Remove) -> Result<Exit> {
    let (channel, address) = address(&args.address)?;
    let which = Which {
        reason: args.reason,
        list: args.list,
    };
    let removed = Aftermath::within(&args.remote, async |it| it.unsuppress(channel, &address, &which).await).await?;
    output::either(args.json, &serde_json::json!({ "removed": removed }), || match removed {
        0 => "It was not on the list.".to_owned(),
        1 => "It is off the list now.".to_owned(),
        more => format!("It is off the list now ({more} entries)."),
    })?;
    Ok(if removed == 0 { Exit::Failed } else { Exit::Done })
}

/// What an import came to.
#[derive(Debug, Default, Serialize)]
struct Imported {
    read: usize,
    invalid: usize,
    added: u64,
    known: u64,
    interrupted: bool,
}

async fn import(args: Import) -> Result<Exit> {
    let sheet = read(&args.file, args.reason)?;
    if sheet.wrong > 0 && (!args.skip_invalid || args.dry_run) {
        let told = format!(
            "{} of {} lines are wrong:\n{}",
            sheet.wrong,
            sheet.wrong + sheet.entries.len(),
            sheet.told()
        );
        if !args.dry_run {
            return Err(usage(format!(
                "{told}\nnothing was imported: correct them, or leave them out with --skip-invalid"
            )));
        }
        output::text(&told)?;
        return Ok(Exit::Failed);
    }
    if args.dry_run {
        output::text(&format!("{} entries can be imported.", sheet.entries.len()))?;
        return Ok(Exit::Done);
    }
    let done = Aftermath::within(&args.remote, async |it| put(it, sheet).await).await?;
    output::either(args.json, &done, || {
        let rest = if done.interrupted {
            "\nIt was interrupted; the same command goes on."
        } else {
            ""
        };
        format!(
            "{} new on the list, {} were on it already, {} lines left out.{rest}",
            done.added, done.known, done.invalid
        )
    })?;
    Ok(if done.interrupted { Exit::Failed } else { Exit::Done })
}

fn read(file: &Path, reason: SuppressionReason) -> Result<Sheet> {
    let rules = Rules {
        region: crate::settings::default_region()?,
        reason,
        now: SystemClock::new().now(),
    };
    if file == Path::new("-") {
        return sheet::read(io::stdin().lock(), rules);
    }
    let opened = File::open(file).with_context(|| crate::exit::Usage(format!("cannot read {}", file.display())))?;
    sheet::read(opened, rules)
}

async fn put(aftermath: &Aftermath, sheet: Sheet) -> Result<Imported> {
    let mut done = Imported {
        read: sheet.entries.len(),
        invalid: sheet.wrong,
        ..Imported::default()
    };
    let bar = bar(sheet.entries.len() as u64);
    let mut stop = Stop::listen()?;
    for slice in sheet.entries.chunks(SLICE) {
        let added = tokio::select! {
            added = aftermath.suppress(slice.to_vec()) => added?,
            () = stop.requested() => {
                done.interrupted = true;
                break;
            }
        };
        done.added += added;
        done.known += (slice.len() as u64).saturating_sub(added);
        bar.inc(slice.len() as u64);
    }
    bar.finish_and_clear();
    Ok(done)
}

fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} left {eta}").unwrap_or_else(|_| ProgressStyle::default_bar());
    // It draws nothing where standard error is not a terminal.
    ProgressBar::new(length).with_style(style)
}

async fn export(args: Export) -> Result<Exit> {
    let of = list_of(&args.filter, false)?;
    let file: Box<dyn io::Write> = match &args.output {
        Some(path) => Box::new(File::create(path).with_context(|| crate::exit::Usage(format!("cannot write {}", path.display())))?),
        None => Box::new(io::stdout()),
    };
    let entries = Aftermath::within(&args.remote, async |it| write(it, &of, io::BufWriter::new(file)).await).await?;
    // Nobody is left to be told when this fails.
    drop(writeln!(io::stderr(), "{entries} entries"));
    Ok(Exit::Done)
}

async fn write(aftermath: &Aftermath, of: &SuppressionFilter, file: impl io::Write) -> Result<u64> {
    let mut writer = SheetWriter::new(file)?;
    let sign = ProgressBar::new_spinner().with_message("entries");
    let (mut cursor, mut entries) = (None, 0);
    loop {
        let page = aftermath.suppressions(of, cursor.as_deref(), SLICE).await?;
        for entry in &page.data {
            writer.add(entry)?;
        }
        entries += page.data.len() as u64;
        sign.inc(page.data.len() as u64);
        if page.next_cursor.is_some() && page.next_cursor == cursor {
            bail!("the list does not go on after {entries} entries");
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    sign.finish_and_clear();
    writer.finish()?;
    Ok(entries)
}
