use ums_core::{FailureClass, PhoneNumber};

use super::*;
use crate::fixtures::{check_answers, form_lines};
use crate::samples;

fn built(to: &str, from: Option<SmsSender>, own: Option<&str>, purpose: Purpose) -> Result<String, Failure> {
    let sms = samples::sms(to, from, "Your code: 123456 & more é");
    body(&sms, own, &[], purpose).map(|body| form_lines(&body))
}

#[test]
fn requests_equal_the_golden_files() {
    let with_id = built("+447700900123", None, Some("WeedGo"), Purpose::Otp).unwrap();
    assert_eq!(with_id, include_str!("../../../tests/fixtures/sns/send/sender_id.txt"));
    let number = SmsSender::Number(PhoneNumber::parse_e164("+14165550100").unwrap());
    let with_number = built("+14165550123", Some(number), Some("WeedGo"), Purpose::Bulk).unwrap();
    assert_eq!(with_number, include_str!("../../../tests/fixtures/sns/send/number.txt"));
}

#[test]
fn a_sender_id_goes_only_where_phones_show_it() {
    let own_to = |to| {
        built(to, None, Some("WeedGo"), Purpose::Transactional)
            .unwrap()
            .contains("SenderID")
    };
    assert!(own_to("+447700900123"));
    assert!(!own_to("+14165550123"), "Canada and the United States show none");
    assert!(!own_to("+919812345678"), "India wants it registered");
    let chosen = |to, id: &str| built(to, Some(SmsSender::Alphanumeric(id.to_owned())), None, Purpose::Transactional);
    assert!(chosen("+447700900123", "Shop").unwrap().contains("SenderID"));
    assert_eq!(chosen("+14165550123", "Shop").unwrap_err().class, FailureClass::Unsupported);
    assert_eq!(chosen("+447700900123", "My Shop").unwrap_err().class, FailureClass::Unsupported);
}

#[test]
fn answers_mean_what_the_fixtures_say() {
    check_answers(
        include_str!("../../../tests/fixtures/sns/answers.txt"),
        FAILURES,
        |answer, known| {
            outcome(
                answer,
                Sent {
                    callers_sender: known.contains(&"callers_sender"),
                    one_recipient: true,
                },
            )
        },
    );
}
