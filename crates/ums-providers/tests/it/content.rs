//! One provider's rule about content ends no message: what the door accepts each provider takes, or it is passed over. And what arrives is
//! the same, whoever took it.

mod arrived;
mod generate;

use std::cell::Cell;
use std::sync::Arc;

use proptest::prelude::*;
use ums_core::{Content, Email, Failure, FailureClass, Provider as _, SendEmail, Sms, SystemClock};
use ums_providers::send::smtp::{Smtp, SmtpSettings, SmtpTls};
use ums_providers::{Transport, TransportSettings};
use ums_simulator::{SimMessage, Simulator, SimulatorConfig};

use self::arrived::Arrived;
use crate::bed;

/// The providers of both channels, each alone against its simulator.
struct Street {
    simulator: Simulator,
    transport: Arc<Transport>,
}

const EMAIL: [&str; 3] = ["aws_ses", "sendgrid", "smtp"];
const SMS: [&str; 2] = ["aws_sns", "twilio"];

impl Street {
    async fn open() -> Self {
        Self {
            simulator: Simulator::start(SimulatorConfig::any_ports()).await.unwrap(),
            // With the usual limits: a busy machine is no fault of the content.
            transport: Transport::new(TransportSettings::default(), Arc::new(SystemClock::new())),
        }
    }

    /// Sends by one provider; gives back what arrived there.
    async fn send(&self, provider: &str, content: &Content) -> Result<SimMessage, Failure> {
        self.simulator.clear();
        let (simulator, transport, call) = (&self.simulator, &self.transport, bed::call());
        match (provider, content) {
            ("aws_ses", Content::Email(email)) => bed::ses(&simulator.ses_url(), transport).send(email, &call).await,
            ("sendgrid", Content::Email(email)) => bed::sendgrid(&simulator.sendgrid_url(), transport).send(email, &call).await,
            ("smtp", Content::Email(email)) => self.smtp().send(email, &call).await,
            ("aws_sns", Content::Sms(sms)) => bed::sns(&simulator.sns_url(), transport).send(sms, &call).await,
            ("twilio", Content::Sms(sms)) => bed::twilio(&simulator.twilio_url(), transport).send(sms, &call).await,
            (_, _) => unreachable!("{provider} has another channel"),
        }?;
        Ok(simulator.messages().pop().unwrap())
    }

    fn smtp(&self) -> Smtp {
        let address = self.simulator.smtp_addr();
        let mut settings = SmtpSettings::new(address.ip().to_string(), address.port(), bed::mailbox("Shop <hello@shop.example>"));
        settings.tls = SmtpTls::None;
        Smtp::new(settings, Arc::new(SystemClock::new())).unwrap()
    }

    /// Sends by each e-mail provider; gives back which ones took the message. All the others passed it over.
    async fn everywhere(&self, email: &Email) -> Vec<&'static str> {
        let expected = Arrived::of(email);
        let mut takers = Vec::new();
        for provider in EMAIL {
            match self.send(provider, &Content::Email(email.clone())).await {
                Ok(message) => {
                    let difference = expected.difference(&Arrived::read(&message, email));
                    assert!(difference.is_none(), "by {provider}: {}", difference.unwrap_or_default());
                    takers.push(provider);
                }
                Err(failure) => assert_eq!(failure.class, FailureClass::Unsupported, "{provider}: {failure:?}"),
            }
        }
        takers
    }
}

/// A request of a fixture: its fields over those of a good one.
fn request(row: &serde_json::Value) -> SendEmail {
    let mut request = serde_json::json!({"to": "customer@example.com", "subject": "Hello", "text_content": "Hello"});
    for field in ["to", "reply_to", "subject", "headers", "attachments"] {
        if let Some(value) = row.get(field) {
            request[field] = value.clone();
        }
    }
    serde_json::from_value(request).unwrap()
}

fn cases(list: &str) -> Vec<serde_json::Value> {
    let all: serde_json::Value = serde_json::from_str(include_str!("../fixtures/content/cases.json")).unwrap();
    all[list].as_array().unwrap().clone()
}

#[tokio::test]
async fn each_case_is_taken_or_passed_over_as_it_says() {
    let street = Street::open().await;
    for row in cases("carried") {
        let Content::Email(email) = request(&row).parse().unwrap().content else {
            panic!("an e-mail");
        };
        let takers = street.everywhere(&email).await;
        for provider in EMAIL {
            let expected = row["by"][provider] == "accepted";
            assert_eq!(takers.contains(&provider), expected, "{provider}: {}", row["case"]);
        }
    }
}

#[test]
fn what_no_provider_could_carry_is_refused_at_the_door() {
    for row in cases("refused") {
        let faults = request(&row).parse().expect_err("refused").faults;
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, [row["field"].as_str().unwrap()], "{}", row["case"]);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn whatever_is_accepted_is_taken_or_passed_over() {
    let runtime = runtime();
    let street = runtime.block_on(Street::open());
    let (accepted, taken) = (Cell::new(0), Cell::new(0));
    proptest!(|(request in generate::request())| {
        if let Some(email) = generate::without_faults(request) {
            accepted.set(accepted.get() + 1);
            taken.set(taken.get() + runtime.block_on(street.everywhere(&email)).len());
        }
    });
    // The generator must not test the door alone, nor the passing over.
    assert!(accepted.get() > 200 && taken.get() > 300, "{accepted:?} accepted, {taken:?} taken");
}

#[test]
fn whatever_content_type_is_accepted_is_taken_by_every_provider() {
    let runtime = runtime();
    let street = runtime.block_on(Street::open());
    let accepted = Cell::new(0);
    proptest!(|(content_type in generate::content_type())| {
        let file = serde_json::json!({"filename": "a.pdf", "content_type": content_type, "content_base64": "YWJj"});
        let Ok(parsed) = request(&serde_json::json!({"attachments": [file]})).parse() else { return Ok(()) };
        let Content::Email(email) = &parsed.content else { panic!("an e-mail") };
        accepted.set(accepted.get() + 1);
        prop_assert_eq!(runtime.block_on(street.everywhere(email)), EMAIL);
    });
    assert!(accepted.get() > 150, "{accepted:?} accepted");
}

#[test]
fn whatever_text_is_accepted_is_taken_or_passed_over() {
    let runtime = runtime();
    let street = runtime.block_on(Street::open());
    proptest!(|(request in generate::sms())| {
        let Ok(parsed) = request.parse(None) else { return Ok(()) };
        let Content::Sms(Sms { body, .. }) = &parsed.content else { panic!("a text message") };
        for provider in SMS {
            match runtime.block_on(street.send(provider, &parsed.content)) {
                Ok(message) => prop_assert_eq!(message.body.as_ref(), Some(body)),
                Err(failure) => prop_assert_eq!(failure.class, FailureClass::Unsupported, "{} {:?}", provider, failure),
            }
        }
    });
}
