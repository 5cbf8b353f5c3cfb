//! The inputs that a target begins with, copied from files of the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::targets::Target;
use crate::workspace::Workspace;

/// Extensions of files beside fixtures that are none.
const NO_SEEDS: [&str; 2] = ["md", "pem"];

/// Makes `fuzz/corpus/<target>`, beside what earlier runs found.
pub(super) fn provide(workspace: &Workspace, target: &Target) -> Result<PathBuf> {
    let folder = workspace.path("fuzz/corpus").join(target.name);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for from in sources(workspace, target) {
        for (name, seed) in seeds(&from)? {
            std::fs::write(folder.join(&name), seed).with_context(|| format!("writing the seed {name}"))?;
        }
    }
    Ok(folder)
}

/// The fixtures, and the target's own seeds when it has some.
fn sources(workspace: &Workspace, target: &Target) -> Vec<PathBuf> {
    let own = workspace.path("fuzz/seeds").join(target.name);
    let fixtures = target.fixtures.iter().map(|fixture| workspace.path(fixture));
    fixtures.chain(own.is_dir().then_some(own)).collect()
}

/// Files of a folder, or lines of a file, each with a name.
fn seeds(from: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let reading = || format!("reading {}", from.display());
    if from.is_file() {
        let text = std::fs::read_to_string(from).with_context(reading)?;
        let lines = text.lines().filter(|line| !line.starts_with('#')).enumerate();
        return Ok(lines
            .map(|(index, line)| (format!("line-{index}"), line.replace("\\n", "\r\n").into()))
            .collect());
    }
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(from).with_context(reading)? {
        let path = entry?.path();
        let is_seed = path.extension().is_none_or(|found| NO_SEEDS.iter().all(|other| found != *other));
        if is_seed && path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            seeds.push((name, std::fs::read(&path).with_context(reading)?));
        }
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    use super::super::targets::TARGETS;
    use super::{seeds, sources};
    use crate::workspace::Workspace;

    /// A target is declared in four places: here, in the manifest, as a program and by its seeds.
    #[test]
    fn each_target_has_its_program_its_seeds_and_its_row() {
        let workspace = Workspace::here();
        let manifest = std::fs::read_to_string(workspace.path("fuzz/Cargo.toml")).unwrap();
        let programs = std::fs::read_dir(workspace.path("fuzz/fuzz_targets")).unwrap().count();
        assert_eq!((programs, manifest.matches("[[bin]]").count()), (TARGETS.len(), TARGETS.len()));
        for target in TARGETS {
            let name = target.name;
            assert!(workspace.path(&format!("fuzz/fuzz_targets/{name}.rs")).is_file(), "{name}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            let count: usize = sources(&workspace, target).iter().map(|from| seeds(from).unwrap().len()).sum();
            assert!(count > 0, "{name} begins with nothing");
        }
    }
}
