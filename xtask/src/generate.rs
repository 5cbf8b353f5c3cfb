//! `cargo xtask gen`: files that are generated from the code, so that docs cannot drift from it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::arguments::Arguments;
use crate::binary;
use crate::process::output;
use crate::workspace::Workspace;

const HELP: &str = "\
Writes the files that are generated from the code.

Usage: cargo xtask gen [--check]

Options:
  --check  write nothing; fail if a file is not what would be written
";

/// A file, and the words after `ums` that print it.
const FILES: &[(&str, &[&str])] = &[
    (".env.example", &["config", "docs", "--format", "env"]),
    ("docs/env.md", &["config", "docs", "--format", "markdown"]),
    ("docs/openapi.json", &["openapi"]),
    ("docs/providers/aws_ses.md", &["config", "docs", "--provider", "aws_ses"]),
    ("docs/providers/aws_sns.md", &["config", "docs", "--provider", "aws_sns"]),
    ("docs/providers/console.md", &["config", "docs", "--provider", "console"]),
    ("docs/providers/sendgrid.md", &["config", "docs", "--provider", "sendgrid"]),
    ("docs/providers/smtp.md", &["config", "docs", "--provider", "smtp"]),
    ("docs/providers/twilio.md", &["config", "docs", "--provider", "twilio"]),
];

/// The command.
pub(crate) fn main(workspace: &Workspace, mut arguments: Arguments) -> Result<()> {
    if arguments.wants_help() {
        print!("{HELP}\nFiles:\n");
        for (file, words) in FILES {
            println!("  {file:27} from: ums {}", words.join(" "));
        }
        return Ok(());
    }
    let only_check = arguments.flag("--check");
    arguments.finish()?;
    let binary = binary::ums(workspace)?;
    if only_check {
        return compare(workspace, &binary);
    }
    for (file, words) in FILES {
        let path = workspace.path(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, generated(workspace, &binary, words)?).with_context(|| format!("writing {file}"))?;
        println!("wrote {file}");
    }
    Ok(())
}

/// The step of the suite: every generated file must be what the code says.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let binary = binary::ums(workspace)?;
    compare(workspace, &binary)
}

fn compare(workspace: &Workspace, binary: &Path) -> Result<()> {
    let mut stale = Vec::new();
    for (file, words) in FILES {
        let wanted = generated(workspace, binary, words)?;
        let present = std::fs::read_to_string(workspace.path(file)).unwrap_or_default();
        match first_difference(&present, &wanted) {
            None => println!("   {file} is up to date"),
            Some(line) => stale.push(format!("  - {file}, from line {line}")),
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    bail!("stale files, run `cargo xtask gen`:\n{}", stale.join("\n"))
}

/// The first line, counted from 1, in which two texts differ.
fn first_difference(present: &str, wanted: &str) -> Option<usize> {
    if present == wanted {
        return None;
    }
    let same = present
        .split('\n')
        .zip(wanted.split('\n'))
        .take_while(|(present, wanted)| present == wanted)
        .count();
    Some(same + 1)
}

/// What `ums <words>` prints, whoever's settings lie around.
fn generated(workspace: &Workspace, binary: &Path, words: &[&str]) -> Result<String> {
    let text = output(binary::isolated(workspace, binary)?.args(words))?;
    Ok(format!("{}\n", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("", "a\n"), Some(1));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
    }
}
