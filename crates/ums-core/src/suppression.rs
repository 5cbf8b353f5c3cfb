//! The suppression list: addresses that must not be contacted, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::subscriber::{is_todays_spelling, listed_mail};
use crate::{AccountId, Channel, MessageId, ProviderKind, Purpose, Status, TenantId, Timestamp};

pub use self::list_name::{InvalidListName, ListName};

mod list_name;

words! {
    /// Why an address must not be contacted.
    SuppressionReason {
        /// The address does not exist.
        HardBounce = "hard_bounce",
        /// The recipient called a message spam.
        Complaint = "complaint",
        /// The recipient answered STOP.
        Stop = "stop",
        /// The recipient unsubscribed.
        Unsubscribe = "unsubscribe",
        /// A caller or an operator put the address on the list.
        Manual = "manual",
    }
}

words! {
    /// Which messages an entry bars.
    SuppressionScope {
        /// Every message.
        All = "all",
        /// Mail to many; receipts and codes still go out.
        Bulk = "bulk",
    }
}

impl SuppressionReason {
    /// Which messages an entry for this reason bars. Whoever unsubscribes does not want newsletters and offers any more; receipts and codes
    /// that the person asks for are another matter.
    pub const fn scope(self) -> SuppressionScope {
        match self {
            Self::HardBounce | Self::Complaint | Self::Stop | Self::Manual => SuppressionScope::All,
            Self::Unsubscribe => SuppressionScope::Bulk,
        }
    }

    /// The status with which a recipient with such an address ends.
    pub const fn status(self) -> Status {
        match self {
            Self::HardBounce | Self::Complaint | Self::Manual => Status::Suppressed,
            Self::Stop | Self::Unsubscribe => Status::Unsubscribed,
        }
    }

    /// Whether a provider that gives this reason for an address speaks of its subscriber. A number that is dead in a spelling which its plan
    /// gave up says nothing of the subscriber, who may have the same number in today's.
    pub fn is_of_subscriber(self, channel: Channel, address: &str) -> bool {
        self != Self::HardBounce || is_todays_spelling(channel, address)
    }
}

/// What a message is to its recipient: an unsubscribe bars some messages and not others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// The message's purpose.
    pub purpose: Purpose,
    /// The mailing list that the sender names; none if the sender names none.
    pub list: Option<ListName>,
}

words! {
    /// How an address came onto the list.
    SuppressionOrigin {
        /// By a provider's feedback.
        Feedback = "feedback",
        /// By a provider's refusal of the recipient during a call.
        Refusal = "refusal",
        /// By the unsubscribe link in a message.
        Link = "link",
        /// By a caller or an operator.
        Operator = "operator",
        /// By the import of a file.
        Import = "import",
    }
}

/// One entry of the suppression list: one for each tenant, channel, address and reason; of an unsubscribe, one for each mailing list and one
/// for all lists.
///
/// An entry is never removed but *lifted*: the entry is in force while `since` is later than `lifted_at`. So the order in which reports come
/// does not matter.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The tenant that owns the list.
    pub tenant: TenantId,
    /// The channel.
    pub channel: Channel,
    /// The address, as [`suppression_address`] writes it.
    pub address: String,
    /// Why the address must not be contacted.
    pub reason: SuppressionReason,
    /// The only mailing list that an unsubscribe is from; none for all lists. Entries for other reasons name no list.
    pub list: Option<ListName>,
    /// How the address came onto the list.
    pub origin: SuppressionOrigin,
    /// The provider that reported or refused the recipient.
    pub provider: Option<ProviderKind>,
    /// The account at that provider. An entry of the release before names none: it counts as the default account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The message that led to the entry.
    pub message_id: Option<MessageId>,
    /// The provider's or the operator's text, for people; redacted.
    pub detail: Option<String>,
    /// Start of the entry: the provider's time if the provider gives one.
    pub since: Timestamp,
    /// End of the entry; none if the entry holds for good.
    pub expires_at: Option<Timestamp>,
    /// Time of the last lift.
    pub lifted_at: Option<Timestamp>,
}

impl Suppression {
    /// Whether the entry forbids contact at `now`: not lifted since, and not expired.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.lifted_at.is_none_or(|lifted_at| self.since > lifted_at) && self.expires_at.is_none_or(|expires_at| expires_at > now)
    }

    /// Whether the entry, in force, forbids a message.
    pub fn bars(&self, occasion: &Occasion) -> bool {
        match self.reason.scope() {
            SuppressionScope::All => true,
            SuppressionScope::Bulk => occasion.purpose == Purpose::Bulk && (self.list.is_none() || self.list == occasion.list),
        }
    }
}

impl fmt::Debug for Suppression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Suppression({} {} by {})", self.channel, self.reason, self.origin)
    }
}

/// The form in which the list keeps an address: an e-mail address by NFKC and without case, its domain in ASCII; a number in E.164 as it was reported. A
/// look at the list asks for every spelling ([`spellings`](crate::spellings)).
///
/// Few mail systems distinguish `A@` from `a@`. There the list spares one address too many, which is the smaller harm.
pub fn suppression_address(channel: Channel, address: &str) -> String {
    match channel {
        Channel::Email => listed_mail(address),
        Channel::Sms => address.to_owned(),
    }
}

