//! The way to the server: name, address, TCP, TLS.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use ums_core::{Failure, FailureClass, Shortage};

use super::Inner;
use super::stream::Line;
use super::tls::{Tls, is_lasting};
use crate::ways::reachable;

/// Negotiates TLS within the time of one reply.
pub(super) async fn secure(inner: &Inner, line: &Line, tls: &Tls, until: Instant) -> Result<(), Failure> {
    let until = until.min(Instant::now() + inner.settings.timeouts.reply);
    match timeout_at(until, line.secure(&tls.connector, tls.name.clone())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if is_lasting(&error) => {
            let detail = format!("TLS with the server failed; its certificate must be valid for SMTP_HOST: {error}");
            Err(Failure::transport(FailureClass::Misconfigured, "tls_refused", &detail))
        }
        Ok(Err(error)) => {
            let failed = || Failure::transport(FailureClass::Unavailable, "tls_failed", "TLS could not be negotiated");
            Err(Shortage::of(&error).map_or_else(failed, Failure::from))
        }
        Err(_) => Err(Failure::transport(
            FailureClass::Unavailable,
            "tls_timeout",
            "TLS was not negotiated in time",
        )),
    }
}

/// Opens a TCP connection, and tells the address of our end: each address of the server gets its share of the time, so that a dead one
/// does not use it up.
pub(super) async fn dial(inner: &Inner, until: Instant) -> Result<(TcpStream, IpAddr), Failure> {
    let unavailable = |code: &str, detail: &str| Failure::transport(FailureClass::Unavailable, code, detail);
    let until = until.min(Instant::now() + inner.settings.timeouts.connect);
    let host = (inner.settings.host.as_str(), inner.settings.port);
    let mut addresses: Vec<SocketAddr> = match timeout_at(until, tokio::net::lookup_host(host)).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            let unresolved = || unavailable("dns_failed", "the server's name could not be resolved");
            return Err(Shortage::of_lookup(&error).map_or_else(unresolved, Failure::from));
        }
        Err(_) => return Err(unavailable("dns_timeout", "the server's name was not resolved in time")),
    };
    reachable(&mut addresses);
    let mut failure = unavailable("dns_failed", "the server's name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let now = Instant::now();
        let share = until.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Without it Nagle's algorithm holds the last segment back for the peer's delayed acknowledgement.
                if tcp.set_nodelay(true).is_ok()
                    && let Ok(own) = tcp.local_addr()
                {
                    return Ok((tcp, own.ip()));
                }
                failure = unavailable("connect_failed", "the connection was lost as soon as it stood");
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                failure = unavailable("connect_refused", "the server refused the connection");
            }
            Ok(Err(error)) => {
                let unreachable = || unavailable("connect_failed", "the server could not be reached");
                failure = Shortage::of_connect(&error, &[address]).map_or_else(unreachable, Failure::from);
            }
            Err(_) => failure = unavailable("connect_timeout", "the server did not answer in time"),
        }
    }
    Err(failure)
}
