//! Opening a connection: DNS, TCP (both address families raced), TLS. Nothing is sent here.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use http::Uri;
use hyper::service::Service as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::service::TowerToHyperService;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::stream::Socket;
use super::{Cause, NoReply, Origin, TimeLimits, Transport, TrustedRoots};
use crate::shortage::Shortage;

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
                Ok(Err(error)) => cause = tcp_cause(&error),
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
        None => Socket::Plain(tcp),
        Some(name) => {
            let tls = transport
                .tls
                .get_or_try_init(|| tls_connector(transport.settings.roots.clone()))
                .await?;
            Socket::Tls(Box::new(tls.connect(name.clone(), tcp).await.map_err(|_| Cause::Tls)?))
        }
    };
    Connection::start(socket).await
}

async fn open_tcp(place: &Uri) -> Result<TcpStream, Cause> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let opened = TowerToHyperService::new(connector).call(place.clone()).await;
    opened.map(hyper_util::rt::TokioIo::into_inner).map_err(|error| tcp_cause(&error))
}

/// The kind of a failed connect, from the error's own chain of causes.
fn tcp_cause(error: &(dyn std::error::Error + 'static)) -> Cause {
    if let Some(shortage) = Shortage::of(error) {
        return Cause::Shortage(shortage);
    }
    let mut link = Some(error);
    while let Some(cause) = link {
        if cause.to_string().starts_with("dns error") {
            return Shortage::of_lookup(cause).map_or(Cause::Dns, Cause::Shortage);
        }
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
        .map_err(|_| Cause::NoRoots)?;
    if store.is_empty() {
        // Files that could not be opened for want of a descriptor leave the store empty, too; the next call reads them again.
        return Err(Shortage::now().map_or(Cause::NoRoots, Cause::Shortage));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Cause::Tls)?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Reads the operating system's roots from files: blocking, some 10 ms.
fn root_store(roots: TrustedRoots) -> RootCertStore {
    let certificates = match roots {
        TrustedRoots::System => rustls_native_certs::load_native_certs().certs,
        TrustedRoots::Only(certificates) => certificates,
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    store
}
