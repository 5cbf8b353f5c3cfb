//! Twilio's codes, as answers to a send and in status callbacks.

use ums_core::FailureClass;

use crate::classify::{FailureTable, lookup};

/// The row for a sender that the caller chose, whichever of [`ABOUT_SENDER`] refused it.
pub(super) const CALLERS_SENDER: &str = "sender/callers";

/// The row for a number of ours that did not pass its verification, whichever of the codes in [`is_verification`] gives the reason.
pub(super) const UNVERIFIED: &str = "number/unverified";

/// Whether a code says why a toll-free or other number was not verified (30454, 30450 and 30453 between them say something else).
pub(super) const fn is_verification(code: u32) -> bool {
    matches!(code, 30_440..=30_449 | 30_451 | 30_452 | 30_455..=30_480 | 30_859..=30_873)
}

/// What a code means that a status callback gives; none when no table names it.
pub(crate) fn class_of(code: &str) -> Option<FailureClass> {
    let row = match code.parse() {
        Ok(number) if is_verification(number) => UNVERIFIED,
        Ok(_) | Err(_) => code,
    };
    lookup(FAILURES, row)
}

/// Codes that refuse the sender.
pub(super) const ABOUT_SENDER: [&str; 9] = ["21212", "21601", "21603", "21606", "21616", "21657", "21659", "21660", "21661"];

/// What each code means.
pub(crate) const FAILURES: FailureTable = &[
    ("10001", FailureClass::Misconfigured),
    ("10002", FailureClass::Misconfigured),
    ("14101", FailureClass::InvalidRecipient),
    ("14107", FailureClass::Throttled),
    ("20003", FailureClass::Misconfigured),
    ("20005", FailureClass::Misconfigured),
    ("20006", FailureClass::Misconfigured),
    ("20008", FailureClass::Misconfigured),
    ("20010", FailureClass::Misconfigured),
    ("20023", FailureClass::InvalidRecipient),
    ("20403", FailureClass::Misconfigured),
    ("20404", FailureClass::Misconfigured),
    ("20413", FailureClass::InvalidMessage),
    ("20429", FailureClass::Throttled),
    ("20500", FailureClass::Unknown),
    ("20503", FailureClass::Unavailable),
    ("20504", FailureClass::Unknown),
    ("21210", FailureClass::Misconfigured),
    ("21211", FailureClass::InvalidRecipient),
    ("21212", FailureClass::Misconfigured),
    ("21214", FailureClass::InvalidRecipient),
    ("21217", FailureClass::InvalidRecipient),
    ("21219", FailureClass::Misconfigured),
    ("21401", FailureClass::InvalidRecipient),
    ("21408", FailureClass::Unsupported),
    ("21601", FailureClass::Misconfigured),
    ("21602", FailureClass::InvalidMessage),
    ("21603", FailureClass::Misconfigured),
    ("21604", FailureClass::InvalidMessage),
    ("21606", FailureClass::Misconfigured),
    ("21607", FailureClass::Misconfigured),
    ("21608", FailureClass::Misconfigured),
    ("21609", FailureClass::Misconfigured),
    ("21610", FailureClass::RecipientBlocked),
    ("21611", FailureClass::Throttled),
    ("21612", FailureClass::Unsupported),
    ("21614", FailureClass::InvalidRecipient),
    ("21616", FailureClass::Misconfigured),
    ("21617", FailureClass::InvalidMessage),
    ("21618", FailureClass::InvalidMessage),
    ("21619", FailureClass::InvalidMessage),
    ("21620", FailureClass::InvalidMessage),
    ("21623", FailureClass::InvalidMessage),
    ("21624", FailureClass::Misconfigured),
    ("21626", FailureClass::Misconfigured),
    ("21627", FailureClass::Misconfigured),
    ("21635", FailureClass::InvalidRecipient),
    ("21654", FailureClass::InvalidMessage),
    ("21655", FailureClass::InvalidMessage),
    ("21656", FailureClass::InvalidMessage),
    ("21657", FailureClass::Misconfigured),
    ("21658", FailureClass::InvalidMessage),
    ("21659", FailureClass::Misconfigured),
    ("21660", FailureClass::Misconfigured),
    ("21661", FailureClass::Misconfigured),
    ("21701", FailureClass::Misconfigured),
    ("21702", FailureClass::Misconfigured),
    ("21703", FailureClass::Misconfigured),
    ("21704", FailureClass::Misconfigured),
    ("21705", FailureClass::Misconfigured),
    ("21708", FailureClass::Misconfigured),
    ("21709", FailureClass::Misconfigured),
    ("21712", FailureClass::Misconfigured),
    ("21730", FailureClass::Unavailable),
    ("21733", FailureClass::Misconfigured),
    ("30001", FailureClass::Throttled),
    ("30002", FailureClass::Misconfigured),
    ("30003", FailureClass::Unavailable),
    ("30004", FailureClass::InvalidRecipient),
    ("30005", FailureClass::InvalidRecipient),
    ("30006", FailureClass::InvalidRecipient),
    ("30007", FailureClass::InvalidMessage),
    ("30008", FailureClass::Unavailable),
    ("30014", FailureClass::InvalidRecipient),
    ("30017", FailureClass::Unavailable),
    ("30018", FailureClass::Unsupported),
    ("30019", FailureClass::InvalidMessage),
    ("30020", FailureClass::Unavailable),
    ("30021", FailureClass::Unavailable),
    ("30022", FailureClass::Throttled),
    ("30023", FailureClass::QuotaExhausted),
    ("30024", FailureClass::Unsupported),
    ("30027", FailureClass::QuotaExhausted),
    ("30032", FailureClass::Misconfigured),
    ("30033", FailureClass::Misconfigured),
    ("30034", FailureClass::Misconfigured),
    ("30035", FailureClass::Misconfigured),
    ("30036", FailureClass::Unavailable),
    ("30037", FailureClass::Misconfigured),
    ("30038", FailureClass::InvalidMessage),
    ("30039", FailureClass::InvalidMessage),
    ("30040", FailureClass::Unsupported),
    ("30041", FailureClass::Unsupported),
    ("30042", FailureClass::Unsupported),
    ("30043", FailureClass::Unsupported),
    ("30410", FailureClass::Unknown),
    ("30450", FailureClass::InvalidMessage),
    ("30453", FailureClass::InvalidMessage),
    ("30454", FailureClass::Misconfigured),
    ("30485", FailureClass::InvalidMessage),
    ("30500", FailureClass::Unavailable),
    ("30610", FailureClass::InvalidMessage),
    ("30630", FailureClass::RecipientBlocked),
    ("30640", FailureClass::InvalidMessage),
    ("63018", FailureClass::Throttled),
    ("63033", FailureClass::RecipientBlocked),
    ("63038", FailureClass::QuotaExhausted),
    ("number/unverified", FailureClass::Misconfigured),
    ("sender/callers", FailureClass::Unsupported),
];
