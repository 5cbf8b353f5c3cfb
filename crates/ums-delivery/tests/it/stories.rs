//! Stories of outages and of bad messages.

use std::time::Duration;

use ums_core::{
    Accepted, BreakerStateWord, EmailAddress, Failure, FailureClass, HealthStatus, Probe, ProviderKind, Purpose, Refusal, SendSms, Status,
};
use ums_delivery::Rules;
use ums_testkit::{LogCapture, Reply};

use crate::setup::{Setup, email, start};

#[tokio::test(start_paused = true)]
async fn a_message_goes_by_the_first_provider_and_its_result_says_so() {
    let bench = start().await;
    let result = bench.send(email().metadata("order", 17)).await;
    assert_eq!((result.status, result.provider()), (Status::Sent, Some(ProviderKind::AwsSes)));
    assert_eq!(result.recipient_id, "customer@example.com");
    assert_eq!(result.metadata["order"], 17);
    assert_eq!(result.metadata["provider"], "aws_ses");
    assert_eq!(result.metadata["provider_message_id"], "aws_ses-1");
    assert_eq!(result.cost.as_deref(), Some("0.000160"));
    assert!(result.sent_at.is_some() && result.error_message.is_none());
    assert_eq!(bench.look_up(result.message_id).await, result, "the store tells the same");
}

#[tokio::test(start_paused = true)]
async fn ten_mistyped_recipients_leave_all_breakers_closed() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::InvalidRecipient));
    for number in 0..10 {
        let mut request = email();
        request.to = format!("nobody-{number}@example.com").into();
        assert_eq!(bench.send(request).await.status, Status::Failed);
    }
    assert!(
        bench
            .engine
            .health()
            .email_providers
            .iter()
            .all(|row| row.circuit_breaker == BreakerStateWord::Closed)
    );
    assert_eq!((bench.sendgrid.calls(), bench.smtp.calls()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_everybody_is_the_problem_itself() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::InvalidRecipient));
    let mut last = None;
    for recipient in [
        "a@one.example",
        "b@two.example",
        "c@three.example",
        "d@one.example",
        "e@two.example",
    ] {
        let mut request = email();
        request.to = recipient.into();
        last = Some(bench.send(request).await);
    }
    let fifth = last.unwrap();
    assert_eq!((fifth.status, fifth.provider()), (Status::Sent, Some(ProviderKind::SendGrid)));
    assert_eq!(fifth.attempts[0].code.as_deref(), Some("systemic_rejection"));
    assert_eq!(bench.engine.health().email_providers[0].status, HealthStatus::Misconfigured);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_opens_at_the_first_message_and_that_message_goes_out() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Misconfigured));
    let result = bench.send(email()).await;
    assert_eq!((result.status, result.provider()), (Status::Sent, Some(ProviderKind::SendGrid)));
    let row = &bench.engine.health().email_providers[0];
    assert_eq!(
        (row.circuit_breaker, row.status, row.is_healthy),
        (BreakerStateWord::Open, HealthStatus::Misconfigured, false)
    );
    bench.send(email()).await;
    assert_eq!(bench.ses.calls(), 1, "not asked again");
}

#[tokio::test(start_paused = true)]
async fn ses_down_sends_by_sendgrid_and_returns_to_ses() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unavailable));
    for _ in 0..5 {
        assert_eq!(bench.send(email()).await.attempts.len(), 2);
    }
    let result = bench.send(email()).await;
    assert_eq!(
        (result.attempts.len(), result.provider()),
        (1, Some(ProviderKind::SendGrid)),
        "the open breaker costs nothing"
    );
    bench.ses.answer(Reply::Accept);
    bench.pass(Duration::from_secs(30)).await;
    for _ in 0..3 {
        assert_eq!(bench.send(email()).await.provider(), Some(ProviderKind::AwsSes));
    }
    assert_eq!(bench.engine.health().email_providers[0].status, HealthStatus::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_recovering_provider_sees_one_call_at_a_time() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unavailable));
    for _ in 0..5 {
        bench.send(email()).await;
    }
    bench.ses.answer(Reply::Accept);
    bench.ses.hold();
    bench.pass(Duration::from_secs(30)).await;
    let before = bench.ses.calls();
    let mut sends = Vec::new();
    for _ in 0..64 {
        sends.push(bench.engine.submit(email().parse().unwrap().into()).await.unwrap());
    }
    bench.idle().await;
    assert_eq!((bench.ses.running(), bench.ses.calls() - before), (1, 1));
    bench.ses.release(1_000);
    for ticket in sends {
        assert_eq!(ticket.result(Duration::from_secs(5)).await.unwrap().status, Status::Sent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovering_provider_that_can_be_asked_costs_no_message_a_wait() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unavailable));
    bench
        .ses
        .answer_probe(Probe::Failed(Failure::provider(FailureClass::Unavailable, "503", "")));
    bench.ses.can_be_asked(true);
    for _ in 0..5 {
        bench.send(email()).await;
    }
    bench.pass(Duration::from_secs(30)).await;
    let calls = bench.ses.calls();
    assert_eq!(bench.send(email()).await.attempts.len(), 1);
    bench.idle().await;
    assert_eq!((bench.ses.probes(), bench.ses.calls()), (1, calls), "asked, not tried");
    assert_eq!(bench.engine.health().email_providers[0].circuit_breaker, BreakerStateWord::Open);

    bench.ses.answer(Reply::Accept);
    bench.ses.answer_probe(Probe::Healthy);
    bench.pass(Duration::from_mins(1)).await;
    bench.send(email()).await;
    bench.idle().await;
    assert_eq!(bench.send(email()).await.provider(), Some(ProviderKind::AwsSes));
}

