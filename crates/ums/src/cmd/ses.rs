//! `ums ses`: what has to be done once at Amazon SES before it sends.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use ums_core::{ProviderKind, SystemClock};
use unified_messaging::{IdentityStatus, IdentityVerification};

use crate::exit::{Exit, usage};
use crate::{output, settings};

/// What to do at Amazon SES.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Ask SES to verify a sender, and show how far that is and what to do
    VerifySender(VerifySender),
}

/// Arguments of `ums ses verify-sender`.
#[derive(Debug, clap::Args)]
#[command(after_help = "It may be repeated: a sender that is known already is only asked for.
Exit code: 0 verified, 1 not yet or refused, 2 wrong usage or configuration.

Examples:
  ums ses verify-sender shop@example.com
  ums ses verify-sender example.com --json")]
pub(crate) struct VerifySender {
    /// Address or domain to send from
    #[arg(value_name = "ADDRESS")]
    identity: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How far a verification is.
#[derive(Debug, Serialize)]
struct Progress<'a> {
    identity: &'a str,
    status: &'static str,
    dkim_records: Vec<Record>,
    what_to_do: String,
}

/// A record to publish.
#[derive(Debug, Serialize)]
struct Record {
    name: String,
    r#type: &'static str,
    value: String,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> Result<Exit> {
    let Command::VerifySender(args) = command;
    let identity = args.identity.trim();
    let well_formed = if identity.contains('@') {
        ums_core::EmailAddress::parse(identity).is_ok()
    } else {
        is_domain(identity)
    };
    if !well_formed {
        return Err(usage("the sender must be an e-mail address or a domain"));
    }
    let settings = settings::of_process()?;
    settings::start_quiet_log(&settings)?;
    let asked = unified_messaging::verify_sender(&settings, Arc::new(SystemClock::new()), identity)
        .await
        .map_err(settings::explained)?;
    let Some(outcome) = asked else {
        return Err(usage(format!(
            "Amazon SES is not configured:\n{}",
            settings::missing_of(&settings.not_configured, |kind| kind == ProviderKind::AwsSes)
        )));
    };
    let status = outcome.map_err(|failure| anyhow::anyhow!("SES did not do it: {failure}"))?;
    let progress = progress(identity, &status);
    output::either(args.json, &progress, || for_people(&progress))?;
    Ok(if status.verification == IdentityVerification::Verified {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn is_domain(text: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    text.contains('.') && text.len() <= 253 && text.split('.').all(label)
}

fn progress<'a>(identity: &'a str, status: &IdentityStatus) -> Progress<'a> {
    let is_domain = !identity.contains('@');
    let (word, what_to_do) = match status.verification {
        IdentityVerification::Verified => (
            "verified",
            format!("It may be sent from. Set AWS_SES_FROM_EMAIL={}", example(identity)),
        ),
        IdentityVerification::Pending if is_domain => (
            "pending",
            "Publish the records below; SES looks for them for 72 hours. Then run this again.".to_owned(),
        ),
        IdentityVerification::Pending => (
            "pending",
            "Open the e-mail that SES sent to this address and follow its link within 24 hours. Then run this again.".to_owned(),
        ),
        IdentityVerification::Failed => (
            "failed",
            "SES gave up. Remove the identity in the SES console and run this again.".to_owned(),
        ),
        IdentityVerification::NotFound => (
            "not_found",
            "SES does not know it in this region: check AWS_REGION and run this again.".to_owned(),
        ),
    };
    let records = status.dkim_tokens.iter().filter(|_| is_domain).map(|token| Record {
        name: format!("{token}._domainkey.{identity}"),
        r#type: "CNAME",
        value: format!("{token}.dkim.amazonses.com"),
    });
    Progress {
        identity,
        status: word,
        dkim_records: records.collect(),
        what_to_do,
    }
}

fn example(identity: &str) -> String {
    if identity.contains('@') {
        identity.to_owned()
    } else {
        format!("noreply@{identity}")
    }
}

fn for_people(progress: &Progress<'_>) -> String {
    let text = format!("{}: {}\n{}", progress.identity, progress.status, progress.what_to_do);
    if progress.dkim_records.is_empty() {
        return text;
    }
    let mut table = output::table(&["record", "type", "value"]);
    for record in &progress.dkim_records {
        table.add_row([&record.name, record.r#type, &record.value]);
    }
    format!("{text}\n{table}")
}
