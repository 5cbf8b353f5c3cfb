//! What applications are told of the suppression list: each change once.

use std::time::Duration;

use ums_core::{Channel, EventKind, NoticeKind, SuppressionOrigin, SuppressionReason};
use ums_delivery::NewSuppression;

use crate::outbox::{KEY, ONE, Told, s, tenant};
use crate::setup::{Bench, Setup, email};

/// Two replicas, two messages and a copy of each report: the address came onto the list once.
#[tokio::test(start_paused = true)]
async fn an_address_that_comes_onto_the_list_is_told_once_whoever_hears_of_it() {
    let rules = Setup::holding().rules;
    let told = Told::over(rules.clone(), None, None, &[KEY]).await;
    told.endpoint(ONE, &[NoticeKind::AddressSuppressed, NoticeKind::AddressLifted])
        .await;
    let other = Told::over(rules, Some(&told), None, &[KEY]).await;
    let (one, two) = (&told.bench, &other.bench);
    let mut reports = Vec::new();
    for _ in 0..2 {
        let id = one.send(email()).await.message_id;
        let mut bounced = one.event(id, EventKind::Bounced, 1).await;
        bounced.suppress = Some(SuppressionReason::HardBounce);
        bounced.recipient = Some("customer@example.com".to_owned());
        reports.push(bounced);
    }
    let (first, second) = (vec![reports[0].clone()], vec![reports[1].clone(), reports[0].clone()]);
    tokio::join!(one.take(first.clone()), two.take(second.clone()), two.take(first), one.take(second));
    let manual = |bench: &Bench| {
        let engine = bench.engine.clone();
        async move {
            let entry = NewSuppression {
                channel: Channel::Email,
                address: "Customer@example.com".to_owned(),
                reason: SuppressionReason::HardBounce,
                list: None,
                origin: SuppressionOrigin::Operator,
                detail: None,
                since: None,
                expires_at: None,
            };
            engine.suppress(&tenant(), vec![entry.clone(), entry]).await.unwrap()
        }
    };
    let (by_one, by_two) = tokio::join!(manual(one), manual(two));
    assert_eq!((by_one, by_two), (vec![false; 2], vec![false; 2]), "it is on the list already");
    told.pass(s(3), Duration::from_millis(100)).await;
    assert_eq!(told.receivers.kinds(ONE), ["suppression.created"]);

    let lift = |bench: &Bench| {
        let engine = bench.engine.clone();
        async move {
            engine
                .unsuppress(&tenant(), Channel::Email, "customer@example.com", &ums_delivery::Which::default())
                .await
                .unwrap()
        }
    };
    let (by_one, by_two) = tokio::join!(lift(one), lift(two));
    assert_eq!(by_one + by_two, 1);
    told.pass(s(3), Duration::from_millis(100)).await;
    assert_eq!(told.receivers.kinds(ONE), ["suppression.created", "suppression.lifted"]);
    tokio::join!(manual(one), manual(two));
    told.pass(s(3), Duration::from_millis(100)).await;
    assert_eq!(
        told.receivers.kinds(ONE),
        ["suppression.created", "suppression.lifted", "suppression.created"]
    );
}
