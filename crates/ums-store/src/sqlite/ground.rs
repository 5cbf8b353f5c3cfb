//! The ground of a SQLite store: the file itself, whatever names lead to it, and whether it is still there.
//!
//! SQLite writes to the file that it has open, and a file that was deleted, moved or replaced takes writes as before; nobody finds them
//! again. So the writer compares after each commit, before it answers, what lies at the path with what it has open: the file, its
//! write-ahead log and the log's index. That takes three calls of `lstat`, about a microsecond each, for one wait for the disk.
//!
//! **Invariant:** no descriptor of a database file is closed here while a connection of this process to the same file is open. Closing one
//! drops all POSIX locks of the process on the file (`fcntl(2)`), those of SQLite among them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ums_core::StoreError;

use super::connection::create_private;
use super::mounts;

/// What SQLite keeps beside the file while it is open (`sqlite.org/walformat.html`).
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What a file is, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            device: file.dev(),
            inode: file.ino(),
        }
    }

    /// What lies at a path: a link there is not followed.
    pub(super) fn at(path: &Path) -> Option<Self> {
        std::fs::symlink_metadata(path).ok().as_ref().map(Self::of)
    }
}

/// Why nothing is stored any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} was deleted, moved or replaced while this process used it, so nothing is accepted or sent any more; stop this process, put the \
     database back at {database} (or restore a backup), then start it again"
)]
pub(crate) struct Gone {
    what: String,
    database: String,
}

/// The file of a store.
#[derive(Debug)]
pub(super) struct Ground {
    /// Without links.
    path: PathBuf,
    file: DatabaseFile,
    beside: [PathBuf; 2],
    /// What lies beside the file since the connection that writes was opened and has written.
    adopted: Mutex<Option<[Option<Identity>; 2]>>,
    gone: OnceLock<Gone>,
}

impl Ground {
    /// Opens the file, or makes it. Refuses what cannot be guarded.
    pub(super) fn open(given: &Path) -> Result<Self, StoreError> {
        let unusable = |error: io::Error| StoreError::Unusable(format!("the database file {} cannot be opened: {error}", given.display()));
        let file = DatabaseFile::open(given).map_err(unusable)?;
        let path = given.canonicalize().map_err(unusable)?;
        let found = std::fs::metadata(&path).map_err(unusable)?;
        refuse_unguarded(&path, &found)?;
        if Identity::of(&found) != file.identity {
            return Err(StoreError::Unavailable("the database file was replaced while it was opened".into()));
        }
        let beside = BESIDE.map(|suffix| with_suffix(&path, suffix));
        for own in beside.iter().chain([&path]) {
            make_private(own);
        }
        Ok(Self {
            path,
            file,
            beside,
            adopted: Mutex::default(),
            gone: OnceLock::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, to be locked.
    pub(super) fn file(&self) -> Option<&File> {
        self.file.file.as_ref()
    }

    /// Whether all is where it was. Once it is not, it never is again.
    pub(super) fn check(&self) -> Result<(), Gone> {
        if let Some(gone) = self.gone() {
            return Err(gone.clone());
        }
        // Held until the end: what lies beside the file goes when SQLite closes it.
        let adopted = self.adopted();
        let beside = adopted.iter().flat_map(|known| self.beside.iter().zip(known));
        let mut all = beside
            .filter_map(|(path, known)| known.map(|known| (path, known)))
            .chain([(&self.path, self.file.identity)]);
        match all.find(|(path, known)| Identity::at(path) != Some(*known)) {
            None => Ok(()),
            Some((path, _)) => Err(self
                .gone
                .get_or_init(|| Gone {
                    what: path.display().to_string(),
                    database: self.path.display().to_string(),
                })
                .clone()),
        }
    }

    pub(super) fn gone(&self) -> Option<&Gone> {
        self.gone.get()
    }

    /// Notes what lies beside the file, after the first commit of a connection.
    pub(super) fn adopt(&self) {
        let mut adopted = self.adopted();
        if adopted.is_none() {
            *adopted = Some([0, 1].map(|at| Identity::at(&self.beside[at])));
        }
    }

    /// To be called before a connection is closed: SQLite may then delete what lies beside the file.
    pub(super) fn disown(&self) {
        *self.adopted() = None;
    }

    fn adopted(&self) -> MutexGuard<'_, Option<[Option<Identity>; 2]>> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path with something after its last name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Refuses files under whose other names a second process would work beside this one: SQLite's log stands beside the *name*, so two names
/// of one file make two logs and a broken database (`sqlite.org/howtocorrupt.html` §2.5).
fn refuse_unguarded(path: &Path, found: &Metadata) -> Result<(), StoreError> {
    let refused = |why: &str| Err(StoreError::Unusable(format!("the database file {} {why}", path.display())));
    if !found.is_file() {
        return refused("is not a regular file");
    }
    if std::os::unix::fs::MetadataExt::nlink(found) > 1 {
        return refused(
            "has a second name (a hard link), by which another process would damage it; keep one name: copy the file, remove the others",
        );
    }
    match mounts::of(path) {
        Some(mount) if mount.is_of_network => refused(
            "lies on a network file system, where SQLite's log does not work (sqlite.org/wal.html) and no lock keeps a second machine from \
             sending; use a local disk, or PostgreSQL",
        ),
        Some(mount) if mount.is_the_file => {
            refused("is mounted alone, by a name of its own, by which another process would damage it; mount its folder instead")
        }
        _ => Ok(()),
    }
}

/// Takes a file from all but its owner: it holds addresses.
fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(found) = std::fs::metadata(path) else { return };
    let of_others = found.permissions().mode() & 0o077;
    if of_others == 0 {
        return;
    }
    if let Err(error) = std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)) {
        tracing::warn!(path = %path.display(), %error, "others may read the database, and it could not be taken from them");
    }
}

/// Descriptors of one file that this process opened beside SQLite's.
#[derive(Debug, Default)]
struct Opened {
    stores: usize,
    /// Of stores that are closed, while another store of this process is open on the file.
    kept: Vec<File>,
}

static OPENED: Mutex<BTreeMap<Identity, Opened>> = Mutex::new(BTreeMap::new());

fn opened() -> MutexGuard<'static, BTreeMap<Identity, Opened>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor of a database file that outlives the connections of its store.
#[derive(Debug)]
struct DatabaseFile {
    identity: Identity,
    /// None only while it is dropped.
    file: Option<File>,
}

impl DatabaseFile {
    fn open(path: &Path) -> io::Result<Self> {
        let mut opened = opened();
        let known = std::fs::metadata(path).ok().and_then(|found| opened.get_mut(&Identity::of(&found)));
        let file = match known.and_then(|known| known.kept.pop()) {
            Some(kept) => kept,
            None => create_private(path)?,
        };
        let identity = Identity::of(&file.metadata()?);
        opened.entry(identity).or_default().stores += 1;
        Ok(Self {
            identity,
            file: Some(file),
        })
    }
}

impl Drop for DatabaseFile {
    fn drop(&mut self) {
        let mut opened = opened();
        let Some(known) = opened.get_mut(&self.identity) else { return };
        if let Some(file) = self.file.take() {
            // A descriptor that is kept must hold no lock.
            drop(file.unlock());
            known.kept.push(file);
        }
        known.stores -= 1;
        if known.stores == 0 {
            opened.remove(&self.identity);
        }
    }
}
