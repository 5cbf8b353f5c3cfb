//! A handle on a port: others open and close the port by it.

use std::net::SocketAddr;

use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// A handle on a port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    orders: mpsc::Sender<Order>,
}

/// To open or close a port.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) open: bool,
    pub(crate) done: oneshot::Sender<Result<(), Error>>,
}

impl Port {
    /// A handle, and the inbox of the port's keeper.
    pub(crate) fn new(address: SocketAddr) -> (Self, mpsc::Receiver<Order>) {
        let (orders, inbox) = mpsc::channel(4);
        (Self { address, orders }, inbox)
    }

    /// Opens or closes the port; returns when it is done.
    pub(crate) async fn set_open(&self, open: bool) -> Result<(), Error> {
        let (done, outcome) = oneshot::channel();
        let order = Order { open, done };
        self.orders.send(order).await.map_err(|_| Error::Stopped)?;
        outcome.await.map_err(|_| Error::Stopped)?
    }
}
