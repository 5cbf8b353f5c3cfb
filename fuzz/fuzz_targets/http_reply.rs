//! A provider's answer over HTTP.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ums_providers::fuzzing::http_reply(bytes));
