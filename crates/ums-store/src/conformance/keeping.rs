//! Retention: what need not be kept goes in small steps; what is unfinished stays.

use ums_core::{IdempotencyKey, MessageFilter, NewMessage, Pruned, Retention, Status, Step, Store, TenantId};

use super::sample::{key, moment};
use super::{Ground, Outcome, Sample};

/// Nothing is older than this.
const NEVER: Retention = Retention {
    bodies_before: ums_core::Timestamp::from_micros(0),
    messages_before: ums_core::Timestamp::from_micros(0),
    aftermath_before: ums_core::Timestamp::from_micros(0),
};

/// Removes step by step until nothing is left to be removed.
async fn prune(store: &dyn Store, retention: Retention, limit: u32) -> Result<Pruned, Box<dyn std::error::Error>> {
    let mut all = Pruned::default();
    for _ in 0..1_000 {
        let pruned = store.prune(retention, moment(1_000), usize::try_from(limit)?).await?;
        assert!(
            [pruned.bodies, pruned.messages, pruned.keys]
                .iter()
                .all(|count| *count <= u64::from(limit))
        );
        all.bodies += pruned.bodies;
        all.messages += pruned.messages;
        all.keys += pruned.keys;
        if !pruned.more {
            return Ok(all);
        }
    }
    Err("it never ends".into())
}

async fn left(store: &dyn Store, tenant: &str) -> Result<Vec<(u32, bool)>, Box<dyn std::error::Error>> {
    let page = store
        .messages(&TenantId::new(tenant), &MessageFilter::default(), None, 1_000)
        .await?;
    let numbers = 1..=100_u32;
    let number = |id| numbers.clone().find(|number| Sample::sms(*number).id() == id).ok_or("not ours");
    let rows = page.messages.iter().rev();
    Ok(rows
        .map(|record| Ok((number(record.message.id)?, record.message.content.has_body())))
        .collect::<Result<_, &str>>()?)
}

/// Bodies first, whole messages later, of all tenants, in steps of any size.
pub async fn old_bodies_are_emptied_and_old_messages_forgotten(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for number in 1..=30 {
        let sample = if number % 2 == 0 {
            Sample::email(number)
        } else {
            Sample::sms(number)
        };
        let sample = sample.of(if number % 3 == 0 { "two" } else { "one" });
        store.accept(sample.new_message(Status::Sent, None)?).await?;
    }
    assert_eq!(prune(&*store, NEVER, 4).await?, Pruned::default());
    let retention = Retention {
        bodies_before: moment(21),
        messages_before: moment(11),
        aftermath_before: ums_core::Timestamp::from_micros(0),
    };
    let pruned = prune(&*store, retention, 4).await?;
    assert_eq!(pruned.messages, 10);
    assert!(pruned.bodies >= 10, "{pruned:?}");
    assert_eq!(
        prune(&*store, retention, 4).await?,
        Pruned::default(),
        "there is nothing left to be done"
    );
    for tenant in ["one", "two"] {
        let of_tenant = |number: &u32| number.is_multiple_of(3) == (tenant == "two");
        let expected: Vec<(u32, bool)> = (11..=30).filter(of_tenant).map(|number| (number, number >= 21)).collect();
        assert_eq!(left(&*store, tenant).await?, expected);
    }
    for number in 31..=32 {
        store.accept(Sample::sms(number).of("one").new_message(Status::Sent, None)?).await?;
    }
    let all = Retention {
        bodies_before: moment(100),
        messages_before: moment(100),
        aftermath_before: ums_core::Timestamp::from_micros(0),
    };
    assert_eq!(prune(&*store, all, 3).await?.messages, 22);
    store.accept(Sample::sms(33).of("one").new_message(Status::Sent, None)?).await?;
    assert_eq!(prune(&*store, NEVER, 3).await?, Pruned::default());
    assert_eq!(left(&*store, "one").await?, [(33, true)]);
    assert_eq!(prune(&*store, all, 3).await?.messages, 1);
    Ok(())
}

