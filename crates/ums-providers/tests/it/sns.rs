//! What SNS posts: genuine, forged, and the handshake of a subscription.
//!
//! The keys and certificates in `fixtures/aws` are made for these tests; `test.pem` stands for SNS's own. `amazon.pem` and the envelopes with a
//! topic in us-west-2 are real ones: test resources of the AWS SDK for Java 2 (`services-custom/sns-message-manager`, read 2026-11-22).

mod bed;
mod forged;
mod genuine;
mod handshake;
