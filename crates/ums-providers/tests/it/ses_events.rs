//! SES's events in our words. The payloads are the examples of the Amazon SES developer guide ("Examples of event data that Amazon SES publishes
//! to Amazon SNS"), cut to what is read.

use proptest::prelude::*;
use serde_json::{Value, json};
use ums_core::{BounceKind, Event, EventKind, FailureClass, SuppressionReason, Timestamp};
use ums_providers::feedback::aws::check;

const MESSAGE: &str = "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000";
const OURS: &str = "01930000-0000-7000-8000-000000000001";
const ATTEMPT: &str = "01930000-0000-7000-8000-000000000002";

fn events(payload: &Value) -> Vec<Event> {
    let (signature, events) = check(payload.to_string().as_bytes(), None, Timestamp::default());
    assert_eq!(signature, None);
    events
}

fn mail(to: &[&str]) -> Value {
    json!({
        "timestamp": "2017-08-05T00:40:02.012Z",
        "source": "Sender Name <sender@example.com>",
        "messageId": MESSAGE,
        "destination": to,
        "headersTruncated": false,
        "headers": [{"name": "From", "value": "sender@example.com"}],
        "tags": {"ses:configuration-set": ["ConfigSet"], "ums_message_id": [OURS], "ums_attempt_id": [ATTEMPT]},
    })
}

/// A payload about one recipient, of the type that it has as event and, where there is one, as notification of an identity.
fn payload(kind: &str, member: &str, body: &Value) -> Value {
    json!({ "eventType": kind, "mail": mail(&["recipient@example.com"]), (member): body })
}

fn bounce(kind: &str, subtype: &str) -> Value {
    payload(
        "Bounce",
        "bounce",
        &json!({
            "bounceType": kind,
            "bounceSubType": subtype,
            "bouncedRecipients": [{"emailAddress": "recipient@example.com", "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 recipient@example.com unknown"}],
            "timestamp": "2017-08-05T00:41:02.669Z",
            "feedbackId": "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8aexample-000000",
            "reportingMTA": "dsn; mta.example.com",
        }),
    )
}

fn complaint(subtype: &Value, kind: &Value) -> Value {
    payload(
        "Complaint",
        "complaint",
        &json!({
            "complainedRecipients": [{"emailAddress": "recipient@example.com"}],
            "timestamp": "2017-08-05T00:41:02.669Z",
            "feedbackId": "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8aexample-000000",
            "complaintSubType": subtype,
            "complaintFeedbackType": kind,
            "arrivalDate": "2017-08-05T00:41:02.669Z",
        }),
    )
}

type Told = (EventKind, Option<BounceKind>, Option<FailureClass>, Option<SuppressionReason>);

fn told(event: &Event) -> Told {
    (event.kind, event.bounce, event.class, event.suppress)
}

#[test]
fn bounces_mean_what_type_and_subtype_say() {
    use {BounceKind as B, EventKind as K, FailureClass as C, SuppressionReason as S};
    let hard = (K::Bounced, Some(B::Hard), Some(C::InvalidRecipient), Some(S::HardBounce));
    let soft = (K::Bounced, Some(B::Soft), Some(C::Unavailable), None);
    let content = (K::Bounced, Some(B::Soft), Some(C::InvalidMessage), None);
    let listed = (K::Rejected, None, Some(C::RecipientBlocked), None);
    for (kind, subtype, wanted) in [
        ("Permanent", "General", hard),
        ("Permanent", "NoEmail", hard),
        ("Permanent", "Suppressed", listed),
        ("Permanent", "OnAccountSuppressionList", listed),
        ("Permanent", "OnTenantSuppressionList", listed),
        ("Permanent", "EmailValidationSuppressed", listed),
        (
            "Permanent",
            "SomethingNew",
            (K::Bounced, Some(B::Hard), Some(C::InvalidRecipient), None),
        ),
        ("Transient", "General", soft),
        ("Transient", "MailboxFull", soft),
        ("Transient", "CustomTimeoutExceeded", soft),
        ("Transient", "SomethingNew", soft),
        ("Transient", "MessageTooLarge", content),
        ("Transient", "ContentRejected", content),
        ("Transient", "AttachmentRejected", content),
        ("Undetermined", "Undetermined", soft),
        ("SomethingNew", "General", (K::Unknown, None, None, None)),
    ] {
        let events = events(&bounce(kind, subtype));
        assert_eq!(events.len(), 1);
        assert_eq!(told(&events[0]), wanted, "{kind}/{subtype}");
        assert_eq!(events[0].word, format!("Bounce/{kind}/{subtype}"));
        assert_eq!(events[0].raw.is_some(), kind == "SomethingNew");
    }
}

