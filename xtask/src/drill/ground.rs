//! The ground under SQLite: a second process through another name of the file, and the file taken away, under load.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::web::Ask;
use super::{Play, settings, settle};
use crate::prerequisites::debian::is_root;
use crate::process::{Background, output, succeeds};

/// When messages expire, in seconds.
const EXPIRES_IN: u64 = 20;
/// Time in which the process notices and its last honest answers arrive: the second between two looks, and a bit.
const NOTICED: Duration = Duration::from_millis(300);
/// How long promises are counted after that.
const WATCHED: Duration = Duration::from_secs(2);
/// A server without its file ends within this time of SIGTERM.
const ENDED: Duration = Duration::from_secs(10);
/// A refusal, and an end, take no longer.
const END: Duration = Duration::from_secs(20);

/// The mark of the message that `ums send` sends.
const ONCE: &str = "drill-once";

/// What happens to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    Moved,
    /// An earlier copy is written over it: `cp`.
    Overwritten,
    Replaced,
    LogRemoved,
    FolderMoved,
    Deleted,
}

/// In the order of the rounds.
const REMOVALS: [Removal; 6] = [
    Removal::Overwritten,
    Removal::Deleted,
    Removal::Moved,
    Removal::Replaced,
    Removal::LogRemoved,
    Removal::FolderMoved,
];

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let report = RefCell::new(play.report("ground", Some(Store::Sqlite)));
    let removals = async {
        let mut chance = Chance::of(play.seed, "ground removals");
        for (removal, _) in REMOVALS.into_iter().zip(0..play.rounds) {
            taken_away(play, &mut chance, removal, &report).await?;
        }
        Ok(())
    };
    tokio::try_join!(other_names(play, &report), removals)?;
    Ok(report.into_inner())
}

fn mix() -> Mix {
    Mix {
        expires_in: EXPIRES_IN,
        scheduled: 0,
        ..Mix::default()
    }
}

fn url(database: &Path) -> String {
    format!("sqlite://{}", database.display())
}

/// Every way to a second sender, one after the other, beside a server under load.
async fn other_names(play: &Play<'_>, report: &RefCell<Report>) -> Result<()> {
    let chance = &mut Chance::of(play.seed, "ground names");
    ensure!(is_root(), "only root may mount the file by a second name, as this drill does");
    let mut stage = Stage::set(play.workspace, "ground-names", &play.binary, Store::Sqlite, settings::QUICK)?;
    let database = stage.folder.join("ums.db");
    let at = fixed_address(chance)?;
    let (server, _) = stage.serve(at).await?;
    let load = Load::start(play.seed, &mix(), &[at], &stage.journals.acks)?;
    let mut senders = Vec::new();

    let link = stage.folder.join("link.db");
    std::os::unix::fs::symlink(&database, &link)?;
    beside(&mut stage, chance, &link, "symbolic link", &mut senders).await?;
    once(&mut stage, &link, &mut senders).await?;
    fs::remove_file(stage.folder.join("ums.db.lock"))?;
    beside(&mut stage, chance, &database, "removed lock file", &mut senders).await?;

    let hard = stage.folder.join("hard.db");
    fs::hard_link(&database, &hard)?;
    refused(&mut stage, chance, &hard, "hard link", &mut senders).await?;
    fs::remove_file(&hard)?;
    let bound = Bound::mount(&database, &stage.folder.join("bound.db"))?;
    refused(&mut stage, chance, &bound.0, "file mounted alone", &mut senders).await?;
    drop(bound);

    load.finish().await?;
    settle::settled(&server, Duration::from_secs(EXPIRES_IN + 30)).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;
    let sends = server.metric("ums_may_send", "").await;
    let mut report = report.borrow_mut();
    report.none_of("second senders", &senders);
    report.hold("the first server sends", format!("{sends:?}"), "Some(1.0)", sends == Some(1.0));
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    Ok(())
}

/// A second server is ready, does not send, and says who does.
async fn beside(stage: &mut Stage, chance: &mut Chance, database: &Path, name: &str, senders: &mut Vec<String>) -> Result<()> {
    let mut second = second(stage, chance, database)?;
    second.ready().await?;
    let sends = second.metric("ums_may_send", "").await;
    let says = second.get("/v1/providers/health").await?["troubles"].to_string();
    if sends != Some(0.0) || !says.contains("sends from the database") {
        senders.push(format!("{name}: ums_may_send {sends:?}, troubles {says}"));
    }
    // As long as a sender needs to take up what it believes to be left behind.
    tokio::time::sleep(Duration::from_secs(1)).await;
    second.kill()
}

/// A second server does not start.
async fn refused(stage: &mut Stage, chance: &mut Chance, database: &Path, name: &str, senders: &mut Vec<String>) -> Result<()> {
    let mut second = second(stage, chance, database)?;
    // A server that is ready was not refused.
    let ended = match second.ready().await {
        Ok(_) => None,
        Err(_) => second.ends_within(END).await,
    };
    if ended.is_none_or(|ended| ended.success()) {
        senders.push(format!("{name}: not refused"));
    }
    second.kill()
}

fn second(stage: &mut Stage, chance: &mut Chance, database: &Path) -> Result<Server> {
    stage.set_setting("UMS_DATABASE_URL", &url(database));
    let second = stage.start_server(fixed_address(chance)?, None, &[]);
    stage.set_setting("UMS_DATABASE_URL", &url(&stage.folder.join("ums.db")));
    second
}

