//! Twilio's status callbacks and inbound messages.
