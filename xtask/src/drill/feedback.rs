//! What providers report: late, in copies, in any order, before our own commit, or never.
//!
//! Played on `ums dev`, which alone trusts the simulator's own keys: service and simulator are one process.
//! Every message is sent by a provider of its own choice; the simulator says which of them it let bounce
//! or never delivers. Reports on text messages by SNS are read from its logs, bounces of SMTP are handed in
//! by `ums feedback dsn`, each twice. An application on this machine is told of each change, and refuses some posts.

mod application;
mod judge;
mod stand;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Play;
use super::report::{Report, seconds};
use super::stage::Store;
use super::web::Ask;
use application::Application;
use judge::{Sent, judge};
use stand::Stand;

/// Posts at the same time.
const HANDS: usize = 8;
/// Longest time from the last message until all is known of all.
const LIMIT: Duration = Duration::from_mins(3);

/// The simulator's word for a provider, and ours.
const PROVIDERS: [(&str, &str); 5] = [
    ("ses", "aws_ses"),
    ("sns", "aws_sns"),
    ("sendgrid", "sendgrid"),
    ("twilio", "twilio"),
    ("smtp", "smtp"),
];

/// How reports come, and what befalls a tenth of the messages.
struct Phase {
    feedback: Value,
    fault: &'static str,
}

fn phases() -> [Phase; 4] {
    let late = json!({"delay_ms": [0, 2_000], "duplicates": [1, 5], "shuffle": true});
    let early = json!({"delay_ms": [0, 0], "duplicates": [1, 5], "shuffle": true, "before_reply": true});
    [
        Phase {
            feedback: late.clone(),
            fault: "bounce",
        },
        Phase {
            feedback: early.clone(),
            fault: "never_deliver",
        },
        Phase {
            feedback: early,
            fault: "bounce",
        },
        Phase {
            feedback: late,
            fault: "never_deliver",
        },
    ]
}

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("feedback", Some(Store::Sqlite));
    let application = Application::start().await?;
    let mut stand = Stand::start(play).await?;
    let made = json!({"url": application.url, "description": "drill"});
    stand.call(&Ask::with_json("POST", "/v1/webhooks", &made)).await?;

    let begun = Instant::now();
    let mut sent = BTreeMap::new();
    let share = play.rounds.div_ceil(4);
    for (number, phase) in (0..).zip(phases()) {
        stand.control(&Ask::with_json("PUT", "/_sim/feedback", &phase.feedback)).await?;
        let fault = json!({"mode": phase.fault, "rate": 0.1});
        for (provider, _) in PROVIDERS {
            super::faults::put(&stand.web, stand.control, provider, &fault).await?;
        }
        let last = (share * (number + 1)).min(play.rounds);
        sent.extend(send(&stand, play.seed, share * number..last).await?);
    }
    let sending = begun.elapsed();
    for (provider, _) in PROVIDERS {
        super::faults::heal(&stand.web, stand.control, provider).await?;
    }
    let reported = all_reported(&stand).await?;
    let bounces = hand_in(&stand).await?;
    let all = judge::arrivals(&stand, sent).await?;
    let settled = judge::settled(&stand, &all, LIMIT).await?;
    application.quiet(LIMIT).await?;

    report.tell("messages", all.len());
    report.tell("sent in", seconds(sending));
    report.tell("reports posted, copies included", reported);
    report.tell("bounces of SMTP handed in, each twice", bounces);
    report.tell("all settled after", settled.map_or_else(|| "never".to_owned(), seconds));
    for (end, name) in [("parked", "that came before our commit"), ("known", "that were copies")] {
        let label = format!("end=\"{end}\"");
        let count = stand.server.metric("ums_feedback_events_total", &label).await.unwrap_or_default();
        // Without any the drill shows nothing.
        report.hold(&format!("reports {name}"), count, "> 0", count > 0.0);
    }
    judge(&stand, &all, &application, &mut report).await?;
    stand.lives()?;
    Ok(report)
}

/// Sends the messages of these numbers, by each provider in turn; returns them by recipient.
async fn send(stand: &Stand, seed: u64, numbers: std::ops::Range<u64>) -> Result<BTreeMap<String, Sent>> {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let sent = Arc::new(Mutex::new(BTreeMap::new()));
    let hand = async || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(());
            }
            let (to, message) = send_one(stand, seed, number).await?;
            sent.lock().unwrap_or_else(PoisonError::into_inner).insert(to, message);
        }
    };
    let hands = (0..HANDS).map(|_| hand());
    for ended in join_all(hands).await {
        ended?;
    }
    let all = std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(all)
}

async fn join_all<T>(hands: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut hands: Vec<_> = hands.map(|hand| (Box::pin(hand), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (hand, ended) in &mut hands {
            if ended.is_none() {
                match hand.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *ended = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    hands.into_iter().filter_map(|(_, ended)| ended).collect()
}

async fn send_one(stand: &Stand, seed: u64, number: u64) -> Result<(String, Sent)> {
    let at = usize::try_from(number)? % PROVIDERS.len();
    let (simulated, provider) = PROVIDERS[at];
    let (path, to, body) = if provider.ends_with("sns") || provider == "twilio" {
        let to = format!("+1416555{:04}", 100 + number);
        let body = json!({"to": to, "message_body": format!("drill {seed} {number}"), "via": provider});
        ("/v1/sms", to, body)
    } else {
        let to = format!("drill-{number}@host{}.example.com", number % 7);
        let body = json!({"to": to, "subject": format!("drill {seed} {number}"), "text_content": "Hello", "via": provider});
        ("/v1/emails", to, body)
    };
    let answer = stand.call(&Ask::with_json("POST", path, &body)).await?;
    let id = answer["message_id"].as_str().context("an answer without an id")?.to_owned();
    let sent = Sent {
        id,
        provider: simulated,
        fault: None,
    };
    Ok((to, sent))
}

/// Waits until the simulator has nothing more to report; tells how many reports were taken.
async fn all_reported(stand: &Stand) -> Result<u64> {
    let start = Instant::now();
    loop {
        let state = stand.control(&Ask::get("/_sim/feedback")).await?;
        let waiting = state["stats"]["waiting"].as_u64().context("no figures of the feedback")?;
        let unwritten = state["logs_waiting"].as_u64().unwrap_or_default();
        if waiting == 0 && unwritten == 0 {
            let lost = state["stats"]["lost"].as_u64().unwrap_or_default();
            ensure!(lost == 0, "{lost} reports were not taken by the service");
            return Ok(state["stats"]["taken"].as_u64().unwrap_or_default());
        }
        ensure!(start.elapsed() < LIMIT, "{waiting} reports still wait");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Hands in what mail servers would have sent back, each twice; tells how many.
async fn hand_in(stand: &Stand) -> Result<usize> {
    let answer = stand.control(&Ask::get("/_sim/bounces")).await?;
    let bounces = answer["bounces"].as_array().context("no bounces")?;
    for bounce in bounces {
        let report = bounce["dsn"].as_str().context("a bounce without its report")?;
        for _ in 0..2 {
            stand.hand_in(report).await?;
        }
    }
    Ok(bounces.len())
}
