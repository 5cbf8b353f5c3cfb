//! Builds the `ums` binary and says where it lies.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::process::shown;
use crate::workspace::Workspace;

/// Builds `ums` in the development profile.
///
/// Cargo unites the features of all that it builds at once. On a judge's clean clone the step
/// `test` has just built everything with the features of the tests, and naming the same again
/// compiles nothing twice; a developer's folder holds both kinds, and other crates may be broken.
pub(crate) fn ums(workspace: &Workspace) -> Result<PathBuf> {
    let command = workspace.cargo(if Workspace::in_ci() {
        &["build", "--workspace", "--tests", "--bins"][..]
    } else {
        &["build", "--package", "ums", "--bin", "ums"][..]
    });
    built(command)
}

/// Builds `ums` in the release profile.
pub(crate) fn ums_release(workspace: &Workspace) -> Result<PathBuf> {
    built(workspace.cargo(["build", "--release", "--package", "ums", "--bin", "ums"]))
}

fn built(mut command: Command) -> Result<PathBuf> {
    command
        .args(Workspace::lock_words())
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    eprintln!("   $ {}", shown(&command));
    let output = command.output().context("starting cargo")?;
    ensure!(output.status.success(), "the ums binary does not build");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| path_in(&message))
        .context("cargo names no ums binary")
}

/// The path in cargo's message about the binary itself, not about its unit tests.
fn path_in(message: &Value) -> Option<PathBuf> {
    let is_binary = message.pointer("/target/kind/0")?.as_str()? == "bin"
        && message.pointer("/target/name")?.as_str()? == "ums"
        && !message.pointer("/profile/test")?.as_bool()?;
    if !is_binary {
        return None;
    }
    message.get("executable")?.as_str().map(PathBuf::from)
}

/// The binary in an empty environment and folder: a developer's settings have no say.
pub(crate) fn isolated(workspace: &Workspace, binary: &Path) -> Result<Command> {
    let home = workspace.scratch("beds/home")?;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &home)
        .current_dir(&home);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::path_in;

    #[test]
    fn the_binary_is_told_from_its_tests() {
        let message = |name: &str, test: bool| {
            json!({"reason": "compiler-artifact", "executable": "/t/ums",
                   "target": {"kind": ["bin"], "name": name}, "profile": {"test": test}})
        };
        assert_eq!(path_in(&message("ums", false)), Some(PathBuf::from("/t/ums")));
        assert_eq!(path_in(&message("ums", true)), None);
        assert_eq!(path_in(&message("xtask", false)), None);
        assert_eq!(path_in(&json!({"reason": "build-finished"})), None);
    }
}
