//! Only here: PostgreSQL's own programs, by which its databases are backed up and restored.
//!
//! The address goes to them by the environment: others on the machine see a command line.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use tokio_postgres::config::{Host, TargetSessionAttrs};
use ums_core::StoreError;

use super::address::Address;

/// Bytes of what a program says that are kept.
const TOLD: usize = 4 << 10;
/// Bytes of a line's beginning that are looked at.
const HEAD: usize = 256;
/// What other settings of the same environment would overrule an address.
const OVERRULING: [&str; 4] = ["PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGOPTIONS"];

/// The programs, and the database that they are to work on.
#[derive(Clone)]
pub(super) struct Programs {
    environment: Vec<(&'static str, OsString)>,
}

impl Programs {
    pub(super) fn of(address: &Address) -> Self {
        let config = &address.config;
        let list = |words: Vec<String>| OsString::from(words.join(","));
        let hosts = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(folder) => folder.display().to_string(),
        });
        let mut environment = vec![
            ("PGHOST", list(hosts.collect())),
            ("PGAPPNAME", "ums".into()),
            ("PGCONNECT_TIMEOUT", "10".into()),
            ("PGCLIENTENCODING", "UTF8".into()),
            ("PGSSLMODE", address.programs_tls.mode.into()),
        ];
        let numbers = config.get_hostaddrs().iter().map(ToString::to_string).collect::<Vec<_>>();
        let ports = config.get_ports().iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = |value: Option<&str>| value.map(OsString::from);
        #[cfg(unix)]
        let password = config
            .get_password()
            .map(|bytes| std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec()));
        #[cfg(not(unix))]
        let password = config
            .get_password()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned().into());
        let verifies = address.programs_tls.mode.starts_with("verify-");
        let roots = address.programs_tls.roots.clone().map(OsString::from);
        let is_primary = config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        let given = [
            ("PGHOSTADDR", (!numbers.is_empty()).then(|| list(numbers))),
            ("PGPORT", (!ports.is_empty()).then(|| list(ports))),
            ("PGUSER", text(config.get_user())),
            ("PGPASSWORD", password),
            ("PGDATABASE", text(config.get_dbname())),
            ("PGOPTIONS", text(config.get_options())),
            // Since PostgreSQL 16; an older program says that there is no such file.
            ("PGSSLROOTCERT", roots.or_else(|| verifies.then(|| "system".into()))),
            ("PGTARGETSESSIONATTRS", is_primary.then(|| "read-write".into())),
        ];
        environment.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Self { environment }
    }

    /// A program of PostgreSQL, without anything to read.
    pub(super) fn command(&self, program: Program) -> Command {
        let mut command = Command::new(program.name());
        for name in OVERRULING {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }
}

/// Refuses to begin where a program is missing.
pub(super) fn check(programs: &[Program]) -> Result<(), StoreError> {
    for program in programs {
        drop(output(Command::new(program.name()).arg("--version"), *program)?);
    }
    Ok(())
}

/// A program of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Dump,
    Restore,
    Psql,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Dump => "pg_dump",
            Self::Restore => "pg_restore",
            Self::Psql => "psql",
        }
    }

    /// Why a program does not run, and what to do.
    pub(super) fn missing(self, error: &io::Error) -> StoreError {
        let name = self.name();
        if error.kind() != io::ErrorKind::NotFound {
            return StoreError::Unavailable(format!("{name} cannot be started: {error}").into());
        }
        StoreError::Unusable(format!(
            "{name} is not in the PATH; install PostgreSQL's client programs (Debian: apt-get install postgresql-client), or where they are:
  pg_dump --format=custom --file monday.dump \"$UMS_DATABASE_URL\"
  pg_restore --clean --if-exists --single-transaction --dbname \"$UMS_DATABASE_URL\" monday.dump    (stop every service first)
  ums restore --mark-restored    (before a service starts)"
        ))
    }

    /// A program that did not do what it was to do, in its own words.
    pub(super) fn failed(self, told: &str) -> StoreError {
        StoreError::Unavailable(format!("{} says: {}", self.name(), told.trim()).into())
    }
}

