//! The real binary against independent implementations of what providers speak: moto for Amazon's
//! APIs, aiosmtpd for SMTP. `cargo xtask test` brings them up and says where they are.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../it/http.rs"]
#[expect(dead_code, reason = "shared with the other test binary, which uses all of it")]
mod http;
mod manners;
mod moto;
#[path = "../it/program.rs"]
#[expect(dead_code, reason = "shared with the other test binary, which uses all of it")]
mod program;
mod sms_logs;
mod smtp;

/// Where a bed is.
#[expect(clippy::disallowed_methods, reason = "the suite tells where its beds are through the environment")]
fn bed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run these tests by `cargo xtask test`"))
}
