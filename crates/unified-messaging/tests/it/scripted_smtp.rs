//! An SMTP server that answers each recipient from a script, goes away where it is told to, and keeps its own record.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What the server answers to one RCPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Take,
    /// 451: greylisted.
    ForNow,
    /// 550: no such user.
    ForGood,
    /// These words.
    Says(&'static str),
}

/// What the server answers to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    Later,
    /// These words.
    Says(&'static str),
}

/// Where the server goes away. Bytes and bodies count from the first MAIL, or from the cut before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// When that many bytes of replies were said.
    Said(usize),
    /// When that many bytes were read; the line that they end in is not obeyed any more.
    Read(usize),
    /// When that many bodies and their dots were read and taken, without an answer to the last.
    Bodies(usize),
}

/// What the server does. Where the script ends it says yes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// The answers for each recipient, one for each RCPT.
    pub(crate) answers: BTreeMap<String, VecDeque<Answer>>,
    /// Recipients taken in a transaction; each further one gets 452 4.5.3. None for no limit.
    pub(crate) limit: Option<usize>,
    /// The answers to the bodies.
    pub(crate) bodies: VecDeque<Verdict>,
    /// Where it goes away, one after the other.
    pub(crate) cuts: VecDeque<Cut>,
    pub(crate) pipelining: bool,
}

/// What the server knows of one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// Number of the connection, from 1.
    pub(crate) connection: usize,
    /// The recipients that it was asked to take, in order.
    pub(crate) asked: Vec<String>,
    /// The recipients that it took.
    pub(crate) accepted: Vec<String>,
    /// The recipients that it refused, with the code.
    pub(crate) refused: BTreeMap<String, &'static str>,
    /// Whether it has the message for those whom it took.
    pub(crate) has_body: bool,
    /// Whether its yes to the body was said to the end.
    pub(crate) confirmed: bool,
}

impl Transaction {
    /// Whether the server has the message for that recipient.
    pub(crate) fn has(&self, address: &str) -> bool {
        self.has_body && self.accepted.iter().any(|taken| taken == address)
    }
}

/// What the server knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) connections: usize,
    pub(crate) transactions: Vec<Transaction>,
}

#[derive(Debug)]
struct State {
    script: Script,
    known: Known,
    said: usize,
    read: usize,
    bodies: usize,
}

impl State {
    /// The cut that is reached, if one is: it is used up, and the counts begin anew.
    fn is_cut(&mut self, reached: impl Fn(&Self, Cut) -> bool) -> bool {
        let is_cut = self.script.cuts.front().is_some_and(|cut| reached(self, *cut));
        if is_cut {
            self.script.cuts.pop_front();
            (self.said, self.read, self.bodies) = (0, 0, 0);
        }
        is_cut
    }

    fn transaction(&mut self) -> &mut Transaction {
        self.known.transactions.last_mut().unwrap()
    }

    fn answer(&mut self, address: &str) -> &'static str {
        let taken = self.transaction().accepted.len();
        let is_full = self.script.limit.is_some_and(|limit| taken >= limit);
        let answers = self.script.answers.get_mut(address);
        let answer = answers
            .as_ref()
            .and_then(|answers| answers.front().copied())
            .unwrap_or(Answer::Take);
        // Who finds the transaction full is answered in the next one.
        if let Some(answers) = answers.filter(|_| answer != Answer::Take || !is_full) {
            answers.pop_front();
        }
        let reply = match answer {
            Answer::ForNow => "451 4.7.1 greylisted",
            Answer::ForGood => "550 5.1.1 no such user",
            Answer::Says(words) => words,
            Answer::Take if is_full => "452 4.5.3 too many recipients",
            Answer::Take => "250 2.1.5 Ok",
        };
        let transaction = self.transaction();
        transaction.asked.push(address.to_owned());
        if reply.starts_with("250") {
            transaction.accepted.push(address.to_owned());
        } else {
            transaction.refused.insert(address.to_owned(), &reply[..9]);
        }
        reply
    }
}

/// The server. It stops listening when dropped.
#[derive(Debug)]
pub(crate) struct ScriptedSmtp {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: AbortHandle,
}

impl ScriptedSmtp {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            script,
            known: Known::default(),
            said: 0,
            read: 0,
            bodies: 0,
        }));
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            for number in 1.. {
                let Ok((tcp, _)) = listener.accept().await else { return };
                shared.lock().unwrap().known.connections = number;
                let talk = Talk {
                    state: Arc::clone(&shared),
                    stream: BufReader::new(tcp),
                    number,
                    counting: false,
                };
                // Gone means gone: the client left, or a cut was reached.
                tokio::spawn(async move { drop(talk.run().await) });
            }
        });
        Self {
            address,
            state,
            accepting: accepting.abort_handle(),
        }
    }

    pub(crate) fn known(&self) -> Known {
        self.state.lock().unwrap().known.clone()
    }
}

