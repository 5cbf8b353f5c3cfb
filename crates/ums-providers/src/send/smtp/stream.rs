//! The stream that is handed to lettre: it counts, bounds and tidies what passes.
//!
//! lettre's connection owns one end ([`Wire`]), the adapter keeps the other ([`Line`]) and asks it afterwards how many bytes
//! were handed to the socket, what was heard and how it ended. That count is what decides between "surely not accepted" and
//! "may have been accepted"; nothing else does.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use ums_core::Shortage;

use super::SmtpTimeouts;
use crate::bounded_read::BoundedRead;

/// Most bytes that one exchange may answer, and most bytes without a line end.
const MAX_HEARD_BYTES: usize = 64 * 1024;
/// The same on the wire, with the frames of TLS.
const MAX_WIRE_BYTES: usize = 4 * MAX_HEARD_BYTES;

/// lettre says goodbye by itself when EHLO is refused and waits for the answer; this stream does not let it.
const QUIT: &[u8] = b"QUIT\r\n";

/// How a connection ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server closed or reset it.
    Closed,
    /// Too long without progress or reply, or the message's time was up.
    Timeout,
    /// What came was no SMTP reply, or more of it than is read.
    Unreadable,
    /// Our own machine had nothing left to read or write with.
    Shortage(Shortage),
}

/// Most lines of one reply. RFC 5321 §4.5.3.1 sets no bound; what EHLO lists is the longest, some thirty lines. The parser above reads a
/// reply from its first line again with every line.
const MAX_LINES: usize = 64;

/// A TCP stream that remembers when the kernel last took a byte.
pub(super) struct Socket {
    tcp: BoundedRead,
    last_write: Instant,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.tcp).poll_write(cx, bytes))?;
        self.last_write = Instant::now();
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

enum Io {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
    /// While TLS is being negotiated, and after that failed.
    Away,
}

impl Io {
    fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Away => None,
        }
    }

    fn socket_mut(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(stream) => Some(stream.get_mut().0),
            Self::Away => None,
        }
    }

    /// Whether the server is still there and has said nothing that was not read.
    fn is_silent(&mut self) -> bool {
        match self {
            Self::Plain(socket) => socket.tcp.is_silent(),
            Self::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                socket.tcp.is_silent_under(session)
            }
            Self::Away => false,
        }
    }
}

struct State {
    io: Io,
    /// Bytes of the dialogue that the socket (or the TLS session above it) took.
    handed: u64,
    /// Whether something to be written is still waiting.
    writing: bool,
    /// All that came since [`Line::begin`], tidied.
    heard: Vec<u8>,
    /// How much of `heard` lettre has read.
    read: usize,
    /// Bytes since the last line end.
    column: usize,
    /// Bytes that came since [`Line::begin`], as they came: tidying drops some.
    came: usize,
    ending: Option<Ending>,
}

/// Our end of a connection.
pub(super) struct Line(Mutex<State>);

impl Line {
    /// Takes over a fresh TCP connection.
    pub(super) fn new(tcp: TcpStream) -> Arc<Self> {
        let socket = Socket {
            tcp: BoundedRead::new(tcp),
            last_write: Instant::now(),
        };
        let state = State {
            io: Io::Plain(socket),
            handed: 0,
            writing: false,
            heard: Vec::with_capacity(512),
            read: 0,
            column: 0,
            came: 0,
            ending: None,
        };
        Arc::new(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an exchange: forgets what was heard and restarts the clock of the deadline.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        let read = state.read;
        state.heard.drain(..read);
        state.read = 0;
        state.writing = false;
        state.came = 0;
        if let Some(socket) = state.io.socket_mut() {
            socket.last_write = Instant::now();
            socket.tcp.begin(MAX_WIRE_BYTES);
        }
    }

    /// Bytes of the dialogue handed over so far.
    pub(super) fn handed(&self) -> u64 {
        self.state().handed
    }

    /// How it ended, if the stream saw it end.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.state().ending
    }

    /// All that came since the exchange began.
    pub(super) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.state().heard).into_owned()
    }

    /// How many replies came since the exchange began.
    pub(super) fn replies(&self) -> usize {
        self.state()
            .heard
            .split(|byte| *byte == b'\n')
            .filter(|line| ends_reply(line))
            .count()
    }

    /// When the exchange is given up.
    pub(super) fn deadline(&self, timeouts: &SmtpTimeouts) -> Instant {
        let state = self.state();
        let since = state.io.socket().map_or_else(Instant::now, |socket| socket.last_write);
        since + if state.writing { timeouts.write } else { timeouts.reply }
    }

    /// Whether something may be said: the connection is open, and nothing unasked has come (a 421, the end, the begin of a reply to
    /// what is yet to be said).
    pub(super) fn is_silent(&self) -> bool {
        let mut state = self.state();
        if state.ending.is_some() || state.read < state.heard.len() || begun_lines(&state.heard) > 0 {
            return false;
        }
        state.io.is_silent()
    }

    /// Negotiates TLS on the connection as it stands.
    pub(super) async fn secure(&self, connector: &TlsConnector, name: ServerName<'static>) -> io::Result<()> {
        let plain = std::mem::replace(&mut self.state().io, Io::Away);
        let Io::Plain(socket) = plain else {
            return Err(io::Error::other("not a plain connection"));
        };
        let stream = connector.connect(name, socket).await?;
        self.state().io = Io::Tls(Box::new(stream));
        Ok(())
    }
}

