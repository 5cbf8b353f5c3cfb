//! A subscriber is one, whichever spelling of the address an entry, a message or a report has.

use ums_core::{
    AccountId, AttemptOutcome, AttemptRecord, Channel, NewMessage, ProviderKind, Status, Step, StoreError, SuppressionFilter,
    SuppressionReason as Reason, TenantId, Work,
};

use super::aftermath::{entry, lift, read};
use super::sample::moment;
use super::suppressing::reasons;
use super::{Ground, Outcome, Sample};

/// Spellings of one subscriber each.
const SUBSCRIBERS: [&[&str]; 6] = [
    &["+5215512345678", "+525512345678"],
    &["+541123456789", "+5491123456789"],
    &["+24107123456", "+24177123456", "+2417123456"],
    &["Kunde@BÜCHER.example", "kunde@xn--bcher-kva.example", "kunde@bücher.example."],
    &["ａnnstraße@example.com", "AnnStrasse@example.com"],
    &["ΝΙΚΟΣ@example.com", "νικοσ@example.com", "νικος@Example.com"],
];

/// The subscribers above, mailboxes, and some numbers of each plan whose numbers have several spellings, and of others.
fn subscribers() -> Vec<Vec<String>> {
    let fixed = SUBSCRIBERS
        .iter()
        .map(|spellings| spellings.iter().map(|&spelling| spelling.to_owned()).collect());
    let heads = ["+521", "+5493", "+55119", "+22901", "+22507", "+24177", "+97259", "+1416", "+4474"];
    let numbers = (1..=3_u64).flat_map(|n| heads.map(|head| (head, n)));
    let numbers = numbers.flat_map(|(head, n)| {
        // One of these lengths is the plan's.
        (6..=10).map(move |length| {
            format!("{head}{}", n * 7_654_321_987 % 9_000_000_000 + 600_000_000)
                .chars()
                .take(head.len() + length)
                .collect()
        })
    });
    let numbers = numbers.map(|number: String| ums_core::spellings(Channel::Sms, &number));
    let mailboxes = (1..=3).map(|n| {
        vec![
            format!("Küche{n}@BÜRO{n}.example"),
            format!("KÜCHE{n}@büro{n}.example."),
            format!("ku\u{308}che{n}@bu\u{308}ro{n}．example"),
        ]
    });
    fixed.chain(numbers).chain(mailboxes).collect()
}

fn sample_to(address: &str, number: u32) -> Sample {
    if address.contains('@') {
        Sample::email(number)
    } else {
        Sample::sms(number)
    }
}

/// The message with this address as its first recipient's. A sender parses addresses, so that their domain is in ASCII.
fn to(sample: &Sample, address: &str) -> Result<NewMessage, Box<dyn std::error::Error>> {
    let mut new = sample.new_message(Status::Queued, Some(moment(50)))?;
    if let Some(first) = new.recipients.first_mut() {
        first.address = match ums_core::EmailAddress::parse(address) {
            Ok(address) => address.expose().to_owned(),
            Err(_) => address.to_owned(),
        };
    }
    Ok(new)
}

fn is_refused<T>(answer: Result<T, StoreError>) -> Result<bool, StoreError> {
    match answer {
        Ok(_) => Ok(false),
        Err(StoreError::MustNotContact(_)) => Ok(true),
        Err(other) => Err(other),
    }
}

/// An entry of any spelling and reason keeps every message to any spelling from being stored, until one of them is lifted.
pub async fn a_subscriber_is_spared_in_every_spelling(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let tenant = TenantId::default();
    let mut numbers = 1..;
    for (place, spellings) in subscribers().iter().enumerate() {
        let reasons_in_turn = Reason::ALL.iter().cycle().skip(place);
        for (listed, reason) in spellings.iter().zip(reasons_in_turn) {
            store.suppress(vec![entry(listed, *reason, 5)], Vec::new()).await?;
            for spelling in spellings {
                assert_eq!(
                    reasons(&*store, &tenant, spelling, moment(99)).await?,
                    [*reason],
                    "{listed} {spelling}"
                );
                let refused = store
                    .accept(to(&sample_to(spelling, 0).purpose(ums_core::Purpose::Bulk), spelling)?)
                    .await;
                assert!(is_refused(refused)?, "{listed} {spelling}");
            }
            let other = spellings.last().unwrap_or(listed);
            assert_eq!(
                store.lift(vec![lift(other, *reason, 6)], Vec::new()).await?,
                [true],
                "{listed} {other}"
            );
            for (spelling, number) in spellings.iter().zip(&mut numbers) {
                let stored = store.accept(to(&sample_to(spelling, number), spelling)?).await;
                assert!(!is_refused(stored)?, "{listed} {spelling}");
            }
        }
    }
    Ok(())
}

