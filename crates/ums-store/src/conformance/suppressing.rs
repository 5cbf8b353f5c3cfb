//! The suppression list: reports in any order end in the same list.

use ums_core::{
    Channel, Lift, ListName, Store, StoreError, Stored, Suppression, SuppressionFilter, SuppressionOrigin, SuppressionReason as Reason,
    TenantId, Timestamp,
};

use super::aftermath::{FAR, LONG_AGO, entry, lift};
use super::sample::moment;
use super::{Ground, Outcome, Sample};

pub(super) const CUSTOMER: &str = "customer1@example.com";

pub(super) async fn reasons(store: &dyn Store, tenant: &TenantId, address: &str, now: Timestamp) -> Result<Vec<Reason>, StoreError> {
    let channel = if address.contains('@') { Channel::Email } else { Channel::Sms };
    let listed = store.suppressed(tenant, channel, &[address.to_owned()], now).await?;
    Ok(listed.into_iter().map(|entry| entry.reason).collect())
}

pub(super) async fn whole_list(store: &dyn Store, tenant: &TenantId) -> Result<Vec<Suppression>, StoreError> {
    let filter = SuppressionFilter {
        with_lifted: true,
        ..SuppressionFilter::default()
    };
    Ok(store.suppressions(tenant, &filter, None, moment(99), 1_000).await?.entries)
}

/// Addresses of mail are one in any case, numbers are as they are; channels and tenants are apart.
pub async fn a_listed_address_is_found_in_any_case(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let tenant = TenantId::default();
    let mut stop = entry("+14165550123", Reason::Stop, 5);
    stop.channel = Channel::Sms;
    let entries = vec![
        entry("Ann@Example.COM", Reason::Complaint, 5),
        entry("grüße@example.com", Reason::Manual, 5),
        stop,
    ];
    assert_eq!(store.suppress(entries, Vec::new()).await?, [true; 3]);
    for address in ["ann@example.com", "ANN@EXAMPLE.COM", "Ann@example.com"] {
        assert_eq!(reasons(&*store, &tenant, address, moment(9)).await?, [Reason::Complaint]);
    }
    assert_eq!(reasons(&*store, &tenant, "GRÜSSE@example.com", moment(9)).await?, [Reason::Manual]);
    assert_eq!(reasons(&*store, &tenant, "GRÜßE@EXAMPLE.com", moment(9)).await?, [Reason::Manual]);
    assert_eq!(reasons(&*store, &tenant, "+14165550123", moment(9)).await?, [Reason::Stop]);
    assert_eq!(reasons(&*store, &TenantId::new("other"), "ann@example.com", moment(9)).await?, []);
    let by_sms = store
        .suppressed(&tenant, Channel::Sms, &["ann@example.com".to_owned()], moment(9))
        .await?;
    assert!(by_sms.is_empty());
    let asked = ["+14165550123", "b@example.com", "ANN@example.com", "ann@example.com"].map(str::to_owned);
    let listed = store.suppressed(&tenant, Channel::Email, &asked, moment(9)).await?;
    assert_eq!(listed, [entry("ann@example.com", Reason::Complaint, 5)], "as it was kept");
    let taken_off = store.lift(vec![lift("ANN@Example.com", Reason::Complaint, 6)], Vec::new()).await?;
    assert_eq!(taken_off, [true]);
    assert_eq!(reasons(&*store, &tenant, "ann@example.com", moment(9)).await?, []);
    Ok(())
}

/// One entry for each reason: the later report counts, what it says with it.
pub async fn the_later_report_counts(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let tenant = TenantId::default();
    let later = Suppression {
        origin: SuppressionOrigin::Link,
        provider: None,
        message_id: None,
        detail: None,
        expires_at: Some(FAR),
        ..entry(CUSTOMER, Reason::Unsubscribe, 9)
    };
    let all = vec![
        entry(CUSTOMER, Reason::Unsubscribe, 5),
        later.clone(),
        entry(CUSTOMER, Reason::Unsubscribe, 7),
        entry(CUSTOMER, Reason::HardBounce, 7),
    ];
    assert_eq!(store.suppress(all, Vec::new()).await?, [true, false, false, true]);
    assert_eq!(
        whole_list(&*store, &tenant).await?,
        [entry(CUSTOMER, Reason::HardBounce, 7), later.clone()]
    );
    let for_good = Suppression {
        expires_at: None,
        detail: Some("for good".to_owned()),
        ..later.clone()
    };
    for again in [&for_good, &later] {
        store.suppress(vec![again.clone()], Vec::new()).await?;
    }
    assert_eq!(
        whole_list(&*store, &tenant).await?.last(),
        Some(&for_good),
        "of two from the same time the one that ends later"
    );
    let lifted = Suppression {
        lifted_at: Some(moment(8)),
        ..entry(CUSTOMER, Reason::HardBounce, 6)
    };
    assert_eq!(store.suppress(vec![lifted], Vec::new()).await?, [false]);
    assert_eq!(reasons(&*store, &tenant, CUSTOMER, moment(9)).await?, [Reason::Unsubscribe]);
    assert_eq!(
        store.suppress(vec![entry(CUSTOMER, Reason::HardBounce, 10)], Vec::new()).await?,
        [true],
        "it came back"
    );
    Ok(())
}

