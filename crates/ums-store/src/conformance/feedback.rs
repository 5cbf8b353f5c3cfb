//! Feedback: an event is kept once, with its message or without one, and what follows from it whole or not at all.

use std::ops::RangeInclusive;

use ums_core::{
    AccountId, AttemptOutcome, AttemptRecord, Event, EventKind, EventRecord, FeedbackTaken, ProviderKind, Room, SkipReason, Status, Step,
    Store, StoreError, SuppressionReason, Target, Timestamp, Work,
};

use super::aftermath::{LONG_AGO, apply, endpoint, entry, event, kept, lift, notice, park, parked, read, reported, sent};
use super::sample::{moment, skip};
use super::{Ground, Outcome, Sample};

pub(super) const SES: ProviderKind = ProviderKind::AwsSes;

pub(super) fn ids(records: &[EventRecord]) -> Vec<&str> {
    records.iter().map(|record| record.event.id.as_str()).collect()
}

pub(super) async fn target(store: &dyn Store, event: &Event) -> Result<Target, StoreError> {
    let targets = store.feedback_targets(std::slice::from_ref(event)).await?;
    Ok(targets.of.first().copied().unwrap_or(Target::Known))
}

/// The message, its attempt and its recipients stand where the step says, its events read back as they came, and are known.
pub async fn an_event_comes_to_its_message(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    assert_eq!(before.events, []);
    let mut told = event(SES, "one", EventKind::Delivered);
    told.about.attempt_id = Some(sample.intent(1).id);
    let targets = store.feedback_targets(std::slice::from_ref(&told)).await?;
    assert_eq!(targets.of, [Target::Message(0, Some(sample.intent(1).id))]);
    assert_eq!(targets.messages, std::slice::from_ref(&before));

    let mut attempts = before.attempts.clone();
    for attempt in &mut attempts {
        attempt.reported = Some(Status::Delivered);
    }
    let events = vec![
        kept(&told, Some(sample.intent(1).id)),
        kept(&event(SES, "a later one", EventKind::Opened), None),
    ];
    let step = Step {
        attempts: attempts.clone(),
        delivered_at: Some(moment(20)),
        skips: vec![skip(SES, SkipReason::Open)],
        ..reported(&sample, &before, Status::Delivered, events.clone())
    };
    assert_eq!(store.take_feedback(vec![apply(step)]).await?, [FeedbackTaken::Kept]);
    let after = read(&*store, &sample).await?;
    assert_eq!((&after.events, &after.attempts), (&events, &attempts));
    assert_eq!(
        (after.status, after.sent_at, after.delivered_at),
        (Status::Delivered, before.sent_at, Some(moment(20)))
    );
    assert!(after.token > before.token, "a second step on what was read before is refused");
    assert_eq!(target(&*store, &told).await?, Target::Known);

    let opened = event(SES, "third", EventKind::Opened);
    let step = reported(&sample, &after, Status::Delivered, vec![kept(&opened, None)]);
    store.take_feedback(vec![apply(step)]).await?;
    let last = read(&*store, &sample).await?;
    assert_eq!(ids(&last.events), ["one", "a later one", "third"]);
    assert_eq!(last.delivered_at, Some(moment(20)), "a later step keeps what is known");
    let page = store
        .messages(sample.tenant(), &ums_core::MessageFilter::default(), None, 9)
        .await?;
    assert_eq!(
        page.messages.first().map(|record| record.events.len()),
        Some(0),
        "lists come without events"
    );
    Ok(())
}

/// A step that is not feedback's may carry events, too.
pub async fn a_recorded_step_keeps_its_events(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    store.accept(sample.sending()?).await?;
    let waiting = event(SES, "early", EventKind::Delivered);
    store.take_feedback(vec![park(parked(&waiting, Some(40), 0))]).await?;
    let step = Step {
        events: vec![kept(&waiting, Some(sample.intent(1).id)), kept(&waiting, None)],
        delivered_at: Some(moment(21)),
        ..sample.step(Status::Sent)
    };
    for _ in 0..2 {
        store.record(step.clone()).await?;
    }
    let record = read(&*store, &sample).await?;
    assert_eq!(record.events, [kept(&waiting, Some(sample.intent(1).id))]);
    assert_eq!(record.delivered_at, Some(moment(21)));
    assert!(store.parked_events(moment(99), 9).await?.is_empty());
    Ok(())
}

