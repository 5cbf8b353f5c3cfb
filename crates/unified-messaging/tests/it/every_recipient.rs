//! What the engine says of each recipient is what the servers know: random answers over rounds, full transactions, connections lost
//! at any byte, SMTP alone, last and first in the chain.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use ums_simulator::{Mode, Provider, SimMessage};
use ums_testkit::TestClock;
use unified_messaging::{AttemptOutcome, Duplicates, MessageRecord, OnExhausted, ProviderKind, SendEmail, Status};

use crate::scripted_smtp::{Answer, Cut, Known, Script, ScriptedSmtp, Transaction, Verdict};
use crate::setup::{Bed, Setup, email_to, kind, simulator};

/// More rounds than any script needs.
const MOST_ROUNDS: usize = 60;

/// Who stands in the chain beside the scripted server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    Alone,
    /// Behind SES, which cannot be reached.
    BehindRefusing,
    /// Behind SES, which takes each message and loses the connection before it says so.
    BehindLosing,
    /// Before SendGrid, which takes everything.
    BeforeSendGrid,
}

#[derive(Clone, Debug)]
struct Plan {
    /// For each recipient.
    answers: Vec<Vec<Answer>>,
    limit: Option<usize>,
    bodies: Vec<Verdict>,
    cuts: Vec<Cut>,
    pipelining: bool,
    chain: Chain,
    duplicates: Duplicates,
    on_exhausted: OnExhausted,
    is_durable: bool,
}

impl Plan {
    fn addresses(&self) -> Vec<String> {
        (0..self.answers.len()).map(|index| format!("r{index}@example.com")).collect()
    }

    fn script(&self) -> Script {
        let answers = self.answers.iter().map(|answers| answers.iter().copied().collect());
        Script {
            answers: self.addresses().into_iter().zip(answers).collect(),
            limit: self.limit,
            bodies: self.bodies.iter().copied().collect(),
            cuts: self.cuts.iter().copied().collect(),
            pipelining: self.pipelining,
        }
    }

    fn email(&self) -> SendEmail {
        let mut email = email_to(&self.addresses());
        email.handling.duplicates = Some(self.duplicates);
        email.handling.on_exhausted = Some(self.on_exhausted);
        email
    }

    async fn start(&self, smtp: &ScriptedSmtp) -> Bed {
        let providers: &[Provider] = match self.chain {
            Chain::Alone => &[Provider::Smtp],
            Chain::BehindRefusing | Chain::BehindLosing => &[Provider::Ses, Provider::Smtp],
            Chain::BeforeSendGrid => &[Provider::Smtp, Provider::SendGrid],
        };
        let simulator = simulator().await;
        match self.chain {
            Chain::Alone | Chain::BeforeSendGrid => {}
            Chain::BehindRefusing => simulator.set_fault(Provider::Ses, Mode::Refuse).await.unwrap(),
            Chain::BehindLosing => simulator.set_fault(Provider::Ses, Mode::ResetAfter).await.unwrap(),
        }
        // The server never hangs: a busy machine must not look like one that does.
        let setup = Setup {
            through: Some((Provider::Smtp, smtp.address)),
            is_durable: self.is_durable,
            ..Setup::chain(providers).file("[timeouts.smtp]\nreply = \"20s\"\n")
        };
        setup.start_at(simulator, Arc::new(TestClock::new())).await
    }

    /// Sends the message and lets rounds pass until every recipient has an end.
    async fn play(&self) -> Played {
        let smtp = ScriptedSmtp::start(self.script()).await;
        let bed = self.start(&smtp).await;
        let id = bed.send(self.email()).await.message_id;
        let mut record = bed.at_rest(id).await;
        for _ in 0..MOST_ROUNDS {
            if record.has_ended() {
                break;
            }
            record = bed.next_round(id).await;
        }
        bed.service.shutdown().await;
        Played {
            record,
            smtp: smtp.known(),
            others: bed.simulator.messages(),
        }
    }
}

/// What the engine and the servers say in the end.
#[derive(Debug)]
struct Played {
    record: MessageRecord,
    smtp: Known,
    others: Vec<SimMessage>,
}

impl Played {
    fn judge(&self, plan: &Plan) -> Result<(), String> {
        self.judge_message()?;
        self.judge_transactions()?;
        for (place, address) in plan.addresses().iter().enumerate() {
            let judged = self.judge_recipient(plan, place, address);
            judged.map_err(|what| format!("{address} is {}: {what}", self.record.recipients[place].status))?;
        }
        Ok(())
    }

