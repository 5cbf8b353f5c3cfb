//! File descriptors: the limit is raised at the start, and connections leave a reserve for the rest of the service.
//!
//! Only the program does this: a library does not change the limits of its host.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the service opens besides callers' connections: the database's files or pool, the log, the runtime's own, certificates and names.
const OWN: u64 = 64;
/// Connections to providers and webhook endpoints: as many as calls may be under way at a time, but no more than a quarter of the limit.
const CALLS: u64 = 256;

/// Raises the soft limit to the hard one (getrlimit(2): any process may) and gives the limit that holds; none if there is no limit.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit.current
        }
    }
}

/// How many connections of callers are taken under that limit, of those that are wanted.
pub(crate) fn connections(wanted: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return wanted };
    let reserve = (OWN + CALLS.min(limit / 4)).min(limit * 3 / 4);
    let allowed = usize::try_from(limit - reserve).unwrap_or(usize::MAX).max(1);
    if allowed < wanted {
        tracing::warn!(
            limit,
            allowed,
            wanted,
            "the limit of open files allows fewer connections than limits.max_connections"
        );
    }
    wanted.min(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_reserve() {
        for (wanted, limit, expected) in [
            (1_024, None, 1_024),
            (1_024, Some(1_048_576), 1_024),
            (1_024, Some(1_024), 704),
            (1_024, Some(256), 128),
            (1_024, Some(64), 16),
            (10, Some(256), 10),
            (10, Some(1), 1),
        ] {
            assert_eq!(connections(wanted, limit), expected, "{wanted} under {limit:?}");
        }
    }
}
