//! One HTTP connection: the raw socket under hyper, so that it can be reset.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::http::{self, Door};
use crate::link::Link;
use crate::world::World;
use crate::{Mode, Provider};

/// Serves one connection until either side ends it.
pub(crate) async fn serve(world: Arc<World>, stream: TcpStream, door: Door, cut: CancellationToken) {
    let link = Arc::new(Link::default());
    let own = match &door {
        Door::Own(provider) => Some(*provider),
        Door::Front(_) => None,
    };
    let wire = Wire {
        stream,
        world: Arc::clone(&world),
        own,
        link: Arc::clone(&link),
    };
    let service = service_fn(move |request| {
        let (world, door, link) = (Arc::clone(&world), door.clone(), Arc::clone(&link));
        async move {
            let answer = http::answer(&world, &door, &link, request).await;
            link.is_idle.store(true, Ordering::Release);
            answer
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(wire), service);
    tokio::select! {
        end = connection => if let Err(fault) = end {
            tracing::debug!(%fault, "connection ended");
        },
        () = cut.cancelled() => {}
    }
}

/// The socket. It decides about `reset_before`, while nothing of a request is read.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    world: Arc<World>,
    /// The provider whose port it is; the common port learns it from the path.
    own: Option<Provider>,
    link: Arc<Link>,
}

impl Wire {
    /// Looks whether a request arrives that shall be reset unread.
    fn poll_admission(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(provider) = self.own else {
            return Poll::Ready(Ok(()));
        };
        if !self.world.faults.has(provider, Mode::ResetBefore) {
            return Poll::Ready(Ok(()));
        }
        let mut byte = [0];
        let seen = ready!(self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)))?;
        if seen == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.world.faults.strike(provider, true).is_none() {
            self.link.was_spared.store(true, Ordering::Release);
            return Poll::Ready(Ok(()));
        }
        self.world.struck(provider, Mode::ResetBefore, true);
        drop(self.world.counters(provider).request());
        self.link.reset();
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let is_idle = self.link.is_idle.load(Ordering::Acquire);
        if is_idle {
            ready!(self.poll_admission(cx))?;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.link.is_idle.store(false, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.link.resets.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.link.resets.load(Ordering::Acquire)
            && let Err(fault) = self.stream.set_zero_linger()
        {
            tracing::debug!(%fault, "no reset possible, closing in order");
        }
    }
}
