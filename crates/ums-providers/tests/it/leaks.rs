//! No secret, recipient or body in `Debug` or in a failure's text.

use std::sync::Arc;

use ums_core::{Clock, Failure, SystemClock};
use ums_providers::{AwsCredentials, Chains, ProviderSettings};

use crate::bed::{self, Bed, CANARIES, transport};
use crate::fault_server::{Act, FaultServer, answer};

fn check(text: &str) {
    for canary in CANARIES {
        assert!(!text.to_lowercase().contains(&canary.to_lowercase()), "{canary} in {text}");
    }
}

fn check_failure(failure: &Failure) {
    check(&format!("{failure:?} {failure} {}", serde_json::to_string(failure).unwrap()));
}

#[test]
fn debug_shows_no_secret() {
    let transport = transport();
    let (ses, sns) = (
        bed::ses("http://127.0.0.1:1", &transport),
        bed::sns("http://127.0.0.1:1", &transport),
    );
    let (sendgrid, twilio) = (
        bed::sendgrid("http://127.0.0.1:1", &transport),
        bed::twilio("http://127.0.0.1:1", &transport),
    );
    check(&format!(
        "{transport:?} {ses:?} {sns:?} {sendgrid:?} {twilio:?} {:?}",
        bed::credentials()
    ));
    check(&format!("{:?}", AwsCredentials::default_chain(Some("shop".to_owned()))));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let chains = Chains::build(
        [ProviderSettings::Console(ums_providers::send::ConsoleSettings::default())],
        &transport,
        &clock,
    )
    .unwrap();
    check(&format!("{chains:?}"));
}

#[tokio::test]
async fn failures_repeat_nothing_that_the_provider_repeats() {
    let echo = "customer@example.com +14165550123 SG.canarykey Bearer canarytoken";
    let bodies = [
        format!(r#"{{"message":"refused: {echo}","code":"{echo}"}}"#),
        format!(r#"{{"errors":[{{"message":"refused: {echo}","field":"{echo}"}}]}}"#),
        format!("<ErrorResponse><Error><Code>{echo}</Code><Message>refused: {echo}</Message></Error></ErrorResponse>"),
        format!(
            r#"{{"code":21211,"message":"The 'To' number +14165550123 {} is not valid"}}"#,
            "customer@example.com"
        ),
    ];
    for body in bodies {
        let body = body.replace(" Bearer canarytoken", "");
        let server = FaultServer::start(vec![Act::Answer(answer("400 Bad Request", &[], &body))]).await;
        let (url, transport) = (server.url(), transport());
        check_failure(&bed::ses(&url, &transport).send_one().await.unwrap_err());
        check_failure(&bed::sendgrid(&url, &transport).send_one().await.unwrap_err());
        check_failure(&bed::sns(&url, &transport).send_one().await.unwrap_err());
        check_failure(&bed::twilio(&url, &transport).send_one().await.unwrap_err());
    }
}