/// By the attempt's id, else by the message's, else by the provider's; each message is given once.
pub async fn events_find_their_messages(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (one, other) = (Sample::email(1), Sample::sms(2).of("other"));
    for sample in [&one, &other] {
        sent(&*store, sample).await?;
    }
    let about = |sample: &Sample, attempt: bool, message: bool, reference: bool| {
        let mut told = event(sample.intent(1).provider, "x", EventKind::Delivered);
        told.about.attempt_id = attempt.then(|| sample.intent(1).id);
        told.about.message_id = message.then(|| sample.id());
        told.about.provider_message_id = reference.then(|| format!("ref-{}", sample.id()));
        told
    };
    let unheard_of = Sample::email(9);
    let mut strange_attempt = about(&one, false, true, false);
    strange_attempt.about.attempt_id = Some(unheard_of.intent(1).id);
    let mut two_accounts = about(&one, false, false, true);
    two_accounts.account = AccountId::new("spare");
    let mut two_providers = about(&one, false, false, true);
    two_providers.provider = ProviderKind::SendGrid;
    let mut message_of_another = about(&one, false, true, true);
    message_of_another.account = AccountId::new("spare");
    let asked = [
        about(&other, true, false, false),
        about(&one, true, true, true),
        about(&one, false, true, false),
        about(&other, false, false, true),
        strange_attempt,
        two_accounts,
        two_providers,
        message_of_another,
        about(&unheard_of, true, true, true),
        about(&one, false, false, false),
    ];
    let targets = store.feedback_targets(&asked).await?;
    let (first, second) = (Some(one.intent(1).id), Some(other.intent(1).id));
    assert_eq!(
        targets.of,
        [
            Target::Message(0, second),
            Target::Message(1, first),
            Target::Message(1, first),
            Target::Message(0, second),
            Target::Message(1, first),
            Target::Nobody,
            Target::Nobody,
            Target::Message(1, None),
            Target::Nobody,
            Target::Nobody,
        ]
    );
    assert_eq!(targets.messages, [read(&*store, &other).await?, read(&*store, &one).await?]);
    Ok(())
}

/// Where the attempt is not named: the one with the provider's id, else the only one of the provider's account, else none.
pub async fn an_event_finds_its_attempt(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    store.accept(sample.sending()?).await?;
    let attempts = [1, 2, 3].map(|number| {
        let mut attempt = sample.intent(number);
        attempt.provider_message_id = (number != 3).then(|| format!("ref-{number}"));
        attempt.provider = if number == 3 { ProviderKind::SendGrid } else { SES };
        attempt.outcome = AttemptOutcome::Unknown;
        attempt
    });
    let step = Step {
        attempts: attempts.to_vec(),
        ..sample.step(Status::Unknown)
    };
    store.record(step).await?;
    let about = |provider, reference: Option<&str>| {
        let mut told = event(provider, "x", EventKind::Delivered);
        told.about.message_id = Some(sample.id());
        told.about.provider_message_id = reference.map(str::to_owned);
        told
    };
    let asked = [
        about(SES, Some("ref-2")),
        about(SES, Some("ref-9")),
        about(SES, None),
        about(ProviderKind::SendGrid, None),
        about(ProviderKind::Smtp, None),
    ];
    let expected = [Some(attempts[1].id), None, None, Some(attempts[2].id), None];
    let targets = store.feedback_targets(&asked).await?;
    assert_eq!(targets.of, expected.map(|attempt| Target::Message(0, attempt)));
    Ok(())
}

