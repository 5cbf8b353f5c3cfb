//! Twilio's callback.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ums_providers::fuzzing::twilio(bytes));