    fn judge_message(&self) -> Result<(), String> {
        let record = &self.record;
        is(record.has_ended(), "the message has no end")?;
        is(
            record.open_recipients().is_empty(),
            "the message has ended, and a recipient has not",
        )?;
        let first = record.recipients[0].status;
        let hides_a_doubt = first.says_not_sent() && record.has_unknown_attempt();
        let word = if hides_a_doubt { Status::Unknown } else { first };
        is(record.status == word, "the message's word is not its first recipient's")
    }

    /// The accepted attempts are the transactions to whose bodies the server said yes, one by one.
    fn judge_transactions(&self) -> Result<(), String> {
        let confirmed = self.smtp.transactions.iter().filter(|transaction| transaction.confirmed);
        let confirmed: Vec<_> = confirmed
            .map(|transaction| (set(&transaction.accepted), transaction.refused.clone()))
            .collect();
        let attempts = self.record.attempts.iter();
        let accepted = attempts.filter(|attempt| (attempt.provider, attempt.outcome) == (ProviderKind::Smtp, AttemptOutcome::Accepted));
        let accepted: Vec<_> = accepted
            .map(|attempt| {
                let carried = self.addresses(|place| attempt.recipients.contains(place));
                let refused = attempt.refused.iter().map(|refused| {
                    let address = self.record.recipients[refused.place].address.clone();
                    (address, refused.failure.code.as_str())
                });
                (carried, refused.collect())
            })
            .collect();
        if accepted == confirmed {
            Ok(())
        } else {
            Err(format!("accepted attempts {accepted:?}, confirmed transactions {confirmed:?}"))
        }
    }

    fn judge_recipient(&self, plan: &Plan, place: usize, address: &str) -> Result<(), String> {
        let transactions = &self.smtp.transactions;
        let has = transactions.iter().filter(|transaction| transaction.has(address));
        let (sure, unsure): (Vec<_>, Vec<_>) = has.partition(|transaction| transaction.confirmed);
        let by_others = |provider| {
            self.others
                .iter()
                .filter(|message| message.provider == provider && names(message, address))
                .count()
        };
        let (ses, sendgrid) = (by_others(Provider::Ses), by_others(Provider::SendGrid));
        let surely = sure.len() + sendgrid;
        let times = surely + unsure.len() + ses;
        let unknown = self.record.attempts.iter().filter(|attempt| attempt.is_unknown_for(place)).count();
        let status = self.record.recipients[place].status;

        is(surely <= 1, "it was taken twice although the engine knew")?;
        is(
            unsure.len() + ses <= unknown,
            "it was taken, and no attempt says that it may have been",
        )?;
        let unknown_here = self.unknown_at(ProviderKind::Smtp, place);
        let in_doubt = transactions
            .iter()
            .filter(|transaction| !transaction.confirmed && lists(&transaction.accepted, address));
        is(
            unknown_here <= in_doubt.count(),
            "an attempt is in doubt, and the server had refused it",
        )?;
        is(unknown <= 2, "more than two attempts are unknown")?;
        is(
            plan.duplicates == Duplicates::Allow || times <= 1,
            "it was taken twice and must not be",
        )?;
        self.judge_order(place, address)?;
        let was_refused = transactions
            .iter()
            .any(|transaction| transaction.refused.get(address) == Some(&"550 5.1.1"));
        match status {
            Status::Sent => is(surely == 1, "no server said that it took it"),
            Status::Failed => {
                is(times == 0 && unknown == 0, "a server has it, or may have it")?;
                is(
                    was_refused || plan.on_exhausted == OnExhausted::Fail,
                    "it was given up without a reason",
                )
            }
            Status::Unknown => is(surely == 0 && unknown > 0, "it is known what became of it"),
            Status::Pending
            | Status::Scheduled
            | Status::Queued
            | Status::Sending
            | Status::Delivered
            | Status::Bounced
            | Status::Expired
            | Status::Cancelled
            | Status::Suppressed
            | Status::Unsubscribed => Err("no script leads there".to_owned()),
        }
    }

