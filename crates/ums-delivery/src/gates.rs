//! What must hold before anybody is contacted; asked at the door and again before each round.

use ums_core::{Channel, Content, MessageRecord, PhoneNumber, Status, Suppression, suppression_address};

use crate::carried::is_open;

use crate::flow::Flow;

/// A message that a gate ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) status: Status,
    /// Stable word, kept with the recipients.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) detail: &'static str,
}

/// Asks every gate in order; the first that says no ends the message.
pub(crate) fn check(flow: &Flow, content: &Content) -> Option<Stopped> {
    only_allowed_recipients_in_development(flow, content).or_else(|| only_allowed_countries(flow, content))
}

/// Marks the record as stopped, and those of its recipients who have no outcome yet.
pub(crate) fn stop(record: &mut MessageRecord, stopped: &Stopped) {
    record.status = stopped.status;
    record.error = Some(format!("{}: {}", stopped.reason, stopped.detail));
    record.due_at = None;
    for recipient in record.recipients.iter_mut().filter(|recipient| is_open(recipient.status)) {
        recipient.status = stopped.status;
        recipient.reason = Some(stopped.reason.to_owned());
    }
}

/// Why somebody is left out who is not on the list: the message is not for anybody when it is not for its first recipient.
const FIRST_RECIPIENT: &str = "first_recipient";

/// Leaves out recipients who must not be contacted; everybody, when the first one is among them. Why, for people; none when nobody
/// was left out.
pub(crate) fn leave_out(record: &mut MessageRecord, entries: &[Suppression]) -> Option<String> {
    let channel = record.message.content.channel();
    let entry_of = |address: &str| {
        let form = suppression_address(channel, address);
        let of_it = |entry: &&Suppression| entry.channel == channel && suppression_address(channel, &entry.address) == form;
        entries.iter().find(of_it)
    };
    let mut why = None;
    let mut first = None;
    for (place, recipient) in record.recipients.iter_mut().enumerate() {
        let Some(entry) = entry_of(&recipient.address).filter(|_| is_open(recipient.status)) else {
            continue;
        };
        recipient.status = entry.reason.status();
        recipient.reason = Some(entry.reason.as_str().to_owned());
        why.get_or_insert_with(|| tell(channel, entry));
        first = first.or((place == 0).then_some(recipient.status));
    }
    if let Some(status) = first {
        for recipient in record.recipients.iter_mut().filter(|recipient| is_open(recipient.status)) {
            recipient.status = status;
            recipient.reason = Some(FIRST_RECIPIENT.to_owned());
        }
    }
    why
}

/// What an entry says, without its address.
fn tell(channel: Channel, entry: &Suppression) -> String {
    let by = entry.provider.map(|provider| format!(" of {provider}")).unwrap_or_default();
    format!(
        "{}: the recipient is on the suppression list for {channel} since {} ({}{by})",
        entry.reason, entry.since, entry.origin
    )
}

/// In development a provider that is not on this machine contacts allowed recipients only.
fn only_allowed_recipients_in_development(flow: &Flow, content: &Content) -> Option<Stopped> {
    if !flow.rules.development {
        return None;
    }
    let all_local = match content {
        Content::Email(_) => flow.email.links.iter().all(|link| link.provider.is_local()),
        Content::Sms(_) => flow.sms.links.iter().all(|link| link.provider.is_local()),
    };
    let allowed = |address: &str| {
        let domain = address.rsplit_once('@').map(|(_, domain)| domain);
        flow.rules.allow_recipients.iter().any(|allowed| {
            allowed.eq_ignore_ascii_case(address)
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

fn only_allowed_countries(flow: &Flow, content: &Content) -> Option<Stopped> {
    let Content::Sms(sms) = content else { return None };
    let countries = &flow.rules.sms_countries;
    let fine = countries.is_empty() || is_of_any(&sms.to, countries);
    (!fine).then_some(Stopped {
        status: Status::Failed,
        reason: "country_not_allowed",
        detail: "UMS_SMS_COUNTRIES does not name the recipient's country",
    })
}

/// A number whose region is not known is judged by its calling code.
fn is_of_any(number: &PhoneNumber, countries: &[ums_core::Region]) -> bool {
    countries.iter().any(|country| match number.region() {
        Some(region) => region == country.as_str(),
        None => country.calling_code() == Some(number.country_code()),
    })
}
