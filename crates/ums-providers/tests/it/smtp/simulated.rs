//! The adapter against our own simulator, with every fault that it can have.

use ums_core::{Accepted, Failure, FailureClass as Class, Provider as _};
use ums_simulator::{Fault, Mode, Provider, Simulator, SimulatorConfig};

use super::{SHORT, call, email, settings, smtp, to};

async fn send(simulator: &Simulator) -> Result<Accepted, Failure> {
    let mut settings = settings(simulator.smtp_addr().port());
    settings.timeouts = SHORT;
    smtp(settings).send(&email(), &call()).await
}

/// What a fault makes of a message; nothing where it is accepted.
const fn expected(mode: Mode) -> Option<Class> {
    match mode {
        // Nothing was handed over.
        Mode::Error | Mode::Refuse | Mode::Hang | Mode::ResetBefore | Mode::Defer => Some(Class::Unavailable),
        // The final dot was. Slow is slower than these tests wait.
        Mode::HangAfter | Mode::ResetAfter | Mode::Garbage | Mode::Truncate | Mode::Huge | Mode::Slow | Mode::AcceptThenError => {
            Some(Class::Unknown)
        }
        // A bare 250 is an acceptance (RFC 5321 §4.2); the id is ours. One recipient is within the limit.
        Mode::Empty | Mode::Bounce | Mode::NeverDeliver | Mode::Unsubscribed | Mode::TooMany => None,
        Mode::Throttle => Some(Class::Throttled),
        Mode::Unauthorized | Mode::Suspended => Some(Class::Misconfigured),
        Mode::Quota => Some(Class::QuotaExhausted),
        Mode::Reject => Some(Class::InvalidRecipient),
    }
}

#[tokio::test]
async fn smtp_faults_have_their_classes() {
    let simulator = Simulator::start(SimulatorConfig::any_ports()).await.unwrap();
    for mode in Mode::ALL {
        simulator.clear();
        if simulator.set_fault(Provider::Smtp, mode).await.is_err() {
            assert!(!mode.is_possible_for(Provider::Smtp), "{mode}");
            continue;
        }
        let outcome = send(&simulator).await;
        assert_eq!(
            outcome.as_ref().err().map(|failure| failure.class),
            expected(mode),
            "{mode}: {outcome:?}"
        );
        simulator.heal(Provider::Smtp).await.unwrap();
        let after = send(&simulator).await;
        assert!(after.as_ref().is_ok_and(|accepted| accepted.simulated), "after {mode}: {after:?}");
    }
}

#[tokio::test]
async fn what_was_sent_is_what_the_simulator_recorded() {
    let simulator = Simulator::start(SimulatorConfig::any_ports()).await.unwrap();
    let mut email = email();
    email.subject = "Grüße".to_owned();
    email.bcc = vec![super::mailbox("hidden@example.com")];
    smtp(settings(simulator.smtp_addr().port())).send(&email, &call()).await.unwrap();
    let messages = simulator.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].subject.as_deref(), Some("Grüße"));
    assert_eq!(messages[0].text.as_deref().map(str::trim_end), Some("Hello"));
    assert_eq!(messages[0].html.as_deref().map(str::trim_end), Some("<p>Hello</p>"));
}

#[tokio::test]
async fn everybody_has_the_message_once_although_the_server_takes_two_at_a_time() {
    let simulator = Simulator::start(SimulatorConfig::any_ports()).await.unwrap();
    simulator
        .set_fault(Provider::Smtp, Fault::new(Mode::TooMany).limit(2))
        .await
        .unwrap();
    let smtp = smtp(settings(simulator.smtp_addr().port()));
    let all = ["a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"];
    let mut left: Vec<String> = all.into_iter().map(str::to_owned).collect();
    while !left.is_empty() {
        let email = to(&left.iter().map(String::as_str).collect::<Vec<_>>());
        let accepted = smtp.send(&email, &call()).await.unwrap();
        assert!(accepted.refused.iter().all(|refusal| refusal.next_transaction));
        left = accepted.refused.iter().map(|refusal| refusal.address.expose().to_owned()).collect();
    }
    let taken: Vec<String> = simulator.messages().iter().flat_map(|message| message.to.clone()).collect();
    assert_eq!(taken, all);
    assert_eq!(simulator.stats(Provider::Smtp).connections, 1);
}

#[tokio::test]
async fn a_deferred_recipient_is_reported_beside_the_others() {
    let simulator = Simulator::start(SimulatorConfig::any_ports()).await.unwrap();
    let fault = Fault::new(Mode::Defer).recipients(["busy@example.com"]);
    simulator.set_fault(Provider::Smtp, fault).await.unwrap();
    let smtp = smtp(settings(simulator.smtp_addr().port()));
    let accepted = smtp.send(&to(&["jane@example.com", "busy@example.com"]), &call()).await.unwrap();
    let [refusal] = accepted.refused.as_slice() else {
        panic!("{accepted:?}")
    };
    assert_eq!((refusal.address.local(), refusal.failure.class), ("busy", Class::Unavailable));
    assert_eq!((refusal.failure.code.as_str(), refusal.next_transaction), ("451 4.7.1", false));
    assert_eq!(simulator.messages()[0].to, ["jane@example.com"]);
}
