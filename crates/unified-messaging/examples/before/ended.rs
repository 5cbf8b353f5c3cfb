//! Messages that came to an end: by a provider's answer, a gate, an act, feedback, or their time.

use std::time::Duration;

use ums_core::{
    Accepted, BounceKind, Channel, Clock as _, EmailAddress, Event, EventKind, Failure, FailureClass as F, MessageFilter, MessageId,
    NoticeKind, OnExhausted, ProviderKind as P, Purpose, Refusal, SendEmail, Status, SuppressionOrigin, SuppressionReason, TenantId,
};
use ums_delivery::{EndpointChange, Mark, NewSuppression, ReplayRequest, Submission};
use ums_testkit::Reply;

use crate::process::{Process, REFUSES, Setup, Stage, TAKES, fails, key, mail, submission, text};

/// All in one process after another; each ends before the next begins.
pub(crate) fn write(stage: &mut Stage) {
    let process = stage.process(&Setup::default());
    applications(&process);
    by_answer(&process);
    to_several(&process);
    by_gate(&process);
    by_act(&process);
    process.ends();
    let process = stage.process(&Setup::default());
    by_feedback(&process);
    settled_by_feedback(&process);
    opted_out(&process);
    process.ends();
    by_time(stage);
}

fn tenant() -> TenantId {
    TenantId::default()
}

/// Fails at once when no provider takes it.
fn or_fail(mut mail: SendEmail) -> SendEmail {
    mail.handling.on_exhausted = Some(OnExhausted::Fail);
    mail
}

fn applications(process: &Process) {
    let create = |url: &str, kinds: &[NoticeKind]| {
        let change = EndpointChange {
            url: Some(url.to_owned()),
            description: Some("Of the fixture".to_owned()),
            kinds: Some(kinds.to_vec()),
            enabled: None,
        };
        process.run(process.engine.create_endpoint(&tenant(), change)).unwrap().endpoint.id
    };
    let told = [
        NoticeKind::Bounced,
        NoticeKind::Unknown,
        NoticeKind::Cancelled,
        NoticeKind::AddressSuppressed,
    ];
    let takes = create(TAKES, &told);
    create(REFUSES, &[NoticeKind::Expired, NoticeKind::Complained]);
    let disabled = create("https://disabled.example.com/hook", &[]);
    let off = EndpointChange {
        enabled: Some(false),
        ..EndpointChange::default()
    };
    process.run(process.engine.change_endpoint(&tenant(), disabled, off)).unwrap();
    process
        .run(process.engine.rotate_endpoint(&tenant(), takes, Duration::from_hours(24)))
        .unwrap();
}

fn by_answer(process: &Process) {
    let keyed = Submission {
        idempotency: Some(key("order-1", 1)),
        ..submission(mail("sent").html("<p>Thank you</p>").metadata("order", 42))
    };
    process.run(process.engine.send(keyed)).unwrap();
    process.send(text("sent_text", 1));
    process.send(text("code_sent", 2).purpose(Purpose::Otp));
    process.send(mail("sent_via_smtp").via(P::Smtp));
    let special = Accepted {
        simulated: true,
        from_substituted: true,
        ..Accepted::new("special-1")
    };
    process.email_answers(&[Reply::AcceptAs(special)]);
    process.send(SendEmail {
        from_email: Some("news@shop.example.com".to_owned()),
        ..mail("sent_from_substituted")
    });
    process.email_answers(&[fails(F::Unavailable)]);
    process.send(mail("sent_by_the_next"));
    process.sms_answers(&[fails(F::Unsupported)]);
    process.send(text("text_sent_by_the_next", 3));

    for (case, class) in [
        ("refused_message", F::InvalidMessage),
        ("refused_recipient", F::InvalidRecipient),
        ("refused_blocked", F::RecipientBlocked),
    ] {
        process.email_answers(&[fails(class)]);
        process.send(mail(case));
    }
    process.sms_answers(&[fails(F::RecipientBlocked)]);
    process.send(text("text_refused_blocked", 4));
    process.email_answers(&[fails(F::Unavailable), fails(F::Throttled), fails(F::Unavailable)]);
    process.send(or_fail(mail("failed_everywhere")));
    process.email_answers(&[fails(F::Unsupported), fails(F::Unsupported), fails(F::Unsupported)]);
    process.send(mail("nobody_can_carry_it"));
    process.email_answers(&[fails(F::Unavailable)]);
    process.send(mail("failed_via_one").via(P::AwsSes));

    process.email_answers(&[fails(F::Unknown), fails(F::Unknown)]);
    process.send(mail("unknown_twice"));
    process.email_answers(&[Reply::Panic]);
    process.send(mail("perhaps_sent_twice"));
    process.email_answers(&[Reply::AcceptAs(Accepted::new(""))]);
    process.send(or_fail(mail("taken_without_an_id")).purpose(Purpose::Bulk));
}

