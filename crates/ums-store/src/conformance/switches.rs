//! Provider accounts: what operators decide about them, and when they last took a message.

use std::time::Duration;

use ums_core::{AccountId, AttemptOutcome, ProviderKind, ProviderSwitch, Status, Step, SwitchedOff};

use super::sample::{Sample, moment};
use super::{Ground, Outcome};

const SES: ProviderKind = ProviderKind::AwsSes;

fn off(until: Option<u64>) -> SwitchedOff {
    SwitchedOff {
        reason: "a move to another region; ‘quoted’ \u{0}".to_owned(),
        by: "ann".to_owned(),
        since: moment(1),
        until: until.map(moment),
    }
}

/// A switch is one account's, keeps every fact, and outlives the process; a trial leaves it as it is.
pub async fn provider_switches_are_kept_by_account(ground: &dyn Ground) -> Outcome {
    let (one, other) = (AccountId::default(), AccountId::new("eu"));
    let switch = |provider, account: &AccountId, off, tried_at: Option<u64>| ProviderSwitch {
        provider,
        account: account.clone(),
        off,
        tried_at: tried_at.map(moment),
    };
    let store = ground.open().await?;
    assert!(store.provider_switches().await?.is_empty());
    store.note_trial(ProviderKind::Twilio, &other, moment(3)).await?;
    store.switch_provider(SES, &one, Some(off(None))).await?;
    store.switch_provider(SES, &other, Some(off(Some(9)))).await?;
    store.note_trial(SES, &one, moment(2)).await?;
    let kept = [
        switch(SES, &one, Some(off(None)), Some(2)),
        switch(SES, &other, Some(off(Some(9))), None),
        switch(ProviderKind::Twilio, &other, None, Some(3)),
    ];
    assert_eq!(store.provider_switches().await?, kept);
    if store.is_durable() {
        store.close(Duration::from_secs(5)).await;
        let again = ground.open().await?;
        assert_eq!(again.provider_switches().await?, kept);
    }
    Ok(())
}

/// Bringing an account back forgets why it was out, and not when it was tried.
pub async fn a_provider_is_brought_back(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let account = AccountId::default();
    store.note_trial(SES, &account, moment(2)).await?;
    store.switch_provider(SES, &account, Some(off(None))).await?;
    store.switch_provider(SES, &account, Some(off(Some(9)))).await?;
    store.switch_provider(SES, &account, None).await?;
    let switches = store.provider_switches().await?;
    assert_eq!(
        switches.iter().map(|switch| (&switch.off, switch.tried_at)).collect::<Vec<_>>(),
        [(&None, Some(moment(2)))]
    );
    Ok(())
}

/// The latest accepted call counts, of that account alone; an unknown or failed call is no success.
pub async fn the_last_accepted_call_of_an_account_is_known(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let account = AccountId::default();
    assert_eq!(store.last_accepted(SES, &account).await?, None);
    let calls = [
        (1, 10, AttemptOutcome::Accepted),
        (2, 30, AttemptOutcome::Accepted),
        (3, 20, AttemptOutcome::Accepted),
        (4, 40, AttemptOutcome::Unknown),
        (5, 50, AttemptOutcome::Failed),
    ];
    for (number, called_at, outcome) in calls {
        let sample = Sample::email(number);
        store.accept(sample.sending()?).await?;
        let mut attempt = sample.intent(1);
        (attempt.provider, attempt.outcome, attempt.called_at) = (SES, outcome, moment(called_at));
        let step = Step {
            attempts: vec![attempt],
            ..sample.step(Status::Sending)
        };
        store.record(step).await?;
    }
    assert_eq!(store.last_accepted(SES, &account).await?, Some(moment(30)));
    assert_eq!(store.last_accepted(SES, &AccountId::new("eu")).await?, None);
    assert_eq!(store.last_accepted(ProviderKind::Smtp, &account).await?, None);
    Ok(())
}
