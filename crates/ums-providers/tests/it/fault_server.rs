//! An HTTP server that fails on purpose, on real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Reads it, writes these bytes, goes on.
    Answer(Vec<u8>),
    /// Reads it, writes these bytes, closes in order.
    AnswerAndClose(Vec<u8>),
    /// Reads it and never answers.
    Hang,
    /// Never reads it.
    Ignore,
    /// Reads so many of its bytes and resets the connection.
    ResetAfter(usize),
    /// Reads the whole of it and resets the connection.
    ReadAndReset,
    /// Reads it, writes this head, then so many bytes, as fast as they are taken.
    Flood(Vec<u8>, u64),
    /// Reads it, then writes these bytes one by one with a pause between.
    Drip(Vec<u8>, Duration),
}

/// The server; it stops when dropped.
pub(crate) struct FaultServer {
    address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    script: Vec<Act>,
    next: AtomicUsize,
    connections: AtomicUsize,
    read: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl State {
    /// The act for the next request; the last one is repeated.
    fn peek(&self) -> Act {
        self.script[self.next.load(Ordering::SeqCst).min(self.script.len() - 1)].clone()
    }

    fn take(&self) -> Act {
        let act = self.peek();
        self.next.fetch_add(1, Ordering::SeqCst);
        act
    }
}

impl FaultServer {
    /// Starts it with an act for each request.
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script,
            next: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            requests: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state, task }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that it accepted.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Bytes that it read.
    pub(crate) fn bytes_read(&self) -> usize {
        self.state.read.load(Ordering::SeqCst)
    }

    /// The requests that it read whole, as text.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    loop {
        if !matches!(state.peek(), Act::ResetAfter(0)) && stream.readable().await.is_ok() && stream.peek(&mut [0]).await.unwrap_or(0) == 0 {
            return;
        }
        match state.take() {
            Act::Ignore => return std::future::pending().await,
            Act::ResetAfter(bytes) => return reset_after(stream, bytes, &state).await,
            Act::Answer(answer) => {
                read_request(&mut stream, &state).await;
                stream.write_all(&answer).await.unwrap_or_default();
            }
            Act::AnswerAndClose(answer) => {
                read_request(&mut stream, &state).await;
                return stream.write_all(&answer).await.unwrap_or_default();
            }
            Act::Hang => {
                read_request(&mut stream, &state).await;
                return std::future::pending().await;
            }
            Act::ReadAndReset => {
                read_request(&mut stream, &state).await;
                return reset(&stream);
            }
            Act::Flood(head, bytes) => {
                read_request(&mut stream, &state).await;
                return flood(stream, &head, bytes).await;
            }
            Act::Drip(answer, pause) => {
                read_request(&mut stream, &state).await;
                for byte in answer {
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    // Sleeps because a slow server is what is played here.
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// Makes the close that follows a reset.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

async fn reset_after(mut stream: TcpStream, bytes: usize, state: &State) {
    let mut buffer = vec![0; bytes];
    let mut filled = 0;
    while filled < bytes {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                filled += read;
                state.read.fetch_add(read, Ordering::SeqCst);
            }
        }
    }
    reset(&stream);
}

async fn flood(mut stream: TcpStream, head: &[u8], bytes: u64) {
    let block = vec![b'x'; 64 * 1024];
    let mut left = bytes;
    if stream.write_all(head).await.is_err() {
        return;
    }
    while left > 0 {
        let size = usize::try_from(left.min(block.len() as u64)).unwrap();
        if stream.write_all(&block[..size]).await.is_err() {
            return;
        }
        left -= size as u64;
    }
}

async fn read_request(stream: &mut TcpStream, state: &State) {
    let mut text = Vec::new();
    let mut block = vec![0; 16 * 1024];
    loop {
        if let Some(end) = whole_length(&text)
            && text.len() >= end
        {
            break;
        }
        match stream.read(&mut block).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                state.read.fetch_add(read, Ordering::SeqCst);
                text.extend_from_slice(&block[..read]);
            }
        }
    }
    state.requests.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
}

/// Where the request ends, once its head is there.
fn whole_length(text: &[u8]) -> Option<usize> {
    let head_end = text.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&text[..head_end]).to_lowercase();
    let length = head
        .split("content-length:")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .map_or(0, |value| value.trim().parse().unwrap());
    Some(head_end + length)
}

/// An answer with its length.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// An address where nobody listens.
pub(crate) async fn closed_url() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An address where connecting hangs: a listener whose queue is full. It lasts while the value lives.
pub(crate) struct FullQueue {
    _listener: socket2::Socket,
    _waiting: Vec<std::net::TcpStream>,
    address: SocketAddr,
}

impl FullQueue {
    pub(crate) fn new() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
        }
        Self {
            _listener: listener,
            _waiting: waiting,
            address,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
