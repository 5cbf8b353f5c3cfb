//! A scratch PostgreSQL cluster on the loopback: made, started, crashed and started again.
//!
//! It syncs as a real one does: what the drills say about power cuts and killed postmasters would
//! be worth nothing otherwise. It listens on 127.0.0.1 only and wants a password that is made up
//! for it.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::arguments::Arguments;
use crate::prerequisites::debian::{self, Postgres, Tool, is_root};
use crate::process::{Background, find_program, free_port, output, succeeds};
use crate::workspace::Workspace;

const HELP: &str = "\
Runs a scratch PostgreSQL cluster until it is interrupted, or for as long as a command takes.

Usage: cargo xtask postgres [COMMAND…]

The command finds the database's URL in UMS_TEST_POSTGRES_URL.

Examples:
  cargo xtask postgres
  cargo xtask postgres cargo test --package ums-store --test postgres
";

/// The name under which tests find the database.
pub(crate) const URL_VARIABLE: &str = "UMS_TEST_POSTGRES_URL";

/// Time a cluster has to answer, recovery after a crash included.
const READY: Duration = Duration::from_mins(1);
/// Time a postmaster has to end after it was told to.
const ENDED: Duration = Duration::from_secs(20);
/// Begins the names of the clusters' folders.
const PREFIX: &str = "ums-postgres-";
/// The owner of the cluster and the database in it.
const NAME: &str = "ums";

/// A cluster; it is ended and removed when dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    programs: Postgres,
    account: Account,
    folder: PathBuf,
    port: u16,
    password: String,
    running: Option<Background>,
    starts: u32,
}

impl Cluster {
    /// Makes a cluster named after its purpose, starts it, and makes an empty database in it.
    pub(crate) fn start_new(workspace: &Workspace, purpose: &str) -> Result<Self> {
        let programs = debian::postgres(workspace)?;
        let account = Account::find()?;
        let mut cluster = Self {
            folder: reachable_folder(workspace, &account, purpose)?,
            programs,
            account,
            port: free_port()?,
            password: random_word()?,
            running: None,
            starts: 0,
        };
        cluster.initialise()?;
        cluster.start()?;
        let port = cluster.port.to_string();
        let mut command = cluster.client("createdb");
        output(command.args(["-h", "127.0.0.1", "-p", &port, "-U", NAME, NAME]))?;
        Ok(cluster)
    }

    /// Where clients find its database.
    pub(crate) fn url(&self) -> String {
        let Self { port, password, .. } = self;
        format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{NAME}")
    }

