//! Twilio's codes, as answers to a send and in status callbacks.

use ums_core::FailureClass;

use crate::failure_table::{Row, Table, find};

/// The row for a sender that the caller chose, whichever of [`ABOUT_SENDER`] refused it.
pub(super) const CALLERS_SENDER: &str = "sender/callers";

/// The row for a number of ours that did not pass its verification, whichever of the codes in [`is_verification`] gives the reason.
pub(super) const UNVERIFIED: &str = "number/unverified";

/// Whether a code says why a toll-free or other number was not verified (30454, 30450 and 30453 between them say something else).
pub(super) const fn is_verification(code: u32) -> bool {
    matches!(code, 30_440..=30_449 | 30_451 | 30_452 | 30_455..=30_480 | 30_859..=30_873)
}

/// The row for a brand or campaign that is not registered, whichever of the codes in [`is_registration`] gives the reason.
pub(super) const UNREGISTERED: &str = "number/unregistered";

/// Whether a code says why a brand or a campaign for numbers in the United States was not registered (21730 between them is maintenance,
/// 21733 a missing service).
pub(super) const fn is_registration(code: u32) -> bool {
    matches!(code, 21_717..=21_729 | 21_731 | 21_732 | 21_736 | 21_737)
}

/// The code of the table: of many codes with one meaning the table has one row.
pub(super) fn code_of(code: u32) -> String {
    match code {
        _ if is_verification(code) => UNVERIFIED.to_owned(),
        _ if is_registration(code) => UNREGISTERED.to_owned(),
        _ => code.to_string(),
    }
}

/// What a code means that a status callback gives; none when no table names it.
pub(crate) fn class_of(code: &str) -> Option<FailureClass> {
    let code = code.parse().map_or_else(|_| code.to_owned(), code_of);
    find(FAILURES, &code, "").map(|row| row.class)
}

/// Codes that refuse the sender.
pub(super) const ABOUT_SENDER: [&str; 9] = ["21212", "21601", "21603", "21606", "21616", "21657", "21659", "21660", "21661"];

const fn row(code: &'static str, class: FailureClass, why: &'static str) -> Row {
    Row::of_code(code, class, why, "twilio.com/docs/api/errors; Twilio error dictionary (2025-02-20)")
}

