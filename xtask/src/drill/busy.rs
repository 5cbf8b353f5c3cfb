//! Receivers that never stop talking: providers and an application answer every call with a flood, and the service serves on.

mod receivers;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use self::receivers::{Flood, Receiver};
use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::{Report, percentile};
use super::stage::{Stage, Store, fixed_address};
use super::web::Ask;
use super::{Play, settings, settle};

/// No breaker opens, so that every message calls every receiver; applications are told on this machine.
const ALL_ARE_CALLED: &str = "
[webhooks]
retry = [\"1s\", \"1s\"]
allow_http = true
allow_private = [\"127.0.0.0/8\"]
";
/// The time of `/livez` that must hold for 99 of 100.
const PROMPT: Duration = Duration::from_millis(20);
/// How long an answer is waited for.
const GIVEN_UP: Duration = Duration::from_secs(2);
const LOOKS_A_SECOND: u32 = 50;
const CALLS_A_SECOND: u32 = 30;
/// How long receivers behave while messages are posted: what the same work takes without a flood.
const QUIET: Duration = Duration::from_secs(2);
const SETTLED: Duration = Duration::from_mins(2);

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("busy", Some(Store::Sqlite));
    let text = format!(
        "{}{ALL_ARE_CALLED}",
        settings::QUICK.replace("[breaker]", "[breaker]\nfailures = 1000\nmin_calls = 100000")
    );
    let mut stage = Stage::set(play.workspace, "busy", &play.binary, Store::Sqlite, &text)?;
    let floods = [
        ("smtp", Flood::ContinuationLines),
        ("ses", Flood::Informational),
        ("sendgrid", Flood::Chunks),
        ("twilio", Flood::BytesOfHeaders),
    ];
    let mut receivers = Vec::new();
    for (name, flood) in floods {
        receivers.push((name, Receiver::start(flood, Some(stage.address(name)?))?));
    }
    let application = Receiver::start(Flood::Anything, None)?;
    for (name, receiver) in &receivers {
        let url = format!("http://{}", receiver.at);
        match *name {
            "smtp" => stage.set_setting("SMTP_PORT", &receiver.at.port().to_string()),
            "ses" => stage.set_setting("AWS_ENDPOINT_URL_SESV2", &url),
            "sendgrid" => stage.set_setting("SENDGRID_API_URL", &url),
            _ => stage.set_setting("TWILIO_API_URL", &url),
        }
    }
    stage.set_setting("UMS_EMAIL_CHAIN", "smtp,aws_ses,sendgrid");
    stage.set_setting("UMS_SMS_CHAIN", "twilio");
    let at = fixed_address(&mut Chance::of(play.seed, "addresses"))?;
    let (server, _) = stage.serve(at).await?;
    let made = json!({"url": format!("http://{}/told", application.at)});
    let answer = stage.web.ask(at, &Ask::with_json("POST", "/v1/webhooks", &made)).await;
    ensure!(answer.is_ok_and(|answer| answer.is_success()), "no endpoint was made");

    let mix = Mix {
        batches: 0,
        scheduled: 0,
        // Else a message whose outcome nobody knows waits for feedback, and calls nobody.
        duplicates: Some("allow"),
        expires_in: 300,
        per_second: Some(CALLS_A_SECOND),
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    let before = look(at, QUIET).await?;
    set_calm(&receivers, &application, false);
    let looks = look(at, Duration::from_secs(play.rounds)).await?;
    set_calm(&receivers, &application, true);
    let seen = load.finish().await?;
    let settled = settle::settled(&server, SETTLED).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;

    for (name, receiver) in &receivers {
        report.hold(
            &format!("calls answered with a flood: {name}"),
            receiver.floods(),
            "≥ 1",
            receiver.floods() > 0,
        );
    }
    report.hold(
        "notices answered with a flood",
        application.floods(),
        "≥ 1",
        application.floods() > 0,
    );
    report.tell("looks at /livez", looks.len());
    report.tell("/livez without a flood, 99 of 100", format!("{:.1?}", percentile(&before, 99)));
    report.tell("/livez, middle", format!("{:.1?}", percentile(&looks, 50)));
    let slow = percentile(&looks, 99);
    report.hold("/livez, 99 of 100", format!("{slow:.1?}"), "≤ 20 ms", slow <= PROMPT);
    report.tell("/livez, longest", format!("{:.1?}", percentile(&looks, 100)));
    report.hold("everything ended", settled.is_some(), "true", settled.is_some());
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    Ok(report)
}

fn set_calm(receivers: &[(&str, Receiver)], application: &Receiver, is_calm: bool) {
    for (_, receiver) in receivers {
        receiver.set_calm(is_calm);
    }
    application.set_calm(is_calm);
}

/// Looks at `/livez` as an orchestrator does, each time on a connection of its own, from a thread that nothing else runs on.
async fn look(at: SocketAddr, time: Duration) -> Result<Vec<Duration>> {
    let has_to_stop = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&has_to_stop);
    let looking = std::thread::spawn(move || {
        let mut took = Vec::new();
        while !stop.load(Ordering::Acquire) {
            let start = Instant::now();
            let is_alive = look_once(at);
            took.push(if is_alive { start.elapsed() } else { GIVEN_UP });
            std::thread::sleep((Duration::from_secs(1) / LOOKS_A_SECOND).saturating_sub(start.elapsed()));
        }
        took
    });
    tokio::time::sleep(time).await;
    has_to_stop.store(true, Ordering::Release);
    let joined = tokio::task::spawn_blocking(move || looking.join()).await?;
    joined.ok().context("the looks at /livez broke off")
}

fn look_once(at: SocketAddr) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&at, GIVEN_UP)?;
        stream.set_read_timeout(Some(GIVEN_UP))?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}
