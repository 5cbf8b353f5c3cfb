//! Reading from a peer that may always have more to say.
//!
//! The one place where sockets of providers, receivers and metadata services are read; TLS, HTTP and SMTP lie above it, so a flood of
//! empty TLS records, informational replies, chunk extensions, tiny chunks or continuation lines meets the same two bounds:
//!
//! - in a *turn* so much is read at most; then the connection rests, and its task with it. A task that is always ready would keep a
//!   core from timers and from everybody else's sockets: the runtime's own budget gives the core back only after 128 reads of any size,
//!   and a task that yields is ready again at once;
//! - in an *exchange* (a handshake, a request and its answer, a command and its replies) so much is read at most, whatever it is.

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ClientConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Most bytes of a turn. Answers of providers are shorter, so the usual answer never rests.
const TURN_BYTES: usize = 4 * 1024;
/// Most reads of a turn: each may be one byte, after which all that came before is parsed again.
const TURN_READS: u32 = 8;
/// How long a connection rests after a turn: the shortest time that the runtime's timer knows.
pub(crate) const REST: Duration = Duration::from_millis(1);
/// Most bytes of a TLS handshake: a chain of certificates has 64 KiB at most in rustls.
const MAX_HANDSHAKE: usize = 256 * 1024;

/// Most reads of TLS's own messages before a request; a server sends two tickets or so.
const MAX_UNASKED_READS: u32 = 8;

/// A TCP connection that is read within bounds.
#[derive(Debug)]
pub(crate) struct BoundedRead {
    tcp: TcpStream,
    turn: Turn,
    /// Bytes that are still read in this exchange.
    left: usize,
    overran: bool,
}

#[derive(Debug)]
struct Turn {
    began: Instant,
    bytes: usize,
    reads: u32,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Turn {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            bytes: 0,
            reads: 0,
            rest: None,
        }
    }

    /// Ready when something may be read.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            *self = Self::new();
        } else if self.bytes >= TURN_BYTES || self.reads >= TURN_READS {
            let rest = self.rest.insert(Box::pin(sleep(REST)));
            ready!(rest.as_mut().poll(cx));
            *self = Self::new();
        }
        Poll::Ready(())
    }

    /// The peer has nothing more to say now. If that took it a while, the task waited as well as by a rest.
    fn ran_dry(&mut self) {
        if self.began.elapsed() >= REST {
            *self = Self::new();
        }
    }
}

impl BoundedRead {
    /// Takes over a fresh connection; its first exchange is the handshake of TLS, if there is one.
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            turn: Turn::new(),
            left: MAX_HANDSHAKE,
            overran: false,
        }
    }

    /// Begins an exchange in which so many bytes are read at most.
    pub(crate) fn begin(&mut self, most: usize) {
        self.left = most;
    }

    /// Whether the peer said more than is read.
    pub(crate) fn overran(&self) -> bool {
        self.overran
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Whether the other side is still there and has said nothing. Asks the kernel: the runtime learns of bytes later.
    pub(crate) fn is_silent(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = SockRef::from(&self.tcp).peek(&mut byte);
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// The same under a TLS session. TLS talks below the dialogue (RFC 8446 §4.6.1: tickets after the handshake), so what came is read
    /// into the session, which may also hold bytes that nobody has read yet.
    pub(crate) fn is_silent_under(&self, session: &mut ClientConnection) -> bool {
        let socket = SockRef::from(&self.tcp);
        for _ in 0..MAX_UNASKED_READS {
            let read = session.read_tls(&mut &*socket);
            let is_quiet = session
                .process_new_packets()
                .is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed());
            match read {
                Ok(1..) if is_quiet => {}
                Ok(_) => return false,
                Err(error) => return is_quiet && error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }
}

impl AsyncRead for BoundedRead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.turn.poll_room(cx));
        if this.left == 0 {
            this.overran = true;
            return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, "the peer said more than is read")));
        }
        let room = (TURN_BYTES - this.turn.bytes).min(this.left).min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        let Poll::Ready(done) = Pin::new(&mut this.tcp).poll_read(cx, &mut part) else {
            this.turn.ran_dry();
            return Poll::Pending;
        };
        done?;
        let read = part.filled().len();
        buf.advance(read);
        this.turn.bytes += read;
        this.turn.reads += 1;
        this.left -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedRead {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
