//! `ums dev`: simulator and service on this machine, ready to be called. Nothing leaves it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use tempfile::TempDir;
use ums_config::{Layered, SimulatorUrls};
use ums_core::HookFault;
use ums_providers::feedback::aws::CertificateSource;
use ums_simulator::Simulator;

use super::serve::Running;
use super::simulator::{Ports, addresses, start, write_addresses};
use crate::exit::Exit;
use crate::stop::Stop;
use crate::{output, settings};

/// Arguments of `ums dev`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Provider settings of the environment, .env and AWS's files are ignored: all messages go to the simulator.

Examples:
  ums dev
  ums dev --data ./dev-data
  ums dev --listen 127.0.0.1:0 --http-port 0 --ses-port 0 --sns-port 0 --sendgrid-port 0 --twilio-port 0 --smtp-port 0"
)]
pub(crate) struct Args {
    /// Where the service listens; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = ums_config::place_to_listen, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Keep messages in this folder; else they go to a scratch folder that is removed at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    ports: Ports,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit> {
    if !args.listen.ip().is_loopback() {
        return Err(crate::exit::usage(
            "--listen must be a loopback address: ums dev asks for no key; use `ums serve` for others",
        ));
    }
    let mut stop = Stop::listen()?;
    let layers = Layered::process();
    let data = Data::open(args.data)?;
    let simulator = start(args.ports.config(IpAddr::V4(Ipv4Addr::LOCALHOST), None)).await?;
    let listen = with_port(args.listen)?;
    let dev = ums_config::dev_settings(&layers, &urls(&simulator), data.path(), listen);
    let settings = dev.map_err(|error| settings::wrong(&error))?;
    settings::start_log(&settings)?;
    let certificates = Arc::new(SimulatorsCertificate::of(&simulator));
    let running = Box::pin(Running::start(settings, Some(certificates))).await?;
    let to = format!("http://{}", running.address());
    simulator
        .set_feedback(args.ports.feedback.settings(Some(to)))
        .context("telling the simulator where to report")?;
    if let Some(file) = &args.ports.addresses_file {
        let mut addresses = addresses(&simulator);
        addresses.insert("service".to_owned(), running.address().to_string().into());
        write_addresses(file, &addresses)?;
    }
    output::text_aside(welcome(running.address(), &simulator, &data))?;
    let exit = running.until(&mut stop).await;
    simulator.shutdown().await;
    Ok(exit)
}

/// The certificate of the simulator's own reports, which nothing but this process believes.
#[derive(Debug)]
struct SimulatorsCertificate {
    url: &'static str,
    pem: &'static str,
}

impl SimulatorsCertificate {
    fn of(simulator: &Simulator) -> Self {
        Self {
            url: simulator.certificate_url(),
            pem: simulator.certificate_pem(),
        }
    }
}

#[async_trait]
impl CertificateSource for SimulatorsCertificate {
    async fn certificate(&self, url: &str) -> Result<Vec<u8>, HookFault> {
        if url == self.url {
            Ok(self.pem.as_bytes().to_vec())
        } else {
            Err(HookFault::Refused("not_the_simulators"))
        }
    }
}

/// Where the messages of a run are kept.
#[derive(Debug)]
enum Data {
    /// Removed when dropped.
    Scratch(TempDir),
    /// Kept.
    Folder(PathBuf),
}

impl Data {
    fn open(folder: Option<PathBuf>) -> Result<Self> {
        match folder {
            None => Ok(Self::Scratch(
                tempfile::Builder::new()
                    .prefix("ums-dev-")
                    .tempdir()
                    .context("making a scratch folder")?,
            )),
            Some(folder) => {
                std::fs::create_dir_all(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
                Ok(Self::Folder(folder.canonicalize().context("finding the folder")?))
            }
        }
    }

    fn path(&self) -> &std::path::Path {
        match self {
            Self::Scratch(folder) => folder.path(),
            Self::Folder(folder) => folder,
        }
    }
}

/// Finds a free port for port 0: the settings name it before the service listens on it.
fn with_port(listen: SocketAddr) -> Result<SocketAddr> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    std::net::TcpListener::bind(listen)
        .and_then(|free| free.local_addr())
        .context("finding a free port")
}

/// Where the simulated providers listen.
fn urls(simulator: &Simulator) -> SimulatorUrls {
    SimulatorUrls {
        ses: simulator.ses_url(),
        sns: simulator.sns_url(),
        sendgrid: simulator.sendgrid_url(),
        twilio: simulator.twilio_url(),
        smtp: simulator.smtp_addr(),
        logs: simulator.logs_url(),
        topic_arn: simulator.topic_arn().to_owned(),
        sendgrid_public_key: simulator.sendgrid_public_key(),
    }
}

/// What a person sees who has just started it.
fn welcome(service: SocketAddr, simulator: &Simulator, data: &Data) -> String {
    let control = simulator.http_url();
    let (folder, kept) = match data {
        Data::Scratch(folder) => (folder.path(), "removed at the end; --data DIR keeps them"),
        Data::Folder(folder) => (folder.as_path(), "kept"),
    };
    let folder = folder.display();
    let json = "-H 'Content-Type: application/json'";
    let email = r#"-d '{"to": "customer@example.com", "subject": "Your receipt", "text_content": "Thank you."}'"#;
    let sms = r#"-d '{"to": "+14165550123", "message_body": "Your table is ready"}'"#;
    let fault = r#"-d '{"mode": "error", "status": 503}'"#;
    format!(
        "Unified Messaging Service, for development: all providers are simulated, nothing leaves this machine.

  service    http://{service}
  docs       http://{service}/docs
  simulator  {control}/_sim/messages shows what arrived
  messages   {folder} ({kept})

Try next, in another terminal:

1. Send an e-mail: it goes by Amazon SES.
   curl -s http://{service}/v1/emails {json} {email}

2. Send a text message: it goes by Amazon SNS.
   curl -s http://{service}/v1/sms {json} {sms}

3. Break Amazon SES and send again: it goes by SendGrid.
   curl -s -X PUT {control}/_sim/ses/fault {json} {fault} && curl -s http://{service}/v1/emails {json} {email}
   (heal it: curl -s -X DELETE {control}/_sim/ses/fault)

Stop with Ctrl-C."
    )
}
