//! `ums`: Unified Messaging Service on the command line.
//!
//! One file per command in `cmd/`; results go to standard output, everything else to standard
//! error; [`exit::Exit`] is how a command ends.

mod aftermath;
mod client;
mod cmd;
mod descriptors;
mod exit;
mod input;
mod log;
mod output;
mod progress;
mod service;
mod settings;
mod stop;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use exit::Exit;

/// Gives large blocks back to the machine when they are freed, whichever thread frees them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sends e-mail and SMS, and gets them through although a provider is down.
#[derive(Debug, Parser)]
#[command(name = "ums", version = env!("UMS_VERSION"), arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = "Start here, without any account:
  ums dev

Settings come from the environment, .env and UMS_CONFIG: see `ums config docs`.
Exit code: 0 done, 1 the message failed or a check found something, 2 wrong usage or configuration, 3 held.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What can be done.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the whole service on this machine with simulated providers: no account, no set-up
    Dev(cmd::dev::Args),
    /// Run the service
    Serve(cmd::serve::Args),
    /// Send one message
    #[command(subcommand)]
    Send(cmd::send::Command),
    /// Show how each provider does, and why
    Health(cmd::health::Args),
    /// Look at the providers, take one out of service, bring it back, have it asked
    #[command(subcommand)]
    Providers(cmd::providers::Command),
    /// Show which time the service goes by, or say that the machine's clock is right
    #[command(subcommand)]
    Clock(cmd::clock::Command),
    /// Look at messages, stop them, send them again
    #[command(subcommand)]
    Messages(cmd::messages::Command),
    /// Look at and change the list of those who must not be contacted
    #[command(subcommand)]
    Suppressions(cmd::suppressions::Command),
    /// Tell your application what becomes of messages
    #[command(subcommand)]
    Webhooks(cmd::webhooks::Command),
    /// Read what providers report afterwards, by hand
    #[command(subcommand)]
    Feedback(cmd::feedback::Command),
    /// Amazon SES set-up
    #[command(subcommand)]
    Ses(cmd::ses::Command),
    /// Say what a provider's answer means; nothing is sent
    Classify(cmd::classify::Args),
    /// Count the parts of a text message; nothing is sent
    Estimate(cmd::estimate::Args),
    /// Look at the configuration
    #[command(subcommand)]
    Config(cmd::config::Command),
    /// Bring the database to this program's schema
    Migrate(cmd::migrate::Args),
    /// Write a backup of the database while the service runs
    Backup(cmd::backup::Args),
    /// Put a backup in the database's place; nothing that waited goes out by itself
    Restore(cmd::restore::Args),
    /// Print the OpenAPI description of the HTTP interface
    Openapi(cmd::openapi::Args),
    /// Run the simulated providers alone
    Simulator(cmd::simulator::Args),
    /// Print a script that completes this command line in a shell
    Completions(cmd::completions::Args),
}

fn main() -> ExitCode {
    // Only in a build for tests: it ends itself at a named point, to prove that nothing is lost there.
    if let Some((point, nth)) = ums_config::failpoint() {
        ums_core::failpoint::arm(&point, nth.get());
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nobody is left to be told when this fails.
            drop(error.print());
            return exit.into();
        }
    };
    let exit = run(cli.command).unwrap_or_else(|error| {
        output::error(&error);
        exit::of_error(&error)
    });
    log::flush();
    exit.into()
}

fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Classify(args) => cmd::classify::run(&args),
        Command::Estimate(args) => cmd::estimate::run(args),
        Command::Config(command) => cmd::config::run(command),
        Command::Openapi(args) => cmd::openapi::run(&args),
        Command::Completions(args) => cmd::completions::run(&args),
        Command::Dev(args) => on_all_cores(cmd::dev::run(args)),
        Command::Serve(args) => on_all_cores(cmd::serve::run(args)),
        Command::Simulator(args) => on_all_cores(cmd::simulator::run(args)),
        Command::Send(command) => on_one_core(cmd::send::run(command)),
        Command::Health(args) => on_one_core(cmd::health::run(args)),
        Command::Providers(command) => on_one_core(cmd::providers::run(command)),
        Command::Clock(command) => on_one_core(cmd::clock::run(command)),
        Command::Messages(command) => on_one_core(cmd::messages::run(command)),
        Command::Suppressions(command) => on_one_core(cmd::suppressions::run(command)),
        Command::Webhooks(command) => on_one_core(cmd::webhooks::run(command)),
        Command::Feedback(cmd::feedback::Command::Check(args)) => cmd::feedback::run_check(args),
        Command::Feedback(cmd::feedback::Command::Dsn(args)) => {
            Ok(cmd::feedback::for_mail_server(on_one_core(cmd::feedback::run_dsn(args))))
        }
        Command::Migrate(args) => on_one_core(cmd::migrate::run(args)),
        Command::Backup(args) => on_one_core(cmd::backup::run(args)),
        Command::Restore(args) => on_one_core(cmd::restore::run(args)),
        Command::Ses(command) => on_one_core(cmd::ses::run(command)),
    }
}

/// Longest time that the end of a service waits for threads that are stuck, as in a write to an output that nobody reads.
const STUCK_THREADS_TIME: Duration = Duration::from_secs(1);

/// For what runs until it is told to stop.
fn on_all_cores(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let exit = runtime.block_on(work);
    runtime.shutdown_timeout(STUCK_THREADS_TIME);
    exit
}

/// For what does one thing.
fn on_one_core(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command, path: &str) {
            let is_group = command.has_subcommands();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(is_group || help.contains("Example"), "{path} has no examples");
            for sub in command.get_subcommands() {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        check(&Cli::command(), "ums");
    }

    #[test]
    fn the_page_of_the_command_line_names_every_command_and_option() {
        const PAGE: &str = include_str!("../../../docs/cli.md");
        fn check(command: &clap::Command, path: &str) {
            if command.has_subcommands() {
                command
                    .get_subcommands()
                    .for_each(|sub| check(sub, &format!("{path} {}", sub.get_name())));
                return;
            }
            assert!(PAGE.contains(&format!("**`{path}`**")), "docs/cli.md does not tell of {path}");
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(
                    PAGE.contains(&format!("--{option}")),
                    "docs/cli.md does not tell of --{option} of {path}"
                );
            }
        }
        check(&Cli::command(), "ums");
    }
}
