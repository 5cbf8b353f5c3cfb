//! `ums serve`: the service, until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;
use ums_config::{Environment, Settings};
use ums_core::{AccountId, Clock, StoreError, TroubleKind, Troubles, with_causes};
use ums_providers::feedback::aws::CertificateSource;
use ums_server::{HookName, Hooks, Metrics, Server, ServerSettings, TrustedProxies};
use unified_messaging::{Error, ProviderHooks, UnifiedMessagingService, machine_clock};

use crate::exit::{Exit, Usage};
use crate::stop::Stop;
use crate::{descriptors, log, settings};

/// Time at the end that the engine and the store keep for themselves.
const ENGINE_TIME: Duration = Duration::from_secs(5);
/// How long a start waits for a database that does not answer, and how often it looks.
const DATABASE_TIME: Duration = Duration::from_secs(30);
const DATABASE_LOOK: Duration = Duration::from_millis(500);

/// Arguments of `ums serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Settings come from the environment, .env and UMS_CONFIG; all that is wrong with them is told at once (exit code 2).
SIGTERM or SIGINT: it takes no more requests, finishes those in hand and ends within 25 s; a second one ends it at once. SIGHUP is ignored.

Examples:
  UMS_API_KEY=… ums serve
  UMS_ENV=development ums serve --listen 127.0.0.1:8080"
)]
pub(crate) struct Args {
    /// Where to listen, instead of `UMS_LISTEN`; port 0 takes any free port
    #[arg(long, value_parser = ums_config::place_to_listen, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit> {
    let mut stop = Stop::listen()?;
    let mut settings = settings::of_process()?;
    settings::start_log(&settings)?;
    if let Some(listen) = args.listen {
        settings.listen = listen;
    }
    ums_config::check_serve(&settings).map_err(|error| settings::wrong(&error))?;
    let running = tokio::select! {
        biased;
        started = Box::pin(Running::start(settings, None)) => started?,
        () = stop.requested() => return Ok(Exit::Done),
    };
    Ok(running.until(&mut stop).await)
}

/// A service that is being served.
#[derive(Debug)]
pub(super) struct Running {
    address: SocketAddr,
    service: UnifiedMessagingService,
    server: tokio::task::JoinHandle<()>,
    closing: CancellationToken,
    shutdown_time: Duration,
}

