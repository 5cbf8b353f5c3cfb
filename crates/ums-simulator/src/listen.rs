//! Ports: opened, closed for `refuse`, and opened again at the same number.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::http::Door;
use crate::port::{Order, Port};
use crate::world::World;
use crate::{Error, Provider, connection, smtp};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Pause after a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// An open socket whose loop has not begun, so that all ports are known before.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Binds a port; 0 takes any free one.
pub(crate) fn bind(address: SocketAddr) -> Result<Bound, Error> {
    let listen = || {
        let listener = socket(address)?.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    listen().map_err(|source| Error::Bind { address, source })
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Bound {
    /// Begins to accept, as long as its handle lives.
    pub(crate) fn serve(self, world: &Arc<World>, door: Door) -> Port {
        let (port, inbox) = Port::new(self.address);
        let keeper = Keeper {
            cut: world.stop.child_token(),
            world: Arc::clone(world),
            door,
            address: self.address,
            orders: inbox,
            state: State::Open(self.listener),
        };
        world.tasks.spawn(keeper.run());
        port
    }
}

struct Keeper {
    world: Arc<World>,
    door: Door,
    address: SocketAddr,
    orders: mpsc::Receiver<Order>,
    state: State,
    /// Cuts the connections that came through this opening of the port.
    cut: CancellationToken,
}

enum State {
    Open(TcpListener),
    /// Refuses. The socket is bound but does not listen: that keeps the number
    /// from being given to an outgoing connection meanwhile.
    Closed(Option<TcpSocket>),
}

impl State {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Self::Open(listener) => listener.accept().await,
            Self::Closed(_) => std::future::pending().await,
        }
    }
}

impl Keeper {
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.world.stop.cancelled() => return,
                order = self.orders.recv() => {
                    let Some(order) = order else { return };
                    let outcome = self.set_open(order.open);
                    if order.done.send(outcome).is_err() {
                        tracing::debug!("nobody waits for the port any more");
                    }
                }
                accepted = self.state.accept() => match accepted {
                    Ok((stream, _)) => self.welcome(stream),
                    Err(fault) => {
                        tracing::debug!(%fault, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn set_open(&mut self, open: bool) -> Result<(), Error> {
        match (&mut self.state, open) {
            (State::Open(_), true) | (State::Closed(_), false) => Ok(()),
            (State::Open(_), false) => {
                // The listener must go first: beside a listening socket none can be bound.
                self.state = State::Closed(None);
                self.state = State::Closed(socket(self.address).ok());
                self.cut.cancel();
                Ok(())
            }
            (State::Closed(held), true) => {
                let held = held.take().map_or_else(|| socket(self.address), Ok);
                let listener = held.and_then(|socket| socket.listen(BACKLOG));
                let listener = listener.map_err(|source| Error::Bind {
                    address: self.address,
                    source,
                })?;
                self.state = State::Open(listener);
                self.cut = self.world.stop.child_token();
                Ok(())
            }
        }
    }

    fn welcome(&self, stream: TcpStream) {
        if let Err(fault) = stream.set_nodelay(true) {
            tracing::debug!(%fault, "peer left at once");
            return;
        }
        if let Door::Own(provider) = &self.door {
            self.world.counters(*provider).connected();
        }
        let world = Arc::clone(&self.world);
        let cut = self.cut.clone();
        match &self.door {
            Door::Own(Provider::Smtp) => {
                self.world.tasks.spawn(smtp::serve(world, stream, cut));
            }
            Door::Own(_) | Door::Front(_) => {
                let door = self.door.clone();
                self.world.tasks.spawn(connection::serve(world, stream, door, cut));
            }
        }
    }
}
