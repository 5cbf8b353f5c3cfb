//! The beds: independent implementations that judge what our providers put on the wire.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::tally::Tally;
use super::{LIMIT, postfix};
use crate::prerequisites::{debian, python};
use crate::process::{Background, free_port, run_seen};
use crate::workspace::Workspace;

/// Time a bed has to get ready; moto takes about 1.2 s on an idle machine.
const READY: Duration = Duration::from_mins(1);

/// The running beds and how the tests find them.
#[derive(Debug)]
pub(crate) struct Beds {
    processes: Vec<Background>,
    postfix: Option<postfix::Server>,
    environment: Vec<(&'static str, String)>,
}

impl Beds {
    /// Starts all of them on free ports of the loopback.
    pub(crate) fn start(workspace: &Workspace) -> Result<Self> {
        let logs = workspace.scratch("beds/logs")?;
        let mut beds = Self {
            processes: Vec::new(),
            postfix: None,
            environment: Vec::new(),
        };
        let venv = python::provide(workspace)?;
        beds.start_moto(&venv, &logs)?;
        beds.start_smtp(workspace, &venv, &logs)?;
        beds.start_sink(workspace, &logs)?;
        beds.start_postfix(workspace, &logs)?;
        Ok(beds)
    }

    /// Tells a command where the beds are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// The ends of all logs, for a failure.
    pub(crate) fn tails(&self) -> String {
        let tails = self.processes.iter().map(Background::tail);
        tails.chain(self.postfix.as_ref().map(postfix::Server::tail)).collect()
    }

    fn export(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        println!("   {name}={value}");
        self.environment.push((name, value));
    }

    fn start_moto(&mut self, venv: &python::Venv, logs: &Path) -> Result<()> {
        let port = free_port()?;
        let mut command = Command::new(venv.program("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut moto = Background::start("moto", &command, logs)?;
        moto.wait_for_port(port, READY)?;
        self.processes.push(moto);
        self.export("UMS_BED_MOTO_URL", format!("http://127.0.0.1:{port}"));
        Ok(())
    }

    fn start_smtp(&mut self, workspace: &Workspace, venv: &python::Venv, logs: &Path) -> Result<()> {
        let ports_file = fresh_ports_file(workspace, "smtp-bed")?;
        let mut command = venv.python(&workspace.path("tests/beds/smtp_bed.py"));
        command
            .arg("--tls-dir")
            .arg(workspace.scratch("beds/tls")?)
            .arg("--ports-file")
            .arg(&ports_file);
        let mut smtp = Background::start("smtp-bed", &command, logs)?;
        let ports = smtp.wait_for_json(&ports_file, READY)?;
        self.processes.push(smtp);
        for (variable, name) in [
            ("UMS_BED_SMTP_ADDR", "plain"),
            ("UMS_BED_SMTP_STARTTLS_ADDR", "starttls"),
            ("UMS_BED_SMTP_TLS_ADDR", "tls"),
            ("UMS_BED_SMTP_WRONG_NAME_ADDR", "wrong_name"),
            ("UMS_BED_SMTP_MANNERS_ADDR", "manners"),
            ("UMS_BED_SMTP_CONTROL", "control"),
            ("UMS_BED_CA_FILE", "ca_file"),
        ] {
            self.export(variable, text(&ports, name)?);
        }
        Ok(())
    }

    fn start_postfix(&mut self, workspace: &Workspace, logs: &Path) -> Result<()> {
        let server = postfix::Server::start(&debian::postfix(workspace)?, logs, READY)?;
        for (variable, address) in &server.addresses {
            self.export(variable, address);
        }
        self.postfix = Some(server);
        Ok(())
    }

    fn start_sink(&mut self, workspace: &Workspace, logs: &Path) -> Result<()> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let mut command = debian::smtp_sink(workspace)?.command();
        command.args(debian::user_words()).args([&address, "128"]);
        let mut sink = Background::start("smtp-sink", &command, logs)?;
        sink.wait_for_port(port, READY)?;
        self.processes.push(sink);
        self.export("UMS_BED_SMTP_SINK_ADDR", address);
        Ok(())
    }
}

/// A file that a program will write when it is ready, and that is not there yet.
pub(crate) fn fresh_ports_file(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let file = workspace.scratch("beds")?.join(format!("{name}-ports.json"));
    match std::fs::remove_file(&file) {
        Ok(()) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(file),
        Err(error) => Err(error).with_context(|| format!("removing {}", file.display())),
    }
}

/// A text of a ports file.
pub(crate) fn text<'a>(ports: &'a Value, name: &str) -> Result<&'a str> {
    ports
        .get(name)
        .and_then(Value::as_str)
        .with_context(|| format!("the ports file has no {name}"))
}

/// The step.
pub(crate) fn step(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let beds = Beds::start(workspace)?;
    // `test = false` in the manifest keeps this target out of a plain `cargo test`, which has no
    // beds. The whole workspace is named so that features are those of the step `test`.
    let mut command = workspace.cargo(["test", "--workspace", "--test", "beds"]);
    command.args(Workspace::lock_words());
    beds.tell(&mut command);
    run_seen(&command, LIMIT, |line| tally.see_cargo(line)).with_context(|| beds.tails())
}
