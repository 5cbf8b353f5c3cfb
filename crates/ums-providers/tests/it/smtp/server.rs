//! A server that follows a script: what it says at each stage, and when it goes away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use ums_providers::send::smtp::Stage;

/// What it does where it would else say yes.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Says this instead; with `{long}` replaced by a megabyte.
    Say(String),
    /// Closes the connection.
    Close,
    /// Says this and closes.
    SayAndClose(String),
    /// Says nothing any more and keeps the connection.
    Hang,
    /// After 354: takes that many bytes of the body and resets the connection.
    ResetAfter(usize),
}

/// A server's behaviour.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) banner: String,
    pub(crate) offers: Vec<&'static str>,
    pub(crate) acts: Vec<(Stage, Act)>,
    /// Recipients that contain the text get the reply.
    pub(crate) refused: Vec<(&'static str, &'static str)>,
    /// Recipients taken in a transaction, and the reply to each further one.
    pub(crate) limit: (usize, &'static str),
    /// Takes DATA although every recipient was refused.
    pub(crate) data_anyway: bool,
    /// Closes a connection after that many messages, without a word.
    pub(crate) messages_per_connection: usize,
    /// What it does from the second message of a connection on.
    pub(crate) later: Vec<(Stage, Act)>,
    /// What it says to RSET.
    pub(crate) reset: &'static str,
    /// Commands that contain the text get the reply: MAIL, RCPT and AUTH.
    pub(crate) refused_words: Vec<(&'static str, &'static str)>,
    /// Host of the certificate; in clear without.
    pub(crate) tls: Option<TlsMode>,
    /// Adds this behind its reply to STARTTLS, in clear.
    pub(crate) injection: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Starttls(&'static str),
    Implicit(&'static str),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            banner: "220 mx.example ESMTP".to_owned(),
            offers: vec!["PIPELINING", "8BITMIME", "SIZE 26214400", "AUTH LOGIN PLAIN", "DSN"],
            acts: Vec::new(),
            refused: Vec::new(),
            limit: (usize::MAX, ""),
            data_anyway: false,
            messages_per_connection: usize::MAX,
            later: Vec::new(),
            reset: "250 2.0.0 Ok",
            refused_words: Vec::new(),
            tls: None,
            injection: "",
        }
    }
}

impl Script {
    /// Does this at a stage.
    pub(crate) fn at(mut self, stage: Stage, act: Act) -> Self {
        self.acts.push((stage, act));
        self
    }

    pub(crate) fn says(self, stage: Stage, reply: &str) -> Self {
        self.at(stage, Act::Say(reply.to_owned()))
    }

    /// Does this at a stage of a connection that is used again.
    pub(crate) fn later(mut self, stage: Stage, act: Act) -> Self {
        self.later.push((stage, act));
        self
    }

    /// Refuses a mechanism or a parameter, whatever it announces.
    pub(crate) fn refusing(mut self, words: &'static str, reply: &'static str) -> Self {
        self.refused_words.push((words, reply));
        self
    }

    pub(crate) fn without(mut self, offer: &str) -> Self {
        self.offers.retain(|line| !line.starts_with(offer));
        self
    }

    pub(crate) fn offering(mut self, offer: &'static str) -> Self {
        self.offers.push(offer);
        self
    }
}

/// What a server saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) commands: Vec<String>,
    /// Bodies as they were on the wire, with stuffed dots, without the final one.
    pub(crate) bodies: Vec<Vec<u8>>,
    /// How often commands arrived together in one piece.
    pub(crate) most_commands_at_once: usize,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                let host = Host {
                    script: script.clone(),
                    seen: Arc::clone(&shared),
                    messages: AtomicUsize::new(0),
                };
                tokio::spawn(host.serve(tcp));
            }
        });
        Self { port, seen }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        self.seen.lock().unwrap().commands.clone()
    }

    pub(crate) fn most_commands_at_once(&self) -> usize {
        self.seen.lock().unwrap().most_commands_at_once
    }

    /// The only body that came, as it was on the wire.
    pub(crate) fn body(&self) -> Vec<u8> {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.bodies.len(), 1, "bodies");
        seen.bodies[0].clone()
    }

    pub(crate) fn bodies(&self) -> usize {
        self.seen.lock().unwrap().bodies.len()
    }
}

