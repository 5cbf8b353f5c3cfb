//! A large message that waited in a database is sent whole.

use std::sync::Arc;

use ums_core::request::AttachmentRequest;
use ums_core::{Body, OnExhausted};
use ums_simulator::{Mode, Provider};
use unified_messaging::Status;

use crate::setup::{Setup, email};

#[tokio::test]
async fn an_attachment_that_waited_arrives_byte_for_byte() {
    let bed = Setup::alone(Provider::SendGrid).durable().start().await;
    bed.simulator.set_fault(Provider::SendGrid, Mode::Error).await.unwrap();
    let bytes: Arc<[u8]> = (0..1_usize << 20)
        .map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1])
        .collect();
    let attachment = AttachmentRequest {
        filename: "plan.pdf".to_owned(),
        content_type: Some("application/pdf".to_owned()),
        content: bytes.clone(),
        disposition: None,
        content_id: None,
    };
    let base64 = serde_json::to_value(&attachment).unwrap()["content_base64"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut mail = email("customer@example.com");
    mail.attachments.push(attachment);
    mail.handling.on_exhausted = Some(OnExhausted::Hold);
    let held = bed.send(mail).await;
    assert_eq!(held.status, Status::Queued);
    let record = bed.at_rest(held.message_id).await;
    assert!(matches!(record.body(), Body::Apart { bytes: 1_048_576.. }));

    bed.simulator.heal(Provider::SendGrid).await.unwrap();
    let sent = bed.next_round(held.message_id).await;
    assert_eq!(sent.status, Status::Sent);
    let received = bed.received(Provider::SendGrid);
    let [arrived] = &received[..] else {
        panic!("{} arrived", received.len())
    };
    assert_eq!(
        (arrived.subject.as_deref(), arrived.attachments[0].size),
        (Some("Your receipt"), bytes.len())
    );
    assert!(arrived.raw.contains(&base64));
}