/// Takes one entry off the list.
#[derive(Clone, PartialEq, Eq)]
pub struct Lift {
    /// The tenant that owns the list.
    pub tenant: TenantId,
    /// The channel.
    pub channel: Channel,
    /// The address, as [`suppression_address`] writes it.
    pub address: String,
    /// The entry's reason; entries for other reasons stay.
    pub reason: SuppressionReason,
    /// The entry's mailing list; entries for other lists, and the entry for all lists, stay.
    pub list: Option<ListName>,
    /// Time of the lift.
    pub at: Timestamp,
}

impl fmt::Debug for Lift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lift({} {} {})", self.channel, self.reason, self.at)
    }
}

/// Which entries to list; all fields that are set must match.
#[derive(Clone, Default)]
pub struct SuppressionFilter {
    /// Channel.
    pub channel: Option<Channel>,
    /// Reason.
    pub reason: Option<SuppressionReason>,
    /// The whole address, in any spelling.
    pub address: Option<String>,
    /// Whether to list entries that are not in force any more, too.
    pub with_lifted: bool,
}

impl fmt::Debug for SuppressionFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SuppressionFilter({:?} {:?})", self.channel, self.reason)
    }
}

/// The place of an entry in the list, which is in the order of channel, address, reason and mailing list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SuppressionCursor {
    /// Channel.
    pub channel: Channel,
    /// Address.
    pub address: String,
    /// Reason.
    pub reason: SuppressionReason,
    /// Mailing list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListName>,
}

impl fmt::Debug for SuppressionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SuppressionCursor({} {})", self.channel, self.reason)
    }
}

/// Entries in the order of the list.
#[derive(Clone, Debug, Default)]
pub struct SuppressionPage {
    /// The entries.
    pub entries: Vec<Suppression>,
    /// Cursor for the next page; none at the end.
    pub next_cursor: Option<SuppressionCursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(since: i64, lifted_at: Option<i64>, expires_at: Option<i64>) -> Suppression {
        Suppression {
            tenant: TenantId::default(),
            channel: Channel::Email,
            address: "a@example.com".to_owned(),
            reason: SuppressionReason::Manual,
            list: None,
            origin: SuppressionOrigin::Operator,
            provider: None,
            account: None,
            message_id: None,
            detail: None,
            since: Timestamp::from_micros(since),
            expires_at: expires_at.map(Timestamp::from_micros),
            lifted_at: lifted_at.map(Timestamp::from_micros),
        }
    }

    #[test]
    fn the_later_of_entry_and_lift_decides_and_time_ends_it() {
        let now = Timestamp::from_micros(100);
        assert!(entry(10, None, None).is_in_force(now));
        assert!(!entry(10, Some(10), None).is_in_force(now), "lifted at the same time");
        assert!(entry(11, Some(10), None).is_in_force(now), "suppressed again");
        assert!(!entry(10, None, Some(100)).is_in_force(now));
        assert!(entry(10, None, Some(101)).is_in_force(now));
    }

    /// Each reason, purpose and pair of lists. A reference of its own: what an entry must not bar is as much a promise as what it must.
    #[test]
    fn an_unsubscribe_bars_mail_to_many_of_its_lists_and_every_other_entry_bars_everything() {
        let names = || [None, Some("weekly"), Some("offers")].map(|name| name.map(|name| ListName::parse(name).unwrap()));
        for reason in SuppressionReason::ALL {
            for purpose in Purpose::ALL {
                for (of_entry, of_message) in names().into_iter().flat_map(|one| names().map(|other| (one.clone(), other))) {
                    let is_of_all_lists = of_entry.is_none();
                    let same_list = of_entry == of_message;
                    let entry = Suppression {
                        reason: *reason,
                        list: of_entry,
                        ..entry(10, None, None)
                    };
                    let occasion = Occasion {
                        purpose: *purpose,
                        list: of_message,
                    };
                    let expected = match (reason, purpose) {
                        (SuppressionReason::Unsubscribe, Purpose::Otp | Purpose::Transactional) => false,
                        (SuppressionReason::Unsubscribe, Purpose::Bulk) => is_of_all_lists || same_list,
                        _ => true,
                    };
                    assert_eq!(entry.bars(&occasion), expected, "{reason} {occasion:?} {:?}", entry.list);
                }
            }
        }
    }

    #[test]
    fn a_dead_spelling_of_before_condemns_no_subscriber() {
        use SuppressionReason::{HardBounce, Stop};
        for (reason, channel, address, is_of_subscriber) in [
            (HardBounce, Channel::Sms, "+22995123456", false),
            (HardBounce, Channel::Sms, "+2290195123456", true),
            (HardBounce, Channel::Sms, "+14165550123", true),
            (Stop, Channel::Sms, "+22995123456", true),
            (HardBounce, Channel::Email, "Ann@Example.com", true),
        ] {
            assert_eq!(reason.is_of_subscriber(channel, address), is_of_subscriber, "{reason} {address}");
        }
    }

    #[test]
    fn addresses_are_compared_without_case_and_numbers_as_they_are() {
        assert_eq!(suppression_address(Channel::Email, "Ann@Example.COM"), "ann@example.com");
        assert_eq!(suppression_address(Channel::Sms, "+15551234567"), "+15551234567");
    }
}
