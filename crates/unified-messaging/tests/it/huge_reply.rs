//! A provider that answers 2 GB: the reply is read up to its cap, and memory does not grow.

use std::fs;
use std::process::Command;

use ums_simulator::{Mode, Provider};
use unified_messaging::OutcomeWord;

use crate::setup::Setup;

/// Most that one such reply may cost, in KiB.
const MOST_KIB: u64 = 8 * 1024;

/// Memory is counted for a process, and the other tests share this one: so it runs in its own.
#[test]
fn a_reply_of_2_gb_costs_less_than_8_mb() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "huge_reply::alone_in_its_process", "--ignored"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "a_reply_of_2_gb_costs_less_than_8_mb runs it in a process of its own"]
async fn alone_in_its_process() {
    for provider in Provider::ALL {
        let bed = Setup::alone(provider).start().await;
        bed.send_to(provider, 0, |_| {}).await;
        bed.simulator.set_fault(provider, Mode::Huge).await.unwrap();
        // Forget the peak so far, where the kernel lets us; else it counts against us.
        fs::write("/proc/self/clear_refs", "5").ok();
        let before = kib("VmRSS:");
        let result = bed.send_to(provider, 1, |_| {}).await;
        let grown = kib("VmHWM:").saturating_sub(before);
        assert_eq!(result.attempts[0].outcome, OutcomeWord::Unknown, "{provider}");
        assert_ne!(
            result.attempts[0].code.as_deref(),
            Some("reply_timeout"),
            "{provider}: ended by its length, not by time"
        );
        assert!(grown < MOST_KIB, "{provider}: {grown} KiB");
    }
}

fn kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
