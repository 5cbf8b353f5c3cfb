//! The gates: conditions that must hold before anybody is contacted. `accept` asks them at the door, `worker` again before each round.

use ums_core::{Content, PhoneNumber, Status, subscriber_key};

use crate::fate::Stopped;
use crate::rules::Rules;

/// Asks every gate in order; the first gate that says no ends the message. `all_local`: every provider of the channel is on this machine.
pub(crate) fn check(rules: &Rules, content: &Content, all_local: bool) -> Option<Stopped> {
    only_allowed_recipients_in_development(rules, content, all_local).or_else(|| only_allowed_countries(rules, content))
}

/// In development, providers that are not on this machine contact only allowed recipients.
fn only_allowed_recipients_in_development(rules: &Rules, content: &Content, all_local: bool) -> Option<Stopped> {
    if !rules.development {
        return None;
    }
    let channel = content.channel();
    let allowed = |address: &str| {
        let subscriber = subscriber_key(channel, address);
        let domain = address.rsplit_once('@').map(|(_, domain)| domain);
        rules.allow_recipients.iter().any(|allowed| {
            subscriber_key(channel, allowed) == subscriber
                || domain.is_some_and(|domain| {
                    allowed
                        .strip_prefix('@')
                        .is_some_and(|allowed| allowed.eq_ignore_ascii_case(domain))
                })
        })
    };
    let fine = all_local || content.recipients().iter().all(|(_, address)| allowed(address));
    (!fine).then_some(Stopped {
        status: Status::Suppressed,
        reason: "non_production",
        detail: "in development real providers contact only the recipients of UMS_ALLOW_RECIPIENTS",
    })
}

fn only_allowed_countries(rules: &Rules, content: &Content) -> Option<Stopped> {
    let Content::Sms(sms) = content else { return None };
    let countries = &rules.sms_countries;
    let fine = countries.is_empty() || is_of_any(&sms.to, countries);
    (!fine).then_some(Stopped {
        status: Status::Failed,
        reason: "country_not_allowed",
        detail: "UMS_SMS_COUNTRIES does not name the recipient's country",
    })
}

/// Whether the number belongs to one of the countries. The calling code decides for a number whose region is not known.
fn is_of_any(number: &PhoneNumber, countries: &[ums_core::Region]) -> bool {
    countries.iter().any(|country| match number.region() {
        Some(region) => region == country.as_str(),
        None => country.calling_code() == Some(number.country_code()),
    })
}
