//! Bounces, complaints and missing receipts, as the chain and the health report see them.
