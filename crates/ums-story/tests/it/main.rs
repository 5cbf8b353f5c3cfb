//! Stories from records that are made here by hand: each word has a sentence, and the main stories read as they should.

#![expect(clippy::unwrap_used, reason = "test helpers fail a test by panicking")]

mod leaks;
mod records;
mod stories;
mod words;
