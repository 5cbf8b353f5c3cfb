//! Holds what the service says against what the simulator did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::application::Application;
use super::stand::Stand;
use crate::drill::report::Report;
use crate::drill::web::Ask;

/// A message, as it was sent and as the simulator took it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: String,
    /// The simulator's word for its provider.
    pub(super) provider: &'static str,
    /// What the simulator did to it.
    pub(super) fault: Option<String>,
}

impl Sent {
    /// The status that follows from all that is reported (design: feedback).
    fn status(&self) -> &'static str {
        match (self.fault.as_deref(), self.provider) {
            // SNS says that the number is invalid: it failed, nothing came back.
            (Some("bounce"), "sns") => "failed",
            (Some("bounce"), _) => "bounced",
            // SMTP has no receipts; a provider that stays silent gives none.
            (_, "smtp") | (Some("never_deliver"), _) => "sent",
            _ => "delivered",
        }
    }

    /// Whether its recipient must be on the list afterwards.
    fn is_suppressed(&self) -> bool {
        self.status() == "bounced"
    }

    /// How many different reports there were.
    fn reports(&self) -> usize {
        let (bounced, silent) = (
            self.fault.as_deref() == Some("bounce"),
            self.fault.as_deref() == Some("never_deliver"),
        );
        match self.provider {
            "smtp" => usize::from(bounced),
            "sns" => usize::from(!silent),
            _ => 2 - usize::from(silent),
        }
    }

    /// What the application must have been told of it, each once.
    fn notices(&self) -> BTreeSet<String> {
        let kinds = ["sent", self.status()];
        kinds.iter().map(|kind| format!("message.{kind}")).collect()
    }
}

type All = BTreeMap<String, Sent>;

/// Adds to what was sent what the simulator did to it.
pub(super) async fn arrivals(stand: &Stand, mut sent: All) -> Result<All> {
    let mut after = 0;
    loop {
        let page = stand.control(&Ask::get(&format!("/_sim/messages?after={after}&limit=500"))).await?;
        let messages = page["messages"].as_array().context("no messages")?;
        let Some(last) = messages.last() else {
            return Ok(sent);
        };
        after = last["seq"].as_u64().context("no number")?;
        for message in messages {
            let to = message["to"][0].as_str().unwrap_or_default();
            let known = sent.get_mut(to).with_context(|| format!("nobody sent to {to}"))?;
            known.fault = message["fault"].as_str().map(str::to_owned);
        }
    }
}

