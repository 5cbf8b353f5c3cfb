//! A simulator on free ports and a service that sends to it, with time that moves only when told.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use ums_delivery::{AttemptEvent, BreakerEvent, Observer, SettledEvent};
use ums_simulator::{Provider, SimMessage, Simulator, SimulatorConfig, Stats};
use ums_testkit::{SeededRandom, TestClock};
use unified_messaging::{
    BreakerStateWord, Clock, MessageId, MessageRecord, ProviderHealth, ProviderKind, Random, SendEmail, SendResult, SendSms, Status,
    Timestamp, UnifiedMessagingService,
};

/// Longest time that a test waits for something to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

static SEEDS: AtomicU64 = AtomicU64::new(42);

/// The chains in their usual order.
pub(crate) const EMAIL: [Provider; 3] = [Provider::Ses, Provider::SendGrid, Provider::Smtp];
pub(crate) const SMS: [Provider; 2] = [Provider::Sns, Provider::Twilio];

/// What differs from one test to the next.
pub(crate) struct Setup {
    pub(crate) email: Vec<Provider>,
    pub(crate) sms: Vec<Provider>,
    /// Additional lines of the configuration file.
    pub(crate) file: String,
    pub(crate) store_url: Option<String>,
    /// Keeps messages in a database of its own.
    pub(crate) is_durable: bool,
    /// Most recipients a day at SES or SMTP; else there is no limit.
    pub(crate) per_day: Option<(Provider, u32)>,
    /// In place of a clock that moves only when told.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    /// In place of the simulator's own address for that provider.
    pub(crate) through: Option<(Provider, std::net::SocketAddr)>,
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            email: EMAIL.to_vec(),
            sms: SMS.to_vec(),
            file: String::new(),
            store_url: None,
            is_durable: false,
            per_day: None,
            clock: None,
            through: None,
            settings: Vec::new(),
        }
    }
}

/// A simulator, and a service that sends to it.
pub(crate) struct Bed {
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) service: UnifiedMessagingService,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) events: Arc<Events>,
    _files: TempDir,
}

pub(crate) async fn simulator() -> Arc<Simulator> {
    Arc::new(Simulator::start(SimulatorConfig::any_ports()).await.unwrap())
}

impl Setup {
    /// Only this provider: nobody is there to take over.
    pub(crate) fn alone(provider: Provider) -> Self {
        Self::chain(&[provider])
    }

    /// Only these providers, in this order; the other channel keeps its own.
    pub(crate) fn chain(providers: &[Provider]) -> Self {
        let mut setup = Self::default();
        let chain = if EMAIL.contains(&providers[0]) {
            &mut setup.email
        } else {
            &mut setup.sms
        };
        *chain = providers.to_vec();
        setup
    }

    /// With a database of its own.
    pub(crate) fn durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    /// With a limit a day of SES or SMTP.
    pub(crate) fn per_day(mut self, provider: Provider, recipients: u32) -> Self {
        self.per_day = Some((provider, recipients));
        self
    }

    pub(crate) fn file(mut self, lines: &str) -> Self {
        self.file.push_str(lines);
        self
    }

    pub(crate) async fn start(self) -> Bed {
        self.start_at(simulator().await, Arc::new(TestClock::new())).await
    }

    /// Starts a service beside a simulator that is there already, as a restart does.
    pub(crate) async fn start_at(self, simulator: Arc<Simulator>, clock: Arc<TestClock>) -> Bed {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("ums.toml");
        std::fs::write(&path, self.configuration()).unwrap();
        let address = |provider| {
            self.through
                .filter(|(it, _)| *it == provider)
                .map_or_else(|| simulator.addr(provider), |(_, at)| at)
        };
        let url = |provider| format!("http://{}", address(provider));
        let smtp = address(Provider::Smtp);
        let used_clock: Arc<dyn Clock> = self.clock.clone().unwrap_or_else(|| clock.clone());
        let events = Arc::new(Events::default());
        // Each its own chance: two services on one store at one time must not make the same ids.
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(SEEDS.fetch_add(1, Ordering::Relaxed)));
        let mut builder = UnifiedMessagingService::builder()
            .aws("us-east-1", "AKIAIOSFODNN7EXAMPLE", "secret")
            .ses("hello@shop.example")
            .sendgrid("SG.key.secret", "hello@shop.example")
            .smtp(smtp.ip().to_string(), smtp.port(), ("shop", "password"), "hello@shop.example")
            .twilio(format!("AC{}", "0".repeat(32)), "token", "+14155550100")
            .setting("SMTP_TLS", "none")
            .setting("AWS_ENDPOINT_URL_SESV2", url(Provider::Ses))
            .setting("AWS_ENDPOINT_URL_SNS", url(Provider::Sns))
            .setting("SENDGRID_API_URL", url(Provider::SendGrid))
            .setting("TWILIO_API_URL", url(Provider::Twilio))
            .setting("UMS_CONFIG", path.to_str().unwrap())
            .email_chain(&self.email.iter().copied().map(kind).collect::<Vec<_>>())
            .sms_chain(&self.sms.iter().copied().map(kind).collect::<Vec<_>>())
            .clock(used_clock)
            .random(random)
            .observer(events.clone());
        let own_url = || format!("sqlite://{}", files.path().join("ums.db").display());
        if let Some(url) = self.store_url.or_else(|| self.is_durable.then(own_url)) {
            builder = builder.store_url(url);
        }
        for (name, value) in self.settings {
            builder = builder.setting(name, value);
        }
        Bed {
            service: builder.build().await.unwrap(),
            simulator,
            clock,
            events,
            _files: files,
        }
    }

    /// Short time limits, and no pace: time stands still unless a test moves it.
    fn configuration(&self) -> String {
        let mut file = String::from("[timeouts]\nconnect = \"300ms\"\nwrite_stall = \"300ms\"\nreply = \"300ms\"\n");
        for provider in ["aws_ses", "smtp"] {
            let per_day = self
                .per_day
                .filter(|(it, _)| kind(*it).as_str() == provider)
                .map_or(0, |(_, limit)| limit);
            write!(file, "[pace.{provider}]\nper_second = 0\nper_day = {per_day}\n").unwrap();
        }
        file + &self.file
    }
}

