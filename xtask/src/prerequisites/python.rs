//! The Python venv with moto, aiosmtpd, the providers' official SDKs, and Schemathesis.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::debian;
use crate::process::{find_program, output, run, succeeds};
use crate::workspace::Workspace;

/// Pinned, dependencies of dependencies included.
const REQUIREMENTS: &str = "tests/beds/requirements.txt";
/// Names, in the venv, the requirements and the interpreter that it was made from.
const STAMP: &str = "made-from";
/// What the venv must be able to import before it is believed.
const PROBE: &str = "import moto.server, aiosmtpd.smtp, boto3, sendgrid, twilio.rest, cryptography, standardwebhooks, schemathesis";

/// A venv whose packages are those of the requirements file.
#[derive(Debug, Clone)]
pub(crate) struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// A program of the venv, `python` for one.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// `python <script>` with unbuffered output and without anybody's start-up files.
    pub(crate) fn python(&self, script: &Path) -> Command {
        let mut command = Command::new(self.program("python"));
        command.args(["-u", "-I"]).arg(script);
        command
    }

    pub(crate) fn describe(&self) -> String {
        self.folder.display().to_string()
    }
}

/// Finds the venv, or makes it anew when its requirements or interpreter changed.
pub(crate) fn provide(workspace: &Workspace) -> Result<Venv> {
    let requirements = workspace.path(REQUIREMENTS);
    let wanted = std::fs::read_to_string(&requirements).with_context(|| format!("reading {}", requirements.display()))?;
    let python = interpreter()?;
    let version = output(Command::new(&python).arg("--version"))?;
    let stamp = format!("{}\n{}\n{wanted}", python.display(), version.trim());

    let folder = workspace.scratch("beds")?.join("venv");
    let venv = Venv { folder: folder.clone() };
    let made_from = std::fs::read_to_string(folder.join(STAMP)).unwrap_or_default();
    if made_from == stamp && succeeds(Command::new(venv.program("python")).arg("--version")) {
        return Ok(venv);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    run(Command::new(&python).args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(venv.program("python"))
        .args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--retries", "10", "-r"])
        .arg(&requirements))?;
    output(Command::new(venv.program("python")).args(["-c", PROBE]))?;
    std::fs::write(folder.join(STAMP), stamp)?;
    Ok(venv)
}

/// Python 3.11 or newer that can make a venv.
fn interpreter() -> Result<PathBuf> {
    let found = || {
        ["python3", "python3.13", "python3.12", "python3.11"]
            .into_iter()
            .filter_map(find_program)
            .find(|python| can_make_venv(python))
    };
    if let Some(python) = found() {
        return Ok(python);
    }
    if debian::install(&["python3", "python3-venv"]).is_ok()
        && let Some(python) = found()
    {
        return Ok(python);
    }
    bail!(
        "no Python 3.11 or newer with the modules venv and ensurepip; \
         on Debian: apt-get install python3 python3-venv"
    )
}

fn can_make_venv(python: &Path) -> bool {
    let probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    succeeds(Command::new(python).args(["-c", probe]))
}
