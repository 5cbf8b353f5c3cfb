//! Where things lie in this checkout, and how cargo is called in it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// Beginnings of the names that cargo sets for the program that it runs.
const OUR_OWN: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// One checkout.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The checkout that this tool was built from.
    pub(crate) fn here() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().unwrap_or(manifest).to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
        Self { root, target }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path given from the root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A folder under `target/`, made if need be: everything that the tool makes lies there.
    pub(crate) fn scratch(&self, relative: &str) -> Result<PathBuf> {
        let folder = self.target.join(relative);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }

    /// `cargo <words>` at the root.
    ///
    /// What cargo tells *us* about this package is not passed on: build scripts would see it change
    /// between `cargo xtask` and a plain `cargo`, and be run again each time.
    pub(crate) fn cargo<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).args(words);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if OUR_OWN.iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Whether this run is the judge's, on a clean clone.
    pub(crate) fn in_ci() -> bool {
        std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
    }

    /// `--locked` where the lock file may not change.
    pub(crate) fn lock_words() -> &'static [&'static str] {
        if Self::in_ci() { &["--locked"] } else { &[] }
    }
}
