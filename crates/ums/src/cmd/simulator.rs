//! `ums simulator`: the providers on the wire, with faults, for tests of any program.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ums_simulator::{FeedbackSettings, Provider, Simulator, SimulatorConfig};

use crate::exit::{Exit, usage};
use crate::output;
use crate::stop::Stop;

/// Arguments of `ums simulator`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Port 0 takes any free port; --ports-file tells which.

Examples:
  ums simulator
  ums simulator --journal arrivals.jsonl
  ums simulator --http-port 0 --ses-port 0 --sns-port 0 --sendgrid-port 0 --twilio-port 0 --smtp-port 0 --ports-file ports.json
  curl -X PUT http://127.0.0.1:8081/_sim/ses/fault -d '{\"mode\": \"error\", \"status\": 503}'
  curl -X PUT http://127.0.0.1:8081/_sim/smtp/fault -d '{\"mode\": \"defer\", \"recipients\": [\"busy@example.com\"]}'
  ums simulator --feedback-to http://127.0.0.1:8080 --feedback-delay 0,2000 --feedback-copies 1,5 --feedback-shuffle
  curl http://127.0.0.1:8081/_sim/messages")]
pub(crate) struct Args {
    /// Address of all ports
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    host: IpAddr,
    #[command(flatten)]
    ports: Ports,
    /// Report what became of messages to the service at this URL, signed as the providers do; only `ums dev` trusts Amazon's
    #[arg(long, value_name = "URL")]
    feedback_to: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where the simulator listens and what it is told; `ums dev` has the same.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Simulator")]
pub(crate) struct Ports {
    /// Common port: control at /_sim, and all HTTP providers
    #[arg(long, default_value_t = 8081, value_name = "PORT")]
    http_port: u16,
    /// Amazon SES's own port
    #[arg(long, default_value_t = 8082, value_name = "PORT")]
    ses_port: u16,
    /// Amazon SNS's own port
    #[arg(long, default_value_t = 8083, value_name = "PORT")]
    sns_port: u16,
    /// SendGrid's own port
    #[arg(long, default_value_t = 8084, value_name = "PORT")]
    sendgrid_port: u16,
    /// Twilio's own port
    #[arg(long, default_value_t = 8085, value_name = "PORT")]
    twilio_port: u16,
    /// SMTP port
    #[arg(long, default_value_t = 2525, value_name = "PORT")]
    smtp_port: u16,
    /// Write the addresses to this file, as JSON, once all ports are open
    #[arg(long = "ports-file", value_name = "FILE")]
    pub(crate) addresses_file: Option<PathBuf>,
    /// Append each message that comes to this file, as a line of JSON, before it is answered
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) feedback: Feedback,
}

/// How the simulator reports what became of messages.
#[derive(Debug, clap::Args)]
pub(crate) struct Feedback {
    /// Shortest and longest time from a message to a report of it, in milliseconds
    #[arg(long = "feedback-delay", value_name = "LEAST,MOST", value_delimiter = ',', num_args = 1..=2)]
    delay: Vec<u64>,
    /// Least and most copies of each report
    #[arg(long = "feedback-copies", value_name = "LEAST,MOST", value_delimiter = ',', num_args = 1..=2)]
    copies: Vec<u32>,
    /// Report in any order
    #[arg(long = "feedback-shuffle")]
    shuffle: bool,
    /// Report before the message is answered
    #[arg(long = "feedback-early")]
    early: bool,
}

impl Feedback {
    /// What the simulator is told; reports go below that URL.
    pub(crate) fn settings(&self, to: Option<String>) -> FeedbackSettings {
        let usual = FeedbackSettings::default();
        FeedbackSettings {
            to,
            delay_ms: pair(&self.delay).unwrap_or(usual.delay_ms),
            duplicates: pair(&self.copies).unwrap_or(usual.duplicates),
            shuffle: self.shuffle,
            before_reply: self.early,
        }
    }
}

