//! The time: what the store knows of it, and the repair of what a wrong clock wrote.

use std::time::Duration;

use ums_core::{Boot, Clock as _, EventKind, KeptTime, LongestWaits, NewMessage, Status, SystemClock, Timestamp, Work};

use super::aftermath::{endpoint, event, notice, park, parked, read};
use super::feedback::SES;
use super::sample::moment;
use super::{Ground, Outcome, Sample};

/// The trusted time is kept whole, the last one alone, and outlives the process.
pub async fn the_trusted_time_is_kept(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    assert_eq!(store.kept_time().await?, None);
    let kept = KeptTime {
        trusted: Timestamp::from_micros(1_795_341_600_000_001),
        boot: Some(Boot {
            id: "f1c2a7f0-7c9a-4f5b-9d0b-0d6a5e6a7b8c".to_owned(),
            up: Duration::from_micros(90_061_000_007),
        }),
        steady: Duration::from_micros(3_600_000_003),
    };
    let unknown = KeptTime {
        trusted: Timestamp::from_micros(-1),
        boot: None,
        steady: Duration::ZERO,
    };
    for time in [&unknown, &kept, &unknown, &kept] {
        store.keep_time(time).await?;
        assert_eq!(store.kept_time().await?.as_ref(), Some(time));
    }
    if store.is_durable() {
        store.close(Duration::from_secs(5)).await;
        assert_eq!(ground.open().await?.kept_time().await?, Some(kept));
    }
    Ok(())
}

/// A store that several processes share tells the time by its own clock; others have none.
pub async fn a_shared_store_tells_the_time(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let machine = SystemClock::new();
    let (before, told) = (machine.now(), store.database_time().await?);
    assert_eq!(told.is_some(), store.is_shared());
    let Some(told) = told else { return Ok(()) };
    // The database may run on another machine.
    let tolerance = Duration::from_mins(1);
    assert!(told + tolerance >= before && told <= machine.now() + tolerance, "{told}");
    assert!(store.database_time().await?.is_some_and(|again| again >= told));
    Ok(())
}

/// What is due further ahead than anything is put off is due now; what its sender scheduled, and what waits until it expires, is left alone.
pub async fn what_a_wrong_clock_put_off_is_due_now(ground: &dyn Ground) -> Outcome {
    const NOW: u64 = 1_000;
    let waits = LongestWaits {
        messages: Duration::from_secs(100),
        notices: Duration::from_secs(200),
        events: Duration::from_secs(300),
        tolerance: Duration::from_secs(10),
    };
    let store = ground.open().await?;
    let put_off = [
        (Sample::email(1), Status::Queued, Some(NOW + 101)),
        (Sample::sms(2), Status::Queued, Some(NOW + 100)),
        (Sample::sms(3), Status::Scheduled, Some(50_000)),
        (Sample::sms(4).of("two"), Status::Pending, Some(80_000)),
        // Until it expires.
        (Sample::sms(5), Status::Queued, None),
        // Accepted in the future.
        (Sample::sms(2_000), Status::Queued, None),
    ];
    for (sample, status, due) in &put_off {
        let due_at = due.map_or(sample.message()?.expires_at, moment);
        let new = NewMessage {
            work: Work::Due(due_at),
            ..sample.new_message(*status, Some(due_at))?
        };
        store.accept(new).await?;
    }
    store.save_endpoint(endpoint(1)).await?;
    let notices = [(1, NOW + 200), (2, NOW + 201)].map(|(id, due)| ums_core::Notice {
        due_at: moment(due),
        ..notice(id, &endpoint(1))
    });
    store.add_notices(notices.to_vec()).await?;
    let events = [("soon", NOW + 300), ("late", NOW + 301)].map(|(id, due)| park(parked(&event(SES, id, EventKind::Opened), Some(due), 0)));
    store.take_feedback(events.to_vec()).await?;

    assert_eq!(store.hasten(waits, moment(NOW), 100).await?, 3 + 1 + 1);
    assert_eq!(store.hasten(waits, moment(NOW), 100).await?, 0, "it is done");
    let hastened = [true, false, false, true, false, true];
    for ((sample, ..), hastened) in put_off.iter().zip(hastened) {
        let record = read(&*store, sample).await?;
        assert_eq!(record.work.due_at() == Some(moment(NOW)), hastened, "{:?}", sample.id());
        let life = Duration::from_millis(90_061_001);
        let has_new_life = sample.id() == Sample::sms(2_000).id();
        let since = if has_new_life { moment(NOW) } else { sample.accepted_at() };
        assert_eq!(record.message.expires_at, since + life);
    }
    let claimed = store.claim_due(moment(NOW), ums_core::Room::of_each(9)).await?;
    assert_eq!(claimed.len(), 3);
    let told = store
        .claim_notices(&endpoint(1).tenant, endpoint(1).id, moment(NOW), moment(NOW + 1), 9)
        .await?;
    assert_eq!(told.iter().map(|notice| notice.id).collect::<Vec<_>>(), [notices[1].id]);
    let up = store.parked_events(moment(NOW), 9).await?;
    assert_eq!(
        up.iter().map(|parked| parked.record.event.id.as_str()).collect::<Vec<_>>(),
        ["late"]
    );
    Ok(())
}
