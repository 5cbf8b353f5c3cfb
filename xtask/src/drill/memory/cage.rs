//! A control group that limits memory, of either version of the kernel's interface.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Where the controller of memory is: of its own (version 1), or among the others (version 2).
const VERSION_1: &str = "/sys/fs/cgroup/memory";
const VERSION_2: &str = "/sys/fs/cgroup";

/// The group; removed when dropped, after its processes ended.
#[derive(Debug)]
pub(super) struct Cage(PathBuf);

impl Cage {
    /// Makes a group of so many bytes.
    pub(super) fn new(bytes: u64) -> Result<Self> {
        let name = format!("ums-drill-{}", std::process::id());
        let is_first = Path::new(VERSION_1).join("memory.limit_in_bytes").exists();
        let (root, limit) = if is_first {
            (VERSION_1, "memory.limit_in_bytes")
        } else {
            // Refused where the controller is on already, or belongs to somebody else.
            drop(fs::write(Path::new(VERSION_2).join("cgroup.subtree_control"), "+memory"));
            (VERSION_2, "memory.max")
        };
        let cage = Self(Path::new(root).join(name));
        if let Err(error) = fs::create_dir_all(&cage.0) {
            bail!("only root may make the control group that this drill limits: {error}");
        }
        fs::write(cage.0.join(limit), bytes.to_string()).context("limiting the memory of a control group")?;
        Ok(cage)
    }

    /// The script of a shell that enters the group and becomes the program that its arguments name.
    pub(super) fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display())
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if fs::remove_dir(&self.0).is_err() {
            eprintln!("could not remove {}", self.0.display());
        }
    }
}
