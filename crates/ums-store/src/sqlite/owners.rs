//! Who may send: one process at a time on one file, whatever the names that lead to it.
//!
//! The lock lies on the database file itself (Linux: `flock(2)`, which does not touch SQLite's own POSIX locks) and on a file beside it,
//! which releases before took alone; beside the path as given, too, where links lead elsewhere. It ends with its process, so a dead owner is
//! known at once and an owner that holds the lock is never called dead. Every process that opens the database registers a row; a message
//! under way names the row of the process that works on it, and that name is the fence.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rusqlite::{Connection, params};
use ums_core::{Clock, StoreError, Timestamp, Trouble, TroubleKind, Troubles};

use super::connection::{create_private, store_error};
use super::ground::{Ground, Loss, Lost, with_suffix};
use super::standing::{Identity, Standing};

/// How often the ground is looked at without traffic.
const LOOK: Duration = Duration::from_secs(1);
/// Longest text of a holder that is believed.
const HOLDER_BYTES: u64 = 64;

/// A file beside the database that is locked.
#[derive(Debug)]
struct Mark {
    path: PathBuf,
    identity: Identity,
    file: File,
}

impl Mark {
    /// Opens and locks the file; none if another process has it.
    fn take(path: &Path) -> Result<Option<Self>, StoreError> {
        let unusable = |error| {
            StoreError::Unusable(format!(
                "the lock file {} beside the database cannot be opened: {error}",
                path.display()
            ))
        };
        let file = create_private(path).map_err(unusable)?;
        if !try_lock(&file)? {
            return Ok(None);
        }
        let identity = Standing::of(&file.metadata().map_err(unusable)?).identity;
        let mark = Self {
            path: path.to_owned(),
            identity,
            file,
        };
        // Another process may have removed the file since it was opened; then the lock says nothing.
        Ok(mark.is_there().then_some(mark))
    }

    fn is_there(&self) -> bool {
        let found = Standing::at(&self.path).ok().flatten();
        found.is_some_and(|found| found.identity == self.identity)
    }

    /// Writes down who holds the lock, for people.
    fn sign(&mut self) {
        let written = self
            .file
            .set_len(0)
            .and_then(|()| write!(self.file, "process {}", std::process::id()));
        if let Err(error) = written {
            tracing::warn!(%error, "the database's lock file could not be written");
        }
    }
}

fn try_lock(file: &File) -> Result<bool, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(StoreError::Unusable(format!(
            "the file system of the database has no locks, so nothing keeps a second process from sending: {error}"
        ))),
    }
}

/// The lock of a database, held or not, and the ground under it.
#[derive(Debug)]
pub(crate) struct Ownership {
    /// None for a database in memory, which nobody else can open, and for a file that is not made yet.
    ground: Option<Ground>,
    /// Paths of the files that are locked beside the database.
    places: Vec<PathBuf>,
    /// Those that are held.
    marks: Mutex<Vec<Mark>>,
    held: AtomicBool,
    has_second_name: AtomicBool,
    told: OnceLock<(Troubles, Arc<dyn Clock>)>,
}

impl Ownership {
    /// Opens a database file, or makes it, and takes its lock if it is free.
    pub(crate) fn of(given: &Path) -> Result<Self, StoreError> {
        let ground = Ground::open(given)?;
        let mut places = vec![with_suffix(ground.path(), ".lock")];
        let named = with_suffix(given, ".lock");
        if given.is_symlink() && !places.contains(&named) {
            places.push(named);
        }
        let ownership = Self::new(Some(ground), places, false);
        ownership.try_take()?;
        Ok(ownership)
    }

    /// Takes the lock of a database, if it is free, in order to replace the file, which need not be there: see [`Ownership::is_held`]. No other
    /// process sends from the database until [`Ownership::release`]. The file to replace is [`Ownership::path`], which is no link.
    pub(crate) fn beside(given: &Path) -> Result<Self, StoreError> {
        if given.exists() {
            return Self::of(given);
        }
        let ownership = Self::new(None, vec![with_suffix(given, ".lock")], false);
        ownership.try_take()?;
        Ok(ownership)
    }

    /// The ownership of a database that only this process can see.
    pub(crate) fn alone() -> Self {
        Self::new(None, Vec::new(), true)
    }

    fn new(ground: Option<Ground>, places: Vec<PathBuf>, held: bool) -> Self {
        Self {
            ground,
            places,
            marks: Mutex::default(),
            held: AtomicBool::new(held),
            has_second_name: AtomicBool::new(false),
            told: OnceLock::new(),
        }
    }