impl Drop for ScriptedSmtp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

const TAKEN: &str = "250 2.0.0 Ok: queued";

/// The connection is over.
struct Gone;

struct Talk {
    state: Arc<Mutex<State>>,
    stream: BufReader<TcpStream>,
    number: usize,
    /// Whether the first MAIL came: cuts count from there.
    counting: bool,
}

impl Talk {
    async fn run(mut self) -> Result<(), Gone> {
        self.say("220 mx.example ESMTP").await?;
        let mut is_open = false;
        loop {
            let line = self.line().await?;
            match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => {
                    let is_pipelining = self.state.lock().unwrap().script.pipelining;
                    let offer = if is_pipelining { "250-PIPELINING\r\n" } else { "" };
                    self.say(&format!("250-mx.example\r\n{offer}250 AUTH PLAIN LOGIN")).await?;
                }
                "AUTH" => self.say("235 2.7.0 Accepted").await?,
                "MAIL" => {
                    is_open = true;
                    let connection = self.number;
                    let transaction = Transaction {
                        connection,
                        ..Transaction::default()
                    };
                    self.state.lock().unwrap().known.transactions.push(transaction);
                    self.say("250 2.1.0 Ok").await?;
                }
                "RCPT" | "DATA" if !is_open => self.say("503 5.5.1 Send MAIL first").await?,
                "RCPT" => {
                    let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    let reply = self.state.lock().unwrap().answer(&address);
                    self.say(reply).await?;
                }
                "DATA" if self.state.lock().unwrap().transaction().accepted.is_empty() => {
                    self.say("554 5.5.1 No valid recipients").await?;
                }
                "DATA" => {
                    is_open = false;
                    self.body().await?;
                }
                "QUIT" => return self.say("221 2.0.0 Bye").await,
                "RSET" => {
                    is_open = false;
                    self.say("250 2.0.0 Ok").await?;
                }
                _ => self.say("250 2.0.0 Ok").await?,
            }
        }
    }

    async fn body(&mut self) -> Result<(), Gone> {
        self.say("354 go ahead").await?;
        while self.line().await? != "." {}
        let verdict = {
            let mut state = self.state.lock().unwrap();
            let verdict = state.script.bodies.pop_front().unwrap_or(Verdict::Take);
            state.transaction().has_body = verdict == Verdict::Take;
            state.bodies += 1;
            if state.is_cut(|state, cut| matches!(cut, Cut::Bodies(most) if state.bodies >= most)) {
                return Err(Gone);
            }
            verdict
        };
        match verdict {
            Verdict::Later => self.say("451 4.3.0 later").await,
            Verdict::Says(words) => self.say(words).await,
            Verdict::Take => {
                // Noted before the client can act on it.
                self.state.lock().unwrap().transaction().confirmed = true;
                self.say(TAKEN).await
            }
        }
    }

    async fn line(&mut self) -> Result<String, Gone> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(read) if read > 0 => {}
            Ok(_) | Err(_) => return Err(Gone),
        }
        self.counting |= line.starts_with("MAIL");
        let mut state = self.state.lock().unwrap();
        state.read += if self.counting { line.len() } else { 0 };
        if self.counting && state.is_cut(|state, cut| matches!(cut, Cut::Read(most) if state.read >= most)) {
            return Err(Gone);
        }
        Ok(line.trim_end().to_owned())
    }

    /// Says a reply, as far as the cut lets it.
    async fn say(&mut self, reply: &str) -> Result<(), Gone> {
        let reply = format!("{reply}\r\n");
        let (fits, is_cut) = {
            let mut state = self.state.lock().unwrap();
            let room = match state.script.cuts.front() {
                Some(Cut::Said(most)) if self.counting => most.saturating_sub(state.said),
                Some(_) | None => usize::MAX,
            };
            let fits = reply.len().min(room);
            if fits < reply.len() && reply.starts_with(TAKEN) {
                state.transaction().confirmed = false;
            }
            state.said += if self.counting { fits } else { 0 };
            let is_cut = state.is_cut(|_, _| fits == room);
            (fits, is_cut)
        };
        self.stream.write_all(&reply.as_bytes()[..fits]).await.map_err(|_| Gone)?;
        if is_cut { Err(Gone) } else { Ok(()) }
    }
}
