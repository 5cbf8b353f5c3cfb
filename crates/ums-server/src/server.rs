//! The service: bound to its address, run until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use ums_delivery::Messaging;

use crate::accept_loop::AcceptLoop;
use crate::api::{self, App};
use crate::metrics::Metrics;
use crate::proxies::TrustedProxies;
use crate::settings::ServerSettings;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not this machine's, or not allowed.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// Anybody could send messages.
    #[error("an API key is needed: only a development service on a loopback address may run without one (set UMS_API_KEY)")]
    NoApiKey,
    /// The key cannot stand in a header.
    #[error("the API key must be 1 to 255 visible ASCII characters (UMS_API_KEY)")]
    UnusableApiKey,
}

/// The HTTP service, bound to its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    accept_loop: AcceptLoop,
    probes: Option<(TcpListener, AcceptLoop)>,
    closing: CancellationToken,
}

/// Binds an address, and tells which it became.
async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

impl Server {
    /// Binds the service to its address. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// When the address cannot be used, or when anybody could call.
    pub async fn bind(settings: ServerSettings, messaging: Messaging, metrics: Arc<Metrics>) -> Result<Self, Error> {
        check_key(&settings)?;
        let (listener, address) = listen(settings.listen).await?;
        let probes = match settings.probe_listen {
            Some(address) => Some(listen(address).await?.0),
            None => None,
        };
        let closing = CancellationToken::new();
        let (limits, proxies) = (settings.limits.clone(), settings.trusted_proxies.clone());
        let app = App::new(settings, messaging.clone(), Arc::clone(&metrics), closing.clone());
        let probes = probes.map(|listener| {
            let accept_loop = AcceptLoop {
                router: api::probes(Arc::clone(&app)),
                messaging: messaging.clone(),
                metrics: Arc::clone(&metrics),
                limits: limits.of_probes(),
                proxies: TrustedProxies::default(),
            };
            (listener, accept_loop)
        });
        let accept_loop = AcceptLoop {
            router: api::router(app),
            messaging,
            metrics,
            limits,
            proxies,
        };
        Ok(Self {
            listener,
            address,
            accept_loop,
            probes,
            closing,
        })
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of the probes, where they have one.
    pub fn probe_addr(&self) -> Option<SocketAddr> {
        self.probes.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `shutdown`: then takes no more connections, finishes the requests in hand (at
    /// most [`crate::Limits::drain_time`]) and returns. The engine is its owner's to shut down,
    /// afterwards.
    pub async fn run(self, shutdown: CancellationToken) {
        let closing = self.closing;
        let follow = {
            let closing = closing.clone();
            async move {
                shutdown.cancelled().await;
                closing.cancel();
            }
        };
        tracing::info!(address = %self.address, "serving");
        // Probes are answered until the last request is.
        let served = CancellationToken::new();
        let serve = async {
            self.accept_loop.run(self.listener, closing).await;
            served.cancel();
        };
        let answer_probes = async {
            if let Some((listener, accept_loop)) = self.probes {
                accept_loop.run(listener, served.clone()).await;
            }
        };
        tokio::join!(follow, serve, answer_probes);
        tracing::info!("stopped");
    }
}

fn check_key(settings: &ServerSettings) -> Result<(), Error> {
    match &settings.api_key {
        Some(key) if (1..=255).contains(&key.expose().len()) && key.expose().bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        Some(_) => Err(Error::UnusableApiKey),
        None if settings.development && settings.listen.ip().is_loopback() => Ok(()),
        None => Err(Error::NoApiKey),
    }
}