/// Runs a program to its end, and gives what it printed.
pub(super) fn output(command: &mut Command, program: Program) -> Result<String, StoreError> {
    let output = command.output().map_err(|error| program.missing(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = &output.stderr[..output.stderr.len().min(TOLD)];
    Err(program.failed(&String::from_utf8_lossy(told)))
}

/// Starts a program whose output is read while it runs; what it says of faults is read beside.
pub(super) fn started(command: &mut Command, program: Program) -> Result<(Child, JoinHandle<String>), StoreError> {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| program.missing(&error))?;
    let stderr = child.stderr.take();
    Ok((child, std::thread::spawn(move || stderr.map(read_all).unwrap_or_default())))
}

/// Reads to the end, and keeps the beginning.
pub(super) fn read_all(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    let mut block = [0; TOLD];
    while let Ok(read @ 1..) = from.read(&mut block) {
        let room = TOLD - kept.len();
        kept.extend_from_slice(&block[..read.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// What a dump holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) rows: u64,
    pub(super) messages: u64,
}

/// Passes a script of `pg_restore` on, and counts its rows: those between `COPY table (…) FROM stdin;` and `\.`.
pub(super) fn pour(mut from: impl BufRead, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Counted> {
    let mut counted = Counted::default();
    let mut head = Vec::with_capacity(HEAD);
    // Whether the lines are rows, and of messages.
    let mut table = None;
    loop {
        let block = from.fill_buf()?;
        if block.is_empty() {
            return Ok(counted);
        }
        let (part, is_end) = match block.iter().position(|byte| *byte == b'\n') {
            Some(at) => (&block[..=at], true),
            None => (block, false),
        };
        head.extend_from_slice(&part[..part.len().min(HEAD - head.len())]);
        to(part)?;
        let read = part.len();
        from.consume(read);
        if !is_end {
            continue;
        }
        match table {
            None => {
                let copied = head.strip_prefix(b"COPY ").and_then(|rest| rest.split(|byte| *byte == b' ').next());
                table = copied.map(|name| name.ends_with(b".messages"));
            }
            Some(_) if head == b"\\.\n" => table = None,
            Some(is_messages) => {
                counted.rows += 1;
                counted.messages += u64::from(is_messages);
            }
        }
        head.clear();
    }
}

/// Reads the whole of a dump, which finds what is cut off or cannot be unpacked.
pub(super) fn read_through(programs: &Programs, dump: &Path, to: impl FnMut(&[u8]) -> io::Result<()>) -> Result<Counted, StoreError> {
    let mut command = programs.command(Program::Restore);
    command.args(["--no-owner", "--no-privileges", "--file=-", "--"]).arg(dump);
    let (mut child, told) = started(&mut command, Program::Restore)?;
    let script = child.stdout.take().map(io::BufReader::new);
    let counted = script.map_or(Ok(Counted::default()), |script| pour(script, to));
    if counted.is_err() {
        // It would wait for somebody who reads.
        drop(child.kill());
    }
    let status = child.wait();
    let told = told.join().unwrap_or_default();
    let counted = counted.map_err(|error| Program::Restore.failed(&error.to_string()))?;
    match status {
        Ok(status) if status.success() => Ok(counted),
        _ => Err(StoreError::Unusable(format!(
            "{} is damaged, or of a newer PostgreSQL; pg_restore says: {}",
            dump.display(),
            told.trim()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_whatever_they_hold_and_all_is_passed_on() {
        let long = "x".repeat(3 * HEAD);
        let script = format!(
            "SET a;\n\nCOPY public.messages (id, text) FROM stdin;\n1\tCOPY public.messages (\n2\t{long}\n\\.\n\nCOPY public.acts (id) FROM stdin;\n\\.\nCOPY public.events (id) FROM stdin;\n\\\\.\n\\.\nSELECT 1;\n"
        );
        for size in [1, 7, 8_192] {
            let mut passed = Vec::new();
            let counted = pour(io::BufReader::with_capacity(size, script.as_bytes()), |part| {
                passed.extend_from_slice(part);
                Ok(())
            });
            assert_eq!(counted.unwrap(), Counted { rows: 3, messages: 2 }, "{size}");
            assert_eq!(passed, script.as_bytes());
        }
    }

    #[test]
    fn an_address_goes_to_programs_by_the_environment_and_no_less_is_checked() {
        let rows = [
            (
                "postgres://me:p%40ss@db.example.com:6000/ums",
                [("PGSSLMODE", Some("prefer")), ("PGSSLROOTCERT", None), ("PGPASSWORD", Some("p@ss"))],
            ),
            (
                "postgres://me@a.example.com,b.example.com/ums?sslmode=require&options=-csearch_path%3Down",
                [
                    ("PGSSLMODE", Some("verify-full")),
                    ("PGSSLROOTCERT", Some("system")),
                    ("PGOPTIONS", Some("-csearch_path=own")),
                ],
            ),
            (
                "postgres:///ums",
                [("PGHOST", Some("localhost")), ("PGDATABASE", Some("ums")), ("PGUSER", None)],
            ),
        ];
        for (url, expected) in rows {
            let programs = Programs::of(&Address::parse(url).unwrap());
            let command = programs.command(Program::Dump);
            let given = |wanted: &str| {
                command
                    .get_envs()
                    .find(|(name, _)| *name == wanted)
                    .and_then(|(_, value)| value.map(|value| value.to_str().unwrap().to_owned()))
            };
            for (name, value) in expected {
                assert_eq!(given(name).as_deref(), value, "{url} {name}");
            }
            assert_eq!(command.get_args().count(), 0);
        }
    }
}
