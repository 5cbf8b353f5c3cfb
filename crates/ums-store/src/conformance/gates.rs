//! Whoever is on the suppression list is not contacted: nothing that would lead to a call is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ums_core::{
    AttemptRecord, ListName, MustNotContact, NewMessage, Purpose, Status, Step, Store, StoreError, Stored, Suppression,
    SuppressionReason as Reason, Work,
};

use super::aftermath::{LONG_AGO, entry, lift, read};
use super::sample::{key, moment};
use super::suppressing::{CUSTOMER, reasons, whole_list};
use super::{Ground, Outcome, Sample};

fn refusals<T>(answer: Result<T, StoreError>) -> Result<Vec<MustNotContact>, Box<dyn std::error::Error>> {
    match answer {
        Err(StoreError::MustNotContact(refusals)) => Ok(refusals),
        Err(other) => Err(other.into()),
        Ok(_) => Err("it was not refused".into()),
    }
}

fn refusal(sample: &Sample, entries: &[Suppression]) -> MustNotContact {
    MustNotContact {
        message_id: sample.id(),
        entries: entries.to_vec(),
    }
}

/// A message that has not ended is not stored while one of its recipients is listed.
pub async fn a_message_to_a_listed_address_is_not_stored(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (sample, second, third) = (Sample::email(1), Sample::email(2), Sample::email(3).of("other"));
    let customer = [entry(CUSTOMER, Reason::Complaint, 5), entry(CUSTOMER, Reason::Stop, 6)];
    store.suppress(customer.to_vec(), Vec::new()).await?;
    for new in [sample.sending()?, sample.new_message(Status::Scheduled, Some(moment(50)))?] {
        let keyed = NewMessage {
            idempotency: Some(key("order", 1)),
            ..new
        };
        assert_eq!(refusals(store.accept(keyed).await)?, [refusal(&sample, &customer)]);
    }
    assert_eq!(store.message(sample.tenant(), sample.id()).await?, None);

    let copied = entry("hidden@example.net", Reason::Manual, 7);
    store.suppress(vec![copied.clone()], Vec::new()).await?;
    let queued = |sample: &Sample| sample.new_message(Status::Queued, Some(moment(50)));
    let batch = vec![queued(&third)?, queued(&sample)?, queued(&second)?];
    let both = [customer.as_slice(), std::slice::from_ref(&copied)].concat();
    assert_eq!(
        refusals(store.accept_all(batch).await)?,
        [refusal(&sample, &both), refusal(&second, std::slice::from_ref(&copied))],
        "the other tenant's list is empty"
    );
    assert_eq!(store.backlog(9).await?, 0, "nothing was written");
    assert_eq!(store.accept(queued(&third)?).await?, Stored::New);

    // Without those it may be stored, under the same key.
    let mut without = NewMessage {
        idempotency: Some(key("order", 1)),
        ..queued(&sample)?
    };
    for recipient in &mut without.recipients {
        if recipient.address != "copy@example.com" {
            recipient.status = Status::Suppressed;
        }
    }
    assert_eq!(store.accept(without.clone()).await?, Stored::New);
    let ended = second.new_message(Status::Unsubscribed, None)?;
    assert_eq!(store.accept_all(vec![ended]).await?, [Stored::New], "it has ended");

    // What was stored before is answered as that, whoever opted out since.
    store
        .suppress(vec![entry("copy@example.com", Reason::Complaint, 8)], Vec::new())
        .await?;
    assert_eq!(store.accept(without.clone()).await?, Stored::Replayed(sample.id()));
    let unkeyed = NewMessage {
        idempotency: None,
        ..without.clone()
    };
    assert_eq!(store.accept(unkeyed).await?, Stored::Replayed(sample.id()));
    assert_eq!(store.accept_all(vec![without]).await?, [Stored::Replayed(sample.id())]);
    Ok(())
}

/// No intent is recorded for a listed address; a step that ends the message is, and so is one for the others alone.
pub async fn no_intent_is_recorded_for_a_listed_address(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let new = sample.sending()?;
    let mut recipients = new.recipients.clone();
    store.accept(new).await?;
    let before = read(&*store, &sample).await?;
    let customer = [entry(CUSTOMER, Reason::Manual, 5)];
    store.suppress(customer.to_vec(), Vec::new()).await?;
    let intent = Step {
        attempts: vec![sample.intent(2)],
        ..sample.step(Status::Sending)
    };
    let with_recipients = Step {
        recipients: Some(recipients.clone()),
        ..intent.clone()
    };
    for step in [&intent, &with_recipients] {
        assert_eq!(refusals(store.record(step.clone()).await)?, [refusal(&sample, &customer)]);
    }
    assert_eq!(read(&*store, &sample).await?, before);

    let put_back = Step {
        work: Work::Due(moment(60)),
        ..sample.step(Status::Queued)
    };
    store.record(put_back).await?;
    recipients[0].status = Status::Unsubscribed;
    let token = read(&*store, &sample).await?.token;
    let others = Step {
        token,
        recipients: Some(recipients),
        ..intent.clone()
    };
    store.record(others).await?;
    let record = read(&*store, &sample).await?;
    assert_eq!(record.attempts.len(), 2, "the others are written to");

    store.suppress(vec![entry("copy@example.com", Reason::Stop, 6)], Vec::new()).await?;
    let next = Step {
        token: record.token,
        attempts: vec![sample.intent(3)],
        ..sample.step(Status::Sending)
    };
    assert_eq!(refusals(store.record(next).await)?.len(), 1, "as they stand now");
    let ends = Step {
        token: record.token,
        ..sample.step(Status::Unsubscribed)
    };
    store.record(ends).await?;
    Ok(())
}