/// A refused step leaves neither event nor entry nor notice, and the other steps of its batch are kept.
pub async fn a_refused_step_leaves_nothing(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let good = Sample::email(1);
    let before = sent(&*store, &good).await?;
    let under_way = Sample::email(2);
    store.accept(under_way.sending()?).await?;
    store.save_endpoint(endpoint(1)).await?;
    let told = |id: &str| vec![kept(&event(SES, id, EventKind::Bounced), None)];
    let with_all = |step: Step| Step {
        suppress: vec![entry("customer1@example.com", SuppressionReason::HardBounce, 9)],
        notices: vec![notice(1, &endpoint(1))],
        error: Some("no".to_owned()),
        ..step
    };
    let stale = Step {
        token: before.token + 1,
        ..reported(&good, &before, Status::Bounced, told("stale"))
    };
    let bad = [
        stale,
        reported(&good, &before, Status::Expired, told("illegal")),
        Sample::email(8).step(Status::Bounced),
        // By whom it is worked on makes no difference.
        Step {
            events: told("mine"),
            ..under_way.step(Status::Bounced)
        },
    ];
    let mut batch: Vec<_> = bad.into_iter().map(|step| apply(with_all(step))).collect();
    batch.insert(2, apply(reported(&good, &before, Status::Delivered, told("good"))));
    batch.push(park(parked(&event(SES, "nobody's", EventKind::Opened), Some(40), 0)));
    let taken = store.take_feedback(batch).await?;
    let (kept, refused) = (FeedbackTaken::Kept, FeedbackTaken::Refused);
    assert_eq!(taken, [refused, refused, kept, refused, refused, kept]);
    let after = read(&*store, &good).await?;
    assert_eq!(
        (ids(&after.events), after.status, after.error),
        (vec!["good"], Status::Delivered, None)
    );
    assert_eq!(read(&*store, &under_way).await?.status, Status::Sending);
    for id in ["stale", "illegal", "mine"] {
        assert_eq!(target(&*store, &event(SES, id, EventKind::Bounced)).await?, Target::Nobody);
    }
    let everywhere = ums_core::SuppressionFilter::default();
    assert!(
        store
            .suppressions(good.tenant(), &everywhere, None, LONG_AGO, 9)
            .await?
            .entries
            .is_empty()
    );
    assert_eq!(store.next_notice_due().await?, None);

    let put_back = Step {
        work: Work::Due(moment(60)),
        ..under_way.step(Status::Queued)
    };
    store.record(put_back).await?;
    let record = read(&*store, &under_way).await?;
    let step = reported(&under_way, &record, Status::Delivered, told("mine"));
    assert_eq!(store.take_feedback(vec![apply(step)]).await?, [kept], "it is free now");
    assert!(store.claim_due(moment(99), Room::of_each(9)).await?.is_empty());
    Ok(())
}

/// The same refusals for a step that is recorded by itself.
pub async fn a_refused_record_leaves_no_aftermath(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    store.save_endpoint(endpoint(1)).await?;
    for (token, status) in [(before.token + 1, Status::Bounced), (before.token, Status::Expired)] {
        let step = Step {
            token,
            events: vec![kept(&event(SES, "one", EventKind::Bounced), None)],
            suppress: vec![entry("customer1@example.com", SuppressionReason::HardBounce, 9)],
            notices: vec![notice(1, &endpoint(1))],
            ..sample.step(status)
        };
        assert!(store.record(step).await.is_err());
    }
    assert_eq!(read(&*store, &sample).await?, before);
    assert_eq!(target(&*store, &event(SES, "one", EventKind::Bounced)).await?, Target::Nobody);
    let addresses = ["customer1@example.com".to_owned()];
    let listed = store
        .suppressed(sample.tenant(), ums_core::Channel::Email, &addresses, moment(99))
        .await?;
    assert!(listed.is_empty());
    assert_eq!(store.next_notice_due().await?, None);
    Ok(())
}