/// The list is looked at again before each call: a message that was stored earlier is stopped, whether or not the step names its recipients.
pub async fn a_stored_message_is_stopped_by_the_other_spelling(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for (number, (kept, listed)) in (1..).zip([("+525512345678", "+5215512345678"), ("+5491123456789", "+541123456789")]) {
        let sample = Sample::sms(number);
        let mut new = sample.sending()?;
        kept.clone_into(&mut new.recipients[0].address);
        let recipients = new.recipients.clone();
        store.accept(new).await?;
        store.suppress(vec![entry(listed, Reason::Stop, 5)], Vec::new()).await?;
        let intent = Step {
            attempts: vec![sample.intent(2)],
            ..sample.step(Status::Sending)
        };
        let with_recipients = Step {
            recipients: Some(recipients),
            ..intent.clone()
        };
        for step in [&intent, &with_recipients] {
            assert!(is_refused(store.record(step.clone()).await)?, "{kept} {listed}");
        }
        // What a step itself says of the list counts, too.
        let lifted = Step {
            lift: vec![lift(kept, Reason::Stop, 6)],
            ..intent.clone()
        };
        let listed_again = Step {
            suppress: vec![entry(listed, Reason::Stop, 7)],
            ..lifted.clone()
        };
        assert!(is_refused(store.record(listed_again).await)?, "{kept} {listed}");
        assert!(!is_refused(store.record(lifted).await)?, "{kept} {listed}");
    }
    Ok(())
}

/// Whoever asks for an address sees the entries of all its spellings, and lifts them together; a lift that comes first holds for all.
pub async fn every_spelling_is_listed_and_lifted_together(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let tenant = TenantId::default();
    let [old, new] = ["+5215512345678", "+525512345678"];
    let entries = [
        entry(old, Reason::Stop, 5),
        entry(new, Reason::Stop, 6),
        entry(old, Reason::Manual, 7),
    ];
    assert_eq!(
        store.suppress(entries.to_vec(), Vec::new()).await?,
        [true, false, true],
        "each is kept as it was reported; the second is of a subscriber who is on the list"
    );
    let [stop_old, stop_new, manual] = entries;
    for address in [old, new] {
        let filter = SuppressionFilter {
            address: Some(address.to_owned()),
            ..SuppressionFilter::default()
        };
        let page = store.suppressions(&tenant, &filter, None, moment(99), 9).await?;
        assert_eq!(page.entries, [manual.clone(), stop_old.clone(), stop_new.clone()], "{address}");
        let of_mail = SuppressionFilter {
            channel: Some(Channel::Email),
            ..filter
        };
        assert!(store.suppressions(&tenant, &of_mail, None, moment(99), 9).await?.entries.is_empty());
    }
    assert_eq!(store.lift(vec![lift(new, Reason::Stop, 8)], Vec::new()).await?, [true]);
    assert_eq!(reasons(&*store, &tenant, old, moment(99)).await?, [Reason::Manual]);
    assert_eq!(store.lift(vec![lift(new, Reason::Manual, 8)], Vec::new()).await?, [true]);
    assert_eq!(reasons(&*store, &tenant, new, moment(99)).await?, []);
    assert_eq!(
        store.lift(vec![lift(old, Reason::Manual, 9)], Vec::new()).await?,
        [false],
        "it was off the list"
    );

    // START came before the report of the STOP that it takes back.
    let [first, then] = ["+5491123456789", "+541123456789"];
    assert_eq!(store.lift(vec![lift(first, Reason::Stop, 9)], Vec::new()).await?, [false]);
    assert_eq!(store.suppress(vec![entry(then, Reason::Stop, 8)], Vec::new()).await?, [false]);
    assert_eq!(store.suppress(vec![entry(then, Reason::Stop, 10)], Vec::new()).await?, [true]);
    Ok(())
}

/// A report that names only a recipient finds the message to the other spelling.
pub async fn an_unknown_attempt_is_found_by_the_other_spelling(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    let mut new = sample.sending()?;
    "+525512345678".clone_into(&mut new.recipients[0].address);
    store.accept(new).await?;
    let token = read(&*store, &sample).await?.token;
    let unknown = Step {
        attempts: vec![AttemptRecord {
            outcome: AttemptOutcome::Unknown,
            ..sample.intent(1)
        }],
        work: Work::Due(moment(60)),
        token,
        ..sample.step(Status::Queued)
    };
    store.record(unknown).await?;
    for (address, found) in [("+5215512345678", 1), ("+525512345678", 1), ("+5215512345679", 0)] {
        let called = moment(0)..=moment(9);
        let records = store
            .unknown_attempts_to(ProviderKind::AwsSns, &AccountId::default(), address, called, 9)
            .await?;
        assert_eq!(records.len(), found, "{address}");
    }
    Ok(())
}
