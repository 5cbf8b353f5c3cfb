//! The outbox: a notice is posted until its endpoint takes it, by one process at a time, and is never lost.

use std::sync::Arc;

use ums_core::{
    Disabled, Endpoint, ListChange, ListNotice, NewMessage, Notice, NoticeFilter, NoticeOutcome, NoticeState, Status, Step, Store,
    StoreError, SuppressionReason, TenantId,
};

use super::aftermath::{apply, endpoint, entry, event, kept, notice, park, parked, reported, sent};
use super::sample::moment;
use super::{Ground, Outcome, Sample};

fn outcome(notice: &Notice, state: NoticeState, at: u64) -> NoticeOutcome {
    NoticeOutcome {
        tenant: notice.tenant.clone(),
        endpoint: notice.endpoint,
        id: notice.id,
        state,
        due_at: moment(at + 100),
        result: format!("{state} {at}"),
        at: moment(at),
    }
}

/// The notice of a call's first entry.
fn of_list(notice: Notice) -> ListNotice {
    ListNotice {
        of: ListChange::Suppressed(0),
        notice,
    }
}

async fn all(store: &dyn Store, filter: &NoticeFilter) -> Result<Vec<Notice>, StoreError> {
    let page = store.notices(&TenantId::default(), filter, None, 1_000).await?;
    assert_eq!(page.next_cursor, None);
    Ok(page.notices.into_iter().rev().collect())
}

async fn one(store: &dyn Store, id: u32) -> Result<Notice, Box<dyn std::error::Error>> {
    let wanted = notice(id, &endpoint(1)).id;
    let mut notices = all(store, &NoticeFilter::default()).await?.into_iter();
    Ok(notices.find(|notice| notice.id == wanted).ok_or("no such notice")?)
}

async fn only_endpoint(store: &dyn Store) -> Result<Endpoint, Box<dyn std::error::Error>> {
    Ok(store.endpoints().await?.pop().ok_or("no endpoint")?)
}

async fn claim(store: &dyn Store, endpoint: &Endpoint, (now, again_at): (u64, u64), limit: usize) -> Result<Vec<Notice>, StoreError> {
    store
        .claim_notices(&endpoint.tenant, endpoint.id, moment(now), moment(again_at), limit)
        .await
}

/// Endpoints read back as they were saved, of all tenants; what posts have taught stays when one is changed.
pub async fn endpoints_are_kept_and_changed(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let mut saved = vec![
        endpoint(1),
        endpoint(2),
        Endpoint {
            tenant: TenantId::new("other"),
            kinds: Vec::new(),
            disabled: Some(Disabled {
                at: moment(4),
                reason: "by hand".to_owned(),
            }),
            ..endpoint(3)
        },
    ];
    for endpoint in &saved {
        let told = Endpoint {
            failing_since: Some(moment(1)),
            last_success_at: Some(moment(1)),
            last_error: Some("no".to_owned()),
            ..endpoint.clone()
        };
        store.save_endpoint(told).await?;
    }
    let mut found = store.endpoints().await?;
    found.sort_by_key(|endpoint| endpoint.id);
    assert_eq!(found, saved, "what is the outbox's own is of no meaning when it is saved");

    let first = notice(1, &endpoint(1));
    store.add_notices(vec![first.clone()]).await?;
    store.settle_notice(outcome(&first, NoticeState::Delivered, 9)).await?;
    store.settle_notice(outcome(&first, NoticeState::Failed, 10)).await?;
    "https://app.example.com/new".clone_into(&mut saved[0].url);
    saved[0].kinds.clear();
    saved[0].secrets.truncate(1);
    saved[0].disabled = Some(Disabled {
        at: moment(11),
        reason: "failing for days".to_owned(),
    });
    let taught = Endpoint {
        last_success_at: Some(moment(9)),
        failing_since: Some(moment(10)),
        last_error: Some("failed 10".to_owned()),
        ..saved[0].clone()
    };
    store.save_endpoint(saved[0].clone()).await?;
    store.forget_endpoint(&saved[1].tenant, saved[1].id).await?;
    store.forget_endpoint(&saved[2].tenant, saved[2].id).await?;
    assert_eq!(only_endpoint(&*store).await?, taught);
    saved[0].disabled = None;
    store.save_endpoint(saved[0].clone()).await?;
    assert_eq!(only_endpoint(&*store).await?, saved[0], "it begins anew");
    Ok(())
}

