//! A connection's stream with a watch on it: a client that does not go on sending a request, or
//! does not take its answer, loses the connection.
//!
//! hyper's own timeout for headers counts the idle time between requests, too. Here the two are
//! apart, and no time runs while a request is being worked on. The time for a body is kept where
//! bodies are read (`body`), because there the client can still be told.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::door::ConnectionState;
use crate::framing::{Framing, Phase};
use crate::settings::Limits;

/// Least speed at which a client must take its answer, after the time in which it may take nothing.
const LEAST_BYTES_PER_SECOND: u64 = 1_024;

/// A stream with a watch on it.
#[derive(Debug)]
pub(crate) struct WatchedStream<S> {
    stream: S,
    state: Arc<ConnectionState>,
    framing: Framing,
    reading: Alarm<Phase>,
    writing: Alarm<u64>,
    /// Bytes of the answers in hand that were taken, and since when the client has been waited for.
    taken: u64,
    waiting_since: Option<Instant>,
    header_time: Duration,
    idle_time: Duration,
    write_time: Duration,
}

impl<S> WatchedStream<S> {
    pub(crate) fn new(stream: S, state: Arc<ConnectionState>, limits: &Limits) -> Self {
        Self {
            stream,
            state,
            framing: Framing::new(),
            reading: Alarm::default(),
            writing: Alarm::default(),
            taken: 0,
            waiting_since: None,
            header_time: limits.header_time,
            idle_time: limits.idle_time,
            write_time: limits.write_time,
        }
    }

    /// The time that a read may take now: none while a request is worked on or its body is read.
    fn read_time(&self) -> Option<(Phase, Duration)> {
        let phase = match self.framing.phase() {
            // From its start, a connection has one time for its first request: nothing and half a head are the same.
            Phase::Awaiting(0) => Phase::Head(0),
            phase @ (Phase::Awaiting(_) | Phase::Head(_) | Phase::Body) => phase,
        };
        match phase {
            _ if self.state.is_busy() => None,
            Phase::Body => None,
            Phase::Awaiting(_) => Some((phase, self.idle_time)),
            Phase::Head(_) => Some((phase, self.header_time)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if let Poll::Ready(done) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.framing.follow(buffer.filled().get(before..).unwrap_or_default());
            if this.framing.is_ambiguous() {
                this.state.ambiguous.store(true, Ordering::Release);
            }
            return Poll::Ready(done);
        }
        let late = match this.read_time() {
            None => this.reading.stop(),
            Some((phase, time)) => this.reading.is_over(cx, phase, time),
        };
        if late {
            Poll::Ready(Err(too_slow("the request did not come")))
        } else {
            Poll::Pending
        }
    }
}

impl<S> WatchedStream<S> {
    /// The time that a write may take now: a while for the next byte, and not for ever for all of them.
    fn time_to_take(&mut self) -> Duration {
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        let for_all = self.write_time + Duration::from_secs(self.taken / LEAST_BYTES_PER_SECOND);
        self.write_time.min((since + for_all).saturating_duration_since(now))
    }

    fn watch_write(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let late = match &written {
            Poll::Ready(done) => {
                self.taken += done.as_ref().map_or(0, |bytes| *bytes as u64);
                self.writing.stop()
            }
            Poll::Pending => {
                let time = self.time_to_take();
                self.writing.is_over(cx, self.taken, time)
            }
        };
        if late {
            Poll::Ready(Err(too_slow("the answer was not taken")))
        } else {
            written
        }
    }
}

fn too_slow(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// A time that runs for one thing at once.
#[derive(Debug)]
struct Alarm<K> {
    running_for: Option<K>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<K> Default for Alarm<K> {
    fn default() -> Self {
        Self {
            running_for: None,
            sleep: None,
        }
    }
}

impl<K: PartialEq> Alarm<K> {
    /// Ends the time; it is not over.
    fn stop(&mut self) -> bool {
        self.running_for = None;
        false
    }

    /// Whether the time for `what` is over; it begins when `what` is new.
    fn is_over(&mut self, cx: &mut Context<'_>, what: K, time: Duration) -> bool {
        let is_new = self.running_for.as_ref() != Some(&what);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        if is_new {
            sleep.as_mut().reset(Instant::now() + time);
            self.running_for = Some(what);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch_write(cx, written)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if flushed.is_ready() {
            // hyper flushes the stream when nothing is left in its own buffer.
            (this.taken, this.waiting_since) = (0, None);
            this.state.flushed();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
