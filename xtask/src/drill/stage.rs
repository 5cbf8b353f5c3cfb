//! What a drill is played on: a sink that survives everything, servers that do not, and a database.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::chance::Chance;
use super::journal::Journals;
use super::web::{Ask, KEY, Web};
use crate::binary;
use crate::postgres::{Cluster, remove_left_overs};
use crate::process::Background;
use crate::workspace::Workspace;

/// Time a program has to get ready before the drill gives up; pass figures are sharper.
const READY: Duration = Duration::from_mins(1);

/// Where the messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// One drill's folder, sink and database.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) folder: PathBuf,
    pub(super) journals: Journals,
    pub(super) web: Web,
    pub(super) store: Store,
    pub(super) cluster: Option<Cluster>,
    binary: PathBuf,
    sink: Background,
    addresses: Value,
    settings: Vec<(String, String)>,
    starts: u32,
}

impl Stage {
    /// Builds an empty stage; `settings` is the text of the file that `UMS_CONFIG` names.
    pub(super) fn set(workspace: &Workspace, drill: &str, binary: &Path, store: Store, settings: &str) -> Result<Self> {
        let (parent, name) = (workspace.scratch("drill")?, format!("{drill}-{}-", store.word()));
        // What an earlier one left lies there until the next, to be looked at.
        remove_left_overs(&parent, &name);
        let folder = parent.join(format!("{name}{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        eprintln!("   journals and logs: {}", folder.display());
        let journals = Journals::within(&folder);
        std::fs::write(&journals.acks, "")?;
        let ports_file = folder.join("sink.json");
        let mut command = isolated(binary, &folder);
        command.arg("simulator");
        for name in ["http", "ses", "sns", "sendgrid", "twilio", "smtp"] {
            command.args([&format!("--{name}-port"), "0"]);
        }
        command
            .arg("--ports-file")
            .arg(&ports_file)
            .arg("--journal")
            .arg(&journals.arrivals);
        let mut sink = Background::start("sink", &command, &folder)?;
        let addresses = sink.wait_for_json(&ports_file, READY)?;
        let cluster = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Cluster::start_new(workspace, drill)?),
        };
        std::fs::write(folder.join("ums.toml"), settings)?;
        let mut stage = Self {
            journals,
            web: Web::new(),
            store,
            cluster,
            binary: binary.to_owned(),
            sink,
            addresses,
            settings: Vec::new(),
            starts: 0,
            folder,
        };
        stage.settings = stage.environment()?;
        Ok(stage)
    }

    /// Where the sink's control interface listens.
    pub(super) fn control(&self) -> Result<SocketAddr> {
        self.address("http")
    }

    /// Where a provider of the sink listens.
    pub(super) fn address(&self, name: &str) -> Result<SocketAddr> {
        let text = self.addresses.get(name).and_then(Value::as_str);
        text.with_context(|| format!("the sink tells no address of {name}"))?
            .parse()
            .context("an address of the sink")
    }

