//! Programs from Debian packages: Postfix and its load tools, nginx, PostgreSQL, PgBouncer, strace, libfaketime.
//!
//! They are found on the machine, or else the package is downloaded and unpacked under
//! `target/beds/debian`. Installing it would start a mail server, a web server and a database of
//! which nobody but us has need, and change the machine's configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{find_program, output, run, succeeds};
use crate::workspace::Workspace;

/// A program, and the folders where its libraries lie if not in the system's.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    program: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Tool {
    pub(crate) fn describe(&self) -> String {
        self.program.display().to_string()
    }

    pub(crate) fn command(&self) -> Command {
        self.command_under(&[])
    }

    /// The command behind a prefix such as `taskset -c 1`.
    pub(crate) fn command_under(&self, prefix: &[&str]) -> Command {
        let mut words = prefix.iter();
        let mut command = match words.next() {
            None => Command::new(&self.program),
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.program);
                command
            }
        };
        if !self.libraries.is_empty()
            && let Ok(path) = std::env::join_paths(&self.libraries)
        {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// Whether the dynamic linker finds all that the program wants.
    fn is_complete(&self) -> bool {
        let mut linker = Command::new("ldd");
        linker
            .arg(&self.program)
            .envs(self.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
        output(&mut linker).is_ok_and(|text| !text.contains("not found"))
    }
}

/// A whole Postfix: where its folders lie.
#[derive(Debug, Clone)]
pub(crate) struct Postfix {
    root: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Postfix {
    /// What its folders are below: `/`, or where the package is unpacked.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The daemon that starts all others.
    pub(crate) fn master(&self) -> Tool {
        Tool {
            program: self.root.join("usr/lib/postfix/sbin/master"),
            libraries: self.libraries.clone(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        self.master().describe()
    }
}

/// Postfix of the distribution, which starts as root only.
pub(crate) fn postfix(workspace: &Workspace) -> Result<Postfix> {
    ensure!(
        is_root(),
        "Postfix starts as root only; another user may run all of this under: unshare --user --map-root-user --map-auto"
    );
    let found = |root: &Path, libraries: Vec<PathBuf>| {
        let root = root.to_owned();
        let postfix = Postfix { root, libraries };
        let master = postfix.master();
        (master.program.is_file() && master.is_complete()).then_some(postfix)
    };
    if let Some(postfix) = found(Path::new("/"), Vec::new()) {
        return Ok(postfix);
    }
    // Its load tools come with it.
    smtp_sink(workspace)?;
    let root = workspace.scratch("beds/debian")?.join("postfix");
    let libraries = library_folders(&root);
    found(&root, libraries).context("the package postfix holds no Postfix that runs here; on Debian: apt-get install postfix")
}

/// Accepts mail as fast as one process can.
pub(crate) fn smtp_sink(workspace: &Workspace) -> Result<Tool> {
    provide(workspace, "smtp-sink", "postfix")
}

/// Sends mail as fast as one process can.
pub(crate) fn smtp_source(workspace: &Workspace) -> Result<Tool> {
    provide(workspace, "smtp-source", "postfix")
}

/// Answers HTTP as fast as one process can.
pub(crate) fn nginx(workspace: &Workspace) -> Result<Tool> {
    provide(workspace, "nginx", "nginx")
}

/// Shares connections to PostgreSQL between clients.
pub(crate) fn pgbouncer(workspace: &Workspace) -> Result<Tool> {
    provide(workspace, "pgbouncer", "pgbouncer")
}

/// Tells which system calls a process makes.
pub(crate) fn strace(workspace: &Workspace) -> Result<Tool> {
    provide(workspace, "strace", "strace")
}

/// The library that gives a program another time of day, for programs with several threads.
pub(crate) fn faketime(workspace: &Workspace) -> Result<PathBuf> {
    let found = |root: &Path| {
        let folders = library_folders(root).into_iter();
        folders
            .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
            .find(|library| library.is_file())
    };
    let root = workspace.scratch("beds/debian")?.join("libfaketime");
    if let Some(library) = found(Path::new("/")).or_else(|| found(&root)) {
        return Ok(library);
    }
    unpack("libfaketime", &root).context("not installed; on Debian: apt-get install libfaketime")?;
    found(&root).context("the package libfaketime holds no library for threads")
}

/// The programs of one version of PostgreSQL, which lie together in a folder off `PATH`.
#[derive(Debug, Clone)]
pub(crate) struct Postgres {
    folder: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Postgres {
    /// One of its programs.
    pub(crate) fn tool(&self, program: &str) -> Tool {
        Tool {
            program: self.folder.join(program),
            libraries: self.libraries.clone(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        self.folder.display().to_string()
    }

    fn is_complete(&self) -> bool {
        POSTGRES_PROGRAMS.iter().all(|program| {
            let tool = self.tool(program);
            tool.program.is_file() && tool.is_complete()
        })
    }
}

/// What the suite and the drills run of PostgreSQL.
const POSTGRES_PROGRAMS: &[&str] = &["initdb", "postgres", "createdb", "pg_isready", "pg_amcheck", "psql"];

/// PostgreSQL of the distribution: the newest version that is here.
pub(crate) fn postgres(workspace: &Workspace) -> Result<Postgres> {
    if let Some(found) = newest_postgres(Path::new("/"), &[]) {
        return Ok(found);
    }
    let package = "postgresql";
    let root = workspace.scratch("beds/debian")?.join(package);
    let unpacked = || newest_postgres(&root, &library_folders(&root));
    if let Some(found) = unpacked() {
        return Ok(found);
    }
    unpack(package, &root).with_context(|| format!("not installed; on Debian: apt-get install {package}"))?;
    unpacked().with_context(|| format!("the package {package} holds no PostgreSQL that runs here"))
}

fn newest_postgres(root: &Path, libraries: &[PathBuf]) -> Option<Postgres> {
    let entries = std::fs::read_dir(root.join("usr/lib/postgresql")).ok()?;
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    let mut candidates = versions.into_iter().rev().map(|(_, folder)| Postgres {
        folder,
        libraries: libraries.to_vec(),
    });
    candidates.find(Postgres::is_complete)
}

fn provide(workspace: &Workspace, program: &str, package: &str) -> Result<Tool> {
    if let Some(program) = find_program(program) {
        let tool = Tool {
            program,
            libraries: Vec::new(),
        };
        if tool.is_complete() {
            return Ok(tool);
        }
    }
    let root = workspace.scratch("beds/debian")?.join(package);
    if let Some(tool) = unpacked(&root, program) {
        return Ok(tool);
    }
    unpack(package, &root).with_context(|| format!("not installed; on Debian: apt-get install {package}"))?;
    unpacked(&root, program).with_context(|| format!("the package {package} holds no {program} that runs here"))
}

fn unpacked(root: &Path, program: &str) -> Option<Tool> {
    let libraries = library_folders(root);
    ["usr/sbin", "usr/bin"]
        .map(|folder| Tool {
            program: root.join(folder).join(program),
            libraries: libraries.clone(),
        })
        .into_iter()
        .find(|tool| tool.program.is_file() && tool.is_complete())
}

/// Every folder under `root` that holds shared libraries, the plug-ins' excepted.
fn library_folders(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.join("usr/lib/postfix")];
    for base in ["lib", "usr/lib"] {
        let entries = std::fs::read_dir(root.join(base)).into_iter().flatten();
        folders.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.to_string_lossy().ends_with("-linux-gnu")),
        );
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// Downloads the package, and what of its dependencies this machine lacks, and unpacks them.
fn unpack(package: &str, root: &Path) -> Result<()> {
    for tool in ["apt-get", "dpkg-deb"] {
        ensure!(find_program(tool).is_some(), "this machine has no {tool}");
    }
    let packages = wanted_packages(package).or_else(|_| {
        refresh_lists()?;
        wanted_packages(package)
    })?;
    let downloads = root.with_extension("download");
    if downloads.exists() {
        std::fs::remove_dir_all(&downloads)?;
    }
    std::fs::create_dir_all(&downloads)?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "APT::Sandbox::User=root", "download"]);
        run(command.args(&packages).current_dir(&downloads))
    };
    // A list that is a week old names files that the mirror no longer has.
    if download().is_err() {
        refresh_lists()?;
        download()?;
    }
    for entry in std::fs::read_dir(&downloads)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg-deb").arg("-x").arg(&file).arg(root))?;
        }
    }
    std::fs::remove_dir_all(&downloads).context("removing the downloads")
}

/// The package and the libraries that installing it would bring along.
fn wanted_packages(package: &str) -> Result<Vec<String>> {
    let plan = output(Command::new("apt-get").args(["--simulate", "--no-install-recommends", "install", package]))?;
    Ok(packages_of(&plan, package))
}

fn packages_of(plan: &str, package: &str) -> Vec<String> {
    let mut packages = vec![package.to_owned()];
    packages.extend(
        plan.lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
            .filter(|name| *name != package)
            // A package without content of its own stands for one with its version in the name.
            .filter(|name| name.starts_with("lib") || name.starts_with(package))
            .map(str::to_owned),
    );
    packages
}

fn refresh_lists() -> Result<()> {
    ensure!(is_root(), "the package lists are stale and only root may run apt-get update");
    run(Command::new("apt-get").args(["-q", "update"]))
}

/// Installs packages for good, where we are root and the machine has apt.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !is_root() || find_program("apt-get").is_none() {
        bail!("may not install {}", packages.join(" "));
    }
    run(Command::new("apt-get").args(["-q", "update"]))?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-q", "install", "-y", "--no-install-recommends"])
        .args(packages))
}

