//! Identifiers in the shapes that the providers give theirs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes identifiers that do not repeat within a run and hardly between runs.
///
/// They are no secrets: a mixed counter is enough and costs nothing.
#[derive(Debug)]
pub(crate) struct Ids {
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        // Without entropy the runs share their identifiers; nothing else is lost.
        let start = getrandom::u64().unwrap_or(0x5eed);
        Self {
            next: AtomicU64::new(start),
        }
    }

    fn pair(&self) -> (u64, u64) {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        (mix(at), mix(!at))
    }

    /// 32 hexadecimal digits, as in Twilio's `sid`.
    pub(crate) fn hex32(&self) -> String {
        let (high, low) = self.pair();
        format!("{high:016x}{low:016x}")
    }

    /// A UUID's shape, as in AWS's request ids and SNS's message ids.
    pub(crate) fn uuid(&self) -> String {
        let hex = self.hex32();
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    /// 22 characters of URL-safe base64, as in SendGrid's `X-Message-Id`.
    pub(crate) fn base64(&self) -> String {
        use base64::Engine as _;
        let (high, low) = self.pair();
        let mut bytes = [0_u8; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The shape of SES's message ids: time, UUID, six zeros.
    pub(crate) fn ses(&self) -> String {
        let millis = crate::clock::now().as_millisecond();
        format!("0100{millis:012x}-{}-000000", self.uuid())
    }

    /// A queue id, as in the reply to SMTP's final dot.
    pub(crate) fn queue(&self) -> String {
        format!("{:012X}", self.pair().0 >> 16)
    }
}

/// The finisher of `SplitMix64`: a bijection, so distinct counters stay distinct.
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