    /// Changes a setting of the servers that are started from now on.
    pub(super) fn set_setting(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    fn environment(&self) -> Result<Vec<(String, String)>> {
        let url = |name: &str| self.address(name).map(|address| format!("http://{address}"));
        let smtp = self.address("smtp")?;
        let database = match &self.cluster {
            None => format!("sqlite://{}", self.folder.join("ums.db").display()),
            Some(cluster) => cluster.url(),
        };
        let pairs = [
            ("UMS_API_KEY", KEY.to_owned()),
            ("UMS_SECRET_KEY", "drill-secret-drill-secret-drill-secret".to_owned()),
            ("UMS_DATABASE_URL", database),
            ("UMS_CONFIG", self.folder.join("ums.toml").display().to_string()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE00".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "drill".repeat(8)),
            ("AWS_ENDPOINT_URL_SESV2", url("ses")?),
            ("AWS_ENDPOINT_URL_SNS", url("sns")?),
            ("AWS_SES_FROM_EMAIL", "shop@example.com".to_owned()),
            ("SENDGRID_API_KEY", format!("SG.drillsendgridkey0000000.{}", "c".repeat(43))),
            ("SENDGRID_FROM_EMAIL", "shop@example.com".to_owned()),
            ("SENDGRID_API_URL", url("sendgrid")?),
            ("TWILIO_ACCOUNT_SID", format!("AC{}", "a".repeat(32))),
            ("TWILIO_AUTH_TOKEN", "drill-token-drill-token-drill-tok".to_owned()),
            ("TWILIO_PHONE_NUMBER", "+14155550100".to_owned()),
            ("TWILIO_API_URL", url("twilio")?),
            ("SMTP_HOST", smtp.ip().to_string()),
            ("SMTP_PORT", smtp.port().to_string()),
            ("SMTP_TLS", "none".to_owned()),
            ("SMTP_FROM_EMAIL", "shop@example.com".to_owned()),
        ];
        Ok(pairs.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// `ums words…` with the servers' settings.
    pub(super) fn ums(&self, words: &[&str]) -> Command {
        self.ums_of(&self.binary, words)
    }

    /// The same of another build.
    pub(super) fn ums_of(&self, binary: &Path, words: &[&str]) -> Command {
        let mut command = isolated(binary, &self.folder);
        command.envs(self.settings.iter().map(|(name, value)| (name, value))).args(words);
        command
    }

    /// The program that is drilled.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts a server at an address, behind a prefix such as strace; it is not ready yet.
    pub(super) fn start_server(&mut self, at: SocketAddr, failpoint: Option<&str>, prefix: &[&str]) -> Result<Server> {
        self.starts += 1;
        let at_text = at.to_string();
        let mut command = self.ums(&["serve", "--listen", &at_text]);
        if let Some(failpoint) = failpoint {
            command.env("UMS_FAILPOINT", failpoint);
        }
        if let Some((first, rest)) = prefix.split_first() {
            let mut outer = Command::new(first);
            outer.args(rest).arg(command.get_program()).args(command.get_args()).env_clear();
            outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            if let Some(folder) = command.get_current_dir() {
                outer.current_dir(folder);
            }
            command = outer;
        }
        self.started(&command, at)
    }

    /// Starts a server of another build; it is not ready yet.
    pub(super) fn start_build(&mut self, binary: &Path, at: SocketAddr) -> Result<Server> {
        self.starts += 1;
        let command = self.ums_of(binary, &["serve", "--listen", &at.to_string()]);
        self.started(&command, at)
    }

    fn started(&self, command: &Command, at: SocketAddr) -> Result<Server> {
        let process = Background::start(&format!("server-{}", self.starts), command, &self.folder)?;
        Ok(Server::of(process, at, &self.web))
    }

    /// Starts a server and waits until it is ready; tells how long that took.
    pub(super) async fn serve(&mut self, at: SocketAddr) -> Result<(Server, Duration)> {
        let mut server = self.start_server(at, None, &[])?;
        let took = server.ready().await?;
        Ok((server, took))
    }

    /// Fails if the sink has ended: nothing could be judged then.
    pub(super) fn sink_lives(&mut self) -> Result<()> {
        ensure!(
            self.sink.ended_within(Duration::ZERO).is_none(),
            "the sink ended\n{}",
            self.sink.tail()
        );
        Ok(())
    }
}

/// The program in its own folder without anybody's environment.
pub(super) fn isolated(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .current_dir(folder);
    command
}

/// The binary that is drilled: the one that was named, or the one that is built.
pub(super) fn binary(workspace: &Workspace, named: Option<String>) -> Result<PathBuf> {
    match named {
        Some(path) => std::fs::canonicalize(&path).with_context(|| format!("no such program: {path}")),
        None => binary::ums(workspace),
    }
}

/// An address of the loopback for a server that will come and go.
///
/// Not one that the system gives away: while the server is down, an outgoing connection could get it.
pub(super) fn fixed_address(chance: &mut Chance) -> Result<SocketAddr> {
    // Nor one that another server of this run has, which may be down just now.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..1_000 {
        let port = u16::try_from(chance.within(10_000..=29_999)).unwrap_or(10_000);
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
    }
    bail!("no free port between 10000 and 29999")
}

/// A server; ended when dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) process: Background,
    pub(super) at: SocketAddr,
    started: Instant,
    web: Web,
}

impl Server {
    /// A server whose process was just started elsewhere; it is not ready yet.
    pub(super) fn of(process: Background, at: SocketAddr, web: &Web) -> Self {
        Self {
            process,
            at,
            started: Instant::now(),
            web: web.clone(),
        }
    }

    /// Waits until `/readyz` says yes; tells how long it took from the start of the process.
    pub(super) async fn ready(&mut self) -> Result<Duration> {
        let mut ask = Ask::get("/readyz");
        ask.limit = Duration::from_secs(2);
        loop {
            if self.web.ask(self.at, &ask).await.is_ok_and(|answer| answer.status == 200) {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.process.ended_within(Duration::ZERO) {
                bail!("the server ended with {status} before it was ready\n{}", self.process.tail());
            }
            ensure!(
                self.started.elapsed() < READY,
                "the server was not ready after {READY:?}\n{}",
                self.process.tail()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it has ended by itself, and how.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended_within(Duration::ZERO)
    }

    /// Waits for its end, at most so long.
    pub(super) async fn ends_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if start.elapsed() >= limit {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// `kill -9`; returns when it is gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it for JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.web.ask(self.at, &Ask::get(path)).await;
        let answer = answer.map_err(|lost| anyhow::anyhow!("GET {path}: {lost:?}"))?;
        ensure!(answer.is_success(), "GET {path}: {}", answer.status);
        Ok(answer.json())
    }

    /// The sum of a counter over all its labels, or only of lines that hold `label`; none when it is not there.
    pub(super) async fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let answer = self.web.ask(self.at, &Ask::get("/metrics")).await.ok()?;
        let text = String::from_utf8_lossy(&answer.text).into_owned();
        let values: Vec<f64> = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}
