//! The handshake by which a topic begins to post to us.

use ums_core::HookFault;

use super::certificate::get;
use super::envelope::Envelope;
use crate::http::Transport;

/// Confirms a subscription by the URL in its envelope, or says why not.
///
/// The URL is not used as it came: a new one is made of its parts, so that nothing else can be asked for.
///
/// # Errors
/// [`HookFault`]; SNS asks again when it was [`HookFault::Unavailable`].
pub(super) async fn confirm(envelope: &Envelope, allowed: bool, transport: &Transport) -> Result<(), HookFault> {
    let topic = envelope.topic.arn();
    if !allowed {
        tracing::warn!(
            event = "feedback.aws.subscription",
            topic,
            "a topic asks to post feedback here: confirm the subscription in the SNS console, or allow confirming in the configuration and ask for it again"
        );
        return Ok(());
    }
    let path = envelope
        .topic
        .confirmation_path(&envelope.subscribe_url, &envelope.token)
        .ok_or(HookFault::Refused("subscribe_url"))?;
    let (status, _) = get(transport, &envelope.topic.endpoint(), &path).await?;
    if status != 200 {
        tracing::warn!(
            event = "feedback.aws.subscription",
            topic,
            status,
            "SNS did not confirm the subscription: ask for it again in the SNS console"
        );
        return Err(HookFault::Unavailable("subscription"));
    }
    tracing::info!(
        event = "feedback.aws.subscription",
        topic,
        "the subscription of a topic was confirmed"
    );
    Ok(())
}

/// Tells the operator that a topic does not post any more.
pub(super) fn ended(envelope: &Envelope) {
    tracing::warn!(
        event = "feedback.aws.unsubscribed",
        topic = envelope.topic.arn(),
        "the subscription of a topic was ended: no more feedback comes from it until it is subscribed again in the SNS console"
    );
}
