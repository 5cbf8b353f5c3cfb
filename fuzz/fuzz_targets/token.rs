//! A token of an unsubscribe link.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ums_delivery::fuzzing::token(bytes));
