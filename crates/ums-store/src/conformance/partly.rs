//! A message whose first recipient has an end while others are open: one word for callers, and work that is left.

use ums_core::{
    AttemptOutcome, AttemptRecord, EventKind, FeedbackTaken, MessageFilter, MessageRecord, NewMessage, RecipientRecord, RecipientSet,
    Recovered, Retention, Room, Status, Step, Store, StoreError, Timestamp, Work,
};

use super::aftermath::{apply, event, kept, read, reported};
use super::feedback::SES;
use super::sample::moment;
use super::{Ground, Outcome, Sample};

/// The recipients of a message: the first one, and the others.
fn stand(sample: &Sample, first: Status, others: Status) -> Result<Vec<RecipientRecord>, Box<dyn std::error::Error>> {
    let mut recipients = sample.new_message(others, None)?.recipients;
    if let Some(recipient) = recipients.first_mut() {
        recipient.status = first;
    }
    Ok(recipients)
}

fn ended(sample: &Sample, outcome: AttemptOutcome) -> AttemptRecord {
    AttemptRecord {
        outcome,
        ..sample.intent(1)
    }
}

/// Stores a message that was taken for its first recipient, and that waits for the others.
async fn partly_sent(store: &dyn Store, sample: &Sample, due_at: Timestamp) -> Result<MessageRecord, Box<dyn std::error::Error>> {
    store.accept(sample.sending()?).await?;
    let step = Step {
        attempts: vec![AttemptRecord {
            recipients: [0].into_iter().collect(),
            ..ended(sample, AttemptOutcome::Accepted)
        }],
        recipients: Some(stand(sample, Status::Sent, Status::Queued)?),
        work: Work::Due(due_at),
        sent_at: Some(moment(5)),
        ..sample.step(Status::Sent)
    };
    store.record(step).await?;
    read(store, sample).await
}

async fn claim(store: &dyn Store, now: Timestamp) -> Result<Vec<MessageRecord>, StoreError> {
    store.claim_due(now, Room::of_each(9)).await
}

/// It is in hand, waits, or has ended, as the step says.
pub async fn a_step_says_what_is_left_to_be_done(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    store.accept(sample.sending()?).await?;
    let waits = Work::Due(moment(60));
    for (work, backlog, under_way) in [(Work::InHand, 0, 1), (waits, 1, 0), (Work::InHand, 0, 1), (Work::Ended, 0, 0)] {
        let step = Step {
            token: read(&*store, &sample).await?.token,
            recipients: Some(stand(
                &sample,
                Status::Sent,
                if work == Work::Ended { Status::Sent } else { Status::Queued },
            )?),
            work,
            ..sample.step(Status::Sent)
        };
        store.record(step).await?;
        let record = read(&*store, &sample).await?;
        assert_eq!((record.status, record.work), (Status::Sent, work));
        assert_eq!((store.backlog(9).await?, store.under_way(9).await?.len()), (backlog, under_way));
        assert_eq!(store.next_due().await?, work.due_at());
    }
    Ok(())
}

/// It is read as it was recorded, claimed at its time, and ends for good.
pub async fn a_partly_done_message_waits_under_its_word(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let record = partly_sent(&*store, &sample, moment(60)).await?;
    assert_eq!(
        (record.status, record.work, record.sent_at),
        (Status::Sent, Work::Due(moment(60)), Some(moment(5)))
    );
    assert_eq!(record.open_recipients(), [1, 2].into_iter().collect());
    assert!(claim(&*store, moment(59)).await?.is_empty());
    let claimed = claim(&*store, moment(60)).await?;
    let claimed = claimed.first().ok_or("not claimed")?;
    assert_eq!((claimed.status, claimed.work), (Status::Sent, Work::InHand));
    assert_eq!(*claimed, read(&*store, &sample).await?);

    let step = |status, work| Step {
        token: claimed.token,
        work,
        ..sample.step(status)
    };
    // It waits once more under the same word, and the first recipient's message comes back meanwhile.
    store.record(step(Status::Sent, Work::InHand)).await?;
    store.record(step(Status::Sent, Work::Due(moment(70)))).await?;
    let waiting = read(&*store, &sample).await?;
    assert_eq!((waiting.status, waiting.work), (Status::Sent, Work::Due(moment(70))));
    let bounced = Step {
        token: waiting.token,
        recipients: Some(stand(&sample, Status::Bounced, Status::Queued)?),
        ..step(Status::Bounced, Work::Due(moment(70)))
    };
    store.record(bounced).await?;
    let waiting = read(&*store, &sample).await?;
    assert_eq!((waiting.status, waiting.work), (Status::Bounced, Work::Due(moment(70))));
    let ends = Step {
        token: waiting.token,
        recipients: Some(stand(&sample, Status::Bounced, Status::Sent)?),
        ..step(Status::Bounced, Work::Ended)
    };
    store.record(ends).await?;
    let record = read(&*store, &sample).await?;
    assert_eq!((record.status, record.work), (Status::Bounced, Work::Ended));
    assert_eq!((store.next_due().await?, store.backlog(9).await?), (None, 0));
    Ok(())
}