#[derive(Clone)]
enum Report {
    Put(Suppression),
    Lift(Lift),
}

fn orders(reports: &[Report]) -> Vec<Vec<Report>> {
    let [first, rest @ ..] = reports else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for order in orders(rest) {
        for place in 0..=order.len() {
            let mut order = order.clone();
            order.insert(place, first.clone());
            all.push(order);
        }
    }
    all
}

/// Opt-outs and the wishes that take them back end in the same list, in whichever order they are reported.
pub async fn reports_in_any_order_end_the_same(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let mut number = 0;
    for reason in [Reason::Stop, Reason::Unsubscribe] {
        for last in [5, 11, 14, 20] {
            let reports = [
                Report::Put(entry(CUSTOMER, reason, 10)),
                Report::Lift(lift(CUSTOMER, reason, 12)),
                Report::Put(entry(CUSTOMER, reason, last)),
                Report::Lift(lift(CUSTOMER, reason, 13)),
            ];
            let mut ends = Vec::new();
            for order in orders(&reports) {
                number += 1;
                let tenant = TenantId::new(format!("tenant {number}"));
                for report in order {
                    match report {
                        Report::Put(put) => {
                            let tenant = tenant.clone();
                            store.suppress(vec![Suppression { tenant, ..put }], Vec::new()).await?;
                        }
                        Report::Lift(lift) => {
                            let tenant = tenant.clone();
                            store.lift(vec![Lift { tenant, ..lift }], Vec::new()).await?;
                        }
                    }
                }
                let mut end = whole_list(&*store, &tenant).await?;
                for entry in &mut end {
                    entry.tenant = TenantId::default();
                }
                ends.push((end, reasons(&*store, &tenant, CUSTOMER, moment(99)).await?));
            }
            let expected = Suppression {
                lifted_at: Some(moment(13)),
                ..entry(CUSTOMER, reason, last.max(10))
            };
            let in_force = if last > 13 { vec![reason] } else { Vec::new() };
            assert_eq!(ends.len(), 24);
            assert!(
                ends.iter().all(|end| *end == (vec![expected.clone()], in_force.clone())),
                "{reason} {last}"
            );
        }
    }
    Ok(())
}

/// A lift of what is not there is kept for opt-outs alone, and is no entry by itself.
pub async fn a_lift_alone_is_no_entry(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let tenant = TenantId::default();
    let all = Reason::ALL.iter().map(|reason| lift(CUSTOMER, *reason, 10)).collect();
    assert_eq!(store.lift(all, Vec::new()).await?, [false; 5]);
    assert!(whole_list(&*store, &tenant).await?.is_empty());
    let earlier: Vec<_> = Reason::ALL.iter().map(|reason| entry(CUSTOMER, *reason, 9)).collect();
    let listed = store.suppress(earlier, Vec::new()).await?;
    let expected = Reason::ALL
        .iter()
        .map(|reason| !matches!(reason, Reason::Stop | Reason::Unsubscribe));
    assert_eq!(listed, expected.collect::<Vec<_>>());
    assert_eq!(whole_list(&*store, &tenant).await?.len(), 5);

    let too_early = vec![
        lift(CUSTOMER, Reason::Manual, 8),
        lift(CUSTOMER, Reason::Manual, 9),
        lift(CUSTOMER, Reason::Manual, 10),
    ];
    assert_eq!(store.lift(too_early, Vec::new()).await?, [false, true, false]);
    Ok(())
}

/// An entry with an end is in force until then.
pub async fn entries_end_with_their_time(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let tenant = TenantId::default();
    let until = |address: &str, expires_at| Suppression {
        expires_at: Some(expires_at),
        ..entry(address, Reason::Manual, 5)
    };
    let entries = vec![until(CUSTOMER, LONG_AGO), until("copy@example.com", FAR)];
    assert_eq!(store.suppress(entries, Vec::new()).await?, [false, true]);
    let just_before = Timestamp::from_micros(LONG_AGO.as_micros() - 1);
    assert_eq!(reasons(&*store, &tenant, CUSTOMER, just_before).await?, [Reason::Manual]);
    assert_eq!(reasons(&*store, &tenant, CUSTOMER, LONG_AGO).await?, []);
    assert_eq!(reasons(&*store, &tenant, "copy@example.com", FAR).await?, []);
    let in_force = SuppressionFilter::default();
    assert_eq!(store.suppressions(&tenant, &in_force, None, moment(9), 9).await?.entries.len(), 1);
    assert_eq!(whole_list(&*store, &tenant).await?.len(), 2);
    let new = Sample::email(1).sending()?;
    let refused = store.accept(new).await;
    assert!(matches!(refused, Err(StoreError::MustNotContact(_))), "one is in force");
    store.lift(vec![lift("copy@example.com", Reason::Manual, 6)], Vec::new()).await?;
    assert_eq!(store.accept(Sample::email(1).sending()?).await?, Stored::New);
    Ok(())
}