/// A claimed notice is nobody else's until its time, and comes again after it when nothing was heard.
pub async fn a_claimed_notice_comes_again_after_its_time(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (to, other) = (endpoint(1), endpoint(2));
    for endpoint in [&to, &other] {
        store.save_endpoint(endpoint.clone()).await?;
    }
    let mut notices: Vec<Notice> = (1..=5).map(|number| notice(number, &to)).collect();
    notices[0].due_at = moment(40);
    notices.push(notice(6, &other));
    store.add_notices(notices.clone()).await?;
    store
        .add_notices(vec![Notice {
            body: "again".to_owned(),
            ..notices[1].clone()
        }])
        .await?;
    assert_eq!(
        all(&*store, &NoticeFilter::default()).await?,
        notices,
        "one is there once, as it was"
    );

    let claimed = claim(&*store, &to, (4, 20), 2).await?;
    let as_claimed = |place: usize, tries, until| Notice {
        tries,
        due_at: moment(until),
        ..notices[place].clone()
    };
    assert_eq!(claimed, [as_claimed(1, 1, 20), as_claimed(2, 1, 20)]);
    assert_eq!(claim(&*store, &to, (4, 20), 9).await?, [as_claimed(3, 1, 20)]);
    assert!(claim(&*store, &to, (4, 20), 9).await?.is_empty());
    assert_eq!(
        claim(&*store, &to, (20, 50), 2).await?,
        [as_claimed(4, 1, 50), as_claimed(1, 2, 50)]
    );
    assert_eq!(store.next_notice_due().await?, Some(moment(6)), "the other endpoint's");
    assert!(
        store
            .claim_notices(&TenantId::new("other"), to.id, moment(99), moment(100), 9)
            .await?
            .is_empty()
    );
    Ok(())
}

/// Where a notice stands after each post, and what its endpoint keeps of it.
pub async fn the_end_of_a_post_is_kept(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.save_endpoint(endpoint(1)).await?;
    let first = notice(1, &endpoint(1));
    store.add_notices(vec![first.clone()]).await?;
    let taught = |endpoint: Endpoint| (endpoint.failing_since, endpoint.last_success_at, endpoint.last_error);
    let word = |text: &str| Some(text.to_owned());
    for (at, failing_since) in [(10, 10), (20, 10)] {
        claim(&*store, &endpoint(1), (at + 100, at + 110), 9).await?;
        store.settle_notice(outcome(&first, NoticeState::Pending, at)).await?;
        let kept = one(&*store, 1).await?;
        assert_eq!((kept.state, kept.due_at), (NoticeState::Pending, moment(at + 100)));
        assert_eq!(kept.last_result, word(&format!("pending {at}")));
        let endpoint = only_endpoint(&*store).await?;
        assert_eq!(taught(endpoint), (Some(moment(failing_since)), None, kept.last_result));
    }
    store.settle_notice(outcome(&first, NoticeState::Failed, 30)).await?;
    assert_eq!(one(&*store, 1).await?.state, NoticeState::Failed);
    assert_eq!(store.next_notice_due().await?, None);
    assert!(claim(&*store, &endpoint(1), (999, 1_000), 9).await?.is_empty());

    store.settle_notice(outcome(&first, NoticeState::Delivered, 40)).await?;
    let delivered = one(&*store, 1).await?;
    assert_eq!((delivered.state, delivered.tries), (NoticeState::Delivered, 2));
    assert_eq!(taught(only_endpoint(&*store).await?), (None, Some(moment(40)), word("failed 30")));
    for state in [NoticeState::Pending, NoticeState::Failed] {
        store.settle_notice(outcome(&first, state, 50)).await?;
        assert_eq!(one(&*store, 1).await?, delivered, "what was taken stays so");
    }
    assert_eq!(store.next_notice_due().await?, None);
    let expected = (Some(moment(50)), Some(moment(40)), word("failed 50"));
    assert_eq!(taught(only_endpoint(&*store).await?), expected);
    store
        .settle_notice(outcome(&notice(7, &endpoint(7)), NoticeState::Failed, 60))
        .await?;
    assert_eq!(
        taught(only_endpoint(&*store).await?),
        expected,
        "of another endpoint, which is gone"
    );
    Ok(())
}

/// The next one that is due is the earliest of those that are posted at all.
pub async fn the_next_notice_is_of_an_endpoint_that_takes_some(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    assert_eq!(store.next_notice_due().await?, None);
    let mut endpoints = [
        endpoint(1),
        endpoint(2),
        Endpoint {
            tenant: TenantId::new("other"),
            ..endpoint(3)
        },
    ];
    for endpoint in &endpoints {
        store.save_endpoint(endpoint.clone()).await?;
    }
    for (number, endpoint) in [8, 7, 9].into_iter().zip(&endpoints) {
        store.add_notices(vec![notice(number, endpoint)]).await?;
    }
    assert_eq!(store.next_notice_due().await?, Some(moment(7)));
    endpoints[1].disabled = Some(Disabled {
        at: moment(1),
        reason: "no".to_owned(),
    });
    store.save_endpoint(endpoints[1].clone()).await?;
    assert_eq!(store.next_notice_due().await?, Some(moment(8)));
    let ended = NoticeOutcome {
        state: NoticeState::Failed,
        ..outcome(&notice(8, &endpoints[0]), NoticeState::Failed, 9)
    };
    store.settle_notice(ended).await?;
    assert_eq!(store.next_notice_due().await?, Some(moment(9)));
    Ok(())
}