/// What SES calls permanent is looked at: the server's own words decide whether the address is dead; without any, SES's advice.
#[test]
fn the_servers_words_decide_whether_an_address_is_dead() {
    for (subtype, status, diagnostic, hard) in [
        ("General", "5.1.1", "smtp; 550 5.1.1 user unknown", true),
        ("General", "5.0.0", "smtp; 550 no such mailbox", true),
        ("General", "5.1.1", "smtp; 550 5.7.1 IP address blacklisted by recipient", false),
        ("General", "5.7.1", "smtp; 550 5.7.1 message rejected by policy", false),
        (
            "General",
            "5.1.8",
            "smtp; 501 5.1.8 Sender address rejected: Domain not found",
            false,
        ),
        ("General", "5.0.0", "smtp; 550 DMARC check failed", false),
        ("General", "5.2.2", "smtp; 552 5.2.2 Over quota", false),
        ("General", "", "", true),
        ("General", "", "smtp; 550 blocked using a block list", false),
        ("General", "5.7.1", "", false),
        ("NoEmail", "", "", true),
        ("NoEmail", "5.0.0", "smtp; 550 rejected", true),
        ("NoEmail", "5.1.1", "smtp; 550 5.7.1 blocked using a block list", false),
    ] {
        let mut payload = bounce("Permanent", subtype);
        payload["bounce"]["bouncedRecipients"] =
            json!([{"emailAddress": "recipient@example.com", "action": "failed", "status": status, "diagnosticCode": diagnostic}]);
        let event = events(&payload).remove(0);
        let is_hard = event.bounce == Some(BounceKind::Hard);
        assert_eq!((event.kind, is_hard), (EventKind::Bounced, hard), "{subtype} {status} {diagnostic}");
        assert_eq!(event.suppress.is_some(), hard, "{subtype} {status} {diagnostic}");
        assert_ne!((event.class == Some(FailureClass::InvalidRecipient), hard), (true, false));
    }
}

#[test]
fn an_unsubscribed_recipient_is_an_opt_out_and_a_mail_that_did_not_go_out() {
    let events = events(&bounce("Permanent", "UnsubscribedRecipient"));
    assert_eq!(
        events.iter().map(told).collect::<Vec<_>>(),
        [
            (EventKind::Unsubscribed, None, None, Some(SuppressionReason::Unsubscribe)),
            (EventKind::Rejected, None, Some(FailureClass::ProviderUnsubscribed), None),
        ]
    );
    assert_ne!(events[0].id, events[1].id);
}

#[test]
fn an_event_says_whom_when_which_and_why() {
    let events = events(&bounce("Permanent", "General"));
    let event = &events[0];
    assert_eq!(event.recipient.as_deref(), Some("recipient@example.com"));
    assert_eq!(event.at.unwrap().to_string(), "2017-08-05T00:41:02.669Z");
    assert_eq!(event.code.as_deref(), Some("5.1.1"));
    assert_eq!(event.about.provider_message_id.as_deref(), Some(MESSAGE));
    assert_eq!(event.about.message_id.unwrap().to_string(), OURS);
    assert_eq!(event.about.attempt_id.unwrap().to_string(), ATTEMPT);
    let detail = event.detail.as_deref().unwrap();
    assert!(detail.contains("550 5.1.1") && !detail.contains("recipient"), "{detail}");
    assert!(
        event.id.starts_with(MESSAGE) && event.id.len() <= 255 && !event.id.contains("recipient"),
        "{}",
        event.id
    );
}

