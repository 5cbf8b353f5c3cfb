//! Limits of the service, and its way to providers.

use std::ops::RangeInclusive;
use std::time::Duration;

use ums_core::Secret;

use crate::reader::Reader;
use crate::values::Endpoint;

/// Longest wait of a request for its message's outcome.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Limits of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Open HTTP connections.
    pub max_connections: u32,
    /// Open HTTP connections of one peer.
    pub connections_per_peer: u32,
    /// Longest life of a connection.
    pub connection_life: Duration,
    /// Most requests on one connection.
    pub connection_requests: u32,
    /// Largest head of a request, in bytes.
    pub request_head_bytes: u32,
    /// Largest body of a request, in bytes.
    pub request_body_bytes: u32,
    /// Most messages of a batch.
    pub batch_messages: u32,
    /// Largest body of a batch, in bytes.
    pub batch_body_bytes: u32,
    /// Memory of the messages in hand, in bytes.
    pub memory: u32,
    /// Messages that may wait in the store.
    pub backlog_messages: u32,
    /// Time to send the head.
    pub request_head: Duration,
    /// Time to send the body.
    pub request_body: Duration,
    /// Time that an idle connection is kept.
    pub idle_connection: Duration,
    /// Longest time that a request waits for its message's outcome.
    pub wait: Duration,
    /// Largest reply of a provider that is read, in bytes.
    pub provider_reply_bytes: u32,
    /// Time that running deliveries get at shutdown.
    pub shutdown: Duration,
    /// Messages that the store in memory keeps.
    pub memory_messages: u32,
}

/// The way to providers that speak HTTP.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Proxy; its URL may hold a password.
    pub proxy: Option<Secret>,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> LimitSettings {
    let seconds = |least: u64, most: u64| Duration::from_secs(least)..=Duration::from_secs(most);
    let bytes = |least: u32, most_mib: u32| -> RangeInclusive<u32> { least..=most_mib * 1024 * 1024 };
    LimitSettings {
        max_connections: reader.number("limits.max_connections", 1..=1_000_000),
        connections_per_peer: reader.number("limits.connections_per_peer", 1..=1_000_000),
        connection_life: reader.span("limits.connection_life", seconds(1, 7 * 24 * 3_600)),
        connection_requests: reader.number("limits.connection_requests", 1..=4_000_000_000),
        request_head_bytes: reader.number("limits.request_head_bytes", 8_192..=1024 * 1024),
        request_body_bytes: reader.number("limits.request_body_bytes", bytes(1_024, 256)),
        batch_messages: reader.number("limits.batch_messages", 1..=1_000),
        batch_body_bytes: reader.number("limits.batch_body_bytes", bytes(1_024, 256)),
        memory: reader.number("limits.memory", 1024 * 1024..=u32::MAX),
        backlog_messages: reader.number("limits.backlog_messages", 1..=4_000_000_000),
        request_head: reader.span("limits.request_head", seconds(1, 300)),
        request_body: reader.span("limits.request_body", seconds(1, 3_600)),
        idle_connection: reader.span("limits.idle_connection", seconds(1, 3_600)),
        wait: reader.span("limits.wait", Duration::ZERO..=MAX_WAIT),
        provider_reply_bytes: reader.number("limits.provider_reply_bytes", bytes(4_096, 16)),
        shutdown: reader.span("limits.shutdown", Duration::ZERO..=Duration::from_hours(1)),
        memory_messages: reader.number("limits.memory_messages", 1..=10_000_000),
    }
}

/// Connections to PostgreSQL, and the lease on messages there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Connections that write.
    pub writers: u32,
    /// Connections that read.
    pub readers: u32,
    /// How long the process's lease lasts without renewal.
    pub lease: Duration,
}

pub(crate) fn postgres(reader: &mut Reader<'_>) -> PostgresSettings {
    PostgresSettings {
        writers: reader.number("postgres.writers", 1..=32),
        readers: reader.number("postgres.readers", 1..=32),
        lease: reader.span("postgres.lease", Duration::from_secs(10)..=Duration::from_mins(10)),
    }
}

pub(crate) fn http(reader: &mut Reader<'_>) -> HttpSettings {
    HttpSettings {
        proxy: reader.file_parsed("http.proxy", proxy),
    }
}

/// A proxy's URL: like an endpoint, but with user and password if need be.
fn proxy(text: &str) -> Result<Secret, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    Endpoint::parse(&format!("{scheme}://{place}"))?;
    if rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err("must not contain spaces".to_owned())
    }
}
