//! The adapter's report is what the server knows: random envelopes, random answers, the connection cut at every place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use ums_core::{Accepted, Email, Failure, FailureClass as C, Provider, Refusal};

use super::{call, settings, smtp, to};

/// What the server makes of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Take,
    ForNow,
    ForGood,
}

/// What the server makes of MAIL, DATA or the final dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    Later,
    Never,
}

impl Verdict {
    fn reply(self, yes: &'static str) -> &'static str {
        match self {
            Self::Yes => yes,
            Self::Later => "451 4.3.0 later",
            Self::Never => "554 5.6.0 never",
        }
    }
}

/// Where the server goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    /// When that many bytes were said since the first MAIL.
    AfterBytes(usize),
    /// When that many commands were read since the first MAIL (the body and its dot count as one), without an answer to the last.
    AfterCommands(usize),
}

#[derive(Clone, Debug)]
struct Plan {
    pipelining: bool,
    answers: Vec<Answer>,
    /// Recipients taken in a transaction; then 452 4.5.3.
    limit: usize,
    mail: Verdict,
    data: Verdict,
    dot: Verdict,
}

impl Plan {
    fn addresses(&self) -> Vec<String> {
        (0..self.answers.len()).map(|index| format!("r{index}@example.com")).collect()
    }

    fn answer_to(&self, address: &str) -> Answer {
        self.addresses()
            .iter()
            .position(|known| known == address)
            .map_or(Answer::ForGood, |index| self.answers[index])
    }
}

/// What the server knows in the end.
#[derive(Clone, Debug, Default)]
struct Known {
    connections: usize,
    /// Recipients whose message the server took, as often as it took it.
    taken: Vec<String>,
    /// The code of each refusal of the last transaction.
    refused: BTreeMap<String, &'static str>,
    /// Whether the client was told to send the body.
    asked_for_body: bool,
    /// Whether the body and its dot arrived.
    read_dot: bool,
    said: usize,
    commands: usize,
}

struct Host {
    port: u16,
    known: Arc<Mutex<Known>>,
    /// Serves one connection at a time.
    task: JoinHandle<()>,
}

impl Host {
    async fn start(plan: &Plan, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let known = Arc::new(Mutex::new(Known::default()));
        let (plan, shared) = (plan.clone(), Arc::clone(&known));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                let talk = Talk {
                    plan: &plan,
                    cut,
                    known: &shared,
                    stream: BufReader::new(tcp),
                    counting: false,
                };
                // Gone means gone: the client left, or the cut was reached.
                drop(talk.run().await);
            }
        });
        Self { port, known, task }
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const ASK_FOR_BODY: &str = "354 go ahead";

/// The connection is over.
struct Gone;

struct Talk<'a> {
    plan: &'a Plan,
    cut: Cut,
    known: &'a Mutex<Known>,
    stream: BufReader<TcpStream>,
    /// Whether the first MAIL came: bytes and commands count from there.
    counting: bool,
}