/// Neither what waits nor what is under way is touched, however old; once it has ended it goes.
pub async fn unfinished_messages_are_kept_until_they_have_ended(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let all = Retention {
        bodies_before: moment(100),
        messages_before: moment(100),
        aftermath_before: ums_core::Timestamp::from_micros(0),
    };
    for number in 1..=20 {
        let sample = Sample::sms(number);
        let new = match number % 4 {
            0 => sample.new_message(Status::Scheduled, Some(moment(500)))?,
            1 => sample.sending()?,
            2 => sample.new_message(Status::Failed, None)?,
            _ => sample.new_message(Status::Queued, Some(moment(1)))?,
        };
        store.accept(new).await?;
    }
    assert_eq!(prune(&*store, all, 3).await?.messages, 5);
    let tenant = TenantId::default();
    let kept = left(&*store, tenant.as_str()).await?;
    assert_eq!(kept.len(), 15);
    assert!(kept.iter().all(|(number, has_body)| number % 4 != 2 && *has_body));
    assert_eq!(prune(&*store, all, 3).await?, Pruned::default());
    let bodies_of_few = Retention {
        bodies_before: moment(9),
        messages_before: moment(100),
        aftermath_before: ums_core::Timestamp::from_micros(0),
    };
    assert_eq!(
        prune(&*store, bodies_of_few, 2).await?,
        Pruned::default(),
        "a run ends for both kinds"
    );

    for number in [4, 5, 8, 9] {
        let sample = Sample::sms(number);
        let status = if number % 4 == 0 { Status::Cancelled } else { Status::Sent };
        store.record(sample.step(status)).await?;
    }
    assert_eq!(prune(&*store, all, 3).await?.messages, 4);
    assert_eq!(left(&*store, tenant.as_str()).await?.len(), 11);
    Ok(())
}

/// A key whose time is over is forgotten; others stay, whatever became of their messages.
pub async fn expired_keys_are_forgotten(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for number in 1..=10 {
        let expires_at = if number % 2 == 0 { moment(10) } else { moment(5_000) };
        let idempotency = IdempotencyKey {
            expires_at,
            ..key(&format!("order-{number}"), 1)
        };
        store
            .accept(NewMessage {
                idempotency: Some(idempotency),
                ..Sample::sms(number).new_message(Status::Sent, None)?
            })
            .await?;
    }
    let retention = Retention {
        messages_before: moment(2),
        aftermath_before: ums_core::Timestamp::from_micros(0),
        ..NEVER
    };
    let pruned = prune(&*store, retention, 2).await?;
    assert_eq!((pruned.keys, pruned.messages), (5, 1));
    Ok(())
}

/// A code that a provider took keeps its body until a time: the provider may report that it kept the code back. Then the body goes, unless
/// the message is being worked on again.
pub async fn the_body_of_a_code_is_forgotten_at_its_time(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let code = |number| Sample::email(number).purpose(ums_core::Purpose::Otp);
    let has_body = async |number| -> Result<bool, Box<dyn std::error::Error>> {
        let record = store.message(code(number).tenant(), code(number).id()).await?.ok_or("it is gone")?;
        Ok(record.message.content.has_body())
    };
    for number in 1..=3 {
        store.accept(code(number).sending()?).await?;
        let until = moment(if number == 1 { 2_000 } else { 900 });
        let sent = Step {
            forget_body_at: Some(until),
            ..code(number).step(Status::Sent)
        };
        store.record(sent).await?;
    }
    let record = store.message(code(3).tenant(), code(3).id()).await?.ok_or("it is gone")?;
    let put_back = Step {
        token: record.token,
        work: ums_core::Work::Due(moment(50)),
        ..code(3).step(Status::Queued)
    };
    store.record(put_back).await?;
    assert_eq!(prune(&*store, NEVER, 5).await?.bodies, 1);
    assert_eq!((has_body(1).await?, has_body(2).await?, has_body(3).await?), (true, false, true));
    let token = store.message(code(3).tenant(), code(3).id()).await?.ok_or("it is gone")?.token;
    let failed = Step {
        token,
        ..code(3).step(Status::Failed)
    };
    store.record(failed).await?;
    assert_eq!(prune(&*store, NEVER, 5).await?.bodies, 1, "it has ended since");
    assert_eq!(prune(&*store, NEVER, 5).await?, Pruned::default());
    assert!(has_body(1).await?, "its time has not come");
    Ok(())
}
