//! Who an e-mail comes from: the caller's sender where this provider may use it, else its own.

use ums_core::{Email, Mailbox};

/// The sender of a provider, and which senders of callers it may use.
#[derive(Clone, Debug)]
pub(crate) struct SenderRule {
    own: Mailbox,
    covered: Vec<String>,
}

/// The sender of one e-mail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen<'a> {
    /// What stands in From.
    pub(crate) from: &'a Mailbox,
    /// What stands in Reply-To.
    pub(crate) reply_to: &'a [Mailbox],
    /// Whether From is the provider's own although the caller chose another.
    pub(crate) substituted: bool,
    /// Whether From is an address that the caller chose and the provider was not configured with.
    pub(crate) callers: bool,
}

impl SenderRule {
    /// The provider's own sender, and the addresses and domains it may use beside it. Without any,
    /// it may use every address of its own sender's domain.
    pub(crate) fn new(own: Mailbox, senders: &[String]) -> Self {
        let mut covered: Vec<String> = senders
            .iter()
            .map(|sender| sender.trim().trim_start_matches('@').to_lowercase())
            .collect();
        covered.retain(|sender| !sender.is_empty());
        if covered.is_empty() {
            covered.push(own.address.domain().to_owned());
        }
        Self { own, covered }
    }

    /// Chooses the sender of an e-mail.
    ///
    /// A sender that is not covered moves to Reply-To, so that answers still reach the caller;
    /// where the caller named another Reply-To, that one stays.
    pub(crate) fn choose<'a>(&'a self, email: &'a Email) -> Chosen<'a> {
        let reply_to = email.reply_to.as_slice();
        let Some(wanted) = &email.from else {
            return Chosen {
                from: &self.own,
                reply_to,
                substituted: false,
                callers: false,
            };
        };
        if self.covers(wanted) {
            return Chosen {
                from: wanted,
                reply_to,
                substituted: false,
                callers: wanted.address != self.own.address,
            };
        }
        let reply_to = if reply_to.is_empty() {
            std::slice::from_ref(wanted)
        } else {
            reply_to
        };
        Chosen {
            from: &self.own,
            reply_to,
            substituted: true,
            callers: false,
        }
    }

    fn covers(&self, wanted: &Mailbox) -> bool {
        let address = wanted.address.expose().to_lowercase();
        wanted.address == self.own.address
            || self
                .covered
                .iter()
                .any(|entry| *entry == address || entry == wanted.address.domain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(senders: &[&str], wanted: Option<&str>, reply_to: &[&str], expected: (&str, &[&str], bool, bool)) {
        let senders: Vec<String> = senders.iter().map(|sender| (*sender).to_owned()).collect();
        let rule = SenderRule::new(Mailbox::parse("Shop <hello@shop.example>").unwrap(), &senders);
        let email = crate::samples::email_from(wanted, reply_to);
        let chosen = rule.choose(&email);
        let replies: Vec<&str> = chosen.reply_to.iter().map(|mailbox| mailbox.address.expose()).collect();
        assert_eq!(
            (chosen.from.address.expose(), &*replies, chosen.substituted, chosen.callers),
            expected,
            "{wanted:?}"
        );
    }

    #[test]
    fn a_sender_that_is_not_covered_moves_to_reply_to() {
        check(&[], None, &[], ("hello@shop.example", &[], false, false));
        check(&[], Some("hello@shop.example"), &[], ("hello@shop.example", &[], false, false));
        check(&[], Some("Orders@shop.example"), &[], ("Orders@shop.example", &[], false, true));
        check(
            &[],
            Some("me@other.example"),
            &[],
            ("hello@shop.example", &["me@other.example"], true, false),
        );
        check(
            &[],
            Some("me@other.example"),
            &["x@y.example"],
            ("hello@shop.example", &["x@y.example"], true, false),
        );
        check(
            &["other.example"],
            Some("me@other.example"),
            &[],
            ("me@other.example", &[], false, true),
        );
        check(
            &["ME@other.example"],
            Some("me@other.example"),
            &[],
            ("me@other.example", &[], false, true),
        );
        check(
            &["me@other.example"],
            Some("you@other.example"),
            &[],
            ("hello@shop.example", &["you@other.example"], true, false),
        );
        check(
            &["me@other.example"],
            Some("orders@shop.example"),
            &[],
            ("hello@shop.example", &["orders@shop.example"], true, false),
        );
        check(
            &["other.example"],
            Some("me@sub.other.example"),
            &[],
            ("hello@shop.example", &["me@sub.other.example"], true, false),
        );
    }
}
