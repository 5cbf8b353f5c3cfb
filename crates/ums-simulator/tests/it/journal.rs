use std::path::PathBuf;

use serde_json::Value;
use ums_simulator::{Error, Fault, Mode, Provider, Simulator, SimulatorConfig};

use crate::client::Smtp;
use crate::requests::{self, HTTP};

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ums-simulator-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn start(folder: &Folder) -> (Simulator, PathBuf) {
    let file = folder.0.join("arrivals.jsonl");
    let mut config = SimulatorConfig::any_ports();
    config.journal = Some(file.clone());
    (Simulator::start(config).await.expect("free ports"), file)
}

fn lines(file: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a journal");
    text.lines().map(|line| serde_json::from_str(line).expect("whole JSON")).collect()
}

#[tokio::test]
async fn every_arrival_is_in_the_journal_before_its_answer_and_outlives_the_simulator() {
    let folder = Folder::new("journal");
    let (simulator, file) = start(&folder).await;
    for (provider, before) in HTTP.into_iter().zip(0..) {
        assert_eq!(lines(&file).len(), before);
        let reply = requests::send(provider).send(simulator.addr(provider)).await;
        assert!(reply.expect("an answer").status < 300);
    }
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.mail("Hello").await.expect("accepted");
    let recorded = simulator.messages();
    simulator.shutdown().await;

    let written = lines(&file);
    assert_eq!(written.len(), 5);
    for (line, message) in written.iter().zip(recorded) {
        assert_eq!(line["provider"], message.provider.name());
        assert_eq!(line["verdict"], "recorded");
        assert_eq!(line["fault"], Value::Null);
        assert_eq!(line["at"], message.received_at.to_string());
        assert_eq!(line["message"]["id"], message.id);
        assert_eq!(line["message"]["to"][0], message.to[0]);
        assert_eq!(line["message"]["subject"].as_str(), message.subject.as_deref());
        assert_eq!(line["message"]["body"].as_str(), message.body.as_deref());
        assert_eq!(line["message"]["tags"].as_object().expect("tags").len(), message.tags.len());
    }
    // A second one on the same file goes on where the first ended.
    let (simulator, _) = start(&folder).await;
    let reply = requests::send(Provider::Ses).send(simulator.addr(Provider::Ses)).await;
    assert!(reply.expect("an answer").status < 300);
    assert_eq!(lines(&file).len(), 6);
}

#[tokio::test]
async fn the_journal_tells_what_was_recorded_although_the_answer_was_a_fault() {
    let folder = Folder::new("journal-faults");
    let (simulator, file) = start(&folder).await;
    let send = async |mode: Mode| {
        simulator.set_fault(Provider::SendGrid, Fault::new(mode)).await.expect("possible");
        let answer = requests::send(Provider::SendGrid).send(simulator.addr(Provider::SendGrid)).await;
        let status = answer.map(|reply| reply.status).unwrap_or_default();
        simulator.heal(Provider::SendGrid).await.expect("healed");
        status
    };
    assert_eq!(send(Mode::AcceptThenError).await, 500);
    assert_eq!(send(Mode::Throttle).await, 429);
    assert_eq!(send(Mode::ResetAfter).await, 0);
    assert_eq!(send(Mode::ResetBefore).await, 0);

    simulator.set_fault(Provider::Smtp, Mode::Quota).await.expect("possible");
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.expect("MAIL FROM:<shop@example.com>", "550 5.4.5").await.expect("refused");

    let written = lines(&file);
    let told: Vec<_> = written
        .iter()
        .map(|line| (line["fault"].as_str().expect("a mode"), line["verdict"].as_str().expect("a word")))
        .collect();
    let expected = [
        ("accept_then_error", "recorded"),
        ("throttle", "refused"),
        ("reset_after", "recorded"),
        ("reset_before", "refused"),
        ("quota", "refused"),
    ];
    assert_eq!(told, expected);
    assert!(written[0]["message"]["custom_args"].is_object());
    assert!(written[1].get("message").is_none());
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_is_named() {
    let mut config = SimulatorConfig::any_ports();
    config.journal = Some("/nowhere/at/all.jsonl".into());
    let error = Simulator::start(config).await.expect_err("no such folder");
    assert!(matches!(error, Error::Journal { .. }), "{error:?}");
    assert!(error.to_string().contains("/nowhere/at/all.jsonl"), "{error}");
}
