//! Accepts connections, serves them, and lets go of them when the service stops.
//!
//! `axum::serve` has no time limit on headers, bodies or idle connections and no cap on their
//! number, so the loop is our own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::metrics::Metrics;
use crate::settings::Limits;
use crate::socket::{ConnectionState, WatchedStream};

/// How long to wait when the machine has no file descriptor or memory left for a connection.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(100);

/// What every connection needs.
#[derive(Clone, Debug)]
pub(crate) struct AcceptLoop {
    pub(crate) router: Router,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
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
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let connections = TaskTracker::new();
        let abandon = CancellationToken::new();
        while let Some((stream, address, permit)) = next_connection(&listener, &permits, &closing).await {
            let serving = self.clone().serve(stream, address, closing.clone());
            let abandon = abandon.clone();
            connections.spawn(async move {
                let _permit = permit;
                abandon.run_until_cancelled(serving).await;
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

    async fn serve(self, stream: TcpStream, address: SocketAddr, closing: CancellationToken) {
        // Without it answers of two writes wait for the client's delayed acknowledgement.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let _counted = self.metrics.connection();
        let state = Arc::new(ConnectionState::default());
        let io = TokioIo::new(WatchedStream::new(stream, Arc::clone(&state), &self.limits));
        let peer = Peer {
            address,
            connection: state,
        };
        let service = service_fn(move |request| answer(self.router.clone(), peer.clone(), request));
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
        };
        if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        }
    }
}

async fn next_connection(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    closing: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    closing
        .run_until_cancelled(async {
            let permit = Arc::clone(permits).acquire_owned().await.ok()?;
            loop {
                match listener.accept().await {
                    Ok((stream, address)) => return Some((stream, address, permit)),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(PAUSE_AFTER_FAULT).await;
                    }
                }
            }
        })
        .await?
}

/// Answers one request; while it does, the stream's watch on reading rests.
async fn answer(mut router: Router, peer: Peer, request: Request<Incoming>) -> Result<axum::response::Response, std::convert::Infallible> {
    let connection = Arc::clone(&peer.connection);
    connection.busy.store(true, Ordering::Release);
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    let response = router.call(request).await;
    connection.busy.store(false, Ordering::Release);
    response
}
