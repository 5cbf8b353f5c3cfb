//! The files of backups: private from the first byte, under their names only once they are whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ums_core::StoreError;

/// Ends the name of a backup that is being written, with the number of its process.
const PARTIAL: &str = ".partial-";

/// Writes a backup under a name of its own, and gives it the name that was asked for when all of it is on the disk.
pub(crate) fn written<T>(to: &Path, write: impl FnOnce(&Path) -> Result<T, StoreError>) -> Result<T, StoreError> {
    if to.exists() {
        return Err(StoreError::Unusable(format!(
            "{} is there already; name another file",
            to.display()
        )));
    }
    let partial = beside(to, &format!("{PARTIAL}{}", std::process::id()));
    let written = make(&partial).and_then(|()| write(&partial)).and_then(|written| {
        ums_core::failpoint::pass("backup.written");
        put(&partial, to).map_err(|error| failed("the backup cannot be written", &error))?;
        Ok(written)
    });
    if written.is_err() {
        // The fault that is told is the first one.
        drop(std::fs::remove_file(&partial));
    }
    written
}

/// Makes an empty file for its owner alone.
fn make(partial: &Path) -> Result<(), StoreError> {
    // A process of the same number may have left one.
    drop(std::fs::remove_file(partial));
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options.open(partial).map(drop);
    made.map_err(|error| failed("the backup's file cannot be made", &error))
}

/// Refuses what is no file, and what a backup left that was cut off, whole or not.
pub(crate) fn check_name(file: &Path) -> Result<(), StoreError> {
    let unusable = |why: &str| Err(StoreError::Unusable(format!("{} {why}", file.display())));
    if !file.is_file() {
        return unusable("is no file");
    }
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let process = name.rsplit_once(PARTIAL).map(|(_, process)| process);
    if process.is_some_and(|process| process.bytes().all(|byte| byte.is_ascii_digit())) {
        return unusable("is what a backup left that was cut off; remove it, and take a backup that has its name");
    }
    Ok(())
}

/// Length of a file in bytes.
pub(crate) fn length(file: &Path) -> Result<u64, StoreError> {
    let found = std::fs::metadata(file).map_err(|error| failed("the backup cannot be read", &error))?;
    Ok(found.len())
}

/// Gives a file that is whole its name: after the disk has it, and in one step.
pub(crate) fn put(file: &Path, name: &Path) -> io::Result<()> {
    File::open(file)?.sync_all()?;
    std::fs::rename(file, name)?;
    sync_folder(name)
}

/// Has the disk keep the names in a file's folder.
pub(crate) fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) {
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    } else {
        Ok(())
    }
}

/// A name in the same folder.
pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A fault of the disk, in words.
pub(crate) fn failed(what: &str, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{what}: {error}").into())
}
