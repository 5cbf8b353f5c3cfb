//! Strangers hold every connection, drip heads and bodies, read no answers and try keys; callers post and an
//! orchestrator probes as if nobody else were there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::{Report, percentile, seconds};
use super::stage::{Stage, Store, fixed_address};
use super::web::{Ask, Lost, Web};
use super::{Play, settings, settle};

/// Connections that the service takes, and strangers of each kind.
const CONNECTIONS: &str = "\n[limits]\nmax_connections = 64\n";
const STRANGERS: usize = 40;
/// Those that try keys, all from one address.
const GUESSERS: usize = 8;
/// Pass figures: a probe's answer, and refusals that the guessers get in a second after the first ten.
const PROBE_TIME: Duration = Duration::from_secs(1);
const FREE_REFUSALS: u64 = 10;
/// When messages expire, in seconds.
const EXPIRES_IN: u64 = 60;

/// What a stranger does with its connection.
#[derive(Debug, Clone, Copy)]
enum Stranger {
    Silent,
    DripsHead,
    DripsBody,
    ReadsNothing,
    TriesKeys,
}

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("door", None);
    let settings = format!("{}{CONNECTIONS}", settings::QUICK);
    let mut stage = Stage::set(play.workspace, "door", &play.binary, Store::Sqlite, &settings)?;
    let mut chance = Chance::of(play.seed, "door");
    let (at, probes_at) = (fixed_address(&mut chance)?, fixed_address(&mut chance)?);
    stage.set_setting("UMS_PROBE_LISTEN", &probes_at.to_string());
    let (server, _) = stage.serve(at).await?;

    let refusals = Arc::new(AtomicU64::new(0));
    let mut strangers = crowd(at, &refusals);
    // They are all there before anybody else comes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mix = Mix {
        expires_in: EXPIRES_IN,
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    let (before, start, length) = (refusals.load(Ordering::Relaxed), Instant::now(), Duration::from_secs(play.rounds));
    let (probed, asked) = tokio::join!(
        ask_on(probes_at, &["/livez", "/readyz"], true, length),
        ask_on(at, &["/v1/providers/health"], false, length)
    );
    let refused = refusals.load(Ordering::Relaxed) - before;
    let most = FREE_REFUSALS + GUESSERS as u64 * (start.elapsed().as_secs() + 1);
    let seen = Arc::clone(load.seen());
    let accepted = seen.accepted.load(Ordering::Relaxed);
    strangers.abort_all();
    while strangers.join_next().await.is_some() {}
    load.finish().await?;
    settle::settled(&server, Duration::from_secs(EXPIRES_IN + 30)).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;

    report.tell("probes", probed.times.len() + probed.failed.len());
    report.none_of("probes not answered with 200 in time", &probed.failed);
    report.within("probes, p99", percentile(&probed.times, 99), PROBE_TIME);
    report.tell("callers' questions", asked.times.len());
    report.none_of("callers' questions not answered", &asked.failed);
    report.tell("callers' questions asked twice", asked.again);
    report.tell("callers' questions, p99", seconds(percentile(&asked.times, 99)));
    report.hold("posts accepted meanwhile", accepted, "≥ 20", accepted >= 20);
    let late = seen.late.load(Ordering::Relaxed) + seen.unreached.load(Ordering::Relaxed);
    report.hold("posts not taken", late, "0", late == 0);
    report.tell("connections of callers broken", seen.broken.load(Ordering::Relaxed));
    report.hold("refusals of wrong keys", refused, &format!("≤ {most}"), refused <= most);
    report.none_of("posts refused for good", &seen.refused());
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    Ok(report)
}

/// What a series of questions met.
#[derive(Debug, Default)]
struct Asked {
    times: Vec<Duration>,
    failed: Vec<String>,
    again: usize,
}

/// Asks again and again; an orchestrator opens a connection for each question, a caller keeps it.
async fn ask_on(at: SocketAddr, paths: &[&str], is_fresh: bool, length: Duration) -> Asked {
    let (mut asked, mut web, start) = (Asked::default(), Web::new(), Instant::now());
    while start.elapsed() < length {
        for path in paths {
            if is_fresh {
                web = Web::new();
            }
            let mut ask = Ask::get(path);
            ask.limit = PROBE_TIME;
            let begun = Instant::now();
            let mut answer = web.ask(at, &ask).await;
            // A caller whose connection was turned out asks once more; an orchestrator does not.
            if !is_fresh && matches!(answer, Err(Lost::Broken)) {
                asked.again += 1;
                answer = web.ask(at, &ask).await;
            }
            match answer {
                Ok(answer) if answer.status == 200 => asked.times.push(begun.elapsed()),
                Ok(answer) => asked.failed.push(format!("{path}: {}", answer.status)),
                Err(lost) => asked.failed.push(format!("{path}: {lost:?}")),
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    asked
}

/// Sends the strangers, each kind from an address of its own; they come back whenever they are turned out.
fn crowd(at: SocketAddr, refusals: &Arc<AtomicU64>) -> JoinSet<()> {
    let kinds = [
        (Stranger::Silent, STRANGERS),
        (Stranger::DripsHead, STRANGERS),
        (Stranger::DripsBody, STRANGERS),
        (Stranger::ReadsNothing, STRANGERS),
        (Stranger::TriesKeys, GUESSERS),
    ];
    let mut crowd = JoinSet::new();
    for ((kind, count), last) in kinds.into_iter().zip(2_u8..) {
        for _ in 0..count {
            let refusals = Arc::clone(refusals);
            crowd.spawn(async move {
                loop {
                    if let Ok(stream) = connect(Ipv4Addr::new(127, 0, 0, last), at).await {
                        // Being turned out is what it is here for.
                        let _turned_out = kind.stay(stream, &refusals).await;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            });
        }
    }
    crowd
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(to).await
}

impl Stranger {
    async fn stay(self, mut stream: TcpStream, refusals: &AtomicU64) -> std::io::Result<()> {
        let mut answer = [0; 4_096];
        match self {
            Self::Silent => drop(stream.read(&mut answer).await?),
            Self::DripsHead => {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-drip: ").await?;
                drip(&mut stream).await?;
            }
            Self::DripsBody => {
                let head = b"POST /hooks/sendgrid HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
                stream.write_all(head).await?;
                drip(&mut stream).await?;
            }
            Self::ReadsNothing => loop {
                stream.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n").await?;
            },
            Self::TriesKeys => loop {
                let head = b"GET /v1/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer wrong\r\n\r\n";
                stream.write_all(head).await?;
                if stream.read(&mut answer).await? == 0 {
                    break;
                }
                refusals.fetch_add(1, Ordering::Relaxed);
            },
        }
        Ok(())
    }
}

/// A byte at a time, until the connection ends.
async fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    loop {
        stream.write_all(b"x").await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
