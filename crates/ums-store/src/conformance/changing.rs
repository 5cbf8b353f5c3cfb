//! Changes of an endpoint: each writer changes what it names, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{Disabled, EndpointUpdate, NoticeKind, NoticeOutcome, NoticeState, StoreError, TenantId, Timestamp};

use super::aftermath::{endpoint, notice};
use super::sample::moment;
use super::{Ground, Outcome};

/// A change of nothing.
fn settings() -> [EndpointUpdate; 4] {
    let none = || (None, None, None, None, moment(50));
    let of = |(url, description, kinds, enabled, at)| EndpointUpdate::Settings {
        url,
        description,
        kinds,
        enabled,
        at,
    };
    let text = |text: &str| Some(text.to_owned());
    let (mut url, mut description, mut kinds, mut enabled) = (none(), none(), none(), none());
    url.0 = text("https://app.example.com/new");
    description.1 = text("new");
    kinds.2 = Some(vec![NoticeKind::Bounced]);
    enabled.3 = Some(false);
    [of(url), of(description), of(kinds), of(enabled)]
}

fn rotate(at: Timestamp) -> EndpointUpdate {
    EndpointUpdate::Rotate {
        key: "cd34".to_owned(),
        at,
        overlap: Duration::from_secs(40),
        most: 8,
    }
}

fn failed_post(at: u64) -> NoticeOutcome {
    let notice = notice(1, &endpoint(1));
    NoticeOutcome {
        tenant: notice.tenant,
        endpoint: notice.endpoint,
        id: notice.id,
        state: NoticeState::Pending,
        due_at: moment(at + 100),
        result: "500".to_owned(),
        at: moment(at),
    }
}

/// What is not named stays, what posts have taught stays, and an endpoint that is not there is not made.
pub async fn an_endpoint_is_changed_in_what_is_named(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (tenant, id) = (TenantId::default(), endpoint(1).id);
    for update in settings() {
        assert_eq!(store.change_endpoint(&tenant, id, update).await?, None);
    }
    assert_eq!(store.endpoints().await?, []);
    store.save_endpoint(endpoint(1)).await?;
    store.save_endpoint(endpoint(2)).await?;
    store.settle_notice(failed_post(30)).await?;
    let mut expected = store.endpoints().await?.remove(0);
    assert_eq!(expected.failing_since, Some(moment(30)));
    for update in settings().into_iter().chain([rotate(moment(60))]) {
        assert!(update.apply(&mut expected));
        assert_eq!(store.change_endpoint(&tenant, id, update).await?.as_ref(), Some(&expected));
        assert_eq!(store.endpoints().await?, [expected.clone(), endpoint(2)]);
    }
    assert_eq!(store.change_endpoint(&TenantId::new("other"), id, rotate(moment(61))).await?, None);
    // Enabled again, it begins anew; disabled again, it says since when and why.
    let enabled = |enabled, at| EndpointUpdate::Settings {
        url: None,
        description: None,
        kinds: None,
        enabled: Some(enabled),
        at: moment(at),
    };
    let again = store.change_endpoint(&tenant, id, enabled(true, 70)).await?.ok_or("gone")?;
    assert_eq!((again.disabled, again.failing_since, again.last_error), (None, None, None));
    for at in [80, 90] {
        let off = store.change_endpoint(&tenant, id, enabled(false, at)).await?.ok_or("gone")?;
        assert_eq!(off.disabled, Some(Disabled::by_owner(moment(80))));
    }
    Ok(())
}

/// Two operators who change different settings at the same time both keep their change; a rotation and the outcome of posts, too.
pub async fn changes_of_an_endpoint_at_the_same_time_are_all_kept(ground: &dyn Ground) -> Outcome {
    let one = ground.open().await?;
    let other = ground.open_beside().await?.unwrap_or_else(|| Arc::clone(&one));
    for round in 0..5 {
        one.save_endpoint(endpoint(1)).await?;
        let mut tasks = Vec::new();
        let rotations = (0..3).map(|_| rotate(moment(60)));
        for (nth, update) in settings().into_iter().chain(rotations).enumerate() {
            let store = Arc::clone(if nth % 2 == 0 { &one } else { &other });
            tasks.push(tokio::spawn(async move {
                store.change_endpoint(&TenantId::default(), endpoint(1).id, update).await.map(drop)
            }));
        }
        let store = Arc::clone(&other);
        tasks.push(tokio::spawn(async move { store.settle_notice(failed_post(30)).await }));
        for task in tasks {
            task.await??;
        }
        let changed = one.endpoints().await?.remove(0);
        assert_eq!(changed.url, "https://app.example.com/new", "{round}");
        assert_eq!(
            (changed.description.as_str(), &changed.kinds[..]),
            ("new", &[NoticeKind::Bounced][..])
        );
        assert_eq!(changed.disabled, Some(Disabled::by_owner(moment(50))));
        assert_eq!(changed.last_error.as_deref(), Some("500"));
        let numbers: Vec<u32> = changed.secrets.iter().map(|secret| secret.number).collect();
        assert_eq!(numbers, [5, 4, 3, 2, 1], "no rotation is lost, and no number is used twice");
        assert!(one.forget_endpoint(&TenantId::default(), changed.id).await?);
    }
    Ok(())
}

/// An endpoint whose posts fail is disabled only as it was when that was decided.
pub async fn an_endpoint_is_disabled_only_as_it_was_judged(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (tenant, id) = (TenantId::default(), endpoint(1).id);
    store.save_endpoint(endpoint(1)).await?;
    store.settle_notice(failed_post(30)).await?;
    let disabled = Disabled {
        at: moment(90),
        reason: "every post failed".to_owned(),
    };
    let disable = |url: String, since: Option<u64>| EndpointUpdate::Disable {
        url,
        failing_since: since.map(moment),
        disabled: disabled.clone(),
    };
    for (url, since) in [("https://app.example.com/old".to_owned(), Some(30)), (endpoint(1).url, Some(20))] {
        let stays = store.change_endpoint(&tenant, id, disable(url, since)).await?.ok_or("gone")?;
        assert_eq!(stays.disabled, None);
    }
    let off = store
        .change_endpoint(&tenant, id, disable(endpoint(1).url, Some(30)))
        .await?
        .ok_or("gone")?;
    assert_eq!(off.disabled, Some(disabled.clone()));
    assert_eq!(off.failing_since, Some(moment(30)), "what posts have taught stays");
    // Who was disabled before keeps the first reason.
    let later = Disabled {
        at: moment(95),
        reason: "later".to_owned(),
    };
    let again = EndpointUpdate::Disable {
        url: endpoint(1).url,
        failing_since: None,
        disabled: later,
    };
    let stays = store.change_endpoint(&tenant, id, again).await?.ok_or(StoreError::NotFound)?;
    assert_eq!(stays.disabled, Some(disabled));
    Ok(())
}
