//! The simulator as a whole: started, asked, controlled, stopped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::asked::Asked;
use crate::http::Door;
use crate::journal::Journal;
use crate::listen::{self, Bound};
use crate::panel::Panel;
use crate::port::Port;
use crate::recorder::Filter;
use crate::world::World;
use crate::{Error, Fault, FeedbackSettings, FeedbackStats, Provider, SimMessage, Stats, feedback};

/// Where the simulator listens. Port 0 takes any free port.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// Address of all ports; loopback unless told otherwise.
    pub host: IpAddr,
    /// Names, beside addresses of this machine, by which the control may be asked.
    pub names: Vec<String>,
    /// The common port: control at `/_sim`, providers below `/ses /sns /sendgrid /twilio`.
    pub http_port: u16,
    /// SES's own port.
    pub ses_port: u16,
    /// SNS's own port.
    pub sns_port: u16,
    /// SendGrid's own port.
    pub sendgrid_port: u16,
    /// Twilio's own port.
    pub twilio_port: u16,
    /// SMTP's port.
    pub smtp_port: u16,
    /// File to which each message is appended as a line of JSON before it is answered.
    pub journal: Option<PathBuf>,
    /// What is reported of messages afterwards, and where to; nothing unless told.
    pub feedback: FeedbackSettings,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            names: Vec::new(),
            http_port: 8081,
            ses_port: 8082,
            sns_port: 8083,
            sendgrid_port: 8084,
            twilio_port: 8085,
            smtp_port: 2525,
            journal: None,
            feedback: FeedbackSettings::default(),
        }
    }
}

impl SimulatorConfig {
    /// Takes any free port for everything, as tests want it.
    pub fn any_ports() -> Self {
        Self {
            http_port: 0,
            ses_port: 0,
            sns_port: 0,
            sendgrid_port: 0,
            twilio_port: 0,
            smtp_port: 0,
            ..Self::default()
        }
    }

    fn port(&self, provider: Provider) -> u16 {
        match provider {
            Provider::Ses => self.ses_port,
            Provider::Sns => self.sns_port,
            Provider::SendGrid => self.sendgrid_port,
            Provider::Twilio => self.twilio_port,
            Provider::Smtp => self.smtp_port,
        }
    }
}

/// A running simulator. It stops when dropped.
#[derive(Debug)]
pub struct Simulator {
    panel: Arc<Panel>,
    front: Port,
}

impl Simulator {
    /// Opens all ports and begins to serve.
    ///
    /// Must be called within a tokio runtime; the simulator lives on it.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] names the first port that could not be opened; none stays open then.
    /// [`Error::Journal`] if the journal cannot be written, [`Error::Setting`] if the feedback's settings make no sense.
    #[expect(clippy::unused_async, reason = "it needs a runtime, and says so by being async")]
    pub async fn start(config: SimulatorConfig) -> Result<Self, Error> {
        let asked = Asked::new(config.host, config.names.clone());
        let journal = Journal::open(config.journal.as_deref())?;
        let bind = |port| listen::bind(SocketAddr::new(config.host, port));
        let http = bind(config.http_port)?;
        let mut bound: Vec<Bound> = Vec::with_capacity(Provider::ALL.len());
        for provider in Provider::ALL {
            bound.push(bind(config.port(provider))?);
        }
        let world = Arc::new(World::new(journal, config.feedback)?);
        let mut bound = bound.into_iter();
        let ports = Provider::ALL.map(|provider| {
            let next = bound.next();
            next.map(|bound| bound.serve(&world, Door::Own(provider)))
        });
        let [Some(ses), Some(sns), Some(sendgrid), Some(twilio), Some(smtp)] = ports else {
            return Err(Error::Stopped);
        };
        let ports = [ses, sns, sendgrid, twilio, smtp];
        let panel = Arc::new(Panel::new(Arc::clone(&world), ports, asked));
        let front = http.serve(&world, Door::Front(Arc::clone(&panel)));
        Ok(Self { panel, front })
    }

    /// Address of the common port.
    pub fn http_addr(&self) -> SocketAddr {
        self.front.address
    }

    /// Address of a provider's own port.
    pub fn addr(&self, provider: Provider) -> SocketAddr {
        self.panel.port(provider).address
    }

