//! The providers' official SDKs, unchanged, against our simulator.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::LIMIT;
use super::beds::fresh_ports_file;
use super::tally::Tally;
use crate::binary;
use crate::prerequisites::{debian, python};
use crate::process::{Background, run_seen};
use crate::workspace::Workspace;

const SUITE: &str = "tests/sdk/run.py";
/// Time the simulator has to open its ports.
const READY: Duration = Duration::from_secs(30);
const PORTS: [&str; 6] = [
    "--http-port",
    "--ses-port",
    "--sns-port",
    "--sendgrid-port",
    "--twilio-port",
    "--smtp-port",
];

/// The step.
pub(crate) fn step(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let venv = python::provide(workspace)?;
    let source = debian::smtp_source(workspace)?;
    let binary = binary::ums(workspace)?;

    let logs = workspace.scratch("beds/logs")?;
    let ports_file = fresh_ports_file(workspace, "simulator")?;
    let mut command = binary::isolated(workspace, &binary)?;
    command.arg("simulator").arg("--ports-file").arg(&ports_file);
    for port in PORTS {
        command.args([port, "0"]);
    }
    let mut simulator = Background::start("simulator", &command, &logs)?;
    simulator.wait_for_json(&ports_file, READY)?;

    let mut suite = venv.python(&workspace.path(SUITE));
    suite
        .arg("--ports-file")
        .arg(&ports_file)
        .arg("--smtp-source")
        .arg(source.describe())
        .arg("--ums")
        .arg(&binary);
    suite.envs(source.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
    run_seen(&suite, LIMIT, |line| tally.see_python(line)).with_context(|| simulator.tail())
}