    /// Where clients find another of its databases, as another user if one is given by name and password.
    pub(crate) fn url_of(&self, database: &str, user: Option<(&str, &str)>) -> String {
        let (name, password) = user.unwrap_or((NAME, &self.password));
        format!("postgres://{name}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens, and its owner's name and password: for a pooler before it.
    pub(crate) fn way_in(&self) -> (u16, &str, &str) {
        (self.port, NAME, &self.password)
    }

    /// Runs statements in one of its databases; what they print.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> Result<String> {
        let mut command = self.client("psql");
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", NAME, "-d", database])
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statements]);
        Ok(output(&mut command)?.trim().to_owned())
    }

    /// Has it show a certificate to clients that ask for TLS.
    pub(crate) fn certify(&self, certificate: &Path, key: &Path) -> Result<()> {
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = self.data().join(name);
            std::fs::copy(from, &to).with_context(|| format!("copying {}", from.display()))?;
            self.account.give(&to, 0o600)?;
        }
        self.sql(NAME, "ALTER SYSTEM SET ssl = on")?;
        self.sql(NAME, "SELECT pg_reload_conf()").map(drop)
    }

    /// Starts it anew as a standby of nobody, which only reads, or as the primary that it was.
    pub(crate) fn start_as(&mut self, is_standby: bool) -> Result<()> {
        self.end("-INT")?;
        let mark = self.data().join("standby.signal");
        if is_standby {
            std::fs::write(&mark, "")?;
            self.account.give(&mark, 0o600)?;
        } else {
            std::fs::remove_file(&mark)?;
        }
        self.start()
    }

    /// A program under the account that the database runs under.
    pub(crate) fn under_its_account(&self, tool: &Tool) -> Command {
        self.account.command_of(tool)
    }

    /// Gives a file to that account.
    pub(crate) fn give(&self, path: &Path, mode: u32) -> Result<()> {
        self.account.give(path, mode)
    }

    /// A folder that the account reaches; it ends with the cluster.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The number of the postmaster's process, while there is one.
    pub(crate) fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Background::id)
    }

    /// Starts it, and waits until it answers: after a crash it recovers first.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.starts += 1;
        let mut command = self.account.command(&self.programs, "postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on"])
            .args(["-c", "max_connections=200", "-c", "log_min_messages=warning"]);
        let name = format!("postgres-{}", self.starts);
        let began = Instant::now();
        loop {
            let mut running = Background::start(&name, &command, &self.folder)?;
            // A postmaster that still recovers accepts connections and refuses them at once.
            match running.wait_until(READY, || succeeds(&mut self.probe()).then_some(())) {
                Ok(()) => {
                    self.running = Some(running);
                    return Ok(());
                }
                // Backends outlive a killed postmaster for a moment, and it refuses to start beside them.
                Err(_) if running.ended_within(Duration::ZERO).is_some() && began.elapsed() < ENDED => sleep(ENDED / 40),
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends it as `pg_ctl stop -m immediate` does: without a checkpoint, so that it recovers next time.
    pub(crate) fn stop_immediately(&mut self) -> Result<()> {
        self.end("-QUIT")
    }

    /// Ends the postmaster by `kill -9`; its backends notice and end themselves.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.end("-KILL")
    }

    /// Runs statements as the cluster's owner.
    pub(crate) fn run_sql(&self, sql: &str) -> Result<()> {
        let mut command = self.client("psql");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", NAME, "-d", NAME]);
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", sql]);
        output(&mut command).map(drop)
    }

    /// The amcheck of all tables and indexes; what it prints is its complaints.
    pub(crate) fn check_integrity(&self) -> Result<()> {
        let mut command = self.client("pg_amcheck");
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", NAME, "-d", NAME])
            .args(["--install-missing", "--heapallindexed"]);
        let complaints = output(&mut command)?;
        ensure!(complaints.trim().is_empty(), "pg_amcheck says: {complaints}");
        Ok(())
    }

    fn end(&mut self, signal: &str) -> Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        running.signal_alone(signal);
        let ended = running.ended_within(ENDED).is_some();
        ensure!(ended, "the postmaster did not end within {ENDED:?}");
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn initialise(&self) -> Result<()> {
        let password_file = self.folder.join("password");
        std::fs::write(&password_file, &self.password)?;
        self.account.give(&password_file, 0o600)?;
        let mut command = self.account.command(&self.programs, "initdb");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-U", NAME, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg("--pwfile")
            .arg(&password_file);
        output(&mut command)?;
        std::fs::remove_file(&password_file).context("removing the password's file")
    }

    /// A program that connects as the cluster's owner.
    fn client(&self, program: &str) -> Command {
        let mut command = self.programs.tool(program).command();
        command.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "5");
        command
    }

    /// Succeeds when the cluster takes queries.
    fn probe(&self) -> Command {
        let mut command = self.client("pg_isready");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", "2"]);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.end("-INT") {
            eprintln!("{error:#}");
        }
        // Best effort: the folder is scratch.
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("could not remove {}: {error}", self.folder.display());
        }
    }
}

/// The account that the database runs under: it refuses to be root's.
#[derive(Debug, Clone)]
enum Account {
    Ours,
    Other { user: u32, group: u32 },
}

