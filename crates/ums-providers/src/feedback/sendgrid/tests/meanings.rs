//! What the words of an event mean.

use super::*;

const HARD: Option<BounceKind> = Some(BounceKind::Hard);
const SOFT: Option<BounceKind> = Some(BounceKind::Soft);

/// Fields of an event, and what they mean.
const WORDS: &[(&str, K, Option<BounceKind>, Option<S>)] = &[
    (r#""event":"processed""#, K::Sent, None, None),
    (
        r#""event":"deferred","response":"451 4.3.0 later","attempt":"3""#,
        K::Deferred,
        None,
        None,
    ),
    (r#""event":"delivered","response":"250 OK""#, K::Delivered, None, None),
    (r#""event":"bounce","status":"5.1.1""#, K::Bounced, HARD, Some(S::HardBounce)),
    (r#""event":"bounce""#, K::Bounced, SOFT, None),
    (
        r#""event":"bounce","type":"bounce","status":"5.0.0","reason":"500 unknown recipient""#,
        K::Bounced,
        HARD,
        Some(S::HardBounce),
    ),
    (
        r#""event":"bounce","type":"bounce","status":"5.1.1","reason":"550 5.7.1 IP address blacklisted by recipient""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Invalid Address","status":"5.1.8","reason":"550 5.1.8 Sender address rejected: Domain not found""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Invalid Address""#,
        K::Bounced,
        HARD,
        Some(S::HardBounce),
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Unclassified""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Reputation""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Technical""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Technical Failure""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Content""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Frequency or Volume Too High""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (
        r#""event":"bounce","type":"bounce","bounce_classification":"Mailbox Unavailable""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (r#""event":"bounce","type":"blocked""#, K::Bounced, SOFT, None),
    (
        r#""event":"bounce","type":"blocked","bounce_classification":"Invalid Address""#,
        K::Bounced,
        SOFT,
        None,
    ),
    (r#""event":"bounce","type":"new kind""#, K::Bounced, SOFT, None),
    (r#""event":"dropped","reason":"Bounced Address""#, K::Rejected, None, None),
    (
        r#""event":"dropped","reason":"Bounced Address","status":"5.7.1","type":"blocked""#,
        K::Rejected,
        None,
        None,
    ),
    (r#""event":"dropped","reason":"Account suspended""#, K::Failed, None, None),
    (
        r#""event":"dropped","reason":"Sender identity not verified""#,
        K::Failed,
        None,
        None,
    ),
    (
        r#""event":"dropped","reason":"Spam Reporting Address""#,
        K::Rejected,
        None,
        Some(S::Complaint),
    ),
    (r#""event":"dropped","reason":"Invalid""#, K::Rejected, None, Some(S::HardBounce)),
    (r#""event":"dropped","reason":"Invalid SMTPAPI header""#, K::Rejected, None, None),
    (
        r#""event":"dropped","reason":"Spam Content (if spam checker app enabled)""#,
        K::Rejected,
        None,
        None,
    ),
    (
        r#""event":"dropped","reason":"Recipient List over Package Quota""#,
        K::Failed,
        None,
        None,
    ),
    (r#""event":"dropped","reason":"another""#, K::Rejected, None, None),
    (r#""event":"open""#, K::Opened, None, None),
    (r#""event":"click","url":"https://shop.example""#, K::Clicked, None, None),
    (r#""event":"spamreport""#, K::Complained, None, Some(S::Complaint)),
    (r#""event":"unsubscribe""#, K::Unsubscribed, None, Some(S::Unsubscribe)),
    (
        r#""event":"group_unsubscribe","asm_group_id":7"#,
        K::Unsubscribed,
        None,
        Some(S::Unsubscribe),
    ),
    (r#""event":"group_resubscribe","asm_group_id":7"#, K::Subscribed, None, None),
    (
        r#""event":"account_status_change","type":"compliance_suspend""#,
        K::Unknown,
        None,
        None,
    ),
    (r#""event":"teleported""#, K::Unknown, None, None),
    (r#""event":7"#, K::Unknown, None, None),
];

#[test]
fn every_word_has_its_meaning() {
    for (fields, kind, bounce, suppress) in WORDS {
        let event = one(&format!(r#"[{{{fields},"category":["a","b"],"sg_event_id":"x"}}]"#));
        assert_eq!((&event.kind, &event.bounce, &event.suppress), (kind, bounce, suppress), "{fields}");
        assert_eq!(event.raw.is_some(), *kind == K::Unknown, "{fields}");
        let has_class = matches!(kind, K::Bounced | K::Rejected | K::Failed) || fields.contains("account_status_change");
        assert_eq!(event.class.is_some(), has_class, "{fields}");
    }
    let suspended = one(r#"{"event":"account_status_change","type":"compliance_suspend"}"#);
    assert_eq!(
        (suspended.recipient.as_deref(), suspended.class, suspended.word.as_str()),
        (None, Some(FailureClass::Misconfigured), "account_status_change/compliance_suspend")
    );
    let quota = one(r#"{"event":"dropped","reason":"Recipient List over Package Quota"}"#);
    assert_eq!(quota.class, Some(FailureClass::QuotaExhausted));
}

#[test]
fn a_drop_for_an_opt_out_is_told_as_both() {
    let events =
        read_events(br#"[{"event":"dropped","reason":"Unsubscribed Address","email":"ann@example.com","sg_event_id":"x"}]"#).unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.suppress, event.id.as_str())).collect();
    assert_eq!(
        told,
        [
            (EventKind::Unsubscribed, Some(SuppressionReason::Unsubscribe), "x:opt-out"),
            (EventKind::Rejected, None, "x"),
        ]
    );
}

#[test]
fn the_message_is_found_by_our_ids_by_theirs_or_by_the_message_id() {
    let (message, attempt) = ("01930000-0000-7000-8000-000000000001", "01930000-0000-7000-8000-000000000002");
    let ours = one(&format!(
        r#"{{"event":"delivered","ums_message_id":"{message}","ums_attempt_id":"{attempt}","sg_message_id":"abc.recv-1.0"}}"#
    ));
    assert_eq!(ours.about.message_id.unwrap().to_string(), message);
    assert_eq!(ours.about.attempt_id.unwrap().to_string(), attempt);
    assert_eq!(ours.about.provider_message_id.as_deref(), Some("abc"));
    // A bounce that comes late has no `sg_message_id`.
    let late = one(r#"{"event":"bounce","type":"bounce","smtp-id":"<abc@ismtpd-555>"}"#);
    assert_eq!(late.about.provider_message_id.as_deref(), Some("abc"));
    // Dropped before it had an id: the first word is the filter's name.
    for filter in ["filter0001p1las1.1234", "filterdrecv-p3iad2-8684d98474-gqlqv-19-5E.0"] {
        let dropped = one(&format!(
            r#"{{"event":"dropped","sg_message_id":"{filter}","smtp-id":"<AbC@example.com>"}}"#
        ));
        assert_eq!(dropped.about.provider_message_id.as_deref(), Some("AbC"), "{filter}");
    }
    // Sent by SMTP through SendGrid: the Message-ID is ours.
    let by_smtp = one(&format!(r#"{{"event":"bounce","smtp-id":"<{attempt}@shop.example>"}}"#));
    assert_eq!(by_smtp.about.attempt_id.unwrap().to_string(), attempt);
    let forged = one(r#"{"event":"delivered","ums_message_id":{"$ne":1},"ums_attempt_id":"x","sg_message_id":5}"#);
    assert_eq!(forged.about, ums_core::EventSubject::default());
}

#[test]
fn an_event_without_an_id_gets_one_of_its_content() {
    let (one, same, other) = (
        one(r#"{"event":"open","email":"ann@example.com","timestamp":1}"#),
        one(r#"{"timestamp":1, "event":"open","email":"ann@example.com"}"#),
        one(r#"{"event":"open","email":"ann@example.com","timestamp":2}"#),
    );
    assert_eq!(one.id, same.id);
    assert_ne!(one.id, other.id);
    let long = self::one(&format!(r#"{{"event":"open","sg_event_id":"{}"}}"#, "x".repeat(300)));
    assert!(long.id.len() <= 255);
}

#[test]
fn machines_are_told_from_people_and_details_are_redacted() {
    assert!(one(r#"{"event":"open","sg_machine_open":true}"#).by_machine);
    assert!(!one(r#"{"event":"open","sg_machine_open":false}"#).by_machine);
    let bounce = one(r#"{"event":"bounce","type":"bounce","reason":"550 5.1.1 <ann@example.com>: no such user"}"#);
    assert!(!bounce.detail.as_deref().unwrap().contains("ann@"), "{:?}", bounce.detail);
    assert_eq!(bounce.code.as_deref(), Some("550"));
}

/// Twilio, "Event Webhook Reference": group events and drops name their group in `asm_group_id`.
#[test]
fn a_group_s_opt_out_and_its_end_concern_that_group_alone() {
    let read = |event: &str| crate::feedback::sendgrid::events::read(event.as_bytes()).expect("it is JSON");
    let list = |event: &Event| event.list.as_ref().map(ToString::to_string);
    for (event, kind, suppress, expected) in [
        (
            r#"{"event": "group_unsubscribe", "asm_group_id": 7}"#,
            K::Unsubscribed,
            Some(S::Unsubscribe),
            Some("sendgrid:7"),
        ),
        (
            r#"{"event": "group_resubscribe", "asm_group_id": "7"}"#,
            K::Subscribed,
            None,
            Some("sendgrid:7"),
        ),
        (r#"{"event": "group_resubscribe"}"#, K::Unknown, None, None),
        (r#"{"event": "group_unsubscribe"}"#, K::Unsubscribed, Some(S::Unsubscribe), None),
        (
            r#"{"event": "unsubscribe", "asm_group_id": 7}"#,
            K::Unsubscribed,
            Some(S::Unsubscribe),
            None,
        ),
    ] {
        let events = read(event);
        let told: Vec<_> = events.iter().map(|event| (event.kind, event.suppress, list(event))).collect();
        assert_eq!(told, [(kind, suppress, expected.map(str::to_owned))], "{event}");
    }
    for reason in ["Unsubscribed Address", "User Unsubscribed"] {
        let events = read(&format!(r#"{{"event": "dropped", "reason": "{reason}"}}"#));
        let told: Vec<_> = events.iter().map(|event| (event.kind, event.suppress, event.class)).collect();
        let class = Some(FailureClass::ProviderUnsubscribed);
        assert_eq!(told[1], (K::Rejected, None, class), "{reason}");
        assert_eq!((told[0].0, told[0].1), (K::Unsubscribed, Some(S::Unsubscribe)), "{reason}");
    }
}