    /// The path of the file, without links.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.ground.as_ref().map(Ground::path)
    }

    /// Takes the lock if it is free. Says whether it is held by us now.
    pub(crate) fn try_take(&self) -> Result<bool, StoreError> {
        self.check()?;
        let mut marks = self.marks();
        if self.is_held() {
            return Ok(true);
        }
        // The file itself first: of two processes that start together one gets it, and with it all. Elsewhere than on Linux `flock` and the
        // POSIX locks of SQLite are one.
        let itself = self.ground.as_ref().and_then(Ground::file).filter(|_| cfg!(target_os = "linux"));
        if let Some(file) = itself
            && !try_lock(file)?
        {
            return Ok(false);
        }
        let taken = self.places.iter().map(|place| Mark::take(place));
        match taken.collect::<Result<Option<Vec<_>>, _>>() {
            Ok(Some(taken)) => *marks = taken,
            lacking => {
                drop(itself.map(File::unlock));
                return lacking.map(|_| false);
            }
        }
        if let Some(first) = marks.first_mut() {
            first.sign();
        }
        drop(marks);
        self.held.store(true, Ordering::Release);
        self.tell_standing();
        Ok(true)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Whether the database is where it was. Who has lost it sends no more.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        self.with_ground(Ground::check)
    }

    /// The same, and whether only SQLite wrote to the file.
    pub(crate) fn look(&self) -> Result<(), Lost> {
        self.with_ground(Ground::look)
    }

    fn with_ground(&self, ask: impl FnOnce(&Ground) -> Result<Standing, Lost>) -> Result<(), Lost> {
        let Some(ground) = &self.ground else { return Ok(()) };
        let found = ask(ground).inspect_err(|_| self.step_down())?;
        let has_second_name = found.links > 1;
        if self.has_second_name.swap(has_second_name, Ordering::AcqRel) != has_second_name {
            self.tell_standing();
        }
        Ok(())
    }

    /// Gives the database up, for good.
    pub(crate) fn lose(&self, loss: Loss<'_>) -> Lost {
        match &self.ground {
            Some(ground) => {
                let lost = ground.lose(loss);
                self.step_down();
                lost
            }
            None => Lost::Gone("the database in memory was changed by somebody else".to_owned()),
        }
    }

    /// Why nothing is stored any more.
    pub(crate) fn gone(&self) -> Option<Lost> {
        self.ground.as_ref().and_then(Ground::gone).map(|gone| Lost::Gone(gone.clone()))
    }

    /// Sends no more, and says so, if the database is gone.
    fn step_down(&self) {
        let Some(gone) = self.ground.as_ref().and_then(Ground::gone) else {
            return;
        };
        if self.held.swap(false, Ordering::AcqRel) {
            tracing::error!("{gone}");
        }
        self.raise(true, gone.clone());
    }

    /// Tells of troubles here from now on.
    pub(crate) fn tell(&self, troubles: Troubles, clock: Arc<dyn Clock>) {
        if self.told.set((troubles, clock)).is_ok() {
            drop(self.check());
            self.tell_standing();
        }
    }

    /// Says what operators must know of the database, or that all is well.
    fn tell_standing(&self) {
        let Some((troubles, _)) = self.told.get() else { return };
        if self.gone().is_some() {
            self.step_down();
        } else if self.has_second_name.load(Ordering::Acquire) {
            self.raise(false, self.second_name());
        } else if self.is_held() {
            troubles.clear(TroubleKind::Database);
        } else {
            self.raise(false, self.holder());
        }
    }

    fn second_name(&self) -> String {
        format!(
            "the database file {} has a second name (a hard link), by which another program would damage it, and is not opened again; remove \
             the other name",
            self.file()
        )
    }

    fn file(&self) -> String {
        self.path().map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// Who sends from the database instead of this process, and what that means.
    pub(crate) fn holder(&self) -> String {
        let mut text = String::new();
        let signed = self.places.first().and_then(|place| File::open(place).ok());
        let read = signed.is_some_and(|file| file.take(HOLDER_BYTES).read_to_string(&mut text).is_ok());
        let is_plain = read && text.starts_with("process ") && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
        let who = if is_plain { text.as_str() } else { "another process" };
        format!(
            "{who} sends from the database {}; this one only stores messages for it, until that process ends",
            self.file()
        )
    }

    /// Gives the lock up, after the last write.
    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::Release);
        self.marks().clear();
        let itself = self.ground.as_ref().and_then(Ground::file);
        if let Some(Err(error)) = itself.map(File::unlock) {
            tracing::warn!(%error, "the database could not be unlocked");
        }
    }

    /// Notes what SQLite has made beside the file.
    pub(crate) fn adopt(&self) {
        self.ground.iter().for_each(Ground::adopt);
    }

    /// To be called before the connection that writes is closed.
    pub(crate) fn disown(&self) {
        self.ground.iter().for_each(Ground::disown);
    }

    /// Makes the lock files anew that were removed or replaced, unless another process was faster: then this one no longer sends.
    pub(crate) fn mend(&self) {
        let mut marks = self.marks();
        if !self.is_held() {
            return;
        }
        for mark in marks.iter_mut().filter(|mark| !mark.is_there()) {
            match Mark::take(&mark.path) {
                Ok(Some(anew)) => {
                    tracing::warn!(path = %mark.path.display(), "the database's lock file was removed; it is made anew");
                    *mark = anew;
                    mark.sign();
                }
                taken => {
                    let why = taken.err().map(|error| error.to_string()).unwrap_or_default();
                    tracing::error!(path = %mark.path.display(), why, "the database's lock file was replaced, and another process has it");
                    self.held.store(false, Ordering::Release);
                    self.raise(false, self.holder());
                }
            }
        }
    }

    fn raise(&self, is_blocking: bool, reason: String) {
        let Some((troubles, clock)) = self.told.get() else { return };
        troubles.raise(Trouble {
            kind: TroubleKind::Database,
            since: clock.now(),
            reason,
            is_blocking,
        });
    }

    fn marks(&self) -> MutexGuard<'_, Vec<Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the ground each second, until the store is dropped.
