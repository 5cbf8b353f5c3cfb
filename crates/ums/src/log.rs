//! Logs: to standard error, filtered by `UMS_LOG`, as JSON or for people by `UMS_LOG_FORMAT`.
//!
//! **Invariant:** nothing waits for the reader of the log. Lines go through a queue of bounded size to a thread
//! of its own (`log/queue.rs`); a line that finds no room is dropped and counted.
//!
//! **Invariant:** crates that are not ours never log below INFO, whatever `UMS_LOG` says: at DEBUG
//! and TRACE they print headers and bodies, which hold credentials and recipients.

mod care;
mod queue;

use std::io::{IsTerminal as _, Write as _};
use std::sync::LazyLock;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::exit::usage;
pub(crate) use care::look_after;
use queue::Queue;

/// Longest time that the end of the process waits for the reader of the log.
const FLUSH_TIME: Duration = Duration::from_millis(500);

/// The lines on their way to standard error, one queue for the process.
static LINES: LazyLock<Queue> = LazyLock::new(Queue::default);

/// Targets of ours begin so.
const OURS: [&str; 2] = ["ums", "unified_messaging"];

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object per line.
    Json,
    /// For people.
    Pretty,
}

/// Starts to log, once for the process.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn start(filter: &str, format: Format) -> anyhow::Result<()> {
    let wanted = EnvFilter::try_new(filter)
        .map_err(|_| usage("UMS_LOG is not a filter: write a level (error, warn, info, debug, trace) or target=level pairs"))?;
    let filter = wanted.and(FilterFn::new(may_be_logged).with_max_level_hint(LevelFilter::TRACE));
    LINES.start_writing();
    let layer = tracing_subscriber::fmt::layer().with_writer(|| &*LINES);
    let layer = match format {
        Format::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
        Format::Pretty => layer
            .compact()
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter)
            .boxed(),
    };
    // A second start, as in tests, changes nothing.
    drop(tracing_subscriber::registry().with(layer).try_init());
    // The default hook writes to standard error itself, and would wait for its reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
    Ok(())
}

/// Writes a text for people where the log goes, behind its lines.
pub(crate) fn tell(text: &str) {
    // Nobody is left to be told when either fails.
    if LINES.is_started() {
        drop((&mut &*LINES).write_all(text.as_bytes()));
    } else {
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// Waits until the lines are written, but not for ever.
pub(crate) fn flush() {
    LINES.flush(FLUSH_TIME);
}

/// Ours at every level, others down to INFO.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || is_ours(metadata.target())
}

fn is_ours(target: &str) -> bool {
    OURS.iter().any(|name| {
        target
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', ':']))
    })
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_our_own_crates_may_log_details() {
        for target in ["ums", "ums_providers::http", "ums_delivery", "unified_messaging::wire"] {
            assert!(is_ours(target), "{target}");
        }
        for target in ["hyper::proto", "lettre", "rustls", "sqlx::query", "aws_config", "umsonst", "h2"] {
            assert!(!is_ours(target), "{target}");
        }
    }
}
