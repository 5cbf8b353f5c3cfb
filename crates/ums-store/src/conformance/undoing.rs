//! What a provider account put on the suppression list by its own fault is undone, by a decision that outlives the process.

use ums_core::{
    AccountId, Channel, FeedbackTaken, ProviderKind, Status, Step, Store, StoreError, Suppression, SuppressionOrigin,
    SuppressionReason as Reason, TenantId, Undo,
};

use super::aftermath::{apply, entry};
use super::sample::{Sample, moment};
use super::{Ground, Outcome};

/// An entry by a refusal of an account of SES.
fn refused(address: &str, account: Option<&str>, since: u64) -> Suppression {
    Suppression {
        origin: SuppressionOrigin::Refusal,
        account: account.map(AccountId::new),
        ..entry(address, Reason::HardBounce, since)
    }
}

/// The refusals by an account from `since` to `since + 20` are undone.
fn undo(account: &str, since: u64) -> Undo {
    Undo {
        provider: ProviderKind::AwsSes,
        account: AccountId::new(account),
        reason: Reason::HardBounce,
        origin: SuppressionOrigin::Refusal,
        since: moment(since),
        until: moment(since + 20),
        at: moment(since + 10),
    }
}

/// Records a step of a new message that decides an undo.
async fn decide(store: &dyn Store, number: u32, undo: Undo) -> Outcome {
    let sample = Sample::email(number);
    store.accept(sample.sending()?).await?;
    let step = Step {
        undo: vec![undo],
        ..sample.step(Status::Failed)
    };
    Ok(store.record(step).await?)
}

async fn is_listed(store: &dyn Store, entry: &Suppression) -> Result<bool, StoreError> {
    let addresses = [entry.address.clone()];
    let found = store.suppressed(&entry.tenant, Channel::Email, &addresses, moment(99)).await?;
    Ok(!found.is_empty())
}

/// A step lifts what the account refused while it was out of order, for all tenants; nothing else is lifted.
pub async fn refusals_of_a_faulty_account_are_undone(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let undone = [
        refused("a@example.com", Some("default"), 20),
        // By the release before, which names no account.
        refused("b@example.com", None, 21),
        Suppression {
            tenant: TenantId::new("other"),
            ..refused("c@example.com", Some("default"), 25)
        },
        // The provider's clock runs ahead.
        refused("d@example.com", Some("default"), 40),
    ];
    let left = [
        refused("e@example.com", Some("default"), 19),
        refused("f@example.com", Some("default"), 41),
        refused("g@example.com", Some("second"), 21),
        entry("h@example.com", Reason::HardBounce, 21),
        Suppression {
            provider: Some(ProviderKind::SendGrid),
            ..refused("i@example.com", Some("default"), 21)
        },
        Suppression {
            reason: Reason::Complaint,
            ..refused("j@example.com", Some("default"), 21)
        },
    ];
    store.suppress([undone.as_slice(), left.as_slice()].concat(), Vec::new()).await?;
    decide(&*store, 1, undo("default", 20)).await?;
    for entry in &undone {
        assert!(!is_listed(&*store, entry).await?, "{}", entry.address);
    }
    for entry in &left {
        assert!(is_listed(&*store, entry).await?, "{}", entry.address);
    }
    Ok(())
}

/// A step of feedback lifts its own entries, too: the undo comes after them.
pub async fn reports_of_a_faulty_account_are_undone(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    store.accept(sample.sending()?).await?;
    store.record(sample.step(Status::Failed)).await?;
    let token = store.message(sample.tenant(), sample.id()).await?.map_or(0, |record| record.token);
    let own = refused("a@example.com", Some("default"), 22);
    let step = Step {
        token,
        suppress: vec![own.clone()],
        undo: vec![undo("default", 20)],
        ..sample.step(Status::Failed)
    };
    assert_eq!(store.take_feedback(vec![apply(step)]).await?, [FeedbackTaken::Kept]);
    assert!(!is_listed(&*store, &own).await?);
    Ok(())
}

/// What is stored after the decision, and belongs to it, is lifted when the undos are carried out again; one that is over is forgotten.
pub async fn an_undo_is_carried_out_again_for_what_comes_late(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    assert_eq!(store.carry_out_undos(moment(0)).await?, ums_core::Undone::default());
    decide(&*store, 1, undo("default", 20)).await?;
    let late = refused("a@example.com", Some("default"), 33);
    let later = refused("b@example.com", Some("default"), 45);
    store.suppress(vec![late.clone(), later.clone()], Vec::new()).await?;
    assert!(is_listed(&*store, &late).await?);

    // Of two decisions with one beginning, the later end and the earlier time count.
    let again = Undo {
        until: moment(42),
        at: moment(32),
        ..undo("default", 20)
    };
    decide(&*store, 2, again).await?;
    let kept = Undo {
        until: moment(42),
        ..undo("default", 20)
    };
    let undone = store.carry_out_undos(moment(50)).await?;
    assert_eq!(undone.undos, std::slice::from_ref(&kept));
    assert!(!is_listed(&*store, &late).await?);
    assert!(is_listed(&*store, &later).await?);
    assert_eq!(store.carry_out_undos(moment(51)).await?.lifted, 0);

    let over = kept.until + std::time::Duration::from_hours(1);
    assert_eq!(store.carry_out_undos(over).await?.undos.len(), 1);
    let over = over + std::time::Duration::from_secs(1);
    assert_eq!(store.carry_out_undos(over).await?.undos, []);
    assert_eq!(store.carry_out_undos(moment(51)).await?.undos, [], "it is forgotten");
    Ok(())
}

/// A step that the store refuses leaves the list as it is.
pub async fn a_refused_step_decides_no_undo(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let entry = refused("a@example.com", Some("default"), 22);
    store.suppress(vec![entry.clone()], Vec::new()).await?;
    let sample = Sample::email(1);
    store.accept(sample.sending()?).await?;
    let step = Step {
        token: ums_core::FIRST_TOKEN + 5,
        undo: vec![undo("default", 20)],
        ..sample.step(Status::Failed)
    };
    assert!(matches!(store.record(step).await, Err(StoreError::Fenced)));
    assert!(is_listed(&*store, &entry).await?);
    assert_eq!(store.carry_out_undos(moment(50)).await?.undos, []);
    Ok(())
}

/// Another process carries out what this one decided.
pub async fn an_undo_outlives_the_process(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    if !store.is_durable() {
        return Ok(());
    }
    decide(&*store, 1, undo("second", 20)).await?;
    let late = refused("a@example.com", Some("second"), 30);
    store.suppress(vec![late.clone()], Vec::new()).await?;
    store.close(std::time::Duration::from_secs(10)).await;
    let store = ground.open().await?;
    let undone = store.carry_out_undos(moment(50)).await?;
    assert_eq!((undone.undos, undone.lifted), (vec![undo("second", 20)], 1));
    assert!(!is_listed(&*store, &late).await?);
    Ok(())
}
