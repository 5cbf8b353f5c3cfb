//! What can go wrong with the simulator itself.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{Mode, Provider};

/// A fault of the simulator or of a request to control it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port could not be opened.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The journal's file could not be opened.
    #[error("cannot write the journal {}", path.display())]
    Journal {
        /// The file that was named.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The provider cannot have a fault of this mode.
    #[error("{provider} cannot have the fault `{mode}`; possible: {possible}")]
    Impossible {
        /// The provider that was named.
        provider: Provider,
        /// The mode that was asked for.
        mode: Mode,
        /// The modes that it can have, separated by commas.
        possible: String,
    },
    /// A setting of a fault or of the feedback is out of its range.
    #[error("{0}")]
    Setting(&'static str),
    /// The keys that feedback is signed with could not be made or used.
    #[error("the keys for feedback cannot be used")]
    Keys,
    /// The simulator was shut down.
    #[error("the simulator has stopped")]
    Stopped,
}
