//! Running other programs: one at a time with its output shown, or in the background with a log.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Time between two looks at something that is awaited.
const POLL: Duration = Duration::from_millis(25);
/// Time a background program has between being asked to end and being ended.
const GRACE: Duration = Duration::from_secs(3);
/// Exit statuses of `timeout`: it sent TERM, or had to send KILL.
const TIMED_OUT: i32 = 124;
const KILLED_OUT: i32 = 137;
/// Lines of a log that are shown when its program failed.
const TAIL: usize = 40;

/// How a command is shown to people.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or_default().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

/// Runs to the end with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("   $ {}", shown(command));
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    ensure!(status.success(), "`{}` ended with {status}", shown(command));
    Ok(())
}

/// Runs tests to the end with their standard output shown line by line, and given to `see`.
///
/// A test that hangs is ended after `limit`, with all that it started; so is everything when we
/// are killed ourselves.
pub(crate) fn run_seen(command: &Command, limit: Duration, mut see: impl FnMut(&str)) -> Result<()> {
    println!("   $ {}", shown(command));
    let mut child = tied_to_us(&limited(command, limit), "TERM")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", shown(command)))?;
    let output = child.stdout.take().context("no standard output")?;
    let mut stdout = std::io::stdout();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        stdout.write_all(&line)?;
        stdout.write_all(b"\n")?;
        see(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    if matches!(status.code(), Some(TIMED_OUT | KILLED_OUT)) {
        bail!("`{}` did not end within {limit:?}", shown(command));
    }
    ensure!(status.success(), "`{}` ended with {status}", shown(command));
    Ok(())
}

/// Runs to the end and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {}", shown(command)))?;
    ensure!(
        output.status.success(),
        "`{}` ended with {}: {}",
        shown(command),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("output is not UTF-8")
}

/// Whether the command runs and succeeds; nothing is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A program by its name on `PATH` or in the system folders that a plain user's `PATH` lacks.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// A program that runs beside us until this value is dropped.
///
/// It leads its own process group, which is ended on drop; where `setpriv` exists the kernel also
/// ends it when we ourselves are killed. Must be started on the main thread: the kernel's
/// parent-death signal follows the thread.
#[derive(Debug)]
pub(crate) struct Background {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts `program words…` with both outputs in `logs/<name>.log`.
    pub(crate) fn start(name: &str, command: &Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let child = tied_to_us(command, "KILL")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", shown(command)))?;
        let name = name.to_owned();
        Ok(Self { name, child, log })
    }

    /// Waits until `ready` gives a value.
    ///
    /// # Errors
    ///
    /// The program ended first, or `limit` passed; the end of its log is in the error.
    pub(crate) fn wait_until<T>(&mut self, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}\n{}", self.name, self.tail());
            }
            if start.elapsed() > limit {
                let name = &self.name;
                bail!("{name} was not ready after {limit:?}\n{}", self.tail());
            }
            sleep(POLL);
        }
    }

    /// Waits until something accepts connections on `port` of the loopback.
    pub(crate) fn wait_for_port(&mut self, port: u16, limit: Duration) -> Result<()> {
        self.wait_until(limit, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(drop))
    }

    /// Waits until `file` holds JSON, which the program writes when it is ready.
    pub(crate) fn wait_for_json(&mut self, file: &Path, limit: Duration) -> Result<serde_json::Value> {
        self.wait_until(limit, || serde_json::from_slice(&std::fs::read(file).ok()?).ok())
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The last lines that the program wrote.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL);
        let mut tail = format!("   --- the end of {} ---\n", self.log.display());
        for line in lines.get(from..).unwrap_or_default() {
            tail.push_str("   | ");
            tail.push_str(line);
            tail.push('\n');
        }
        tail
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        // Fails when the group is gone, which is what is wanted.
        succeeds(Command::new("kill").args([signal, "--", &group]));
    }

    /// `kill -9` of the process itself; returns when it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("killing {}", self.name))?;
        self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        Ok(())
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Signals the process itself, not its group.
    pub(crate) fn signal_alone(&self, signal: &str) {
        // Fails when it is gone already, which whoever waits for it sees.
        succeeds(Command::new("kill").args([signal, "--", &self.child.id().to_string()]));
    }

    /// Waits for its end; none while it lives on.
    pub(crate) fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if start.elapsed() < limit => sleep(POLL),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.ended_within(Duration::ZERO).is_some() {
            return;
        }
        self.signal("-TERM");
        self.ended_within(GRACE);
        // Whoever of the group is still there did not listen.
        self.signal("-KILL");
        if self.ended_within(GRACE).is_none() {
            eprintln!("could not end {} (process {})", self.name, self.child.id());
        }
    }
}

/// The same command, sent a signal by the kernel when this thread ends in whatever way.
fn tied_to_us(command: &Command, signal: &str) -> Command {
    behind("setpriv", &["--pdeathsig", signal, "--"], command)
}

/// The same command, ended with its whole process group after `limit` or when it is sent TERM.
fn limited(command: &Command, limit: Duration) -> Command {
    let seconds = limit.as_secs().to_string();
    behind("timeout", &["--kill-after=10", &seconds], command)
}

/// `prefix words… command`, or the command alone where there is no such prefix.
fn behind(prefix: &str, words: &[&str], command: &Command) -> Command {
    let mut to = match find_program(prefix) {
        Some(prefix) => {
            let mut to = Command::new(prefix);
            to.args(words).arg(command.get_program());
            to
        }
        None => Command::new(command.get_program()),
    };
    copy(command, &mut to);
    to
}

fn copy(from: &Command, to: &mut Command) {
    to.args(from.get_args());
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
    if let Some(folder) = from.get_current_dir() {
        to.current_dir(folder);
    }
}

/// A port of the loopback that nobody listens on at the moment.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::{Background, find_program, run_seen};

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_background_program_and_its_children_end_with_the_guard() {
        let folder = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let pid_file = folder.join("child");
        let mut shell = Command::new("sh");
        shell.args(["-c", "tail -f /dev/null & echo $! > \"$0\"; wait"]);
        shell.arg(&pid_file);
        let mut guard = Background::start("tree", &shell, &folder).unwrap();
        let child = guard
            .wait_until(LIMIT, || {
                let text = std::fs::read_to_string(&pid_file).ok()?;
                text.ends_with('\n').then(|| text.trim().to_owned())
            })
            .unwrap();
        drop(guard);
        let ended = (0..10_000).any(|_| {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        });
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(ended, "process {child} outlived its guard");
    }

    #[test]
    fn a_program_that_ends_early_is_reported_with_its_log() {
        let folder = std::env::temp_dir().join(format!("xtask-early-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo the reason; exit 3"]);
        let mut guard = Background::start("early", &shell, &folder).unwrap();
        let error = guard.wait_until(LIMIT, || None::<()>).unwrap_err().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("exit status: 3") && error.contains("the reason"), "{error}");
    }

    #[test]
    fn every_line_of_output_is_seen() {
        let mut lines = Vec::new();
        let mut command = Command::new("printf");
        command.arg("one\\ntwo\\n");
        run_seen(&command, LIMIT, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two"]);
        assert!(find_program("sh").is_some() && find_program("no-such-program").is_none());
    }

    #[test]
    fn what_hangs_is_ended_with_its_children() {
        let mut command = Command::new("sh");
        // The child holds the output open: reading it ends only when the child is gone too.
        command.args(["-c", "tail -f /dev/null & wait"]);
        let error = run_seen(&command, Duration::from_secs(1), |_| {}).unwrap_err();
        assert!(error.to_string().contains("did not end within 1s"), "{error}");
    }
}
