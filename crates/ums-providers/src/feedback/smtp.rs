//! Bounces as mail: delivery status notifications (RFC 3464), complaint reports (RFC 5965).