/// An intent for some of the open recipients contacts those alone, at the door and later, whether or not the step names the recipients.
pub async fn an_intent_contacts_its_own_recipients(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let copied = [entry("copy@example.com", Reason::Manual, 5)];
    store.suppress(copied.to_vec(), Vec::new()).await?;
    let sample = Sample::email(1);
    let of = |attempt: u32, places: &[usize]| AttemptRecord {
        recipients: places.iter().copied().collect(),
        ..sample.intent(attempt)
    };
    let new = |places: &[usize]| -> Result<NewMessage, Box<dyn std::error::Error>> {
        Ok(NewMessage {
            intent: Some(of(1, places)),
            ..sample.sending()?
        })
    };
    let refused = store.accept(new(&[0, 1, 2])?).await;
    assert_eq!(refusals(refused)?, [refusal(&sample, &copied)]);
    assert_eq!(store.accept(new(&[0, 2])?).await?, Stored::New);

    let recipients = sample.sending()?.recipients;
    let mut attempt = 1;
    for named in [None, Some(recipients)] {
        // An entry of its own has the recipients looked up before the step is written.
        for suppress in [Vec::new(), vec![entry("stranger@example.com", Reason::Manual, 5)]] {
            attempt += 2;
            let step = |number: u32, places: &[usize]| Step {
                attempts: vec![of(number, places)],
                recipients: named.clone(),
                suppress: suppress.clone(),
                ..sample.step(Status::Sending)
            };
            let refused = store.record(step(attempt, &[1])).await;
            assert_eq!(refusals(refused)?, [refusal(&sample, &copied)]);
            store.record(step(attempt + 1, &[2])).await?;
        }
    }
    assert_eq!(read(&*store, &sample).await?.attempts.len(), 5);
    Ok(())
}

/// How an entry stands when a message is stored, or an intent of it recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    InForce,
    Lifted,
    Expired,
    /// The step itself puts it on the list.
    OwnOfTheStep,
}

/// Each reason and list of an entry, each way an entry stands, each purpose and list of a message: whether the message is stored, and
/// whether an intent of it is, follows from what the entry bars.
pub async fn an_entry_bars_the_messages_of_its_scope_alone(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let lists = [None, Some(ListName::parse("weekly")?), Some(ListName::parse("offers")?)];
    let of_messages = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk].map(|purpose| (purpose, None));
    let of_messages: Vec<_> = of_messages.into_iter().chain([(Purpose::Bulk, lists[1].clone())]).collect();
    let mut number = 0;
    for reason in Reason::ALL {
        for list in &lists {
            for stands in [Stands::InForce, Stands::Lifted, Stands::Expired, Stands::OwnOfTheStep] {
                for (purpose, of_message) in &of_messages {
                    number += 2;
                    let is_unsubscribe = *reason == Reason::Unsubscribe;
                    let is_of_it = *purpose == Purpose::Bulk && (list.is_none() || list == of_message);
                    let bars = matches!(stands, Stands::InForce | Stands::OwnOfTheStep) && (!is_unsubscribe || is_of_it);
                    let sample = |number| {
                        let sample = Sample::email(number).purpose(*purpose);
                        of_message.clone().into_iter().fold(sample, Sample::list)
                    };
                    let entry = entry_that(stands, *reason, list.clone());
                    let told = format!("{reason} of {list:?} {stands:?}: {purpose} of {of_message:?}");
                    bars_as_said(&*store, [sample(number), sample(number + 1)], entry, (stands, bars))
                        .await
                        .map_err(|fault| format!("{told}: {fault}"))?;
                }
            }
        }
    }
    Ok(())
}

fn entry_that(stands: Stands, reason: Reason, list: Option<ListName>) -> Suppression {
    let entry = Suppression {
        list,
        ..entry("somebody@example.com", reason, 5)
    };
    match stands {
        Stands::InForce | Stands::OwnOfTheStep => entry,
        Stands::Lifted => Suppression {
            lifted_at: Some(entry.since),
            ..entry
        },
        Stands::Expired => Suppression {
            expires_at: Some(LONG_AGO),
            ..entry
        },
    }
}

