//! The adapters against the simulator: what arrives, and every fault that it can have.

use ums_core::FailureClass as Class;
use ums_simulator::{Mode, Provider, Simulator, SimulatorConfig};

use crate::bed::{self, Bed, transport};

async fn simulator() -> Simulator {
    Simulator::start(SimulatorConfig::any_ports()).await.unwrap()
}

/// What a fault may make of a message; `None` is accepted.
const fn allowed(provider: Provider, mode: Mode) -> &'static [Option<Class>] {
    match mode {
        Mode::Error | Mode::Refuse => &[Some(Class::Unavailable)],
        // The transport's flag decides; its own tests hold the class to it.
        Mode::ResetBefore => &[Some(Class::Unavailable), Some(Class::Unknown)],
        // The default delay of `slow` is longer than this transport waits.
        Mode::Slow
        | Mode::Hang
        | Mode::HangAfter
        | Mode::ResetAfter
        | Mode::AcceptThenError
        | Mode::Garbage
        | Mode::Truncate
        | Mode::Empty
        | Mode::Huge => &[Some(Class::Unknown)],
        Mode::Throttle => &[Some(Class::Throttled)],
        Mode::Unauthorized | Mode::Suspended => &[Some(Class::Misconfigured)],
        Mode::Quota => &[Some(Class::QuotaExhausted)],
        Mode::Reject => match provider {
            Provider::Ses => &[Some(Class::InvalidMessage)],
            Provider::Sns | Provider::SendGrid | Provider::Twilio | Provider::Smtp => &[Some(Class::InvalidRecipient)],
        },
        Mode::Bounce | Mode::NeverDeliver | Mode::Unsubscribed => &[None],
        // SMTP alone has these.
        Mode::Defer | Mode::TooMany => &[],
    }
}

async fn every_fault<B: Bed>(provider: Provider, make: impl Fn(&Simulator) -> B) {
    let simulator = simulator().await;
    for mode in Mode::ALL {
        simulator.clear();
        let Ok(()) = simulator.set_fault(provider, mode).await else {
            continue;
        };
        let outcome = make(&simulator).send_one().await;
        let class = outcome.as_ref().err().map(|failure| failure.class);
        assert!(allowed(provider, mode).contains(&class), "{provider} {mode}: {outcome:?}");
        assert!(simulator.messages().len() <= 1, "{provider} {mode}: handed over more than once");
        simulator.heal(provider).await.unwrap();
        let after = make(&simulator).send_one().await;
        assert!(
            after.as_ref().is_ok_and(|accepted| accepted.simulated),
            "{provider} after {mode}: {after:?}"
        );
    }
}

#[tokio::test]
async fn ses_faults_have_their_classes() {
    every_fault(Provider::Ses, |simulator| bed::ses(&simulator.ses_url(), &transport())).await;
}

#[tokio::test]
async fn sns_faults_have_their_classes() {
    every_fault(Provider::Sns, |simulator| bed::sns(&simulator.sns_url(), &transport())).await;
}

#[tokio::test]
async fn sendgrid_faults_have_their_classes() {
    every_fault(Provider::SendGrid, |simulator| {
        bed::sendgrid(&simulator.sendgrid_url(), &transport())
    })
    .await;
}

#[tokio::test]
async fn twilio_faults_have_their_classes() {
    every_fault(Provider::Twilio, |simulator| bed::twilio(&simulator.twilio_url(), &transport())).await;
}

#[tokio::test]
async fn what_was_sent_is_what_arrived() {
    let simulator = simulator().await;
    let transport = transport();
    let ids = [
        bed::ses(&simulator.ses_url(), &transport).send_one().await.unwrap(),
        bed::sendgrid(&simulator.sendgrid_url(), &transport).send_one().await.unwrap(),
        bed::sns(&simulator.sns_url(), &transport).send_one().await.unwrap(),
        bed::twilio(&simulator.twilio_url(), &transport).send_one().await.unwrap(),
    ]
    .map(|accepted| accepted.provider_message_id);
    let messages = simulator.messages();
    assert_eq!(messages.iter().map(|message| message.id.clone()).collect::<Vec<_>>(), ids);
    for email in &messages[..2] {
        assert_eq!(
            (email.to.as_slice(), email.from.as_deref()),
            (&["customer@example.com".to_owned()][..], Some("hello@shop.example"))
        );
        assert_eq!(
            (email.subject.as_deref(), email.text.as_deref()),
            (Some("canarybody"), Some("canarybody"))
        );
        assert_eq!(email.html.as_deref(), Some("<p>canarybody</p>"));
    }
    for sms in &messages[2..] {
        assert_eq!(
            (sms.to.as_slice(), sms.body.as_deref()),
            (&["+14165550123".to_owned()][..], Some("canarybody"))
        );
    }
}
