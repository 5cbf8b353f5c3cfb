//! The ground under a store: other names of its file, and the file taken away.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ums_core::{Store, StoreError, Stored, Timestamp, TroubleKind, Troubles};
use ums_store::conformance::Sample;
use ums_store::{SqliteOptions, SqliteStore};

use crate::ground::{SqliteFile, clock};

async fn open(path: &Path) -> Result<Arc<SqliteStore>, StoreError> {
    let url = format!("sqlite://{}", path.display());
    SqliteStore::open_with(&url, clock(), SqliteOptions::default()).await.map(Arc::new)
}

async fn accept(store: &SqliteStore, number: u32) -> Result<Stored, StoreError> {
    store.accept(Sample::sms(number).sending().unwrap()).await
}

/// A store in a folder that can be moved away, with what it tells.
struct Bed {
    _root: SqliteFile,
    folder: PathBuf,
    store: Arc<SqliteStore>,
    troubles: Troubles,
}

impl Bed {
    async fn new() -> Self {
        let root = SqliteFile::new();
        let folder = root.path().with_file_name("data");
        fs::create_dir(&folder).unwrap();
        let store = open(&folder.join("ums.db")).await.unwrap();
        let troubles = Troubles::default();
        store.tell_troubles(&troubles);
        assert_eq!(accept(&store, 1).await.unwrap(), Stored::New);
        assert_eq!(troubles.all(), []);
        Self {
            _root: root,
            folder,
            store,
            troubles,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Nothing is stored, read or sent any more, and the trouble says why and what to do.
    async fn is_lost(&self, case: &str, why: &str) {
        let gone = |result: Result<(), StoreError>| match result {
            Err(StoreError::Gone(words)) => words,
            other => panic!("{case}: {other:?}"),
        };
        let words = gone(accept(&self.store, 2).await.map(drop));
        assert!(words.contains(why) && words.contains("restore a backup"), "{case}: {words}");
        gone(self.store.count().await.map(drop));
        gone(self.store.check().await);
        gone(self.store.recover(Timestamp::from_micros(1)).await.map(drop));
        assert!(!self.store.is_owner(), "{case}");
        let trouble = self.troubles.blocking().unwrap();
        assert_eq!((trouble.kind, &trouble.reason), (TroubleKind::Database, &words), "{case}");
    }
}

#[tokio::test]
async fn a_file_that_is_taken_away_takes_no_promise() {
    type Taking = fn(&Bed);
    let ways: [(&str, &str, Taking); 7] = [
        ("deleted", "ums.db was deleted", |bed| fs::remove_file(bed.file("ums.db")).unwrap()),
        ("moved", "ums.db was deleted", |bed| {
            fs::rename(bed.file("ums.db"), bed.file("aside.db")).unwrap();
        }),
        ("replaced", "ums.db was deleted", |bed| {
            fs::copy(bed.file("ums.db"), bed.file("copy.db")).unwrap();
            fs::rename(bed.file("copy.db"), bed.file("ums.db")).unwrap();
        }),
        ("replaced by a link to itself", "ums.db was deleted", |bed| {
            fs::rename(bed.file("ums.db"), bed.file("aside.db")).unwrap();
            std::os::unix::fs::symlink(bed.file("aside.db"), bed.file("ums.db")).unwrap();
        }),
        ("log deleted", "ums.db-wal was deleted", |bed| {
            fs::remove_file(bed.file("ums.db-wal")).unwrap()
        }),
        ("index deleted", "ums.db-shm was deleted", |bed| {
            fs::remove_file(bed.file("ums.db-shm")).unwrap()
        }),
        ("folder moved", "ums.db", |bed| {
            fs::rename(&bed.folder, bed.folder.with_file_name("moved")).unwrap();
        }),
    ];
    for (case, why, take) in ways {
        let bed = Bed::new().await;
        take(&bed);
        bed.is_lost(case, why).await;
    }
}

#[tokio::test]
async fn a_file_that_comes_back_is_not_trusted_again() {
    let bed = Bed::new().await;
    fs::rename(bed.file("ums.db"), bed.file("aside.db")).unwrap();
    bed.is_lost("away", "ums.db was deleted").await;
    fs::rename(bed.file("aside.db"), bed.file("ums.db")).unwrap();
    bed.is_lost("back", "ums.db was deleted").await;
    bed.store.close(std::time::Duration::from_secs(10)).await;
    let again = open(&bed.file("ums.db")).await.unwrap();
    assert!(again.is_owner());
    assert_eq!(accept(&again, 3).await.unwrap(), Stored::New);
}

#[tokio::test]
async fn what_is_copied_over_the_file_is_seen() {
    let bed = Bed::new().await;
    let stranger = rusqlite::Connection::open(bed.file("ums.db")).unwrap();
    let checkpoint = || stranger.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    checkpoint();
    assert_eq!(accept(&bed.store, 2).await.unwrap(), Stored::New);
    fs::copy(bed.file("ums.db"), bed.file("backup.db")).unwrap();
    let backup = fs::read(bed.file("backup.db")).unwrap();

    // Another program that writes through SQLite does no harm.
    for number in 3..=5 {
        assert_eq!(accept(&bed.store, number).await.unwrap(), Stored::New, "{number}");
        stranger.execute("UPDATE owners SET epoch = epoch + 1", []).unwrap();
        checkpoint();
    }
    assert_eq!(accept(&bed.store, 6).await.unwrap(), Stored::New);
    stranger.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    assert_eq!(accept(&bed.store, 7).await.unwrap(), Stored::New);

    fs::write(bed.file("ums.db"), backup).unwrap();
    bed.is_lost("overwritten", "another program wrote over").await;
}

#[tokio::test]
async fn what_is_restored_into_the_file_is_seen_at_the_next_recovery() {
    let another = "UPDATE identity SET id = 'another'";
    let earlier = "UPDATE identity SET mark = mark - 1";
    let foreign = "DROP TABLE identity";
    for sql in [another, earlier, foreign] {
        let bed = Bed::new().await;
        for number in 2..=4 {
            accept(&bed.store, number).await.unwrap();
            bed.store.recover(Timestamp::from_micros(1)).await.unwrap();
        }
        let stranger = rusqlite::Connection::open(bed.file("ums.db")).unwrap();
        stranger.execute_batch(sql).unwrap();
        assert!(bed.store.recover(Timestamp::from_micros(1)).await.is_err(), "{sql}");
        bed.is_lost(sql, "was restored into").await;
    }
}

#[tokio::test]
async fn an_idle_store_writes_no_mark() {
    let bed = Bed::new().await;
    let stranger = rusqlite::Connection::open(bed.file("ums.db")).unwrap();
    let mark = || {
        stranger
            .query_row("SELECT mark FROM identity", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let recover = || bed.store.recover(Timestamp::from_micros(1));
    recover().await.unwrap();
    let before = mark();
    for _ in 0..3 {
        recover().await.unwrap();
    }
    assert_eq!(mark(), before);
    accept(&bed.store, 2).await.unwrap();
    recover().await.unwrap();
    assert_eq!(mark(), before + 1);
}

#[tokio::test]
async fn a_database_has_one_sender_whatever_its_name() {
    let bed = Bed::new().await;
    let (link, linked_folder) = (bed.file("link.db"), bed.folder.with_file_name("linked"));
    std::os::unix::fs::symlink("ums.db", &link).unwrap();
    std::os::unix::fs::symlink(&bed.folder, &linked_folder).unwrap();
    for name in [
        bed.file("ums.db"),
        link,
        linked_folder.join("ums.db"),
        linked_folder.join("link.db"),
    ] {
        for lock in ["ums.db.lock", "link.db.lock"] {
            // A lock file that was removed tells nothing.
            drop(fs::remove_file(bed.file(lock)));
        }
        let second = open(&name).await.unwrap();
        assert!(!second.is_owner() && bed.store.is_owner(), "{}", name.display());
        second.recover(Timestamp::from_micros(1)).await.unwrap();
        assert!(!second.is_owner(), "{}", name.display());
        let troubles = Troubles::default();
        second.tell_troubles(&troubles);
        let said = troubles.all().remove(0);
        assert!(said.reason.contains("sends from the database") && !said.is_blocking, "{said:?}");
    }
}

#[tokio::test]
async fn the_next_sender_is_one_of_those_that_waited() {
    let bed = Bed::new().await;
    let second = open(&bed.file("ums.db")).await.unwrap();
    let troubles = Troubles::default();
    second.tell_troubles(&troubles);
    assert_eq!(troubles.all().len(), 1);
    bed.store.close(std::time::Duration::from_secs(10)).await;
    second.recover(Timestamp::from_micros(1)).await.unwrap();
    assert!(second.is_owner());
    assert_eq!(troubles.all(), []);
}

#[tokio::test]
async fn a_file_with_two_names_is_not_opened() {
    let bed = Bed::new().await;
    fs::hard_link(bed.file("ums.db"), bed.file("hard.db")).unwrap();
    for name in ["hard.db", "ums.db"] {
        match open(&bed.file(name)).await {
            Err(StoreError::Unusable(words)) => assert!(words.contains("hard link") && words.contains(name), "{words}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(!bed.file("hard.db-wal").exists());

    // The store that is open goes on, and says so until the name is gone.
    assert_eq!(accept(&bed.store, 2).await.unwrap(), Stored::New);
    let told = bed.troubles.all().remove(0);
    assert!(told.reason.contains("hard link") && !told.is_blocking, "{told:?}");
    fs::remove_file(bed.file("hard.db")).unwrap();
    assert_eq!(accept(&bed.store, 3).await.unwrap(), Stored::New);
    assert_eq!(bed.troubles.all(), []);
}

#[tokio::test]
async fn files_that_others_could_read_are_taken_from_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::new().await;
    let all = ["ums.db", "ums.db-wal", "ums.db-shm", "ums.db.lock"];
    let mode = |name: &str| fs::metadata(bed.file(name)).unwrap().permissions().mode() & 0o777;
    for name in all {
        fs::set_permissions(bed.file(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let _second = open(&bed.file("ums.db")).await.unwrap();
    assert_eq!(["ums.db", "ums.db-wal", "ums.db-shm"].map(mode), [0o600; 3]);
}

#[tokio::test]
async fn a_store_of_the_same_process_that_is_closed_takes_no_lock_with_it() {
    let bed = Bed::new().await;
    for _ in 0..3 {
        let second = open(&bed.file("ums.db")).await.unwrap();
        second.close(std::time::Duration::from_secs(10)).await;
        drop(second);
    }
    // The write lock of SQLite's own still keeps others out: a descriptor that was closed would have dropped it.
    let third = open(&bed.file("ums.db")).await.unwrap();
    assert!(!third.is_owner() && bed.store.is_owner());
    assert_eq!(accept(&bed.store, 2).await.unwrap(), Stored::New);
}