impl Talk<'_> {
    async fn run(mut self) -> Result<(), Gone> {
        self.say("220 mx.example ESMTP").await?;
        let mut taken = Vec::new();
        let mut sender = false;
        loop {
            let line = self.line().await?;
            self.counting |= line.starts_with("MAIL");
            self.count_command()?;
            match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" if self.plan.pipelining => self.say("250-mx.example\r\n250 PIPELINING").await?,
                "EHLO" => self.say("250 mx.example").await?,
                "MAIL" => {
                    taken.clear();
                    self.known.lock().unwrap().refused.clear();
                    sender = self.plan.mail == Verdict::Yes;
                    self.say(self.plan.mail.reply("250 2.1.0 Ok")).await?;
                }
                "RCPT" if !sender => self.say("503 5.5.1 Send MAIL first").await?,
                "RCPT" => {
                    let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    let reply = self.answer(&address, &mut taken);
                    self.say(reply).await?;
                }
                "DATA" if taken.is_empty() => self.say("554 5.5.1 No valid recipients").await?,
                "DATA" if self.plan.data != Verdict::Yes => self.say(self.plan.data.reply("")).await?,
                "DATA" => self.body(&mut taken).await?,
                _ => self.say("250 2.0.0 Ok").await?,
            }
        }
    }

    fn answer(&self, address: &str, taken: &mut Vec<String>) -> &'static str {
        let reply = match self.plan.answer_to(address) {
            Answer::ForNow => "451 4.7.1 greylisted",
            Answer::ForGood => "550 5.1.1 no such user",
            Answer::Take if taken.len() >= self.plan.limit => "452 4.5.3 too many recipients",
            Answer::Take => {
                taken.push(address.to_owned());
                return "250 2.1.5 Ok";
            }
        };
        self.known.lock().unwrap().refused.insert(address.to_owned(), &reply[..9]);
        reply
    }

    async fn body(&mut self, taken: &mut Vec<String>) -> Result<(), Gone> {
        self.say(ASK_FOR_BODY).await?;
        while self.line().await? != "." {}
        {
            let mut known = self.known.lock().unwrap();
            known.read_dot = true;
            if self.plan.dot == Verdict::Yes {
                known.taken.append(taken);
            }
        }
        taken.clear();
        self.count_command()?;
        self.say(self.plan.dot.reply("250 2.0.0 Ok: queued")).await
    }

    async fn line(&mut self) -> Result<String, Gone> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(read) if read > 0 => Ok(line.trim_end().to_owned()),
            Ok(_) | Err(_) => Err(Gone),
        }
    }

    fn count_command(&self) -> Result<(), Gone> {
        let mut known = self.known.lock().unwrap();
        known.commands += usize::from(self.counting);
        match self.cut {
            Cut::AfterCommands(most) if self.counting && known.commands >= most => Err(Gone),
            Cut::AfterCommands(_) | Cut::AfterBytes(_) | Cut::Never => Ok(()),
        }
    }

    async fn say(&mut self, reply: &str) -> Result<(), Gone> {
        let reply = format!("{reply}\r\n");
        let said = self.known.lock().unwrap().said;
        let room = match self.cut {
            Cut::AfterBytes(most) if self.counting => most - said,
            Cut::AfterBytes(_) | Cut::AfterCommands(_) | Cut::Never => usize::MAX,
        };
        let fits = reply.len().min(room);
        {
            let mut known = self.known.lock().unwrap();
            known.said += if self.counting { fits } else { 0 };
            known.asked_for_body |= fits == reply.len() && reply.starts_with(ASK_FOR_BODY);
        }
        self.stream.write_all(&reply.as_bytes()[..fits]).await.map_err(|_| Gone)?;
        if fits == room { Err(Gone) } else { Ok(()) }
    }
}

/// One call on a connection of its own, and what the server knows afterwards.
async fn one_call(plan: &Plan, cut: Cut) -> (Result<Accepted, Failure>, Known) {
    let host = Host::start(plan, cut).await;
    let mut settings = settings(host.port);
    settings.login = None;
    let outcome = smtp(settings).send(&email_to(&plan.addresses()), &call()).await;
    (outcome, host.known())
}

