//! `SendGrid`'s events.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ums_providers::fuzzing::sendgrid(bytes));