/// Waits until every message has the status that is due; tells how long, or none if some never have.
pub(super) async fn settled(stand: &Stand, all: &All, most: Duration) -> Result<Option<Duration>> {
    let start = Instant::now();
    while start.elapsed() < most {
        if wrong(all, &statuses(stand).await?).is_empty() {
            return Ok(Some(start.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(None)
}

/// Status of every message by its id.
async fn statuses(stand: &Stand) -> Result<BTreeMap<String, String>> {
    let rows = pages(stand, "/v1/messages?limit=200").await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(rows.iter().map(|row| (text(&row["message_id"]), text(&row["status"]))).collect())
}

async fn pages(stand: &Stand, path: &str) -> Result<Vec<Value>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = stand.call(&Ask::get(&format!("{path}{cursor}"))).await?;
        all.extend(page["data"].as_array().context("a page without data")?.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

fn wrong(all: &All, statuses: &BTreeMap<String, String>) -> Vec<String> {
    let is = |sent: &Sent| statuses.get(&sent.id).map_or("missing", String::as_str).to_owned();
    all.values()
        .filter(|sent| is(sent) != sent.status())
        .map(|sent| {
            let fault = sent.fault.as_deref().unwrap_or("no fault");
            format!(
                "{} by {} under {fault}: {}, not {}",
                sent.id,
                sent.provider,
                is(sent),
                sent.status()
            )
        })
        .collect()
}

/// Adds the figures that are judged.
pub(super) async fn judge(stand: &Stand, all: &All, application: &Application, report: &mut Report) -> Result<()> {
    for (fault, name) in [("bounce", "let bounce"), ("never_deliver", "never delivered")] {
        let hit = all.values().filter(|sent| sent.fault.as_deref() == Some(fault)).count();
        report.tell(&format!("messages {name}"), hit);
    }
    report.none_of("messages without the status that is due", &wrong(all, &statuses(stand).await?));
    report.none_of("messages whose story lacks a report or has it twice", &stories(stand, all).await?);
    suppressions(stand, all, report).await?;
    notices(all, application, report);
    no_contact(stand, all, report).await
}

/// Every report is in its message's story exactly once, so nothing is parked.
async fn stories(stand: &Stand, all: &All) -> Result<Vec<String>> {
    let mut off = Vec::new();
    for sent in all.values() {
        let story = stand.call(&Ask::get(&format!("/v1/messages/{}", sent.id))).await?;
        let events = story["events"].as_array().map_or(0, Vec::len);
        if events != sent.reports() {
            off.push(format!(
                "{} by {}: {events} reports, not {}",
                sent.id,
                sent.provider,
                sent.reports()
            ));
        }
    }
    Ok(off)
}

async fn suppressions(stand: &Stand, all: &All, report: &mut Report) -> Result<()> {
    let entries = pages(stand, "/v1/suppressions?limit=500").await?;
    let mut listed: BTreeMap<String, u64> = BTreeMap::new();
    for entry in &entries {
        *listed.entry(entry["address"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let due: BTreeSet<&String> = all.iter().filter(|(_, sent)| sent.is_suppressed()).map(|(to, _)| to).collect();
    let missing = due.iter().filter(|to| listed.get(**to) != Some(&1));
    let off: Vec<String> = missing
        .map(|to| format!("{to}: {} entries", listed.get(*to).copied().unwrap_or_default()))
        .chain(
            listed
                .keys()
                .filter(|to| !due.contains(to))
                .map(|to| format!("{to}: nothing came back from it")),
        )
        .collect();
    report.tell("addresses on the suppression list", listed.len());
    report.none_of("addresses not there exactly once, or without cause", &off);
    Ok(())
}

fn notices(all: &All, application: &Application, report: &mut Report) {
    let (taken, refused) = application.notices();
    let mut off = Vec::new();
    for (to, sent) in all {
        let of = |kind: &String| taken.get(&(sent.id.clone(), kind.clone())).map_or(0, BTreeSet::len);
        let own = taken.range((sent.id.clone(), String::new())..);
        let own = own.take_while(|((about, _), _)| *about == sent.id);
        let told: BTreeSet<String> = own.map(|((_, kind), _)| kind.clone()).collect();
        let due = sent.notices();
        if told != due || due.iter().any(|kind| of(kind) != 1) {
            let told: Vec<String> = told.iter().map(|kind| format!("{kind} {}×", of(kind))).collect();
            off.push(format!("{} by {}: {} instead of {due:?}", sent.id, sent.provider, told.join(", ")));
        }
        let listed = taken.get(&(to.clone(), "suppression.created".to_owned())).map_or(0, BTreeSet::len);
        if listed != usize::from(sent.is_suppressed()) {
            off.push(format!("{to} by {}: told {listed} times that it is on the list", sent.provider));
        }
    }
    report.tell(
        "notices that the application took",
        taken.values().map(BTreeSet::len).sum::<usize>(),
    );
    report.tell("notices that it refused at first", refused);
    report.none_of("messages and addresses of which it was not told once for each change", &off);
}

/// Nobody on the list is written to again, whichever provider is asked for.
async fn no_contact(stand: &Stand, all: &All, report: &mut Report) -> Result<()> {
    let before = arrived(stand).await?;
    let mut off = Vec::new();
    for (to, _) in all.iter().filter(|(_, sent)| sent.is_suppressed()) {
        let (path, body) = if to.starts_with('+') {
            ("/v1/sms", json!({"to": to, "message_body": "again"}))
        } else {
            ("/v1/emails", json!({"to": to, "subject": "again", "text_content": "again"}))
        };
        let answer = stand.call(&Ask::with_json("POST", path, &body)).await?;
        if answer["status"] != "suppressed" {
            off.push(format!("{to}: {}", answer["status"]));
        }
    }
    report.none_of("messages to suppressed addresses that did not end as such", &off);
    let after = arrived(stand).await?;
    report.hold("of these arrived at a provider", after - before, "0", after == before);
    Ok(())
}

async fn arrived(stand: &Stand) -> Result<u64> {
    let stats = stand.control(&Ask::get("/_sim/stats")).await?;
    stats["messages"].as_u64().context("no figures")
}
