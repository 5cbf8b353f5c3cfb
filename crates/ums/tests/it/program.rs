//! Runs the binary in an empty environment and a folder of its own.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use ums_core::{Clock as _, SystemClock};

/// The simulator's ports.
const PORTS: [&str; 6] = [
    "--http-port",
    "--ses-port",
    "--sns-port",
    "--sendgrid-port",
    "--twilio-port",
    "--smtp-port",
];

/// A folder in which the binary runs, and the settings that it gets.
pub(crate) struct Place {
    folder: TempDir,
    settings: Vec<(String, String)>,
}

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings: Vec::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// Settings of all providers, at a simulator.
    pub(crate) fn with_providers(&mut self, simulator: &Running) -> &mut Self {
        let (host, port) = simulator
            .address("smtp")
            .rsplit_once(':')
            .map(|(host, port)| (host.to_owned(), port.to_owned()))
            .unwrap();
        self.set("AWS_REGION", "us-east-1")
            .set("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE00")
            .set("AWS_SECRET_ACCESS_KEY", "canary-aws-secret-canary-aws-secret-0000")
            .set("AWS_ENDPOINT_URL_SESV2", format!("http://{}", simulator.address("ses")))
            .set("AWS_ENDPOINT_URL_SNS", format!("http://{}", simulator.address("sns")))
            .set("AWS_SES_FROM_EMAIL", "shop@example.com")
            .set("SENDGRID_API_KEY", format!("SG.canarysendgridkey000000.{}", "c".repeat(43)))
            .set("SENDGRID_FROM_EMAIL", "shop@example.com")
            .set("SENDGRID_API_URL", format!("http://{}", simulator.address("sendgrid")))
            .set("TWILIO_ACCOUNT_SID", format!("AC{}", "a".repeat(32)))
            .set("TWILIO_AUTH_TOKEN", "canarytwiliotoken000000000000000")
            .set("TWILIO_PHONE_NUMBER", "+14155550100")
            .set("TWILIO_API_URL", format!("http://{}", simulator.address("twilio")))
            .set("SMTP_HOST", host)
            .set("SMTP_PORT", port)
            .set("SMTP_TLS", "none")
            .set("SMTP_FROM_EMAIL", "shop@example.com")
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ums"));
        command
            .args(words)
            .env_clear()
            .env("HOME", self.path())
            .env("TMPDIR", self.path())
            .current_dir(self.path());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Run {
        self.run_with(words, b"")
    }

    pub(crate) fn run_with(&self, words: &[&str], input: &[u8]) -> Run {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that refuses its input may be gone before all of it is written.
        drop(stdin.write_all(input));
        drop(stdin);
        Run::of(child.wait_with_output().unwrap())
    }

    /// Sends one e-mail with these words beside, and gives its result.
    pub(crate) fn send_email(&self, to: &str, more: &[&str]) -> Value {
        let words = [
            "send",
            "email",
            "--to",
            to,
            "--subject",
            "Receipt",
            "--text",
            "Thank you.",
            "--json",
        ];
        self.run(&[&words, more].concat()).json()
    }

    /// Starts a command that runs until it is told to stop, and waits until it says what `ready` looks for.
    pub(crate) fn start(&self, words: &[&str], ready: &str) -> Running {
        let ports = self.path().join("ports.json");
        let mut command = self.command(words);
        if words.first().is_some_and(|word| matches!(*word, "dev" | "simulator")) {
            command
                .args(PORTS.iter().flat_map(|port| [port, "0"]))
                .arg("--ports-file")
                .arg(&ports);
        }
        let mut child = command.spawn().unwrap();
        let (tell, said) = mpsc::channel();
        let log = Followed::new(child.stderr.take().unwrap(), ready, tell.clone());
        let printed = Followed::new(child.stdout.take().unwrap(), ready, tell);
        let ready_line = said.recv().unwrap_or_else(|_| panic!("ums {words:?} ended early:\n{}", log.text()));
        let addresses = std::fs::read(&ports)
            .map(|json| serde_json::from_slice(&json).unwrap())
            .unwrap_or_default();
        Running {
            child,
            addresses,
            ready_line,
            printed,
            log,
        }
    }

    /// Starts a simulator on free ports.
    pub(crate) fn simulator(&self) -> Running {
        self.start(&["simulator"], "Stop with Ctrl-C")
    }
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The result on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }
}

/// A stream of a command that is read while it runs.
struct Followed {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Followed {
    /// Reads to the end, and tells each line that holds `ready`.
    fn new(stream: impl Read + Send + 'static, ready: &str, tell: mpsc::Sender<String>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (written, ready) = (Arc::clone(&text), ready.to_owned());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                writeln!(written.lock().unwrap(), "{line}").unwrap();
                if line.contains(&ready) {
                    // Nobody listens any more once the command is ready.
                    drop(tell.send(line));
                }
            }
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

/// A command that runs until it is told to stop. It is killed when dropped.
pub(crate) struct Running {
    child: Child,
    addresses: Value,
    pub(crate) ready_line: String,
    printed: Followed,
    log: Followed,
}

impl Running {
    /// `host:port` by the name that the ports file gives it.
    pub(crate) fn address(&self, name: &str) -> &str {
        self.addresses[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.addresses))
    }

    /// Everything that it printed so far.
    pub(crate) fn printed(&self) -> String {
        self.printed.text()
    }

    /// Everything that it logged so far.
    pub(crate) fn logged(&self) -> String {
        self.log.text()
    }

    /// What the simulator received, oldest first.
    pub(crate) fn received(&self) -> Vec<Value> {
        let answer = crate::http::get(self.address("http"), "/_sim/messages");
        answer.json()["messages"].as_array().unwrap().clone()
    }

    /// How many requests a simulated provider is at.
    pub(crate) fn in_flight(&self, provider: &str) -> u64 {
        let stats = crate::http::get(self.address("http"), "/_sim/stats").json();
        stats["providers"][provider]["in_flight"].as_u64().unwrap()
    }

    /// Puts a fault on a simulated provider.
    pub(crate) fn fault(&self, provider: &str, fault: &str) {
        let answer = crate::http::request(
            self.address("http"),
            "PUT",
            &format!("/_sim/{provider}/fault"),
            &[],
            fault.as_bytes(),
        );
        assert!(answer.status < 300, "{}: {}", answer.status, answer.body);
    }

    /// Takes the fault off.
    pub(crate) fn heal(&self, provider: &str) {
        let answer = crate::http::request(self.address("http"), "DELETE", &format!("/_sim/{provider}/fault"), &[], b"");
        assert!(answer.status < 300, "{}: {}", answer.status, answer.body);
    }

    /// Waits until it ends by itself; gives the exit code, none if a signal ended it.
    pub(crate) fn wait(mut self, patience: Duration) -> Option<i32> {
        let clock = SystemClock::new();
        let give_up = clock.monotonic() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(clock.monotonic() < give_up, "it runs still:\n{}", self.logged());
            std::thread::yield_now();
        }
    }

    /// Sends SIGTERM and waits for the end; gives the exit code and the whole log.
    pub(crate) fn terminate(mut self) -> (i32, String) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        // The log is whole when its reader has seen the end of it.
        while !self.log.reader.is_finished() {
            std::thread::yield_now();
        }
        (code, self.log.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
