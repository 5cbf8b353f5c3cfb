//! The main stories of messages to several recipients, step by step.

use std::time::Duration;

use ums_core::{EventKind, FailureClass, NotCalled, Status, SuppressionReason, Work};

use super::super::{Act, Happened, Mark, Next, Stopped};
use super::life::Life;
use super::world::{
    ADDRESSES, ALL_TRIED, Wishes, answer, failure, intent, opt_out, passed_over, places, refusal, report, rules, second, taken,
    with_reports,
};

/// One step of a story.
enum Step {
    /// A provider has room for these, and takes the message but for those whom it refuses by name.
    Takes(&'static [usize], &'static [(usize, FailureClass)]),
    /// A provider has room for these, and the call fails; some are refused by name before.
    Fails(&'static [usize], FailureClass, &'static [(usize, FailureClass)]),
    /// No provider is left; the first that was passed over has room after that many seconds.
    NoSlot(Option<u64>),
    /// The message is taken up when it is due, and that many seconds later.
    TakenUp(u64),
    /// A process has an intent, and does not call.
    NotCalled(NotCalled),
    OptsOut(usize),
    Reported(EventKind, usize, usize),
    Act(Act),
    Stopped(Status),
}

/// Where the message and its recipients stand; `Queued` for those without an end.
type Stand = (Status, &'static [Status]);

/// A story: what it tells, how the message is to be handled, the steps, where they lead, what follows.
struct Story {
    tells: &'static str,
    wishes: Wishes,
    steps: &'static [Step],
    stands: Stand,
    next: Next,
}

/// A story of a receipt to two that is held, and may be sent twice.
const fn story(tells: &'static str, steps: &'static [Step], stands: Stand, next: Next) -> Story {
    handled(Wishes::USUAL, tells, steps, stands, next)
}

/// A story of a message to two.
const fn handled(wishes: Wishes, tells: &'static str, steps: &'static [Step], stands: Stand, next: Next) -> Story {
    Story {
        tells,
        wishes,
        steps,
        stands,
        next,
    }
}

fn take(life: &mut Life, step: &Step) {
    let named = |named: &[(usize, FailureClass)]| named.iter().map(|(place, class)| refusal(*place, *class)).collect();
    match step {
        Step::Takes(whom, refused) => {
            life.slot(0, places(whom));
            life.answered(&answer(Ok(taken(named(refused))), life.now));
        }
        Step::Fails(whom, class, refused) => {
            life.slot(0, places(whom));
            life.answered(&answer(Err(failure(*class).with_refusals(named(refused))), life.now));
        }
        Step::NoSlot(None) => life.no_slot(ALL_TRIED),
        Step::NoSlot(Some(seconds)) => life.no_slot(passed_over(Duration::from_secs(*seconds))),
        Step::TakenUp(later) => {
            life.now = life.now.max(life.record.work.due_at().expect("it waits"));
            life.pass(*later);
            life.taken_up();
        }
        Step::NotCalled(why) => {
            life.slot(0, life.record.open_recipients());
            life.not_called(*why);
        }
        Step::OptsOut(place) => {
            life.slot(0, life.record.open_recipients());
            life.opted_out(&[opt_out(*place, SuppressionReason::Unsubscribe)]);
        }
        Step::Reported(kind, about, whom) => {
            let number = i64::try_from(life.record.events.len()).unwrap();
            life.reported(&[report(number, *kind, Some(*about), Some(ADDRESSES[*whom]))]);
        }
        Step::Act(what) => assert!(life.act(*what), "{what:?}"),
        Step::Stopped(status) => life.stopped(Stopped {
            status: *status,
            reason: "gate",
            detail: "no",
        }),
    }
}

fn check(story: &Story) {
    let mut life = Life::begin(story.wishes, 2);
    for step in story.steps {
        take(&mut life, step);
    }
    let recipients = life.record.recipients.iter().map(|recipient| match recipient.status {
        end if end.is_final() => end,
        _open => Status::Queued,
    });
    let stands = (life.record.status, recipients.collect::<Vec<_>>());
    assert_eq!(stands, (story.stands.0, story.stands.1.to_vec()), "{}", story.tells);
    assert_eq!(life.next, story.next, "{}", story.tells);
}

#[test]
fn recipients_have_fates_of_their_own() {
    use {FailureClass as C, Status as S, Step as T};
    let stories = [
        story(
            "both are taken",
            &[T::Takes(&[0, 1], &[])],
            (S::Sent, &[S::Sent, S::Sent]),
            Next::End,
        ),
        story(
            "the copy is refused for now: the next provider takes it",
            &[T::Takes(&[0, 1], &[(1, C::Unavailable)]), T::Takes(&[1], &[])],
            (S::Sent, &[S::Sent, S::Sent]),
            Next::End,
        ),
        story(
            "the copy is refused for now everywhere: it is held although the first is sent",
            &[T::Takes(&[0, 1], &[(1, C::Unavailable)]), T::NoSlot(None)],
            (S::Sent, &[S::Sent, S::Queued]),
            Next::Wait,
        ),
        story(
            "the first is held although the copy was taken",
            &[T::Takes(&[0, 1], &[(0, C::Unavailable)]), T::NoSlot(None)],
            (S::Queued, &[S::Queued, S::Sent]),
            Next::Wait,
        ),
        story(
            "the held copy expires",
            &[T::Takes(&[0, 1], &[(1, C::Unavailable)]), T::NoSlot(None), T::TakenUp(4_000)],
            (S::Sent, &[S::Sent, S::Expired]),
            Next::End,
        ),
    ];
    stories.iter().for_each(check);
}

#[test]
fn recipients_are_refused_and_barred_by_themselves() {
    use {FailureClass as C, Status as S, Step as T};
    let stories = [
        story(
            "the copy cannot exist",
            &[T::Takes(&[0, 1], &[(1, C::InvalidRecipient)])],
            (S::Sent, &[S::Sent, S::Failed]),
            Next::End,
        ),
        story(
            "the first cannot exist, and the copy is taken later",
            &[
                T::Fails(&[0, 1], C::Unavailable, &[(0, C::InvalidRecipient)]),
                T::NoSlot(Some(5)),
                T::TakenUp(0),
                T::Takes(&[1], &[]),
            ],
            (S::Failed, &[S::Failed, S::Sent]),
            Next::End,
        ),
        story(
            "everyone is refused by name",
            &[T::Fails(
                &[0, 1],
                C::InvalidRecipient,
                &[(0, C::InvalidRecipient), (1, C::RecipientBlocked)],
            )],
            (S::Failed, &[S::Failed, S::Suppressed]),
            Next::End,
        ),
        story(
            "everyone is refused by name, and nobody knows more: nobody may have it",
            &[T::Fails(&[0, 1], C::Unknown, &[(0, C::InvalidRecipient), (1, C::InvalidRecipient)])],
            (S::Failed, &[S::Failed, S::Failed]),
            Next::End,
        ),
        story(
            "the copy opts out before the call",
            &[T::OptsOut(1)],
            (S::Sending, &[S::Queued, S::Unsubscribed]),
            Next::Call,
        ),
        story(
            "nobody is written to when the first opts out",
            &[T::OptsOut(0)],
            (S::Unsubscribed, &[S::Unsubscribed, S::Unsubscribed]),
            Next::End,
        ),
        story(
            "a process without a lease puts both back",
            &[T::NotCalled(NotCalled::LeaseLost)],
            (S::Queued, &[S::Queued, S::Queued]),
            Next::Wait,
        ),
    ];
    stories.iter().for_each(check);
}

#[test]
fn what_may_have_been_sent_is_told_apart() {
    use {FailureClass as C, Status as S, Step as T};
    let never = Wishes::USUAL.never_twice();
    let stories = [
        story(
            "lost after the dot: the next provider is tried for those who were not refused",
            &[T::Fails(&[0, 1], C::Unknown, &[(1, C::InvalidRecipient)])],
            (S::Sending, &[S::Queued, S::Failed]),
            Next::Provider(places(&[0])),
        ),
        story(
            "two unknown attempts are enough",
            &[T::Fails(&[0, 1], C::Unknown, &[]), T::Fails(&[0, 1], C::Unknown, &[])],
            (S::Unknown, &[S::Unknown, S::Unknown]),
            Next::End,
        ),
        handled(
            never,
            "whoever may have it waits, and the other goes on",
            &[T::Fails(&[0, 1], C::Unknown, &[(0, C::Unavailable)])],
            (S::Sending, &[S::Queued, S::Queued]),
            Next::Provider(places(&[0])),
        ),
        handled(
            never.fails(),
            "whoever may have it does not wait where nothing is held",
            &[T::Fails(&[0, 1], C::Unknown, &[(0, C::Unavailable)]), T::Takes(&[0], &[])],
            (S::Sent, &[S::Sent, S::Unknown]),
            Next::End,
        ),
    ];
    stories.iter().for_each(check);
}

#[test]
fn a_first_recipient_has_failed_and_the_copy_may_have_been_sent() {
    use {FailureClass as C, Status as S, Step as T};
    let never = Wishes::USUAL.never_twice();
    let stories = [
        handled(
            never.fails(),
            "a first recipient who failed, and a copy that may have been sent",
            &[T::Fails(&[0, 1], C::Unknown, &[(0, C::InvalidRecipient)])],
            (S::Unknown, &[S::Failed, S::Unknown]),
            Next::End,
        ),
        handled(
            never.fails(),
            "the same, once the copy bounced",
            &[
                T::Fails(&[0, 1], C::Unknown, &[(0, C::InvalidRecipient)]),
                T::Reported(EventKind::Bounced, 0, 1),
            ],
            (S::Failed, &[S::Failed, S::Bounced]),
            Next::End,
        ),
        handled(
            never.fails(),
            "the same, once an operator says that the copy was sent",
            &[
                T::Fails(&[0, 1], C::Unknown, &[(0, C::InvalidRecipient)]),
                T::Act(Act::Mark(Mark::Sent)),
            ],
            (S::Failed, &[S::Failed, S::Sent]),
            Next::End,
        ),
        story(
            "a later call for the copy is lost: failed becomes unknown",
            &[
                T::Fails(&[0, 1], C::Unavailable, &[(0, C::InvalidRecipient)]),
                T::NoSlot(None),
                T::TakenUp(0),
                T::Fails(&[1], C::Unknown, &[]),
                T::NoSlot(None),
            ],
            (S::Unknown, &[S::Failed, S::Queued]),
            Next::Wait,
        ),
        story(
            "a blocked first recipient stays so while a call for the copy is lost",
            &[
                T::Fails(&[0, 1], C::Unavailable, &[(0, C::RecipientBlocked)]),
                T::NoSlot(None),
                T::TakenUp(0),
                T::Fails(&[1], C::Unknown, &[]),
                T::NoSlot(None),
            ],
            (S::Suppressed, &[S::Suppressed, S::Queued]),
            Next::Wait,
        ),
        story(
            "a gate does not call failed what may have been sent",
            &[T::Fails(&[0, 1], C::Unknown, &[]), T::NoSlot(None), T::Stopped(S::Failed)],
            (S::Unknown, &[S::Unknown, S::Unknown]),
            Next::End,
        ),
    ];
    stories.iter().for_each(check);
}

#[test]
fn acts_and_reports_reach_the_recipients_that_they_are_for() {
    use {FailureClass as C, Status as S, Step as T};
    const PARTLY: Step = T::Takes(&[0, 1], &[(0, C::Unavailable)]);
    let stories = [
        story(
            "cancelled for the first, who waits; the copy was sent, and is delivered",
            &[
                PARTLY,
                T::NoSlot(None),
                T::Act(Act::Cancel),
                T::Reported(EventKind::Delivered, 0, 1),
            ],
            (S::Cancelled, &[S::Cancelled, S::Delivered]),
            Next::End,
        ),
        story(
            "sent again, only to the first",
            &[PARTLY, T::Fails(&[0], C::InvalidMessage, &[]), T::Act(Act::Resend), T::TakenUp(0)],
            (S::Queued, &[S::Queued, S::Sent]),
            Next::Provider(places(&[0])),
        ),
        story(
            "replayed, only to the first",
            &[PARTLY, T::Fails(&[0], C::InvalidMessage, &[]), T::Act(Act::Replay), T::TakenUp(0)],
            (S::Queued, &[S::Queued, S::Sent]),
            Next::Provider(places(&[0])),
        ),
        story(
            "a failed call is lifted, without the recipient who was refused by name",
            &[
                T::Fails(&[0, 1], C::Unavailable, &[(1, C::InvalidRecipient)]),
                T::NoSlot(None),
                T::Reported(EventKind::Opened, 0, 0),
            ],
            (S::Sent, &[S::Sent, S::Failed]),
            Next::End,
        ),
        story(
            "an unknown attempt is reported as sent for one: the other goes with it",
            &[
                T::Fails(&[0, 1], C::Unknown, &[]),
                T::NoSlot(None),
                T::Reported(EventKind::Sent, 0, 1),
            ],
            (S::Sent, &[S::Sent, S::Sent]),
            Next::End,
        ),
        story(
            "a report on the copy's own attempt is not weighed against the attempt for the first",
            &[
                T::Takes(&[0, 1], &[(1, C::Unavailable)]),
                T::Takes(&[1], &[]),
                T::Reported(EventKind::Failed, 1, 1),
            ],
            (S::Sent, &[S::Sent, S::Failed]),
            Next::End,
        ),
        story(
            "marked as sent although the recipient opted out after the call",
            &[T::Fails(&[0, 1], C::Unknown, &[]), T::OptsOut(0), T::Act(Act::Mark(Mark::Sent))],
            (S::Sent, &[S::Sent, S::Sent]),
            Next::End,
        ),
        story(
            "marked as failed although the recipient opted out after the call",
            &[T::Fails(&[0, 1], C::Unknown, &[]), T::OptsOut(0), T::Act(Act::Mark(Mark::Failed))],
            (S::Failed, &[S::Unsubscribed, S::Failed]),
            Next::End,
        ),
    ];
    stories.iter().for_each(check);
}

#[test]
fn an_unknown_attempt_of_one_recipient_keeps_its_time_while_others_are_called_for() {
    let mut life = Life::begin(Wishes::USUAL, 2);
    take(
        &mut life,
        &Step::Fails(&[0, 1], FailureClass::Unknown, &[(1, FailureClass::Unavailable)]),
    );
    life.no_slot(passed_over(Duration::from_secs(1)));
    take(&mut life, &Step::TakenUp(0));
    assert_eq!(life.next, Next::Provider(places(&[1])), "feedback has 30 seconds for the other one");
    take(&mut life, &Step::Takes(&[1], &[]));
    assert_eq!((life.next, life.record.work), (Next::Wait, Work::Due(second(30))));
}

#[test]
fn the_next_transaction_is_for_those_who_wait_for_it() {
    let mut life = Life::begin(Wishes::USUAL, 3);
    let refused = [(1, FailureClass::Throttled), (2, FailureClass::InvalidRecipient)];
    let refused = refused.map(|(place, class)| ums_core::Refusal {
        next_transaction: true,
        ..refusal(place, class)
    });
    life.slot(0, places(&[0, 1, 2]));
    life.answered(&answer(Ok(taken(refused.to_vec())), life.now));
    assert_eq!(life.next, Next::SameProvider(places(&[1])));
}

#[test]
fn the_error_of_an_ended_message_is_that_of_its_first_recipient() {
    let mut life = Life::begin(Wishes::USUAL, 2);
    take(
        &mut life,
        &Step::Fails(&[0, 1], FailureClass::Unavailable, &[(0, FailureClass::InvalidRecipient)]),
    );
    take(&mut life, &Step::NoSlot(None));
    take(&mut life, &Step::TakenUp(0));
    let mut expired = life.clone();
    take(&mut life, &Step::Takes(&[1], &[]));
    let refusal = "invalid_recipient (code-invalid_recipient): in words";
    assert_eq!(life.record.error.as_deref(), Some(refusal));
    expired.pass(4_000);
    take(&mut expired, &Step::NoSlot(None));
    assert_eq!(expired.record.error.as_deref(), Some(refusal));
}

#[test]
fn a_message_that_is_worked_on_is_neither_replayed_nor_reported_on() {
    let mut life = Life::begin(Wishes::USUAL, 2);
    take(
        &mut life,
        &Step::Fails(&[0, 1], FailureClass::Unavailable, &[(0, FailureClass::InvalidRecipient)]),
    );
    take(&mut life, &Step::NoSlot(None));
    assert!(
        !life.act(Act::Replay),
        "it is failed for the first recipient, and waits for the other"
    );
    take(&mut life, &Step::TakenUp(0));
    life.slot(1, places(&[1]));
    assert!(!life.act(Act::Replay));
    let told = with_reports(life.record.clone(), &[report(1, EventKind::Delivered, Some(0), None)], life.now);
    assert_eq!(told.recipients, life.record.recipients);
}

#[test]
fn a_scheduled_message_waits_for_its_time() {
    let mut record = Wishes::USUAL.email(2);
    let fate = super::super::next(&mut record, Happened::Scheduled(second(9_000)), &rules(), second(0));
    assert_eq!(
        (fate.next, record.status, record.work),
        (Next::Wait, Status::Scheduled, Work::Due(second(9_000)))
    );
    assert!(record.recipients.iter().all(|recipient| recipient.status == Status::Scheduled));
}

#[test]
fn a_text_message_to_somebody_who_said_stop_is_unsubscribed() {
    let mut record = Wishes::USUAL.sms();
    let rules = rules();
    let mut ask = |happened| super::super::next(&mut record, happened, &rules, second(1));
    ask(Happened::Due);
    ask(Happened::Slot(intent(&Wishes::USUAL.sms(), 0, places(&[0]))));
    let fate = ask(Happened::CallEnded(&answer(
        Err(failure(FailureClass::RecipientBlocked)),
        second(1),
    )));
    assert_eq!(fate.next, Next::End);
    assert_eq!(fate.suppress[0].reason, SuppressionReason::Stop);
    assert_eq!(record.status, Status::Unsubscribed);
}
