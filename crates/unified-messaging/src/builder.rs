//! Settings without an environment: each call names what it sets; all are checked together.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Once};

use ums_config::{ConfigError, Layered, LoadOptions, MapSource, Origin, Settings, StoreUrl};
use ums_core::{Clock, Email, Provider, ProviderKind, Random, Sms, Store, SystemRandom, Troubles};
use ums_delivery::{Messaging, NoObserver, Observer};
use ums_store::MemoryStore;

use crate::acts_only::ActsOnly;
use crate::wire::{self, Outside};
use crate::{Error, UnifiedMessagingService};

/// Tells once in a process that messages are kept in memory only.
static MEMORY_WARNING: Once = Once::new();

/// Puts a service together from settings that the program gives, not the environment.
///
/// Nothing is checked before [`Builder::build`], which reports everything that is missing or wrong
/// at once, under the names that the same settings have in the environment.
pub struct Builder {
    given: MapSource,
    settings: Option<Settings>,
    store: Option<Arc<dyn Store>>,
    clock: Option<Arc<dyn Clock>>,
    random: Option<Arc<dyn Random>>,
    observer: Option<Arc<dyn Observer>>,
    troubles: Troubles,
    console: Option<Box<dyn Write + Send>>,
    email: Vec<Arc<dyn Provider<Email>>>,
    sms: Vec<Arc<dyn Provider<Sms>>>,
}

impl UnifiedMessagingService {
    /// Starts a service with the settings of the environment, of `.env` in the working directory
    /// and of the file that `UMS_CONFIG` names.
    ///
    /// Messages are kept in memory unless `UMS_DATABASE_URL` names a store.
    ///
    /// # Errors
    /// [`Error::Config`] with everything that is missing or wrong, [`Error::Provider`], [`Error::Store`].
    pub async fn from_env() -> Result<Self, Error> {
        let settings = Settings::from_process(&LoadOptions::library())?;
        Self::builder().settings(settings).build().await
    }