struct Host {
    script: Script,
    seen: Arc<Mutex<Seen>>,
    /// Messages taken on this connection.
    messages: AtomicUsize,
}

/// Whether the dialogue goes on.
enum Next {
    Go,
    End,
}

type Stream<S> = BufReader<S>;

impl Host {
    async fn serve(self, tcp: TcpStream) {
        let acceptor = |host: &str| TlsAcceptor::from(Arc::new(super::server_tls(host)));
        match self.script.tls {
            Some(TlsMode::Implicit(host)) => {
                if let Ok(tls) = acceptor(host).accept(tcp).await {
                    self.talk(BufReader::new(tls), true).await;
                }
            }
            Some(TlsMode::Starttls(host)) => {
                let mut stream = BufReader::new(tcp);
                if self.until_starttls(&mut stream).await
                    && let Ok(tls) = acceptor(host).accept(stream.into_inner()).await
                {
                    self.talk(BufReader::new(tls), false).await;
                }
            }
            None => self.talk(BufReader::new(tcp), true).await,
        }
    }

    async fn until_starttls(&self, stream: &mut Stream<TcpStream>) -> bool {
        say(stream, &self.script.banner).await;
        loop {
            let Some(line) = self.command(stream).await else { return false };
            if line.starts_with("EHLO") {
                say(stream, "250-mx.example\r\n250 STARTTLS").await;
            } else if line == "STARTTLS" {
                return match self.act(stream, Stage::Starttls, "220 go ahead").await {
                    Next::Go => self.script.acts.iter().all(|(stage, _)| *stage != Stage::Starttls),
                    Next::End => false,
                };
            } else {
                say(stream, "530 5.7.0 Must issue a STARTTLS command first").await;
            }
        }
    }