/// A small message: it is built for each call.
fn email_to(addresses: &[String]) -> Email {
    let mut email = to(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    email.html = None;
    email
}

fn codes(refusals: &[Refusal]) -> BTreeMap<String, &str> {
    refusals
        .iter()
        .map(|refusal| (refusal.address.expose().to_owned(), refusal.failure.code.as_str()))
        .collect()
}

/// The report against the server's knowledge.
fn check(plan: &Plan, outcome: &Result<Accepted, Failure>, known: &Known) {
    let all: BTreeSet<String> = plan.addresses().into_iter().collect();
    let taken: BTreeSet<String> = known.taken.iter().cloned().collect();
    assert_eq!(known.connections, 1, "a fresh connection is not tried again");
    match outcome {
        Ok(accepted) => {
            assert_eq!(codes(&accepted.refused), known.refused, "refused");
            let reported = all.iter().filter(|address| !known.refused.contains_key(*address));
            assert_eq!(reported.cloned().collect::<BTreeSet<_>>(), taken, "taken");
            for refusal in &accepted.refused {
                assert_eq!(refusal.next_transaction, refusal.failure.code == "452 4.5.3", "{refusal:?}");
            }
        }
        Err(failure) => check_failure(plan, failure, known),
    }
}

fn check_failure(plan: &Plan, failure: &Failure, known: &Known) {
    for (address, code) in codes(&failure.refusals) {
        assert_eq!(known.refused.get(&address), Some(&code), "{address} was not refused so");
    }
    assert!(failure.refusals.iter().all(|refusal| !refusal.next_transaction));
    let unknown = |address: &str| failure.of_recipient(address).class == C::Unknown;
    for address in &known.taken {
        assert!(unknown(address), "{address} has the message, and the report says that it does not");
    }
    if failure.class == C::Unknown {
        assert!(known.asked_for_body, "unknown without a body");
        for address in plan.addresses() {
            assert_eq!(unknown(&address), !known.refused.contains_key(&address), "{address}");
        }
    }
    if failure.refusals.len() == plan.answers.len() {
        let one_of_them = failure.refusals.iter().any(|refusal| refusal.failure == refusal_like(failure));
        assert!(one_of_them, "nobody is left, so that the failure is one of the refusals");
    }
    // Whatever follows the last RCPT takes nothing from what was said before it.
    if known.asked_for_body && plan.answers.len() > 1 {
        assert_eq!(codes(&failure.refusals), known.refused);
    }
}

/// The failure without its list.
fn refusal_like(failure: &Failure) -> Failure {
    failure.clone().with_refusals(Vec::new())
}

fn plans() -> impl Strategy<Value = Plan> {
    let answer = prop_oneof![4 => Just(Answer::Take), 2 => Just(Answer::ForNow), 1 => Just(Answer::ForGood)];
    let verdict = || prop_oneof![8 => Just(Verdict::Yes), 1 => Just(Verdict::Later), 1 => Just(Verdict::Never)];
    let answers = proptest::collection::vec(answer, 1..=5);
    let limit = prop_oneof![2 => Just(100_usize), 3 => 0..4_usize];
    (any::<bool>(), answers, limit, verdict(), verdict(), verdict()).prop_map(|(pipelining, answers, limit, mail, data, dot)| Plan {
        pipelining,
        answers,
        limit,
        mail,
        data,
        dot,
    })
}

/// Sends to those whom the server takes in its next transaction, as long as it says so.
async fn transactions(plan: &Plan) {
    let host = Host::start(plan, Cut::Never).await;
    let mut settings = settings(host.port);
    settings.login = None;
    let smtp = smtp(settings);
    let mut left = plan.addresses();
    let mut rounds = 0;
    while !left.is_empty() {
        rounds += 1;
        assert!(rounds <= plan.answers.len(), "each transaction takes at least one recipient");
        let Ok(accepted) = smtp.send(&email_to(&left), &call()).await else {
            break;
        };
        left = accepted
            .refused
            .iter()
            .filter(|refusal| refusal.next_transaction)
            .map(|refusal| refusal.address.expose().to_owned())
            .collect();
    }
    let known = host.known();
    assert_eq!(known.connections, 1, "one connection for all transactions");
    let taken: BTreeSet<_> = known.taken.iter().cloned().collect();
    assert_eq!(taken.len(), known.taken.len(), "somebody has it twice");
    let all_well = [plan.mail, plan.data, plan.dot] == [Verdict::Yes; 3] && plan.limit > 0;
    let wanted = plan
        .addresses()
        .into_iter()
        .filter(|address| all_well && plan.answer_to(address) == Answer::Take);
    assert_eq!(taken, wanted.collect(), "taken");
}

async fn every_cut(plan: &Plan) {
    let (outcome, whole) = one_call(plan, Cut::Never).await;
    check(plan, &outcome, &whole);
    let by_bytes = (0..=whole.said).map(Cut::AfterBytes);
    let by_commands = (1..=whole.commands).map(Cut::AfterCommands);
    for cut in by_bytes.chain(by_commands) {
        let (outcome, known) = one_call(plan, cut).await;
        let seen = std::panic::catch_unwind(|| check(plan, &outcome, &known));
        assert!(seen.is_ok(), "{cut:?}: {outcome:?}\n{known:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_report_is_what_the_server_knows(plan in plans()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            transactions(&plan).await;
            every_cut(&plan).await;
        });
    }
}
