//! A cursor that a caller gives back.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ums_server::fuzzing::cursor(bytes));
