//! The other ends: nginx with canned replies and smtp-sink, both on the core that no sender uses.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::prerequisites::debian;
use crate::process::{Background, free_port};
use crate::workspace::Workspace;

/// The prefix that keeps a sink on its core.
const ON_ITS_CORE: [&str; 3] = ["taskset", "-c", "1"];
const READY: Duration = Duration::from_secs(20);

/// One canned provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    Ses,
    Ses500,
    Ses503,
    Sns,
    SendGrid,
    Twilio,
    Smtp,
    /// Nobody listens.
    Refused,
    /// Connections stand and requests are taken, but nobody reads them.
    Hang,
}

/// A port that nobody listens on: tcpmux's, which only root could take.
const NOBODYS: u16 = 1;

/// What nginx answers for a provider: headers and `return`.
const REPLIES: &[(Sink, &str, &str)] = &[
    (
        Sink::Ses,
        "default_type application/json;",
        r#"return 200 '{"MessageId":"0100018f0a0b0c0d-00000000-0000-0000-0000-000000000000-000000"}';"#,
    ),
    (
        Sink::Ses500,
        "default_type application/json;",
        r#"return 500 '{"message":"internal error"}';"#,
    ),
    (
        Sink::Ses503,
        "default_type application/json;",
        r#"return 503 '{"message":"service unavailable"}';"#,
    ),
    (
        Sink::Sns,
        "default_type text/xml;",
        "return 200 '<PublishResponse><PublishResult>\
         <MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult>\
         <ResponseMetadata><RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId>\
         </ResponseMetadata></PublishResponse>';",
    ),
    (
        Sink::SendGrid,
        "add_header X-Message-Id 14c5d75ce93.dfd.64b469 always;",
        "return 202;",
    ),
    (
        Sink::Twilio,
        "default_type application/json;",
        r#"return 201 '{"sid":"SM00000000000000000000000000000000","status":"queued","num_segments":"1","error_code":null,"price":null}';"#,
    ),
];

/// The running sinks.
#[derive(Debug)]
pub(crate) struct Sinks {
    _processes: Vec<Background>,
    /// Never accepted from: the kernel takes connections and requests by itself.
    _silent: TcpListener,
    ports: Vec<(Sink, u16)>,
}

impl Sinks {
    pub(crate) fn start(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.scratch("bench/nginx")?;
        let logs = workspace.scratch("bench/logs")?;
        let mut ports = Vec::new();
        for (sink, _, _) in REPLIES {
            ports.push((*sink, free_port()?));
        }
        let config = folder.join("nginx.conf");
        std::fs::write(&config, nginx_config(&folder, &ports))?;
        let mut command = debian::nginx(workspace)?.command_under(&ON_ITS_CORE);
        command.arg("-e").arg(folder.join("error.log"));
        command.arg("-p").arg(&folder).arg("-c").arg(&config);
        let mut nginx = Background::start("nginx", &command, &logs)?;
        for (_, port) in &ports {
            nginx.wait_for_port(*port, READY)?;
        }

        let port = free_port()?;
        let mut command = debian::smtp_sink(workspace)?.command_under(&ON_ITS_CORE);
        add_sink_words(&mut command, port);
        let mut smtp = Background::start("smtp-sink", &command, &logs)?;
        smtp.wait_for_port(port, READY)?;
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        ports.extend([
            (Sink::Smtp, port),
            (Sink::Refused, NOBODYS),
            (Sink::Hang, silent.local_addr()?.port()),
        ]);
        Ok(Self {
            _processes: vec![nginx, smtp],
            _silent: silent,
            ports,
        })
    }

    /// What a sender is told: a URL, or for SMTP `127.0.0.1:<port>`.
    pub(crate) fn url(&self, sink: Sink) -> String {
        let address = self.address(sink);
        match sink {
            Sink::Smtp => address,
            Sink::Ses | Sink::Ses500 | Sink::Ses503 | Sink::Sns | Sink::SendGrid | Sink::Twilio | Sink::Refused | Sink::Hang => {
                format!("http://{address}")
            }
        }
    }

    /// `127.0.0.1:<port>` of a provider.
    pub(crate) fn address(&self, sink: Sink) -> String {
        let port = self.ports.iter().find(|(found, _)| *found == sink);
        format!("127.0.0.1:{}", port.map_or(0, |(_, port)| *port))
    }
}

fn add_sink_words(command: &mut Command, port: u16) {
    let address = format!("127.0.0.1:{port}");
    command.args(debian::user_words()).args([&address, "256"]);
}

/// One process without logs; connections are kept for ever, so that no sender pays for new ones.
fn nginx_config(folder: &Path, ports: &[(Sink, u16)]) -> String {
    let folder = folder.display();
    let mut config = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
         error_log {folder}/error.log warn;\nevents {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  server_tokens off;\n  tcp_nodelay on;\n  \
         keepalive_timeout 3600s;\n  keepalive_requests 1000000000;\n  \
         client_max_body_size 0;\n  client_body_buffer_size 64k;\n"
    );
    for place in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        // Writing to a text cannot fail.
        let _written = writeln!(config, "  {place}_temp_path {folder}/{place};");
    }
    for (sink, headers, reply) in REPLIES {
        let Some((_, port)) = ports.iter().find(|(found, _)| found == sink) else {
            continue;
        };
        let _written = writeln!(
            config,
            "  server {{\n    listen 127.0.0.1:{port};\n    location / {{ {headers} {reply} }}\n  }}"
        );
    }
    config.push_str("}\n");
    config
}
