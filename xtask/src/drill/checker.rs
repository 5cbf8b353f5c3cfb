//! The judge: holds the promises against the store and against what reached the providers.
//!
//! Pure, so that it can be tested with planted faults: a judge that finds nothing proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::journal::{Ack, Arrival};

/// A provider's clock and ours are one machine's; the order of two writes in a millisecond is not known.
const SLACK: SignedDuration = SignedDuration::from_millis(1_000);

/// A message as the store has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) mark: Option<String>,
    /// Whether it said that it may be doubled: known also where the promise was never heard.
    pub(super) may_duplicate: bool,
    pub(super) status: String,
    pub(super) attempts: Vec<Attempt>,
    /// When an operator had it sent again.
    pub(super) acts: Vec<Timestamp>,
}

impl Row {
    /// Whether it has a status that a message does not leave for work.
    pub(super) fn is_at_an_end(&self) -> bool {
        ENDS.contains(&self.status.as_str())
    }
}

/// An attempt as the store has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Attempt {
    pub(super) provider: String,
    pub(super) outcome: String,
    pub(super) code: Option<String>,
    /// None in the answers of the release before.
    pub(super) called_at: Option<Timestamp>,
    /// When an unknown outcome was settled, if it was.
    pub(super) unknown_until: Option<Timestamp>,
}

impl Attempt {
    /// Whether its outcome was unknown, for a while at least.
    fn was_unknown(&self) -> bool {
        self.outcome == "unknown" || self.unknown_until.is_some()
    }

    /// Whether its outcome was unknown at that time after its call.
    fn was_unknown_at(&self, at: Timestamp) -> bool {
        self.outcome == "unknown" || self.unknown_until.is_some_and(|until| at < until)
    }
}

/// What was found; each name can be looked up in the journals and the store.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Findings {
    pub(super) acks: usize,
    pub(super) rows: usize,
    pub(super) arrivals: usize,
    /// Promised, and not in the store.
    pub(super) lost: Vec<String>,
    /// Promised, and not at an end.
    pub(super) stuck: Vec<String>,
    /// Arrived again with a recorded cause.
    pub(super) explained: Vec<String>,
    /// Arrived again without one.
    pub(super) unexplained: Vec<String>,
    /// Said to be taken by a provider that never saw it.
    pub(super) never_contacted: Vec<String>,
    /// Arrived without an attempt in the store that owns up to it.
    pub(super) untold: Vec<String>,
    /// One key or mark, several messages.
    pub(super) doubled_rows: Vec<String>,
    /// In the store without a promise.
    pub(super) unpromised: Vec<String>,
}

impl Findings {
    /// Adds what was found of other promises.
    pub(super) fn add(&mut self, other: Self) {
        self.acks += other.acks;
        self.rows += other.rows;
        self.arrivals += other.arrivals;
        self.lost.extend(other.lost);
        self.stuck.extend(other.stuck);
        self.explained.extend(other.explained);
        self.unexplained.extend(other.unexplained);
        self.never_contacted.extend(other.never_contacted);
        self.untold.extend(other.untold);
        self.doubled_rows.extend(other.doubled_rows);
        self.unpromised.extend(other.unpromised);
    }
}

/// The ends that a message can come to.
const ENDS: &[&str] = &[
    "sent",
    "delivered",
    "bounced",
    "failed",
    "expired",
    "suppressed",
    "unsubscribed",
    "cancelled",
    "unknown",
];

/// The simulator's word for a provider of ours.
fn sink_word(provider: &str) -> &str {
    match provider {
        "aws_ses" => "ses",
        "aws_sns" => "sns",
        other => other,
    }
}

/// Marks of messages that arrived more than once: their stories are worth asking for.
pub(super) fn repeated(arrivals: &[Arrival]) -> BTreeSet<String> {
    by_mark(arrivals)
        .into_iter()
        .filter(|(_, arrivals)| arrivals.len() > 1)
        .map(|(mark, _)| mark.to_owned())
        .collect()
}

fn by_mark(arrivals: &[Arrival]) -> BTreeMap<&str, Vec<&Arrival>> {
    let mut sorted: BTreeMap<&str, Vec<&Arrival>> = BTreeMap::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.is_recorded()) {
        if let Some(mark) = arrival.mark() {
            sorted.entry(mark).or_default().push(arrival);
        }
    }
    for arrivals in sorted.values_mut() {
        arrivals.sort_by_key(|arrival| arrival.at);
    }
    sorted
}

/// Judges.
pub(super) fn judge(acks: &[Ack], arrivals: &[Arrival], rows: &[Row]) -> Findings {
    let arrived = by_mark(arrivals);
    let mut findings = Findings {
        acks: acks.len(),
        rows: rows.len(),
        arrivals: arrived.values().map(Vec::len).sum(),
        ..Findings::default()
    };
    judge_promises(acks, rows, &mut findings);
    let policies: BTreeMap<&str, bool> = acks.iter().map(|ack| (ack.mark.as_str(), ack.may_duplicate)).collect();
    let mut known = BTreeSet::new();
    for row in rows {
        let Some(mark) = row.mark.as_deref() else {
            findings.untold.push(format!("{}: a row without a mark", row.id));
            continue;
        };
        if !known.insert(mark) {
            findings.doubled_rows.push(format!("{mark}: {} is one of several rows", row.id));
        }
        let came = arrived.get(mark).map_or(&[][..], Vec::as_slice);
        let may_duplicate = policies.get(mark).copied().unwrap_or(row.may_duplicate);
        judge_arrivals(row, came, may_duplicate, &mut findings);
        judge_claims(row, came, &mut findings);
    }
    for mark in arrived.keys().filter(|mark| !known.contains(**mark)) {
        findings.untold.push(format!("{mark}: arrived, and there is no row"));
    }
    findings
}

