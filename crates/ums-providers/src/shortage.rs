//! Our own machine's shortage, told from a fault of the peer.
//!
//! A call for which this process has no descriptor, local port, memory or thread left never reached the provider, and says nothing about
//! it. Source of the codes: socket(2), connect(2), open(2), getaddrinfo(3), `pthread_create(3)`.

use std::error::Error;
use std::fs::File;
use std::io;

use rustix::io::Errno;
use ums_core::{Failure, FailureClass};

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    Descriptors,
    Ports,
    Memory,
}

/// The codes of a shortage. EADDRNOTAVAIL of a connect that names no local address means that the local ports are used up (connect(2));
/// no socket here is bound to an address. EAGAIN never comes from a connect over TCP but for the same cause (connect(2): "insufficient
/// entries in the routing cache", and on threads `pthread_create(3)`); `WouldBlock` of a read or a write is not asked about here.
const CODES: &[(Errno, Shortage)] = &[
    (Errno::MFILE, Shortage::Descriptors),
    (Errno::NFILE, Shortage::Descriptors),
    (Errno::NOBUFS, Shortage::Memory),
    (Errno::NOMEM, Shortage::Memory),
    (Errno::AGAIN, Shortage::Memory),
    (Errno::ADDRNOTAVAIL, Shortage::Ports),
];

/// glibc's words for `EAI_MEMORY` (`gai_strerror(3)`): the standard library gives the words alone.
const NO_MEMORY_FOR_NAMES: &str = "Memory allocation failure";

impl Shortage {
    /// The shortage in an error of a connect, a look-up or an open, found anywhere in its chain of causes.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut link = Some(error);
        while let Some(cause) = link {
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                if let Some(shortage) = Self::of_io(io) {
                    return Some(shortage);
                }
                // `source` of an `io::Error` skips the error that it carries.
                if let Some(inner) = io.get_ref() {
                    let inner: &(dyn Error + 'static) = inner;
                    link = Some(inner);
                    continue;
                }
            }
            link = cause.source();
        }
        None
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        if error.kind() == io::ErrorKind::OutOfMemory {
            return Some(Self::Memory);
        }
        let raw = error.raw_os_error()?;
        CODES
            .iter()
            .find(|(code, _)| code.raw_os_error() == raw)
            .map(|(_, shortage)| *shortage)
    }

    /// The shortage behind a name that could not be resolved. The resolver opens files and sockets of its own and says but "temporary
    /// failure", or "no such host", when it gets none (getaddrinfo(3)), so the machine is asked, too.
    pub(crate) fn of_lookup(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut link = Some(error);
        while let Some(cause) = link {
            if cause.to_string().contains(NO_MEMORY_FOR_NAMES) {
                return Some(Self::Memory);
            }
            link = cause.source();
        }
        Self::of(error).or_else(Self::now)
    }

    /// Whether this process can open a file at this moment.
    pub(crate) fn now() -> Option<Self> {
        File::open("/dev/null").err().as_ref().and_then(Self::of_io)
    }

    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Descriptors => "no_descriptors",
            Self::Ports => "no_local_ports",
            Self::Memory => "no_memory",
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Descriptors => {
                "this process or machine has no file descriptor left; raise the limit (LimitNOFILE) or lower limits.max_connections"
            }
            Self::Ports => "this machine has no local port left; widen net.ipv4.ip_local_port_range",
            Self::Memory => "this machine has no memory left for sockets or threads",
        }
    }
}

impl From<Shortage> for Failure {
    fn from(shortage: Shortage) -> Self {
        Self::local(FailureClass::LocalShortage, shortage.code(), shortage.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_found_in_the_chain_of_causes() {
        let raw = |code: Errno| io::Error::from_raw_os_error(code.raw_os_error());
        for (code, expected) in CODES {
            assert_eq!(Shortage::of(&raw(*code)), Some(*expected));
            assert_eq!(Shortage::of(&io::Error::other(raw(*code))), Some(*expected), "{code}");
        }
        for code in [
            Errno::CONNREFUSED,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::TIMEDOUT,
            Errno::ACCESS,
        ] {
            assert_eq!(Shortage::of(&raw(code)), None, "{code}: the peer or the network");
        }
    }

    #[test]
    fn a_name_without_an_address_is_no_shortage() {
        let unknown = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(Shortage::of_lookup(&unknown), None);
        let memory = io::Error::other("failed to lookup address information: Memory allocation failure");
        assert_eq!(Shortage::of_lookup(&memory), Some(Shortage::Memory));
    }

    #[test]
    fn a_shortage_is_a_class_of_its_own_that_sent_nothing() {
        for shortage in [Shortage::Descriptors, Shortage::Ports, Shortage::Memory] {
            let failure = Failure::from(shortage);
            assert_eq!(failure.class, FailureClass::LocalShortage);
            assert!(!failure.class.may_have_been_accepted());
        }
    }
}
