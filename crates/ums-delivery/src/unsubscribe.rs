//! One-click unsubscribe (RFC 8058): the signed link in bulk mail, and what a request to the link does.
//!
//! A link names the message and the index of the recipient, so that a reader of the link learns no address. Its signature is made with a
//! key derived from the newest key of the service; links that were signed under older keys still work.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq as _;
use ums_core::guard::header_value;
use ums_core::{
    Channel, Email, Header, ListName, MessageId, Secret, StoreError, Suppression, SuppressionFilter, SuppressionOrigin, SuppressionReason,
    SuppressionScope, TenantId, Timestamp, suppression_address,
};

use crate::desk::Desk;
use crate::fate::Says;
use crate::ports::Ports;
use crate::suppressions;

/// The header with the link.
const LINK_HEADER: &str = "List-Unsubscribe";
/// The header that says that a POST to the link is enough.
const POST_HEADER: &str = "List-Unsubscribe-Post";
/// Separates the signing key from other keys that are derived from the same key.
const PURPOSE: &[u8] = b"ums unsubscribe link v1";
/// Bytes of the id of the message.
const ID_BYTES: usize = 16;
/// Bytes of the signature: the first half of an HMAC-SHA256, 128 bits, which nobody can guess.
const TAG_BYTES: usize = 16;
/// Longest token that is read: the name of a tenant may have 64 bytes.
const MAX_TOKEN_CHARS: usize = 160;

/// Most lists of one address that are looked through for the last lift.
const MOST_LISTS: usize = 1_000;

/// The recipient of a genuine link.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsubscriber {
    /// The tenant of the message and of the suppression list.
    pub tenant: TenantId,
    /// The message that held the link.
    pub message_id: MessageId,
    /// The channel of the address.
    pub channel: Channel,
    /// Full address.
    pub address: String,
    /// The mailing list that the message named.
    pub list: Option<ListName>,
    /// What the address is unsubscribed from.
    pub left: Left,
    /// What a wish to come back did; none for another wish.
    pub taken_back: Option<TakenBack>,
}

/// What came of a wish to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenBack {
    /// Whether there was an unsubscribe to take back.
    pub any: bool,
    /// What bars the address still.
    pub still_barred: StillBarred,
}

/// What bars an address whose unsubscribe was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillBarred {
    /// Nothing.
    Nothing,
    /// Mail of other mailing lists, which the person left one by one.
    OtherLists,
    /// Every message: a complaint, a bounce, a STOP, an operator.
    EveryMessage,
}

/// What an address is unsubscribed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// The mailing list of the message alone.
    TheList,
    /// All mail to many.
    Everything,
}

/// What the recipient of a link asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No more mail to many, of whichever list. Mail programs ask for this with their one click.
    LeaveEverything,
    /// No more mail of the message's list; of a message without a list, as [`Wish::LeaveEverything`].
    LeaveTheList,
    /// Mail to many again: takes back the unsubscribe from everything, and that from the message's list.
    ComeBack,
}

impl std::fmt::Debug for Unsubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unsubscriber(of {})", self.message_id)
    }
}

/// Makes unsubscribe links, and finds the recipient of a link.
#[derive(Debug)]
pub(crate) struct Links {
    /// The keys of the service, newest first.
    keys: Vec<Secret>,
    /// The public URL of the service, without a slash at its end; none if mail programs would not follow its links.
    base: Option<String>,
}

impl Links {
    /// `url` is the public URL of the service. Mail programs follow only `https` links; `http` is for development.
    pub(crate) fn new(keys: Vec<Secret>, url: Option<String>, development: bool) -> Self {
        let is_usable = |url: &String| url.starts_with("https://") || (development && url.starts_with("http://"));
        Self {
            keys,
            base: url.filter(is_usable),
        }
    }

    /// Adds the link to a bulk mail with one recipient; with several recipients nobody could tell which of them followed the link. A mail
    /// that has such headers stays as it is: its sender keeps a list of his own.
    pub(crate) fn add(&self, tenant: &TenantId, id: MessageId, email: &mut Email) {
        let (Some(url), Some(key)) = (&self.base, self.keys.first()) else {
            return;
        };
        if email.recipients().count() == 1 && !is_listed(email) {
            let target = LinkTarget {
                tenant: tenant.clone(),
                message_id: id,
                recipient: 0,
            };
            let link = format!("<{url}/unsubscribe/{}>", target.token(key));
            if header_value(LINK_HEADER, &link).is_ok() {
                email.headers.push(header(LINK_HEADER, link));
                email.headers.push(header(POST_HEADER, "List-Unsubscribe=One-Click".to_owned()));
            }
        }
    }