    /// Nobody is asked to take a recipient again who was surely taken, or surely refused for good.
    fn judge_order(&self, place: usize, address: &str) -> Result<(), String> {
        let is_settled = |transaction: &&Transaction| {
            transaction.confirmed && (transaction.has(address) || transaction.refused.get(address) == Some(&"550 5.1.1"))
        };
        let mut asked = self
            .smtp
            .transactions
            .iter()
            .filter(|transaction| lists(&transaction.asked, address));
        let settled = asked.by_ref().find(is_settled);
        is(settled.is_none() || asked.next().is_none(), "the server was asked again")?;
        let attempts = &self.record.attempts;
        let taken = attempts
            .iter()
            .position(|attempt| attempt.outcome == AttemptOutcome::Accepted && attempt.recipients.contains(place));
        let later = taken.and_then(|taken| attempts.get(taken + 1..)).unwrap_or_default();
        is(
            !later.iter().any(|attempt| attempt.recipients.contains(place)),
            "an attempt followed for it",
        )?;
        for provider in [Provider::Ses, Provider::SendGrid] {
            let has = self
                .others
                .iter()
                .filter(|message| message.provider == provider && names(message, address));
            let may_have = attempts
                .iter()
                .filter(|attempt| attempt.provider == kind(provider) && attempt.may_have_reached(place));
            is(has.count() == may_have.count(), "another provider's count differs")?;
        }
        Ok(())
    }

    /// Attempts at that provider that nobody knows the outcome of, for the recipient at that place.
    fn unknown_at(&self, provider: ProviderKind, place: usize) -> usize {
        let attempts = self.record.attempts.iter();
        attempts
            .filter(|attempt| attempt.provider == provider && attempt.is_unknown_for(place))
            .count()
    }

    fn addresses(&self, has: impl Fn(usize) -> bool) -> BTreeSet<String> {
        let recipients = self.record.recipients.iter().enumerate();
        recipients
            .filter(|(place, _)| has(*place))
            .map(|(_, recipient)| recipient.address.clone())
            .collect()
    }
}

fn is(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn set(addresses: &[String]) -> BTreeSet<String> {
    addresses.iter().cloned().collect()
}

fn lists(addresses: &[String], address: &str) -> bool {
    addresses.iter().any(|listed| listed == address)
}

fn names(message: &SimMessage, address: &str) -> bool {
    let mut all = message.to.iter().chain(&message.cc).chain(&message.bcc);
    all.any(|named| named == address)
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let cut = prop_oneof![
        2 => (0..400_usize).prop_map(Cut::Said),
        2 => (0..3_000_usize).prop_map(Cut::Read),
        2 => (1..4_usize).prop_map(Cut::Bodies),
    ];
    proptest::collection::vec(cut, 0..=2)
}

fn plans() -> impl Strategy<Value = Plan> {
    let answer = prop_oneof![5 => Just(Answer::Take), 4 => Just(Answer::ForNow), 1 => Just(Answer::ForGood)];
    let answers = proptest::collection::vec(proptest::collection::vec(answer, 0..4), 2..=6);
    let limit = prop_oneof![2 => Just(None), 3 => (1..4_usize).prop_map(Some)];
    let bodies = proptest::collection::vec(prop_oneof![6 => Just(Verdict::Take), 1 => Just(Verdict::Later)], 0..4);
    let chain = prop_oneof![
        3 => Just(Chain::Alone),
        1 => Just(Chain::BehindRefusing),
        1 => Just(Chain::BehindLosing),
        2 => Just(Chain::BeforeSendGrid),
    ];
    let duplicates = prop_oneof![2 => Just(Duplicates::Allow), 1 => Just(Duplicates::Never)];
    let on_exhausted = prop_oneof![4 => Just(OnExhausted::Hold), 1 => Just(OnExhausted::Fail)];
    let handling = (duplicates, on_exhausted, proptest::bool::weighted(0.2));
    let server = (answers, limit, bodies, cuts(), any::<bool>());
    (server, chain, handling).prop_map(
        |((answers, limit, bodies, cuts, pipelining), chain, (duplicates, on_exhausted, is_durable))| Plan {
            answers,
            limit,
            bodies,
            cuts,
            pipelining,
            chain,
            duplicates,
            on_exhausted,
            is_durable,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_recipient_has_one_end_and_it_is_the_servers(plan in plans()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let played = runtime.block_on(plan.play());
        if let Err(what) = played.judge(&plan) {
            prop_assert!(false, "{what}\n{:#?}\n{:#?}", played.record.attempts, played.smtp);
        }
    }
}
