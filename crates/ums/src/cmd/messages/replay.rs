//! `ums messages replay`: failed messages are sent again, after an outage.
//!
//! What was sent again is not failed any more, so that the same command goes on where it was stopped.

use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;
use ums_core::{Channel, Clock as _, MessageFilter, ProviderKind, Purpose, Status, SystemClock, Timestamp, format_micros};
use ums_server::Replayed;
use unified_messaging::ReplayRequest;

use super::list::recipient;
use crate::exit::{Exit, usage};
use crate::input::{time, word};
use crate::service::{Acts, Remote};
use crate::stop::Stop;
use crate::{output, progress};

/// Messages that one slice of a preview looks at.
const PREVIEW_SLICE: usize = 500;
/// Most messages that one slice sends again, so that Ctrl-C is heard soon.
const MOST_OF_A_SLICE: u32 = 100;

/// Arguments of `ums messages replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "First it says what would be sent again, what is left out and why, and what it may cost; then it asks.
Left out are messages whose time ran out, whose recipient is not to be contacted, that were sent otherwise since, that stand
twice in the replay, and whose body is no longer kept. Ctrl-C stops it between messages; the same command goes on.

Examples:
  ums messages replay --failed --since 2026-11-22T10:00:00Z --until 2026-11-22T11:30:00Z --dry-run
  ums messages replay --failed --since 2026-11-22T10:00:00Z --until 2026-11-22T11:30:00Z --provider aws_ses
  ums messages replay --failed --since 2026-11-22T10:00:00Z --rate 10/s --yes --server http://127.0.0.1:8080"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// Messages that failed; no others are sent again in numbers
    #[arg(long, required = true)]
    failed: bool,
    /// Accepted at or after: RFC 3339 with an offset
    #[arg(long, value_parser = time, value_name = "TIME")]
    since: Timestamp,
    /// Accepted before: RFC 3339 with an offset; now unless told
    #[arg(long, value_parser = time, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Provider of any attempt
    #[arg(long, value_parser = word::<ProviderKind>(ProviderKind::WORDS))]
    provider: Option<ProviderKind>,
    /// Lane
    #[arg(long, value_parser = word::<Purpose>(Purpose::WORDS))]
    purpose: Option<Purpose>,
    /// Channel
    #[arg(long, value_parser = word::<Channel>(Channel::WORDS))]
    channel: Option<Channel>,
    /// Full address or number of any recipient
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Only say what would be sent again
    #[arg(long)]
    dry_run: bool,
    /// Most messages a second
    #[arg(long, value_parser = rate, value_name = "N/s", default_value = "50/s")]
    rate: NonZeroU32,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads `50/s` or `50`.
fn rate(text: &str) -> Result<NonZeroU32, String> {
    let number = text.trim_end_matches("/s").trim();
    number
        .parse()
        .map_err(|_| "must be a whole number of messages a second, such as 50/s".to_owned())
}

/// What the slices of a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Totals {
    examined: u64,
    replayed: u64,
    expired: u64,
    suppressed: u64,
    duplicates: u64,
    without_body: u64,
    cost: String,
    currency: String,
    without_price: u64,
    reached: Option<Timestamp>,
    #[serde(skip)]
    micros: i64,
}

impl Totals {
    fn add(&mut self, slice: &Replayed) {
        self.examined += slice.examined;
        self.replayed += slice.replayed;
        self.expired += slice.expired;
        self.suppressed += slice.suppressed;
        self.duplicates += slice.duplicates;
        self.without_body += slice.without_body;
        self.without_price += slice.without_price;
        self.micros += micros(&slice.cost);
        self.cost = format_micros(self.micros);
        self.currency.clone_from(&slice.currency);
        self.reached = slice.reached.or(self.reached);
    }
}

/// Millionths of a cost with six decimals.
fn micros(cost: &str) -> i64 {
    cost.replace('.', "").parse().unwrap_or_default()
}