/// What each code means.
pub(crate) const FAILURES: Table = &[
    row("10001", FailureClass::Misconfigured, "the account is not active"),
    row("10002", FailureClass::Misconfigured, "a trial account lacks the feature"),
    row("14101", FailureClass::InvalidRecipient, "the number is none"),
    row(
        "14107",
        FailureClass::Throttled,
        "over 30 messages between two numbers within 30 seconds",
    ),
    row("14108", FailureClass::Misconfigured, "the sender sends no text messages"),
    row("20001", FailureClass::Unsupported, "Twilio does not know a parameter of ours"),
    row(
        "20003",
        FailureClass::Misconfigured,
        "Twilio does not know the key, or the key may not send",
    ),
    row("20004", FailureClass::Misconfigured, "the endpoint is not Twilio's"),
    row("20005", FailureClass::Misconfigured, "the account is not active"),
    row("20006", FailureClass::Misconfigured, "the key may not send"),
    row("20008", FailureClass::Misconfigured, "test credentials reach nobody"),
    row("20010", FailureClass::Misconfigured, "the action is disabled for the account"),
    row("20011", FailureClass::Misconfigured, "the TLS version is too old"),
    row("20012", FailureClass::Misconfigured, "the TLS ciphers are too old"),
    row("20023", FailureClass::InvalidRecipient, "the number is none"),
    row("20101", FailureClass::Misconfigured, "the token is not accepted"),
    row("20102", FailureClass::Misconfigured, "the token is not accepted"),
    row("20103", FailureClass::Misconfigured, "the token is not accepted"),
    row("20104", FailureClass::Misconfigured, "the token is not accepted"),
    row("20105", FailureClass::Misconfigured, "the token is not accepted"),
    row("20106", FailureClass::Misconfigured, "the token is not accepted"),
    row("20107", FailureClass::Misconfigured, "the token is not accepted"),
    row("20151", FailureClass::Misconfigured, "the token is not accepted"),
    row("20152", FailureClass::Misconfigured, "the token is not accepted"),
    row("20153", FailureClass::Misconfigured, "the token is not accepted"),
    row("20154", FailureClass::Misconfigured, "the token is not accepted"),
    row("20155", FailureClass::Misconfigured, "the token is not accepted"),
    row("20156", FailureClass::Misconfigured, "the token is not accepted"),
    row("20157", FailureClass::Misconfigured, "the token is not accepted"),
    row("20159", FailureClass::Misconfigured, "the token is not accepted"),
    row("20160", FailureClass::Misconfigured, "the token is not accepted"),
    row("20403", FailureClass::Misconfigured, "the account is suspended or closed"),
    row("20404", FailureClass::Misconfigured, "the account has no such resource"),
    row("20409", FailureClass::Unavailable, "another change is under way"),
    row("20410", FailureClass::Misconfigured, "the endpoint is not served any more"),
    row("20413", FailureClass::Unsupported, "a limit of Twilio"),
    row("20422", FailureClass::Unsupported, "Twilio does not take a parameter of ours"),
    row("20423", FailureClass::Misconfigured, "the SID is not one of the account"),
    row("20426", FailureClass::Misconfigured, "the endpoint wants another protocol"),
    row(
        "20429",
        FailureClass::Throttled,
        "too many calls at once; the request was not processed",
    ),
    row("20500", FailureClass::Unknown, "Twilio failed after it had the request"),
    row("20503", FailureClass::Unavailable, "Twilio took no request"),
    row("20504", FailureClass::Unknown, "Twilio did not wait for its own answer"),
    row("21210", FailureClass::Misconfigured, "the sender is not verified"),
    row("21211", FailureClass::InvalidRecipient, "the number is none"),
    row("21212", FailureClass::Misconfigured, "the configured sender is none"),
    row("21214", FailureClass::InvalidRecipient, "the number cannot be reached"),
    row("21215", FailureClass::Unsupported, "the destination is not enabled for the account"),
    row("21216", FailureClass::Unsupported, "Twilio's own block of the destination"),
    row("21217", FailureClass::InvalidRecipient, "the number is none"),
    row(
        "21219",
        FailureClass::Misconfigured,
        "a trial account reaches verified numbers only",
    ),
    row("21401", FailureClass::InvalidRecipient, "the number is none"),
    row("21404", FailureClass::Misconfigured, "a trial account may not use the number"),
    row("21407", FailureClass::Misconfigured, "the sender sends no text messages"),
    row(
        "21408",
        FailureClass::Unsupported,
        "the destination's region is not enabled for the account",
    ),
    row("21420", FailureClass::Misconfigured, "the application is not the account's"),
    row("21601", FailureClass::Misconfigured, "the sender sends no text messages"),
    row("21602", FailureClass::InvalidMessage, "the text is missing"),
    row("21603", FailureClass::Misconfigured, "the sender is missing"),
    row("21604", FailureClass::InvalidMessage, "the recipient is missing"),
    row("21605", FailureClass::Unsupported, "a limit of Twilio"),
    row(
        "21606",
        FailureClass::Misconfigured,
        "the sender is not the account's, or not for the destination",
    ),
    row(
        "21607",
        FailureClass::Misconfigured,
        "a trial account sends from its own number only",
    ),
    row(
        "21608",
        FailureClass::Misconfigured,
        "a trial account reaches verified numbers only",
    ),
    row("21609", FailureClass::Misconfigured, "the URL for status callbacks is not one"),
    row("21610", FailureClass::RecipientBlocked, "the recipient answered STOP"),
    row("21611", FailureClass::Throttled, "the sender's queue is full"),
    row("21612", FailureClass::Unsupported, "this sender cannot reach this destination"),
    row("21614", FailureClass::InvalidRecipient, "the number is no mobile"),
    row("21616", FailureClass::Misconfigured, "the sender is ambiguous"),
    row("21617", FailureClass::Unsupported, "Twilio takes 1,600 characters"),
    row("21618", FailureClass::InvalidMessage, "the text is empty or cannot be sent"),
    row("21619", FailureClass::InvalidMessage, "the text is missing"),
    row("21620", FailureClass::Unsupported, "Twilio's own rules for media"),
    row("21621", FailureClass::Unsupported, "the sender sends no media"),
    row("21622", FailureClass::Unsupported, "the account sends no media"),
    row("21623", FailureClass::Unsupported, "Twilio's own rules for media"),
    row("21624", FailureClass::Misconfigured, "the validity period is out of bounds"),
    row("21626", FailureClass::Misconfigured, "the event for status callbacks is none"),
    row("21627", FailureClass::Misconfigured, "the highest price is no number"),
    row("21635", FailureClass::InvalidRecipient, "the number is a landline"),
    row("21653", FailureClass::Unsupported, "the channel takes fewer recipients"),
    row("21654", FailureClass::Unsupported, "Twilio's own rules for templates"),
    row("21655", FailureClass::Misconfigured, "the account has no such template"),
    row("21656", FailureClass::Unsupported, "Twilio's own rules for templates"),
    row("21657", FailureClass::Misconfigured, "the configured sender id is not valid"),
    row("21658", FailureClass::Unsupported, "a limit of Twilio"),
    row(
        "21659",
        FailureClass::Misconfigured,
        "the sender is not Twilio's, or of another country",
    ),
    row("21660", FailureClass::Misconfigured, "the sender belongs to another account"),
    row("21661", FailureClass::Misconfigured, "the sender sends no text messages"),
    row("21701", FailureClass::Misconfigured, "the account has no such messaging service"),
    row("21702", FailureClass::Misconfigured, "the messaging service sends nothing now"),
    row(
        "21703",
        FailureClass::Misconfigured,
        "the messaging service has no sender for the destination",
    ),
    row("21704", FailureClass::Misconfigured, "the messaging service has no sender"),
    row("21705", FailureClass::Misconfigured, "the messaging service is not valid"),
    row("21708", FailureClass::Misconfigured, "the sender id is missing"),
    row(
        "21709",
        FailureClass::Misconfigured,
        "the sender id is not allowed in the messaging service",
    ),
    row("21711", FailureClass::Misconfigured, "the sender is not in the messaging service"),
    row("21712", FailureClass::Misconfigured, "the sender is in another messaging service"),
    row(
        "21713",
        FailureClass::Misconfigured,
        "the messaging service's use case is not valid",
    ),
    row("21715", FailureClass::Misconfigured, "the sender sends no text messages"),
    row("21730", FailureClass::Unavailable, "Twilio is under maintenance"),
    row("21733", FailureClass::Misconfigured, "the account has no messaging service"),
    row("30001", FailureClass::Throttled, "the sender's queue is full"),
    row("30002", FailureClass::Misconfigured, "the account is suspended"),
    row("30003", FailureClass::Unavailable, "the phone is off or without signal"),
    row("30004", FailureClass::InvalidRecipient, "blocked; the page names many causes"),
    row("30005", FailureClass::InvalidRecipient, "the number is not in use"),
    row(
        "30006",
        FailureClass::InvalidRecipient,
        "a landline, or a carrier that the sender cannot reach",
    ),
    row("30007", FailureClass::InvalidMessage, "a carrier or Twilio took it for spam"),
    row("30008", FailureClass::Unavailable, "the carrier gave no cause"),
    row("30010", FailureClass::Unsupported, "Twilio's price limit, which is obsolete"),
    row("30011", FailureClass::Unsupported, "the destination takes no media"),
    row("30012", FailureClass::Unsupported, "the validity period is out of bounds"),
    row("30013", FailureClass::Unsupported, "the validity period is out of bounds"),
    row("30014", FailureClass::InvalidRecipient, "the number is none"),
    row("30015", FailureClass::Unsupported, "the channel cannot carry it"),
    row("30016", FailureClass::Unsupported, "sender and recipient are of different channels"),
    row("30017", FailureClass::Unavailable, "the carrier is congested"),
    row("30018", FailureClass::Unsupported, "the destination wants a registered sender id"),
    row("30019", FailureClass::InvalidMessage, "the carrier takes shorter messages"),
    row("30020", FailureClass::Unavailable, "Twilio failed to schedule it"),
    row("30021", FailureClass::Unavailable, "Twilio failed in its messaging service"),
    row("30022", FailureClass::Throttled, "more a second than the campaign may"),
    row("30023", FailureClass::QuotaExhausted, "the brand's daily cap is reached"),
    row(
        "30024",
        FailureClass::Unsupported,
        "the sender is not set up at the destination's carrier",
    ),
    row("30027", FailureClass::QuotaExhausted, "T-Mobile's daily cap is reached"),
    row("30028", FailureClass::Misconfigured, "the API version is none"),
    row("30029", FailureClass::Unsupported, "Twilio does not take a parameter of ours"),
    row("30030", FailureClass::Unsupported, "Twilio does not take a parameter of ours"),
    row("30031", FailureClass::Unsupported, "Twilio does not take a parameter of ours"),
    row("30032", FailureClass::Misconfigured, "the toll-free number is not verified"),
    row("30033", FailureClass::Misconfigured, "the campaign is suspended"),
    row("30034", FailureClass::Misconfigured, "the sender is not registered for 10DLC"),
    row("30035", FailureClass::Misconfigured, "the sender is still being set up"),
    row("30036", FailureClass::Unavailable, "the validity period ended before it was sent"),
    row("30037", FailureClass::Misconfigured, "sending is disabled for the account"),
    row("30038", FailureClass::Unsupported, "Twilio's own filter for codes"),
    row("30039", FailureClass::InvalidMessage, "Twilio took it for a loop"),
    row("30040", FailureClass::Unsupported, "the destination wants a registered sender id"),
    row("30041", FailureClass::Unsupported, "the destination wants a registered sender"),
    row("30042", FailureClass::Unsupported, "the sender id is blocked as generic"),
    row("30043", FailureClass::Unsupported, "Twilio routed it wrongly"),
    row("30101", FailureClass::Misconfigured, "the domain for short links is not set up"),
    row("30102", FailureClass::Misconfigured, "the certificate for short links has expired"),
    row("30106", FailureClass::Misconfigured, "the domain for short links is not set up"),
    row("30107", FailureClass::Misconfigured, "the certificate for short links is missing"),
    row("30108", FailureClass::Misconfigured, "the account belongs to no organization"),
    row("30112", FailureClass::Misconfigured, "the account is not found"),
    row("30124", FailureClass::Misconfigured, "the messaging service is missing"),
    row("30125", FailureClass::Misconfigured, "the sender is not registered for 10DLC"),
    row("30126", FailureClass::Misconfigured, "the sender is not registered for 10DLC"),
    row("30127", FailureClass::Misconfigured, "the messaging service is not valid"),
    row("30400", FailureClass::Unsupported, "Twilio does not take a parameter of ours"),
    row("30404", FailureClass::Misconfigured, "the account has no such resource"),
    row(
        "30410",
        FailureClass::Unknown,
        "Twilio's carrier did not answer; Twilio does not try again",
    ),
    row("30436", FailureClass::Misconfigured, "the sender is not the account's"),
    row("30450", FailureClass::Unsupported, "Twilio's own protection against fraud"),
    row("30453", FailureClass::Unsupported, "Twilio's own protection against fraud"),
    row(
        "30454",
        FailureClass::Misconfigured,
        "a trial account's number of messages is reached",
    ),
    row("30485", FailureClass::Unsupported, "Twilio's own protection against fraud"),
    row("30500", FailureClass::Unavailable, "Twilio failed"),
    row("30610", FailureClass::InvalidMessage, "local law, which holds for every provider"),
    row("30615", FailureClass::InvalidMessage, "local law, which holds for every provider"),
    row(
        "30620",
        FailureClass::Unsupported,
        "the text does not fit what the sender id is registered for",
    ),
    row("30630", FailureClass::RecipientBlocked, "the recipient opted out"),
    row("30640", FailureClass::InvalidMessage, "the recipient is a known litigator"),
    row("63001", FailureClass::Misconfigured, "the channel does not know the account"),
    row("63002", FailureClass::Misconfigured, "the channel does not know the sender"),
    row("63003", FailureClass::InvalidRecipient, "the channel does not know the recipient"),
    row("63005", FailureClass::Unsupported, "the channel's own rules for content"),
    row("63006", FailureClass::Unsupported, "the channel's own rules for content"),
    row("63007", FailureClass::Misconfigured, "the channel does not know the sender"),
    row("63008", FailureClass::Misconfigured, "the channel is not set up"),
    row("63009", FailureClass::Unavailable, "the channel failed"),
    row("63010", FailureClass::Unknown, "Twilio failed after it had the request"),
    row("63012", FailureClass::Unavailable, "the channel failed"),
    row("63013", FailureClass::Unsupported, "the channel's own policy"),
    row("63015", FailureClass::Misconfigured, "the account is in the channel's sandbox"),
    row("63016", FailureClass::Unsupported, "the channel wants a template now"),
    row("63017", FailureClass::Throttled, "more a second than the channel takes"),
    row("63018", FailureClass::Throttled, "more a second than the channel takes"),
    row("63020", FailureClass::Misconfigured, "the account at the channel is not in order"),
    row("63021", FailureClass::Unsupported, "the channel's own rules for content"),
    row("63023", FailureClass::Unavailable, "the channel failed"),
    row("63024", FailureClass::InvalidRecipient, "the recipient is not on the channel"),
    row("63026", FailureClass::Unsupported, "the channel's own filter"),
    row("63030", FailureClass::Unsupported, "the channel's own rules for content"),
    row("63032", FailureClass::Unsupported, "the channel's own experiment"),
    row("63033", FailureClass::RecipientBlocked, "the recipient opted out"),
    row("63035", FailureClass::Unsupported, "the channel's agent is not launched"),
    row("63036", FailureClass::Unsupported, "the recipient is not on the channel"),
    row("63038", FailureClass::QuotaExhausted, "the account's daily number is reached"),
    row("63040", FailureClass::Misconfigured, "the account's template was refused"),
    row("63041", FailureClass::Misconfigured, "the account's template is paused"),
    row("63042", FailureClass::Misconfigured, "the account's template is disabled"),
    row("63049", FailureClass::Unsupported, "the channel's own choice"),
    row(
        "number/unregistered",
        FailureClass::Misconfigured,
        "the brand or campaign is not registered",
    ),
    row(
        "number/unverified",
        FailureClass::Misconfigured,
        "the sender's verification was refused or is not finished",
    ),
    row(
        "sender/callers",
        FailureClass::Unsupported,
        "Twilio does not take the sender that the caller chose",
    ),
];