#[tokio::test(start_paused = true)]
async fn all_open_the_least_bad_is_tried_once_a_second_and_the_error_names_everybody() {
    let bench = start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    for _ in 0..5 {
        bench.send(email()).await;
    }
    let calls = |bench: &crate::setup::Bench| bench.providers().map(|provider| provider.calls()).iter().sum::<usize>();
    let before = calls(&bench);
    let result = bench.send(email()).await;
    assert_eq!(calls(&bench) - before, 1, "one last resort");
    assert_eq!(result.status, Status::Failed);
    let error = result.error_message.unwrap();
    for name in ["aws_ses", "sendgrid", "smtp", "5 failures in a row"] {
        assert!(error.contains(name), "{error}");
    }
    bench.smtp.answer(Reply::Accept);
    bench.ses.answer(Reply::Accept);
    bench.sendgrid.answer(Reply::Accept);
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.send(email()).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn content_that_no_provider_carries_is_told_with_each_providers_reason() {
    let bench = start().await;
    let cannot = |code, why| Reply::Fail(Failure::local(FailureClass::Unsupported, code, why));
    bench.ses.answer(cannot("file_type", "SES refuses files with this extension"));
    bench.sendgrid.answer(cannot("empty_file", "SendGrid takes no empty file"));
    bench.smtp.answer_once(Reply::Accept);
    assert_eq!(
        bench.send(email()).await.provider(),
        Some(ProviderKind::Smtp),
        "two rules end no message"
    );
    bench
        .smtp
        .answer(cannot("message_too_large", "the message is larger than the server's limit"));
    let result = bench.send(email()).await;
    assert_eq!(result.status, Status::Failed);
    assert_eq!(
        result.error_message.as_deref(),
        Some(
            "no provider took it: aws_ses: unsupported (file_type), SES refuses files with this extension; sendgrid: unsupported \
             (empty_file), SendGrid takes no empty file; smtp: unsupported (message_too_large), the message is larger than the server's limit"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn an_opted_out_number_is_not_routed_around() {
    let bench = start().await;
    bench.sns.answer(Reply::FailAs(FailureClass::RecipientBlocked));
    let result = bench.send_sms(SendSms::new("4165550123", "Hello")).await;
    assert_eq!(result.status, Status::Unsubscribed);
    assert_eq!(bench.twilio.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn via_is_that_provider_only() {
    let bench = start().await;
    assert_eq!(
        bench.send(email().via(ProviderKind::Smtp)).await.provider(),
        Some(ProviderKind::Smtp)
    );
    bench.smtp.answer(Reply::FailAs(FailureClass::Unavailable));
    let result = bench.send(email().via(ProviderKind::Smtp)).await;
    assert_eq!((result.status, result.attempts.len()), (Status::Failed, 1));
    let refused = bench
        .engine
        .send(
            SendSms::new("+14165550123", "x")
                .via(ProviderKind::Console)
                .parse(None)
                .unwrap()
                .into(),
        )
        .await;
    assert!(refused.unwrap_err().to_string().contains("via"));
}

#[tokio::test(start_paused = true)]
async fn after_a_partial_acceptance_only_the_rest_is_carried_on() {
    let bench = start().await;
    let address = |text: &str| EmailAddress::parse(text).unwrap();
    let refusal = |text: &str, class| Refusal {
        address: address(text),
        failure: Failure::provider(class, "450", ""),
        next_transaction: false,
    };
    let mut accepted = Accepted::new("first");
    accepted.refused = vec![
        refusal("gone@example.com", FailureClass::InvalidRecipient),
        refusal("busy@example.com", FailureClass::Unavailable),
    ];
    bench.ses.answer_once(Reply::AcceptAs(accepted));
    let mut request = email();
    request.cc = vec!["gone@example.com", "busy@example.com"].into();
    let result = bench.send(request).await;
    let statuses: Vec<_> = result.recipients.iter().map(|recipient| recipient.status).collect();
    assert_eq!(
        (result.status, statuses),
        (Status::Sent, vec![Status::Sent, Status::Failed, Status::Sent])
    );
    let (carried, _) = &bench.sendgrid.seen()[0];
    let to: Vec<_> = carried.to.iter().map(|mailbox| mailbox.address.expose()).collect();
    assert_eq!(
        (to, carried.cc.len()),
        (vec!["busy@example.com"], 0),
        "somebody must stand on the first line"
    );
}

#[tokio::test(start_paused = true)]
async fn in_development_real_providers_reach_allowed_recipients_only() {
    let rules = Rules {
        development: true,
        allow_recipients: vec!["@example.org".into()],
        ..Rules::default()
    };
    let bench = Setup {
        rules,
        remote: true,
        ..Setup::default()
    }
    .start()
    .await;
    let result = bench.send(email()).await;
    assert_eq!((result.status, bench.ses.calls()), (Status::Suppressed, 0));
    assert_eq!(result.recipients[0].reason.as_deref(), Some("non_production"));
    let mut allowed = email();
    allowed.to = "me@example.org".into();
    assert_eq!(bench.send(allowed).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn text_messages_stay_in_the_countries_that_are_named() {
    let rules = Rules {
        sms_countries: vec!["CA".parse().unwrap()],
        ..Rules::default()
    };
    let bench = Setup { rules, ..Setup::default() }.start().await;
    assert_eq!(bench.send_sms(SendSms::new("+447400123456", "x")).await.status, Status::Failed);
    assert_eq!(bench.sns.calls(), 0);
    assert_eq!(bench.send_sms(SendSms::new("+14165550123", "x")).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn the_text_part_is_made_from_the_html() {
    let bench = start().await;
    let mut request = email();
    request.text_content = None;
    request.html_content = Some("<h1>Receipt</h1><p>Thank &amp; you</p>".into());
    bench.send(request).await;
    let (sent, _) = &bench.ses.seen()[0];
    assert!(sent.text.as_ref().unwrap().contains("Thank & you"));
}

#[tokio::test]
async fn nothing_private_is_logged() {
    let (log, _guard) = LogCapture::start();
    let bench = start().await;
    let leaky = Failure::provider(
        FailureClass::InvalidRecipient,
        "550",
        "no such user canary-to@example.com key SG.canary +14165550123",
    );
    bench.ses.answer_once(Reply::Fail(leaky));
    let mut request = email();
    request.to = "Canary Name <canary-to@example.com>".into();
    request.subject = "canary-subject".into();
    request.text_content = Some("canary-body 123456".into());
    let failed = bench.send(request).await;
    bench
        .send_sms(SendSms::new("+14165550123", "canary-code 987654").purpose(Purpose::Otp))
        .await;
    let text = format!("{} {:?} {:?}", log.text(), failed, bench.engine);
    assert!(text.contains("settled"), "something was logged: {text}");
    for canary in ["canary", "4165550123", "123456", "987654"] {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
}

fn refusing_the_second(class: FailureClass) -> Reply {
    Reply::AcceptAs(Accepted {
        refused: vec![Refusal {
            address: EmailAddress::parse("second@example.net").unwrap(),
            failure: Failure::provider(class, "test", ""),
            next_transaction: false,
        }],
        ..Accepted::new("partly")
    })
}

#[tokio::test(start_paused = true)]
async fn a_message_that_its_first_recipient_has_is_sent_whatever_becomes_of_the_others() {
    let bench = start().await;
    bench.ses.answer(refusing_the_second(FailureClass::Unavailable));
    bench.sendgrid.answer(Reply::FailAs(FailureClass::InvalidRecipient));
    let mut email = email();
    email.cc = "second@example.net".into();
    let result = bench.send(email).await;
    assert_eq!(result.status, Status::Sent);
    assert_eq!(result.recipients[1].status, Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_a_provider_may_have_taken_is_unknown_although_the_next_refused_its_first_recipient() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unknown));
    bench.sendgrid.answer(refusing_the_second(FailureClass::InvalidRecipient));
    let mut email = email();
    email.to = "second@example.net".into();
    email.cc = "customer@example.com".into();
    assert_eq!(bench.send(email).await.status, Status::Unknown);
}