/// One message meets the entry at the door, the other one when an intent of it is recorded.
async fn bars_as_said(store: &dyn Store, samples: [Sample; 2], entry: Suppression, (stands, bars): (Stands, bool)) -> Outcome {
    let to = |sample: &Sample| -> Result<Suppression, Box<dyn std::error::Error>> {
        let address = sample.sending()?.recipients[0].address.clone();
        Ok(Suppression { address, ..entry.clone() })
    };
    let [at_the_door, later] = samples;
    if stands != Stands::OwnOfTheStep {
        store.suppress(vec![to(&at_the_door)?], Vec::new()).await?;
        let answer = store.accept(at_the_door.sending()?).await;
        assert_eq!(
            matches!(answer, Err(StoreError::MustNotContact(_))),
            bars,
            "at the door: {answer:?}"
        );
    }
    store.accept(later.sending()?).await?;
    let own = to(&later)?;
    let suppress = if stands == Stands::OwnOfTheStep {
        vec![own]
    } else {
        store.suppress(vec![own], Vec::new()).await?;
        Vec::new()
    };
    let intent = Step {
        attempts: vec![later.intent(2)],
        suppress,
        ..later.step(Status::Sending)
    };
    let answer = store.record(intent).await;
    assert_eq!(matches!(answer, Err(StoreError::MustNotContact(_))), bars, "an intent: {answer:?}");
    answer.or_else(|fault| if bars { Ok(()) } else { Err(fault) }).map_err(Into::into)
}

/// A step's own entries and lifts count for its intent.
pub async fn a_step_s_own_entries_count(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    store.accept(sample.sending()?).await?;
    let customer = entry(CUSTOMER, Reason::HardBounce, 5);
    let intent = Step {
        attempts: vec![sample.intent(2)],
        suppress: vec![Suppression {
            address: "Customer1@example.com".to_owned(),
            ..customer.clone()
        }],
        ..sample.step(Status::Sending)
    };
    assert_eq!(
        refusals(store.record(intent.clone()).await)?,
        [refusal(&sample, std::slice::from_ref(&customer))]
    );
    assert_eq!(reasons(&*store, sample.tenant(), CUSTOMER, moment(9)).await?, []);
    let taken_back = Step {
        lift: vec![lift(CUSTOMER, Reason::HardBounce, 6)],
        ..intent
    };
    store.record(taken_back).await?;
    assert_eq!(whole_list(&*store, sample.tenant()).await?.len(), 1);
    Ok(())
}

/// The intent was committed before the opt-out, and its answer was lost: that is what the repeat is told.
pub async fn a_repeated_intent_is_known_after_an_opt_out(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    store.accept(sample.sending()?).await?;
    let intent = Step {
        attempts: vec![sample.intent(2)],
        ..sample.step(Status::Sending)
    };
    store.record(intent.clone()).await?;
    store.suppress(vec![entry(CUSTOMER, Reason::Stop, 5)], Vec::new()).await?;
    store.record(intent).await?;
    assert_eq!(read(&*store, &sample).await?.attempts.len(), 2);
    Ok(())
}

/// While opt-outs are committed by whichever process, no message is stored after its recipient's.
pub async fn no_message_is_stored_after_the_opt_out(ground: &dyn Ground) -> Outcome {
    let one = ground.open().await?;
    let other = ground.open_beside().await?.unwrap_or_else(|| Arc::clone(&one));
    let is_out = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 1..=60_u32 {
        let (store, seen) = (Arc::clone(if number % 2 == 0 { &one } else { &other }), Arc::clone(&is_out));
        let new = Sample::sms(number).new_message(Status::Queued, Some(moment(1)))?;
        tasks.push(tokio::spawn(async move {
            tokio::task::yield_now().await;
            let is_too_late = seen.load(Ordering::SeqCst);
            match store.accept(new).await {
                Ok(_) => Ok(!is_too_late),
                Err(StoreError::MustNotContact(_)) => Ok(true),
                Err(fault) => Err(fault),
            }
        }));
        if number == 30 {
            let is_out = Arc::clone(&is_out);
            let store = Arc::clone(&other);
            tasks.push(tokio::spawn(async move {
                let taken = store.suppress(vec![entry("+14165550123", Reason::Stop, 5)], Vec::new()).await;
                is_out.store(true, Ordering::SeqCst);
                taken.map(|taken| taken == [true])
            }));
        }
    }
    for task in tasks {
        assert!(task.await??);
    }
    let late = one.accept(Sample::sms(61).new_message(Status::Queued, Some(moment(1)))?).await;
    assert_eq!(refusals(late)?.len(), 1);
    Ok(())
}
