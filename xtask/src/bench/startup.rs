//! `cargo xtask bench --startup`: how soon `ums dev` answers, and what it takes of memory when idle.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::figures::Spread;
use crate::binary;
use crate::process::{Background, free_port};
use crate::workspace::Workspace;

const ROUNDS: usize = 5;
/// Most seconds until the first request is answered.
const MAX_START_S: f64 = 2.0;
/// Most megabytes that an idle process takes.
const MAX_IDLE_MB: f64 = 40.0;
/// How long it idles before its memory is read.
const IDLE: Duration = Duration::from_secs(3);
const READY: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(5);
/// Ports that it chooses by itself; the service's own is given.
const ANY_PORTS: [&str; 12] = [
    "--http-port",
    "0",
    "--ses-port",
    "0",
    "--sns-port",
    "0",
    "--sendgrid-port",
    "0",
    "--twilio-port",
    "0",
    "--smtp-port",
    "0",
];

/// One start.
struct Start {
    seconds: f64,
    idle_mb: f64,
    sent_mb: f64,
}

/// Starts the release binary a few times, prints medians with their limits, and gives them as JSON.
pub(crate) fn measure(workspace: &Workspace) -> Result<Value> {
    let program = binary::ums_release(workspace)?;
    let starts: Vec<Start> = (0..ROUNDS).map(|_| start(workspace, &program)).collect::<Result<_>>()?;
    let spread = |get: fn(&Start) -> f64| Spread::of(starts.iter().map(get)).context("nothing was started");
    let (seconds, idle, sent) = (
        spread(|start| start.seconds)?,
        spread(|start| start.idle_mb)?,
        spread(|start| start.sent_mb)?,
    );
    println!("\n`ums dev`, release, medians of {ROUNDS} starts (min-max):");
    println!(
        "  seconds from exec to the first answered request <= {MAX_START_S}: {}",
        judged(seconds, MAX_START_S)
    );
    println!(
        "  megabytes resident, idle for {} s <= {MAX_IDLE_MB}: {}",
        IDLE.as_secs(),
        judged(idle, MAX_IDLE_MB)
    );
    println!("  megabytes resident after 1 message: {:.1}", sent.median);
    Ok(json!({"seconds": seconds.to_json(), "idle_mb": idle.to_json(), "sent_mb": sent.to_json()}))
}

fn judged(spread: Spread, limit: f64) -> String {
    let word = if spread.median <= limit { "met" } else { "MISSED" };
    format!("{:.2} ({:.2}-{:.2}), {word}", spread.median, spread.least, spread.most)
}

fn start(workspace: &Workspace, program: &Path) -> Result<Start> {
    let port = free_port()?;
    let mut command = binary::isolated(workspace, program)?;
    command.args(["dev", "--listen", &format!("127.0.0.1:{port}")]).args(ANY_PORTS);
    let began = Instant::now();
    let mut dev = Background::start("ums-dev", &command, &workspace.scratch("bench/logs")?)?;
    dev.wait_until(READY, || is_answered(port, "GET /readyz", "").ok()?.then_some(()))?;
    let seconds = began.elapsed().as_secs_f64();
    // What is measured is a process that nobody calls, so time must pass.
    sleep(IDLE);
    let idle_mb = resident_mb(dev.id())?;
    let email = r#"{"to": "customer@example.com", "subject": "Your receipt", "text_content": "Thank you."}"#;
    ensure!(is_answered(port, "POST /v1/emails", email)?, "the message was not taken");
    Ok(Start {
        seconds,
        idle_mb,
        sent_mb: resident_mb(dev.id())?,
    })
}

/// Whether a request on a connection of its own gets a 2xx.
fn is_answered(port: u16, request: &str, body: &str) -> Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 2"))
}

fn resident_mb(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    resident_kb(&status).map(|kb| kb / 1_024.0).context("no VmRSS in /proc")
}

fn resident_kb(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Spread, judged, resident_kb};

    #[test]
    fn resident_memory_is_found_and_judged() {
        assert_eq!(resident_kb("Name:\tums\nVmRSS:\t   20480 kB\nThreads:\t3\n"), Some(20_480.0));
        assert_eq!(resident_kb("Name:\tums\n"), None);
        let spread = Spread {
            median: 20.0,
            least: 19.0,
            most: 21.0,
        };
        assert_eq!(judged(spread, 40.0), "20.00 (19.00-21.00), met");
        assert_eq!(judged(spread, 10.0), "20.00 (19.00-21.00), MISSED");
    }
}
