//! `ums dev` in a folder of its own, and the ways to talk to its two halves.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::drill::chance::Chance;
use crate::drill::stage::{Server, fixed_address, isolated};
use crate::drill::web::{Ask, Web};
use crate::drill::{Play, settings};
use crate::postgres::remove_left_overs;
use crate::process::Background;

/// Time `ums dev` has to open its ports.
const READY: Duration = Duration::from_mins(1);
/// Longest time of `ums feedback dsn`.
const HANDED_IN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Stand {
    pub(super) web: Web,
    pub(super) server: Server,
    /// Where the simulator is controlled.
    pub(super) control: SocketAddr,
    binary: PathBuf,
    folder: PathBuf,
}

impl Stand {
    pub(super) async fn start(play: &Play<'_>) -> Result<Self> {
        let parent = play.workspace.scratch("drill")?;
        remove_left_overs(&parent, "feedback-sqlite-");
        let folder = parent.join(format!("feedback-sqlite-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("data"))?;
        eprintln!("   logs: {}", folder.display());
        std::fs::write(
            folder.join("ums.toml"),
            format!("{}{}{}", settings::QUICK, settings::NOT_ASKED, settings::QUICK_WEBHOOKS),
        )?;
        let listen = fixed_address(&mut Chance::of(play.seed, "addresses"))?;
        let ports_file = folder.join("ports.json");
        let mut command = isolated(&play.binary, &folder);
        command
            .env("UMS_CONFIG", folder.join("ums.toml"))
            .args(["dev", "--listen", &listen.to_string(), "--data"])
            .arg(folder.join("data"))
            .arg("--ports-file")
            .arg(&ports_file);
        for name in ["http", "ses", "sns", "sendgrid", "twilio", "smtp"] {
            command.args([&format!("--{name}-port"), "0"]);
        }
        let mut process = Background::start("dev", &command, &folder)?;
        let addresses = process.wait_for_json(&ports_file, READY)?;
        let address = |name: &str| -> Result<SocketAddr> {
            let text = addresses[name].as_str().with_context(|| format!("no address of {name}"))?;
            text.parse().with_context(|| format!("the address of {name}"))
        };
        let web = Web::new();
        let mut server = Server::of(process, address("service")?, &web);
        server.ready().await?;
        Ok(Self {
            control: address("http")?,
            server,
            web,
            binary: play.binary.clone(),
            folder,
        })
    }

    /// Asks the service.
    pub(super) async fn call(&self, ask: &Ask<'_>) -> Result<Value> {
        self.ask(self.server.at, ask).await
    }

    /// Asks the simulator's control.
    pub(super) async fn control(&self, ask: &Ask<'_>) -> Result<Value> {
        self.ask(self.control, ask).await
    }

    async fn ask(&self, at: SocketAddr, ask: &Ask<'_>) -> Result<Value> {
        let mut ask = ask.clone();
        ask.limit = Duration::from_mins(1);
        let answer = self.web.ask(at, &ask).await;
        let answer = answer.map_err(|lost| anyhow::anyhow!("{} {}: {lost:?}", ask.method, ask.path))?;
        let text = String::from_utf8_lossy(&answer.text);
        ensure!(answer.is_success(), "{} {}: {} {text}", ask.method, ask.path, answer.status);
        Ok(answer.json())
    }

    /// Pipes a bounce message into `ums feedback dsn`, as a mail server would.
    pub(super) async fn hand_in(&self, report: &str) -> Result<()> {
        let database = format!("sqlite://{}", self.folder.join("data/ums.db").display());
        let mut command = isolated(&self.binary, &self.folder);
        command
            .envs([("UMS_ENV", "development"), ("UMS_DATABASE_URL", &database)])
            .env("UMS_SECRET_KEY", "only-for-development-no-secret-at-all")
            .args(["feedback", "dsn"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let report = report.to_owned();
        let piped = tokio::task::spawn_blocking(move || -> Result<std::process::Output> {
            let mut child = command.spawn().context("starting ums feedback dsn")?;
            let mut input = child.stdin.take().context("no way in")?;
            input.write_all(report.as_bytes())?;
            drop(input);
            Ok(child.wait_with_output()?)
        });
        let ended = tokio::time::timeout(HANDED_IN, piped).await;
        let ended = ended.context("ums feedback dsn does not end")???;
        ensure!(
            ended.status.success(),
            "ums feedback dsn: {} {}",
            ended.status,
            String::from_utf8_lossy(&ended.stderr)
        );
        Ok(())
    }

    /// Fails if the service has ended.
    pub(super) fn lives(&mut self) -> Result<()> {
        ensure!(self.server.ended().is_none(), "ums dev ended\n{}", self.server.process.tail());
        Ok(())
    }
}
