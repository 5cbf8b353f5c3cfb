//! A backup: what `pg_dump` takes of one snapshot, of the service's tables alone, read through before it gets its name.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use ums_core::{StoreError, Timestamp, failpoint};

use super::address::Address;
use super::connection::{Fault, Session};
use super::migrate::{self, MIGRATIONS};
use super::programs::{Program, Programs, check, output, read_through};
use super::row::one;
use crate::archive;
use crate::migration::lacking;
use crate::migrations::in_the_background;
use crate::restored::Backup;

/// How a dump in the custom format begins.
const MAGIC: &[u8; 5] = b"PGDMP";

/// Writes a backup.
pub(crate) async fn backup(address: &Address, to: PathBuf, now: Timestamp) -> Result<Backup, StoreError> {
    in_the_background(|| check(&[Program::Dump, Program::Restore])).await?;
    let (version, schema) = database(address).await?;
    let programs = Programs::of(address);
    in_the_background(move || archive::written(&to, |partial| write(&programs, partial, (version, &schema), now))).await
}

/// The version and the schema of a database that holds something of ours.
async fn database(address: &Address) -> Result<(i64, String), StoreError> {
    let session = Session::connect(address).await.map_err(Fault::not_written)?;
    let found = migrate::found(&session).await.map_err(Fault::not_written)?;
    let Some(version) = found else {
        return Err(StoreError::Unusable("there is nothing of this service in the database".to_owned()));
    };
    drop(lacking(&MIGRATIONS, version)?);
    let sql = "SELECT quote_ident(current_schema()) AS schema";
    let rows = session.query(sql, &[]).await.map_err(Fault::not_written)?;
    Ok((version, one(&rows, "schema")?))
}

fn write(programs: &Programs, partial: &Path, (schema_version, schema): (i64, &str), taken_at: Timestamp) -> Result<Backup, StoreError> {
    let mut command = programs.command(Program::Dump);
    command.args(["--format=custom", "--no-password", "--no-owner", "--no-privileges", "--file"]);
    command.arg(partial);
    for name in own(&["TABLE", "VIEW", "SEQUENCE"]) {
        command.arg(["--table=", schema, ".", name].concat());
    }
    output(&mut command, Program::Dump)?;
    failpoint::pass("backup.copied");
    contents(programs, partial)?;
    let found = read_through(programs, partial, |_| Ok(()))?;
    Ok(Backup {
        taken_at,
        schema_version,
        messages: found.messages,
        rows: found.rows,
        bytes: archive::length(partial)?,
    })
}

/// The names of what the schema's versions make of some kinds, the list of versions among them.
pub(super) fn own<'a>(kinds: &'a [&str]) -> impl Iterator<Item = &'static str> + 'a {
    let made = MIGRATIONS.iter().flat_map(|migration| migration.sql.lines()).filter_map(|line| {
        let (kind, rest) = line.strip_prefix("CREATE ")?.split_once(' ')?;
        kinds.contains(&kind).then(|| rest.split([' ', '(', ';']).next()).flatten()
    });
    made.chain(kinds.contains(&"TABLE").then_some("schema_migrations"))
}

/// Checks that a dump is one of a database of ours, by its table of contents.
pub(super) fn contents(programs: &Programs, dump: &Path) -> Result<(), StoreError> {
    let unusable = |why: &str| Err(StoreError::Unusable(format!("{} {why}", dump.display())));
    let mut head = [0; MAGIC.len()];
    let read = std::fs::File::open(dump).and_then(|mut file| file.read_exact(&mut head));
    if read.is_err() || head != *MAGIC {
        return unusable("is no dump in PostgreSQL's custom format, as `ums backup` and `pg_dump --format=custom` write it");
    }
    let list = output(
        programs.command(Program::Restore).args(["--list", "--"]).arg(dump),
        Program::Restore,
    )?;
    let has = |table: &str| {
        list.lines().any(|line| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "TABLE");
            words.nth(1) == Some("DATA") && words.nth(1) == Some(table)
        })
    };
    if has("messages") && has("schema_migrations") {
        return Ok(());
    }
    unusable("holds no database of this service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_versions_make_is_known_by_name() {
        let tables: Vec<_> = own(&["TABLE"]).collect();
        for name in ["messages", "owners", "undos", "list_opt_outs", "schema_migrations"] {
            assert!(tables.contains(&name), "{name} in {tables:?}");
        }
        assert_eq!(own(&["VIEW"]).collect::<Vec<_>>(), ["suppression_list"]);
        assert_eq!(own(&["SEQUENCE"]).collect::<Vec<_>>(), ["event_numbers", "breaker_versions"]);
    }
}