/// One number stands for both.
fn pair<T: Copy>(numbers: &[T]) -> Option<[T; 2]> {
    Some([*numbers.first()?, *numbers.last()?])
}

impl Ports {
    /// What the simulator is started with.
    pub(crate) fn config(&self, host: IpAddr, feedback_to: Option<String>) -> SimulatorConfig {
        SimulatorConfig {
            host,
            http_port: self.http_port,
            ses_port: self.ses_port,
            sns_port: self.sns_port,
            sendgrid_port: self.sendgrid_port,
            twilio_port: self.twilio_port,
            smtp_port: self.smtp_port,
            journal: self.journal.clone(),
            feedback: self.feedback.settings(feedback_to),
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit> {
    if crate::settings::is_explicitly_production() {
        return Err(usage(
            "UMS_ENV is production: the simulator takes messages and delivers none, so it does not start there",
        ));
    }
    let mut stop = Stop::listen()?;
    let simulator = start(args.ports.config(args.host, args.feedback_to.clone())).await?;
    let addresses = addresses(&simulator);
    if let Some(file) = &args.ports.addresses_file {
        write_addresses(file, &addresses)?;
    }
    let object = serde_json::Value::Object(addresses);
    output::text_aside(if args.json {
        serde_json::to_string_pretty(&object)?
    } else {
        table(&simulator)
    })?;
    stop.requested().await;
    simulator.shutdown().await;
    Ok(Exit::Done)
}

/// Starts a simulator; a port that is taken is the caller's to change.
pub(crate) async fn start(config: SimulatorConfig) -> Result<Simulator> {
    Simulator::start(config)
        .await
        .map_err(anyhow::Error::new)
        .context(crate::exit::Usage(
            "the simulator cannot start; give other ports (such as --http-port 0)".to_owned(),
        ))
}

/// `host:port` of each port, by the name that the control interface uses.
pub(crate) fn addresses(simulator: &Simulator) -> serde_json::Map<String, serde_json::Value> {
    let mut addresses = serde_json::Map::new();
    addresses.insert("http".to_owned(), simulator.http_addr().to_string().into());
    for provider in Provider::ALL {
        addresses.insert(provider.name().to_owned(), simulator.addr(provider).to_string().into());
    }
    addresses
}

/// Writes the addresses under another name first: whoever sees the file may read all of it.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_addresses(file: &Path, addresses: &serde_json::Map<String, serde_json::Value>) -> Result<()> {
    let unfinished = file.with_extension("unfinished");
    std::fs::write(&unfinished, serde_json::to_vec(addresses)?)
        .and_then(|()| std::fs::rename(&unfinished, file))
        .with_context(|| format!("writing {}", file.display()))
}

fn table(simulator: &Simulator) -> String {
    let mut table = output::table(&["provider", "address", "setting of the service or SDK"]);
    table.add_row(["control", &simulator.http_url(), "GET /_sim/messages, PUT /_sim/{provider}/fault"]);
    for provider in Provider::ALL {
        let address = simulator.addr(provider);
        let (shown, setting) = match provider {
            Provider::Ses => (simulator.ses_url(), format!("AWS_ENDPOINT_URL_SESV2={}", simulator.ses_url())),
            Provider::Sns => (simulator.sns_url(), format!("AWS_ENDPOINT_URL_SNS={}", simulator.sns_url())),
            Provider::SendGrid => (simulator.sendgrid_url(), format!("SENDGRID_API_URL={}", simulator.sendgrid_url())),
            Provider::Twilio => (simulator.twilio_url(), format!("TWILIO_API_URL={}", simulator.twilio_url())),
            Provider::Smtp => (
                address.to_string(),
                format!("SMTP_HOST={} SMTP_PORT={} SMTP_TLS=none", address.ip(), address.port()),
            ),
        };
        table.add_row([provider.name(), &shown, &setting]);
    }
    format!("{table}\nNothing sent here reaches anybody. Stop with Ctrl-C.")
}
