//! A body of `POST /v1/batches`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ums_server::fuzzing::batch(bytes));
