//! Opening a connection: DNS, TCP (both address families raced), TLS. Nothing is sent here.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower_service::Service;
use ums_core::Shortage;

use super::connection::Connection;
use super::stream::Socket;
use super::{Cause, NoReply, Origin, TimeLimits, Transport, TrustedRoots};
use crate::bounded_read::BoundedRead;
use crate::roots;
use crate::ways::reachable;

/// Opens a connection to an endpoint, within its own limit and the message's.
pub(super) async fn connect(transport: &Transport, origin: &Origin, limits: &TimeLimits, deadline: Instant) -> Result<Connection, NoReply> {
    let limit = Instant::now() + limits.connect;
    let out_of_time = if deadline < limit { Cause::Deadline } else { Cause::ConnectTimeout };
    timeout_at(limit.min(deadline), open(transport, origin))
        .await
        .unwrap_or(Err(out_of_time))
        .map_err(NoReply::unsent)
}

/// Opens a connection to the first of these addresses that answers: they were judged, so no other may take their place.
pub(super) async fn connect_to(
    transport: &Transport,
    origin: &Origin,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<Connection, Cause> {
    let opened = timeout_at(deadline, async {
        let mut cause = Cause::Connect;
        for (tried, address) in addresses.iter().enumerate() {
            // A share of the time that is left for each, so that one that does not answer leaves some for the next.
            let left = deadline.saturating_duration_since(Instant::now());
            let shares = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX).saturating_add(1);
            match tokio::time::timeout(left / shares, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    tcp.set_nodelay(true).map_err(|_| Cause::Connect)?;
                    return secure(transport, origin, tcp).await;
                }
                Ok(Err(error)) => cause = tcp_cause(&error, &[*address]),
                Err(_) => cause = Cause::ConnectTimeout,
            }
        }
        Err(cause)
    });
    opened.await.unwrap_or(Err(Cause::ConnectTimeout))
}

async fn open(transport: &Transport, origin: &Origin) -> Result<Connection, Cause> {
    let tcp = match &transport.settings.proxy {
        Some(proxy) if !origin.is_direct() => proxy.tunnel(open_tcp(proxy.uri()).await?, origin.uri()).await?,
        Some(_) | None => open_tcp(origin.uri()).await?,
    };
    secure(transport, origin, tcp).await
}

async fn secure(transport: &Transport, origin: &Origin, tcp: TcpStream) -> Result<Connection, Cause> {
    let socket = match origin.tls_name() {
        None => Socket::Plain(BoundedRead::new(tcp)),
        Some(name) => {
            let tls = transport
                .tls
                .get_or_try_init(|| tls_connector(transport.settings.roots.clone()))
                .await?;
            let connecting = tls.connect(name.clone(), BoundedRead::new(tcp));
            let connected = connecting
                .await
                .map_err(|error| Shortage::of(&error).map_or(Cause::Tls, Cause::Shortage))?;
            Socket::Tls(Box::new(connected))
        }
    };
    Connection::start(socket).await
}

async fn open_tcp(place: &Uri) -> Result<TcpStream, Cause> {
    let addresses = addresses_of(place).await?;
    let mut connector = HttpConnector::new_with_resolver(Known(addresses.clone()));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // It waits for nothing: it is ready at any time.
    let opened = connector.call(place.clone()).await;
    opened.map(TokioIo::into_inner).map_err(|error| tcp_cause(&error, &addresses))
}

/// The addresses of an endpoint's host.
async fn addresses_of(place: &Uri) -> Result<Vec<SocketAddr>, Cause> {
    let host = place.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let by_scheme = if place.scheme_str() == Some("https") { 443 } else { 80 };
    let found = tokio::net::lookup_host((host, place.port_u16().unwrap_or(by_scheme))).await;
    let mut addresses: Vec<SocketAddr> = match found {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(Shortage::of_lookup(&error).map_or(Cause::Dns, Cause::Shortage)),
    };
    reachable(&mut addresses);
    if addresses.is_empty() { Err(Cause::Dns) } else { Ok(addresses) }
}

/// A resolver that knows the addresses.
#[derive(Clone)]
struct Known(Vec<SocketAddr>);

impl Service<Name> for Known {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

/// The kind of a failed connect to one of these addresses, from the error's own chain of causes.
fn tcp_cause(error: &(dyn std::error::Error + 'static), to: &[SocketAddr]) -> Cause {
    if let Some(shortage) = Shortage::of_connect(error, to) {
        return Cause::Shortage(shortage);
    }
    let mut link = Some(error);
    while let Some(cause) = link {
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => return Cause::Refused,
            Some(ErrorKind::TimedOut) => return Cause::ConnectTimeout,
            Some(_) | None => link = cause.source(),
        }
    }
    Cause::Connect
}

/// Trust and protocol: TLS 1.2 and 1.3 by ring, HTTP/1.1 only.
async fn tls_connector(roots: TrustedRoots) -> Result<TlsConnector, Cause> {
    let store = tokio::task::spawn_blocking(move || root_store(roots))
        .await
        .map_err(|_| Cause::NoRoots)?
        .map_err(Cause::Shortage)?;
    if store.is_empty() {
        return Err(Cause::NoRoots);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Cause::Tls)?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn root_store(roots: TrustedRoots) -> Result<RootCertStore, Shortage> {
    let certificates = match roots {
        TrustedRoots::System => roots::of_system()?,
        TrustedRoots::Only(certificates) => certificates,
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    Ok(store)
}