pub(crate) fn watch(ownership: &Arc<Ownership>) -> Result<(), StoreError> {
    if ownership.ground.is_none() {
        return Ok(());
    }
    let ownership: Weak<Ownership> = Arc::downgrade(ownership);
    let looking = move || {
        loop {
            std::thread::park_timeout(LOOK);
            let Some(ownership) = ownership.upgrade() else { return };
            // A loss is told where it is noticed.
            drop(ownership.look());
            ownership.mend();
        }
    };
    let spawned = std::thread::Builder::new().name("ums-store-ground".to_owned()).spawn(looking);
    spawned.map(drop).map_err(|error| StoreError::Unavailable(Box::new(error)))
}

/// Registers this process and returns its id, which was never used before.
pub(crate) fn register(connection: &Connection, now: Timestamp) -> Result<i64, StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO owners (epoch, until) VALUES (?1, ?1) RETURNING id")
        .map_err(store_error)?;
    statement.query_row([now.as_micros()], |row| row.get(0)).map_err(store_error)
}

/// Notes that this process is alive.
pub(crate) fn renew(connection: &Connection, owner: i64, now: Timestamp) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO owners (id, epoch, until) VALUES (?1, ?2, ?2) ON CONFLICT (id) DO UPDATE SET until = ?2")
        .map_err(store_error)?;
    statement.execute(params![owner, now.as_micros()]).map(drop).map_err(store_error)
}

/// When a process was last seen alive.
pub(crate) fn seen(connection: &Connection, owner: i64) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT max(until) FROM owners WHERE id = ?1")
        .map_err(store_error)?;
    let until: Option<i64> = statement.query_row([owner], |row| row.get(0)).map_err(store_error)?;
    Ok(until.map(Timestamp::from_micros))
}

/// Forgets all processes but this one and those that were seen since.
pub(crate) fn forget_others(connection: &Connection, owner: i64, since: Timestamp) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM owners WHERE id <> ?1 AND until < ?2")
        .map_err(store_error)?;
    statement.execute(params![owner, since.as_micros()]).map(drop).map_err(store_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_replaces_a_database_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("ums.db");
        // There is no file yet, and none is made.
        let replacing = Ownership::beside(&database).unwrap();
        assert!(replacing.is_held() && !database.exists());
        assert!(!Ownership::beside(&database).unwrap().is_held());
        replacing.release();

        let sending = Ownership::of(&database).unwrap();
        assert!(sending.is_held());
        let second = Ownership::beside(&database).unwrap();
        assert!(!second.is_held() && second.holder().contains(&std::process::id().to_string()));
        sending.release();
        let replacing = Ownership::beside(&database).unwrap();
        assert!(replacing.is_held() && replacing.path() == Some(&*database.canonicalize().unwrap()));
        assert!(!Ownership::of(&database).unwrap().is_held());
    }

    #[test]
    fn a_lock_file_that_is_removed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("ums.db");
        let sending = Ownership::of(&database).unwrap();
        let lock = with_suffix(&database, ".lock");
        std::fs::remove_file(&lock).unwrap();
        sending.mend();
        assert!(sending.is_held() && lock.exists());

        // A program of before takes the lock file alone: there is one sender all the same.
        std::fs::remove_file(&lock).unwrap();
        let older = create_private(&lock).unwrap();
        assert!(try_lock(&older).unwrap());
        sending.mend();
        assert!(!sending.is_held());
    }
}
