//! The socket as hyper sees it, with a meter on what is written.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::bounded_read::BoundedRead;

/// Most informational replies (RFC 9110 §15.2) before an answer.
const MAX_INFORMATIONAL: usize = 8;
/// Most bytes that are read until the head of an answer is in: the head, and the body's first bytes that came with it. A flood of
/// informational replies or of header lines ends here.
const MAX_BEFORE_BODY: usize = 2 * READ_BUFFER;
/// Most bytes on the wire for each byte of a body: frames of chunks and of TLS. Chunk extensions, zeros before a length and empty records
/// have no bound of their own.
const MAX_FRAMING: usize = 2;
/// Most bytes that are read between two parts of a body: zeros before the length of a chunk have no bound of their own, and each byte is
/// read by itself.
const MAX_BETWEEN_DATA: usize = 32 * 1024;
/// Most bytes that hyper keeps of a head.
pub(super) const READ_BUFFER: usize = 64 * 1024;

/// TCP, or TLS over it.
pub(super) enum Socket {
    Plain(BoundedRead),
    Tls(Box<TlsStream<BoundedRead>>),
}

impl Socket {
    /// Whether the other side is still there and has said nothing yet.
    fn is_silent(&mut self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_silent(),
            Self::Tls(tls) => {
                let (tcp, session) = tls.get_mut();
                tcp.is_silent_under(session)
            }
        }
    }

    fn below(&mut self) -> &mut BoundedRead {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_mut().0,
        }
    }
}

/// What was handed to the socket, of the request that is under way.
///
/// All of it is read and written by the task that runs the connection; the atomics only make it `Sync`.
#[derive(Debug)]
pub(super) struct Meter {
    epoch: Instant,
    handed: AtomicBool,
    flushed: AtomicBool,
    progress_micros: AtomicU64,
    check_peer: AtomicBool,
    /// Bytes read since the request began, until the head of its answer is in; then since the last part of its body.
    bytes_beside: AtomicUsize,
    in_head: AtomicBool,
    informational: AtomicUsize,
    overrun: AtomicBool,
    /// Bytes that may be read on the wire for the answer.
    wire_bytes: AtomicUsize,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            handed: AtomicBool::new(false),
            flushed: AtomicBool::new(false),
            progress_micros: AtomicU64::new(0),
            check_peer: AtomicBool::new(false),
            bytes_beside: AtomicUsize::new(0),
            in_head: AtomicBool::new(false),
            informational: AtomicUsize::new(0),
            overrun: AtomicBool::new(false),
            wire_bytes: AtomicUsize::new(0),
        }
    }

    /// Starts a new request, the answer to which has a body of so many bytes at most; the connection is looked at before its first byte.
    pub(super) fn begin(&self, max_body: usize) {
        let wire_bytes = MAX_BEFORE_BODY.saturating_add(max_body.saturating_mul(MAX_FRAMING));
        self.wire_bytes.store(wire_bytes, Ordering::Relaxed);
        self.handed.store(false, Ordering::Relaxed);
        self.flushed.store(false, Ordering::Relaxed);
        self.check_peer.store(true, Ordering::Relaxed);
        self.bytes_beside.store(0, Ordering::Relaxed);
        self.in_head.store(true, Ordering::Relaxed);
        self.informational.store(0, Ordering::Relaxed);
        self.overrun.store(false, Ordering::Relaxed);
        self.mark_progress();
    }

    /// Whether a byte of the request was handed to the socket.
    pub(super) fn handed(&self) -> bool {
        self.handed.load(Ordering::Relaxed)
    }

    /// Whether the whole request was.
    pub(super) fn flushed(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
    }

    /// Notes an informational reply (1xx).
    pub(super) fn informed(&self) {
        self.informational.fetch_add(1, Ordering::Relaxed);
    }

    /// The head of the answer is in: from here on the body's own cap holds.
    pub(super) fn head_ended(&self) {
        self.in_head.store(false, Ordering::Relaxed);
        self.got_data();
    }

    /// A part of the body is in.
    pub(super) fn got_data(&self) {
        self.bytes_beside.store(0, Ordering::Relaxed);
    }

    /// Whether the other side said more before the head of its answer than is read.
    pub(super) fn overran(&self) -> bool {
        self.overrun.load(Ordering::Relaxed) || self.informational.load(Ordering::Relaxed) > MAX_INFORMATIONAL
    }

    /// Counts what was read; an error ends the connection.
    fn read(&self, bytes: usize) -> io::Result<()> {
        let most = if self.in_head.load(Ordering::Relaxed) {
            MAX_BEFORE_BODY
        } else {
            MAX_BETWEEN_DATA
        };
        if self.bytes_beside.fetch_add(bytes, Ordering::Relaxed) + bytes > most {
            self.overrun.store(true, Ordering::Relaxed);
        }
        if self.overran() {
            return Err(io::Error::new(ErrorKind::InvalidData, "more beside the answer than is read"));
        }
        Ok(())
    }

    /// When the last byte was, or when the request began.
    pub(super) fn last_progress(&self) -> Instant {
        self.epoch + Duration::from_micros(self.progress_micros.load(Ordering::Relaxed))
    }

    fn mark_progress(&self) {
        let micros = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.progress_micros.store(micros, Ordering::Relaxed);
    }

    fn wrote(&self, bytes: usize) {
        if bytes > 0 {
            self.handed.store(true, Ordering::Relaxed);
            self.mark_progress();
        }
    }
}

/// A socket that tells its meter what it takes. It counts above TLS: a byte that the TLS layer
/// took may be on the wire at any moment.
pub(super) struct Metered {
    socket: Socket,
    meter: Arc<Meter>,
}

impl Metered {
    pub(super) fn new(socket: Socket, meter: Arc<Meter>) -> Self {
        Self { socket, meter }
    }

    /// The last look before the first byte: a peer that closed while the connection lay idle must not turn "not sent" into "maybe sent",
    /// and what came before the request must not be read as its answer.
    fn check_peer(&mut self) -> io::Result<()> {
        if self.meter.check_peer.swap(false, Ordering::Relaxed) {
            if !self.socket.is_silent() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            self.socket.below().begin(self.meter.wire_bytes.load(Ordering::Relaxed));
        }
        Ok(())
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (this, before) = (self.get_mut(), buf.filled().len());
        let read = ready!(match &mut this.socket {
            Socket::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Socket::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        });
        if this.socket.below().overran() {
            this.meter.overrun.store(true, Ordering::Relaxed);
        }
        read?;
        Poll::Ready(this.meter.read(buf.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_peer()?;
        let written = ready!(match &mut this.socket {
            Socket::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Socket::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        })?;
        this.meter.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_peer()?;
        let written = ready!(match &mut this.socket {
            Socket::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Socket::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        })?;
        this.meter.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(tcp) => tcp.is_write_vectored(),
            Socket::Tls(tls) => tls.is_write_vectored(),
        }
    }

    /// hyper flushes when its own buffer is empty, so this ends the request.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(match &mut this.socket {
            Socket::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_flush(cx),
        })?;
        if this.meter.handed() {
            this.meter.flushed.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
