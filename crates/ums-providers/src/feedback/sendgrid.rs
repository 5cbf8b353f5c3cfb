//! SendGrid's signed event webhook.