    async fn command<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut Stream<S>) -> Option<String> {
        let mut line = String::new();
        if stream.fill_buf().await.ok()?.is_empty() {
            return None;
        }
        let together = stream.buffer().split(|byte| *byte == b'\n').count() - 1;
        stream.read_line(&mut line).await.ok()?;
        let line = line.trim_end().to_owned();
        let mut seen = self.seen.lock().unwrap();
        seen.most_commands_at_once = seen.most_commands_at_once.max(together);
        seen.commands.push(line.clone());
        Some(line)
    }

    fn act_at(&self, stage: Stage) -> Option<&Act> {
        let later: &[_] = if self.messages.load(Ordering::Relaxed) > 0 {
            &self.script.later
        } else {
            &[]
        };
        let found = later.iter().chain(&self.script.acts).find(|(at, _)| *at == stage);
        found.map(|(_, act)| act)
    }

    /// Says yes, or what the script says instead.
    async fn act<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut Stream<S>, stage: Stage, yes: &str) -> Next {
        match self.act_at(stage).cloned() {
            None | Some(Act::ResetAfter(_)) => {
                let injection = if stage == Stage::Starttls { self.script.injection } else { "" };
                say_raw(stream, &format!("{yes}\r\n{injection}")).await;
                Next::Go
            }
            Some(Act::Say(reply)) => {
                say(stream, &reply.replace("{long}", &"x".repeat(1 << 20))).await;
                Next::Go
            }
            Some(Act::SayAndClose(reply)) => {
                say(stream, &reply).await;
                Next::End
            }
            Some(Act::Close) => Next::End,
            Some(Act::Hang) => {
                std::future::pending::<()>().await;
                Next::End
            }
        }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: Stream<S>, greet: bool) {
        if greet {
            let banner = self.script.banner.clone();
            if let Next::End = self.act(&mut stream, Stage::Connect, &banner).await {
                return;
            }
        }
        let mut accepted = 0;
        while let Some(line) = self.command(&mut stream).await {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_owned();
            if let Some((_, reply)) = self.script.refused_words.iter().find(|(text, _)| line.contains(text)) {
                say(&mut stream, reply).await;
                continue;
            }
            let next = match verb.as_str() {
                "EHLO" => {
                    let mut reply = String::from("250-mx.example at your service\r\n");
                    for offer in &self.script.offers {
                        reply.extend(["250-", *offer, "\r\n"]);
                    }
                    self.act(&mut stream, Stage::Ehlo, &format!("{reply}250 HELP")).await
                }
                "AUTH" if line == "AUTH LOGIN" => {
                    say(&mut stream, "334 VXNlcm5hbWU6").await;
                    self.command(&mut stream).await;
                    say(&mut stream, "334 UGFzc3dvcmQ6").await;
                    self.command(&mut stream).await;
                    self.act(&mut stream, Stage::Auth, "235 2.7.0 Accepted").await
                }
                "AUTH" => self.act(&mut stream, Stage::Auth, "235 2.7.0 Accepted").await,
                "MAIL" => {
                    accepted = 0;
                    self.act(&mut stream, Stage::Mail, "250 2.1.0 Ok").await
                }
                "RCPT" => {
                    if let Some((_, reply)) = self.script.refused.iter().find(|(text, _)| line.contains(text)) {
                        say(&mut stream, reply).await;
                        Next::Go
                    } else if accepted >= self.script.limit.0 {
                        say(&mut stream, self.script.limit.1).await;
                        Next::Go
                    } else {
                        accepted += 1;
                        self.act(&mut stream, Stage::Rcpt, "250 2.1.5 Ok").await
                    }
                }
                "DATA" if accepted == 0 && !self.script.data_anyway => {
                    say(&mut stream, "554 5.5.1 Error: no valid recipients").await;
                    Next::Go
                }
                "DATA" => match self.act(&mut stream, Stage::Data, "354 End data with <CR><LF>.<CR><LF>").await {
                    Next::Go if self.refuses_data() => Next::Go,
                    Next::Go => {
                        let end = self.body(&mut stream).await;
                        self.messages.fetch_add(1, Ordering::Relaxed);
                        end
                    }
                    Next::End => Next::End,
                },
                "RSET" | "NOOP" => {
                    let reply = if verb == "RSET" { self.script.reset } else { "250 2.0.0 Ok" };
                    say(&mut stream, reply).await;
                    Next::Go
                }
                _ => {
                    say(&mut stream, "502 5.5.2 Error: command not recognized").await;
                    Next::Go
                }
            };
            if matches!(next, Next::End) || self.messages.load(Ordering::Relaxed) >= self.script.messages_per_connection {
                return;
            }
        }
    }

    fn refuses_data(&self) -> bool {
        matches!(self.act_at(Stage::Data), Some(Act::Say(_) | Act::SayAndClose(_)))
    }

    async fn body<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut Stream<S>) -> Next {
        let limit = self
            .script
            .acts
            .iter()
            .find_map(|(_, act)| if let Act::ResetAfter(bytes) = act { Some(*bytes) } else { None });
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n.\r\n") && body != b".\r\n" {
            let mut piece = vec![0; limit.map_or(64 * 1024, |limit| limit.saturating_sub(body.len()).clamp(1, 64 * 1024))];
            let read = if limit.is_none() {
                stream.read_until(b'\n', &mut body).await
            } else {
                stream.read(&mut piece).await
            };
            match read {
                Ok(0) | Err(_) => return Next::End,
                Ok(read) if limit.is_some() => body.extend_from_slice(&piece[..read]),
                Ok(_) => {}
            }
            if limit.is_some_and(|limit| body.len() >= limit) {
                return Next::End;
            }
        }
        body.truncate(body.len() - 3);
        self.seen.lock().unwrap().bodies.push(body);
        self.act(stream, Stage::Dot, "250 2.0.0 Ok: queued as 4XyZ").await
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut Stream<S>, reply: &str) {
    say_raw(stream, &format!("{reply}\r\n")).await;
}

/// Somebody who has gone away does not hear it.
async fn say_raw<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut Stream<S>, reply: &str) {
    if stream.write_all(reply.as_bytes()).await.is_ok() {
        drop(stream.flush().await);
    }
}
