//! A restore: what `pg_dump` wrote takes the place of the service's tables and is made safe to send from, in one transaction.
//!
//! `pg_restore` makes the script and `psql` runs it, between the statements here: nobody's lease holds, the tables of before go, those of
//! the dump come, what may have been sent since is held. Cut off at any point, it leaves the database from before.
//!
//! **Invariant:** no message that had not ended in the backup goes out by itself afterwards, unless it was scheduled for a time that has not
//! come yet.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ums_core::{StoreError, Timestamp, failpoint};

use super::address::Address;
use super::backup::{contents, own};
use super::connection::{Fault, Session};
use super::migrate::{self, MIGRATIONS};
use super::programs::{Counted, Program, Programs, check, read_all, read_through, started};
use super::row::one;
use crate::archive;
use crate::migration::lacking;
use crate::migrations::in_the_background;
use crate::restored::{Held, Restored, why};

/// Nobody registers, renews or takes a message from here on.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '5s'; LOCK TABLE owners, messages IN ACCESS EXCLUSIVE MODE";
const IS_SERVED: &str =
    "SELECT EXISTS (SELECT 1 FROM owners WHERE until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS served";

/// Ends what may have been sent since as `unknown`. What is told is `held` and `scheduled`, each with a number.
const HOLD: [&str; 4] = [
    concat!(
        "UPDATE attempts SET outcome = 'unknown', class = 'unknown', code = 'restored', detail = '",
        why!(),
        "' WHERE outcome = 'calling'"
    ),
    // The word for a message that has ended is its first recipient's. All parts see the rows as they were before.
    concat!(
        "WITH held AS (
           UPDATE messages m SET owner = NULL, due_at = NULL, mark = NULL, token = token + 1, error = '",
        why!(),
        "',
             status = coalesce((SELECT CASE WHEN r.status IN ('pending', 'scheduled', 'queued', 'sending') THEN 'unknown' ELSE r.status END
               FROM recipients r WHERE r.tenant = m.tenant AND r.message_id = m.id AND r.idx = 0), 'unknown')
           WHERE owner IS NOT NULL OR (due_at IS NOT NULL AND NOT (status = 'scheduled'
             AND due_at > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint))
           RETURNING m.tenant, m.id
         ), told AS (
           UPDATE recipients r SET status = 'unknown', reason = '",
        why!(),
        "' FROM held h
           WHERE r.tenant = h.tenant AND r.message_id = h.id AND r.status IN ('pending', 'scheduled', 'queued', 'sending')
         ) SELECT 'held ' || count(*) AS told FROM held"
    ),
    "SELECT 'scheduled ' || count(*) AS told FROM messages WHERE due_at IS NOT NULL",
    // No process that knew the database from before, nor any since, has an id in this one.
    "WITH gone AS (DELETE FROM owners), turn AS (DELETE FROM turns)
     SELECT 'moved ' || setval(pg_get_serial_sequence('owners', 'id'), nextval(pg_get_serial_sequence('owners', 'id')) + 4294967296) AS told",
];

/// The schema that the service works in, alone: names of others are not touched.
const OWN_SCHEMA: &str = "SELECT set_config('search_path', quote_ident(current_schema()), true);";
/// The codes by which the transaction says why it ends.
const SERVED: &str = "UM001";
const NEWER: &str = "UM002";

/// Restores a dump, marked.
pub(crate) async fn restore(address: &Address, from: PathBuf, may_replace: bool, now: Timestamp) -> Result<Restored, StoreError> {
    archive::check_name(&from)?;
    let programs = Programs::of(address);
    let (of_list, file) = (programs.clone(), from.clone());
    in_the_background(move || {
        check(&[Program::Restore, Program::Psql])?;
        contents(&of_list, &file)
    })
    .await?;
    if holds_something(address).await? && !may_replace {
        return Err(StoreError::Unusable(
            "the database is not empty; with --force its tables are replaced. Keep what it has before that:
  ums backup --to before.dump
  ums suppressions export --output newer.csv"
                .to_owned(),
        ));
    }
    let (counted, held) = in_the_background(move || replace(&programs, &from)).await?;
    migrate::migrate(address, now).await?;
    Ok(Restored {
        taken_at: None,
        messages: counted.messages,
        held: held.held,
        scheduled: held.scheduled,
        kept_aside: None,
    })
}

/// Whether the database holds messages or opt-outs; an error if a service has it open.
async fn holds_something(address: &Address) -> Result<bool, StoreError> {
    let session = Session::connect(address).await.map_err(Fault::not_written)?;
    let Some(version) = migrate::found(&session).await.map_err(Fault::not_written)? else {
        return Ok(false);
    };
    drop(lacking(&MIGRATIONS, version)?);
    if is_served(&session).await.map_err(Fault::not_written)? {
        return Err(served());
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM messages) OR EXISTS (SELECT 1 FROM suppressions) AS some";
    let rows = session.query(sql, &[]).await.map_err(Fault::not_written)?;
    one(&rows, "some")
}

