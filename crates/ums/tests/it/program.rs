//! Runs the binary in an empty environment and a folder of its own.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

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
        command.args(words).env_clear().env("HOME", self.path()).current_dir(self.path());
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

    /// Starts a command that runs until it is told to stop, and waits until it says what `ready` looks for.
    pub(crate) fn start(&self, words: &[&str], ready: &str) -> Running {
        let ports = self.path().join("ports.json");
        let mut command = self.command(words);
        if words.first().is_some_and(|word| matches!(*word, "dev" | "simulator")) {
            command.args([
                "--http-port",
                "0",
                "--ses-port",
                "0",
                "--sns-port",
                "0",
                "--sendgrid-port",
                "0",
                "--twilio-port",
                "0",
            ]);
            command.args(["--smtp-port", "0", "--ports-file"]).arg(&ports);
        }
        let mut child = command.spawn().unwrap();
        let errors = Arc::new(Mutex::new(String::new()));
        let (mut log, written) = (child.stderr.take().unwrap(), Arc::clone(&errors));
        let (found, mut announced) = (ready.to_owned(), std::sync::mpsc::channel());
        let (tell, said) = (announced.0.clone(), &mut announced.1);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(&mut log);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                written.lock().unwrap().push_str(&line);
                if line.contains(&found) {
                    drop(tell.send(line.clone()));
                }
                line.clear();
            }
        });
        let output = Arc::new(Mutex::new(String::new()));
        let (out, printed, found, tell) = (child.stdout.take().unwrap(), Arc::clone(&output), ready.to_owned(), announced.0);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                writeln!(printed.lock().unwrap(), "{line}").unwrap();
                if line.contains(&found) {
                    drop(tell.send(line));
                }
            }
        });
        let line = said
            .recv()
            .unwrap_or_else(|_| panic!("ums {words:?} ended early:\n{}", errors.lock().unwrap()));
        let addresses = std::fs::read(&ports)
            .map(|json| serde_json::from_slice(&json).unwrap())
            .unwrap_or_default();
        Running {
            child,
            addresses,
            ready_line: line,
            output,
            errors,
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

/// A command that runs until it is told to stop. It is killed when dropped.
pub(crate) struct Running {
    child: Child,
    addresses: Value,
    pub(crate) ready_line: String,
    output: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
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
        self.output.lock().unwrap().clone()
    }

    /// Everything that it logged so far.
    pub(crate) fn logged(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// What the simulator received, oldest first.
    pub(crate) fn received(&self) -> Vec<Value> {
        let answer = crate::http::get(self.address("http"), "/_sim/messages");
        answer.json()["messages"].as_array().unwrap().clone()
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

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(mut self) -> i32 {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