/// The words that smtp-sink insists on when root runs it.
pub(crate) fn user_words() -> &'static [&'static str] {
    if is_root() { &["-u", "root"] } else { &[] }
}

/// Whether we may do everything on this machine.
pub(crate) fn is_root() -> bool {
    succeeds(Command::new("sh").args(["-c", "[ \"$(id -u)\" = 0 ]"]))
}

#[cfg(test)]
mod tests {
    use super::packages_of;

    #[test]
    fn only_the_package_and_missing_libraries_are_fetched() {
        let plan = "Reading state information...\n\
                    Inst cpio (2.13+dfsg-7.1 Debian:12.15/oldstable [amd64])\n\
                    Inst libicu72 (72.1-3 Debian:12.15/oldstable [amd64])\n\
                    Inst postfix (3.7.11-0+deb12u1 Debian:12.15/oldstable [amd64])\n\
                    Conf libicu72 (72.1-3 Debian:12.15/oldstable [amd64])\n";
        assert_eq!(packages_of(plan, "postfix"), ["postfix", "libicu72"]);
    }

    #[test]
    fn a_package_without_content_brings_the_one_with_its_version() {
        let plan = "Inst libpq5 (15.18-0+deb12u1 Debian:12.15/oldstable [amd64])\n\
                    Inst ssl-cert (1.1.2 Debian:12.15/oldstable [all])\n\
                    Inst postgresql-15 (15.18-0+deb12u1 Debian:12.15/oldstable [amd64])\n\
                    Inst postgresql (15+248+deb12u1 Debian:12.15/oldstable [all])\n";
        assert_eq!(packages_of(plan, "postgresql"), ["postgresql", "libpq5", "postgresql-15"]);
    }
}