    /// The recipient of a link; none when the token is not genuine or its message is no longer stored. Changes nothing.
    pub(crate) async fn unsubscriber(&self, ports: &Ports, token: &str) -> Result<Option<Unsubscriber>, StoreError> {
        let Some(target) = LinkTarget::read(token, &self.keys) else {
            return Ok(None);
        };
        let Some(record) = ports.store.message(&target.tenant, target.message_id).await? else {
            return Ok(None);
        };
        let Some(recipient) = record.recipients.get(usize::from(target.recipient)) else {
            return Ok(None);
        };
        let channel = record.message.content.channel();
        let list = record.message.handling.list.clone();
        let addresses = [recipient.address.clone()];
        let entries = ports
            .store
            .suppressed(&target.tenant, channel, &addresses, ports.clock.now())
            .await?;
        Ok(Some(Unsubscriber {
            tenant: target.tenant,
            message_id: target.message_id,
            channel,
            address: recipient.address.clone(),
            left: left(&entries, list.as_ref()),
            list,
            taken_back: None,
        }))
    }
}

/// What entries in force say of an address. The owner of the address asks for entries without an end.
fn left(entries: &[Suppression], list: Option<&ListName>) -> Left {
    let unsubscribed = |of: Option<&ListName>| {
        let is_of = |entry: &&Suppression| entry.reason == SuppressionReason::Unsubscribe && entry.list.as_ref() == of;
        entries.iter().find(is_of).is_some_and(|entry| entry.expires_at.is_none())
    };
    if unsubscribed(None) {
        Left::Everything
    } else if list.is_some() && unsubscribed(list) {
        Left::TheList
    } else {
        Left::Nothing
    }
}

/// Does what the recipient of a link asks for; none as [`Links::unsubscriber`]. A second call changes nothing.
pub(crate) async fn fulfil(links: &Links, desk: &Desk, token: &str, wish: Wish) -> Result<Option<Unsubscriber>, StoreError> {
    let Some(unsubscriber) = links.unsubscriber(&desk.ports, token).await? else {
        return Ok(None);
    };
    let left = match (wish, unsubscriber.left) {
        (Wish::ComeBack, _) => {
            let taken_back = Some(come_back(desk, &unsubscriber).await?);
            return Ok(Some(Unsubscriber {
                left: Left::Nothing,
                taken_back,
                ..unsubscriber
            }));
        }
        (_, Left::Everything) => Left::Everything,
        (Wish::LeaveTheList, Left::TheList) => Left::TheList,
        (Wish::LeaveTheList, Left::Nothing) if unsubscriber.list.is_some() => {
            leave(desk, &unsubscriber, unsubscriber.list.clone()).await?;
            Left::TheList
        }
        (Wish::LeaveTheList | Wish::LeaveEverything, Left::Nothing | Left::TheList) => {
            leave(desk, &unsubscriber, None).await?;
            Left::Everything
        }
    };
    Ok(Some(Unsubscriber { left, ..unsubscriber }))
}

/// Takes back the unsubscribe from everything, and that from the message's list. Other lists that the person left stay left.
async fn come_back(desk: &Desk, unsubscriber: &Unsubscriber) -> Result<TakenBack, StoreError> {
    let Unsubscriber { tenant, channel, .. } = unsubscriber;
    let in_force = suppressions::in_force(desk, tenant, *channel, &unsubscriber.address).await?;
    let is_taken_back =
        |entry: &Suppression| entry.reason == SuppressionReason::Unsubscribe && (entry.list.is_none() || entry.list == unsubscriber.list);
    let (taken_back, others): (Vec<_>, Vec<_>) = in_force.into_iter().partition(is_taken_back);
    let any = suppressions::lift(desk, taken_back.into_iter()).await? > 0;
    if any {
        tracing::info!(message_id = %unsubscriber.message_id, "a recipient took an unsubscribe back by the link in a message");
    }
    let still_barred = if others.iter().any(|entry| entry.reason.scope() == SuppressionScope::All) {
        StillBarred::EveryMessage
    } else if others.is_empty() {
        StillBarred::Nothing
    } else {
        StillBarred::OtherLists
    };
    Ok(TakenBack { any, still_barred })
}

/// Unsubscribes the recipient from one list, or from everything.
async fn leave(desk: &Desk, unsubscriber: &Unsubscriber, list: Option<ListName>) -> Result<(), StoreError> {
    let entry = Suppression {
        tenant: unsubscriber.tenant.clone(),
        channel: unsubscriber.channel,
        address: suppression_address(unsubscriber.channel, &unsubscriber.address),
        reason: SuppressionReason::Unsubscribe,
        list: list.clone(),
        origin: SuppressionOrigin::Link,
        provider: None,
        account: None,
        message_id: Some(unsubscriber.message_id),
        detail: None,
        since: in_force_from(&desk.ports, unsubscriber, list.as_ref()).await?,
        expires_at: None,
        lifted_at: None,
    };
    let says = Says {
        suppress: vec![entry],
        lift: Vec::new(),
    };
    let notices = desk.notices.of_list(&says);
    desk.ports.store.suppress(says.suppress, notices).await?;
    tracing::info!(message_id = %unsubscriber.message_id, "a recipient unsubscribed by the link in a message");
    Ok(())
}

