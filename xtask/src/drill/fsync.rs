//! Before each 2xx lies a sync that covers it, seen from outside by the system calls.
//!
//! `kill -9` keeps what the kernel holds; only a power cut would not. So the order is asserted: a request is
//! read, then a sync of the database's files begins and ends, then the 2xx is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Stage, Store, fixed_address};
use super::{Play, settings, settle};
use crate::prerequisites::debian;
use crate::process::Background;

/// What is looked at: reading and writing of sockets, and syncs.
const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync";
/// Words of each trace: paths of descriptors, seconds with fractions, enough of the bytes to know a request.
const WORDS: &[&str] = &["-f", "-ttt", "-y", "-s", "48", "-e", CALLS, "-o"];
const EXPIRES_IN: u64 = 60;

pub(super) async fn run(play: &Play<'_>, store: Store) -> Result<Report> {
    let mut report = play.report("fsync", Some(store));
    let mut stage = Stage::set(play.workspace, "fsync", &play.binary, store, settings::QUICK)?;
    let strace = debian::strace(play.workspace)?.describe();
    let server_trace = stage.folder.join("server.strace");
    let database_trace = stage.folder.join("database.strace");
    let tracer = match stage.cluster.as_ref().and_then(crate::postgres::Cluster::id) {
        None => None,
        Some(postmaster) => Some(trace_database(&strace, postmaster, &stage.folder, &database_trace)?),
    };
    let at = fixed_address(&mut Chance::of(play.seed, "address"))?;
    let trace_text = server_trace.display().to_string();
    let mut prefix: Vec<&str> = vec![&strace];
    prefix.extend(WORDS);
    prefix.push(&trace_text);
    let mut server = stage.start_server(at, None, &prefix)?;
    server.ready().await?;
    let mix = Mix {
        messages: play.rounds,
        expires_in: EXPIRES_IN,
        pause: Duration::from_millis(20),
        ..Mix::default()
    };
    let mut load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    load.all_posted().await?;
    let seen = load.finish().await?;
    settle::settled(&server, Duration::from_secs(EXPIRES_IN)).await?;
    let (findings, _) = settle::findings(&stage, &server).await?;
    server.process.signal_alone("-TERM");
    drop(server);
    drop(stage.cluster.take());
    drop(tracer);

    let mut events = read(&server_trace)?;
    if store == Store::Postgres {
        events.extend(read(&database_trace)?);
    }
    let verdict = pair(&events, |path| match store {
        Store::Sqlite => path.contains("ums.db"),
        Store::Postgres => path.contains("/pg_wal/"),
    });
    report.tell(
        "posts answered 2xx, as the callers saw",
        seen.accepted.load(std::sync::atomic::Ordering::Relaxed),
    );
    let accepted = usize::try_from(seen.accepted.load(std::sync::atomic::Ordering::Relaxed))?;
    report.hold(
        "posts answered 2xx, in the trace",
        verdict.answered,
        "as many",
        verdict.answered >= accepted,
    );
    report.tell("syncs of the database", verdict.syncs);
    report.hold(
        "2xx after a sync that covers them",
        verdict.covered,
        "all",
        verdict.covered == verdict.answered,
    );
    report.none_of("2xx without one", &verdict.uncovered);
    report.judged(&findings);
    Ok(report)
}

/// Follows the database's main process and every process that it starts.
fn trace_database(strace: &str, postmaster: u32, folder: &Path, file: &Path) -> Result<Background> {
    let mut command = std::process::Command::new(strace);
    command.args(WORDS).arg(file).args(["-p", &postmaster.to_string()]);
    let mut tracer = Background::start("strace-database", &command, folder)?;
    let log = tracer.log().to_owned();
    tracer
        .wait_until(Duration::from_secs(20), || {
            let text = std::fs::read_to_string(&log).ok()?;
            text.contains("attached").then_some(())
        })
        .context("strace does not attach to the database")?;
    Ok(tracer)
}

/// A system call that ended.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    began: f64,
    ended: f64,
    call: String,
    /// The descriptor with its path or address.
    descriptor: String,
    rest: String,
}

fn read(path: &PathBuf) -> Result<Vec<Event>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let events = parse(&String::from_utf8_lossy(&bytes));
    ensure!(!events.is_empty(), "the trace {} holds no system call", path.display());
    Ok(events)
}