/// Newest first, page by page, by what they are.
pub async fn notices_are_listed_by_what_they_are(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (to, other) = (endpoint(1), endpoint(2));
    for endpoint in [&to, &other] {
        store.save_endpoint(endpoint.clone()).await?;
    }
    for number in 1..=10 {
        let message_id = (number % 5 == 0).then(|| Sample::email(1).id());
        let notice = Notice {
            message_id,
            ..notice(number, if number % 2 == 0 { &to } else { &other })
        };
        store.add_notices(vec![notice.clone()]).await?;
        if number % 3 == 0 {
            store.settle_notice(outcome(&notice, NoticeState::Failed, 50)).await?;
        }
    }
    let elsewhere = Endpoint {
        tenant: TenantId::new("other"),
        ..endpoint(1)
    };
    store.save_endpoint(elsewhere.clone()).await?;
    store.add_notices(vec![notice(11, &elsewhere)]).await?;
    let numbers = |notices: &[Notice]| -> Vec<u32> {
        let number = |notice: &Notice| (1..=11).find(|number| moment(0) + std::time::Duration::from_secs(*number) == notice.at);
        notices
            .iter()
            .filter_map(number)
            .filter_map(|number| u32::try_from(number).ok())
            .collect()
    };
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.notices(&TenantId::default(), &NoticeFilter::default(), cursor, 3).await?;
        seen.extend(numbers(&page.notices));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=10).rev().collect::<Vec<_>>());
    for (filter, expected) in filters() {
        assert_eq!(numbers(&all(&*store, &filter).await?), expected, "{filter:?}");
    }
    Ok(())
}

/// Filters, and which of the ten notices they let pass.
fn filters() -> [(NoticeFilter, Vec<u32>); 5] {
    let by = |endpoint: Option<u32>, state, of_message: bool| NoticeFilter {
        endpoint: endpoint.map(|number| self::endpoint(number).id),
        state,
        message_id: of_message.then(|| Sample::email(1).id()),
        ..NoticeFilter::default()
    };
    let in_time = NoticeFilter {
        since: Some(moment(4)),
        until: Some(moment(6)),
        ..NoticeFilter::default()
    };
    [
        (by(Some(1), None, false), vec![2, 4, 6, 8, 10]),
        (by(None, Some(NoticeState::Failed), false), vec![3, 6, 9]),
        (by(None, None, true), vec![5, 10]),
        (in_time, vec![4, 5]),
        (by(Some(2), Some(NoticeState::Pending), true), vec![5]),
    ]
}

/// What was given up, or taken, is posted again when somebody asks for it.
pub async fn notices_are_posted_again_on_demand(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.save_endpoint(endpoint(1)).await?;
    let notices: Vec<Notice> = (1..=4).map(|number| notice(number, &endpoint(1))).collect();
    store.add_notices(notices.clone()).await?;
    claim(&*store, &endpoint(1), (9, 20), 9).await?;
    for (notice, state) in notices
        .iter()
        .zip([NoticeState::Delivered, NoticeState::Failed, NoticeState::Failed])
    {
        store.settle_notice(outcome(notice, state, 10)).await?;
    }
    let failed = NoticeFilter {
        state: Some(NoticeState::Failed),
        ..NoticeFilter::default()
    };
    let tenant = TenantId::default();
    assert_eq!(store.requeue_notices(&TenantId::new("other"), &failed, moment(50), 9).await?, 0);
    assert_eq!(store.requeue_notices(&tenant, &failed, moment(50), 1).await?, 1);
    let second = one(&*store, 2).await?;
    assert_eq!((second.state, second.tries, second.due_at), (NoticeState::Pending, 0, moment(50)));
    assert_eq!(one(&*store, 3).await?.state, NoticeState::Failed, "one was enough");
    assert_eq!(store.requeue_notices(&tenant, &failed, moment(51), 9).await?, 1);
    assert_eq!(store.requeue_notices(&tenant, &failed, moment(52), 9).await?, 0);
    let delivered = NoticeFilter {
        state: Some(NoticeState::Delivered),
        ..NoticeFilter::default()
    };
    assert_eq!(store.requeue_notices(&tenant, &delivered, moment(40), 9).await?, 1);
    let claimed = claim(&*store, &endpoint(1), (60, 70), 9).await?;
    let ids: Vec<_> = claimed.iter().map(|notice| (notice.id, notice.tries)).collect();
    assert_eq!(
        ids,
        [(notices[3].id, 2), (notices[0].id, 1), (notices[1].id, 1), (notices[2].id, 1)]
    );
    Ok(())
}

