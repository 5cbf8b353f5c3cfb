//! The fuzz targets by name: what each reads, and the files of the repository that it begins with.

/// One target of `fuzz/fuzz_targets`.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Folders, or files of which each line is a seed; beside `fuzz/seeds/<name>`.
    pub(super) fixtures: &'static [&'static str],
    /// A file of `fuzz/dictionaries`, without its extension.
    pub(super) dictionary: Option<&'static str>,
    /// Longest input in bytes: what is longer finds nothing more and takes its time.
    pub(super) max_bytes: u32,
}

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "email",
        what: "the body of POST /v1/emails",
        fixtures: &[],
        dictionary: Some("request"),
        max_bytes: 4_096,
    },
    Target {
        name: "sms",
        what: "the body of POST /v1/sms",
        fixtures: &[],
        dictionary: Some("request"),
        max_bytes: 4_096,
    },
    Target {
        name: "batch",
        what: "the body of POST /v1/batches",
        fixtures: &[],
        dictionary: Some("request"),
        max_bytes: 4_096,
    },
    Target {
        name: "cursor",
        what: "the cursor of a list",
        fixtures: &[],
        dictionary: None,
        max_bytes: 1_024,
    },
    Target {
        name: "token",
        what: "the token of an unsubscribe link",
        fixtures: &[],
        dictionary: None,
        max_bytes: 256,
    },
    Target {
        name: "bounce",
        what: "a mail in the bounce mailbox",
        fixtures: &["crates/ums-providers/tests/fixtures/bounces"],
        dictionary: None,
        max_bytes: 16_384,
    },
    Target {
        name: "twilio",
        what: "a callback of Twilio, form or JSON",
        fixtures: &[],
        dictionary: None,
        max_bytes: 4_096,
    },
    Target {
        name: "aws",
        what: "what SNS posts: SES, text messages, logs",
        fixtures: &["crates/ums-providers/tests/fixtures/aws"],
        dictionary: Some("feedback"),
        max_bytes: 16_384,
    },
    Target {
        name: "sendgrid",
        what: "events of SendGrid",
        fixtures: &[],
        dictionary: Some("feedback"),
        max_bytes: 16_384,
    },
    Target {
        name: "smtp_reply",
        what: "a reply of an SMTP server",
        fixtures: &["crates/ums-providers/tests/fixtures/smtp/replies.txt"],
        dictionary: None,
        max_bytes: 4_096,
    },
    Target {
        name: "http_reply",
        what: "a provider's answer over HTTP",
        fixtures: &[],
        dictionary: None,
        max_bytes: 8_192,
    },
];
