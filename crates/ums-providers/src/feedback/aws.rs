//! Amazon: SNS envelopes, SES events, delivery logs of text messages.
