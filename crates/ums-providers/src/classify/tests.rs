//! Answers as the vendors write them, made from code and words.

use serde::Deserialize;
use serde_json::json;
use ums_core::{Failure, FailureClass, NextProvider, ProviderKind, Timestamp};

use super::words::{ACCOUNT_WORDS, SENDER_WORDS};
use super::*;
use crate::failure_table::Table;
use crate::registry::classify;
use crate::send::{sendgrid, ses, sns, twilio};

/// One answer: code (`type`) and words as the vendor writes them, and what they mean.
#[derive(Deserialize)]
struct Case {
    provider: ProviderKind,
    status: u16,
    #[serde(rename = "type", default)]
    code: String,
    message: String,
    class: FailureClass,
}

fn read(kind: ProviderKind, status: u16, code: &str, message: &str) -> Failure {
    let body = match kind {
        ProviderKind::AwsSes => json!({"__type": code, "message": message}).to_string(),
        ProviderKind::SendGrid => {
            json!({"errors": [{"message": message, "field": code.split_once('/').map(|(_, field)| field)}]}).to_string()
        }
        ProviderKind::AwsSns => format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"),
        ProviderKind::Twilio => json!({"code": code.parse::<u32>().unwrap(), "message": message}).to_string(),
        ProviderKind::Smtp | ProviderKind::Console => panic!("{kind} answers by no HTTP"),
    };
    classify(kind, status, &[], None, body.as_bytes(), Timestamp::default()).unwrap()
}

#[test]
fn answers_about_the_account_are_the_accounts_matter() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/fixtures/http-answers.json")).unwrap();
    for case in &cases {
        let failure = read(case.provider, case.status, &case.code, &case.message);
        assert_eq!(failure.class, case.class, "{} {}: {}", case.provider, case.code, case.message);
    }
}

/// Every row that code and words alone lead to, with a status that the code may come with.
fn rows() -> impl Iterator<Item = (ProviderKind, u16, &'static Row)> {
    let of = |kind, table: Table| table.iter().map(move |row| (kind, row));
    of(ProviderKind::AwsSes, ses::FAILURES)
        .chain(of(ProviderKind::AwsSes, crate::aws::FAILURES))
        .chain(of(ProviderKind::AwsSns, sns::FAILURES))
        .chain(of(ProviderKind::AwsSns, crate::aws::FAILURES))
        .chain(of(ProviderKind::SendGrid, sendgrid::FAILURES))
        .chain(of(ProviderKind::Twilio, twilio::FAILURES))
        .filter_map(|(kind, row)| {
            // `400/field` and `503` name the status.
            let of_message = ["400/callers_sender", "400/recipient", "403/callers_sender"].contains(&row.code);
            let status = row.code.split('/').next().and_then(|status| status.parse().ok());
            if kind == ProviderKind::SendGrid {
                (!of_message).then(|| (kind, status.unwrap(), row))
            } else {
                (!row.code.contains('/')).then_some((kind, 400, row))
            }
        })
}

fn text_of(row: &Row) -> String {
    format!("It says: {}.", row.words.replace('…', " so and so "))
}

#[test]
fn every_row_is_reached_by_its_code_and_words() {
    for (kind, status, row) in rows() {
        let spellings: &[&str] = if matches!(kind, ProviderKind::AwsSes | ProviderKind::AwsSns) {
            &["", "Exception"]
        } else {
            &[""]
        };
        for ending in spellings {
            let failure = read(kind, status, &format!("{}{ending}", row.code), &text_of(row));
            assert_eq!(failure.class, row.class, "{kind} {}{ending} {}", row.code, row.words);
        }
    }
}

#[test]
fn no_code_ends_a_message_whose_words_speak_of_the_account() {
    for (kind, status, row) in rows().filter(|(.., row)| row.words.is_empty()) {
        for words in ACCOUNT_WORDS.iter().chain(SENDER_WORDS) {
            let text = text_of(words);
            let failure = read(kind, status, row.code, &text);
            let at = format!("{kind} {} {text}", row.code);
            let stays = [FailureClass::RecipientBlocked, FailureClass::Unknown, FailureClass::Unavailable];
            if stays.contains(&row.class) {
                assert_eq!(failure.class, row.class, "{at}: neither an opt-out nor a doubt is talked away");
            } else {
                assert_eq!(failure.class.consequence().next_provider, NextProvider::Yes, "{at}: {failure:?}");
            }
        }
    }
}

