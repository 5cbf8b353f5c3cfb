//! Notes the git commit for `ums --version`; without git, or outside a clone, there is none.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let commit = own_repository().then(|| git(&["rev-parse", "--short=12", "HEAD"])).flatten();
    if let Some(log) = commit.as_ref().and_then(|_| git(&["rev-parse", "--git-path", "logs/HEAD"]))
        && Path::new(&log).is_file()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    let version = commit.map_or_else(
        || env!("CARGO_PKG_VERSION").to_owned(),
        |commit| format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
    );
    println!("cargo::rustc-env=UMS_VERSION={version}");
}

/// Whether the repository around us is ours: a copy of the sources may lie in somebody else's.
fn own_repository() -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .and_then(|root| root.canonicalize().ok());
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
    root.is_some() && root == top
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(words)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