impl State {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 2048];
        let mut buf = ReadBuf::new(&mut scratch);
        let polled = match &mut self.io {
            Io::Plain(socket) => Pin::new(socket).poll_read(cx, &mut buf),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buf),
            Io::Away => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        self.note_loss(ready!(polled))?;
        if buf.filled().is_empty() {
            self.ending = Some(Ending::Closed);
        }
        tidy(buf.filled(), &mut self.column, &mut self.heard);
        self.came += buf.filled().len();
        if self.came.max(self.heard.len()) > MAX_HEARD_BYTES || begun_lines(&self.heard) > MAX_LINES {
            self.ending = Some(Ending::Unreadable);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "reply too long")));
        }
        Poll::Ready(Ok(()))
    }

    fn note_loss<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.ending = Some(Shortage::of(error).map_or(Ending::Closed, Ending::Shortage));
        }
        result
    }
}

/// Whether a line is the last of its reply: code and space.
fn ends_reply(line: &[u8]) -> bool {
    line.get(3) == Some(&b' ')
}

/// How many lines there are of a reply that has not ended.
fn begun_lines(heard: &[u8]) -> usize {
    let whole = heard.strip_suffix(b"\n");
    let mut lines = whole.unwrap_or(heard).rsplit(|byte| *byte == b'\n');
    // The line that is not whole ends nothing yet.
    let part = usize::from(whole.is_none() && lines.next().is_some_and(|line| !line.is_empty()));
    part + lines.take_while(|line| !line.is_empty() && !ends_reply(line)).count()
}

/// Makes replies fit for a strict parser: other bytes than printable ASCII become `?`, a bare LF a line end, and a line of
/// a code only gets its space (RFC 5321 §4.2 wants clients to take it without).
pub(super) fn tidy(raw: &[u8], column: &mut usize, clean: &mut Vec<u8>) {
    for &byte in raw {
        match byte {
            b'\r' => {}
            b'\n' => {
                if *column == 3 {
                    clean.push(b' ');
                }
                clean.extend_from_slice(b"\r\n");
                *column = 0;
            }
            _ => {
                clean.push(if matches!(byte, b'\t' | b' '..=b'~') { byte } else { b'?' });
                *column += 1;
            }
        }
    }
}

/// lettre's end of a connection.
pub(super) struct Wire(pub(super) Arc<Line>);

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0
            .state()
            .io
            .socket()
            .map_or_else(|| Err(io::ErrorKind::NotConnected.into()), |socket| socket.tcp.tcp().peer_addr())
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        // A read may yield nothing but a CR that tidying dropped; an empty answer would mean the end.
        while state.read == state.heard.len() {
            ready!(state.poll_fill(cx))?;
            if state.ending.is_some() {
                return Poll::Ready(Ok(()));
            }
        }
        let fresh = state.heard.get(state.read..).unwrap_or_default();
        let taken = fresh.len().min(buf.remaining());
        buf.put_slice(fresh.get(..taken).unwrap_or_default());
        state.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes == QUIT {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut state = self.0.state();
        state.writing = true;
        let polled = match &mut state.io {
            Io::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Away => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        let taken = state.note_loss(ready!(polled))?;
        state.handed += u64::try_from(taken).unwrap_or(u64::MAX);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        let polled = match &mut state.io {
            Io::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Io::Away => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        state.note_loss(ready!(polled))?;
        state.writing = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0.state().io {
            Io::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Away => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_made_fit_for_a_strict_parser() {
        let check = |pieces: &[&[u8]], expected: &str| {
            let (mut column, mut clean) = (0, Vec::new());
            for piece in pieces {
                tidy(piece, &mut column, &mut clean);
            }
            assert_eq!(String::from_utf8(clean).unwrap(), expected);
        };
        check(&[b"250 ok\r\n"], "250 ok\r\n");
        check(&[b"250\r", b"\n"], "250 \r\n");
        check(&[b"250-a\n250", b"\n"], "250-a\r\n250 \r\n");
        check(&[b"250 \xfcbernommen \x1b[31m\r\n"], "250 ?bernommen ?[31m\r\n");
    }

    #[test]
    fn a_reply_that_has_not_ended_is_noticed() {
        for (heard, lines) in [
            ("", 0),
            ("250 ok\r\n", 0),
            ("250-a\r\n250 ok\r\n", 0),
            ("2", 1),
            ("250 o", 1),
            ("250-a\r\n", 1),
            ("250-a\r\n250-b\r\n25", 3),
            ("250 ok\r\n250-x\r\n", 1),
            ("250 ok\r\n250 o", 1),
        ] {
            assert_eq!(begun_lines(heard.as_bytes()), lines, "{heard:?}");
        }
    }
}