/// Whatever the first recipient's end is and whatever was called: the list is by the word that the record has.
pub async fn a_partly_done_message_is_listed_by_its_word(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (all, others): (RecipientSet, RecipientSet) = ((0..3).collect(), (1..3).collect());
    let calls = [
        (AttemptOutcome::Failed, all),
        (AttemptOutcome::Unknown, all),
        (AttemptOutcome::Unknown, others),
        (AttemptOutcome::Unknown, RecipientSet::NOT_RECORDED),
        (AttemptOutcome::Accepted, all),
    ];
    let works = [Work::InHand, Work::Due(moment(60)), Work::Ended];
    let mut number = 0;
    for first in Status::ALL {
        for ((outcome, carried), work) in calls.iter().flat_map(|call| works.map(|work| (*call, work))) {
            number += 1;
            let sample = Sample::email(number);
            store.accept(sample.sending()?).await?;
            let status = if first.is_final() { *first } else { Status::Queued };
            let step = Step {
                attempts: vec![AttemptRecord {
                    recipients: carried,
                    ..ended(&sample, outcome)
                }],
                recipients: Some(stand(&sample, *first, Status::Queued)?),
                work: if status.is_final() || work != Work::Ended {
                    work
                } else {
                    Work::InHand
                },
                ..sample.step(status)
            };
            if status.is_final() && work == Work::Ended && !Status::Sending.may_become(status) {
                continue;
            }
            store.record(step).await?;
            let record = read(&*store, &sample).await?;
            let may_be_sent = work != Work::Ended && outcome == AttemptOutcome::Unknown;
            // An unknown attempt for others says nothing of a first recipient who must not be contacted.
            let is_of_first = carried.contains(0) || matches!(status, Status::Failed | Status::Expired);
            let word = if status.says_not_sent() && may_be_sent && is_of_first {
                Status::Unknown
            } else {
                status
            };
            assert_eq!(record.status, word, "{first} {outcome:?} {carried:?} {work:?}");
        }
    }
    let tenant = Sample::email(1).tenant().clone();
    let all = store.messages(&tenant, &MessageFilter::default(), None, 1_000).await?.messages;
    for status in Status::ALL {
        for to in [None, Some("copy@example.com".to_owned())] {
            let filter = MessageFilter {
                status: Some(*status),
                to,
                ..MessageFilter::default()
            };
            let listed = store.messages(&tenant, &filter, None, 1_000).await?.messages;
            let expected: Vec<_> = all.iter().filter(|record| record.status == *status).cloned().collect();
            assert_eq!(listed, expected, "{status}");
        }
    }
    Ok(())
}

/// The end of the first recipient stays; the others wait again. What the lost call may have done shows in the word.
pub async fn a_partly_done_message_is_given_back_with_its_ends(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for (number, first, word) in [(1, Status::Sent, Status::Sent), (2, Status::Failed, Status::Unknown)] {
        let sample = Sample::email(number);
        store.accept(sample.sending()?).await?;
        let calls = Step {
            attempts: vec![AttemptRecord {
                recipients: [1, 2].into_iter().collect(),
                ..sample.intent(2)
            }],
            recipients: Some(stand(&sample, first, Status::Sending)?),
            work: Work::InHand,
            ..sample.step(first)
        };
        store.record(calls).await?;
        let key = [(sample.tenant().clone(), sample.id())];
        // The attempt from the door is lost with it.
        assert_eq!(store.give_back(&key, moment(20)).await?, Recovered { requeued: 0, unknown: 2 });
        let record = read(&*store, &sample).await?;
        assert_eq!((record.status, record.work), (word, Work::Due(moment(20))));
        assert_eq!(record.recipients, stand(&sample, first, Status::Queued)?);
        assert_eq!(
            record.attempts.get(1).map(|attempt| attempt.recipients),
            Some([1, 2].into_iter().collect())
        );
        let claimed = claim(&*store, moment(20)).await?;
        assert_eq!(claimed.iter().map(|record| record.status).collect::<Vec<_>>(), [word]);
    }
    if !store.is_durable() {
        return Ok(());
    }
    let before = read(&*store, &Sample::email(1)).await?;
    store.close(std::time::Duration::from_secs(10)).await;
    let store = ground.open().await?;
    assert_eq!(store.recover(moment(30)).await?, Recovered { requeued: 2, unknown: 0 });
    let record = read(&*store, &Sample::email(1)).await?;
    assert_eq!((record.status, record.work), (Status::Sent, Work::Due(moment(30))));
    assert_eq!(record.recipients, before.recipients);
    Ok(())
}

