//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! A check is a pure function from the tree to complaints; each has a test that plants the fault.

mod architecture;
mod dependencies;
mod dialects;
mod edges;
mod fixtures;
mod floors;
mod links;
mod markers;
mod modules;
mod problems;
mod sizes;
mod sleeps;
mod tokens;
mod tree;
mod unused;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::process::output;
use crate::workspace::Workspace;
use tree::Tree;

const HELP: &str = "\
Checks the rules of the house that no compiler checks.

Usage: cargo xtask tidy
";

/// A check of the files: its name, the rule, and the function.
type FileCheck = (&'static str, &'static str, fn(&Tree) -> Vec<String>);

const FILE_CHECKS: &[FileCheck] = &[
    ("floors", "the modules of a crate use one another in one direction", floors::check),
    (
        "architecture",
        "ARCHITECTURE.md says which crates and modules may use which",
        architecture::check,
    ),
    ("sizes", "a file over 500 lines says why in its header", sizes::check),
    ("markers", "nothing is left for later in a comment", markers::check),
    ("dialects", "two dialects of SQL, one shape", dialects::check),
    ("fixtures", "every fixture is used by a test", fixtures::check),
    ("sleeps", "no test sleeps", sleeps::check),
    ("problems", "every error code has its page", problems::check),
    ("links", "links between our pages resolve", links::check),
];

/// The command.
pub(crate) fn main(workspace: &Workspace, mut arguments: Arguments) -> Result<()> {
    if arguments.wants_help() {
        print!("{HELP}\nChecks:\n");
        println!("  {:12} {}", "edges", edges::RULE);
        println!("  {:12} {}", "dependencies", dependencies::RULE);
        println!("  {:12} {}", "unused", unused::RULE);
        for (name, rule, _) in FILE_CHECKS {
            println!("  {name:12} {rule}");
        }
        return Ok(());
    }
    arguments.finish()?;
    check(workspace)
}

/// Runs every check; one error names all that was found.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let tree = Tree::read(workspace.root())?;
    let metadata = metadata(workspace)?;
    let policy = std::fs::read_to_string(workspace.path("deny.toml")).context("reading deny.toml")?;

    let mut complaints = Vec::new();
    let mut report = |name: &str, found: Vec<String>| {
        println!("   {name}: {}", if found.is_empty() { "ok" } else { "BROKEN" });
        complaints.extend(found.into_iter().map(|complaint| format!("  [{name}] {complaint}")));
    };
    report("edges", edges::check(&metadata));
    report("dependencies", dependencies::check(&metadata, &policy));
    report("unused", unused::check(&metadata, &tree));
    for (name, _, check) in FILE_CHECKS {
        report(name, check(&tree));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("{} complaints:\n{}", complaints.len(), complaints.join("\n"))
}

/// What cargo knows about our crates and all that they use.
fn metadata(workspace: &Workspace) -> Result<Value> {
    let mut command = workspace.cargo(["metadata", "--format-version", "1"]);
    command.args(Workspace::lock_words());
    serde_json::from_str(&output(&mut command)?).context("reading cargo's metadata")
}
