//! Endpoints of applications: made, changed, rotated, disabled, tested.

use std::time::Duration;

use ums_core::{EndpointId, NoticeFilter, NoticeKind, NoticeState, TenantId};
use ums_delivery::{EndpointChange, EndpointError, WebhookRules};

use crate::outbox::{Answer, KEY, ONE, TWO, Told, is_signed_by, s, tenant};
use crate::setup::{Setup, email};

fn enabled(enabled: bool) -> EndpointChange {
    EndpointChange {
        enabled: Some(enabled),
        ..EndpointChange::default()
    }
}

fn url(url: &str) -> EndpointChange {
    EndpointChange {
        url: Some(url.to_owned()),
        ..EndpointChange::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_signs_beside_the_old_one_for_a_while() {
    let told = Told::start(WebhookRules::default()).await;
    let first = told.endpoint(ONE, &[]).await;
    let (id, old) = (first.endpoint.id, &first.secrets[0]);
    let engine = &told.bench.engine;
    assert_eq!(
        engine.endpoint(&tenant(), id).await.unwrap().secrets,
        first.secrets,
        "derived anew, the same"
    );
    let rotated = engine.rotate_endpoint(&tenant(), id, Duration::from_hours(24)).await.unwrap();
    assert_eq!((rotated.secrets.len(), &rotated.secrets[1]), (2, old));
    told.bench.send(email()).await;
    told.pass(s(1), s(1)).await;
    let call = told.receivers.posts(ONE).remove(0).1;
    assert!(is_signed_by(&call, old) && is_signed_by(&call, &rotated.secrets[0]), "by both");
    told.pass(Duration::from_hours(25), s(3_600)).await;
    told.bench.send(email()).await;
    told.pass(s(1), s(1)).await;
    let call = told.receivers.posts(ONE).remove(1).1;
    assert!(
        !is_signed_by(&call, old) && is_signed_by(&call, &rotated.secrets[0]),
        "by the new one only"
    );
    let at_once = engine.rotate_endpoint(&tenant(), id, Duration::ZERO).await.unwrap();
    assert_eq!(at_once.secrets.len(), 1);
    assert!(
        at_once.secrets[0] != *old && !rotated.secrets.contains(&at_once.secrets[0]),
        "no secret comes back"
    );
}

#[tokio::test(start_paused = true)]
async fn keys_of_the_service_are_changed_without_a_break_and_one_that_is_gone_is_told() {
    let rules = Setup::holding().rules;
    let told = Told::over(rules.clone(), None, None, &[KEY]).await;
    let first = told.endpoint(ONE, &[]).await;
    let id = first.endpoint.id;
    let with_both = Told::over(rules.clone(), Some(&told), None, &["newer", KEY]).await;
    assert_eq!(with_both.bench.engine.endpoint(&tenant(), id).await.unwrap().secrets, first.secrets);
    let without = Told::over(rules, Some(&told), None, &["newer"]).await;
    let engine = &without.bench.engine;
    let shown = engine.endpoint(&tenant(), id).await.unwrap();
    assert!(shown.secrets.is_empty() && shown.endpoint.last_error.unwrap().contains("UMS_SECRET_KEY"));
    assert!(without.shown(ONE).await.last_error.unwrap().contains("rotate the secret"));
    let tested = engine.test_endpoint(&tenant(), id).await;
    assert!(matches!(tested, Err(EndpointError::KeyGone)));
    let rotated = engine.rotate_endpoint(&tenant(), id, Duration::from_hours(1)).await.unwrap();
    assert_eq!(rotated.secrets.len(), 1, "the old one cannot sign any more");
    assert_eq!(engine.test_endpoint(&tenant(), id).await.unwrap().state, NoticeState::Delivered);
    let call = told.receivers.posts(ONE).remove(0).1;
    assert!(is_signed_by(&call, &rotated.secrets[0]));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_for_days_is_disabled_and_its_notices_are_kept() {
    let told = Told::start(WebhookRules {
        give_up: Duration::from_hours(30 * 24),
        ..WebhookRules::default()
    })
    .await;
    let one = told.endpoint(ONE, &[]).await.endpoint;
    told.endpoint(TWO, &[]).await;
    told.receivers.answer(ONE, Answer::Status(503));
    told.bench.send(email()).await;
    told.pass(Duration::from_hours(4 * 24 + 20), s(600)).await;
    assert_eq!(told.shown(ONE).await.disabled, None);
    told.pass(Duration::from_hours(24), s(600)).await;
    let disabled = told.shown(ONE).await.disabled.unwrap();
    assert!(
        disabled.reason.starts_with("every post to it has failed since 2026-11-22T10:"),
        "{}",
        disabled.reason
    );
    let posts = told.receivers.posts(ONE).len();
    told.pass(Duration::from_hours(48), s(600)).await;
    assert_eq!(told.receivers.posts(ONE).len(), posts, "nothing more is posted");
    assert_eq!(told.notices(NoticeState::Pending).await.len(), 1, "what was not taken is kept");
    told.bench.send(email()).await;
    told.pass(s(2), s(1)).await;
    assert_eq!(told.receivers.posts(TWO).len(), 2, "the other one is told as ever");
    told.receivers.answer(ONE, Answer::Status(200));
    let changed = told.bench.engine.change_endpoint(&tenant(), one.id, enabled(true)).await.unwrap();
    assert_eq!((changed.disabled, changed.failing_since), (None, None));
    told.pass(Duration::from_hours(7), s(60)).await;
    assert_eq!(told.receivers.posts(ONE).len(), posts + 1);
    assert_eq!(told.notices(NoticeState::Pending).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_is_left_alone_at_once() {
    let told = Told::start(WebhookRules::default()).await;
    told.endpoint(ONE, &[]).await;
    told.receivers.answer(ONE, Answer::Status(410));
    told.bench.send(email()).await;
    told.pass(Duration::from_hours(2), s(30)).await;
    assert_eq!(told.receivers.posts(ONE).len(), 1);
    assert_eq!(
        told.shown(ONE).await.disabled.unwrap().reason,
        "it answered 410: the receiver wants no more"
    );
}

#[tokio::test(start_paused = true)]
async fn an_owner_makes_changes_disables_and_forgets() {
    let told = Told::start(WebhookRules {
        max_endpoints: 2,
        ..WebhookRules::default()
    })
    .await;
    let engine = &told.bench.engine;
    let bad = engine.create_endpoint(&tenant(), url("http://one.example.com")).await;
    assert!(matches!(bad, Err(EndpointError::BadUrl(why)) if why == "must be https"));
    assert!(matches!(
        engine.create_endpoint(&tenant(), EndpointChange::default()).await,
        Err(EndpointError::BadUrl(_))
    ));
    let one = told.endpoint(ONE, &[]).await.endpoint;
    let stranger = TenantId::new("stranger");
    engine.create_endpoint(&stranger, url(TWO)).await.unwrap();
    assert!(matches!(engine.endpoint(&stranger, one.id).await, Err(EndpointError::NotFound)));
    assert!(matches!(
        engine.forget_endpoint(&stranger, one.id).await,
        Err(EndpointError::NotFound)
    ));
    told.bench.send(email()).await;
    told.pass(s(1), s(1)).await;
    assert_eq!(
        (told.receivers.posts(ONE).len(), told.receivers.posts(TWO).len()),
        (1, 0),
        "tenants do not hear of each other"
    );
    let more = EndpointChange {
        description: Some("the shop".to_owned()),
        kinds: Some(vec![NoticeKind::Held]),
        ..url("https://moved.example.com/")
    };
    let changed = engine.change_endpoint(&tenant(), one.id, more).await.unwrap();
    assert_eq!(
        (&*changed.url, &*changed.description, &changed.kinds[..]),
        ("https://moved.example.com/", "the shop", &[NoticeKind::Held][..])
    );
    assert!(engine.change_endpoint(&tenant(), one.id, url("ftp://x")).await.is_err());
    told.endpoint(ONE, &[]).await;
    assert!(matches!(
        engine.create_endpoint(&tenant(), url(TWO)).await,
        Err(EndpointError::TooMany(2))
    ));
    let off = engine.change_endpoint(&tenant(), one.id, enabled(false)).await.unwrap();
    assert_eq!(off.disabled.unwrap().reason, "switched off by its owner");
    engine.forget_endpoint(&tenant(), one.id).await.unwrap();
    assert!(matches!(engine.endpoint(&tenant(), one.id).await, Err(EndpointError::NotFound)));
    assert_eq!(engine.endpoints(&tenant()).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_test_is_posted_at_once_and_says_how_it_went() {
    let told = Told::start(WebhookRules::default()).await;
    let made = told.endpoint(ONE, &[NoticeKind::Held]).await;
    let engine = &told.bench.engine;
    let sent = engine.test_endpoint(&tenant(), made.endpoint.id).await.unwrap();
    assert_eq!(
        (sent.kind, sent.state, sent.last_result.as_deref()),
        (NoticeKind::Test, NoticeState::Delivered, Some("204"))
    );
    let call = told.receivers.posts(ONE).remove(0).1;
    assert!(
        is_signed_by(&call, &made.secrets[0])
            && call
                .body
                .starts_with("{\"type\":\"test.ping\",\"timestamp\":\"2026-11-22T10:00:00Z\"")
    );
    engine.change_endpoint(&tenant(), made.endpoint.id, enabled(false)).await.unwrap();
    told.receivers.answer(ONE, Answer::Hang);
    let failed = engine.test_endpoint(&tenant(), made.endpoint.id).await.unwrap();
    assert_eq!(
        (failed.state, failed.last_result.as_deref()),
        (NoticeState::Failed, Some("timeout"))
    );
    let kept = engine.notices(&tenant(), &NoticeFilter::default(), None, 10).await.unwrap();
    assert_eq!(kept.notices, [], "nothing of it is kept");
    let nobody = EndpointId::new(&*told.bench.clock, &ums_testkit::SeededRandom::new(1));
    assert!(matches!(
        engine.test_endpoint(&tenant(), nobody).await,
        Err(EndpointError::NotFound)
    ));
}

#[tokio::test(start_paused = true)]
async fn without_a_key_or_a_poster_there_are_no_endpoints() {
    let plain = crate::setup::start().await;
    assert!(matches!(
        plain.engine.create_endpoint(&tenant(), url(ONE)).await,
        Err(EndpointError::NoKey)
    ));
    let keys = vec![ums_core::Secret::new("key")];
    let quiet = Setup { keys, ..Setup::default() }.start().await;
    assert!(matches!(
        quiet.engine.create_endpoint(&tenant(), url(ONE)).await,
        Err(EndpointError::Off)
    ));
}

#[tokio::test(start_paused = true)]
async fn two_operators_who_change_different_fields_at_once_both_keep_their_change() {
    let rules = Setup::holding().rules;
    let told = Told::over(rules.clone(), None, None, &[KEY]).await;
    let other = Told::over(rules, Some(&told), None, &[KEY]).await;
    let id = told.endpoint(ONE, &[]).await.endpoint.id;
    let kinds = EndpointChange {
        kinds: Some(vec![NoticeKind::Bounced]),
        ..EndpointChange::default()
    };
    let description = EndpointChange {
        description: Some("the shop".to_owned()),
        ..EndpointChange::default()
    };
    let (one, two) = (&told.bench.engine, &other.bench.engine);
    let (tenant, hour) = (tenant(), Duration::from_hours(1));
    let changed = tokio::join!(
        one.change_endpoint(&tenant, id, url(TWO)),
        two.change_endpoint(&tenant, id, kinds),
        one.rotate_endpoint(&tenant, id, hour),
        two.rotate_endpoint(&tenant, id, hour),
        two.change_endpoint(&tenant, id, description),
        one.change_endpoint(&tenant, id, enabled(false)),
    );
    assert!(changed.0.is_ok() && changed.1.is_ok() && changed.2.is_ok() && changed.3.is_ok() && changed.4.is_ok() && changed.5.is_ok());
    let shown = told.shown(TWO).await;
    assert_eq!(
        (shown.description.as_str(), &shown.kinds[..]),
        ("the shop", &[NoticeKind::Bounced][..])
    );
    assert_eq!(
        shown.disabled.map(|disabled| disabled.reason).as_deref(),
        Some("switched off by its owner")
    );
    let numbers: Vec<u32> = shown.secrets.iter().map(|secret| secret.number).collect();
    assert_eq!(numbers, [3, 2, 1]);
    // Whoever changes an endpoint that is gone does not bring it back.
    one.forget_endpoint(&tenant, id).await.unwrap();
    assert!(matches!(
        two.change_endpoint(&tenant, id, enabled(true)).await,
        Err(EndpointError::NotFound)
    ));
    assert_eq!(one.endpoints(&tenant).await.unwrap(), []);
}