/// An endpoint that is gone is told nothing more, whatever still wants to tell it.
pub async fn a_forgotten_endpoint_is_told_nothing(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (gone, stays) = (endpoint(1), endpoint(2));
    for endpoint in [&gone, &stays] {
        store.save_endpoint(endpoint.clone()).await?;
    }
    let notices = |number| vec![notice(number, &gone), notice(number + 1, &stays)];
    store.add_notices(notices(1)).await?;
    assert!(!store.forget_endpoint(&TenantId::new("other"), gone.id).await?);
    assert!(store.forget_endpoint(&gone.tenant, gone.id).await?);
    assert!(!store.forget_endpoint(&gone.tenant, gone.id).await?);
    store.add_notices(notices(3)).await?;
    store
        .suppress(
            vec![entry("customer1@example.com", SuppressionReason::Manual, 1)],
            notices(5).into_iter().map(of_list).collect(),
        )
        .await?;
    let found = all(&*store, &NoticeFilter::default()).await?;
    assert_eq!(found, [notice(2, &stays), notice(4, &stays), notice(6, &stays)]);
    assert_eq!(store.endpoints().await?, [stays]);
    Ok(())
}

/// With each change that is kept its notices are; with one that is refused none.
pub async fn notices_come_with_what_they_tell_of(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    store.save_endpoint(endpoint(1)).await?;
    let told = |number| vec![notice(number, &endpoint(1))];
    let accepted = |number: u32, tells: u32| {
        let new = Sample::email(number).new_message(Status::Queued, Some(moment(90)));
        new.map(|new| NewMessage {
            notices: told(tells),
            ..new
        })
    };
    store.accept(accepted(2, 1)?).await?;
    store.accept(accepted(2, 91)?).await?;
    store.accept_all(vec![accepted(3, 2)?, accepted(4, 3)?]).await?;
    store.accept_all(vec![accepted(5, 92)?, accepted(4, 93)?]).await?;
    let sample = Sample::email(1);
    let before = sent(&*store, &sample).await?;
    let told_of = event(ums_core::ProviderKind::AwsSes, "one", ums_core::EventKind::Opened);
    let step = Step {
        notices: told(4),
        ..reported(&sample, &before, Status::Sent, vec![kept(&told_of, None)])
    };
    let again = Step {
        notices: told(94),
        ..step.clone()
    };
    let mut alone = parked(&event(ums_core::ProviderKind::AwsSes, "two", ums_core::EventKind::Opened), None, 0);
    alone.suppress = vec![entry("customer5@example.com", SuppressionReason::Manual, 1)];
    alone.notices = told(5).into_iter().map(of_list).collect();
    store.take_feedback(vec![apply(step), apply(again), park(alone)]).await?;
    store
        .suppress(
            vec![entry("customer6@example.com", SuppressionReason::Manual, 1)],
            told(6).into_iter().map(of_list).collect(),
        )
        .await?;
    let refused = store.accept(NewMessage {
        notices: told(95),
        ..Sample::email(6).sending()?
    });
    assert!(matches!(refused.await, Err(StoreError::MustNotContact(_))));
    let expected: Vec<Notice> = (1..=6).flat_map(told).collect();
    assert_eq!(all(&*store, &NoticeFilter::default()).await?, expected);
    Ok(())
}

/// However they race, each notice is given to one of them.
pub async fn two_processes_never_claim_the_same_notice(ground: &dyn Ground) -> Outcome {
    let one = ground.open().await?;
    let Some(other) = ground.open_beside().await? else { return Ok(()) };
    one.save_endpoint(endpoint(1)).await?;
    one.add_notices((1..=100).map(|number| notice(number, &endpoint(1))).collect())
        .await?;
    let mut tasks = Vec::new();
    for store in [&one, &other, &one, &other] {
        let store = Arc::clone(store);
        tasks.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..12 {
                let claimed = claim(&*store, &endpoint(1), (500, 600), 3).await?;
                ids.extend(claimed.into_iter().map(|notice| notice.id));
            }
            Ok::<_, StoreError>(ids)
        }));
    }
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await??);
    }
    let count = claimed.len();
    claimed.sort();
    claimed.dedup();
    assert_eq!((count, claimed.len()), (100, 100));
    Ok(())
}