#[test]
fn vague_words_give_way_to_words_about_the_account() {
    for (says, class) in [
        ("The daily quota is exceeded.", FailureClass::QuotaExhausted),
        (
            "Attachments are not allowed: sending is paused for this account.",
            FailureClass::Misconfigured,
        ),
        ("The attachment exceeds 10 MB.", FailureClass::Unsupported),
    ] {
        assert_eq!(read(ProviderKind::AwsSes, 400, "BadRequest", says).class, class, "{says}");
    }
}

#[test]
fn an_unknown_code_ends_no_message_whatever_it_says() {
    let texts = ["", "m", "Something new.", "The content is not allowed here."];
    for kind in [
        ProviderKind::AwsSes,
        ProviderKind::AwsSns,
        ProviderKind::Twilio,
        ProviderKind::SendGrid,
    ] {
        let code = if kind == ProviderKind::Twilio { "29998" } else { "SomethingNew" };
        for status in 400..=499 {
            for text in texts {
                let class = read(kind, status, code, text).class;
                assert_eq!(class.consequence().next_provider, NextProvider::Yes, "{kind} {status} {text}");
            }
        }
        // The provider may have taken it before it failed.
        assert_eq!(
            read(kind, 500, code, "sending is paused for this account").class,
            FailureClass::Unknown
        );
    }
}

#[test]
fn what_an_answer_quotes_is_not_the_providers_own_word() {
    for quoted in [
        "Invalid address account.suspended@example.com",
        "Invalid address 'your account is suspended' in To",
        "Invalid header \"X-Daily-Quota: sending quota exceeded\".",
        "Invalid name `sandbox'",
        "Invalid name “Sending paused for this account” there",
    ] {
        assert!(words::overruling(None, quoted).is_none(), "{quoted}");
    }
    for own in [
        "User 'x' may not: your account is suspended",
        "The user's account's sending is paused",
    ] {
        assert!(words::overruling(None, own).is_some(), "{own}");
    }
}

#[test]
fn a_sender_that_the_caller_chose_is_no_fault_of_the_account() {
    let answer = Answer {
        status: 400,
        headers: &http::HeaderMap::new(),
        body: b"",
        now: Timestamp::default(),
    };
    for row in SENDER_WORDS {
        for (callers_sender, class) in [(true, FailureClass::Unsupported), (false, FailureClass::Misconfigured)] {
            let sent = Sent {
                callers_sender,
                one_recipient: true,
            };
            let failure = refusal(ProviderKind::SendGrid, &[], ("400", sent), &text_of(row), &answer);
            assert_eq!(failure.class, class, "{}", row.words);
        }
    }
}

#[test]
fn words_without_a_code_are_read_too() {
    let says = "Sending paused for this account.";
    let bodies = [
        (ProviderKind::AwsSes, json!({ "message": says }).to_string()),
        (
            ProviderKind::AwsSns,
            format!("<ErrorResponse><Error><Message>{says}</Message></Error></ErrorResponse>"),
        ),
        (ProviderKind::Twilio, json!({ "message": says }).to_string()),
        (ProviderKind::SendGrid, json!({"errors": [{ "message": says }]}).to_string()),
        (ProviderKind::SendGrid, json!({ "errors": [says] }).to_string()),
    ];
    for (kind, body) in bodies {
        let failure = classify(kind, 400, &[], None, body.as_bytes(), Timestamp::default()).unwrap();
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Misconfigured, "400"),
            "{kind}"
        );
    }
    let bare = br#"{"errors":["Maximum credits exceeded"]}"#;
    let failure = classify(ProviderKind::SendGrid, 401, &[], None, bare, Timestamp::default()).unwrap();
    assert_eq!(failure.class, FailureClass::QuotaExhausted);
}
