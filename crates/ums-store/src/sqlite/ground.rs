//! The ground of a SQLite store: the file itself, whatever names lead to it, and whether it is still there.
//!
//! SQLite writes to the file that it has open, and a file that was deleted, moved or replaced takes writes as before; nobody finds them
//! again. So the writer compares after each commit, before it answers, what lies at the path with what it has open: the file, its
//! write-ahead log and the log's index. That takes three calls of `lstat`, about a microsecond each, for one wait for the disk.
//!
//! Only here: PostgreSQL looks after its own files, and its sessions end with it.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ums_core::StoreError;

use super::content::Content;
use super::descriptors::Descriptor;
use super::mounts;
use super::standing::{Identity, Standing};

/// What SQLite keeps beside the file while it is open (`sqlite.org/walformat.html`).
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Why what was written cannot be proven to be in the database.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// For good.
    #[error("{0}")]
    Gone(String),
    /// For now: the file system does not answer.
    #[error("the database file cannot be looked at")]
    Unseen(#[source] Arc<io::Error>),
}

impl From<Lost> for StoreError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Gone(why) => Self::Gone(why),
            Lost::Unseen(_) => Self::CommitUnknown(Box::new(lost)),
        }
    }
}

/// What has become of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss<'a> {
    /// A file of it is no longer where it was.
    Taken(&'a Path),
    /// Another program wrote into the file, past SQLite.
    Overwritten,
    /// It holds what another database, or an earlier state of this one, holds.
    Restored,
}

/// What lies beside the file.
#[derive(Debug, Default)]
struct Now {
    /// Since the connection that writes was opened and has written.
    known: Option<[Option<Identity>; 2]>,
    /// The log's indexes, the last one in use, where the file system tells well when the file was written. Kept until the end, as all descriptors.
    indexes: Vec<Descriptor>,
    content: Content,
}

/// What is told of a loss.
#[derive(Debug)]
struct Gone {
    words: String,
    /// The log is all that is left, and must not be put into what lies there now.
    has_to_keep_log: bool,
}

/// The file of a store.
#[derive(Debug)]
pub(super) struct Ground {
    /// Without links.
    path: PathBuf,
    file: Descriptor,
    tells_writes: bool,
    beside: [PathBuf; 2],
    beside_now: Mutex<Now>,
    gone: OnceLock<Gone>,
}

