//! What the service is told: where to listen, who may call, how much and how long.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ums_core::{Clock, Random, Region, Secret, SystemClock, SystemRandom};

use crate::hooks::Hooks;
use crate::proxies::TrustedProxies;

/// Settings of the service.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where to listen; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Where orchestrators ask how the service does, beside `listen`: `/livez`, `/readyz`, `/metrics`, in slots of their own.
    pub probe_listen: Option<SocketAddr>,
    /// Proxies in front of the service.
    pub trusted_proxies: TrustedProxies,
    /// The key that callers present; none is allowed in development on loopback only.
    pub api_key: Option<Secret>,
    /// The secret from which the key of request fingerprints is derived. Without one it is derived
    /// from the API key, and idempotency keys of the last days do not outlive a change of that.
    pub secret_key: Option<Secret>,
    /// Whether this is a developer's machine, where a key is not needed.
    pub development: bool,
    /// The region in which national numbers are read.
    pub default_region: Option<Region>,
    /// Where providers may report; any other place under `/hooks` answers as if a report were forged.
    pub hooks: Hooks,
    /// Version that the pages show.
    pub version: &'static str,
    /// How much and how long.
    pub limits: Limits,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where request ids come from.
    pub random: Arc<dyn Random>,
}

impl ServerSettings {
    /// Settings for an address, otherwise as a production service has them.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            probe_listen: None,
            trusted_proxies: TrustedProxies::default(),
            api_key: None,
            secret_key: None,
            development: false,
            default_region: None,
            hooks: Hooks::default(),
            version: env!("CARGO_PKG_VERSION"),
            limits: Limits::default(),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080))
    }
}

/// Connections that the listener of the probes holds, and how long it waits for a request.
const PROBE_CONNECTIONS: usize = 64;
const PROBE_TIME: Duration = Duration::from_secs(5);

/// How much and how long. All times are on reading and writing, never on the work between.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at the same time; for another one, the longest idle goes.
    pub connections: usize,
    /// Most connections of one peer (IPv6: of one /64); for another one, its own longest idle goes.
    pub connections_per_peer: usize,
    /// Longest life of a connection; the request in hand is still answered.
    pub connection_life: Duration,
    /// Most requests on one connection.
    pub connection_requests: u64,
    /// Most bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Longest time from a request's first byte (a connection's start, for its first) to the end of its headers.
    pub header_time: Duration,
    /// Longest time from the end of the headers to the end of the body, however steadily it drips.
    pub body_time: Duration,
    /// How long a connection is kept without a request.
    pub idle_time: Duration,
    /// How long a client may take nothing of an answer.
    pub write_time: Duration,
    /// Most bytes of an e-mail's request: attachments travel as base64.
    pub email_body_bytes: usize,
    /// Most bytes of a batch's request.
    pub batch_body_bytes: usize,
    /// Most messages of a batch.
    pub batch_messages: usize,
    /// Most bytes of a request that adds to the suppression list.
    pub list_body_bytes: usize,
    /// Most bytes of any other request.
    pub body_bytes: usize,
    /// Most bytes of a provider's report.
    pub hook_body_bytes: usize,
    /// Most bytes of all reports that are held in memory together.
    pub hook_memory_bytes: usize,
    /// Most reports that are checked at the same time; for more the provider is asked to post again.
    pub hook_requests: usize,
    /// How long the check of a report may take.
    pub hook_time: Duration,
    /// How long a request with a large body waits for memory, before its body is read.
    pub memory_time: Duration,
    /// How long a send waits for its outcome unless the caller says otherwise.
    pub send_wait: Duration,
    /// Longest wait that a caller may ask for.
    pub send_wait_max: Duration,
    /// How long the store is waited for.
    pub store_time: Duration,
    /// How long an idempotency key is remembered.
    pub idempotency_time: Duration,
    /// How long requests in hand may take once the service is told to stop.
    pub drain_time: Duration,
}

impl Limits {
    /// The same for the listener of the probes, whose requests are small.
    pub(crate) fn of_probes(&self) -> Self {
        Self {
            connections: PROBE_CONNECTIONS,
            connections_per_peer: PROBE_CONNECTIONS,
            header_time: self.header_time.min(PROBE_TIME),
            write_time: self.write_time.min(PROBE_TIME),
            ..self.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_peer: 256,
            connection_life: Duration::from_hours(1),
            connection_requests: 100_000,
            header_bytes: 16 * 1_024,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(15),
            idle_time: Duration::from_secs(75),
            write_time: Duration::from_secs(15),
            email_body_bytes: 32 * 1_024 * 1_024,
            batch_body_bytes: 32 * 1_024 * 1_024,
            batch_messages: 1_000,
            list_body_bytes: 1_024 * 1_024,
            body_bytes: 256 * 1_024,
            hook_body_bytes: 1_024 * 1_024,
            hook_memory_bytes: 32 * 1_024 * 1_024,
            hook_requests: 256,
            hook_time: Duration::from_secs(10),
            memory_time: Duration::from_secs(5),
            send_wait: Duration::from_secs(30),
            send_wait_max: Duration::from_mins(5),
            store_time: Duration::from_secs(5),
            idempotency_time: Duration::from_hours(7 * 24),
            drain_time: Duration::from_secs(25),
        }
    }
}
