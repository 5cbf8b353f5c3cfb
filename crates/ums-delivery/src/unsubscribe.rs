//! One-click unsubscribe (RFC 8058): the signed link in mail to many, and what it does.
//!
//! A link names the message and the recipient in it, not the address: whoever sees a link learns nobody's address. It is signed with a key
//! that is derived from the service's newest key; links that were signed under the older ones still work.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq as _;
use ums_core::guard::{MAX_HEADER_VALUE_BYTES, header_text};
use ums_core::{
    Channel, Email, Header, MessageId, Secret, StoreError, Suppression, SuppressionFilter, SuppressionOrigin, SuppressionReason, TenantId,
    Timestamp, suppression_address,
};

use crate::desk::Desk;
use crate::ports::Ports;

/// Names the mail's link for machines.
const LINK_HEADER: &str = "List-Unsubscribe";
/// Says that a POST to the link is enough.
const POST_HEADER: &str = "List-Unsubscribe-Post";
/// What the signing key is derived for.
const PURPOSE: &[u8] = b"ums unsubscribe link v1";
/// Bytes of the message's id.
const ID_BYTES: usize = 16;
/// Bytes of the signature: half of HMAC-SHA256, which nobody can guess either.
const TAG_BYTES: usize = 16;
/// Longest token that is looked at: a tenant's name may have 64 bytes.
const MAX_TOKEN_CHARS: usize = 160;

/// Whom a genuine link is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsubscriber {
    /// Whose list.
    pub tenant: TenantId,
    /// Which message the link stood in.
    pub message_id: MessageId,
    /// Which channel.
    pub channel: Channel,
    /// Full address.
    pub address: String,
    /// Whether it is on the list already.
    pub is_unsubscribed: bool,
}

impl std::fmt::Debug for Unsubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unsubscriber(of {})", self.message_id)
    }
}

/// Makes unsubscribe links, and knows whom a link is for.
#[derive(Debug)]
pub(crate) struct Links {
    /// The service's keys, newest first.
    keys: Vec<Secret>,
    /// Where the service is reached from outside, without a slash at its end; links are made only where mail programs follow them.
    base: Option<String>,
}

impl Links {
    /// `url` is where the service is reached from outside. Mail programs follow https links only; http is for development.
    pub(crate) fn new(keys: Vec<Secret>, url: Option<String>, development: bool) -> Self {
        let is_usable = |url: &String| url.starts_with("https://") || (development && url.starts_with("http://"));
        Self {
            keys,
            base: url.filter(is_usable),
        }
    }

    /// Adds the link to mail to many with one recipient: with more, nobody could tell who followed it. A caller who sets such headers keeps
    /// a list of his own.
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
            if header_text(&link, MAX_HEADER_VALUE_BYTES).is_ok() {
                email.headers.push(header(LINK_HEADER, link));
                email.headers.push(header(POST_HEADER, "List-Unsubscribe=One-Click".to_owned()));
            }
        }
    }

    /// Whom a link is for; none when the token is not genuine or its message is no longer kept. Changes nothing.
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
            // An entry that ends is not what its owner asks for.
            is_unsubscribed: entries
                .iter()
                .any(|entry| entry.reason == SuppressionReason::Unsubscribe && entry.expires_at.is_none()),
        }))
    }
}

/// Unsubscribes whom a link is for; none as [`Links::unsubscriber`]. Doing it twice is as good as once.
pub(crate) async fn unsubscribe(links: &Links, desk: &Desk, token: &str) -> Result<Option<Unsubscriber>, StoreError> {
    let Some(unsubscriber) = links.unsubscriber(&desk.ports, token).await? else {
        return Ok(None);
    };
    if unsubscriber.is_unsubscribed {
        return Ok(Some(unsubscriber));
    }
    let entry = Suppression {
        tenant: unsubscriber.tenant.clone(),
        channel: unsubscriber.channel,
        address: suppression_address(unsubscriber.channel, &unsubscriber.address),
        reason: SuppressionReason::Unsubscribe,
        origin: SuppressionOrigin::Link,
        provider: None,
        message_id: Some(unsubscriber.message_id),
        detail: None,
        since: in_force_from(&desk.ports, &unsubscriber).await?,
        expires_at: None,
        lifted_at: None,
    };
    let notices = desk.notices.of_suppression(&entry);
    desk.ports.store.suppress(vec![entry], notices).await?;
    tracing::info!(message_id = %unsubscriber.message_id, "a recipient unsubscribed by the link in a message");
    Ok(Some(Unsubscriber {
        is_unsubscribed: true,
        ..unsubscriber
    }))
}

/// Now, or just after the entry was lifted: by the clock of a provider that is ahead of ours that may be later.
async fn in_force_from(ports: &Ports, unsubscriber: &Unsubscriber) -> Result<Timestamp, StoreError> {
    let filter = SuppressionFilter {
        channel: Some(unsubscriber.channel),
        reason: Some(SuppressionReason::Unsubscribe),
        address: Some(unsubscriber.address.clone()),
        with_lifted: true,
    };
    let now = ports.clock.now();
    let page = ports.store.suppressions(&unsubscriber.tenant, &filter, None, now, 1).await?;
    let lifted_at = page.entries.first().and_then(|entry| entry.lifted_at);
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
struct LinkTarget {
    tenant: TenantId,
    message_id: MessageId,
    /// Index among the recipients of the message.
    recipient: u8,
}

impl LinkTarget {
    fn token(&self, key: &Secret) -> String {
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
    fn read(token: &str, keys: &[Secret]) -> Option<Self> {
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
