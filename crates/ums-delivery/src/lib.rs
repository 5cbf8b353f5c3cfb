//! The flow of a delivery: accept, chain, breaker, pacing, journal.
