//! The one place that writes to standard output: results, as tables for people or JSON for programs.
//!
//! Everything else (logs, errors, progress) goes to standard error.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;
use ums_core::terminal;

use crate::log;

/// A line above, one below the headings, one at the end.
const LINES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// Writes a text for people and ends its line. Whatever others wrote in it, a terminal is not commanded by it.
///
/// # Errors
/// When standard output is closed for another reason than a reader that went away (`| head`).
pub(crate) fn text(text: &str) -> Result<()> {
    write(&terminal::shown(text))
}

fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.trim_end_matches('\n').as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}

/// Writes a text of a command that goes on: in a thread of its own, so that nothing waits for whoever reads it.
///
/// # Errors
/// When there is no thread.
pub(crate) fn text_aside(text: String) -> Result<()> {
    let printer = std::thread::Builder::new().name("print".to_owned());
    let print = move || {
        if let Err(error) = self::text(&text) {
            tracing::debug!(%error, "a text could not be printed");
        }
    };
    printer.spawn(print).context("starting a thread to print in")?;
    Ok(())
}

/// Writes a value as JSON, indented.
///
/// # Errors
/// As [`text`].
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value).context("making JSON")?;
    write(&terminal::shown_json(&json))
}

/// Writes something as JSON for programs or as text for people.
///
/// # Errors
/// As [`text`].
pub(crate) fn either(as_json: bool, value: &impl Serialize, for_people: impl FnOnce() -> String) -> Result<()> {
    if as_json { json(value) } else { text(&for_people()) }
}

/// A table with these headings, as wide as the terminal allows.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(LINES)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings.to_vec());
    table
}

/// Writes a word to people where errors belong, for what is none.
pub(crate) fn note(text: &str) {
    log::tell(&terminal::shown(&format!("{text}\n")));
}

/// Writes an error where errors belong, with its causes and what to do if we know it.
pub(crate) fn error(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str("  because: ");
        text.push_str(&cause.to_string());
        text.push('\n');
    }
    log::tell(&terminal::shown(&text));
}