/// The list is read in its order, page by page, by what its entries are.
pub async fn the_list_is_read_in_pages(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let tenant = TenantId::default();
    // Byte by byte, whatever a language makes of the signs.
    let addresses = [
        "+14165550123",
        "a-b@example.com",
        "a_b@example.com",
        "ab@example.com",
        "b@example.com",
    ];
    let mut expected: Vec<Suppression> = addresses
        .iter()
        .flat_map(|address| Reason::ALL.iter().map(|reason| entry(address, *reason, 5)))
        .collect();
    store.suppress(expected.iter().rev().cloned().collect(), Vec::new()).await?;
    let other = Suppression {
        tenant: TenantId::new("other"),
        ..entry("c@example.com", Reason::Manual, 5)
    };
    store.suppress(vec![other], Vec::new()).await?;
    expected.sort_by_key(|entry| (entry.channel.as_str(), entry.address.clone(), entry.reason.as_str()));
    let all = SuppressionFilter::default();
    for limit in [1, 7, 25, 100] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.suppressions(&tenant, &all, cursor.as_ref(), moment(9), limit).await?;
            assert!(page.entries.len() <= limit);
            seen.extend(page.entries);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
    store.lift(vec![lift("ab@example.com", Reason::Manual, 6)], Vec::new()).await?;
    let count = |channel, reason, address: Option<&str>, with_lifted| {
        let filter = SuppressionFilter {
            channel,
            reason,
            address: address.map(str::to_owned),
            with_lifted,
        };
        let (store, tenant) = (&store, &tenant);
        async move { Ok::<usize, StoreError>(store.suppressions(tenant, &filter, None, moment(9), 100).await?.entries.len()) }
    };
    assert_eq!(count(Some(Channel::Sms), None, None, false).await?, 5);
    assert_eq!(count(None, Some(Reason::Manual), None, false).await?, 4);
    assert_eq!(count(None, Some(Reason::Manual), None, true).await?, 5);
    assert_eq!(count(None, None, Some("AB@example.com"), false).await?, 4);
    assert_eq!(
        count(Some(Channel::Email), Some(Reason::Stop), Some("AB@example.com"), true).await?,
        1
    );
    assert_eq!(count(None, None, Some("+14165550123"), false).await?, 5);
    assert_eq!(count(Some(Channel::Email), None, Some("+14165550123"), false).await?, 0);
    Ok(())
}

/// An unsubscribe from one list and one from all are entries of their own: each is lifted alone, and the list shows them in order.
pub async fn unsubscribes_from_lists_stand_side_by_side(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let tenant = TenantId::default();
    let of = |list: &str, since| -> Result<Suppression, Box<dyn std::error::Error>> {
        Ok(Suppression {
            list: if list.is_empty() { None } else { Some(ListName::parse(list)?) },
            ..entry(CUSTOMER, Reason::Unsubscribe, since)
        })
    };
    let lift_of = |list: &str, at| -> Result<Lift, Box<dyn std::error::Error>> {
        Ok(Lift {
            list: of(list, at)?.list,
            ..lift(CUSTOMER, Reason::Unsubscribe, at)
        })
    };
    let entries = vec![of("weekly", 5)?, of("", 5)?, of("offers", 5)?, of("weekly", 4)?];
    assert_eq!(store.suppress(entries, Vec::new()).await?, [true, true, true, false]);
    let complaint = Suppression {
        list: of("weekly", 5)?.list,
        ..entry(CUSTOMER, Reason::Complaint, 5)
    };
    store.suppress(vec![complaint], Vec::new()).await?;

    let lists = |entries: Vec<Suppression>| -> Vec<String> {
        let list = |entry: Suppression| entry.list.map(|list| list.to_string()).unwrap_or_default();
        entries.into_iter().map(list).collect()
    };
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        let filter = SuppressionFilter::default();
        let page = store.suppressions(&tenant, &filter, cursor.as_ref(), moment(99), 1).await?;
        seen.extend(page.entries);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(
        seen.iter()
            .map(|entry| entry.reason)
            .filter(|reason| *reason == Reason::Complaint)
            .count(),
        1
    );
    assert_eq!(lists(seen), ["", "", "offers", "weekly"], "a complaint is of no list");

    assert_eq!(store.lift(vec![lift_of("weekly", 6)?], Vec::new()).await?, [true]);
    assert_eq!(
        store.lift(vec![lift_of("news", 9)?], Vec::new()).await?,
        [false],
        "it may be reported later"
    );
    assert_eq!(store.suppress(vec![of("news", 8)?], Vec::new()).await?, [false], "taken back since");
    let asked = [CUSTOMER.to_owned()];
    let in_force = store.suppressed(&tenant, Channel::Email, &asked, moment(99)).await?;
    assert_eq!(lists(in_force), ["", "", "offers"]);
    assert_eq!(
        store.suppress(vec![of("weekly", 7)?], Vec::new()).await?,
        [true],
        "unsubscribed again"
    );
    Ok(())
}
