//! The only crate that speaks to providers.
