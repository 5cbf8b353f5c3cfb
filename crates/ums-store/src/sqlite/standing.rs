//! How a file stands by the file system: what it is, how many names it has, when it was last written.
//!
//! Only here: PostgreSQL looks after its own files.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// What a file is, whatever its names are. Unix alone tells; elsewhere all files are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// What `lstat(2)` says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) identity: Identity,
    /// How many names it has; 1 where the system does not tell.
    pub(super) links: u64,
    pub(super) written: Written,
}

/// When the content of a file was last changed, and how long the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    at: Option<SystemTime>,
    bytes: u64,
}

impl Standing {
    /// What lies at a path: a link there is not followed. None where nothing lies.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::symlink_metadata(path) {
            Ok(found) => Ok(Some(Self::of(&found))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn of(found: &Metadata) -> Self {
        let (identity, links) = told(found);
        Self {
            identity,
            links,
            written: Written {
                at: found.modified().ok(),
                bytes: found.len(),
            },
        }
    }
}

#[cfg(unix)]
fn told(found: &Metadata) -> (Identity, u64) {
    use std::os::unix::fs::MetadataExt as _;
    let identity = Identity {
        device: found.dev(),
        inode: found.ino(),
    };
    (identity, found.nlink())
}

/// The standard library tells neither on Windows. Windows itself keeps a file that SQLite has open from being deleted, moved or replaced: SQLite
/// shares it for reading and writing alone (`os_win.c`, `CreateFile` without `FILE_SHARE_DELETE`).
#[cfg(not(unix))]
fn told(_: &Metadata) -> (Identity, u64) {
    (Identity::default(), 1)
}
