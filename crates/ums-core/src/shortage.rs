//! Our own machine's shortage, told from a fault of the peer.
//!
//! A call for which this process has no descriptor, local port, memory or thread left never reached the provider or the database, and
//! says nothing about it.

use std::error::Error;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::io::Errno;

use crate::causes::causes;
use crate::failure::{Failure, FailureClass};
use crate::trouble::TroubleKind;

/// What is missing. As an error it stands for itself, where the code of the machine did not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub enum Shortage {
    /// This process, or the machine, may open no further file or socket.
    Descriptors,
    /// No local port is free for a connection to that peer.
    Ports,
    /// The kernel has no memory for a socket.
    Memory,
    /// No further thread may be started.
    Threads,
}

/// The codes of a shortage: open(2), socket(2), accept(2), connect(2), getaddrinfo(3), `pthread_create(3)`.
///
/// EAGAIN comes from the start of a thread; of sockets the runtime gives it to nobody. EADDRNOTAVAIL has another cause, too:
/// [`Shortage::of_connect`].
const CODES: &[(Errno, Shortage)] = &[
    (Errno::MFILE, Shortage::Descriptors),
    (Errno::NFILE, Shortage::Descriptors),
    (Errno::NOBUFS, Shortage::Memory),
    (Errno::NOMEM, Shortage::Memory),
    (Errno::AGAIN, Shortage::Threads),
    (Errno::ADDRNOTAVAIL, Shortage::Ports),
];

/// glibc's words for `EAI_MEMORY` (`gai_strerror(3)`): the standard library gives the words alone.
const NO_MEMORY_FOR_NAMES: &str = "Memory allocation failure";

impl Shortage {
    /// The shortage in an error, found anywhere in its chain of causes.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).find_map(|cause| {
            let told = cause.downcast_ref::<Self>().copied();
            told.or_else(|| cause.downcast_ref::<io::Error>().and_then(Self::of_io))
        })
    }

    /// The shortage in an error of a connect to one of these addresses.
    ///
    /// EADDRNOTAVAIL means that the local ports are used up, or that this machine has no address of the peer's family: a host without
    /// IPv6 says so of every IPv6 address. Connecting a datagram socket sends nothing and tells which it is.
    pub fn of_connect(error: &(dyn Error + 'static), to: &[SocketAddr]) -> Option<Self> {
        Self::of(error).filter(|shortage| *shortage != Self::Ports || to.iter().any(has_way))
    }

    /// The shortage behind a name that could not be resolved. The resolver opens files and sockets of its own and says but "temporary
    /// failure", or "no such host", when it gets none (getaddrinfo(3)), so the machine is asked, too.
    pub fn of_lookup(error: &(dyn Error + 'static)) -> Option<Self> {
        let has_no_memory = causes(error).any(|cause| cause.to_string().contains(NO_MEMORY_FOR_NAMES));
        if has_no_memory {
            return Some(Self::Memory);
        }
        Self::of(error).or_else(Self::now)
    }

    /// What keeps this process from opening a file at this moment: for callers whose error tells too little.
    pub fn now() -> Option<Self> {
        File::open("/dev/null").err().as_ref().and_then(Self::of_io)
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        if error.kind() == io::ErrorKind::OutOfMemory {
            return Some(Self::Memory);
        }
        let raw = error.raw_os_error()?;
        let row = CODES.iter().find(|(code, _)| code.raw_os_error() == raw);
        row.map(|(_, shortage)| *shortage)
    }

    /// The shortage that a failed call met, if it did.
    pub fn of_failure(failure: &Failure) -> Option<Self> {
        let mut all = CODES.iter().map(|(_, shortage)| *shortage);
        all.find(|shortage| failure.class == FailureClass::LocalShortage && failure.code == shortage.code())
    }

    /// The trouble that it is to operators.
    pub const fn trouble(self) -> TroubleKind {
        match self {
            Self::Descriptors | Self::Ports => TroubleKind::Descriptors,
            Self::Memory | Self::Threads => TroubleKind::Memory,
        }
    }

    /// A short stable word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Descriptors => "no_descriptors",
            Self::Ports => "no_local_ports",
            Self::Memory => "no_memory",
            Self::Threads => "no_threads",
        }
    }

    /// What is missing and what to do, for operators.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Descriptors => {
                "this process or machine has no file descriptor left; raise the limit (LimitNOFILE) or lower limits.max_connections"
            }
            Self::Ports => "this machine has no local port left; widen net.ipv4.ip_local_port_range",
            Self::Memory => "this machine has no memory left for sockets; give it more, or lower limits.max_connections",
            Self::Threads => "this process may start no further thread; raise TasksMax, the pids limit of its container, or RLIMIT_NPROC",
        }
    }
}

