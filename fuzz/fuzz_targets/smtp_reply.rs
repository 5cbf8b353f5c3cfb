//! A reply of an SMTP server.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ums_providers::fuzzing::smtp_reply(bytes));