/// Has the script run, in one transaction.
fn replace(programs: &Programs, from: &Path) -> Result<(Counted, Held), StoreError> {
    let mut command = programs.command(Program::Psql);
    command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--file=-"]);
    // A text of an error may hold an address.
    command
        .args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=sqlstate"])
        .stdin(Stdio::piped());
    let (mut psql, complaints) = started(&mut command, Program::Psql)?;
    let stdout = psql.stdout.take();
    let printed = std::thread::spawn(move || stdout.map(read_all).unwrap_or_default());
    let mut script = psql.stdin.take();
    // One that has ended does not read on: it says why.
    let mut to_psql = |bytes: &[u8]| script.as_mut().is_none_or(|script| script.write_all(bytes).is_ok());
    let mut is_read = to_psql(before().as_bytes());
    let counted = read_through(programs, from, |part| {
        is_read = is_read && to_psql(part);
        Ok(())
    });
    let is_whole = counted.is_ok() && is_read;
    if is_whole {
        failpoint::pass("restore.staged");
        to_psql(after().as_bytes());
    }
    // Without the end of the transaction it is undone.
    drop(script);
    let status = psql.wait();
    let (printed, complaints) = (printed.join().unwrap_or_default(), complaints.join().unwrap_or_default());
    let counted = counted?;
    match status {
        Ok(status) if status.success() && is_whole => {}
        _ => return Err(refusal(&complaints, is_whole)),
    }
    let told = |word| printed.lines().find_map(|line| figure(line, word)).unwrap_or(0);
    Ok((
        counted,
        Held {
            held: told("held "),
            scheduled: told("scheduled "),
        },
    ))
}

/// What goes before the script of a dump.
fn before() -> String {
    let list = |kinds: &[&str]| own(kinds).collect::<Vec<_>>().join(", ");
    [
        "BEGIN; SET LOCAL lock_timeout = '5s';\n",
        OWN_SCHEMA,
        "SELECT pg_advisory_xact_lock(7893521, hashtext(current_schema()));
         DO $$ BEGIN
           IF to_regclass('owners') IS NOT NULL THEN
             LOCK TABLE owners, messages IN ACCESS EXCLUSIVE MODE;
             IF EXISTS (SELECT 1 FROM owners WHERE until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) THEN
               RAISE EXCEPTION USING ERRCODE = '",
        SERVED,
        "', MESSAGE = 'served'; END IF; END IF; END $$;\n",
        "DROP VIEW IF EXISTS ",
        &list(&["VIEW"]),
        "; DROP TABLE IF EXISTS ",
        &list(&["TABLE"]),
        "; DROP SEQUENCE IF EXISTS ",
        &list(&["SEQUENCE"]),
        ";\n",
    ]
    .concat()
}

/// What goes after the script of a dump, which leaves no path to look for names.
fn after() -> String {
    let newest = MIGRATIONS.last().map_or(0, |migration| migration.version).to_string();
    [
        "RESET search_path;\n",
        OWN_SCHEMA,
        "DO $$ BEGIN IF (SELECT max(version) FROM schema_migrations) > ",
        &newest,
        " THEN RAISE EXCEPTION USING ERRCODE = '",
        NEWER,
        "', MESSAGE = 'newer'; END IF; END $$;\n",
        &HOLD.join(";\n"),
        ";\nCOMMIT;\n",
    ]
    .concat()
}

/// Why the transaction ended, by the code that `psql` printed.
fn refusal(complaints: &str, was_whole: bool) -> StoreError {
    let code = complaints.lines().find_map(|line| Some(line.split_once("ERROR:  ")?.1.trim()));
    let unusable = |words: &str| StoreError::Unusable(words.to_owned());
    match code {
        Some(SERVED) => served(),
        Some(NEWER) => unusable("the backup is of a newer program than this one; restore it with that one"),
        Some("42501") => unusable("the database's user may not drop and make the tables"),
        Some("55P03") => unusable("somebody works on the tables; stop every service and every other ums, then restore"),
        Some("2BP01") => unusable("something of another program depends on the tables, such as a view; drop it, then restore"),
        Some("42P07") => {
            unusable("the dump holds tables beside the service's that are in the database; restore it by pg_restore, see docs/backup.md")
        }
        Some(code) => StoreError::Unavailable(format!("PostgreSQL refuses the dump: error {code}").into()),
        // The answer to the commit may be lost.
        None if was_whole => StoreError::CommitUnknown(format!("psql says: {}", complaints.trim()).into()),
        None => Program::Psql.failed(complaints),
    }
}

fn served() -> StoreError {
    StoreError::Unusable(
        "a service has the database open, or had a minute ago; stop every service, wait for a minute, then try again".to_owned(),
    )
}

/// Holds what may have been sent since in a database that was restored by other means, in one transaction.
pub(crate) async fn hold(address: &Address) -> Result<Held, StoreError> {
    let session = Session::connect(address).await.map_err(Fault::not_written)?;
    session.run(BEGIN).await.map_err(Fault::not_written)?;
    if is_served(&session).await.map_err(Fault::not_written)? {
        return Err(served());
    }
    let held = hold_all(&session).await.map_err(Fault::not_written)?;
    failpoint::pass("restore.held");
    session.run("COMMIT").await.map_err(Fault::at_commit)?;
    Ok(held)
}

/// Whether a process's lease holds; one that was copied with the database ends within a minute, too.
async fn is_served(session: &Session) -> Result<bool, Fault> {
    Ok(one(&session.query(IS_SERVED, &[]).await?, "served")?)
}

async fn hold_all(session: &Session) -> Result<Held, Fault> {
    let [attempts, messages, scheduled, owners] = HOLD;
    session.execute(attempts, &[]).await?;
    let told = async |sql: &'static str| Ok::<String, Fault>(one(&session.query(sql, &[]).await?, "told")?);
    let held = told(messages).await?;
    let scheduled = told(scheduled).await?;
    told(owners).await?;
    Ok(Held {
        held: figure(&held, "held ").unwrap_or(0),
        scheduled: figure(&scheduled, "scheduled ").unwrap_or(0),
    })
}

fn figure(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.parse().ok()
}