    /// Base URL of the common port, without a slash at its end.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http_addr())
    }

    /// Base URL of SES on its own port, without a slash at its end.
    pub fn ses_url(&self) -> String {
        self.url(Provider::Ses)
    }

    /// Base URL of SNS on its own port, without a slash at its end.
    pub fn sns_url(&self) -> String {
        self.url(Provider::Sns)
    }

    /// Base URL of SendGrid on its own port, without a slash at its end.
    pub fn sendgrid_url(&self) -> String {
        self.url(Provider::SendGrid)
    }

    /// Base URL of Twilio on its own port, without a slash at its end.
    pub fn twilio_url(&self) -> String {
        self.url(Provider::Twilio)
    }

    /// Address of the SMTP server.
    pub fn smtp_addr(&self) -> SocketAddr {
        self.addr(Provider::Smtp)
    }

    fn url(&self, provider: Provider) -> String {
        format!("http://{}", self.addr(provider))
    }

    /// Puts a fault on a provider in place of the one it has, and waits until it is in force.
    ///
    /// # Errors
    ///
    /// [`Error::Impossible`] if the provider cannot have it, [`Error::Setting`] if a setting
    /// is out of range, [`Error::Stopped`] after [`Simulator::shutdown`].
    pub async fn set_fault(&self, provider: Provider, fault: impl Into<Fault>) -> Result<(), Error> {
        self.panel.set_fault(provider, fault.into()).await
    }

    /// Takes a provider's fault off, and waits until its port is open again.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`] if somebody took the port meanwhile, [`Error::Stopped`] after
    /// [`Simulator::shutdown`].
    pub async fn heal(&self, provider: Provider) -> Result<(), Error> {
        self.panel.heal(provider).await
    }

    /// Returns the fault that a provider has now.
    pub fn fault(&self, provider: Provider) -> Option<Fault> {
        self.panel.world.faults.get(provider)
    }

    /// Returns the recorded messages, oldest first; at most the last 100,000.
    pub fn messages(&self) -> Vec<SimMessage> {
        let all = self.panel.world.recorder.list(&Filter::default());
        all.iter().map(|entry| entry.expand()).collect()
    }

    /// Forgets the recorded messages.
    pub fn clear(&self) {
        self.panel.world.recorder.clear();
    }

    /// Returns what a provider has seen since the start.
    pub fn stats(&self, provider: Provider) -> Stats {
        self.panel.world.counters(provider).read()
    }

    /// Changes what is reported of messages from now on, and where to.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] if a setting is out of range.
    pub fn set_feedback(&self, settings: FeedbackSettings) -> Result<(), Error> {
        self.panel.world.feedback.set(settings)
    }

    /// Returns what is reported of messages now, and where to.
    pub fn feedback(&self) -> FeedbackSettings {
        self.panel.world.feedback.settings()
    }

    /// Counts the reports since the start.
    pub fn feedback_stats(&self) -> FeedbackStats {
        self.panel.world.feedback.stats()
    }

    /// Certificate, in PEM, of the key that signs Amazon's feedback.
    ///
    /// Its key is published with the simulator: trust it only where nothing real can be reached.
    pub fn certificate_pem(&self) -> &'static str {
        feedback::CERTIFICATE
    }

    /// Where Amazon's feedback says its certificate is; nobody serves it there.
    pub fn certificate_url(&self) -> &'static str {
        feedback::CERTIFICATE_URL
    }

    /// The topic that Amazon's feedback comes from.
    pub fn topic_arn(&self) -> &'static str {
        feedback::TOPIC_ARN
    }

    /// Key of SendGrid's feedback: `SubjectPublicKeyInfo`, DER, in base64. It is another at every start.
    pub fn sendgrid_public_key(&self) -> String {
        self.panel.world.feedback.keys.sendgrid_public_key()
    }

    /// Base URL of CloudWatch Logs, where SNS's reports are read; without a slash at its end.
    pub fn logs_url(&self) -> String {
        self.url(Provider::Sns)
    }

    /// Closes all ports and connections and waits until they are closed.
    pub async fn shutdown(self) {
        let world = &self.panel.world;
        world.stop.cancel();
        world.tasks.close();
        world.tasks.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.panel.world.stop.cancel();
    }
}
