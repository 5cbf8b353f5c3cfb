//! How a command ends: four exit codes, and one more for mail servers.

use std::fmt;
use std::process::ExitCode;

use ums_core::{SendResult, Status};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done,
    /// The message failed, or a check found something.
    Failed,
    /// It was called in a wrong way, or the configuration is wrong.
    Usage,
    /// The message is held for a recipient or more, and will be tried again.
    Held,
    /// For a mail server's pipe only: keep the mail and try again (`EX_TEMPFAIL` of sysexits).
    TryLater,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Held => 3,
            Exit::TryLater => 75,
        })
    }
}

impl Exit {
    /// What the result of a send means for the command. The status follows the first recipient; others may be held.
    pub(crate) fn of(result: &SendResult) -> Self {
        let is_scheduled = result.status == Status::Scheduled;
        if result.open_recipients > 0 && !is_scheduled {
            return Self::Held;
        }
        match result.status {
            Status::Sent | Status::Delivered | Status::Scheduled => Self::Done,
            Status::Pending | Status::Queued | Status::Sending => Self::Held,
            Status::Bounced
            | Status::Failed
            | Status::Expired
            | Status::Cancelled
            | Status::Suppressed
            | Status::Unsubscribed
            | Status::Unknown => Self::Failed,
        }
    }
}

/// An error that ends a command with [`Exit::Usage`]: the caller or the configuration is at fault.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Makes an error of wrong usage or configuration.
pub(crate) fn usage(text: impl fmt::Display) -> anyhow::Error {
    Usage(text.to_string()).into()
}

/// The exit code of an error.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    // A context is seen by the one, a cause beneath contexts by the other.
    let is_usage = error.downcast_ref::<Usage>().is_some() || error.chain().any(<dyn std::error::Error>::is::<Usage>);
    if is_usage { Exit::Usage } else { Exit::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    fn result(status: Status, open_recipients: u32) -> SendResult {
        SendResult {
            message_id: "01a203d6-f1c2-7e55-9d0b-3a1f6f0c9a77".parse().unwrap(),
            recipient_id: "customer@example.com".to_owned(),
            status,
            channel: ums_core::Channel::Email,
            sent_at: None,
            delivered_at: None,
            error_message: None,
            cost: None,
            currency: "USD".to_owned(),
            possibly_duplicate: false,
            simulated: false,
            open_recipients,
            recipients: Vec::new(),
            metadata: ums_core::Metadata::new(),
            attempts: Vec::new(),
            under_way: false,
        }
    }

    #[test]
    fn a_held_message_is_neither_done_nor_failed() {
        let exit = |status: Status, open_recipients: u32| Exit::of(&result(status, open_recipients));
        assert_eq!(exit(Status::Queued, 1), Exit::Held);
        assert_eq!(exit(Status::Sent, 0), Exit::Done);
        assert_eq!(exit(Status::Unknown, 0), Exit::Failed);
        // The first recipient has an end, another one waits.
        assert_eq!(exit(Status::Sent, 1), Exit::Held);
        assert_eq!(exit(Status::Suppressed, 1), Exit::Held);
        assert_eq!(exit(Status::Scheduled, 2), Exit::Done);
    }

    #[test]
    fn wrong_usage_is_told_from_failure_through_contexts() {
        let wrong = Err::<(), _>(usage("no such file")).context("reading the body").unwrap_err();
        assert_eq!(of_error(&wrong), Exit::Usage);
        let told = anyhow::anyhow!("not found")
            .context(Usage("cannot read body.html".to_owned()))
            .context("sending");
        assert_eq!(of_error(&told), Exit::Usage);
        assert_eq!(of_error(&anyhow::anyhow!("the disk is full")), Exit::Failed);
    }
}
