//! `ums estimate`: how many parts a text message is billed as, and why. Nothing is sent.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use ums_core::request::MAX_SMS_CHARACTERS;
use ums_core::{PhoneNumber, Segments, SendSms};

use crate::exit::{Exit, usage};
use crate::input::Files;
use crate::output;

/// Arguments of `ums estimate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums estimate --to +14165550123 --body 'Your code is 123456'
  ums estimate --to 4165550123 --body-file notice.txt --json")]
pub(crate) struct Args {
    /// Recipient's number: +E.164, or a national number of `UMS_DEFAULT_REGION`
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// The text; - reads standard input
    #[arg(long, value_name = "TEXT", required_unless_present = "body_file", conflicts_with = "body_file")]
    body: Option<String>,
    /// A file with the text; - reads standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a text message takes.
#[derive(Debug, Serialize)]
struct Estimate {
    to: String,
    country_code: u16,
    #[serde(flatten)]
    segments: Segments,
    characters: usize,
    /// No price table yet.
    price: Option<String>,
    currency: &'static str,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<Exit> {
    let region = crate::settings::default_region()?;
    let body = Files::default()
        .given(args.body, args.body_file, 4 * MAX_SMS_CHARACTERS)?
        .unwrap_or_default();
    let number = PhoneNumber::parse(&args.to, region).map_err(|fault| usage(format!("--to {fault}")))?;
    // The same reading as when it is sent, so that what is counted is what would go out.
    let parsed = SendSms::new(args.to, body).parse(region).map_err(usage)?;
    let ums_core::Content::Sms(sms) = parsed.content else {
        return Err(usage("--to is not a phone number"));
    };
    let estimate = Estimate {
        to: number.expose().to_owned(),
        country_code: number.country_code(),
        segments: Segments::of(&sms.body),
        characters: sms.body.chars().count(),
        price: None,
        currency: "USD",
    };
    output::either(args.json, &estimate, || for_people(&estimate))?;
    Ok(Exit::Done)
}

fn for_people(estimate: &Estimate) -> String {
    let Segments {
        encoding,
        segments,
        units,
        offending,
    } = &estimate.segments;
    let mut table = output::table(&["to", "encoding", "characters", "units", "segments", "price"]);
    table.add_row([
        &estimate.to,
        encoding.as_str(),
        &estimate.characters.to_string(),
        &units.to_string(),
        &segments.to_string(),
        "not yet",
    ]);
    let mut text = table.to_string();
    if !offending.is_empty() {
        let list: Vec<String> = offending.iter().map(|c| format!("{c} (U+{:04X})", u32::from(*c))).collect();
        text.push_str("\nUCS-2 because these are not in GSM-7: ");
        text.push_str(&list.join(", "));
    }
    text
}