/// An acceptance for all but these.
pub(crate) fn but_for(refused: &[(&str, F)]) -> Reply {
    let refusal = |(address, class): &(&str, F)| Refusal {
        address: EmailAddress::parse(address).unwrap(),
        failure: Failure::provider(*class, "550 5.1.1", "as the script says"),
        next_transaction: false,
    };
    Reply::AcceptAs(Accepted {
        refused: refused.iter().map(refusal).collect(),
        ..Accepted::new("partly")
    })
}

/// An e-mail with one recipient on each line.
pub(crate) fn to_three(case: &str) -> SendEmail {
    SendEmail {
        cc: format!("{case}-copy@example.com").into(),
        bcc: format!("{case}-hidden@example.net").into(),
        ..mail(case)
    }
}

fn to_several(process: &Process) {
    process.send(to_three("sent_to_all"));
    process.email_answers(&[but_for(&[
        ("copies_refused-copy@example.com", F::InvalidRecipient),
        ("copies_refused-hidden@example.net", F::RecipientBlocked),
    ])]);
    process.send(to_three("copies_refused"));
    process.email_answers(&[but_for(&[("first_refused@example.com", F::InvalidRecipient)])]);
    process.send(to_three("first_refused"));
    process.email_answers(&[but_for(&[("rest_sent_by_the_next-copy@example.com", F::Unavailable)])]);
    process.send(to_three("rest_sent_by_the_next"));
    let copy = but_for(&[("rest_found_nobody-copy@example.com", F::Throttled)]);
    process.email_answers(&[copy, fails(F::Unavailable), fails(F::Unavailable)]);
    process.send(or_fail(to_three("rest_found_nobody")));
    let copy = but_for(&[("rest_perhaps_sent-copy@example.com", F::Throttled)]);
    process.email_answers(&[copy, fails(F::Unknown), fails(F::Unknown)]);
    process.send(or_fail(to_three("rest_perhaps_sent")));
}

fn listed(channel: Channel, address: &str, reason: SuppressionReason, origin: SuppressionOrigin) -> NewSuppression {
    NewSuppression {
        channel,
        address: address.to_owned(),
        reason,
        list: None,
        origin,
        detail: Some("of the fixture".to_owned()),
        since: None,
        expires_at: None,
    }
}

fn by_gate(process: &Process) {
    use {Channel as C, SuppressionOrigin as O, SuppressionReason as R};
    let now = process.clock.now();
    let entries = vec![
        listed(C::Email, "Listed@example.com", R::Manual, O::Operator),
        listed(C::Email, "opted_out@example.com", R::Unsubscribe, O::Link),
        listed(C::Email, "complained_before@example.com", R::Complaint, O::Import),
        listed(C::Email, "copy_left_out-copy@example.com", R::HardBounce, O::Import),
        listed(C::Email, "lifted@example.com", R::Manual, O::Operator),
        NewSuppression {
            expires_at: Some(now + Duration::from_hours(1)),
            ..listed(C::Email, "for_an_hour@example.com", R::Manual, O::Operator)
        },
        listed(C::Sms, "+14165550105", R::Stop, O::Operator),
    ];
    process.run(process.engine.suppress(&tenant(), entries)).unwrap();
    process
        .run(
            process
                .engine
                .unsuppress(&tenant(), C::Email, "lifted@example.com", &unified_messaging::Which::default()),
        )
        .unwrap();
    process.send(mail("listed"));
    process.send(mail("opted_out"));
    process.send(mail("complained_before"));
    process.send(to_three("copy_left_out"));
    process.send(mail("lifted"));
    process.send(text("opted_out_by_text", 5));
    process.send(text("opted_out_code", 5).purpose(Purpose::Otp));
}

/// Two providers may have it.
fn unknown(process: &Process, case: &str) -> MessageId {
    process.email_answers(&[fails(F::Unknown), fails(F::Unknown)]);
    process.send(mail(case)).message_id
}

/// It waits for feedback: it must not arrive twice.
pub(crate) fn waits_for_feedback(process: &Process, case: &str) -> MessageId {
    process.email_answers(&[fails(F::Unknown)]);
    process.send(mail(case).purpose(Purpose::Bulk)).message_id
}

fn failed(process: &Process, case: &str) -> MessageId {
    process.email_answers(&[fails(F::Unavailable), fails(F::Unavailable), fails(F::Unavailable)]);
    process.send(or_fail(mail(case))).message_id
}