    /// Starts a service with settings that the program gives.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    fn new() -> Self {
        Self {
            given: MapSource::default(),
            settings: None,
            store: None,
            clock: None,
            random: None,
            observer: None,
            troubles: Troubles::default(),
            console: None,
            email: Vec::new(),
            sms: Vec::new(),
        }
    }

    /// Gives AWS's region and keys, for Amazon SES and Amazon SNS. Without this call AWS's default
    /// chain is asked: files of `aws configure`, web identity, container, instance role.
    #[must_use]
    pub fn aws(self, region: impl Into<String>, access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        self.setting("AWS_REGION", region)
            .setting("AWS_ACCESS_KEY_ID", access_key_id)
            .setting("AWS_SECRET_ACCESS_KEY", secret_access_key)
    }

    /// Sends e-mail by Amazon SES, from a sender that is verified there.
    #[must_use]
    pub fn ses(self, from_email: impl Into<String>) -> Self {
        self.setting("AWS_SES_FROM_EMAIL", from_email)
    }

    /// Sends e-mail by SendGrid, from a sender that is verified there.
    #[must_use]
    pub fn sendgrid(self, api_key: impl Into<String>, from_email: impl Into<String>) -> Self {
        self.setting("SENDGRID_API_KEY", api_key).setting("SENDGRID_FROM_EMAIL", from_email)
    }

    /// Sends e-mail by an SMTP server with a login; STARTTLS on port 587, TLS on 465.
    #[must_use]
    pub fn smtp(self, host: impl Into<String>, port: u16, login: (&str, &str), from_email: impl Into<String>) -> Self {
        self.setting("SMTP_HOST", host)
            .setting("SMTP_PORT", port.to_string())
            .setting("SMTP_USER", login.0)
            .setting("SMTP_PASSWORD", login.1)
            .setting("SMTP_FROM_EMAIL", from_email)
    }

    /// Sends text messages by Twilio, from one of its numbers.
    #[must_use]
    pub fn twilio(self, account_sid: impl Into<String>, auth_token: impl Into<String>, phone_number: impl Into<String>) -> Self {
        self.setting("TWILIO_ACCOUNT_SID", account_sid)
            .setting("TWILIO_AUTH_TOKEN", auth_token)
            .setting("TWILIO_PHONE_NUMBER", phone_number)
    }

    /// Tries e-mail providers in this order; each must be configured.
    #[must_use]
    pub fn email_chain(self, providers: &[ProviderKind]) -> Self {
        self.setting("UMS_EMAIL_CHAIN", words(providers))
    }

    /// Tries SMS providers in this order; each must be configured.
    #[must_use]
    pub fn sms_chain(self, providers: &[ProviderKind]) -> Self {
        self.setting("UMS_SMS_CHAIN", words(providers))
    }

    /// Keeps messages in this store, such as `sqlite://ums.db`; in memory without this call.
    #[must_use]
    pub fn store_url(self, url: impl Into<String>) -> Self {
        self.setting("UMS_DATABASE_URL", url)
    }

    /// Sets anything else by its name in the environment (see `docs/env.md`).
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.given = self.given.with(name, value);
        self
    }

    /// Takes settings that were read already, in place of all that was given by name.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Takes a store that is open already.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Takes another clock than the system's, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Takes another source of chance than the system's, for tests.
    #[must_use]
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = Some(random);
        self
    }

    /// Tells somebody what happens: attempts, breakers, results.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Takes a list of troubles in which the program notes its own, too; health, readiness and metrics tell of them.
    #[must_use]
    pub fn troubles(mut self, troubles: Troubles) -> Self {
        self.troubles = troubles;
        self
    }

    /// Lets the console provider print here instead of on standard output.
    #[must_use]
    pub fn console_output(mut self, output: Box<dyn Write + Send>) -> Self {
        self.console = Some(output);
        self
    }

    /// Adds a provider of e-mail of your own, in front of those that are configured.
    #[must_use]
    pub fn email_provider(mut self, provider: Arc<dyn Provider<Email>>) -> Self {
        self.email.push(provider);
        self
    }

    /// Adds a provider of text messages of your own, in front of those that are configured.
    #[must_use]
    pub fn sms_provider(mut self, provider: Arc<dyn Provider<Sms>>) -> Self {
        self.sms.push(provider);
        self
    }

    /// Checks the settings, opens the store and starts the engine: it takes up what an earlier
    /// process left.
    ///
    /// # Errors
    /// [`Error::Config`] with all faults, [`Error::Provider`], [`Error::Store`].
    pub async fn build(self) -> Result<UnifiedMessagingService, Error> {
        let Resolved { settings, outside, store } = self.resolve()?;
        let store = match store {
            Some(store) => store,
            None => wire::store(&settings, outside.clock.clone()).await?,
        };
        warn_of_memory(&settings, &*store);
        start(settings, store, outside).await
    }

    /// As [`Builder::build`] for somebody who only wants to know how providers do: the store is
    /// read, and nothing that waits in it is taken up.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn build_aside(self) -> Result<UnifiedMessagingService, Error> {
        let Resolved { settings, outside, store } = self.resolve()?;
        let inner: Arc<dyn Store> = match store {
            Some(store) => store,
            None if is_there(&settings.store_url) => wire::store(&settings, outside.clock.clone()).await?,
            None => Arc::new(MemoryStore::new(outside.clock.clone())),
        };
        start(settings, Arc::new(ActsOnly { inner }), outside).await
    }

    /// As [`Builder::build`] for somebody who only acts on messages that are stored already: cancels, sends again, marks, replays.
    /// Nothing that waits is taken up: the processes that send from the store do that. None where there is no store yet.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn build_for_acts(self) -> Result<Option<UnifiedMessagingService>, Error> {
        let Resolved { settings, outside, store } = self.resolve()?;
        let store = match store {
            Some(store) => store,
            None if is_there(&settings.store_url) => wire::store(&settings, outside.clock.clone()).await?,
            None => return Ok(None),
        };
        start(settings, Arc::new(ActsOnly { inner: store }), outside).await.map(Some)
    }

    fn resolve(self) -> Result<Resolved, ConfigError> {
        let settings = match self.settings {
            Some(settings) => settings,
            None => ums_config::load(&Layered::new().over(Origin::Caller, self.given), &LoadOptions::library())?,
        };
        let outside = Outside {
            clock: self.clock.unwrap_or_else(|| wire::machine_clock(&settings, &self.troubles)),
            random: self.random.unwrap_or_else(|| Arc::new(SystemRandom)),
            observer: self.observer.unwrap_or_else(|| Arc::new(NoObserver)),
            troubles: self.troubles,
            console: self.console,
            email: self.email,
            sms: self.sms,
        };
        Ok(Resolved {
            settings,
            outside,
            store: self.store,
        })
    }
}

/// What a builder stands for, with every gap filled by its default; a store is opened later.
struct Resolved {
    settings: Settings,
    outside: Outside,
    store: Option<Arc<dyn Store>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("given", &self.given)
            .field("settings", &self.settings.is_some())
            .finish_non_exhaustive()
    }
}

async fn start(settings: Settings, store: Arc<dyn Store>, outside: Outside) -> Result<UnifiedMessagingService, Error> {
    let parts = wire::parts(&settings, Arc::clone(&store), outside)?;
    // A large future, kept out of those of all callers.
    let engine = Box::pin(Messaging::start(parts)).await?;
    Ok(UnifiedMessagingService::new(engine, store, &settings))
}

/// Whether a store is there that can be read; looking must not make one.
pub(crate) fn is_there(url: &StoreUrl) -> bool {
    match url {
        StoreUrl::Memory => false,
        StoreUrl::Sqlite(path) => path.exists(),
        StoreUrl::Postgres(_) => true,
    }
}

fn warn_of_memory(settings: &Settings, store: &dyn Store) {
    if !store.is_durable() && settings.origin("UMS_DATABASE_URL") == Origin::Default {
        MEMORY_WARNING.call_once(|| {
            tracing::warn!("messages are kept in memory and are lost with the process; set UMS_DATABASE_URL=sqlite://ums.db to keep them");
        });
    }
}

fn words(providers: &[ProviderKind]) -> String {
    providers.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",")
}