impl Ground {
    /// Opens the file, or makes it. Refuses what cannot be guarded.
    pub(super) fn open(given: &Path) -> Result<Self, StoreError> {
        let unusable = |error: io::Error| StoreError::Unusable(format!("the database file {} cannot be opened: {error}", given.display()));
        let file = Descriptor::open(given).map_err(unusable)?;
        let path = resolved(given)?;
        let found = Standing::at(&path).map_err(unusable)?;
        if found.is_none_or(|found| found.identity != file.identity()) {
            return Err(StoreError::Unavailable("the database file was replaced while it was opened".into()));
        }
        let beside = BESIDE.map(|suffix| with_suffix(&path, suffix));
        for own in beside.iter().chain([&path]) {
            make_private(own);
        }
        let tells_writes = mounts::of(&path).is_some_and(|mount| mount.tells_writes);
        Ok(Self {
            path,
            file,
            tells_writes,
            beside,
            beside_now: Mutex::default(),
            gone: OnceLock::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, to be locked.
    pub(super) fn file(&self) -> Option<&File> {
        self.file.file()
    }

    /// Whether all is where it was; how the file stands. Once it is not, it never is again.
    pub(super) fn check(&self) -> Result<Standing, Lost> {
        // Held until the end: what lies beside the file goes when SQLite closes it.
        self.check_with(&self.now())
    }

    /// The same, and whether only SQLite wrote to the file.
    pub(super) fn look(&self) -> Result<Standing, Lost> {
        let mut now = self.now();
        let found = self.check_with(&now)?;
        let Now { known, indexes, content } = &mut *now;
        let is_in_use = |index: &&Descriptor| known.is_some_and(|[_, known]| known == Some(index.identity()));
        let Some(index) = indexes.last().filter(is_in_use).and_then(Descriptor::file) else {
            return Ok(found);
        };
        let written = || self.found(&self.path, self.file.identity()).map(|found| found.written);
        if content.is_of_sqlite(index, written)? {
            Ok(found)
        } else {
            Err(self.lose(Loss::Overwritten))
        }
    }

    fn check_with(&self, now: &Now) -> Result<Standing, Lost> {
        if let Some(gone) = self.gone() {
            return Err(Lost::Gone(gone.clone()));
        }
        for (path, known) in self.beside.iter().zip(now.known.into_iter().flatten()) {
            if let Some(known) = known {
                self.found(path, known)?;
            }
        }
        self.found(&self.path, self.file.identity())
    }

    fn found(&self, path: &Path, known: Identity) -> Result<Standing, Lost> {
        match Standing::at(path).map_err(|error| Lost::Unseen(Arc::new(error)))? {
            Some(found) if found.identity == known => Ok(found),
            _ => Err(self.lose(Loss::Taken(path))),
        }
    }

    /// Gives the database up, for good.
    pub(super) fn lose(&self, loss: Loss<'_>) -> Lost {
        let gone = self.gone.get_or_init(|| Gone {
            words: words_of(loss, &self.path),
            has_to_keep_log: loss == Loss::Overwritten,
        });
        Lost::Gone(gone.words.clone())
    }

    pub(super) fn gone(&self) -> Option<&String> {
        self.gone.get().map(|gone| &gone.words)
    }

    /// Whether SQLite must leave the log as it is when it closes the file.
    pub(super) fn has_to_keep_log(&self) -> bool {
        self.gone.get().is_some_and(|gone| gone.has_to_keep_log)
    }

    /// Notes what lies beside the file, after the first commit of a connection.
    pub(super) fn adopt(&self) {
        let mut now = self.now();
        if now.known.is_some() {
            return;
        }
        let identity = |path| Standing::at(path).ok().flatten().map(|found| found.identity);
        let known = [0, 1].map(|at| identity(&self.beside[at]));
        let is_new = now.indexes.last().map(Descriptor::identity) != known[1];
        if self.tells_writes && known[1].is_some() && is_new {
            now.indexes.extend(Descriptor::open(&self.beside[1]).ok());
        }
        now.known = Some(known);
    }

    /// To be called before a connection is closed: SQLite may then delete what lies beside the file.
    pub(super) fn disown(&self) {
        let mut now = self.now();
        (now.known, now.content) = (None, Content::default());
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.beside_now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of the database at a path, and what to do.
fn words_of(loss: Loss<'_>, database: &Path) -> String {
    let database = database.display();
    let what = match loss {
        Loss::Taken(what) => format!("{} was deleted, moved or replaced", what.display()),
        Loss::Overwritten => format!("another program wrote over {database}"),
        Loss::Restored => format!("another database, or an earlier state, was restored into {database}"),
    };
    let rescue = match loss {
        Loss::Taken(_) if cfg!(target_os = "linux") => format!(
            " (what was deleted can be copied from /proc/{}/fd as long as this process runs)",
            std::process::id()
        ),
        Loss::Taken(_) | Loss::Overwritten | Loss::Restored => String::new(),
    };
    format!(
        "{what} while this process used it, so nothing is accepted or sent any more; put {database} back together with its -wal file, or \
         restore a backup{rescue}; stop this process, then start it again"
    )
}

/// The path of a database file without links. Refuses what cannot be guarded.
pub(super) fn resolved(given: &Path) -> Result<PathBuf, StoreError> {
    let unusable = |error: io::Error| StoreError::Unusable(format!("the database file {} cannot be opened: {error}", given.display()));
    let path = given.canonicalize().map_err(unusable)?;
    let found = std::fs::metadata(&path).map_err(unusable)?;
    refuse_unguarded(&path, &found)?;
    Ok(path)
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
    if Standing::of(found).links > 1 {
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
    #[cfg(unix)]
    {
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
    #[cfg(not(unix))]
    let _ = path;
}