#[test]
fn some_of_several_recipients_may_still_be_tried() {
    let mut payload = bounce("Transient", "General");
    payload["bounce"]["bouncedRecipients"] = json!([
        {"emailAddress": "Jane <jane@example.com>", "action": "delayed", "status": "4.4.7"},
        {"emailAddress": "richard@example.com", "action": "failed", "status": "5.2.2"},
    ]);
    let events = events(&payload);
    assert_eq!(
        events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::Deferred, EventKind::Bounced]
    );
    assert_eq!(events[0].recipient.as_deref(), Some("jane@example.com"));
    assert_ne!(events[0].id, events[1].id);
}

#[test]
fn complaints_suppress_unless_they_are_none() {
    use {EventKind as K, FailureClass as C, SuppressionReason as S};
    let complained = (K::Complained, None, None, Some(S::Complaint));
    for (subtype, kind, wanted) in [
        (Value::Null, json!("abuse"), complained),
        (Value::Null, Value::Null, complained),
        (Value::Null, json!("fraud"), complained),
        (Value::Null, json!("not-spam"), (K::Unknown, None, None, None)),
        (Value::Null, json!("auth-failure"), (K::Unknown, None, None, None)),
        (Value::Null, json!("virus"), (K::Unknown, None, None, None)),
        (
            json!("OnAccountSuppressionList"),
            Value::Null,
            (K::Rejected, None, Some(C::RecipientBlocked), None),
        ),
    ] {
        let events = events(&complaint(&subtype, &kind));
        assert_eq!(events.iter().map(told).collect::<Vec<_>>(), [wanted], "{subtype} {kind}");
    }
    let event = &events(&complaint(&Value::Null, &json!("abuse")))[0];
    assert_eq!((event.word.as_str(), event.code.as_deref()), ("Complaint/abuse", Some("abuse")));
}

#[test]
fn each_type_has_its_word() {
    use {EventKind as K, FailureClass as C};
    let when = "2017-08-05T00:41:03.669Z";
    for (kind, member, body, word, class) in [
        ("Send", "send", json!({}), K::Sent, None),
        (
            "Delivery",
            "delivery",
            json!({"timestamp": when, "recipients": ["recipient@example.com"], "smtpResponse": "250 2.6.0 Message received"}),
            K::Delivered,
            None,
        ),
        (
            "DeliveryDelay",
            "deliveryDelay",
            json!({"timestamp": when, "delayType": "MailboxFull", "delayedRecipients": [{"emailAddress": "recipient@example.com", "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2 full"}]}),
            K::Deferred,
            None,
        ),
        (
            "Reject",
            "reject",
            json!({"reason": "Bad content"}),
            K::Rejected,
            Some(C::InvalidMessage),
        ),
        (
            "Open",
            "open",
            json!({"ipAddress": "192.0.2.1", "timestamp": when, "userAgent": "Mozilla/5.0"}),
            K::Opened,
            None,
        ),
        (
            "Click",
            "click",
            json!({"ipAddress": "192.0.2.1", "timestamp": when, "link": "http://docs.example.com/ses", "linkTags": {}}),
            K::Clicked,
            None,
        ),
        (
            "Rendering Failure",
            "failure",
            json!({"errorMessage": "Attribute 'attributeName' is not present in the rendering data.", "templateName": "MyTemplate"}),
            K::Failed,
            Some(C::InvalidMessage),
        ),
    ] {
        let events = events(&payload(kind, member, &body));
        assert_eq!(events.len(), 1, "{kind}");
        let event = &events[0];
        assert_eq!((event.kind, event.class, event.suppress), (word, class, None), "{kind}");
        assert_eq!(event.recipient.as_deref(), Some("recipient@example.com"), "{kind}");
        assert_eq!(event.about.provider_message_id.as_deref(), Some(MESSAGE));
        assert!(event.at.is_some() && event.raw.is_none(), "{kind}");
        assert!(
            !format!("{:?}{:?}", event.detail, event.word).contains("docs.example.com"),
            "a link may hold a secret"
        );
    }
    let delay = payload(
        "DeliveryDelay",
        "deliveryDelay",
        &json!({"delayType": "MailboxFull", "delayedRecipients": [{"emailAddress": "a@example.com", "status": "4.2.2"}]}),
    );
    let event = &events(&delay)[0];
    assert_eq!(
        (event.word.as_str(), event.code.as_deref()),
        ("DeliveryDelay/MailboxFull", Some("4.2.2"))
    );
}

