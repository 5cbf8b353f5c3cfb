//! A mail in the bounce mailbox.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ums_providers::fuzzing::bounce(bytes));