impl Bed {
    pub(crate) async fn send(&self, email: SendEmail) -> SendResult {
        self.service.send_email(email).await.unwrap()
    }

    /// Sends a message that is right for the provider's channel, to a recipient of its own.
    pub(crate) async fn send_to(&self, provider: Provider, number: usize, change: impl FnOnce(&mut Handling)) -> SendResult {
        if EMAIL.contains(&provider) {
            let mut email = email(&format!("customer{number}@example.com"));
            change(&mut email.handling);
            self.service.send_email(email).await.unwrap()
        } else {
            let mut sms = SendSms::new(format!("+1416555{:04}", 100 + number), "Your order is on its way");
            change(&mut sms.handling);
            self.service.send_sms(sms).await.unwrap()
        }
    }

    /// The message's record, once no process works on it.
    pub(crate) async fn at_rest(&self, id: MessageId) -> MessageRecord {
        let mut bell = self.events.bell.subscribe();
        let look = async {
            loop {
                let record = self.service.get_record(id).await.unwrap().unwrap();
                let is_due = record.work.due_at().is_some_and(|at| at <= self.clock.now());
                if !record.is_under_way() && !is_due {
                    return record;
                }
                bell.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap()
    }

    /// Moves the time on to when a held message is due, and gives its record after the round.
    pub(crate) async fn next_round(&self, id: MessageId) -> MessageRecord {
        let record = self.at_rest(id).await;
        let due_at = record.work.due_at().unwrap();
        self.clock.advance(due_at.since(self.clock.now()));
        // Not possible, for the message has not ended: what counts is that the engine looks for what is due.
        self.service.resend_message(id).await.unwrap_err();
        self.at_rest(id).await
    }

    pub(crate) fn health(&self, provider: Provider) -> ProviderHealth {
        let report = self.service.get_provider_health();
        let mut all = report.email_providers.into_iter().chain(report.sms_providers);
        all.find(|health| health.provider == kind(provider)).unwrap()
    }

    pub(crate) fn state(&self, provider: Provider) -> BreakerStateWord {
        self.health(provider).circuit_breaker
    }

    pub(crate) fn stats(&self, provider: Provider) -> Stats {
        self.simulator.stats(provider)
    }

    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What a provider recorded.
    pub(crate) fn received(&self, provider: Provider) -> Vec<SimMessage> {
        let all = self.simulator.messages().into_iter();
        all.filter(|message| message.provider == provider).collect()
    }
}

pub(crate) type Handling = unified_messaging::request::HandlingRequest;

pub(crate) fn email(to: &str) -> SendEmail {
    SendEmail::new(to, "Your receipt").text("Thank you")
}

/// One e-mail to all of them.
pub(crate) fn email_to<A: AsRef<str>>(addresses: &[A]) -> SendEmail {
    let all: Vec<String> = addresses.iter().map(|address| address.as_ref().to_owned()).collect();
    SendEmail::new(all, "Your receipt").text("Thank you")
}

/// The engine's word for a provider of the simulator.
pub(crate) fn kind(provider: Provider) -> ProviderKind {
    match provider {
        Provider::Ses => ProviderKind::AwsSes,
        Provider::Sns => ProviderKind::AwsSns,
        Provider::SendGrid => ProviderKind::SendGrid,
        Provider::Twilio => ProviderKind::Twilio,
        Provider::Smtp => ProviderKind::Smtp,
    }
}

/// Everything that the engine told, with a bell for those who wait.
#[derive(Debug, Default)]
pub(crate) struct Events {
    breakers: Mutex<Vec<(ProviderKind, BreakerStateWord)>>,
    settled: Mutex<Vec<Status>>,
    bell: watch::Sender<u64>,
}

impl Events {
    /// The states that a breaker went through.
    pub(crate) fn states_of(&self, provider: Provider) -> Vec<BreakerStateWord> {
        let all = self.breakers.lock().unwrap();
        all.iter()
            .filter(|(it, _)| *it == kind(provider))
            .map(|(_, state)| *state)
            .collect()
    }

    /// How many messages came to stand so.
    pub(crate) fn settled_as(&self, status: Status) -> usize {
        self.settled.lock().unwrap().iter().filter(|it| **it == status).count()
    }

    /// Waits until something holds, looking again at each event.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let mut bell = self.bell.subscribe();
        let wait = async {
            while !holds() {
                bell.changed().await.unwrap();
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited in vain: {what}");
    }

    fn ring(&self) {
        self.bell.send_modify(|count| *count += 1);
    }
}

impl Observer for Events {
    fn attempt(&self, _: &AttemptEvent) {
        self.ring();
    }

    fn breaker(&self, event: &BreakerEvent<'_>) {
        self.breakers.lock().unwrap().push((event.provider, event.to));
        self.ring();
    }

    fn settled(&self, event: &SettledEvent) {
        self.settled.lock().unwrap().push(event.status);
        self.ring();
    }
}
