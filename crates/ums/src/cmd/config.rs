//! `ums config`: what holds, whether it is right, and what there is to set.

use anyhow::Result;
use serde::Serialize;
use ums_config::{Fault, LoadOptions, Settings};
use ums_core::ProviderKind;

use crate::exit::Exit;
use crate::input::word;
use crate::{output, settings};

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show every setting that holds and where it came from; secrets are masked
    Show(Show),
    /// Name everything that is missing, wrong or at odds
    Check(Check),
    /// Print the reference of all settings
    Docs(Docs),
}

/// Arguments of `ums config show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums config show
  ums config show --all --json")]
pub(crate) struct Show {
    /// Show settings that are not set, too
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums config check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 all is well, 2 something is wrong. Values are never printed.

Examples:
  ums config check
  ums config check --serve --json")]
pub(crate) struct Check {
    /// Check what `ums serve` needs, too: a key, unless in development on loopback
    #[arg(long)]
    serve: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `ums config docs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ums config docs
  ums config docs --format env > .env
  ums config docs --provider aws_ses")]
pub(crate) struct Docs {
    /// A page to read, a .env to fill in, or the configuration file with its defaults
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    /// The page of a provider instead: what its answers mean
    #[arg(long, value_parser = word::<ProviderKind>(ProviderKind::WORDS), conflicts_with = "format")]
    provider: Option<ProviderKind>,
}

/// Forms of the reference.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// A page to read
    Markdown,
    /// A .env to fill in
    Env,
    /// The configuration file (`UMS_CONFIG`) with its defaults
    Toml,
}

/// Runs the command.
pub(crate) fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Show(args) => show(&args),
        Command::Check(args) => check(&args),
        Command::Docs(args) => {
            output::text(&match (args.provider, args.format) {
                (Some(provider), _) => ums_providers::page(provider),
                (None, Format::Markdown) => ums_config::env_markdown(),
                (None, Format::Env) => ums_config::env_example(),
                (None, Format::Toml) => ums_config::DEFAULT_CONFIG.to_owned(),
            })?;
            Ok(Exit::Done)
        }
    }
}

fn show(args: &Show) -> Result<Exit> {
    let settings = settings::of_process()?;
    let is_set = |shown: &&ums_config::Shown| args.all || shown.origin != ums_config::Origin::Default;
    let lines: Vec<_> = ums_config::show(&settings).iter().filter(is_set).collect();
    output::either(args.json, &lines, || {
        let mut table = output::table(&["setting", "value", "from"]);
        for line in &lines {
            table.add_row([&line.name, &line.value, line.origin.as_str()]);
        }
        let rest = if args.all {
            ""
        } else {
            "\nAll others have their defaults: see --all."
        };
        format!("{table}{rest}")
    })?;
    Ok(Exit::Done)
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    email_chain: Vec<ums_core::ProviderKind>,
    sms_chain: Vec<ums_core::ProviderKind>,
    not_configured: Vec<ums_core::NotConfigured>,
}

impl Report {
    fn of(loaded: Result<Settings, ums_config::ConfigError>, serve: bool) -> Self {
        let (settings, mut faults) = match loaded {
            Ok(settings) => (Some(settings), Vec::new()),
            Err(error) => (None, error.faults),
        };
        if let Some(Err(error)) = settings.as_ref().filter(|_| serve).map(ums_config::check_serve) {
            faults.extend(error.faults);
        }
        let (warnings, email_chain, sms_chain, not_configured) = settings
            .map(|settings| (settings.warnings, settings.email_chain, settings.sms_chain, settings.not_configured))
            .unwrap_or_default();
        Self {
            ok: faults.is_empty(),
            faults,
            warnings,
            email_chain,
            sms_chain,
            not_configured,
        }
    }

    fn for_people(&self) -> String {
        let mut lines = Vec::new();
        if self.ok {
            let chain = |chain: &[ums_core::ProviderKind]| chain.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", then ");
            let or_none = |text: String| if text.is_empty() { "no provider".to_owned() } else { text };
            lines.push("The configuration is right.".to_owned());
            lines.push(format!("  e-mail: {}", or_none(chain(&self.email_chain))));
            lines.push(format!("  SMS:    {}", or_none(chain(&self.sms_chain))));
        } else {
            lines.push("The configuration is wrong:".to_owned());
            lines.push(settings::list(&self.faults));
        }
        lines.extend(
            self.not_configured
                .iter()
                .map(|left| format!("  not configured: {} (missing {})", left.provider, left.missing.join(", "))),
        );
        if !self.warnings.is_empty() {
            lines.push("Have a look at:".to_owned());
            lines.push(settings::list(&self.warnings));
        }
        lines.join("\n")
    }
}

fn check(args: &Check) -> Result<Exit> {
    let report = Report::of(Settings::from_process(&LoadOptions::service()), args.serve);
    output::either(args.json, &report, || report.for_people())?;
    Ok(settings::exit_of_check(report.faults.len()))
}