impl Running {
    /// Opens the store, starts the engine and serves. Certificates of Amazon's come from Amazon unless another source is given.
    ///
    /// # Errors
    /// When the store or the address cannot be used.
    pub(super) async fn start(settings: Settings, certificates: Option<Arc<dyn CertificateSource>>) -> Result<Self> {
        let troubles = Troubles::default();
        let clock = machine_clock(&settings, &troubles);
        let metrics = Arc::new(Metrics::new());
        let shutdown_time = settings.limits.shutdown;
        let mut server_settings = server_settings(&settings, Arc::clone(&clock));
        server_settings.hooks = hooks(ProviderHooks::build(&settings, &clock, certificates).map_err(settings::explained)?);
        let service = build(&settings, &clock, &troubles, &metrics).await.map_err(settings::explained)?;
        tokio::spawn(log::look_after(troubles, Arc::clone(&metrics), Arc::clone(&clock)));
        let server = Server::bind(server_settings, service.engine().clone(), metrics).await;
        let server = server
            .map_err(anyhow::Error::new)
            .context(Usage("the service cannot start".to_owned()))?;
        let (address, closing) = (server.local_addr(), CancellationToken::new());
        let server = tokio::spawn(server.run(closing.clone()));
        Ok(Self {
            address,
            service,
            server,
            closing,
            shutdown_time,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is told to stop, then ends in order: requests, messages, store. A service whose database is gone ends as failed.
    pub(super) async fn until(self, stop: &mut Stop) -> Exit {
        let troubles = self.service.engine().troubles().clone();
        stop.requested().await;
        tracing::info!("told to stop");
        self.closing.cancel();
        let orderly = async {
            let drained = tokio::time::timeout(self.shutdown_time.saturating_sub(ENGINE_TIME), self.server).await;
            if drained.is_err() {
                tracing::warn!("requests were still in hand");
            }
            self.service.shutdown().await;
        };
        tokio::select! {
            () = orderly => {}
            () = tokio::time::sleep(self.shutdown_time) => tracing::warn!("stopped late: the rest is taken up at the next start"),
        }
        match troubles.blocking() {
            Some(trouble) if trouble.kind == TroubleKind::Database => {
                tracing::error!("{}", trouble.reason);
                Exit::Failed
            }
            _ => Exit::Done,
        }
    }
}

/// Builds the service. A database that is being restarted, as it may be when both are started together, is waited for.
async fn build(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    troubles: &Troubles,
    metrics: &Arc<Metrics>,
) -> Result<UnifiedMessagingService, Error> {
    let give_up_at = clock.monotonic() + DATABASE_TIME;
    loop {
        let builder = UnifiedMessagingService::builder()
            .settings(settings.clone())
            .clock(Arc::clone(clock))
            .troubles(troubles.clone())
            .observer(metrics.clone());
        match Box::pin(builder.build()).await {
            Err(error) if is_away(&error) && clock.monotonic() < give_up_at => {
                tracing::warn!(error = with_causes(&error), "the database does not answer; trying again");
                tokio::time::sleep(DATABASE_LOOK).await;
            }
            built => return built,
        }
    }
}

/// Whether the same start may go well a moment later. A start may be made again after a commit of unknown outcome: the schema's versions are
/// counted anew, and what else a start writes is that this process is there.
fn is_away(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Unavailable(_) | StoreError::CommitUnknown(_)))
}

fn server_settings(settings: &Settings, clock: Arc<dyn Clock>) -> ServerSettings {
    let mut server = ServerSettings::new(settings.listen);
    server.probe_listen = settings.probe_listen;
    server.trusted_proxies = TrustedProxies(settings.trusted_proxies.clone());
    server.api_key.clone_from(&settings.api_key);
    server.secret_key = settings.secret_keys.first().cloned();
    server.development = settings.environment == Environment::Development;
    server.default_region = settings.default_region;
    server.version = env!("UMS_VERSION");
    server.clock = clock;
    let (limits, wanted) = (&mut server.limits, &settings.limits);
    limits.connections = descriptors::connections(count(wanted.max_connections), descriptors::raise_limit());
    limits.connections_per_peer = count(wanted.connections_per_peer);
    limits.connection_life = wanted.connection_life;
    limits.connection_requests = u64::from(wanted.connection_requests);
    limits.header_bytes = count(wanted.request_head_bytes);
    limits.email_body_bytes = count(wanted.request_body_bytes);
    limits.batch_messages = count(wanted.batch_messages);
    limits.batch_body_bytes = count(wanted.batch_body_bytes);
    limits.idempotency_time = settings.retention.keys;
    limits.header_time = wanted.request_head;
    limits.body_time = wanted.request_body;
    limits.idle_time = wanted.idle_connection;
    limits.send_wait = wanted.wait;
    limits.drain_time = wanted.shutdown.saturating_sub(ENGINE_TIME);
    server
}

/// Where providers may report.
fn hooks(readers: ProviderHooks) -> Hooks {
    let mut hooks = Hooks::default();
    let ProviderHooks { aws, sendgrid, twilio } = readers;
    for (name, reader) in [(HookName::Aws, aws), (HookName::SendGrid, sendgrid), (HookName::Twilio, twilio)] {
        if let Some(reader) = reader {
            hooks.add(name, AccountId::default(), reader);
        }
    }
    hooks
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use ums_core::StoreError;
    use unified_messaging::Error;

    use super::is_away;

    #[test]
    fn a_start_waits_for_a_database_that_is_away_or_cut_the_first_commit_off() {
        for (error, waits) in [
            (StoreError::Unavailable("gone".into()), true),
            (StoreError::CommitUnknown("57P01".into()), true),
            (StoreError::Unusable("a standby".to_owned()), false),
            (StoreError::Fenced, false),
        ] {
            let error = Error::Store(error);
            assert_eq!(is_away(&error), waits, "{error:?}");
        }
    }
}
