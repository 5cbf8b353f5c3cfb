//! A Postfix of our own on the loopback, with settings that a client without manners does not get past.
//!
//! It is a whole Postfix (master, smtpd, cleanup, qmgr), because smtpd alone skips its restrictions. What it takes it throws away
//! (`discard`). Postfix starts as root only; its daemons then run under an account of the system that is there anyway.

use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::postgres::remove_left_overs;
use crate::prerequisites::debian::Postfix;
use crate::process::{Background, free_port, output};

/// Begins the names of the folders.
const PREFIX: &str = "ums-postfix-";
/// The folders of a queue that the daemons own.
const QUEUE: &[&str] = &[
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "private", "public", "saved", "trace",
];
/// Accounts that the daemons may run under, and groups for `postdrop`: Postfix's own where it is installed, else some of every Debian.
const OWNERS: &[&str] = &["postfix", "mail"];
const GROUPS: &[&str] = &["postdrop", "games"];

/// A server, what its setting does, and how tests find it.
pub(crate) const LISTENERS: &[(&str, &str, &[&str])] = &[
    (
        "UMS_BED_POSTFIX_STRICT_ADDR",
        "refuses an EHLO without a proper name",
        &[
            "smtpd_helo_required=yes",
            "smtpd_helo_restrictions=reject_invalid_helo_hostname,reject_non_fqdn_helo_hostname",
        ],
    ),
    (
        "UMS_BED_POSTFIX_IDLE_ADDR",
        "ends a session that says nothing for a second",
        &["smtpd_timeout=1s"],
    ),
    (
        "UMS_BED_POSTFIX_NO_DSN_ADDR",
        "announces DSN and refuses NOTIFY",
        &["smtpd_command_filter=regexp:$config_directory/no-dsn"],
    ),
];
/// Postfix itself then says "555 5.5.4 Unsupported option: X-NOTIFY=…", as it does to every parameter that it does not know.
const NO_DSN: &str = "/^(RCPT TO:<[^>]*>) NOTIFY=(.*)$/ $1 X-NOTIFY=$2\n";

/// What every daemon of Postfix but smtpd is started for.
const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
discard unix - - n - - discard
error unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// A running Postfix; it is ended and its folder removed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    folder: PathBuf,
    master: Background,
    /// The variable that tells tests of a listener, and its address.
    pub(crate) addresses: Vec<(&'static str, String)>,
}

impl Server {
    /// Starts it with a port for each of [`LISTENERS`].
    pub(crate) fn start(programs: &Postfix, logs: &Path, ready: Duration) -> Result<Self> {
        let parent = std::env::temp_dir();
        remove_left_overs(&parent, PREFIX);
        let folder = parent.join(format!("{PREFIX}{}", std::process::id()));
        let mut addresses = Vec::new();
        let mut ports = Vec::new();
        for (variable, ..) in LISTENERS {
            let port = free_port()?;
            ports.push(port);
            addresses.push((*variable, format!("127.0.0.1:{port}")));
        }
        lay_out(programs, &folder, &ports)?;
        let mut command = programs.master().command();
        command.arg("-c").arg(folder.join("conf")).arg("-d");
        let mut master = Background::start("postfix", &command, logs)?;
        for port in ports {
            master.wait_for_port(port, ready)?;
        }
        Ok(Self { folder, master, addresses })
    }

    /// What Postfix wrote of its own, and what it logged.
    pub(crate) fn tail(&self) -> String {
        let logged = std::fs::read_to_string(self.folder.join("mail.log")).unwrap_or_default();
        format!("{}{logged}", self.master.tail())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The daemons leave by themselves when their master is gone.
        drop(self.master.kill());
        // Best effort: the folder is scratch.
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("could not remove {}: {error}", self.folder.display());
        }
    }
}

/// Writes the configuration, and makes the folders as `postfix set-permissions` would.
fn lay_out(programs: &Postfix, folder: &Path, ports: &[u16]) -> Result<()> {
    let owner = Account::find("passwd", OWNERS)?;
    let group = Account::find("group", GROUPS)?;
    let (conf, queue, data) = (folder.join("conf"), folder.join("queue"), folder.join("data"));
    for made in [folder, &conf, &queue, &queue.join("pid"), &data] {
        std::fs::create_dir(made).with_context(|| format!("making {}", made.display()))?;
        std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o755))?;
    }
    for name in QUEUE {
        let room = queue.join(name);
        std::fs::create_dir(&room)?;
        let (mode, of_group) = match *name {
            "maildrop" => (0o1730, Some(group.id)),
            "public" => (0o2710, Some(group.id)),
            _ => (0o700, None),
        };
        chown(&room, Some(owner.id), of_group)?;
        std::fs::set_permissions(&room, std::fs::Permissions::from_mode(mode))?;
    }
    chown(&data, Some(owner.id), None)?;
    std::fs::write(conf.join("main.cf"), main_cf(programs, folder, &owner.name, &group.name))?;
    std::fs::write(conf.join("master.cf"), master_cf(ports)?)?;
    std::fs::write(conf.join("no-dsn"), NO_DSN).context("writing the filter of commands")
}

fn main_cf(programs: &Postfix, folder: &Path, owner: &str, group: &str) -> String {
    let (root, folder) = (programs.root().display(), folder.display());
    let root = if programs.root() == Path::new("/") {
        String::new()
    } else {
        root.to_string()
    };
    format!(
        "compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {root}/etc/postfix
mail_owner = {owner}
setgid_group = {group}
default_privs = nobody
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = postfix.example.com
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
default_transport = discard
relay_transport = discard
smtpd_relay_restrictions = permit_mynetworks, reject
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
import_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH
export_environment = MAIL_CONFIG TZ LANG LD_LIBRARY_PATH
"
    )
}

fn master_cf(ports: &[u16]) -> Result<String> {
    let mut text = String::new();
    for ((_, does, settings), port) in LISTENERS.iter().zip(ports) {
        writeln!(text, "# {does}\n127.0.0.1:{port} inet n - n - - smtpd")?;
        for setting in *settings {
            writeln!(text, "  -o {setting}")?;
        }
    }
    Ok(text + SERVICES)
}

/// An account or a group of the system.
struct Account {
    name: String,
    id: u32,
}

impl Account {
    /// The first of the names that a database of the system knows.
    fn find(database: &str, names: &[&str]) -> Result<Self> {
        let of = |name: &&str| {
            let line = output(Command::new("getent").args([database, name])).ok()?;
            let id = line.split(':').nth(2)?.trim().parse().ok()?;
            Some(Self {
                name: (*name).to_owned(),
                id,
            })
        };
        names
            .iter()
            .find_map(of)
            .with_context(|| format!("the system's {database} has none of: {}", names.join(", ")))
    }
}
