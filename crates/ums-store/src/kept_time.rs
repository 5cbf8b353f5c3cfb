//! The kept time as the columns of its row, for both databases.

use std::time::Duration;

use ums_core::{Boot, KeptTime, Timestamp};

/// The row of `kept_time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) trusted_at: i64,
    pub(crate) boot: Option<String>,
    pub(crate) up: Option<i64>,
    pub(crate) steady: i64,
}

impl From<&KeptTime> for Row {
    fn from(time: &KeptTime) -> Self {
        Self {
            trusted_at: time.trusted.as_micros(),
            boot: time.boot.as_ref().map(|boot| boot.id.clone()),
            up: time.boot.as_ref().map(|boot| micros(boot.up)),
            steady: micros(time.steady),
        }
    }
}

impl From<Row> for KeptTime {
    fn from(row: Row) -> Self {
        Self {
            trusted: Timestamp::from_micros(row.trusted_at),
            boot: row.boot.zip(row.up).map(|(id, up)| Boot { id, up: span(up) }),
            steady: span(row.steady),
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
