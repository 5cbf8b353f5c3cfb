//! The settings files of the drilled servers.

/// Short waits, so that a drill ends soon after its load; nothing that is judged hangs on them.
pub(super) const QUICK: &str = "\
[retry]
schedule = [\"500ms\", \"1s\", \"2s\", \"3s\"]
otp_schedule = [\"500ms\", \"1s\", \"2s\"]
budget_floor_per_minute = 100000
feedback_wait_otp = \"1s\"
feedback_wait_transactional = \"1s\"
feedback_wait_bulk = \"2s\"

[breaker]
open = \"1s\"
max_open = \"2s\"
misconfigured_open = \"1s\"
misconfigured_max_open = \"2s\"

[timeouts]
reply = \"3s\"

[pace.aws_ses]
per_second = 0

[pace.smtp]
per_second = 0
per_day = 0
";

/// Twilio is asked often what became of messages, so that unknown attempts are settled while a drill plays.
pub(super) const ASKED: &str = "
[feedback]
twilio_list_every = \"5s\"
";

/// Nobody is asked what became of messages: the release before does not record when an unknown attempt was settled.
pub(super) const NOT_ASKED: &str = "
[feedback]
twilio_list_every = \"0s\"
";

/// Notices that are refused come again soon.
pub(super) const QUICK_WEBHOOKS: &str = "
[webhooks]
retry = [\"1s\", \"1s\", \"2s\"]
";

/// Every pace as it is by default; short waits otherwise.
pub(super) const PACED: &str = "\
[retry]
schedule = [\"500ms\", \"1s\", \"2s\", \"3s\"]
budget_floor_per_minute = 100000
";

/// A breaker that opens and probes within a drill's time, and a probe that hangs for a while.
pub(super) const BREAKER: &str = "\
[retry]
schedule = [\"500ms\", \"1s\", \"2s\", \"3s\"]
otp_schedule = [\"500ms\", \"1s\", \"2s\"]
budget_floor_per_minute = 100000
feedback_wait_transactional = \"1s\"

[breaker]
open = \"5s\"
max_open = \"6s\"

[timeouts]
reply = \"4s\"

[pace.aws_ses]
per_second = 0
";