fn judge_promises(acks: &[Ack], rows: &[Row], findings: &mut Findings) {
    let by_id: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    for ack in acks {
        match by_id.get(ack.id.as_str()) {
            None => findings.lost.push(format!("{} ({})", ack.id, ack.mark)),
            Some(row) if !row.is_at_an_end() => {
                findings.stuck.push(format!("{} ({}) is {}", ack.id, ack.mark, row.status));
            }
            Some(_) => {}
        }
        if let Some(earlier) = ids.insert(&ack.mark, &ack.id)
            && earlier != ack.id
        {
            findings
                .doubled_rows
                .push(format!("key {}: answered with {earlier} and {}", ack.key, ack.id));
        }
    }
    let promised: BTreeSet<&str> = acks.iter().map(|ack| ack.id.as_str()).collect();
    let unpromised = rows.iter().filter(|row| !promised.contains(row.id.as_str()));
    findings.unpromised.extend(unpromised.map(|row| row.id.clone()));
}

/// Every arrival after the first wants a cause: an attempt before it whose outcome was unknown when the
/// next one was made, of a message that may be doubled, or an operator's act between the two.
fn judge_arrivals(row: &Row, came: &[&Arrival], may_duplicate: bool, findings: &mut Findings) {
    let mut causes: Vec<&Attempt> = row.attempts.iter().filter(|attempt| attempt.was_unknown()).collect();
    let mut acts: Vec<Timestamp> = row.acts.clone();
    for pair in came.windows(2) {
        let [earlier, later] = pair else { continue };
        let is_between = |at: Timestamp| at >= earlier.at - SLACK && at <= later.at + SLACK;
        if let Some(at) = acts.iter().position(|act| is_between(*act)) {
            acts.remove(at);
            findings.explained.push(format!("{}: an operator's act", row.id));
            continue;
        }
        let is_cause = |attempt: &&Attempt| {
            let began_before = attempt.called_at.is_none_or(|called_at| called_at <= earlier.at + SLACK);
            sink_word(&attempt.provider) == earlier.provider && began_before && was_unknown_for(row, attempt, later)
        };
        match causes.iter().position(is_cause) {
            Some(at) if may_duplicate => {
                causes.remove(at);
                findings.explained.push(format!("{}: unknown at {}", row.id, earlier.provider));
            }
            Some(_) => findings.unexplained.push(told(row, earlier, later, "and duplicates=never")),
            None => findings
                .unexplained
                .push(told(row, earlier, later, "and no unknown attempt before")),
        }
    }
}

/// Whether the outcome of a cause was unknown when the attempt was made that brought the later arrival: by the attempt's own time, since the
/// sink's clock says only when the message came.
fn was_unknown_for(row: &Row, cause: &Attempt, later: &Arrival) -> bool {
    let brought = |attempt: &&Attempt| sink_word(&attempt.provider) == later.provider && !std::ptr::eq(*attempt, cause);
    let called = row.attempts.iter().filter(brought).filter_map(|attempt| attempt.called_at);
    match called.filter(|called_at| *called_at <= later.at + SLACK).max() {
        Some(called_at) => cause.was_unknown_at(called_at),
        None => cause.outcome == "unknown",
    }
}

fn told(row: &Row, earlier: &Arrival, later: &Arrival, why: &str) -> String {
    let (one, other) = (&earlier.provider, &later.provider);
    format!("{}: {one} at {}, {other} at {}, {why}", row.id, earlier.at, later.at)
}

/// What the store says of each provider against what that provider saw.
fn judge_claims(row: &Row, came: &[&Arrival], findings: &mut Findings) {
    let mut claims: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for attempt in &row.attempts {
        let counts = claims.entry(sink_word(&attempt.provider)).or_default();
        match attempt.outcome.as_str() {
            "accepted" => counts.0 += 1,
            "unknown" | "calling" => counts.1 += 1,
            // A report says that it came to nothing, perhaps after it had arrived.
            _ if attempt.was_unknown() => counts.1 += 1,
            _ => {}
        }
    }
    for arrival in came {
        claims.entry(&arrival.provider).or_default();
    }
    for (provider, (accepted, perhaps)) in claims {
        let seen = came.iter().filter(|arrival| arrival.provider == provider).count();
        if accepted > seen {
            let text = format!("{}: {provider} took it {accepted} times and saw it {seen} times", row.id);
            findings.never_contacted.push(text);
        }
        if seen > accepted + perhaps {
            let owned = accepted + perhaps;
            findings
                .untold
                .push(format!("{}: {provider} saw it {seen} times, the store tells of {owned}", row.id));
        }
    }
    if matches!(row.status.as_str(), "sent" | "delivered") && came.is_empty() {
        findings
            .never_contacted
            .push(format!("{} is {} and arrived nowhere", row.id, row.status));
    }
}

#[cfg(test)]
mod tests;
