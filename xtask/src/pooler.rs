//! PgBouncer on the loopback, before a scratch PostgreSQL: one database name for each of its pool modes.

use std::time::Duration;

use anyhow::Result;

use crate::postgres::Cluster;
use crate::prerequisites::debian;
use crate::process::{Background, free_port};
use crate::workspace::Workspace;

/// Time that it has to listen.
const READY: Duration = Duration::from_secs(20);

/// A pooler; it is ended when dropped.
#[derive(Debug)]
pub(crate) struct Pooler {
    port: u16,
    _running: Background,
}

impl Pooler {
    /// Starts it before a database of the cluster. Like the database, it refuses to be root's.
    pub(crate) fn start(workspace: &Workspace, cluster: &Cluster, database: &str) -> Result<Self> {
        let program = debian::pgbouncer(workspace)?;
        let port = free_port()?;
        let (server, user, password) = cluster.way_in();
        let of_mode = |mode: &str| {
            format!("{mode} = host=127.0.0.1 port={server} dbname={database} user={user} password={password} pool_mode={mode}\n")
        };
        let databases: String = ["session", "transaction", "statement"].map(of_mode).concat();
        // Whoever reaches the loopback port is let in as the user above (`auth_type = any`); the cluster is scratch.
        let settings = format!(
            "[databases]\n{databases}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             max_client_conn = 200\n"
        );
        let file = cluster.folder().join("pgbouncer.ini");
        std::fs::write(&file, settings)?;
        cluster.give(&file, 0o600)?;
        let mut command = cluster.under_its_account(&program);
        command.arg(&file);
        let mut running = Background::start("pgbouncer", &command, cluster.folder())?;
        running.wait_for_port(port, READY)?;
        Ok(Self { port, _running: running })
    }

    /// Where clients find the database by a pool mode.
    pub(crate) fn url(&self, mode: &str) -> String {
        format!("postgres://ums:ums@127.0.0.1:{}/{mode}", self.port)
    }
}