#[test]
fn preferences_are_opt_outs_when_any_is() {
    use {EventKind as K, SuppressionReason as S};
    let body = |all: bool, status: &str| {
        json!({
            "contactList": "ContactListName", "timestamp": "2022-01-12T01:00:17.910Z", "source": "UnsubscribeHeader",
            "newTopicPreferences": {"unsubscribeAll": all, "topicSubscriptionStatus": [{"topicName": "ExampleTopicName", "subscriptionStatus": status}]},
            "oldTopicPreferences": {"unsubscribeAll": false, "topicSubscriptionStatus": [{"topicName": "ExampleTopicName", "subscriptionStatus": "OptOut"}]},
        })
    };
    for (all, status, kind, suppress) in [
        (true, "OptIn", K::Unsubscribed, Some(S::Unsubscribe)),
        (true, "OptOut", K::Unsubscribed, Some(S::Unsubscribe)),
        (false, "OptOut", K::Unsubscribed, Some(S::Unsubscribe)),
        (false, "OptIn", K::Subscribed, None),
    ] {
        let event = &events(&payload("Subscription", "subscription", &body(all, status)))[0];
        assert_eq!((event.kind, event.suppress), (kind, suppress), "{all} {status}");
        assert_eq!(event.recipient.as_deref(), Some("recipient@example.com"));
    }
}

#[test]
fn a_mail_to_several_is_an_event_for_each_but_an_opening_for_nobody() {
    let mut sent = payload("Send", "send", &json!({}));
    sent["mail"] = mail(&["a@example.com", "b@example.com", "Cee <c@example.com>"]);
    let addresses: Vec<_> = events(&sent).into_iter().map(|event| event.recipient.unwrap()).collect();
    assert_eq!(addresses, ["a@example.com", "b@example.com", "c@example.com"]);
    let mut opened = payload("Open", "open", &json!({"timestamp": "2017-08-09T21:59:49.927Z"}));
    opened["mail"] = mail(&["a@example.com", "b@example.com"]);
    let events = events(&opened);
    assert_eq!((events.len(), events[0].recipient.as_deref()), (1, None));
}

