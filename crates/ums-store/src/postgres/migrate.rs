//! The schema's versions: embedded, applied at the start, forward only.

use ums_core::{StoreError, Timestamp, failpoint};

use super::address::Address;
use super::connection::{Fault, Session};
use super::door;
use super::row::one;
use crate::migration::{Migration, lacking};

/// Every version of the schema in order.
pub(crate) const MIGRATIONS: [Migration; 10] = [
    Migration {
        version: 1,
        name: "messages",
        sql: include_str!("../../migrations/postgres/0001_messages.sql"),
    },
    Migration {
        version: 2,
        name: "attempt facts",
        sql: include_str!("../../migrations/postgres/0002_attempt_facts.sql"),
    },
    Migration {
        version: 3,
        name: "old attempts",
        sql: include_str!("../../migrations/postgres/0003_old_attempts.sql"),
    },
    Migration {
        version: 4,
        name: "settled attempts",
        sql: include_str!("../../migrations/postgres/0004_settled_attempts.sql"),
    },
    Migration {
        version: 5,
        name: "provider switches",
        sql: include_str!("../../migrations/postgres/0005_provider_switches.sql"),
    },
    Migration {
        version: 6,
        name: "undos",
        sql: include_str!("../../migrations/postgres/0006_undos.sql"),
    },
    Migration {
        version: 7,
        name: "opt outs",
        sql: include_str!("../../migrations/postgres/0007_opt_outs.sql"),
    },
    Migration {
        version: 8,
        name: "kept time",
        sql: include_str!("../../migrations/postgres/0008_kept_time.sql"),
    },
    Migration {
        version: 9,
        name: "identity",
        sql: include_str!("../../migrations/postgres/0009_identity.sql"),
    },
    Migration {
        version: 10,
        name: "envelopes",
        sql: include_str!("../../migrations/postgres/0010_envelopes.sql"),
    },
];

/// Brings the database to this program's schema. Processes that start together wait for each other.
pub(crate) async fn migrate(address: &Address, now: Timestamp) -> Result<Vec<Migration>, StoreError> {
    let session = Session::connect(address).await.map_err(Fault::not_written)?;
    door::check(&session, address).await.map_err(Fault::not_written)?;
    let mut applied = Vec::new();
    loop {
        // One transaction for each version, so that an index that takes long holds no earlier lock.
        let migration = next(&session, now).await.map_err(Fault::at_commit)?;
        let Some(migration) = migration else {
            door::check_rights(&session, &MIGRATIONS).await.map_err(Fault::not_written)?;
            return Ok(applied);
        };
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "the database's schema was brought forward"
        );
        applied.push(migration);
    }
}

/// What would be applied to the database, which is only read.
pub(crate) async fn pending(address: &Address) -> Result<Vec<Migration>, StoreError> {
    let session = Session::connect(address).await.map_err(Fault::not_written)?;
    let found = found(&session).await.map_err(Fault::not_written)?;
    Ok(lacking(&MIGRATIONS, found.unwrap_or(0))?.collect())
}

async fn next(session: &Session, now: Timestamp) -> Result<Option<Migration>, Fault> {
    // Who has nothing to do waits for nobody.
    if lacking(&MIGRATIONS, found(session).await?.unwrap_or(0))?.next().is_none() {
        return Ok(None);
    }
    // A number of our own, and the schema's, since another schema of the database may hold another service.
    session
        .run("BEGIN; SELECT pg_advisory_xact_lock(7893521, hashtext(current_schema()))")
        .await?;
    let found = found(session).await?;
    if found.is_none() {
        session
            .run("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL)")
            .await?;
    }
    let Some(migration) = lacking(&MIGRATIONS, found.unwrap_or(0))?.next() else {
        session.run("COMMIT").await?;
        return Ok(None);
    };
    let Migration { version, name, sql } = migration;
    session.run(sql).await?;
    session
        .execute(
            "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3)",
            &[&version, &name, &now.as_micros()],
        )
        .await?;
    failpoint::pass("migrate.applied");
    session.run("COMMIT").await?;
    Ok(Some(migration))
}

/// The version that the database has; none when there is nothing of ours.
pub(super) async fn found(session: &Session) -> Result<Option<i64>, Fault> {
    let rows = session
        .query(
            "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_migrations') AS listed,
               EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema()
                 AND table_name = 'schema_migrations' AND column_name = 'applied_at') AS ours,
               EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('owners', 'messages', 'contents',
                 'recipients', 'attempts', 'skips', 'acts', 'idempotency', 'breakers', 'probes', 'pace', 'pace_days')) AS named_alike,
               current_schema() IS NULL AS nowhere",
            &[],
        )
        .await?;
    let (listed, ours): (bool, bool) = (one(&rows, "listed")?, one(&rows, "ours")?);
    if one(&rows, "nowhere")? {
        let text = "the PostgreSQL user has no schema to work in; check its search_path";
        return Err(StoreError::Unusable(text.to_owned()).into());
    }
    if listed != ours || (!listed && one(&rows, "named_alike")?) {
        let text = "the database holds tables of another program; name another database, or a schema of its own by the user's search_path";
        return Err(StoreError::Unusable(text.to_owned()).into());
    }
    if !listed {
        return Ok(None);
    }
    let newest = session
        .query("SELECT coalesce(max(version), 0) AS version FROM schema_migrations", &[])
        .await?;
    Ok(Some(one(&newest, "version")?))
}