/// What a replay did.
#[derive(Debug, Serialize)]
struct Report {
    preview: Totals,
    sent_again: Option<Totals>,
    interrupted: bool,
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit> {
    let asks = !args.dry_run && !args.yes;
    if asks && (args.json || !std::io::stdin().is_terminal()) {
        return Err(usage(
            "nobody can be asked here: add --yes to send them again, or --dry-run to see what would be sent",
        ));
    }
    let acts = Acts::open(&args.remote).await?;
    let done = replay(&args, &acts, asks).await;
    acts.close().await;
    done
}

async fn replay(args: &Args, acts: &Acts, asks: bool) -> Result<Exit> {
    let mut request = request(args)?;
    let preview = Box::pin(progress::shown("looking at failed messages", preview(acts, &request))).await?;
    if args.dry_run || preview.replayed == 0 {
        let report = Report {
            preview,
            sent_again: None,
            interrupted: false,
        };
        output::either(args.json, &report, || told(&report.preview, "would be sent again"))?;
        return Ok(Exit::Done);
    }
    if !args.json {
        output::text(&told(&preview, "would be sent again"))?;
    }
    if asks && !confirmed(preview.replayed)? {
        output::text("Nothing was sent.")?;
        return Ok(Exit::Done);
    }
    request.dry_run = false;
    let (sent_again, interrupted) = Box::pin(send_again(acts, request, args.rate, preview.examined)).await?;
    let report = Report {
        preview,
        sent_again: Some(sent_again.clone()),
        interrupted,
    };
    output::either(args.json, &report, || {
        let counts = told(&sent_again, "are sent again");
        if interrupted {
            format!("{counts}\n{}", stopped_at(&sent_again))
        } else {
            counts
        }
    })?;
    Ok(if interrupted { Exit::Failed } else { Exit::Done })
}

fn request(args: &Args) -> Result<ReplayRequest> {
    let until = args.until.unwrap_or_else(|| SystemClock::new().now());
    if args.since >= until {
        return Err(usage("--since must be before --until"));
    }
    Ok(ReplayRequest {
        filter: MessageFilter {
            to: args.to.as_deref().map(recipient).transpose()?,
            status: args.failed.then_some(Status::Failed),
            channel: args.channel,
            provider: args.provider,
            purpose: args.purpose,
            since: Some(args.since),
            until: Some(until),
        },
        cursor: None,
        limit: PREVIEW_SLICE,
        dry_run: true,
    })
}

async fn preview(acts: &Acts, request: &ReplayRequest) -> Result<Totals> {
    let (mut request, mut totals) = (request.clone(), Totals::default());
    loop {
        let slice = acts.replay(&request).await?;
        totals.add(&slice);
        request.cursor = slice.next_cursor;
        if request.cursor.is_none() {
            return Ok(totals);
        }
    }
}

/// Sends them again slice by slice at the rate; says whether it was stopped.
async fn send_again(acts: &Acts, mut request: ReplayRequest, rate: NonZeroU32, examined: u64) -> Result<(Totals, bool)> {
    let mut stop = Stop::listen()?;
    let bar = ProgressBar::new(examined).with_style(style()?);
    request.limit = usize::try_from(rate.get().min(MOST_OF_A_SLICE)).unwrap_or(1);
    let mut totals = Totals::default();
    loop {
        let begun = Instant::now();
        let slice = match acts.replay(&request).await {
            Ok(slice) => slice,
            Err(error) if totals.replayed > 0 => return Err(error.context(stopped_at(&totals))),
            Err(error) => return Err(error),
        };
        totals.add(&slice);
        bar.set_position(totals.examined);
        request.cursor = slice.next_cursor;
        if request.cursor.is_none() {
            bar.finish_and_clear();
            return Ok((totals, false));
        }
        let sent = u32::try_from(slice.replayed).unwrap_or(u32::MAX);
        let pause = Duration::from_secs(1) * sent / rate.get();
        let is_stopped = tokio::select! {
            biased;
            () = stop.requested() => true,
            () = tokio::time::sleep_until(begun + pause) => false,
        };
        if is_stopped {
            bar.finish_and_clear();
            return Ok((totals, true));
        }
    }
}

fn style() -> Result<ProgressStyle> {
    ProgressStyle::with_template("{bar:40} {pos}/{len} looked at, {eta} left; Ctrl-C stops").context("making the progress bar")
}

fn stopped_at(totals: &Totals) -> String {
    let reached = totals
        .reached
        .map(|at| format!(", up to those accepted at {at}"))
        .unwrap_or_default();
    format!(
        "Stopped after {} were sent again{reached}. The same command goes on with the rest.",
        totals.replayed
    )
}

fn confirmed(count: u64) -> Result<bool> {
    let mut err = std::io::stderr().lock();
    write!(err, "Send {count} message(s) again? [y/N] ")
        .and_then(|()| err.flush())
        .context("asking")?;
    drop(err);
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn told(totals: &Totals, verb: &str) -> String {
    if totals.examined == 0 {
        return "No failed messages there.".to_owned();
    }
    let mut table = output::table(&["messages", "count"]);
    let price = match (totals.without_price, totals.replayed) {
        (0, _) => format!("{} {} (estimate)", totals.cost, totals.currency),
        (unknown, all) if unknown >= all => "not known".to_owned(),
        (unknown, _) => format!(
            "{} {} (estimate), and {unknown} whose price is not known",
            totals.cost, totals.currency
        ),
    };
    let rows = [
        ("looked at".to_owned(), totals.examined.to_string()),
        (verb.to_owned(), totals.replayed.to_string()),
        ("left out: their time ran out".to_owned(), totals.expired.to_string()),
        ("left out: not to be contacted".to_owned(), totals.suppressed.to_string()),
        ("left out: sent otherwise, or twice here".to_owned(), totals.duplicates.to_string()),
        ("left out: body no longer kept".to_owned(), totals.without_body.to_string()),
        ("cost".to_owned(), price),
    ];
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_messages_a_second() {
        assert_eq!(rate("10/s").unwrap().get(), 10);
        assert_eq!(rate("7").unwrap().get(), 7);
        for wrong in ["0/s", "1/m", "-1", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slices_add_up_with_their_cost() {
        let slice = |cost: &str| Replayed {
            examined: 2,
            replayed: 1,
            duplicates: 1,
            cost: cost.to_owned(),
            currency: "USD".to_owned(),
            ..Replayed::default()
        };
        let mut totals = Totals::default();
        totals.add(&slice("0.000160"));
        totals.add(&slice("1.008300"));
        assert_eq!((totals.examined, totals.duplicates, totals.cost.as_str()), (4, 2, "1.008460"));
    }
}
