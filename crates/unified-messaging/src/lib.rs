//! Sends e-mail and SMS through whichever provider is up.
