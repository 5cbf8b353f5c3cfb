//! A reply of 2 GB costs no memory. The measurement runs in a process of its own.

use crate::bed::{self, Bed, transport};
use crate::fault_server::{Act, FaultServer};

const LIMIT_KIB: u64 = 8 * 1024;

#[test]
fn a_reply_of_two_gigabytes_takes_less_than_eight_megabytes() {
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program)
        .args(["--exact", "memory::measured", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[ignore = "run by the test above, alone in its process"]
async fn measured() {
    let flood = |head: &str| Act::Flood(format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes(), 2 << 30);
    for head in ["", "content-length: 2147483648\r\n"] {
        let server = FaultServer::start(vec![flood(head)]).await;
        let (url, transport) = (server.url(), transport());
        let small = FaultServer::start(vec![Act::Answer(crate::fault_server::answer("500 Error", &[], ""))]).await;
        assert!(bed::ses(&small.url(), &transport).send_one().await.is_err(), "warm up");
        let before = peak_kib();
        for _ in 0..3 {
            assert!(bed::ses(&url, &transport).send_one().await.is_err());
            assert!(bed::sendgrid(&url, &transport).send_one().await.is_err() || head.is_empty());
            assert!(bed::sns(&url, &transport).send_one().await.is_err());
            assert!(bed::twilio(&url, &transport).send_one().await.is_err());
        }
        let grown = peak_kib() - before;
        assert!(grown < LIMIT_KIB, "grew by {grown} KiB");
    }
}

/// The most memory that the process ever held.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