impl From<Shortage> for Failure {
    fn from(shortage: Shortage) -> Self {
        Self::local(FailureClass::LocalShortage, shortage.code(), shortage.words())
    }
}

/// Whether this machine has an address from which that one can be reached: RFC 6724 §5, rule 1, asked as glibc asks it. What cannot be
/// asked for want of a descriptor is taken for reachable.
pub fn has_way(to: &SocketAddr) -> bool {
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    match UdpSocket::bind(from).and_then(|socket| socket.connect(to)) {
        Ok(()) => true,
        Err(error) => matches!(Shortage::of_io(&error), Some(Shortage::Descriptors | Shortage::Memory)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(code: Errno) -> io::Error {
        io::Error::from_raw_os_error(code.raw_os_error())
    }

    #[test]
    fn each_code_of_a_shortage_is_found_in_the_chain_of_causes() {
        for (code, expected) in [
            (Errno::MFILE, Some(Shortage::Descriptors)),
            (Errno::NFILE, Some(Shortage::Descriptors)),
            (Errno::NOBUFS, Some(Shortage::Memory)),
            (Errno::NOMEM, Some(Shortage::Memory)),
            (Errno::AGAIN, Some(Shortage::Threads)),
            (Errno::ADDRNOTAVAIL, Some(Shortage::Ports)),
            // The peer or the network.
            (Errno::CONNREFUSED, None),
            (Errno::CONNRESET, None),
            (Errno::HOSTUNREACH, None),
            (Errno::NETUNREACH, None),
            (Errno::TIMEDOUT, None),
            (Errno::ACCESS, None),
            (Errno::PIPE, None),
        ] {
            assert_eq!(Shortage::of(&raw(code)), expected, "{code}");
            assert_eq!(Shortage::of(&io::Error::other(raw(code))), expected, "{code} carried");
            let far = io::Error::other(io::Error::new(io::ErrorKind::InvalidInput, raw(code)));
            assert_eq!(Shortage::of(&far), expected, "{code} carried twice");
        }
        assert_eq!(Shortage::of(&io::Error::other(Shortage::Ports)), Some(Shortage::Ports), "as it is");
        assert_eq!(Shortage::of(&io::Error::from(io::ErrorKind::OutOfMemory)), Some(Shortage::Memory));
    }

    #[test]
    fn an_address_that_this_machine_has_no_way_to_is_no_shortage_of_ports() {
        let error = raw(Errno::ADDRNOTAVAIL);
        let here: SocketAddr = ([127, 0, 0, 1], 25).into();
        // A link-local address without its interface: no way leads there (connect(2), ipv6(7)).
        let nowhere: SocketAddr = ("fe80::1".parse::<Ipv6Addr>().unwrap(), 25).into();
        assert_eq!(Shortage::of_connect(&error, &[here]), Some(Shortage::Ports));
        assert_eq!(Shortage::of_connect(&error, &[nowhere]), None);
        assert_eq!(Shortage::of_connect(&raw(Errno::MFILE), &[nowhere]), Some(Shortage::Descriptors));
    }

    #[test]
    fn a_name_without_an_address_is_no_shortage() {
        let unknown = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(Shortage::of_lookup(&unknown), None);
        let memory = io::Error::other("failed to lookup address information: Memory allocation failure");
        assert_eq!(Shortage::of_lookup(&memory), Some(Shortage::Memory));
        assert_eq!(Shortage::of_lookup(&raw(Errno::MFILE)), Some(Shortage::Descriptors), "EAI_SYSTEM");
    }

    #[test]
    fn a_shortage_is_a_class_of_its_own_that_sent_nothing() {
        for (_, shortage) in CODES {
            let failure = Failure::from(*shortage);
            assert_eq!(failure.class, FailureClass::LocalShortage);
            assert!(!failure.class.may_have_been_accepted());
            assert_eq!(Shortage::of_failure(&failure), Some(*shortage));
            let of_sockets = matches!(shortage, Shortage::Descriptors | Shortage::Ports);
            assert_eq!(shortage.trouble() == TroubleKind::Descriptors, of_sockets, "{shortage:?}");
        }
    }
}