impl Account {
    fn find() -> Result<Self> {
        if !is_root() {
            return Ok(Self::Ours);
        }
        ensure!(
            find_program("setpriv").is_some(),
            "PostgreSQL refuses to run as root, and setpriv is missing; on Debian: apt-get install util-linux"
        );
        let number = |flag: &str, name: &str| -> Option<u32> { output(Command::new("id").args([flag, name])).ok()?.trim().parse().ok() };
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| {
                let (user, group) = (number("-u", name)?, number("-g", name)?);
                Some(Self::Other { user, group })
            })
            .context("PostgreSQL refuses to run as root, and there is neither an account postgres nor nobody")
    }

    /// A program of the server, under this account; the kernel ends it when we are killed.
    fn command(&self, programs: &Postgres, program: &str) -> Command {
        self.command_of(&programs.tool(program))
    }

    fn command_of(&self, tool: &Tool) -> Command {
        match self {
            Self::Ours => tool.command(),
            Self::Other { user, group } => {
                let (user, group) = (format!("--reuid={user}"), format!("--regid={group}"));
                // A change of user forgets an earlier parent-death signal.
                let words = ["setpriv", &user, &group, "--clear-groups", "--pdeathsig", "KILL", "--"];
                tool.command_under(&words)
            }
        }
    }

    /// Makes a file or folder this account's.
    fn give(&self, path: &Path, mode: u32) -> Result<()> {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        match self {
            Self::Ours => Ok(()),
            Self::Other { user, group } => {
                std::os::unix::fs::chown(path, Some(*user), Some(*group)).with_context(|| format!("giving away {}", path.display()))
            }
        }
    }

    /// Whether it can list a folder of its own: those above may be closed to it.
    fn reaches(&self, folder: &Path) -> bool {
        match self {
            Self::Ours => true,
            Self::Other { user, group } => {
                let (user, group) = (format!("--reuid={user}"), format!("--regid={group}"));
                let mut command = Command::new("setpriv");
                command.args([&user, &group, "--clear-groups", "--", "ls"]).arg(folder);
                succeeds(&mut command)
            }
        }
    }
}

/// An empty folder that the account reaches: under `target/`, or where that is in a closed home,
/// in the folder for temporary files.
fn reachable_folder(workspace: &Workspace, account: &Account, purpose: &str) -> Result<PathBuf> {
    let name = format!("{PREFIX}{purpose}-{}", std::process::id());
    for parent in [workspace.scratch("postgres")?, std::env::temp_dir()] {
        remove_left_overs(&parent, PREFIX);
        let folder = parent.join(&name);
        std::fs::create_dir(&folder)?;
        account.give(&folder, 0o700)?;
        if account.reaches(&folder) {
            return Ok(folder);
        }
        std::fs::remove_dir(&folder)?;
    }
    anyhow::bail!("the account that PostgreSQL runs under reaches neither target/ nor the temporary folder")
}

/// Removes the folders of runs that are over: their names end with the process's number.
pub(crate) fn remove_left_overs(parent: &Path, prefix: &str) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().filter(|name| name.starts_with(prefix));
        let owner = owner.and_then(|name| name.rsplit('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !lives(owner))
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            eprintln!("could not remove {}: {error}", entry.path().display());
        }
    }
}

/// Whether there is such a process; one that ended and is not yet buried has no command line.
fn lives(process: u32) -> bool {
    std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn random_word() -> Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// The command: a cluster for one's own tests.
pub(crate) fn main(workspace: &Workspace, mut arguments: Arguments) -> Result<()> {
    let words = arguments.rest();
    if matches!(words.first().map(String::as_str), Some("-h" | "--help")) {
        print!("{HELP}");
        return Ok(());
    }
    let cluster = Cluster::start_new(workspace, "hand")?;
    println!("{URL_VARIABLE}={}", cluster.url());
    // Without a command it is one that ends by Ctrl-C, as the cluster does with us.
    let idle = ["tail", "-f", "/dev/null"].map(str::to_owned);
    let words = if words.is_empty() { idle.to_vec() } else { words };
    let (program, rest) = words.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(rest);
    let status = command.env(URL_VARIABLE, cluster.url()).status().context("starting the command")?;
    ensure!(status.success(), "the command ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::random_word;

    #[test]
    fn a_password_is_made_up_each_time() {
        let (one, other) = (random_word().unwrap(), random_word().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
