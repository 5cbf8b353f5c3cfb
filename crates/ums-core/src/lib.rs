//! Words and rules of the trade: messages, recipients, segments, failures, ports.
