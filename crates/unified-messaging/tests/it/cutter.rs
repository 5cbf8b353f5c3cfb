//! A TCP proxy that cuts connections by a reset, at a chosen byte, and remembers what passed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// Nowhere.
    Never,
    /// At once: while it lies idle, or as soon as it was accepted.
    Now,
    /// When so many bytes have come from the client.
    AfterRequest(usize),
    /// When so many bytes have gone to the client.
    AfterReply(usize),
}

/// What passed since the cut was chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    /// By connection, in their order: what was read from the client, passed on or not.
    pub(crate) from_client: BTreeMap<u64, Vec<u8>>,
    /// By connection: what was written to the client.
    pub(crate) to_client: BTreeMap<u64, Vec<u8>>,
    /// Connections that were cut.
    pub(crate) cuts: usize,
}

impl Passed {
    /// Bytes that came from the client.
    pub(crate) fn up(&self) -> usize {
        self.from_client.values().map(Vec::len).sum()
    }

    /// Bytes that went to the client.
    pub(crate) fn down(&self) -> usize {
        self.to_client.values().map(Vec::len).sum()
    }
}

/// The proxy. It stops listening when dropped.
#[derive(Debug)]
pub(crate) struct Cutter {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    cut: watch::Sender<Cut>,
    passed: Mutex<Passed>,
}

impl Cutter {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            cut: watch::Sender::new(Cut::Never),
            passed: Mutex::default(),
        });
        let of_task = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            for number in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                let shared = Arc::clone(&of_task);
                tokio::spawn(async move { shared.carry(number, client, server).await });
            }
        });
        Self {
            address,
            shared,
            accepting: accepting.abort_handle(),
        }
    }

    /// Chooses the cut for what comes from now on, and forgets what passed.
    pub(crate) fn arm(&self, cut: Cut) {
        *self.shared.passed.lock().unwrap() = Passed::default();
        self.shared.cut.send_replace(cut);
    }

    pub(crate) fn passed(&self) -> Passed {
        self.shared.passed.lock().unwrap().clone()
    }

    /// Refuses connections from now on.
    pub(crate) fn stop_listening(&self) {
        self.accepting.abort();
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    async fn carry(&self, number: u64, mut client: TcpStream, server: SocketAddr) {
        let mut server = TcpStream::connect(server).await.unwrap();
        for socket in [&client, &server] {
            socket.set_nodelay(true).unwrap();
        }
        if self.pass_until_cut(number, &mut client, &mut server).await {
            for socket in [&client, &server] {
                socket.set_zero_linger().unwrap();
            }
            // Both are closed by the reset before anybody can see that it was counted.
            drop((client, server));
            self.passed.lock().unwrap().cuts += 1;
        }
    }

    /// Passes bytes on; true when it is to be cut, false when either side ended it.
    async fn pass_until_cut(&self, number: u64, client: &mut TcpStream, server: &mut TcpStream) -> bool {
        let mut cut = self.cut.subscribe();
        let (mut up, mut down) = (vec![0; 16_384], vec![0; 16_384]);
        loop {
            if *cut.borrow_and_update() == Cut::Now {
                return true;
            }
            tokio::select! {
                _ = cut.changed() => {}
                read = client.read(&mut up) => {
                    let Ok(read @ 1..) = read else { return false };
                    let (allowed, is_cut) = self.count_up(number, &up[..read]);
                    if server.write_all(&up[..allowed]).await.is_err() || is_cut {
                        return is_cut;
                    }
                }
                read = server.read(&mut down) => {
                    let Ok(read @ 1..) = read else { return false };
                    let (allowed, is_cut) = self.count_down(number, &down[..read]);
                    if client.write_all(&down[..allowed]).await.is_err() || is_cut {
                        return is_cut;
                    }
                }
            }
        }
    }

    fn count_up(&self, number: u64, bytes: &[u8]) -> (usize, bool) {
        let mut passed = self.passed.lock().unwrap();
        let before = passed.up();
        passed.from_client.entry(number).or_default().extend_from_slice(bytes);
        match *self.cut.borrow() {
            Cut::AfterRequest(limit) if before + bytes.len() >= limit => (limit.saturating_sub(before), true),
            Cut::AfterRequest(_) | Cut::AfterReply(_) | Cut::Never => (bytes.len(), false),
            Cut::Now => (0, true),
        }
    }

    fn count_down(&self, number: u64, bytes: &[u8]) -> (usize, bool) {
        let mut passed = self.passed.lock().unwrap();
        let before = passed.down();
        let (allowed, is_cut) = match *self.cut.borrow() {
            Cut::AfterReply(limit) if before + bytes.len() >= limit => (limit.saturating_sub(before), true),
            Cut::AfterRequest(_) | Cut::AfterReply(_) | Cut::Never => (bytes.len(), false),
            Cut::Now => (0, true),
        };
        passed.to_client.entry(number).or_default().extend_from_slice(&bytes[..allowed]);
        (allowed, is_cut)
    }
}
