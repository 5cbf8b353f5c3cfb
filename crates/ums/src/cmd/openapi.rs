//! `ums openapi`: the description of the HTTP interface, as the running service serves it.

use anyhow::Result;

use crate::exit::Exit;
use crate::output;

/// Arguments of `ums openapi`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums openapi > openapi.json")]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_: &Args) -> Result<Exit> {
    output::json(&ums_server::openapi_document(env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::Done)
}
