//! Receivers of calls that pass them on to the sink while they are calm, and answer with a flood while they are not.
//!
//! Each connection has a thread: a flood must not wait for anybody else's turn.

use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rustix::process::setpriority_process;

/// What a receiver never stops saying.
#[derive(Debug, Clone, Copy)]
pub(super) enum Flood {
    /// Informational replies before the answer.
    Informational,
    /// In turn: extensions of one chunk, chunks of one byte, zeros before the length of a chunk.
    Chunks,
    /// Headers, one byte at a time.
    BytesOfHeaders,
    /// Lines of one SMTP reply.
    ContinuationLines,
    /// Each kind of HTTP in turn.
    Anything,
}

/// How a flood begins and goes on.
struct Words {
    head: &'static [u8],
    block: Vec<u8>,
    by_bytes: bool,
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
/// Bytes of a write.
const BLOCK: usize = 16 * 1024;
/// How long a write waits for a peer that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

impl Flood {
    fn words(self, call: u64) -> Words {
        let flood = |head: &'static [u8], unit: &[u8]| Words {
            head,
            block: unit.repeat(BLOCK / unit.len()),
            by_bytes: false,
        };
        match self {
            Self::Informational => flood(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
            Self::Chunks => match call % 3 {
                0 => flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1", b";a=b"),
                1 => flood(CHUNKED, b"1\r\nx\r\n"),
                _ => flood(CHUNKED, b"0000"),
            },
            Self::BytesOfHeaders => Words {
                by_bytes: true,
                ..flood(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n")
            },
            Self::ContinuationLines => flood(b"220 ready\r\n", b"250-X\r\n"),
            Self::Anything => match call % 5 {
                0 => Self::Informational.words(0),
                1 => Self::BytesOfHeaders.words(0),
                kind => Self::Chunks.words(kind),
            },
        }
    }
}

/// A receiver; it ends with the program.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) at: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    flood: Flood,
    /// Who takes calls afterwards; without anybody they are answered with 204.
    sink: Option<SocketAddr>,
    is_calm: AtomicBool,
    floods: AtomicU64,
    /// Connections that were passed on while it was calm.
    passed_on: Mutex<Vec<TcpStream>>,
}

impl Receiver {
    pub(super) fn start(flood: Flood, sink: Option<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let at = listener.local_addr()?;
        let shared = Arc::new(Shared {
            flood,
            sink,
            is_calm: AtomicBool::new(true),
            floods: AtomicU64::new(0),
            passed_on: Mutex::default(),
        });
        let receiver = Self {
            at,
            shared: Arc::clone(&shared),
        };
        std::thread::spawn(move || {
            // Strangers have machines of their own: here they get what the service leaves of this one. setpriority(2) is of this thread and
            // of those that it starts.
            if let Err(error) = setpriority_process(None, 19) {
                eprintln!("   the receivers compete with the service: {error}");
            }
            for caller in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A caller who goes away ends the connection, and nothing else.
                std::thread::spawn(move || shared.serve(caller).unwrap_or_default());
            }
        });
        Ok(receiver)
    }

    /// A flood begins on connections that are new: those from before end, or a caller who keeps his would never meet it.
    pub(super) fn set_calm(&self, is_calm: bool) {
        self.shared.is_calm.store(is_calm, Ordering::Release);
        for connection in self.shared.passed_on().drain(..) {
            // Many have ended by themselves.
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    /// How many calls were answered with a flood.
    pub(super) fn floods(&self) -> u64 {
        self.shared.floods.load(Ordering::Acquire)
    }
}

impl Shared {
    fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Acquire)
    }

    fn passed_on(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.passed_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut caller: TcpStream) -> io::Result<()> {
        caller.set_nodelay(true)?;
        if self.is_calm() {
            self.passed_on().push(caller.try_clone()?);
            return match self.sink {
                Some(sink) => pass_on(caller, TcpStream::connect(sink)?),
                None => answer(caller),
            };
        }
        caller.set_write_timeout(Some(PATIENCE))?;
        let words = self.flood.words(self.floods.load(Ordering::Acquire));
        caller.write_all(if matches!(self.flood, Flood::ContinuationLines) {
            words.head
        } else {
            b""
        })?;
        // The request, or what there is of it.
        let read = caller.read(&mut [0; BLOCK])?;
        if read == 0 {
            return Ok(());
        }
        self.floods.fetch_add(1, Ordering::AcqRel);
        if !matches!(self.flood, Flood::ContinuationLines) {
            caller.write_all(words.head)?;
        }
        while !self.is_calm() {
            if words.by_bytes {
                for byte in words.block.chunks(1) {
                    caller.write_all(byte)?;
                }
            } else {
                caller.write_all(&words.block)?;
            }
        }
        Ok(())
    }
}

fn answer(mut caller: TcpStream) -> io::Result<()> {
    let mut request = [0; BLOCK];
    while caller.read(&mut request)? > 0 {
        caller.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")?;
    }
    Ok(())
}

/// Carries bytes both ways until one side ends.
fn pass_on(caller: TcpStream, sink: TcpStream) -> io::Result<()> {
    sink.set_nodelay(true)?;
    let (mut from_caller, mut to_sink) = (caller.try_clone()?, sink.try_clone()?);
    let (mut from_sink, mut to_caller) = (sink, caller);
    std::thread::spawn(move || carry(&mut from_caller, &mut to_sink));
    carry(&mut from_sink, &mut to_caller);
    Ok(())
}

fn carry(from: &mut TcpStream, to: &mut TcpStream) {
    // Either end may break off; the other one is told by the end of the stream.
    drop(io::copy(from, to));
    drop(to.shutdown(Shutdown::Both));
}