/// Now, or just after the last lift of the entry: a lift may be dated by the clock of a provider, ahead of ours, and would win otherwise.
async fn in_force_from(ports: &Ports, unsubscriber: &Unsubscriber, list: Option<&ListName>) -> Result<Timestamp, StoreError> {
    let filter = SuppressionFilter {
        channel: Some(unsubscriber.channel),
        reason: Some(SuppressionReason::Unsubscribe),
        address: Some(unsubscriber.address.clone()),
        with_lifted: true,
    };
    let now = ports.clock.now();
    let page = ports
        .store
        .suppressions(&unsubscriber.tenant, &filter, None, now, MOST_LISTS)
        .await?;
    let entry = page.entries.iter().find(|entry| entry.list.as_ref() == list);
    let lifted_at = entry.and_then(|entry| entry.lifted_at);
    Ok(lifted_at.map_or(now, |lifted_at| now.max(lifted_at + Duration::from_micros(1))))
}

fn is_listed(email: &Email) -> bool {
    let named = |name: &str| name.eq_ignore_ascii_case(LINK_HEADER) || name.eq_ignore_ascii_case(POST_HEADER);
    email.headers.iter().any(|header| named(&header.name))
}

fn header(name: &str, value: String) -> Header {
    Header {
        name: name.to_owned(),
        value,
    }
}

/// The recipient of a message that a link names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkTarget {
    pub(crate) tenant: TenantId,
    pub(crate) message_id: MessageId,
    /// Index among the recipients of the message.
    pub(crate) recipient: u8,
}

impl LinkTarget {
    pub(crate) fn token(&self, key: &Secret) -> String {
        let mut bytes = self.message_id.as_uuid().as_bytes().to_vec();
        bytes.push(self.recipient);
        if self.tenant != TenantId::default() {
            bytes.extend_from_slice(self.tenant.as_str().as_bytes());
        }
        let tag = signature(key, &bytes);
        bytes.extend(tag.as_ref().iter().take(TAG_BYTES));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that one of the keys signed.
    pub(crate) fn read(token: &str, keys: &[Secret]) -> Option<Self> {
        if token.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        let is_signed_by = |key: &Secret| {
            let wanted = signature(key, signed);
            wanted.as_ref().get(..TAG_BYTES).is_some_and(|wanted| bool::from(wanted.ct_eq(tag)))
        };
        if !keys.iter().any(is_signed_by) {
            return None;
        }
        let (id, rest) = signed.split_at_checked(ID_BYTES)?;
        let (recipient, tenant) = rest.split_first()?;
        let id = u128::from_be_bytes(id.try_into().ok()?);
        Some(Self {
            tenant: match std::str::from_utf8(tenant).ok()? {
                "" => TenantId::default(),
                tenant => TenantId::new(tenant),
            },
            message_id: format!("{id:032x}").parse().ok()?,
            recipient: *recipient,
        })
    }
}

fn signature(key: &Secret, bytes: &[u8]) -> hmac::Tag {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()), PURPOSE);
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_testkit::{SeededRandom, TestClock};

    fn target(tenant: &str) -> LinkTarget {
        LinkTarget {
            tenant: TenantId::new(tenant),
            message_id: MessageId::new(&TestClock::new(), &SeededRandom::new(1)),
            recipient: 0,
        }
    }

    #[test]
    fn tokens_are_short_and_say_what_was_signed_under_any_of_the_keys() {
        let (old, new) = (Secret::new("old-key"), Secret::new("new-key"));
        for tenant in ["default", "acme-2"] {
            let target = target(tenant);
            let token = target.token(&old);
            assert!(token.len() <= 52, "{token}");
            assert!(
                token
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            );
            assert_eq!(LinkTarget::read(&token, &[new.clone(), old.clone()]), Some(target));
            assert_eq!(LinkTarget::read(&token, std::slice::from_ref(&new)), None, "another key");
            assert_eq!(LinkTarget::read(&token, &[]), None, "no key");
        }
    }

    #[test]
    fn no_changed_token_is_read() {
        let key = [Secret::new("key")];
        let token = target("default").token(&key[0]);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                assert_eq!(
                    LinkTarget::read(&URL_SAFE_NO_PAD.encode(changed), &key),
                    None,
                    "byte {index}, bit {bit}"
                );
            }
            assert_eq!(
                LinkTarget::read(&URL_SAFE_NO_PAD.encode(&bytes[..index]), &key),
                None,
                "cut at {index}"
            );
        }
        let tenant_moved = URL_SAFE_NO_PAD.encode([&bytes[..17], b"other", &bytes[17..]].concat());
        for bad in [
            "",
            "=",
            "a",
            &format!("{token}="),
            &format!("{token}A"),
            &"A".repeat(5_000),
            &tenant_moved,
        ] {
            assert_eq!(LinkTarget::read(bad, &key), None, "{bad:.60}");
        }
    }
}
