//! Large contents: records carry the envelope, and the whole is read by itself.

use ums_core::{Body, Content, MessageFilter, MessageRecord, Room, Status, Step, Store};

use super::sample::moment;
use super::{Ground, Outcome, Sample};

/// A message with an attachment of 1 MiB and 100 KiB of HTML.
fn heavy(number: u32) -> Sample {
    Sample::email(number).large(1 << 20, 100 << 10)
}

async fn read(store: &dyn Store, sample: &Sample) -> Result<MessageRecord, Box<dyn std::error::Error>> {
    Ok(store.message(sample.tenant(), sample.id()).await?.ok_or("it is gone")?)
}

async fn content(store: &dyn Store, sample: &Sample) -> Result<Content, Box<dyn std::error::Error>> {
    Ok(store.content(sample.tenant(), sample.id()).await?.ok_or("it is gone")?)
}

/// Whether the record carries the envelope of that message, and all that is kept beside the content.
fn carries_the_envelope(record: &MessageRecord, sample: &Sample) -> Outcome {
    let accepted = sample.message()?;
    let bytes = serde_json::to_string(&accepted.content)?.len();
    assert_eq!(record.body(), Body::Apart { bytes });
    assert_eq!(record.message.content, accepted.content.envelope());
    assert_eq!(record.message.handling, accepted.handling);
    assert_eq!(record.message.metadata, accepted.metadata);
    assert_eq!(record.recipients.len(), sample.recipients());
    Ok(())
}

/// However a record is read, it carries no large body. The whole content is as it was accepted, and a small one stays in its record.
pub async fn a_large_content_is_read_by_itself(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (large, small) = (heavy(1), Sample::email(2));
    for sample in [&large, &small] {
        store.accept(sample.new_message(Status::Queued, Some(moment(1)))?).await?;
    }
    let shown = read(&*store, &large).await?;
    carries_the_envelope(&shown, &large)?;
    let page = store.messages(large.tenant(), &MessageFilter::default(), None, 2).await?;
    assert_eq!(page.messages.last(), Some(&shown));
    let claimed = store.claim_due(moment(1), Room::of_each(2)).await?;
    assert_eq!(claimed.len(), 2);
    carries_the_envelope(&claimed[0], &large)?;
    assert_eq!(content(&*store, &large).await?, large.message()?.content);

    assert_eq!(claimed[1].body(), Body::Here(&small.message()?.content));
    assert_eq!(content(&*store, &small).await?, small.message()?.content);
    assert_eq!(store.content(large.tenant(), heavy(3).id()).await?, None);
    Ok(())
}

/// Large and small messages of one batch each have their own content.
pub async fn a_batch_may_hold_large_messages(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let samples = [Sample::email(1), heavy(2), Sample::sms(3), heavy(4)];
    let new = samples.iter().map(|sample| sample.new_message(Status::Queued, Some(moment(1))));
    store.accept_all(new.collect::<Result<_, _>>()?).await?;
    for sample in &samples {
        assert_eq!(content(&*store, sample).await?, sample.message()?.content);
        let is_large = matches!(read(&*store, sample).await?.body(), Body::Apart { .. });
        assert_eq!(is_large, [heavy(2).id(), heavy(4).id()].contains(&sample.id()));
    }
    Ok(())
}

/// Of a large content that was emptied nothing is left but sender and recipients, however it was emptied.
pub async fn a_large_body_is_forgotten(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (by_step, by_age) = (heavy(1), heavy(2));
    for sample in [&by_step, &by_age] {
        store.accept(sample.sending()?).await?;
    }
    let forgetting = Step {
        forget_body: true,
        ..by_step.step(Status::Sent)
    };
    store.record(forgetting).await?;
    store.record(by_age.step(Status::Sent)).await?;
    assert!(read(&*store, &by_age).await?.has_body());
    let retention = ums_core::Retention {
        bodies_before: moment(100),
        messages_before: moment(0),
        aftermath_before: moment(0),
    };
    assert_eq!(store.prune(retention, moment(100), 10).await?.bodies, 1);
    for sample in [&by_step, &by_age] {
        let (record, emptied) = (read(&*store, sample).await?, sample.message()?.content.without_body());
        assert_eq!(record.body(), Body::Forgotten);
        assert_eq!(record.message.content, emptied);
        assert_eq!(content(&*store, sample).await?, emptied);
    }
    Ok(())
}