/// Ends at once by its time, and waits in the queue until somebody does something about it.
fn by_act(process: &Process) {
    let engine = &process.engine;
    let mut later = mail("cancelled");
    later.handling.send_at = Some(process.clock.now() + Duration::from_hours(24));
    let id = process.submit(later);
    process.run(engine.cancel(&tenant(), id)).unwrap();
    let id = waits_for_feedback(process, "cancelled_though_perhaps_sent");
    process.run(engine.cancel(&tenant(), id)).unwrap();

    for (case, mark) in [
        ("marked_sent", Mark::Sent),
        ("marked_delivered", Mark::Delivered),
        ("marked_failed", Mark::Failed),
    ] {
        let id = unknown(process, case);
        process.run(engine.mark(&tenant(), id, mark)).unwrap();
    }
    let id = waits_for_feedback(process, "marked_while_it_waited");
    process.run(engine.mark(&tenant(), id, Mark::Delivered)).unwrap();

    for (case, id) in [
        ("resent", failed(process, "resent")),
        ("resent_though_perhaps_sent", unknown(process, "resent_though_perhaps_sent")),
        ("resent_and_marked", unknown(process, "resent_and_marked")),
    ] {
        process.clock.advance(Duration::from_secs(1));
        if case == "resent_and_marked" {
            process.email_answers(&[fails(F::Unknown), fails(F::Unknown)]);
        }
        process.run(engine.resend(&tenant(), id)).unwrap();
        let ended = process.until(id, |record| record.status.is_final());
        if ended.status == Status::Unknown {
            process.run(engine.mark(&tenant(), id, Mark::Sent)).unwrap();
        }
    }
    let id = failed(process, "replayed");
    let request = ReplayRequest {
        filter: MessageFilter {
            to: Some("replayed@example.com".to_owned()),
            ..MessageFilter::default()
        },
        cursor: None,
        limit: 10,
        dry_run: false,
    };
    process.clock.advance(Duration::from_secs(1));
    process.run(engine.replay(&tenant(), &request)).unwrap();
    process.until(id, |record| record.status == Status::Sent);
}

/// A report about the last attempt of a message, by our own id of it.
pub(crate) fn report(process: &Process, id: MessageId, kind: EventKind, change: impl FnOnce(&mut Event)) -> Event {
    let record = process.record(id);
    let attempt = record.attempts.last().unwrap();
    let mut event = Event::new(attempt.provider, format!("{kind}-{}", attempt.id), kind, format!("{kind}/General"));
    event.recipient = Some(record.recipients[0].address.clone());
    event.at = Some(process.clock.now());
    event.about.attempt_id = Some(attempt.id);
    event.about.message_id = Some(id);
    event.about.provider_message_id = attempt.provider_message_id.clone().or_else(|| Some(format!("late-{id}")));
    change(&mut event);
    event
}

fn tell(process: &Process, id: MessageId, kind: EventKind, change: impl FnOnce(&mut Event)) {
    process.clock.advance(Duration::from_secs(1));
    let event = report(process, id, kind, change);
    process.run(process.engine.take_feedback(vec![event])).unwrap();
}

fn by_feedback(process: &Process) {
    use EventKind as K;
    let sent = |case: &str| process.send(mail(case)).message_id;
    let hard = |event: &mut Event| {
        event.bounce = Some(BounceKind::Hard);
        event.code = Some("5.1.1".to_owned());
        event.suppress = Some(SuppressionReason::HardBounce);
    };
    tell(process, sent("delivered"), K::Delivered, |_| {});
    tell(process, sent("bounced"), K::Bounced, hard);
    let id = sent("deferred_then_delivered");
    tell(process, id, K::Deferred, |event| event.code = Some("4.2.2".to_owned()));
    tell(process, id, K::Delivered, |_| {});
    let id = sent("delivered_then_bounced");
    tell(process, id, K::Delivered, |_| {});
    tell(process, id, K::Bounced, |event| event.bounce = Some(BounceKind::Soft));
    let id = sent("opened_clicked_and_complained");
    tell(process, id, K::Delivered, |_| {});
    tell(process, id, K::Opened, |event| event.by_machine = true);
    tell(process, id, K::Clicked, |_| {});
    tell(process, id, K::Complained, |event| {
        event.suppress = Some(SuppressionReason::Complaint);
    });
    tell(process, sent("rejected_later"), K::Rejected, |event| {
        event.class = Some(F::InvalidMessage);
    });
    let id = process.send(text("text_undelivered", 6)).message_id;
    tell(process, id, K::Failed, |event| event.code = Some("30003".to_owned()));
    let id = process.send(text("text_delivered", 7)).message_id;
    tell(process, id, K::Delivered, |_| {});
    tell(process, sent("reported_in_words_unknown_to_us"), K::Unknown, |event| {
        event.raw = Some("{\"what\": \"this\"}".to_owned());
    });
    let id = process.send(to_three("some_delivered_some_bounced")).message_id;
    tell(process, id, K::Delivered, |_| {});
    tell(process, id, K::Bounced, |event| {
        hard(event);
        event.recipient = Some("some_delivered_some_bounced-copy@example.com".to_owned());
    });
}