/// Reads `pid seconds call(descriptor, …) = result`, and joins calls that strace shows in two halves.
fn parse(text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut halves: BTreeMap<&str, (f64, String)> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(3, char::is_whitespace).filter(|word| !word.is_empty());
        let (Some(process), Some(rest)) = (words.next(), line.split_once(char::is_whitespace)) else {
            continue;
        };
        let Some((seconds, call)) = rest.1.trim_start().split_once(' ') else {
            continue;
        };
        let Ok(seconds) = seconds.parse::<f64>() else { continue };
        if let Some(first) = call.strip_suffix(" <unfinished ...>") {
            halves.insert(process, (seconds, first.to_owned()));
        } else if let Some(second) = call.strip_prefix("<... ") {
            let Some((began, first)) = halves.remove(process) else { continue };
            let second = second.split_once("resumed>").map_or("", |(_, second)| second);
            events.extend(event(began, seconds, &format!("{first}{second}")));
        } else {
            events.extend(event(seconds, seconds, call));
        }
    }
    events
}

fn event(began: f64, ended: f64, call: &str) -> Option<Event> {
    let (name, rest) = call.split_once('(')?;
    let end = rest.find(", ").or_else(|| rest.find(')'))?;
    let (descriptor, rest) = rest.split_at(end);
    // A call that failed did nothing.
    (!rest.contains(" = -1 ")).then(|| Event {
        began,
        ended,
        call: name.to_owned(),
        descriptor: descriptor.to_owned(),
        rest: rest.to_owned(),
    })
}

#[derive(Debug, Default, PartialEq)]
struct Verdict {
    answered: usize,
    covered: usize,
    syncs: usize,
    uncovered: Vec<String>,
}

/// Finds for each 2xx to a POST a sync that began after the request was read and ended before the answer was written.
fn pair(events: &[Event], is_database: impl Fn(&str) -> bool) -> Verdict {
    let is_sync = |event: &&Event| matches!(event.call.as_str(), "fsync" | "fdatasync") && is_database(&event.descriptor);
    let syncs: Vec<&Event> = events.iter().filter(is_sync).collect();
    let mut verdict = Verdict {
        syncs: syncs.len(),
        ..Verdict::default()
    };
    let mut asked: BTreeMap<&str, f64> = BTreeMap::new();
    let mut in_order: Vec<&Event> = events.iter().collect();
    in_order.sort_by(|one, other| one.ended.total_cmp(&other.ended));
    for event in in_order {
        let is_read = matches!(event.call.as_str(), "read" | "readv" | "recvfrom" | "recvmsg");
        if is_read && event.rest.contains("\"POST /v1/") {
            // A call that ended at the latest now; its true end may be earlier, which is to our disadvantage.
            asked.insert(&event.descriptor, event.began);
        } else if !is_read && event.rest.contains("\"HTTP/1.1 20") {
            let Some(read_at) = asked.remove(event.descriptor.as_str()) else {
                continue;
            };
            verdict.answered += 1;
            if syncs.iter().any(|sync| sync.began >= read_at && sync.ended <= event.ended) {
                verdict.covered += 1;
            } else {
                verdict.uncovered.push(format!("{} at {:.6}", event.descriptor, event.ended));
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::{Verdict, pair, parse};

    const TRACE: &str = "\
100  10.000000 recvfrom(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"POST /v1/emails HTTP/1.1\\r\\nauthori\"..., 8192, 0, NULL, NULL) = 300
101  10.100000 fdatasync(7</x/ums.db-wal> <unfinished ...>
100  10.200000 recvfrom(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, 0x7f, 8192, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
101  10.300000 <... fdatasync resumed>) = 0
100  10.400000 sendto(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"HTTP/1.1 202 Accepted\\r\\nlocation\"..., 500, MSG_NOSIGNAL, NULL, 0) = 500
";

    fn judge(trace: &str) -> Verdict {
        pair(&parse(trace), |path| path.contains("ums.db"))
    }

    #[test]
    fn an_answer_after_its_sync_is_covered() {
        let verdict = judge(TRACE);
        assert_eq!((verdict.answered, verdict.covered, verdict.syncs), (1, 1, 1));
    }

    #[test]
    fn an_answer_before_the_sync_ends_is_found() {
        let early = TRACE.replace("10.400000", "10.250000");
        assert_eq!(judge(&early).uncovered.len(), 1);
        // As is a sync that began before the request was read, one of another file, and none at all.
        let before = TRACE.replace("10.100000", " 9.900000");
        assert_eq!(judge(&before).uncovered.len(), 1);
        let other = TRACE.replace("ums.db-wal", "other.db");
        assert_eq!(judge(&other).uncovered.len(), 1);
        let failed = TRACE.replace("resumed>) = 0", "resumed>) = -1 EIO (Input/output error)");
        assert_eq!(judge(&failed).uncovered.len(), 1);
    }

    #[test]
    fn answers_to_other_questions_are_not_counted() {
        let get = TRACE.replace("POST /v1/emails", "GET /v1/messages");
        assert_eq!(judge(&get).answered, 0);
    }
}
