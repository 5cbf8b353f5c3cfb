//! Messages go out, whichever provider is up.

use std::sync::Arc;

use ums_core::{Email, FailureClass, ProviderKind};
use ums_simulator::{Fault, Mode, Provider, Simulator, SimulatorConfig};
use ums_testkit::{FakeProvider, Reply};
use unified_messaging::{
    BreakerStateWord, Error, MessageFilter, OutcomeWord, Purpose, SendEmail, SendSms, Status, UnifiedMessagingService,
};

async fn simulator() -> Simulator {
    Simulator::start(SimulatorConfig::any_ports()).await.unwrap()
}

fn builder(simulator: &Simulator) -> unified_messaging::Builder {
    UnifiedMessagingService::builder()
        .aws("us-east-1", "AKIAEXAMPLEEXAMPLE00", "secret")
        .setting("AWS_ENDPOINT_URL_SESV2", simulator.ses_url())
        .setting("AWS_ENDPOINT_URL_SNS", simulator.sns_url())
        .setting("SENDGRID_API_URL", simulator.sendgrid_url())
        .setting("TWILIO_API_URL", simulator.twilio_url())
        .ses("shop@example.com")
        .sendgrid("SG.key", "shop@example.com")
        .twilio(format!("AC{}", "0".repeat(32)), "token", "+14155550100")
}

fn email() -> SendEmail {
    SendEmail::new("customer@example.com", "Your receipt").html("<p>Thank you.</p>")
}

#[tokio::test]
async fn ses_down_sends_by_sendgrid_and_returns_to_ses() {
    let simulator = simulator().await;
    let service = builder(&simulator).build().await.unwrap();
    let provider = async || service.send_email(email()).await.unwrap().provider().unwrap();
    assert_eq!(provider().await, ProviderKind::AwsSes);
    simulator.set_fault(Provider::Ses, Fault::from(Mode::Error)).await.unwrap();
    assert_eq!(provider().await, ProviderKind::SendGrid);
    simulator.heal(Provider::Ses).await.unwrap();
    assert_eq!(provider().await, ProviderKind::AwsSes);
    service.shutdown().await;
}

#[tokio::test]
async fn a_code_is_sent_and_found_again() {
    let simulator = simulator().await;
    let service = builder(&simulator).build().await.unwrap();
    let sms = SendSms::new("(416) 555-0123", "Your code is 123456")
        .purpose(Purpose::Otp)
        .metadata("order", 17);
    let result = service.send_sms(sms).await.unwrap();
    assert_eq!((result.status, result.simulated), (Status::Sent, true));
    assert_eq!(result.recipient_id, "+14165550123");
    assert_eq!(result.metadata["order"], 17);
    assert_eq!(service.get_message(result.message_id).await.unwrap(), Some(result));
    let page = service.list_messages(&MessageFilter::default(), None, 10).await.unwrap();
    assert_eq!(page.messages.len(), 1);
    service.shutdown().await;
}

#[tokio::test]
async fn in_memory_a_message_that_nobody_takes_fails_with_every_reason() {
    let simulator = simulator().await;
    for provider in [Provider::Ses, Provider::SendGrid] {
        simulator.set_fault(provider, Fault::from(Mode::Error)).await.unwrap();
    }
    let service = builder(&simulator).build().await.unwrap();
    let result = service.send_email(email()).await.unwrap();
    assert_eq!(result.status, Status::Failed);
    let error = result.error_message.unwrap();
    assert!(error.contains("aws_ses") && error.contains("sendgrid"), "{error}");
    assert!(result.attempts.iter().all(|attempt| attempt.outcome == OutcomeWord::Failed));
    service.shutdown().await;
}

#[tokio::test]
async fn a_durable_store_holds_the_message_and_remembers_the_breaker() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("ums.db").display());
    simulator.set_fault(Provider::Ses, Fault::from(Mode::Unauthorized)).await.unwrap();
    simulator.set_fault(Provider::SendGrid, Fault::from(Mode::Error)).await.unwrap();
    let service = builder(&simulator).store_url(&url).build().await.unwrap();
    let held = service.send_email(email()).await.unwrap();
    assert_eq!(held.status, Status::Queued);
    service.shutdown().await;

    let aside = builder(&simulator).store_url(&url).build_aside().await.unwrap();
    let health = aside.get_provider_health();
    assert_eq!(health.email_providers[0].circuit_breaker, BreakerStateWord::Open);
    aside.shutdown().await;

    let service = builder(&simulator).store_url(&url).build().await.unwrap();
    assert_eq!(service.get_message(held.message_id).await.unwrap().unwrap().status, Status::Queued);
    service.shutdown().await;
}

#[tokio::test]
async fn a_provider_of_ones_own_comes_first() {
    let simulator = simulator().await;
    let own = Arc::new(FakeProvider::<Email>::new(ProviderKind::SendGrid));
    let chain = builder(&simulator).email_chain(&[ProviderKind::AwsSes]);
    let service = chain.email_provider(own.clone()).build().await.unwrap();
    assert_eq!(service.send_email(email()).await.unwrap().provider(), Some(ProviderKind::SendGrid));
    own.answer(Reply::FailAs(FailureClass::Unavailable));
    assert_eq!(service.send_email(email()).await.unwrap().provider(), Some(ProviderKind::AwsSes));
    assert_eq!(own.calls(), 2);
    service.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_an_error_and_reaches_nobody() {
    let simulator = simulator().await;
    let service = builder(&simulator).build().await.unwrap();
    let error = service.send_email(SendEmail::new("nobody", "").text("x")).await.unwrap_err();
    let Error::Invalid(request) = error else { panic!("{error}") };
    let fields: Vec<_> = request.faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["to", "subject"]);
    service.shutdown().await;
    let closing = service.send_email(email()).await.unwrap_err();
    assert!(matches!(closing, Error::Closing), "{closing}");
    assert!(simulator.messages().is_empty());
}
