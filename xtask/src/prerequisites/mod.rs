//! What the suite needs beside Rust: found, or installed under `target/`, or refused with a list.
//!
//! Nothing is skipped for want of a tool, and nothing of the machine is changed when it can be
//! avoided: Python packages go into a venv, Debian packages are unpacked, not installed.

pub(crate) mod debian;
pub(crate) mod python;

use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{find_program, output, run, succeeds};
use crate::workspace::Workspace;

/// Finds or installs all of it; one error names everything that is missing.
pub(crate) fn provide(workspace: &Workspace) -> Result<()> {
    let results = [
        ("rustfmt", component(workspace, "fmt", "rustfmt")),
        ("clippy", component(workspace, "clippy", "clippy")),
        ("Python packages", python::provide(workspace).map(|venv| venv.describe())),
        ("smtp-sink", debian::smtp_sink(workspace).map(|tool| tool.describe())),
        ("smtp-source", debian::smtp_source(workspace).map(|tool| tool.describe())),
        ("Postfix", debian::postfix(workspace).map(|postfix| postfix.describe())),
        ("PostgreSQL", debian::postgres(workspace).map(|postgres| postgres.describe())),
        ("PgBouncer", debian::pgbouncer(workspace).map(|tool| tool.describe())),
        (
            "libfaketime",
            debian::faketime(workspace).map(|library| library.display().to_string()),
        ),
        ("strace", debian::strace(workspace).map(|tool| tool.describe())),
    ];
    let mut missing = Vec::new();
    for (what, result) in results {
        match result {
            Ok(where_it_is) => println!("   {what}: {where_it_is}"),
            Err(error) => missing.push(format!("  - {what}: {error:#}")),
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        bail!("the suite needs what is not here:\n{}", missing.join("\n"))
    }
}

/// A cargo sub-command that comes as a component of the toolchain.
fn component(workspace: &Workspace, word: &str, name: &str) -> Result<String> {
    let present = || succeeds(&mut workspace.cargo([word, "--version"]));
    if !present() && find_program("rustup").is_some() {
        run(Command::new("rustup")
            .args(["component", "add", name])
            .current_dir(workspace.root()))?;
    }
    if !present() {
        bail!("not part of this toolchain; install it with: rustup component add {name}");
    }
    let version = output(&mut workspace.cargo([word, "--version"]))?;
    Ok(version.trim().to_owned())
}