/// Neither its body nor itself is forgotten while somebody is open.
pub async fn a_partly_done_message_is_kept_until_it_has_ended(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (waiting, in_hand) = (Sample::email(1), Sample::email(2));
    partly_sent(&*store, &in_hand, moment(1)).await?;
    assert_eq!(claim(&*store, moment(1)).await?.len(), 1);
    partly_sent(&*store, &waiting, moment(60)).await?;
    let all = Retention {
        bodies_before: moment(100),
        messages_before: moment(100),
        aftermath_before: Timestamp::from_micros(0),
    };
    for _ in 0..2 {
        let pruned = store.prune(all, moment(1_000), 9).await?;
        assert_eq!((pruned.bodies, pruned.messages), (0, 0));
    }
    for sample in [&waiting, &in_hand] {
        let record = read(&*store, sample).await?;
        assert!(record.message.content.has_body());
        let ends = Step {
            token: record.token,
            recipients: Some(stand(sample, Status::Sent, Status::Failed)?),
            ..sample.step(Status::Sent)
        };
        store.record(ends).await?;
    }
    let mut messages = 0;
    for _ in 0..3 {
        messages += store.prune(all, moment(1_000), 9).await?.messages;
    }
    assert_eq!(messages, 2);
    Ok(())
}

/// A report about the first recipient is refused while a process works on the others, and kept when it does not.
pub async fn a_partly_done_message_in_hand_takes_no_feedback(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    partly_sent(&*store, &sample, moment(60)).await?;
    let delivered = |record: &MessageRecord| -> Result<Step, Box<dyn std::error::Error>> {
        Ok(Step {
            work: Work::Due(moment(60)),
            recipients: Some(stand(&sample, Status::Delivered, Status::Queued)?),
            ..reported(
                &sample,
                record,
                Status::Delivered,
                vec![kept(&event(SES, "one", EventKind::Delivered), None)],
            )
        })
    };
    let claimed = claim(&*store, moment(60)).await?;
    let claimed = claimed.first().ok_or("not claimed")?;
    let taken = store.take_feedback(vec![apply(delivered(claimed)?)]).await?;
    assert_eq!(taken, [FeedbackTaken::Refused]);
    let waits = Step {
        token: claimed.token,
        work: Work::Due(moment(60)),
        ..sample.step(Status::Sent)
    };
    store.record(waits).await?;
    let record = read(&*store, &sample).await?;
    let taken = store.take_feedback(vec![apply(delivered(&record)?)]).await?;
    assert_eq!(taken, [FeedbackTaken::Kept]);
    let record = read(&*store, &sample).await?;
    assert_eq!((record.status, record.work), (Status::Delivered, Work::Due(moment(60))));
    assert_eq!(claim(&*store, moment(60)).await?.len(), 1);
    Ok(())
}

/// The first recipient must not be written to, the others may.
pub async fn a_message_may_be_partly_done_at_the_door(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for (number, work) in [(1, Work::InHand), (2, Work::Due(moment(9)))] {
        let sample = Sample::email(number);
        let new = NewMessage {
            recipients: stand(&sample, Status::Suppressed, Status::Queued)?,
            work,
            ..sample.new_message(Status::Suppressed, None)?
        };
        store.accept(new).await?;
        let record = read(&*store, &sample).await?;
        assert_eq!((record.status, record.work), (Status::Suppressed, work));
    }
    assert_eq!((store.under_way(9).await?.len(), store.backlog(9).await?), (1, 1));
    let in_hand = Sample::email(1);
    let sent = Step {
        recipients: Some(stand(&in_hand, Status::Suppressed, Status::Sent)?),
        ..in_hand.step(Status::Suppressed)
    };
    store.record(sent).await?;
    let record = read(&*store, &in_hand).await?;
    assert_eq!((record.status, record.work), (Status::Suppressed, Work::Ended));
    Ok(())
}
