//! The project's own commands: `cargo xtask test | bench | drill | fuzz | tidy | gen | postgres`.
//!
//! Kept to a few crates of others and none of ours, so that it builds soon and can judge a tree whose
//! crates do not compile.

#![expect(clippy::print_stdout, reason = "a command line tool reports on stdout")]
#![expect(clippy::print_stderr, reason = "a command line tool reports faults on stderr")]
#![expect(
    clippy::disallowed_methods,
    reason = "a build tool at the edge: it measures, waits and reads its environment"
)]

mod arguments;
mod bench;
mod binary;
mod drill;
mod fuzz;
mod generate;
mod pooler;
mod postgres;
mod prerequisites;
mod process;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use crate::arguments::{Arguments, Usage};
use crate::workspace::Workspace;

const HELP: &str = "\
The project's own commands.

Usage: cargo xtask <COMMAND> [--help]

Commands:
  test      everything that judges a change: format, lints, rules, tests, test beds, official SDKs
  bench     senders measured side by side against the same sinks
  drill     the service under load while everything around it breaks, and a judge
  fuzz      what reads strangers' bytes, under a fuzzer
  tidy      the rules of the house that no compiler checks
  gen       write (or --check) the files that are generated from the code
  postgres  a scratch PostgreSQL for tests that you run yourself
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let arguments = Arguments::new(words);
    let workspace = Workspace::here();
    let outcome = match command.as_str() {
        "test" => test::main(&workspace, arguments),
        "bench" => bench::main(&workspace, arguments),
        "drill" => drill::main(&workspace, arguments),
        "fuzz" => fuzz::main(&workspace, arguments),
        "tidy" => tidy::main(&workspace, arguments),
        "gen" => generate::main(&workspace, arguments),
        "postgres" => postgres::main(&workspace, arguments),
        "-h" | "--help" | "help" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        "" => Err(Usage("no command given".to_owned()).into()),
        other => Err(Usage(format!("no such command: {other}")).into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Usage>() => {
            eprintln!("error: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