/// However often it is told, in one step, in one batch or later; the rest of what comes with it is kept.
pub async fn an_event_told_again_is_kept_once(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    let told = |ids: &[&str]| -> Vec<EventRecord> {
        let told = ids.iter().map(|id| kept(&event(SES, id, EventKind::Opened), None));
        told.collect()
    };
    let step = |token: i64, ids: &[&str]| {
        apply(Step {
            token,
            ..reported(&sample, &before, Status::Sent, told(ids))
        })
    };
    let one = event(SES, "one", EventKind::Opened);
    let batch = vec![
        step(before.token, &["one", "one"]),
        step(before.token + 1, &["one"]),
        step(before.token + 1, &["one", "two"]),
        park(parked(&one, Some(40), 0)),
    ];
    let (kept_, known) = (FeedbackTaken::Kept, FeedbackTaken::Known);
    assert_eq!(store.take_feedback(batch.clone()).await?, [kept_, known, kept_, known]);
    assert_eq!(
        store.take_feedback(batch).await?,
        [known; 4],
        "as after an answer that was lost: nothing is left to be done"
    );
    assert_eq!(ids(&read(&*store, &sample).await?.events), ["one", "two"]);
    assert!(store.parked_events(moment(99), 9).await?.is_empty());

    // Another account's event of the same id is another one, and so is another provider's.
    let mut others = [one.clone(), one];
    others[0].account = AccountId::new("spare");
    others[1].provider = ProviderKind::SendGrid;
    let after = read(&*store, &sample).await?;
    let events = others.iter().map(|event| kept(event, None)).collect();
    store
        .take_feedback(vec![apply(reported(&sample, &after, Status::Sent, events))])
        .await?;
    assert_eq!(read(&*store, &sample).await?.events.len(), 4);
    Ok(())
}

/// A step without events is done once when it is repeated; one that says more is another one, and too late.
pub async fn a_repeated_step_is_told_from_another(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    store.save_endpoint(endpoint(1)).await?;
    let step = Step {
        notices: vec![notice(1, &endpoint(1))],
        suppress: vec![entry("customer1@example.com", SuppressionReason::HardBounce, 9)],
        lift: vec![lift("customer1@example.com", SuppressionReason::Unsubscribe, 8)],
        ..reported(&sample, &before, Status::Bounced, Vec::new())
    };
    store.record(step.clone()).await?;
    store.record(step.clone()).await?;
    let batch = vec![apply(step.clone())];
    assert_eq!(store.take_feedback(batch).await?, [FeedbackTaken::Kept], "repeated on another way");
    assert_eq!(read(&*store, &sample).await?.token, before.token + 1);
    let others = [
        Step {
            notices: vec![notice(2, &endpoint(1))],
            ..step.clone()
        },
        Step {
            suppress: vec![entry("customer1@example.com", SuppressionReason::Complaint, 9)],
            ..step.clone()
        },
        Step {
            lift: Vec::new(),
            ..step.clone()
        },
        Step {
            events: vec![kept(&event(SES, "one", EventKind::Bounced), None)],
            ..step.clone()
        },
    ];
    for other in others {
        let refused = store.record(other).await;
        assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    }
    Ok(())
}