/// Attempts that were unknown, or thought to have failed, until their provider reported on them.
fn settled_by_feedback(process: &Process) {
    use EventKind as K;
    for (case, kind) in [
        ("settled_as_sent", K::Sent),
        ("settled_as_delivered", K::Delivered),
        ("settled_as_bounced", K::Bounced),
        ("settled_as_rejected", K::Rejected),
    ] {
        let id = waits_for_feedback(process, case);
        tell(process, id, kind, |event| {
            event.class = (kind == K::Rejected).then_some(F::InvalidMessage);
        });
    }
    for case in ["settled_for_several", "marked_for_several"] {
        process.email_answers(&[fails(F::Unknown)]);
        let id = process.send(to_three(case).purpose(Purpose::Bulk)).message_id;
        if case == "marked_for_several" {
            process.run(process.engine.mark(&tenant(), id, Mark::Sent)).unwrap();
        }
        tell(process, id, K::Delivered, |_| {});
    }
    // One provider may have taken it, the next one did; then the first says that it has it, too.
    process.email_answers(&[fails(F::Unknown)]);
    let id = process.send(to_three("settled_beside_another")).message_id;
    let first = process.record(id).attempts[0].clone();
    tell(process, id, K::Sent, |event| {
        event.provider = first.provider;
        event.id = format!("sent-{}", first.id);
        event.about.attempt_id = Some(first.id);
        event.about.provider_message_id = Some("late-beside-another".to_owned());
    });
    tell(process, unknown(process, "unknown_then_delivered"), K::Delivered, |_| {});
    tell(process, unknown(process, "unknown_then_one_failed"), K::Failed, |_| {});
    tell(process, failed(process, "failed_then_delivered"), K::Delivered, |_| {});
    let id = waits_for_feedback(process, "cancelled_then_delivered");
    process.run(process.engine.cancel(&tenant(), id)).unwrap();
    tell(process, id, K::Delivered, |_| {});
    let id = unknown(process, "marked_failed_then_delivered");
    process.run(process.engine.mark(&tenant(), id, Mark::Failed)).unwrap();
    tell(process, id, K::Delivered, |_| {});
    let id = unknown(process, "marked_delivered_then_bounced");
    process.run(process.engine.mark(&tenant(), id, Mark::Delivered)).unwrap();
    tell(process, id, K::Bounced, |_| {});
}

/// What people and providers say about addresses, and reports that belong to nobody.
fn opted_out(process: &Process) {
    let event = |kind: EventKind, number: &str| {
        let mut event = Event::new(P::Twilio, format!("{kind}-{number}"), kind, kind.as_str());
        event.recipient = Some(number.to_owned());
        event.at = Some(process.clock.now());
        event
    };
    let mut stop = event(EventKind::Unsubscribed, "+14165550108");
    stop.suppress = Some(SuppressionReason::Stop);
    let start = event(EventKind::Subscribed, "+14165550109");
    let inbound = event(EventKind::Inbound, "+14165550110");
    process.run(process.engine.take_feedback(vec![stop, start, inbound])).unwrap();
    process.send(text("opted_out_by_answer", 8));
    process
        .run(process.store.save_feedback_cursor("aws_sns.default", "the-cursor"))
        .unwrap();
}

/// Messages whose time ran out.
fn by_time(stage: &mut Stage) {
    let process = stage.process(&Setup::default());
    let mut mail = mail("expired");
    mail.handling.expires_in_seconds = Some(60);
    process.email_answers(&[fails(F::Unavailable), fails(F::Unavailable), fails(F::Unavailable)]);
    let expired = process.send(mail).message_id;
    let mut perhaps = crate::process::mail("expired_though_perhaps_sent").purpose(Purpose::Bulk);
    perhaps.handling.expires_in_seconds = Some(60);
    process.email_answers(&[fails(F::Unknown)]);
    let perhaps = process.send(perhaps).message_id;
    process.ends();
    let process = stage.process(&Setup::default());
    process.until(expired, |record| record.status == Status::Expired);
    process.until(perhaps, |record| record.status == Status::Unknown);
    process.ends();
}