/// Event publishing and a notification of the identity tell of one bounce: one id. Another bounce, recipient or type has another.
#[test]
fn two_ways_to_us_tell_one_event() {
    let published = bounce("Permanent", "General");
    let mut notified = published.clone();
    let members = notified.as_object_mut().unwrap();
    members.remove("eventType");
    members.insert("notificationType".to_owned(), json!("Bounce"));
    members["mail"].as_object_mut().unwrap().remove("tags");
    notified["bounce"]["bouncedRecipients"][0]["emailAddress"] = json!("Recipient@Example.com");
    let (first, second) = (events(&published), events(&notified));
    assert_eq!(first[0].id, second[0].id);
    assert_eq!(second[0].about.attempt_id, None, "notifications carry no tags");
    let mut ids: Vec<String> = vec![first[0].id.clone()];
    for (pointer, value) in [
        ("/bounce/feedbackId", "another"),
        ("/bounce/bouncedRecipients/0/emailAddress", "other@example.com"),
        ("/mail/messageId", "another"),
    ] {
        let mut other = published.clone();
        *other.pointer_mut(pointer).unwrap() = json!(value);
        ids.push(events(&other)[0].id.clone());
    }
    ids.extend(events(&complaint(&Value::Null, &Value::Null)).into_iter().map(|event| event.id));
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn the_id_that_we_wrote_into_the_mail_is_found_without_tags() {
    for (headers, found) in [
        (
            json!([{"name": "message-id", "value": format!("<{ATTEMPT}@shop.example.com>")}]),
            true,
        ),
        (json!([{"name": "Message-ID", "value": "<0193-custom@shop.example.com>"}]), false),
        (
            json!([{"name": "Message-ID", "value": "<8f14e45f-ceea-467f-a8b1-1dd1a2e3f4a5@other.example.com>"}]),
            false,
        ),
        (json!("none"), false),
    ] {
        let mut payload = bounce("Permanent", "General");
        payload["mail"]["tags"] = json!({"ses:configuration-set": ["ConfigSet"]});
        payload["mail"]["headers"] = headers.clone();
        let id = events(&payload)[0].about.attempt_id.map(|id| id.to_string());
        assert_eq!(id.as_deref(), found.then_some(ATTEMPT), "{headers}");
    }
    let mut payload = bounce("Permanent", "General");
    payload["mail"]["tags"] = json!({});
    payload["mail"]["commonHeaders"] = json!({"messageId": format!("<{ATTEMPT}@shop.example.com>")});
    assert!(events(&payload)[0].about.attempt_id.is_some());
}

#[test]
fn both_forms_of_time_are_read() {
    let mut payload = bounce("Permanent", "General");
    payload["bounce"]["timestamp"] = json!("2018-10-08T14:05:45 +0000");
    assert_eq!(events(&payload)[0].at.unwrap().to_string(), "2018-10-08T14:05:45Z");
    payload["bounce"]["timestamp"] = json!("yesterday");
    assert_eq!(events(&payload)[0].at, None);
}

#[test]
fn unknown_words_are_kept_as_they_are_and_tests_say_nothing() {
    let payload = json!({"eventType": "Levitation", "mail": mail(&["recipient@example.com"]), "more": "ä".repeat(5_000)});
    let event = &events(&payload)[0];
    assert_eq!((event.kind, event.word.as_str()), (EventKind::Unknown, "Levitation"));
    let raw = event.raw.as_deref().unwrap();
    assert!(raw.len() <= 4096 && raw.contains("Levitation"));
    assert_eq!(event.about.message_id.unwrap().to_string(), OURS);
    // A type that we know, in a form that we do not.
    let odd = json!({"eventType": "Bounce", "mail": mail(&["recipient@example.com"]), "bounce": []});
    assert_eq!(events(&odd)[0].kind, EventKind::Unknown);
    for test in [
        json!({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have successfully subscribed your Amazon SNS topic"}),
        json!("Successfully validated SNS topic for Amazon SES event publishing."),
        json!({"AlarmName": "another matter"}),
    ] {
        assert_eq!(events(&test), []);
    }
}

/// All places in a value, as pointers.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| places(value, &format!("{here}/{name}"), found)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| places(value, &format!("{here}/{index}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    /// Whatever stands in one place of an event: it is read, and never suppresses more than the event did.
    #[test]
    fn a_member_of_another_type_does_no_harm(place in any::<prop::sample::Index>(), which in 0_usize..8) {
        let odd = [json!(null), json!(true), json!(-1), json!(1e300), json!(""), json!("ä".repeat(600)), json!([[]]), json!({"a": {}})];
        for payload in [bounce("Transient", "General"), complaint(&Value::Null, &json!("not-spam")), payload("Delivery", "delivery", &json!({"recipients": ["a@example.com"]}))] {
            let mut found = Vec::new();
            places(&payload, "", &mut found);
            let mut changed = payload.clone();
            *changed.pointer_mut(place.get(found.as_slice()).as_str()).unwrap() = odd[which].clone();
            for event in check(changed.to_string().as_bytes(), None, Timestamp::default()).1 {
                prop_assert!(event.id.len() <= 255 && event.raw.is_none_or(|raw| raw.len() <= 4096));
                let is_complaint = changed["complaint"]["complaintFeedbackType"] != "not-spam" && changed["eventType"] == "Complaint";
                prop_assert!(event.suppress.is_none() || is_complaint, "{changed}");
            }
        }
    }
}