/// By provider, account, time of the call and address, of all tenants; only while nobody knows the outcome, and only those whom the attempt was
/// for.
pub async fn unknown_attempts_are_found_by_address_and_time(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    // Sample 1 to 6 are called at their numbers in seconds.
    for number in 1..=6 {
        let sample = Sample::email(number).of(if number % 2 == 0 { "even" } else { "odd" });
        store.accept(sample.sending()?).await?;
        let mut attempt = sample.intent(1);
        attempt.account = AccountId::new(if number == 5 { "spare" } else { "default" });
        attempt.outcome = if number == 4 {
            AttemptOutcome::Accepted
        } else {
            AttemptOutcome::Unknown
        };
        let step = Step {
            attempts: vec![attempt],
            events: vec![kept(&event(SES, &format!("event {number}"), EventKind::Opened), None)],
            ..sample.step(Status::Unknown)
        };
        store.record(step).await?;
    }
    let find = |address: &'static str, called: RangeInclusive<u64>, limit: usize| {
        let store = &store;
        async move {
            let called = moment(*called.start())..=moment(*called.end());
            let found = store
                .unknown_attempts_to(SES, &AccountId::default(), address, called, limit)
                .await?;
            assert!(found.iter().all(|record| record.events.is_empty()));
            let numbers = found
                .into_iter()
                .filter_map(|record| (1..=6).find(|number| Sample::sms(*number).id() == record.message.id));
            Ok::<Vec<u32>, StoreError>(numbers.collect())
        }
    };
    assert_eq!(find("COPY@example.com", 0..=9, 9).await?, [1, 2, 3, 6]);
    assert_eq!(find("copy@example.com", 2..=3, 9).await?, [2, 3], "both ends belong to it");
    assert_eq!(find("copy@example.com", 0..=9, 2).await?, [1, 2]);
    assert_eq!(find("customer3@example.com", 0..=9, 9).await?, [3]);
    assert_eq!(find("nobody@example.com", 0..=9, 9).await?, Vec::<u32>::new());
    // The copy of the third was sent by another attempt.
    let third = Sample::email(3).of("odd");
    let step = Step {
        attempts: vec![AttemptRecord {
            outcome: AttemptOutcome::Unknown,
            recipients: [0, 2].into_iter().collect(),
            ..third.intent(1)
        }],
        token: read(&*store, &third).await?.token,
        ..third.step(Status::Unknown)
    };
    store.record(step).await?;
    assert_eq!(find("copy@example.com", 0..=9, 9).await?, [1, 2, 6]);
    assert_eq!(find("hidden@example.net", 0..=9, 9).await?, [1, 2, 3, 6]);
    let others = store
        .unknown_attempts_to(
            ProviderKind::SendGrid,
            &AccountId::default(),
            "copy@example.com",
            moment(0)..=moment(9),
            9,
        )
        .await?;
    assert!(others.is_empty());
    Ok(())
}

/// How far a source was read is kept by its name, and outlives the process where the store does.
pub async fn feedback_cursors_are_kept(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    assert_eq!(store.feedback_cursor("aws_sns.default").await?, None);
    for cursor in ["one", "two"] {
        store.save_feedback_cursor("aws_sns.default", cursor).await?;
    }
    store.save_feedback_cursor("twilio.default", "three").await?;
    assert_eq!(store.feedback_cursor("aws_sns.default").await?.as_deref(), Some("two"));
    assert_eq!(store.feedback_cursor("twilio.default").await?.as_deref(), Some("three"));
    Ok(())
}

/// What was taken outlives the process.
pub async fn feedback_outlives_the_process(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    if !store.is_durable() {
        return Ok(());
    }
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    let told = kept(&event(SES, "one", EventKind::Delivered), None);
    store.save_endpoint(endpoint(1)).await?;
    let step = Step {
        suppress: vec![entry("customer1@example.com", SuppressionReason::Complaint, 9)],
        notices: vec![notice(1, &endpoint(1))],
        ..reported(&sample, &before, Status::Delivered, vec![told.clone()])
    };
    store.take_feedback(vec![apply(step)]).await?;
    store.close(std::time::Duration::from_secs(10)).await;
    let store = ground.open().await?;
    assert_eq!(read(&*store, &sample).await?.events, [told]);
    let addresses = ["customer1@example.com".to_owned()];
    let listed = store
        .suppressed(sample.tenant(), ums_core::Channel::Email, &addresses, Timestamp::from_micros(1))
        .await?;
    assert_eq!(listed, [entry("customer1@example.com", SuppressionReason::Complaint, 9)]);
    assert_eq!(store.endpoints().await?, [endpoint(1)]);
    assert_eq!(store.next_notice_due().await?, Some(moment(1)));
    Ok(())
}
