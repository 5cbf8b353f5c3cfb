//! Messages that wait: for their time, for a provider, for feedback, for a process.

use std::time::Duration;

use ums_core::{
    Clock as _, Event, EventKind, FailureClass as F, MessageFilter, OnExhausted, ProviderKind as P, Purpose, SendEmail, SendSms, TenantId,
};
use ums_delivery::{ReplayRequest, Submission};

use crate::ended::{but_for, to_three, waits_for_feedback};
use crate::passed_over::bad_senders;
use crate::process::{Hand, Process, Setup, Stage, fails, key, mail, submission, text};

const A_DAY: Duration = Duration::from_hours(24);

/// The process that leaves them; it takes nothing up.
pub(crate) fn write(stage: &mut Stage) -> Process {
    // What was sent before counts no more for anybody's day.
    stage.clock.advance(A_DAY + Duration::from_hours(1));
    let process = stage.process_now(&Setup::default(), Hand::default());
    let rows = bad_senders(&process.clock, P::SendGrid);
    process.run(process.store.add_rates(rows)).unwrap();
    are_well_again(&process);
    process.ends();
    for_its_turn(stage);
    let process = takes_nothing_up(stage, (0, 0));
    for_their_time(&process);
    for_a_provider(&process);
    for_feedback(&process);
    for_a_process(&process);
    process
}

fn takes_nothing_up(stage: &mut Stage, pace: (u32, u32)) -> Process {
    let hand = Hand::default();
    hand.no_claims();
    let setup = Setup {
        email: [P::SendGrid, P::AwsSes, P::Smtp],
        pace,
        ..Setup::default()
    };
    let process = stage.process_now(&setup, hand);
    // The counts are judged soon after the start.
    process.runs_on(Duration::from_secs(1));
    process
}

/// Mail to many, faster than the account's pace.
fn for_its_turn(stage: &mut Stage) {
    let process = takes_nothing_up(stage, (1, 0));
    process.send(mail("sent_just_before"));
    let paced = mail("held_paced").purpose(Purpose::Bulk);
    process.run(process.engine.send(submission(paced))).unwrap();
    process.ends();
}

/// Closes the breakers that were left open: two calls in a row go well at each provider.
fn are_well_again(process: &Process) {
    for provider in [P::AwsSes, P::SendGrid, P::Smtp] {
        process.send(mail(&format!("{provider}_probed")).via(provider));
        process.send(mail(&format!("{provider}_well_again")).via(provider));
    }
    for (number, provider) in [(17, P::AwsSns), (18, P::Twilio)] {
        process.send(via(text(&format!("{provider}_probed"), number), provider));
        process.send(via(text(&format!("{provider}_well_again"), number), provider));
    }
}

fn via(mut text: SendSms, provider: P) -> SendSms {
    text.handling.via = Some(provider);
    text
}

fn for_their_time(process: &Process) {
    let later = process.clock.now() + A_DAY;
    let mut scheduled = mail("scheduled");
    scheduled.handling.send_at = Some(later);
    process.submit(scheduled);
    let mut scheduled = text("scheduled_text", 14);
    scheduled.handling.send_at = Some(later);
    process.submit(scheduled);
}

fn for_a_provider(process: &Process) {
    let all = [F::Unavailable; 3].map(fails);
    process.email_answers(&all);
    process.send(mail("held"));
    process.email_answers(&all);
    process.send(mail("held_code").purpose(Purpose::Otp));
    process.email_answers(&all);
    process.send(mail("held_bulk").purpose(Purpose::Bulk));
    process.sms_answers(&[fails(F::Unavailable), fails(F::QuotaExhausted)]);
    process.send(text("held_text", 15));
    for (case, from) in [
        ("held_bounce_rate", "news@bounces.example.com"),
        ("held_complaint_rate", "news@complaints.example.com"),
    ] {
        process.send(SendEmail {
            from_email: Some(from.to_owned()),
            ..mail(case).purpose(Purpose::Bulk)
        });
    }
    first_is_open(process);
}

/// The copies have it, the first recipient waits for a provider.
fn first_is_open(process: &Process) {
    let copies = but_for(&[("held_first@example.com", F::Throttled)]);
    process.email_answers(&[copies, fails(F::Unavailable), fails(F::Unavailable)]);
    process.send(to_three("held_first"));
}

fn for_feedback(process: &Process) {
    waits_for_feedback(process, "waits_for_feedback");
    process.email_answers(&[fails(F::Unknown), fails(F::Unavailable), fails(F::Unavailable)]);
    process.send(mail("held_though_perhaps_sent"));
    // Nobody's for now: named by an id of the provider's, by one of ours, and by its recipient only.
    let event = |id: &str| {
        let mut event = Event::new(P::AwsSes, id, EventKind::Delivered, "Delivery");
        event.at = Some(process.clock.now());
        event.recipient = Some("somebody@example.com".to_owned());
        event
    };
    let mut named = event("parked-1");
    named.about.provider_message_id = Some("of-a-message-that-never-came".to_owned());
    let mut ours = event("parked-2");
    ours.about.message_id = "0199a000-0000-7000-8000-000000000001".parse().ok();
    process
        .run(process.engine.take_feedback(vec![named, ours, event("parked-3")]))
        .unwrap();
}

fn for_a_process(process: &Process) {
    let batch = vec![
        submission(mail("queued_of_a_batch")),
        submission(text("queued_text_of_a_batch", 16)),
        Submission {
            idempotency: Some(key("order-2", 2)),
            ..submission(mail("queued_with_a_key").purpose(Purpose::Bulk))
        },
    ];
    process.run(process.engine.submit_all(batch)).unwrap();
    let engine = &process.engine;
    for case in ["resent_and_queued", "replayed_and_queued"] {
        process.email_answers(&[F::Unavailable; 3].map(fails));
        let mut failing = mail(case);
        failing.handling.on_exhausted = Some(OnExhausted::Fail);
        let id = process.send(failing).message_id;
        if case == "resent_and_queued" {
            process.run(engine.resend(&TenantId::default(), id)).unwrap();
        }
    }
    let request = ReplayRequest {
        filter: MessageFilter {
            to: Some("replayed_and_queued@example.com".to_owned()),
            ..MessageFilter::default()
        },
        cursor: None,
        limit: 10,
        dry_run: false,
    };
    assert_eq!(process.run(engine.replay(&TenantId::default(), &request)).unwrap().replayed, 1);
}