/// One message of a process of its own.
async fn once(stage: &mut Stage, database: &Path, senders: &mut Vec<String>) -> Result<()> {
    let (text, metadata) = (format!("one more {ONCE}"), format!("mark={ONCE}"));
    let words = ["send", "sms", "--to", "+14155550123", "--body", &text, "--metadata", &metadata];
    let mut command = stage.ums(&words);
    command.env("UMS_DATABASE_URL", url(database));
    let mut process = Background::start("once", &command, &stage.folder)?;
    let ended = tokio::time::timeout(END, async {
        loop {
            if let Some(ended) = process.ended_within(Duration::ZERO) {
                break ended;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let ended = ended.await.context("`ums send` does not end")?;
    if !ended.success() {
        senders.push(format!("ums send by a link: {ended}\n{}", process.tail()));
    }
    Ok(())
}

/// The file is taken from a server under load, which must not promise, or end, as if nothing were.
async fn taken_away(play: &Play<'_>, chance: &mut Chance, removal: Removal, report: &RefCell<Report>) -> Result<()> {
    let name = format!("ground-{removal:?}").to_lowercase();
    let mut stage = Stage::set(play.workspace, &name, &play.binary, Store::Sqlite, settings::QUICK)?;
    let folder = stage.folder.join("data");
    fs::create_dir_all(&folder)?;
    let database = folder.join("ums.db");
    stage.set_setting("UMS_DATABASE_URL", &url(&database));
    let at = fixed_address(chance)?;
    let (mut server, _) = stage.serve(at).await?;
    let load = Load::start(play.seed, &mix(), &[at], &stage.journals.acks)?;
    let seen = std::sync::Arc::clone(load.seen());
    tokio::time::sleep(Duration::from_secs(1)).await;
    fs::copy(&database, folder.join("earlier.db"))?;
    tokio::time::sleep(Duration::from_millis(500)).await;

    removal.happens(&folder)?;
    tokio::time::sleep(NOTICED).await;
    let before = seen.acks.load(Ordering::Relaxed);
    tokio::time::sleep(WATCHED).await;
    let promised = seen.acks.load(Ordering::Relaxed) - before;
    let ready = stage.web.ask(at, &Ask::get("/readyz")).await;
    let status = ready.map_or(0, |answer| answer.status);
    let told = std::time::Instant::now();
    server.process.signal_alone("-TERM");
    let ended = server.ends_within(END + END).await.context("the server does not end at SIGTERM")?;
    let took = told.elapsed();
    {
        let mut report = report.borrow_mut();
        report.hold(&format!("{removal:?}: promises afterwards"), promised, "0", promised == 0);
        report.hold(&format!("{removal:?}: /readyz"), status, "503", status == 503);
        report.hold(&format!("{removal:?}: end"), ended, "exit status: 1", ended.code() == Some(1));
        report.hold(&format!("{removal:?}: time to end"), format!("{took:.1?}"), "10 s", took <= ENDED);
    }
    if !removal.is_undone(&folder)? {
        // Its callers would wait for a server for ever.
        drop(load);
        return Ok(());
    }
    let (server, _) = stage.serve(at).await?;
    load.finish().await?;
    settle::settled(&server, Duration::from_secs(EXPIRES_IN + 30)).await?;
    stage.sink_lives()?;
    let (findings, _) = settle::findings(&stage, &server).await?;
    report.borrow_mut().judged(&findings);
    Ok(())
}

impl Removal {
    fn happens(self, folder: &Path) -> Result<()> {
        let (database, aside) = (folder.join("ums.db"), folder.join("aside.db"));
        match self {
            Self::Moved => fs::rename(database, aside)?,
            Self::Replaced => {
                fs::copy(&database, folder.join("copy.db"))?;
                fs::rename(&database, aside)?;
                fs::rename(folder.join("copy.db"), database)?;
            }
            Self::Overwritten => {
                let earlier = fs::read(folder.join("earlier.db"))?;
                fs::copy(&database, &aside)?;
                fs::write(database, earlier)?;
            }
            Self::LogRemoved => fs::rename(folder.join("ums.db-wal"), folder.join("aside.db-wal"))?,
            Self::FolderMoved => fs::rename(folder, folder.with_extension("aside"))?,
            Self::Deleted => fs::remove_file(database)?,
        }
        Ok(())
    }

    /// Puts the file back. False where nothing is left to be put back.
    fn is_undone(self, folder: &Path) -> Result<bool> {
        let (database, aside) = (folder.join("ums.db"), folder.join("aside.db"));
        match self {
            Self::Moved | Self::Replaced | Self::Overwritten => fs::rename(aside, database)?,
            Self::LogRemoved => fs::rename(folder.join("aside.db-wal"), folder.join("ums.db-wal"))?,
            Self::FolderMoved => fs::rename(folder.with_extension("aside"), folder)?,
            Self::Deleted => return Ok(false),
        }
        Ok(true)
    }
}

/// A second name of a file, by a mount; unmounted when dropped.
#[derive(Debug)]
struct Bound(PathBuf);

impl Bound {
    fn mount(file: &Path, name: &Path) -> Result<Self> {
        fs::write(name, "")?;
        output(Command::new("mount").arg("--bind").args([file, name])).context("mounting the file by a second name")?;
        Ok(Self(name.to_owned()))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if !succeeds(Command::new("umount").arg(&self.0)) {
            eprintln!("could not unmount {}", self.0.display());
        }
    }
}
