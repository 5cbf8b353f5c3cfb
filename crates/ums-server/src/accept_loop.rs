//! Accepts connections, serves them, and lets go of them when the service stops.
//!
//! `axum::serve` has no time limit on headers, bodies or idle connections and no cap on their
//! number, so the loop is our own.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;
use ums_delivery::Messaging;

use crate::door::{ConnectionState, Door, PeerKey, Place};
use crate::metrics::Metrics;
use crate::proxies::TrustedProxies;
use crate::settings::Limits;
use crate::socket::WatchedStream;

/// How long to wait when the machine has no file descriptor or memory left for a connection.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(100);

/// What a connection gets whose peer has too many of them.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What every connection needs.
#[derive(Clone, Debug)]
pub(crate) struct AcceptLoop {
    pub(crate) router: Router,
    pub(crate) messaging: Messaging,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) proxies: TrustedProxies,
}

/// Whom a connection comes from, and what its stream has to say.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) connection: Arc<ConnectionState>,
}

impl AcceptLoop {
    /// Serves until `closing`, then finishes what is in hand within the drain time.
    pub(crate) async fn run(self, listener: TcpListener, closing: CancellationToken) {
        let door = Door::new(self.limits.connections, self.limits.connections_per_peer, Arc::clone(&self.metrics));
        let connections = TaskTracker::new();
        let abandon = CancellationToken::new();
        while let Some((stream, address)) = self.next_connection(&listener, &closing).await {
            let peer = (!self.proxies.holds(address.ip())).then(|| PeerKey::of(address.ip()));
            // Connections are taken before they have a place: whoever waits in the kernel's queue makes nobody go.
            let Some(entered) = closing.run_until_cancelled(door.enter(peer)).await else {
                break;
            };
            let Some(place) = entered else {
                // Whoever reads it before it writes learns why; nobody is waited for.
                drop(stream.try_write(TOO_MANY));
                continue;
            };
            let serving = self.clone().serve(stream, address, Arc::clone(&place.state), closing.clone());
            let abandon = abandon.clone();
            connections.spawn(async move {
                let Place { leave, .. } = &place;
                leave.run_until_cancelled(abandon.run_until_cancelled(serving)).await;
            });
        }
        drop(listener);
        connections.close();
        if tokio::time::timeout(self.limits.drain_time, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "gave up waiting for connections");
            abandon.cancel();
            connections.wait().await;
        }
    }

    async fn next_connection(&self, listener: &TcpListener, closing: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
        let next = async {
            loop {
                match listener.accept().await {
                    Ok(taken) => return taken,
                    // Whoever came went again (accept(2)): the next one need not wait for that.
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        // A shortage is told once, as a trouble.
                        if !self.messaging.note_shortage(&error) {
                            tracing::warn!(%error, "a connection could not be accepted");
                        }
                        tokio::time::sleep(PAUSE_AFTER_FAULT).await;
                    }
                }
            }
        };
        closing.run_until_cancelled(next).await
    }

    async fn serve(self, stream: TcpStream, address: SocketAddr, state: Arc<ConnectionState>, closing: CancellationToken) {
        // Without it answers of two writes wait for the client's delayed acknowledgement.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let _counted = self.metrics.connection();
        let io = TokioIo::new(WatchedStream::new(stream, Arc::clone(&state), &self.limits));
        let peer = Peer {
            address,
            connection: state,
        };
        let most = self.limits.connection_requests;
        let life = tokio::time::sleep(self.limits.connection_life);
        let service = service_fn(move |request| answer(self.router.clone(), peer.clone(), most, request));
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_header_size(self.limits.header_bytes)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = life => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// Answers one request; until the answer is written, the stream's watch on reading rests. The last one that a connection may make closes it.
async fn answer(
    mut router: Router,
    peer: Peer,
    most: u64,
    request: Request<Incoming>,
) -> Result<axum::response::Response, std::convert::Infallible> {
    let connection = Arc::clone(&peer.connection);
    let Some(number) = connection.begin_request() else {
        // It was told to go, and is dropped when it is looked at next.
        return std::future::pending().await;
    };
    let is_last = number >= most;
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    let mut response = router.call(request).await;
    if is_last && let Ok(response) = &mut response {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    connection.begin_answer();
    response
}
