//! A sign of life on work that takes long: on a terminal only, on standard error.

use std::pin::pin;
use std::time::Duration;

use indicatif::ProgressBar;

/// Work that is shorter shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two pictures of the sign.
const TICK: Duration = Duration::from_millis(120);

/// Does the work; once it takes long, says what is going on until it is done.
pub(crate) async fn shown<T>(what: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return done;
    }
    // It draws nothing where standard error is not a terminal.
    let sign = ProgressBar::new_spinner().with_message(what);
    sign.enable_steady_tick(TICK);
    let done = work.await;
    sign.finish_and_clear();
    done
}
