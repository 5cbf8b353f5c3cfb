//! What events say of their recipients beside the message: who must not be contacted again, and who may.

use ums_core::{
    EventKind, EventRecord, Lift, MessageRecord, ProviderKind, Suppression, SuppressionOrigin, SuppressionReason, TenantId, redact,
    subscriber_key, suppression_address,
};

/// Wishes that somebody takes back who wants messages again. Whoever comes back to one list takes back that alone.
const WISHES: [SuppressionReason; 2] = [SuppressionReason::Stop, SuppressionReason::Unsubscribe];
const WISHES_OF_A_LIST: [SuppressionReason; 1] = [SuppressionReason::Unsubscribe];

/// What some events say of the suppression list.
#[derive(Debug, Default)]
pub(crate) struct Says {
    pub(crate) suppress: Vec<Suppression>,
    pub(crate) lift: Vec<Lift>,
}

impl Says {
    /// What one event says, about the list of that tenant.
    pub(crate) fn of(record: &EventRecord, message: Option<&MessageRecord>, tenant: &TenantId) -> Self {
        let mut says = Self::default();
        says.hear(record, message, tenant);
        says
    }

    /// Adds what an event says.
    pub(crate) fn hear(&mut self, record: &EventRecord, message: Option<&MessageRecord>, tenant: &TenantId) {
        let event = &record.event;
        let is_for_one = message.is_some_and(|message| message.recipients.len() == 1);
        if !is_for_one && !is_signed(event.provider) {
            return;
        }
        let Some(address) = address(record, message) else { return };
        let at = record.happened_at();
        let reason = event.suppress.filter(|reason| reason.is_of_subscriber(event.channel(), &address));
        if let Some(reason) = reason {
            let code = event.code.as_deref().filter(|code| *code != event.word);
            let detail = [Some(event.word.as_str()), code, event.detail.as_deref()];
            let detail: Vec<&str> = detail.into_iter().flatten().collect();
            self.suppress.push(Suppression {
                tenant: tenant.clone(),
                channel: event.channel(),
                address: address.clone(),
                reason,
                list: event.list.clone(),
                origin: SuppressionOrigin::Feedback,
                provider: Some(event.provider),
                account: Some(event.account.clone()),
                message_id: message.map(|message| message.message.id),
                detail: Some(redact(&detail.join(" "))),
                since: at,
                expires_at: None,
                lifted_at: None,
            });
        }
        if event.kind == EventKind::Subscribed {
            let wishes: &[SuppressionReason] = if event.list.is_some() { &WISHES_OF_A_LIST } else { &WISHES };
            self.lift.extend(wishes.iter().map(|reason| Lift {
                tenant: tenant.clone(),
                channel: event.channel(),
                address: address.clone(),
                reason: *reason,
                list: event.list.clone(),
                at,
            }));
        }
    }
}

/// Whether what comes from a provider was proven to. Anybody can send mail to a bounce mailbox: what that says holds only for the recipient of
/// a message whose ids it knows, and of several recipients each knows the ids.
pub(crate) const fn is_signed(provider: ProviderKind) -> bool {
    match provider {
        ProviderKind::AwsSes | ProviderKind::SendGrid | ProviderKind::AwsSns | ProviderKind::Twilio => true,
        ProviderKind::Smtp | ProviderKind::Console => false,
    }
}

/// Whether a provider may keep a message back after it took it, because of an unsubscribe list of its own. SendGrid answers 202 and drops such a
/// message later (Twilio, "Event Webhook Reference", event `dropped`; read 2026-11-22). SES looks at a contact list only where the request names
/// one, and ours names none.
pub(super) const fn may_keep_back(provider: ProviderKind) -> bool {
    match provider {
        ProviderKind::SendGrid => true,
        ProviderKind::AwsSes | ProviderKind::Smtp | ProviderKind::AwsSns | ProviderKind::Twilio | ProviderKind::Console => false,
    }
}

/// Whom an event is about, as the list writes it: the message's only recipient, who may forward to the address that the event names, or one
/// of its recipients. Whoever else is named got nothing from us.
fn address(record: &EventRecord, message: Option<&MessageRecord>) -> Option<String> {
    let channel = record.event.channel();
    let named = record.event.recipient.as_ref();
    let key = |address: &str| subscriber_key(channel, address);
    let address = match message.map(|message| message.recipients.as_slice()) {
        Some([only]) => Some(&only.address),
        Some(several) => named.filter(|named| several.iter().any(|recipient| key(&recipient.address) == key(named))),
        None => named,
    };
    address.map(|address| suppression_address(channel, address))
}
