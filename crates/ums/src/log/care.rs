//! Looks after the reader of the log: counts what it misses, and tells of it while that lasts.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{Clock, Trouble, TroubleKind, Troubles};
use ums_server::Metrics;

use super::LINES;

/// How often.
const LOOK: Duration = Duration::from_secs(1);
const REASON: &str = "the log (standard error) is not read, or cannot be written; its lines are dropped: let its reader go on, give its \
                      disk room, or set UMS_LOG to warn";

/// Looks until the process ends.
pub(crate) async fn look_after(troubles: Troubles, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) {
    let mut before = LINES.reader();
    metrics.log_lines_dropped(before.dropped);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = LINES.reader();
        metrics.log_lines_dropped(now.dropped - before.dropped);
        let is_stuck = now.is_writing && now.writes == before.writes;
        if now.dropped > before.dropped {
            troubles.raise(Trouble {
                kind: TroubleKind::Log,
                since: clock.now(),
                reason: REASON.to_owned(),
                is_blocking: false,
            });
        } else if !is_stuck && troubles.clear(TroubleKind::Log) {
            tracing::warn!(
                dropped = now.dropped,
                "the log is read again; lines were dropped meanwhile, counted since the start"
            );
        }
        before = now;
    }
}
