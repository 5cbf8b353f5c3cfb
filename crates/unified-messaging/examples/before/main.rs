//! Writes the fixture of the upgrade tests: a database as this release leaves it, with messages at every stage, and what this release
//! shows of it.
//!
//! `before URL FILE.json`, over an empty database; `write.sh` beside this file does it for both kinds of store. A fixture is of the
//! release that wrote it: to write one of an older release, run it in a checkout of that release.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a fixture that cannot be written is none")]

mod ended;
mod interrupted;
mod passed_over;
mod process;
#[path = "../../tests/it/shown.rs"]
mod shown;
mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Builder;
use ums_core::{ActKind, Clock as _, NoticeState, OutcomeWord, Status};
use ums_testkit::TestClock;

use process::Stage;

/// Every word that tells why a provider was passed over.
const SKIPS: &[&str] = &[
    "open",
    "misconfigured",
    "quota",
    "throttled",
    "probing",
    "paced",
    "day_limit",
    "degraded",
    "bounce_rate",
    "complaint_rate",
];
/// Every code of an attempt that is this service's own and that the fixture has to hold.
const CODES: &[&str] = &[
    "closing",
    "lease_lost",
    "expired",
    "not_called",
    "process_ended",
    "panic",
    "no_message_id",
];

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(url), Some(file), None) = (words.next(), words.next(), words.next()) else {
        panic!("usage: before URL FILE.json");
    };
    let mut stage = Stage {
        url,
        clock: Arc::new(TestClock::new()),
        processes: 0,
    };
    ended::write(&mut stage);
    interrupted::write(&mut stage);
    passed_over::write(&mut stage);
    let waits = waiting::write(&mut stage);
    interrupted::write_waiting(&mut stage, waits);
    interrupted::write_dying(&mut stage);

    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let now = stage.clock.now();
    let mut shown = runtime.block_on(async {
        let store = ums_store::open(&stage.url, stage.clock.clone()).await.unwrap();
        let shown = shown::shown(&*store, now).await;
        store.close(Duration::from_secs(5)).await;
        shown
    });
    shown["written_until_micros"] = now.as_micros().into();
    std::fs::write(file, lines(&shown)).unwrap();
    covers(&shown);
}

/// JSON with a line for each message and each thing beside them.
fn lines(shown: &Value) -> String {
    let each = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",\n");
    let mut parts = shown.as_object().unwrap().iter().map(|(name, part)| match part {
        Value::Object(items) => format!(
            "\"{name}\": {{\n{}\n}}",
            each(&mut items.iter().map(|(key, item)| format!("\"{key}\": {item}")))
        ),
        Value::Array(items) => format!("\"{name}\": [\n{}\n]", each(&mut items.iter().map(Value::to_string))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => format!("\"{name}\": {part}"),
    });
    format!("{{\n{}\n}}\n", each(&mut parts))
}

/// Nothing of what a release can write is missing.
fn covers(shown: &Value) {
    let messages: Vec<&Value> = shown["messages"].as_object().unwrap().values().collect();
    let found = |pointer: &str, of: &str| -> BTreeSet<&str> {
        let lists = messages.iter().filter_map(|message| message.pointer(pointer));
        let items = lists.flat_map(|list| list.as_array().map_or_else(|| vec![list], |items| items.iter().collect()));
        items.filter_map(|item| item.pointer(of)?.as_str()).collect()
    };
    let missing = |found: BTreeSet<&str>, wanted: &[&str]| {
        let missing: Vec<&&str> = wanted.iter().filter(|word| !found.contains(**word)).collect();
        assert!(missing.is_empty(), "{missing:?} is not in the fixture: {found:?}");
    };
    missing(found("/result/status", ""), Status::WORDS);
    missing(found("/result/attempts", "/outcome"), OutcomeWord::WORDS);
    missing(found("/result/attempts", "/code"), CODES);
    missing(found("/skips", "/reason"), SKIPS);
    missing(found("/acts", "/kind"), ActKind::WORDS);
    let notices = shown["notices"].as_array().unwrap().iter();
    let states = notices.filter_map(|notice| notice["state"].as_str()).collect();
    missing(states, &[NoticeState::Pending.as_str(), NoticeState::Delivered.as_str()]);
}
