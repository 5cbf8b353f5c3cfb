//! `ums completions`: a script that completes the command line in a shell.

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::output;

/// Arguments of `ums completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums completions bash > /etc/bash_completion.d/ums
  ums completions zsh > ~/.zfunc/_ums
  ums completions fish > ~/.config/fish/completions/ums.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "ums", &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
