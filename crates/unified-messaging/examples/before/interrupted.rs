//! Providers that were not called although their intent was committed, calls whose process ended, and what became of such messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use ums_core::{Clock as _, FailureClass, MessageId, OnExhausted, ProviderKind as P, Purpose, Room, SendEmail, Status};
use ums_testkit::{Moment, Operation};

use crate::process::{FOR_GOOD, Harm, Process, Setup, Stage, fails, mail, submission, text};

const ACCEPTED: Moment = Moment::After(Operation::Accept);
const MINUTE: Duration = Duration::from_mins(1);
/// Longer than a lease of a minute.
const PAUSE: Duration = Duration::from_mins(2);

/// Messages that were put back and came to an end later.
pub(crate) fn write(stage: &mut Stage) {
    let process = stage.process(&Setup::default());
    let mut short = mail("expired_before_the_call");
    short.handling.expires_in_seconds = Some(60);
    process.hand.plan(ACCEPTED, 1, Harm::Takes(PAUSE));
    let expired = process.submit(short);
    process.until(expired, |record| record.status == Status::Expired);
    let lost = commit_unknown(&process, "not_called_then_sent");
    process.until(lost, |record| record.status == Status::Sent);
    process.ends();

    let process = leased(stage);
    process.hand.plan(ACCEPTED, 1, Harm::Takes(PAUSE));
    let lost = process.submit(mail("lease_lost_then_sent"));
    process.until(lost, |record| record.status == Status::Queued);
    process.ends();
    let process = stage.process(&Setup::default());
    process.until(lost, |record| record.status == Status::Sent);
    let calling = [
        calling(&process, 0, mail("process_ended_then_sent")),
        calling(&process, 2, mail("process_ended_then_unknown").via(P::Smtp)),
        calling(&process, 0, mail("process_ended_and_waits_for_feedback").purpose(Purpose::Bulk)),
    ];
    closes_before_the_call(process, "closing_then_sent");
    let process = stage.process(&Setup::default());
    process.email[2].answer_once(fails(FailureClass::Unknown));
    let [sent, unknown, waits] = calling;
    process.until(sent, |record| record.status == Status::Sent);
    process.until(unknown, |record| record.status == Status::Unknown);
    process.until(waits, |record| {
        record.status == Status::Queued && record.work.due_at() > Some(record.message.accepted_at + FOR_GOOD / 2)
    });
    process.ends();
}

/// A process whose store gives out leases of a minute.
fn leased(stage: &mut Stage) -> Process {
    stage.process(&Setup {
        lease: MINUTE,
        ..Setup::default()
    })
}

/// The commit of an accept breaks: the caller is told that nobody knows, and the message is put back.
fn commit_unknown(process: &Process, case: &str) -> MessageId {
    process.hand.plan(ACCEPTED, 1, Harm::CommitUnknown);
    let refused = process.run(process.engine.submit(submission(mail(case))));
    assert!(refused.is_err(), "{case} was accepted");
    process.newest()
}

/// A message in the hands of the provider at that place.
fn calling(process: &Process, place: usize, mail: SendEmail) -> MessageId {
    let provider = &process.email[place];
    let others = provider.running();
    provider.hold();
    let id = process.submit(mail);
    process.until(id, |_| provider.running() > others);
    id
}

/// The process is told to end while an intent is being committed; calls in hand keep it for a moment.
fn closes_before_the_call(process: Process, case: &str) {
    let release = Arc::new(Notify::new());
    process.hand.plan(ACCEPTED, 1, Harm::Waits(release.clone()));
    let Process { engine, .. } = &process;
    process.run(async {
        let accepting = engine.submit(submission(mail(case)));
        let closing = engine.shutdown(Duration::from_millis(1));
        let releasing = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            release.notify_one();
        };
        let (accepted, (), ()) = tokio::join!(accepting, closing, releasing);
        accepted.unwrap();
    });
    drop(process);
}

/// Messages that wait because they were put back, before the last process.
pub(crate) fn write_waiting(stage: &mut Stage, waits: Process) {
    let lost = commit_unknown(&waits, "not_called_and_queued");
    waits.until(lost, |record| record.status == Status::Queued);
    waits.ends();
    let hand = crate::process::Hand::default();
    hand.no_claims();
    let setup = Setup {
        lease: MINUTE,
        ..Setup::default()
    };
    let process = stage.process_now(&setup, hand);
    process.hand.plan(ACCEPTED, 1, Harm::Takes(PAUSE));
    let lost = process.submit(mail("lease_lost_and_queued"));
    process.until(lost, |record| record.status == Status::Queued);
    process.ends();
}

/// The last process: it is killed with messages in hand at every stage, and one is put back at the last moment.
pub(crate) fn write_dying(stage: &mut Stage) {
    let hand = crate::process::Hand::default();
    hand.no_claims();
    let setup = Setup {
        email: [P::Smtp, P::AwsSes, P::SendGrid],
        pace: (1, 0),
        ..Setup::default()
    };
    let process = stage.process_now(&setup, hand);
    // Taken up and not begun: claimed as the worker claims.
    let batch = vec![submission(text("dead_owner_claimed", 20).purpose(Purpose::Otp))];
    process.run(process.engine.submit_all(batch)).unwrap();
    let room = Room { otp: 2, ..Room::default() };
    let claimed = process.run(process.store.claim_due(process.clock.now(), room)).unwrap();
    assert_eq!(claimed.len(), 2, "that code and a held one were claimed");
    // Handed to the second provider after the first refused it.
    process.email_answers(&[fails(FailureClass::Unavailable)]);
    calling(&process, 1, mail("dead_owner_second_call"));
    let mut bulk = mail("dead_owner_bulk_call").purpose(Purpose::Bulk).via(P::AwsSes);
    bulk.handling.on_exhausted = Some(OnExhausted::Hold);
    calling(&process, 1, bulk);
    // The second's one recipient is this one's, by the clock of the script and by the database's.
    process.runs_on(Duration::from_millis(1_500));
    calling(&process, 0, mail("dead_owner_first_call").via(P::Smtp));
    // Accepted while no provider had room, and never more.
    process.hand.plan(Moment::Before(Operation::Record), 1, Harm::Hangs);
    let in_the_same_second = submission(mail("dead_owner_not_begun").via(P::Smtp));
    process.run(process.engine.submit(in_the_same_second)).unwrap();
    process.runs_on(Duration::from_millis(200));
    closes_before_the_call(process, "closing_and_queued");
}
